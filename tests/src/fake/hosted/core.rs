//! AgentCore: agents in a runtime, whose bodies are their own, and code in a sandbox.

use hyper::HeaderMap;
use serde_json::{Value, json};

use super::super::answer::Rendered;
use super::super::error::Refusal;
use super::script::{ANSWER, OUTPUT};
use super::{Frames, document, sent, text};

const SESSION: &str = "x-amzn-bedrock-agentcore-runtime-session-id";
const SANDBOX: &str = "x-amzn-code-interpreter-session-id";

/// Server-sent events where the client takes them, else JSON; and which of both.
pub(super) fn runtime(headers: &HeaderMap) -> (Rendered, bool) {
    let streams = text(headers, "accept").is_some_and(|accept| accept.contains("text/event-stream"));
    let mut rendered = if streams {
        Rendered {
            content_type: "text/event-stream",
            fields: Vec::new(),
            steps: ANSWER.split_inclusive(' ').map(sent).collect(),
        }
    } else {
        document(&json!({"result": ANSWER}), ANSWER)
    };
    let session = text(headers, SESSION);
    rendered.fields.extend(session.map(|session| (SESSION, session)));
    (rendered, streams)
}

pub(super) fn interpreter(headers: &HeaderMap, body: &Value) -> Result<Rendered, Refusal> {
    if body["name"] != "executeCode" {
        return Err(Refusal::validation("The tool is not known."));
    }
    let mut frames = Frames::default();
    let result = json!({
        "content": [{"type": "text", "text": OUTPUT}],
        "structuredContent": {"stdout": OUTPUT, "stderr": "", "exitCode": 0, "executionTime": 0.25},
        "isError": false,
    });
    frames.event("result", result, OUTPUT);
    let session = text(headers, SANDBOX);
    Ok(frames.rendered(session.map(|session| (SANDBOX, session)).into_iter().collect()))
}
