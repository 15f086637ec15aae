//! Calls as they were played, and the spans they are told as.

use std::sync::Arc;

use serde_json::json;

use super::semconv;
use super::span::{Span, SpanKind, SpanStatus, Value};
use super::span_builder::span_of;
use super::spans::Spans;
use super::{Capture, Options};
use crate::bedrock::Call;
use crate::bedrock::tests::{CONNECTION, Play, chunk, frame};
use crate::event::{Host, Monotonic, ProbeEvent, Process};
use crate::http::{BodyPart, Completion, Phase};

const STREAM: (&str, &str) = ("Content-Type", "application/vnd.amazon.eventstream");

fn host() -> Host {
    Host {
        boot_id: "6c5f4bd0-1111-4000-8000-000000000000".into(),
        name: "node-1".into(),
        wall_offset_ns: 1_700_000_000_000_000_000,
    }
}

fn process() -> Process {
    Process {
        key: CONNECTION.process,
        parent_pid: 1,
        executable: "/usr/bin/python3".into(),
        command_line: vec!["python3".into()],
        environment: Vec::new(),
        cgroup: String::new(),
        pod: None,
        withheld: crate::event::pod::Wishes::default(),
    }
}

fn span(call: &Call) -> Span {
    let options = Options {
        capture: Capture::Span,
        ..Options::default()
    };
    span_of(call, &host(), Arc::new(process()), &options)
}

/// Attributes one a line, by name.
fn listed(span: &Span) -> String {
    let mut lines: Vec<String> = span
        .attributes
        .iter()
        .map(|attribute| format!("{}: {:?}", attribute.key, attribute.value))
        .collect();
    lines.sort();
    lines.join("\n")
}

fn attribute<'s>(span: &'s Span, name: &str) -> Option<&'s Value> {
    span.attributes
        .iter()
        .find(|attribute| attribute.key == name)
        .map(|attribute| &attribute.value)
}

fn converse(body: &str, answer: &str) -> Call {
    Play::converse()
        .header("amz-sdk-invocation-id", "9f0a")
        .header("amz-sdk-request", "attempt=2; max=5")
        .request(body)
        .response(200, &[("x-amzn-RequestId", "r-1")])
        .answer(answer)
        .call()
}

#[test]
fn a_converse_call_as_a_span() {
    let span = span(&converse(
        r#"{"inferenceConfig": {"maxTokens": 100, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
            "additionalModelRequestFields": {"top_k": 50}, "outputConfig": {"effort": "high"},
            "guardrailConfig": {"guardrailIdentifier": "gr-1", "guardrailVersion": "1"}}"#,
        r#"{"output": {"message": {"content": [{"toolUse": {"toolUseId": "t1", "name": "weather", "input": {}}}]}},
            "stopReason": "tool_use", "metrics": {"latencyMs": 321},
            "usage": {"inputTokens": 12, "outputTokens": 250, "cacheReadInputTokens": 1028, "cacheWriteInputTokens": 0}}"#,
    ));
    assert_eq!(span.name, "chat amazon.nova-lite-v1:0");
    assert_eq!((span.kind, &span.status), (SpanKind::Client, &SpanStatus::Unset));
    assert_eq!(span.start_unix_ns, 1_700_000_000_001_000_000);
    assert_eq!(span.end_unix_ns, 1_700_000_000_006_000_000);
    insta::assert_snapshot!(listed(&span), @r#"
    aws.bedrock.guardrail.id: String("gr-1")
    aws.request_id: String("r-1")
    cloud.region: String("us-east-1")
    gen_ai.operation.name: String("chat")
    gen_ai.provider.name: String("aws.bedrock")
    gen_ai.request.max_tokens: Int(100)
    gen_ai.request.model: String("amazon.nova-lite-v1:0")
    gen_ai.request.reasoning.level: String("high")
    gen_ai.request.stop_sequences: Strings(["END"])
    gen_ai.request.temperature: Double(0.5)
    gen_ai.request.top_k: Double(50.0)
    gen_ai.request.top_p: Double(0.9)
    gen_ai.response.finish_reasons: Strings(["tool_call"])
    gen_ai.usage.cache_creation.input_tokens: Int(0)
    gen_ai.usage.cache_read.input_tokens: Int(1028)
    gen_ai.usage.input_tokens: Int(1040)
    gen_ai.usage.output_tokens: Int(250)
    gen_ai.usage.total_tokens: Int(1290)
    geophone.guardrail.version: String("1")
    geophone.model.base: String("amazon.nova-lite-v1:0")
    geophone.model.kind: String("foundation_model")
    geophone.response.stop_reasons: Strings(["tool_use"])
    geophone.response.tool_call.ids: Strings(["t1"])
    geophone.response.tool_call.names: Strings(["weather"])
    geophone.sdk.invocation_id: String("9f0a")
    geophone.server.duration: Double(0.321)
    http.request.resend_count: Int(1)
    http.response.status_code: Int(200)
    rpc.method: String("Converse")
    rpc.service: String("Bedrock Runtime")
    rpc.system: String("aws-api")
    server.address: String("bedrock-runtime.us-east-1.amazonaws.com")
    server.port: Int(443)
    thread.id: Int(7)
    "#);
}

