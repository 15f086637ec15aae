//! What an agent did, as spans.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::bedrock::Call;
use crate::bedrock::agent::tests::{
    Conversation, REQUEST, function_input, function_output, model_input, model_output,
};
use crate::event::{Host, ProbeEvent};
use crate::genai::span::{Span, SpanKind, SpanStatus};
use crate::genai::{Capture, Options, Spans, semconv};

fn spans() -> Spans {
    spans_with(Options::default())
}

fn spans_with(options: Options) -> Spans {
    let mut spans = Spans::new(options);
    spans.learn(&ProbeEvent::Host(Host {
        boot_id: "boot".into(),
        name: "host".into(),
        wall_offset_ns: 1_700_000_000_000_000_000,
    }));
    spans
}

/// An agent with a guardrail, whose model asks for a tool and for another agent.
fn at_work() -> Call {
    let raw = json!({"id": "msg_1", "type": "message", "model": "claude-9", "stop_reason": "tool_use",
        "content": [{"type": "tool_use", "id": "toolu_1", "name": "ferries__next", "input": {"port": "secret port"}}]});
    let other = "22222222-99b7-486f-afc7-00463ce7dec5";
    let root: &[&str] = &["AGENT1/ALIAS1"];
    let clerk: &[&str] = &["AGENT1/ALIAS1", "CLERK/A"];
    let mut asked = model_input("0");
    asked["modelInvocationInput"]["traceId"] = format!("{other}-0").into();
    let mut answered = model_output("0", 720, 790, "<answer>secret answer");
    answered["modelInvocationOutput"]["traceId"] = format!("{other}-0").into();
    Conversation::new()
        .trace(
            root,
            150,
            &json!({"guardrailTrace": {"action": "NONE", "traceId": format!("{REQUEST}-guardrail-pre-0")}}),
        )
        .orchestration(200, &model_input("0"))
        .orchestration(500, &model_output("0", 210, 490, &raw.to_string()))
        .orchestration(
            501,
            &json!({"rationale": {"text": "secret thought", "traceId": format!("{REQUEST}-0")}}),
        )
        .orchestration(700, &function_input("0", "next"))
        .orchestration(700, &function_output("0", 510, 690))
        .orchestration(
            710,
            &json!({"invocationInput": {"traceId": format!("{REQUEST}-1"), "agentCollaboratorInvocationInput":
            {"agentCollaboratorName": "clerk", "input": {"text": "secret task"},
             "agentCollaboratorAliasArn": "arn:aws:bedrock:us-east-1:123456789012:agent-alias/CLERK/A"}}}),
        )
        .trace(clerk, 715, &json!({ "orchestrationTrace": asked }))
        .trace(clerk, 795, &json!({ "orchestrationTrace": answered }))
        .event(900, "chunk", &json!({"bytes": STANDARD.encode("secret answer")}))
        .call()
}

fn line(text: &mut String, depth: usize, span: &Span, first: u64) {
    write!(
        text,
        "{}{} {}..{}",
        "  ".repeat(depth),
        span.name,
        (span.start_unix_ns - first) / 1_000_000,
        (span.end_unix_ns - first) / 1_000_000
    )
    .expect("a string takes everything");
    for attribute in &span.attributes {
        let told = [
            "gen_ai.usage.",
            "gen_ai.tool.",
            "gen_ai.agent.",
            "geophone.agent.",
            "error",
            "geophone.incomplete",
        ];
        if told.iter().any(|start| attribute.key.starts_with(start)) {
            let value = match &attribute.value {
                crate::genai::span::Value::String(text) => text.to_string(),
                crate::genai::span::Value::Int(number) => number.to_string(),
                other => format!("{other:?}"),
            };
            let key = attribute
                .key
                .trim_start_matches("gen_ai.")
                .trim_start_matches("geophone.");
            write!(text, " {key}={value}").expect("a string takes everything");
        }
    }
    text.push('\n');
}

/// Spans beneath their parents, whose lines must come first.
fn tree(spans: &[Span]) -> String {
    let mut text = String::from("\n");
    let mut depths = std::collections::BTreeMap::new();
    for span in spans {
        let depth = match &span.parent {
            None => 0,
            Some(parent) => 1 + depths[&parent.span_id],
        };
        depths.insert(span.span_id, depth);
        line(&mut text, depth, span, spans[0].start_unix_ns);
    }
    text
}

