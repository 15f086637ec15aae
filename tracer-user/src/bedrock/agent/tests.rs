//! Agents at work: small traces and the steps they tell.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::step::{Fault, Phase, Step, Work};
use crate::bedrock::Call;
use crate::bedrock::tests::{EVENTSTREAM, Play, frame};
use crate::counters::Counter;
use crate::http::{BodyPart, Completion, Hole, HoleReason, Phase as HttpPhase};

pub(crate) const REQUEST: &str = "7b0b7a7b-99b7-486f-afc7-00463ce7dec5";

/// An agent that is asked 100 ms after the beginning; its events come one by one.
pub(crate) struct Conversation {
    play: Play,
}

impl Conversation {
    pub(crate) fn new() -> Self {
        Self::asked(r#"{"inputText": "When is the next ferry?", "enableTrace": true}"#)
    }

    pub(crate) fn asked(body: &str) -> Self {
        Self::played(body, false)
    }

    /// The same, and what is said is kept.
    pub(crate) fn overheard(body: &str) -> Self {
        Self::played(body, true)
    }

    fn played(body: &str, content: bool) -> Self {
        let play = Play::new(
            "POST",
            "/agents/AGENT1/agentAliases/ALIAS1/sessions/user%3A1/text",
        );
        let mut play = if content { play.with_content() } else { play };
        play.at(98).request(body).response(200, &[EVENTSTREAM]);
        Self { play }
    }

    /// An event that comes at `milliseconds`.
    pub(crate) fn event(&mut self, milliseconds: u64, kind: &str, payload: &Value) -> &mut Self {
        let bytes = frame("event", kind, &payload.to_string());
        self.play.at(milliseconds).part(&BodyPart::Bytes(&bytes));
        self
    }

    /// A part of the trace of the agents in `chain`, told so many milliseconds of the service's clock after noon and 40 ms on
    /// the way.
    pub(crate) fn trace(&mut self, chain: &[&str], told: u64, trace: &Value) -> &mut Self {
        let payload = part(chain, told, trace);
        self.event(told + 40, "trace", &payload)
    }

    pub(crate) fn orchestration(&mut self, told: u64, trace: &Value) -> &mut Self {
        self.trace(&["AGENT1/ALIAS1"], told, &json!({ "orchestrationTrace": trace }))
    }

    pub(crate) fn call(&mut self) -> Call {
        self.play.call()
    }
}

pub(super) fn part(chain: &[&str], told: u64, trace: &Value) -> Value {
    let chain: Vec<Value> = chain
        .iter()
        .map(|alias| json!({"agentAliasArn": format!("arn:aws:bedrock:us-east-1:123456789012:agent-alias/{alias}")}))
        .collect();
    json!({"agentVersion": "5", "callerChain": chain, "eventTime": noon(told), "trace": trace})
}

/// The service's clock so many milliseconds after noon.
fn noon(milliseconds: u64) -> String {
    format!(
        "2025-05-30T12:00:{:02}.{:03}000000Z",
        milliseconds / 1000,
        milliseconds % 1000
    )
}

fn metadata(start: u64, end: u64) -> Value {
    json!({"startTime": noon(start), "endTime": noon(end), "clientRequestId": format!("request-{start}")})
}

pub(crate) fn model_input(turn: &str) -> Value {
    json!({"modelInvocationInput": {"foundationModel": "anthropic.claude-v9", "text": "{\"system\": \"secret prompt\"}",
        "traceId": format!("{REQUEST}-{turn}"), "type": "ORCHESTRATION",
        "inferenceConfiguration": {"maximumLength": 2048, "temperature": 0.0, "topP": 1.0, "topK": 250, "stopSequences": ["</answer>"]}}})
}

pub(crate) fn model_output(turn: &str, start: u64, end: u64, raw: &str) -> Value {
    let mut metadata = metadata(start, end);
    metadata["usage"] = json!({"inputTokens": 10, "outputTokens": 3});
    json!({"modelInvocationOutput": {"metadata": metadata, "rawResponse": {"content": raw}, "traceId": format!("{REQUEST}-{turn}")}})
}

pub(crate) fn function_input(turn: &str, function: &str) -> Value {
    json!({"invocationInput": {"invocationType": "ACTION_GROUP", "traceId": format!("{REQUEST}-{turn}"),
        "actionGroupInvocationInput": {"actionGroupName": "ferries", "function": function, "executionType": "LAMBDA",
            "parameters": [{"name": "port", "type": "string", "value": "secret port"}]}}})
}

pub(crate) fn function_output(turn: &str, start: u64, end: u64) -> Value {
    json!({"observation": {"type": "ACTION_GROUP", "traceId": format!("{REQUEST}-{turn}"),
        "actionGroupInvocationOutput": {"text": "secret time", "metadata": metadata(start, end)}}})
}

/// Steps as lines: indented beneath the step that they were part of, with start and end in ms after the beginning.
pub(super) fn tree(steps: &[Step]) -> String {
    let mut lines = String::from("\n");
    for step in steps {
        let mut depth = 0;
        let mut parent = step.parent;
        while let Some(place) = parent {
            depth += 1;
            parent = steps[place].parent;
        }
        let what = match &step.work {
            Work::Model(work) => format!("model {}", work.model.as_deref().unwrap_or("?")),
            Work::Tool(work) => format!("tool {}", work.name.as_deref().unwrap_or("?")),
            Work::Retrieval(work) => format!("retrieval {}", work.knowledge_base.as_deref().unwrap_or("?")),
            Work::Agent(work) => format!("agent {}", work.name.as_deref().unwrap_or("?")),
            Work::Guardrail(work) => format!("guardrail {:?}", work.intervened),
            Work::Node(work) => format!("node {}", work.name.as_deref().unwrap_or("?")),
        };
        let milliseconds = |time: crate::event::Monotonic| time.0 / 1_000_000;
        write!(
            lines,
            "{}{what} {}..{}",
            "  ".repeat(depth),
            milliseconds(step.start),
            milliseconds(step.end)
        )
        .expect("a string takes everything");
        if let Some(fault) = &step.fault {
            write!(lines, " {fault:?}").expect("a string takes everything");
        }
        if step.gaps.request_unseen {
            lines.push_str(" request unseen");
        }
        if step.gaps.outcome_unseen {
            lines.push_str(" outcome unseen");
        }
        lines.push('\n');
    }
    lines
}

#[test]
fn a_turn_of_the_loop_is_a_model_and_the_tool_it_asked_for() {
    let raw = json!({"id": "msg_1", "type": "message", "model": "claude-9", "stop_reason": "tool_use",
        "usage": {"input_tokens": 10, "output_tokens": 3, "cache_read_input_tokens": 4},
        "content": [{"type": "tool_use", "id": "toolu_1", "name": "ferries__next", "input": {}}]});
    let call = Conversation::new()
        .orchestration(200, &model_input("0"))
        .orchestration(500, &model_output("0", 210, 490, &raw.to_string()))
        .orchestration(
            501,
            &json!({"rationale": {"text": "secret thought", "traceId": format!("{REQUEST}-0")}}),
        )
        // Told together when the tool has run.
        .orchestration(700, &function_input("0", "next"))
        .orchestration(700, &function_output("0", 510, 690))
        .event(800, "chunk", &json!({"bytes": STANDARD.encode("At noon.")}))
        .call();
    assert_eq!(
        tree(&call.steps),
        "
model anthropic.claude-v9 250..530
tool ferries__next 550..730
"
    );
    let Work::Model(model) = &call.steps[0].work else {
        panic!("a model")
    };
    assert_eq!(model.parameters.max_tokens, Some(2048));
    assert_eq!(model.parameters.stop_sequences, ["</answer>"]);
    assert_eq!((model.usage.input, model.usage.output), (Some(10), Some(3)));
    assert_eq!(model.usage.cache_read, Some(4));
    assert_eq!(model.response_id.as_deref(), Some("msg_1"));
    assert_eq!(model.stop_reasons[0].wire, "tool_use");
    let Work::Tool(tool) = &call.steps[1].work else {
        panic!("a tool")
    };
    assert_eq!(tool.call_id.as_deref(), Some("toolu_1"), "the model's own id");
    assert_eq!(call.steps[1].request_id.as_deref(), Some("request-510"));
    assert_eq!(call.steps[1].phase, Some(Phase::Orchestration));
    assert_eq!(
        (call.usage.input_with_cache(), call.usage.output),
        (Some(14), Some(3))
    );
    assert_eq!(call.agent.version.as_deref(), Some("5"));
    assert_eq!(call.failure, None);
}

#[test]
fn several_tools_of_one_turn_end_in_the_order_they_began() {
    let call = Conversation::new()
        .orchestration(300, &function_input("0", "first"))
        .orchestration(300, &function_input("0", "second"))
        .orchestration(300, &function_output("0", 200, 220))
        .orchestration(301, &function_output("0", 230, 250))
        .call();
    assert_eq!(
        tree(&call.steps),
        "
tool ferries__first 240..260
tool ferries__second 270..290
"
    );
}

#[test]
fn agents_nest_as_they_call_one_another_two_of_a_kind_at_once_too() {
    let ask = |turn: &str, name: &str, alias: &str| {
        json!({"orchestrationTrace": {"invocationInput": {"invocationType": "AGENT_COLLABORATOR", "traceId": format!("{REQUEST}-{turn}"),
            "agentCollaboratorInvocationInput": {"agentCollaboratorName": name, "input": {"text": "secret task"},
                "agentCollaboratorAliasArn": format!("arn:aws:bedrock:us-east-1:123456789012:agent-alias/{alias}")}}}})
    };
    let answer = |turn: &str, name: &str, request: &str, start: u64, end: u64| {
        let mut metadata = metadata(start, end);
        metadata["clientRequestId"] = request.into();
        json!({"orchestrationTrace": {"observation": {"type": "AGENT_COLLABORATOR", "traceId": format!("{REQUEST}-{turn}"),
            "agentCollaboratorInvocationOutput": {"agentCollaboratorName": name, "metadata": metadata}}}})
    };
    let model = |request: &str, answered: Option<(u64, u64)>| {
        let mut trace = match answered {
            None => model_input("0"),
            Some((start, end)) => model_output("0", start, end, "<answer>"),
        };
        let key = if answered.is_some() {
            "modelInvocationOutput"
        } else {
            "modelInvocationInput"
        };
        trace[key]["traceId"] = format!("{request}-0").into();
        json!({ "orchestrationTrace": trace })
    };
    let first = "11111111-99b7-486f-afc7-00463ce7dec5";
    let second = "22222222-99b7-486f-afc7-00463ce7dec5";
    let root: &[&str] = &["AGENT1/ALIAS1"];
    let math: &[&str] = &["AGENT1/ALIAS1", "MATH/A"];
    let call = Conversation::new()
        .trace(root, 200, &ask("0", "math", "MATH/A"))
        .trace(root, 210, &ask("0", "math", "MATH/A"))
        .trace(math, 220, &model(first, None))
        .trace(math, 230, &model(second, None))
        .trace(math, 400, &model(second, Some((231, 399))))
        .trace(math, 500, &model(first, Some((221, 499))))
        .trace(root, 410, &answer("0", "math", second, 212, 405))
        .trace(root, 510, &answer("0", "math", first, 202, 505))
        .call();
    assert_eq!(
        tree(&call.steps),
        "
agent math 242..545
agent math 252..445
  model anthropic.claude-v9 261..539
  model anthropic.claude-v9 271..439
"
    );
    let parents: Vec<_> = call.steps.iter().map(|step| step.parent).collect();
    assert_eq!(parents, [None, None, Some(0), Some(1)]);
    let Work::Agent(agent) = &call.steps[1].work else {
        panic!("an agent")
    };
    assert_eq!(
        (agent.id.as_deref(), agent.alias.as_deref()),
        (Some("MATH"), Some("A"))
    );
    assert_eq!(call.usage.input, Some(20), "of both agents");
}

#[test]
fn code_a_search_and_a_guardrail_are_steps_of_their_own() {
    let call = Conversation::new()
        .trace(
            &["AGENT1/ALIAS1"],
            200,
            &json!({"guardrailTrace": {"action": "INTERVENED", "traceId": format!("{REQUEST}-guardrail-pre-0"),
                "inputAssessments": [{"wordPolicy": {"customWords": [{"match": "secret word", "action": "BLOCKED"}]},
                    "appliedGuardrailDetails": {"guardrailId": "gr1", "guardrailVersion": "2"}}],
                "metadata": metadata(110, 190)}}),
        )
        .orchestration(
            300,
            &json!({"invocationInput": {"traceId": format!("{REQUEST}-0"), "knowledgeBaseLookupInput": {"knowledgeBaseId": "KB1", "text": "secret query"}}}),
        )
        .orchestration(
            400,
            &json!({"observation": {"traceId": format!("{REQUEST}-0"), "knowledgeBaseLookupOutput":
                {"metadata": metadata(300, 390), "retrievedReferences": [{"content": {"text": "secret a"}}, {"content": {"text": "secret b"}}]}}}),
        )
        .orchestration(
            500,
            &json!({"invocationInput": {"traceId": format!("{REQUEST}-0"), "codeInterpreterInvocationInput": {"code": "print(secret)"}}}),
        )
        .orchestration(
            500,
            &json!({"observation": {"traceId": format!("{REQUEST}-0"), "codeInterpreterInvocationOutput":
                {"executionError": "NameError: secret", "metadata": metadata(410, 490)}}}),
        )
        .call();
    assert_eq!(
        tree(&call.steps),
        "
guardrail Some(true) 150..230
retrieval KB1 340..430
tool code_interpreter 450..530 ExecutionError
"
    );
    let Work::Retrieval(retrieval) = &call.steps[1].work else {
        panic!("a search")
    };
    assert_eq!(retrieval.documents, Some(2));
    assert_eq!(call.guardrail.intervened, Some(true));
}

#[test]
fn what_is_open_ends_with_the_failure() {
    let failed = json!({"failureTrace": {"failureCode": 424, "failureReason": "The function timed out.", "traceId": format!("{REQUEST}-0")}});
    let call = Conversation::new()
        .orchestration(200, &function_input("0", "next"))
        .trace(&["AGENT1/ALIAS1"], 300, &failed)
        .event(900, "files", &json!({"files": [{"name": "a.csv"}]}))
        .call();
    let fault = Fault::Failed {
        code: Some("424".into()),
        message: Some("The function timed out.".into()),
    };
    assert_eq!(
        tree(&call.steps),
        format!("\ntool ferries__next 240..340 {fault:?}\n")
    );
    let failure = call.failure.expect("the agent gave up");
    assert_eq!(failure.code, "424");
    assert_eq!(call.agent.files, 1);

    let mut conversation = Conversation::new();
    conversation.orchestration(200, &model_input("0"));
    let exception = frame("exception", "throttlingException", r#"{"message": "Too many."}"#);
    conversation.play.at(640).part(&BodyPart::Bytes(&exception));
    let call = conversation.call();
    assert_eq!(
        tree(&call.steps),
        "\nmodel anthropic.claude-v9 240..640 Failed { code: Some(\"ThrottlingException\"), message: None }\n"
    );
}

#[test]
fn a_stream_cut_short_keeps_what_it_told() {
    let mut conversation = Conversation::new();
    conversation
        .orchestration(200, &model_input("0"))
        .orchestration(300, &model_output("0", 210, 290, "<answer>"))
        .orchestration(310, &model_input("1"));
    conversation.play.end(Completion::Closed(HttpPhase::Response));
    let call = conversation.call();
    assert_eq!(
        tree(&call.steps),
        "
model anthropic.claude-v9 250..330
model anthropic.claude-v9 350..350 outcome unseen
"
    );
    assert_eq!(call.usage.input, Some(10));
}

#[test]
fn what_a_hole_swallowed_is_said_of_the_step() {
    let mut conversation = Conversation::new();
    conversation.play.at(150).part(&BodyPart::Hole(Hole {
        length: None,
        reason: HoleReason::Lost,
    }));
    // The frames before are gone: a frame that follows others is trusted.
    conversation
        .orchestration(300, &function_output("0", 200, 290))
        .orchestration(500, &function_input("1", "next"))
        .orchestration(500, &function_output("1", 400, 490));
    conversation.trace(
        &["AGENT1/ALIAS1", "MATH/A"],
        600,
        &json!({ "orchestrationTrace": model_output("0", 510, 590, "<answer>") }),
    );
    let call = conversation.call();
    assert!(call.gaps.response_hole);
    assert_eq!(
        tree(&call.steps),
        "
tool ? 240..330 request unseen
tool ferries__next 440..530
agent ? 640..640 request unseen outcome unseen
  model ? 640..640 request unseen
"
    );
}

#[test]
fn control_that_is_handed_over_is_no_step_but_can_be_found_again() {
    let mut input = function_input("0", "book");
    input["invocationInput"]["actionGroupInvocationInput"]["executionType"] = "RETURN_CONTROL".into();
    let call = Conversation::new()
        .orchestration(200, &input)
        .event(
            300,
            "returnControl",
            &json!({"invocationId": "inv-1", "invocationInputs": [
                {"functionInvocationInput": {"actionGroup": "ferries", "function": "book", "parameters": [{"name": "seat", "value": "secret"}]}},
                {"apiInvocationInput": {"actionGroup": "mail", "apiPath": "/send", "httpMethod": "post"}}]}),
        )
        .call();
    assert_eq!(tree(&call.steps), "\n");
    assert_eq!(call.agent.handed_over.as_deref(), Some("inv-1"));
    let names: Vec<_> = call
        .tool_calls
        .iter()
        .filter_map(|call| call.name.as_deref())
        .collect();
    assert_eq!(names, ["ferries__book", "mail POST /send"]);

    let next = json!({"sessionState": {"invocationId": "inv-1", "returnControlInvocationResults": [{"functionResult": {"actionGroup": "ferries"}}]}});
    let call = Conversation::asked(&next.to_string()).call();
    assert_eq!(call.agent.brought_back.as_deref(), Some("inv-1"));
    let nothing = json!({"sessionState": {"invocationId": "inv-1", "returnControlInvocationResults": []}});
    let call = Conversation::asked(&nothing.to_string()).call();
    assert_eq!(call.agent.brought_back, None);
}

#[test]
fn times_of_a_clock_that_is_wrong_stay_within_the_call() {
    let mut output = model_output("0", 210, 490, "<answer>");
    output["modelInvocationOutput"]["metadata"]["startTime"] = "2001-01-01T00:00:00Z".into();
    output["modelInvocationOutput"]["metadata"]["endTime"] = "2099-01-01T00:00:00Z".into();
    let mut conversation = Conversation::new();
    conversation
        .orchestration(200, &model_input("0"))
        .orchestration(500, &output);
    conversation.play.at(600);
    let call = conversation.call();
    assert_eq!(tree(&call.steps), "\nmodel anthropic.claude-v9 98..600\n");
}

#[test]
fn endless_traces_are_bounded_and_counted() {
    let mut conversation = Conversation::new();
    for _ in 0..1_100 {
        conversation.orchestration(200, &function_input("0", "next"));
    }
    let call = conversation.call();
    assert_eq!(call.steps.len(), 1_024);
    assert!(call.gaps.beyond_cap);
    assert_eq!(conversation.play.counted(Counter::StepsBeyondCap), 76);

    // Agents that ask agents without end.
    let aliases: Vec<String> = (0..50).map(|number| format!("A{number}/B")).collect();
    let chain: Vec<&str> = aliases.iter().map(String::as_str).collect();
    let call = Conversation::new()
        .trace(&chain, 200, &json!({ "orchestrationTrace": model_input("0") }))
        .call();
    assert_eq!(call.steps.len(), 8);
}

#[test]
fn an_inline_agent_says_itself_what_it_is() {
    let mut play = Play::new("POST", "/agents/session-9");
    play.request(
        &json!({"agentName": "clerk", "foundationModel": "amazon.nova-pro-v1:0", "inputText": "secret",
            "guardrailConfiguration": {"guardrailIdentifier": "gr1", "guardrailVersion": "3"}})
        .to_string(),
    )
    .response(200, &[EVENTSTREAM, ("x-amz-bedrock-agent-memory-id", "memory-1")]);
    let call = play.call();
    assert_eq!(call.agent.name.as_deref(), Some("clerk"));
    assert_eq!(call.route.resource.model.as_deref(), Some("amazon.nova-pro-v1:0"));
    assert_eq!(call.agent.memory.as_deref(), Some("memory-1"));
    assert_eq!(call.guardrail.id.as_deref(), Some("gr1"));
}

proptest! {
    #[test]
    fn any_trace_gives_steps_that_nest(events in proptest::collection::vec((0..6usize, 0..3usize, 0..4u64, 0..1000u64), 0..40)) {
        let mut conversation = Conversation::new();
        for (place, (kind, depth, turn, told)) in (0..).zip(events) {
            let aliases = ["AGENT1/ALIAS1", "MATH/A", "MATH/B"];
            let turn = turn.to_string();
            let trace = match kind {
                0 => model_input(&turn),
                1 => model_output(&turn, told, told + 5, "{"),
                2 => function_input(&turn, "next"),
                3 => function_output(&turn, told, told.saturating_sub(5)),
                4 => json!({"invocationInput": {"traceId": format!("{REQUEST}-{turn}"), "agentCollaboratorInvocationInput":
                    {"agentCollaboratorAliasArn": "arn:aws:bedrock:us-east-1:123456789012:agent-alias/MATH/A"}}}),
                _ => json!({"observation": {"traceId": format!("{REQUEST}-{turn}"), "agentCollaboratorInvocationOutput": {}}}),
            };
            let payload = part(&aliases[..=depth], told, &json!({ "orchestrationTrace": trace }));
            conversation.event(150 + place, "trace", &payload);
        }
        let call = conversation.call();
        for (place, step) in call.steps.iter().enumerate() {
            let (first, last) = step.parent.map_or((call.timings.request, call.timings.end), |parent| {
                (call.steps[parent].start, call.steps[parent].end)
            });
            prop_assert!(step.parent.is_none_or(|parent| parent < place));
            prop_assert!(first <= step.start && step.start <= step.end && step.end <= last);
        }
    }

    #[test]
    fn frames_cut_anywhere_give_the_same_steps(sizes in proptest::collection::vec(1..700usize, 1..20)) {
        let frames: Vec<u8> = [model_input("0"), model_output("0", 210, 290, "<answer>"), function_input("0", "next"), function_output("0", 300, 390)]
            .iter()
            .flat_map(|trace| frame("event", "trace", &part(&["AGENT1/ALIAS1"], 400, &json!({ "orchestrationTrace": trace })).to_string()))
            .collect();
        let play = |pieces: &mut dyn Iterator<Item = usize>| {
            let mut conversation = Conversation::new();
            let mut rest = frames.as_slice();
            while !rest.is_empty() {
                let (piece, next) = rest.split_at(pieces.next().unwrap_or(rest.len()).min(rest.len()));
                conversation.play.at(450).part(&BodyPart::Bytes(piece));
                rest = next;
            }
            conversation.play.at(500);
            conversation.call().steps
        };
        prop_assert_eq!(play(&mut sizes.iter().copied()), play(&mut std::iter::empty()));
    }
}