#[test]
fn a_request_seen_alone_is_not_one_that_got_no_answer() {
    let closed = |play: &mut Play| {
        play.request("{}").end(Completion::Closed(Phase::Waiting));
        span(&play.call())
    };
    let alone = closed(&mut Play::converse().unpaired());
    assert_eq!(alone.status, SpanStatus::Unset);
    assert_eq!(attribute(&alone, semconv::ERROR_TYPE), None);
    let reasons = ["unpaired", "closed"].map(str::to_owned).to_vec();
    assert_eq!(
        attribute(&alone, semconv::INCOMPLETE),
        Some(&Value::Strings(reasons))
    );
    let unanswered = closed(&mut Play::converse());
    assert!(attribute(&unanswered, semconv::ERROR_TYPE).is_some());
}

#[test]
fn an_answer_seen_alone_tells_nothing_of_its_request() {
    let mut play = Play::converse().unpaired();
    play.response(200, &[STREAM, ("x-amzn-requestid", "r-1")]);
    play.part(&BodyPart::Bytes(&frame(
        "event",
        "messageStop",
        r#"{"stopReason": "end_turn"}"#,
    )));
    let span = span(&play.call());
    let reasons = ["request_unseen", "unpaired"].map(str::to_owned).to_vec();
    assert_eq!(
        attribute(&span, semconv::INCOMPLETE),
        Some(&Value::Strings(reasons))
    );
    for name in [
        semconv::THREAD_ID,
        semconv::REQUEST_MODEL,
        semconv::RESPONSE_TIME_TO_FIRST_CHUNK,
    ] {
        assert_eq!(attribute(&span, name), None, "{name}");
    }
}

#[test]
fn a_stream_tells_its_first_chunk() {
    let mut play = Play::converse_stream();
    play.request("{}").response(200, &[STREAM]);
    play.part(&BodyPart::Bytes(&frame(
        "event",
        "contentBlockDelta",
        r#"{"delta": {"text": "x"}}"#,
    )));
    play.part(&BodyPart::Bytes(&frame(
        "event",
        "messageStop",
        r#"{"stopReason": "end_turn"}"#,
    )));
    let span = span(&play.call());
    assert_eq!(
        attribute(&span, semconv::REQUEST_STREAM),
        Some(&Value::Bool(true))
    );
    assert_eq!(
        attribute(&span, semconv::RESPONSE_TIME_TO_FIRST_CHUNK),
        Some(&Value::Double(0.004))
    );
    assert_eq!(attribute(&span, semconv::INCOMPLETE), None);
}