#[test]
fn every_step_is_a_span_beneath_what_it_is_part_of() {
    let spans = spans().spans(&at_work());
    assert_eq!(
        tree(&spans),
        "
invoke_agent 0..803 usage.input_tokens=20 usage.output_tokens=6 usage.total_tokens=26 agent.id=AGENT1 agent.version=5 agent.alias=ALIAS1
  guardrail 92..92 agent.phase=guardrail
  chat anthropic.claude-v9 152..432 usage.input_tokens=10 usage.output_tokens=3 usage.total_tokens=13 agent.phase=orchestration
  execute_tool ferries__next 452..632 tool.name=ferries__next tool.call.id=toolu_1 tool.type=extension agent.phase=orchestration
  invoke_agent clerk 652..737 agent.id=CLERK agent.name=clerk agent.version=5 agent.alias=A usage.input_tokens=10 usage.output_tokens=3 usage.total_tokens=13 agent.phase=orchestration incomplete=Strings([\"outcome_unseen\"])
    chat anthropic.claude-v9 662..732 usage.input_tokens=10 usage.output_tokens=3 usage.total_tokens=13 agent.phase=orchestration
"
    );
    assert_eq!(spans[0].kind, SpanKind::Client);
    for span in &spans[1..] {
        assert_eq!(span.kind, SpanKind::Internal);
        assert_eq!(span.trace_id, spans[0].trace_id);
        assert!(Arc::ptr_eq(&span.process, &spans[0].process));
        assert_eq!(span.status, SpanStatus::Unset);
    }
}

#[test]
fn ids_of_steps_repeat_and_tell_them_apart() {
    let (first, again) = (spans().spans(&at_work()), spans().spans(&at_work()));
    assert_eq!(first, again);
    let ids: std::collections::BTreeSet<_> = first.iter().map(|span| span.span_id).collect();
    assert_eq!(ids.len(), first.len());
}

#[test]
fn without_content_no_word_of_prompt_tool_or_answer_is_on_any_span() {
    let code = json!({"observation": {"traceId": format!("{REQUEST}-0"), "codeInterpreterInvocationOutput":
        {"executionError": "NameError: secret name", "executionOutput": "secret output"}}});
    let search = json!({"observation": {"traceId": format!("{REQUEST}-0"), "knowledgeBaseLookupOutput":
        {"retrievedReferences": [{"content": {"text": "secret passage"}, "metadata": {"secret": "secret"}}]}}});
    let call = Conversation::asked(r#"{"inputText": "secret question"}"#)
        .orchestration(300, &code)
        .orchestration(300, &search)
        .event(
            400,
            "returnControl",
            &json!({"invocationId": "inv-1", "invocationInputs": [{"functionInvocationInput":
                {"actionGroup": "g", "function": "f", "parameters": [{"name": "p", "value": "secret value"}]}}]}),
        )
        .call();
    for call in [call, at_work()] {
        for span in spans().spans(&call) {
            let told = format!("{span:?}");
            assert!(!told.contains("secret"), "{told}");
        }
    }
}

#[test]
fn the_call_that_brings_results_back_is_linked_to_the_one_that_asked_for_them() {
    let hand_over = Conversation::new()
        .event(
            300,
            "returnControl",
            &json!({"invocationId": "inv-1", "invocationInputs": []}),
        )
        .call();
    let bring = |invocation: &str| {
        let body = json!({"sessionState": {"invocationId": invocation, "returnControlInvocationResults": [{"functionResult": {}}]}});
        Conversation::asked(&body.to_string()).call()
    };
    let mut spans = spans();
    let asked = spans.spans(&hand_over).remove(0);
    let answered = spans.spans(&bring("inv-1")).remove(0);
    let [link] = answered.links.as_slice() else {
        panic!("one link, not {:?}", answered.links)
    };
    assert_eq!((link.trace_id, link.span_id), (asked.trace_id, asked.span_id));
    assert_eq!(spans.spans(&bring("inv-2")).remove(0).links, []);
}

#[test]
fn with_content_each_step_says_what_was_asked_and_answered() {
    let raw = json!({"type": "message", "stop_reason": "tool_use", "content": [{"type": "text", "text": "I look."}]});
    let search = json!({"invocationInput": {"traceId": format!("{REQUEST}-0"), "knowledgeBaseLookupInput": {"knowledgeBaseId": "KB1", "text": "ferries?"}}});
    let found = json!({"observation": {"traceId": format!("{REQUEST}-0"), "knowledgeBaseLookupOutput": {"retrievedReferences":
        [{"content": {"text": "At noon."}, "location": {"type": "S3", "s3Location": {"uri": "s3://a/b"}}}]}}});
    let mut input = model_input("0");
    input["modelInvocationInput"]["text"] =
        json!({"system": "Be brief.", "messages": [{"role": "user", "content": "When?"}]})
            .to_string()
            .into();
    let call = Conversation::overheard(r#"{"inputText": "When?"}"#)
        .orchestration(200, &input)
        .orchestration(300, &model_output("0", 210, 290, &raw.to_string()))
        .orchestration(400, &function_input("0", "next"))
        .orchestration(400, &function_output("0", 310, 390))
        .orchestration(500, &search)
        .orchestration(500, &found)
        .event(600, "chunk", &json!({"bytes": STANDARD.encode("At noon.")}))
        .call();
    let options = Options {
        capture: Capture::Span,
        ..Options::default()
    };
    let spans = spans_with(options).spans(&call);
    let told = |span: usize, key: &str| {
        let attribute = spans[span]
            .attributes
            .iter()
            .find(|attribute| attribute.key == key);
        match attribute.map(|attribute| &attribute.value) {
            Some(crate::genai::span::Value::String(text)) => text.to_string(),
            other => format!("{other:?}"),
        }
    };
    let text = |role: &str, text: &str| json!({"role": role, "parts": [{"type": "text", "content": text}]});
    let mut answered = text("assistant", "I look.");
    answered["finish_reason"] = "tool_call".into();
    let read = |text: String| serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
    assert_eq!(
        read(told(0, semconv::INPUT_MESSAGES)),
        json!([text("user", "When?")])
    );
    assert_eq!(
        read(told(1, semconv::INPUT_MESSAGES)),
        json!([text("user", "When?")])
    );
    assert_eq!(read(told(1, semconv::OUTPUT_MESSAGES)), json!([answered]));
    assert_eq!(
        read(told(1, semconv::SYSTEM_INSTRUCTIONS)),
        json!([{"type": "text", "content": "Be brief."}])
    );
    assert_eq!(
        read(told(2, semconv::TOOL_CALL_ARGUMENTS)),
        json!({"port": "secret port"})
    );
    assert_eq!(told(2, semconv::TOOL_CALL_RESULT), "secret time");
    assert_eq!(told(3, semconv::RETRIEVAL_QUERY), "ferries?");
    assert_eq!(
        read(told(3, semconv::RETRIEVAL_FOUND)),
        json!([{"id": "s3://a/b", "content": "At noon."}])
    );
}
