//! `InvokeAgent`: an agent that asks a model three times, uses a tool and searches a knowledge base in between, and tells so
//! in its trace.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::answer::Rendered;
use super::super::body::unix_ns;
use super::super::error::Refusal;
use super::Frames;
use super::script::{AGENT_VERSION, ANSWER, DOCUMENTS, KNOWLEDGE_BASE, MODEL, MODEL_CALLS, ModelCall, TOOL};
use super::time::iso;

/// Milliseconds that each piece of work takes.
const WORK_MS: u64 = 30;

/// Agent, alias and session of the path.
type Place<'a> = (&'a str, &'a str, &'a str);

pub(super) fn answer(place: Place<'_>, body: &Value, request_id: &str) -> Result<Rendered, Refusal> {
    if !body["inputText"].is_string() && body["sessionState"].is_null() {
        return Err(Refusal::validation("inputText must not be empty."));
    }
    let mut telling = Telling {
        place,
        request_id,
        traced: body["enableTrace"] == true,
        now: unix_ns(),
        frames: Frames::default(),
    };
    for (step, call) in MODEL_CALLS.into_iter().enumerate() {
        telling.model(step, call);
        match step {
            0 => telling.tool(step),
            1 => telling.search(step),
            _ => telling.finish(step),
        }
    }
    let mut frames = telling.frames;
    frames.event("chunk", json!({"bytes": STANDARD.encode(ANSWER)}), ANSWER);
    let (_, _, session) = place;
    Ok(frames.rendered(vec![
        ("x-amz-bedrock-agent-session-id", session.to_owned()),
        ("x-amzn-bedrock-agent-content-type", "application/json".to_owned()),
    ]))
}

/// A trace under way.
struct Telling<'a> {
    place: Place<'a>,
    request_id: &'a str,
    traced: bool,
    /// The service's clock, which goes on as it works.
    now: u64,
    frames: Frames,
}

impl Telling<'_> {
    /// An event of the orchestration.
    fn tell(&mut self, step: usize, name: &str, mut told: Value) {
        if !self.traced {
            return;
        }
        let (agent, alias, session) = self.place;
        told["traceId"] = format!("{}-{step}", self.request_id).into();
        let payload = json!({
            "agentId": agent,
            "agentAliasId": alias,
            "agentVersion": AGENT_VERSION,
            "sessionId": session,
            "eventTime": iso(self.now),
            "callerChain": [{"agentAliasArn":
                format!("arn:aws:bedrock:us-east-1:123456789012:agent-alias/{agent}/{alias}")}],
            "trace": {"orchestrationTrace": {name: told}},
        });
        self.frames.event("trace", payload, "");
    }

    /// Lets a piece of work take its time; its metadata.
    fn work(&mut self, step: usize, what: &str) -> Value {
        let start = self.now;
        self.now += WORK_MS * 1_000_000;
        self.frames.pause(WORK_MS);
        json!({
            "startTime": iso(start),
            "endTime": iso(self.now),
            "totalTimeMs": WORK_MS,
            "clientRequestId": format!("{what}-{step}-{}", self.request_id),
        })
    }

    fn model(&mut self, step: usize, call: ModelCall) {
        let ModelCall {
            input,
            output,
            stop_reason,
        } = call;
        self.tell(
            step,
            "modelInvocationInput",
            json!({
                "foundationModel": MODEL,
                "type": "ORCHESTRATION",
                "text": json!({"system": "You are a geologist.", "messages": []}).to_string(),
                "inferenceConfiguration": {
                    "__type": "com.amazon.bedrock.agent.common.types#InferenceConfiguration",
                    "maximumLength": 2048, "temperature": 0.0, "topP": 1.0, "topK": 250,
                    "stopSequences": ["</answer>"],
                },
            }),
        );
        let mut metadata = self.work(step, "model");
        metadata["usage"] = json!({"inputTokens": input, "outputTokens": output});
        let native = json!({
            "id": format!("msg_bdrk_{step}"), "type": "message", "role": "assistant",
            "model": "claude-3-5-sonnet-20240620", "stop_reason": stop_reason,
            "content": [{"type": "text", "text": "I think."}],
            "usage": {"input_tokens": input, "output_tokens": output},
        });
        let raw = json!({"content": native.to_string()});
        self.tell(
            step,
            "modelInvocationOutput",
            json!({"metadata": metadata, "rawResponse": raw}),
        );
        self.tell(step, "rationale", json!({"text": "I think."}));
    }

    /// What was asked is told with what came of it.
    fn tool(&mut self, step: usize) {
        let (group, function) = TOOL;
        let metadata = self.work(step, "tool");
        let asked = json!({
            "actionGroupName": group, "function": function, "executionType": "LAMBDA",
            "parameters": [{"name": "city", "type": "string", "value": "Zürich"}],
        });
        self.tell(
            step,
            "invocationInput",
            json!({"invocationType": "ACTION_GROUP", "actionGroupInvocationInput": asked}),
        );
        let came = json!({"text": "sun", "metadata": metadata});
        self.tell(
            step,
            "observation",
            json!({"type": "ACTION_GROUP", "actionGroupInvocationOutput": came}),
        );
    }

    fn search(&mut self, step: usize) {
        let metadata = self.work(step, "search");
        let asked = json!({"knowledgeBaseId": KNOWLEDGE_BASE, "text": "hum"});
        self.tell(
            step,
            "invocationInput",
            json!({"invocationType": "KNOWLEDGE_BASE", "knowledgeBaseLookupInput": asked}),
        );
        let references: Vec<Value> = DOCUMENTS
            .iter()
            .map(|text| json!({"content": {"text": text}}))
            .collect();
        let came = json!({"retrievedReferences": references, "metadata": metadata});
        self.tell(
            step,
            "observation",
            json!({"type": "KNOWLEDGE_BASE", "knowledgeBaseLookupOutput": came}),
        );
    }

    fn finish(&mut self, step: usize) {
        let last = json!({"text": ANSWER, "metadata": {"endTime": iso(self.now)}});
        self.tell(
            step,
            "observation",
            json!({"type": "FINISH", "finalResponse": last}),
        );
    }
}