#[test]
fn failures_set_status_type_and_reason() {
    let refused = span(
        &Play::converse()
            .request("{}")
            .response(400, &[("x-amzn-ErrorType", "ValidationException:http://x")])
            .answer(r#"{"message": "The provided model identifier is invalid."}"#)
            .call(),
    );
    let text = |text: &'static str| Some(Value::String(text.into()));
    assert_eq!(
        attribute(&refused, semconv::ERROR_TYPE).cloned(),
        text("ValidationException")
    );
    assert_eq!(
        refused.status,
        SpanStatus::Error {
            description: "The provided model identifier is invalid.".into()
        }
    );
    assert_eq!(
        attribute(&refused, semconv::RESPONSE_FINISH_REASONS),
        Some(&Value::Strings(vec!["error".into()]))
    );

    let mut play = Play::converse_stream();
    play.request("{}").response(200, &[STREAM]);
    play.part(&BodyPart::Bytes(&frame(
        "exception",
        "throttlingException",
        r#"{"message": "slow down"}"#,
    )));
    let failed = span(&play.call());
    assert_eq!(
        attribute(&failed, semconv::ERROR_TYPE).cloned(),
        text("ThrottlingException")
    );
    assert_eq!(failed.events[0].name, semconv::EXCEPTION_EVENT);
    assert_eq!(failed.events[0].time_unix_ns, 1_700_000_000_005_000_000);

    let unanswered = span(
        &Play::converse()
            .request("{}")
            .end(Completion::Closed(Phase::Waiting))
            .call(),
    );
    assert_eq!(
        attribute(&unanswered, semconv::ERROR_TYPE).cloned(),
        text("connection_closed")
    );
    assert_eq!(
        attribute(&unanswered, semconv::INCOMPLETE),
        Some(&Value::Strings(vec!["closed".into()]))
    );

    let stopped = span(
        &Play::converse()
            .request("{}")
            .end(Completion::TracingStopped(Phase::Waiting))
            .call(),
    );
    assert_eq!(stopped.status, SpanStatus::Unset);
}

#[test]
fn a_stream_cut_by_the_server_is_an_error_and_one_closed_by_the_client_is_not() {
    let cut = |completion| {
        let mut play = Play::converse_stream();
        play.request("{}").response(200, &[STREAM]);
        play.part(&BodyPart::Bytes(&frame(
            "event",
            "contentBlockDelta",
            r#"{"delta": {"text": "x"}}"#,
        )));
        span(&play.end(completion).call())
    };
    let by_server = cut(Completion::Complete);
    assert_eq!(
        attribute(&by_server, semconv::ERROR_TYPE),
        Some(&Value::String("stream_truncated".into()))
    );
    let by_client = cut(Completion::Closed(Phase::Response));
    assert_eq!(by_client.status, SpanStatus::Unset);
    for span in [&by_server, &by_client] {
        assert_eq!(
            attribute(span, semconv::RESPONSE_FINISH_REASONS),
            Some(&Value::Strings(vec!["error".into()]))
        );
    }
}

#[test]
fn work_without_a_gen_ai_operation_goes_by_its_own_name() {
    let call = Play::new("POST", "/model/m/count-tokens")
        .request("{}")
        .response(200, &[])
        .answer("{}")
        .call();
    let span = span(&call);
    assert_eq!(span.name, "CountTokens");
    assert_eq!(attribute(&span, semconv::OPERATION_NAME), None);
    assert_eq!(attribute(&span, semconv::PROVIDER_NAME), None);
    assert_eq!(
        attribute(&span, semconv::REQUEST_MODEL),
        Some(&Value::String("m".into()))
    );
}

#[test]
fn the_body_names_the_operation_of_invoke_model() {
    for (model, request, name) in [
        (
            "anthropic.claude-v2",
            r#"{"prompt": "x"}"#,
            "text_completion anthropic.claude-v2",
        ),
        (
            "anthropic.claude-v2",
            r#"{"messages": []}"#,
            "chat anthropic.claude-v2",
        ),
        (
            "amazon.titan-text-lite-v1",
            r#"{"inputText": "x"}"#,
            "text_completion amazon.titan-text-lite-v1",
        ),
        (
            "cohere.embed-english-v3",
            r#"{"texts": []}"#,
            "embeddings cohere.embed-english-v3",
        ),
        (
            "stability.sd3-large-v1%3A0",
            r#"{"prompt": "x"}"#,
            "generate_content stability.sd3-large-v1:0",
        ),
    ] {
        let call = Play::invoke(model)
            .request(request)
            .response(200, &[])
            .answer("{}")
            .call();
        assert_eq!(span(&call).name, name);
    }
}

#[test]
fn a_managed_prompt_is_named() {
    let call = Play::new(
        "POST",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprompt%2FP1%3A3/converse",
    )
    .request("{}")
    .response(200, &[])
    .answer("{}")
    .call();
    let span = span(&call);
    assert_eq!(
        attribute(&span, semconv::PROMPT_NAME),
        Some(&Value::String("P1".into()))
    );
    assert_eq!(
        attribute(&span, semconv::PROMPT_VERSION),
        Some(&Value::String("3".into()))
    );
}

#[test]
fn a_process_is_known_until_it_is_gone() {
    let call = converse("{}", "{}");
    let mut spans = Spans::new(Options::default());
    assert_eq!(spans.span(&call).process.executable, "");
    let told = ProbeEvent::Process(Arc::new(process()));
    spans.learn(&told);
    spans.forget(&told);
    assert_eq!(spans.span(&call).process.executable, "/usr/bin/python3");
    let exit = ProbeEvent::ProcessExit {
        process: CONNECTION.process,
        time: Monotonic(9),
    };
    spans.learn(&exit);
    assert_eq!(spans.span(&call).process.executable, "/usr/bin/python3");
    spans.forget(&exit);
    assert_eq!(spans.span(&call).process.key, CONNECTION.process);
    assert_eq!(spans.span(&call).process.executable, "");
}

const CANARY: &str = "canary-0b1e";

/// Every operation whose bodies are read, with the canary wherever a prompt or an answer can stand.
fn sung(content: bool) -> Vec<(&'static str, Span)> {
    let long = format!("{CANARY} {}", "la ".repeat(1_000));
    let converse_request = json!({
        "system": [{"text": CANARY}, {"guardContent": {"text": {"text": CANARY}}}],
        "messages": [{"role": "user", "content": [
            {"text": CANARY}, {"text": long}, {"image": {"format": "png", "source": {"bytes": CANARY}}},
            {"document": {"name": CANARY, "format": "txt", "source": {"text": CANARY}}},
            {"toolResult": {"toolUseId": "t0", "content": [{"json": {"a": CANARY}}, {"text": CANARY}]}},
        ]}, {"role": "assistant", "content": [
            {"toolUse": {"toolUseId": "t0", "name": "f", "input": {CANARY: CANARY}}},
            {"reasoningContent": {"reasoningText": {"text": CANARY}}},
        ]}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "description": CANARY, "inputSchema": {"json": {"d": CANARY}}}}]},
        "promptVariables": {"v": {"text": CANARY}}, "requestMetadata": {"k": CANARY},
        "additionalModelRequestFields": {"x": CANARY},
    })
    .to_string();
    let blocks = json!([{"text": CANARY}, {"text": long}, {"reasoningContent": {"reasoningText": {"text": CANARY}}},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": CANARY}}}]);
    let converse_answer =
        json!({"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": "end_turn",
        "additionalModelResponseFields": {"a": CANARY}, "trace": {"guardrail": {"modelOutput": [CANARY]}}})
        .to_string();
    let claude_request = json!({"anthropic_version": "x", "system": CANARY, "prompt": CANARY, "max_tokens": 4,
        "metadata": {"user_id": CANARY}, "tools": [{"name": "f", "description": CANARY, "input_schema": {"a": CANARY}}],
        "messages": [{"role": "user", "content": CANARY}, {"role": "user", "content": [{"type": "text", "text": long},
            {"type": "thinking", "thinking": CANARY}, {"type": "image", "source": {"data": CANARY}},
            {"type": "tool_result", "tool_use_id": "t", "content": CANARY}]}]})
    .to_string();
    let claude_answer = json!({"id": "m", "completion": CANARY, "stop_reason": "stop_sequence", "stop_sequence": CANARY, "stop": CANARY,
        "content": [{"type": "text", "text": CANARY}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": CANARY}}]})
    .to_string();
    let nova_request = json!({"schemaVersion": "messages-v1", "system": [{"text": CANARY}],
        "messages": [{"role": "user", "content": [{"text": CANARY}]}]})
    .to_string();
    let titan_request = json!({"inputText": CANARY, "textGenerationConfig": {}}).to_string();
    let titan_answer = json!({"results": [{"outputText": CANARY, "completionReason": "FINISH"}]}).to_string();
    let other_request =
        json!({"prompt": CANARY, "messages": [{"content": CANARY}], "message": CANARY, "preamble": CANARY})
            .to_string();
    let other_answer = json!({"generation": CANARY, "text": CANARY, "outputs": [{"text": CANARY, "stop_reason": "stop"}],
        "choices": [{"message": {"content": CANARY, "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": CANARY}}]}}]})
    .to_string();

    let mut spans = Vec::new();
    let mut sing = |what, play: Play, request: &str, headers: &[(&str, &str)], parts: &[Vec<u8>]| {
        let mut play = if content { play.with_content() } else { play };
        play.request(request).response(200, headers);
        for part in parts {
            play.part(&BodyPart::Bytes(part));
        }
        spans.push((what, span(&play.call())));
    };
    sing(
        "converse",
        Play::converse(),
        &converse_request,
        &[],
        &[converse_answer.clone().into_bytes()],
    );
    sing(
        "converse stream",
        Play::converse_stream(),
        &converse_request,
        &[STREAM],
        &[
            frame(
                "event",
                "contentBlockDelta",
                &json!({"delta": {"text": CANARY}}).to_string(),
            ),
            frame(
                "event",
                "contentBlockDelta",
                &json!({"delta": {"reasoningContent": {"text": CANARY}}}).to_string(),
            ),
            frame(
                "event",
                "contentBlockStart",
                r#"{"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}}"#,
            ),
            frame(
                "event",
                "contentBlockDelta",
                &json!({"contentBlockIndex": 2, "delta": {"toolUse": {"input": CANARY}}}).to_string(),
            ),
            frame(
                "event",
                "messageStop",
                &json!({"stopReason": "end_turn", "additionalModelResponseFields": {"a": CANARY}})
                    .to_string(),
            ),
            frame(
                "event",
                "metadata",
                &json!({"trace": {"guardrail": {"modelOutput": [CANARY]}}}).to_string(),
            ),
        ],
    );
    sing(
        "claude",
        Play::invoke("anthropic.claude-v2"),
        &claude_request,
        &[],
        &[claude_answer.into_bytes()],
    );
    sing(
        "claude stream",
        Play::invoke_stream("anthropic.claude-v2"),
        &claude_request,
        &[STREAM],
        &[
            chunk(&json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": CANARY}}).to_string()),
            chunk(&json!({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": CANARY}}).to_string()),
            chunk(&json!({"completion": CANARY, "stop": CANARY}).to_string()),
            chunk(&json!({"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": CANARY}}).to_string()),
            chunk(r#"{"type": "message_stop"}"#),
        ],
    );
    sing(
        "nova",
        Play::invoke("amazon.nova-lite-v1%3A0"),
        &nova_request,
        &[],
        &[converse_answer.into_bytes()],
    );
    sing(
        "titan",
        Play::invoke("amazon.titan-text-lite-v1"),
        &titan_request,
        &[],
        &[titan_answer.into_bytes()],
    );
    sing(
        "titan stream",
        Play::invoke_stream("amazon.titan-text-lite-v1"),
        &titan_request,
        &[STREAM],
        &[chunk(
            &json!({"outputText": CANARY, "completionReason": "FINISH"}).to_string(),
        )],
    );
    sing(
        "other",
        Play::invoke("mistral.mistral-large"),
        &other_request,
        &[],
        &[other_answer.into_bytes()],
    );
    spans
}

#[test]
fn without_content_no_byte_of_a_prompt_or_answer_reaches_a_span() {
    for (what, span) in sung(false) {
        assert!(!format!("{span:?}").contains(CANARY), "{what}: {span:?}");
    }
}

#[test]
fn with_content_prompts_and_answers_are_there() {
    for (what, span) in sung(true) {
        if what == "other" {
            continue;
        }
        for name in [semconv::INPUT_MESSAGES, semconv::OUTPUT_MESSAGES] {
            let Some(Value::String(messages)) = attribute(&span, name) else {
                panic!("{what} has no {name}");
            };
            assert!(messages.contains(CANARY), "{what}: {messages}");
            let messages: serde_json::Value = serde_json::from_str(messages).expect("messages are JSON");
            assert!(messages[0]["parts"][0]["type"].is_string());
        }
    }
}
