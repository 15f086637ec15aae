//! What a person sees.

use std::sync::Arc;

use super::Console;
use crate::enrich::Resource;
use crate::event::Process;
use crate::export::Finished;
use crate::export::tests::{process, span};
use crate::genai::semconv;
use crate::genai::span::{Attribute, Parent, Span, SpanId, SpanKind, SpanStatus, TraceId, Value};

/// A Saturday, 14:03:07.412.
const START: u64 = 1_795_269_787_412_000_000;
const MILLISECOND: u64 = 1_000_000;

fn write(console: &mut Console, spans: &[Span]) -> String {
    let mut output = Vec::new();
    for span in spans {
        let resource = Arc::new(Resource::of(&span.process, None));
        console
            .write(&Finished::new(resource, span.clone()), &mut output)
            .expect("memory takes it");
    }
    String::from_utf8(output).expect("UTF-8")
}

fn plain(spans: &[Span]) -> String {
    write(&mut Console::new(false), spans)
}

fn call(
    process: &Arc<Process>,
    number: u8,
    at_ms: u64,
    took_ms: u64,
    attributes: &[(&'static str, Value)],
) -> Span {
    Span {
        start_unix_ns: START + at_ms * MILLISECOND,
        end_unix_ns: START + (at_ms + took_ms) * MILLISECOND,
        attributes: attributes
            .iter()
            .map(|(key, value)| Attribute {
                key,
                value: value.clone(),
            })
            .collect(),
        ..span(process, number)
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned().into())
}

fn texts(texts: &[&str]) -> Value {
    Value::Strings(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn streamed(process: &Arc<Process>) -> Span {
    let mut span = call(
        process,
        1,
        0,
        842,
        &[
            (semconv::RESPONSE_TIME_TO_FIRST_CHUNK, Value::Double(0.21)),
            (semconv::USAGE_INPUT_TOKENS, Value::Int(1_012)),
            (semconv::USAGE_CACHE_READ, Value::Int(900)),
            (semconv::USAGE_CACHE_CREATION, Value::Int(0)),
            (semconv::USAGE_OUTPUT_TOKENS, Value::Int(34)),
            (semconv::COST_USD, Value::Double(0.001_116)),
            (semconv::RESPONSE_FINISH_REASONS, texts(&["tool_call"])),
            (semconv::TOOL_CALL_NAMES, texts(&["get_weather"])),
        ],
    );
    span.name = "chat us.anthropic.claude-3-5-sonnet-20241022-v2:0".to_owned();
    span
}

fn throttled(process: &Arc<Process>) -> Span {
    let mut span = call(
        process,
        2,
        1_589,
        31,
        &[
            (semconv::ERROR_TYPE, text("ThrottlingException")),
            (semconv::HTTP_STATUS, Value::Int(429)),
            (
                semconv::AWS_REQUEST_ID,
                text("8f0a1f2b-7d1e-4d0b-9a55-0f5f6a1b2c3d"),
            ),
        ],
    );
    span.status = SpanStatus::Error {
        description: "Too many requests, please wait before trying again.".to_owned(),
    };
    span
}

#[test]
fn a_worker_streams_is_throttled_and_another_process_embeds() {
    let (worker, api) = (process(4242, "worker"), process(4300, "api"));
    let mut embedded = call(
        &api,
        3,
        2_000,
        18,
        &[(semconv::USAGE_INPUT_TOKENS, Value::Int(7))],
    );
    embedded.name = "embeddings amazon.titan-embed-text-v2:0".to_owned();
    let again = call(
        &worker,
        4,
        3_000,
        61_500,
        &[
            (semconv::USAGE_INPUT_TOKENS, Value::Int(12)),
            (semconv::USAGE_OUTPUT_TOKENS, Value::Int(2_048)),
            (semconv::RESPONSE_FINISH_REASONS, texts(&["length"])),
        ],
    );
    insta::assert_snapshot!(plain(&[streamed(&worker), throttled(&worker), embedded, again]), @r#"
    2026-11-21 (UTC)
    worker  python3.13, pid 4242
    ├─ 14:03:07.412  chat us.anthropic.claude-3-5-sonnet-20241022-v2:0  842 ms
    │    first chunk 210 ms · 1,012 tokens in (900 from cache) · 34 out · $0.001116 · tool_call get_weather
    ├─ 14:03:09.001  chat amazon.nova-lite-v1:0  31 ms
    │    failed: ThrottlingException, HTTP 429: Too many requests, please wait before trying again.
    │    request 8f0a1f2b-7d1e-4d0b-9a55-0f5f6a1b2c3d
    api  python3.13, pid 4300
    ├─ 14:03:09.412  embeddings amazon.titan-embed-text-v2:0  18 ms
    │    7 tokens in
    worker  python3.13, pid 4242
    ├─ 14:03:10.412  chat amazon.nova-lite-v1:0  1 min 1 s
    │    12 tokens in · 2,048 out · length
    "#);
}

#[test]
fn what_was_not_seen_is_marked() {
    let worker = process(4242, "worker");
    let span = call(
        &worker,
        1,
        0,
        5_000,
        &[
            (semconv::RESPONSE_FINISH_REASONS, texts(&["error"])),
            (semconv::INCOMPLETE, texts(&["response_hole", "no_stop_event"])),
        ],
    );
    insta::assert_snapshot!(plain(&[span]), @r#"
    2026-11-21 (UTC)
    worker  python3.13, pid 4242
    ├─ 14:03:07.412  chat amazon.nova-lite-v1:0  5.00 s
    │    incomplete: response hole, no stop event
    "#);
}

#[test]
fn a_call_within_a_trace_names_it_and_what_is_beneath_it_is_drawn_there() {
    let worker = process(4242, "worker");
    let trace_id = TraceId([0xab; 16]);
    let beneath = |span_id: SpanId| {
        Some(Parent {
            span_id,
            flags: 1,
            trace_state: String::new(),
        })
    };
    let agent = Span {
        trace_id,
        parent: beneath(SpanId([9; 8])),
        name: "invoke_agent helper".to_owned(),
        ..call(&worker, 1, 0, 900, &[])
    };
    let step = |number, name: &str, parent| Span {
        trace_id,
        parent: beneath(parent),
        name: name.to_owned(),
        kind: SpanKind::Internal,
        ..call(&worker, number, u64::from(number) * 100, 90, &[])
    };
    let spans = [
        agent,
        step(2, "chat amazon.nova-pro-v1:0", SpanId([1; 8])),
        step(3, "execute_tool search", SpanId([2; 8])),
        call(&worker, 4, 1_000, 5, &[]),
    ];
    insta::assert_snapshot!(plain(&spans), @r#"
    2026-11-21 (UTC)
    worker  python3.13, pid 4242, trace abababababababababababababababab
    ├─ 14:03:07.412  invoke_agent helper  900 ms
    │  ├─ 14:03:07.612  chat amazon.nova-pro-v1:0  90 ms
    │  │  ├─ 14:03:07.712  execute_tool search  90 ms
    worker  python3.13, pid 4242
    ├─ 14:03:08.412  chat amazon.nova-lite-v1:0  5 ms
    "#);
}

#[test]
fn the_steps_of_a_call_stand_beneath_it_under_one_line_about_the_process() {
    let worker = process(4242, "worker");
    let agent = call(&worker, 1, 0, 900, &[]);
    let step = Span {
        trace_id: agent.trace_id,
        parent: Some(Parent {
            span_id: agent.span_id,
            flags: 1,
            trace_state: String::new(),
        }),
        name: "retrieval KB1".to_owned(),
        kind: SpanKind::Internal,
        ..call(
            &worker,
            2,
            200,
            90,
            &[(semconv::RETRIEVAL_DOCUMENTS, Value::Int(5))],
        )
    };
    let spans = [agent, step, call(&worker, 3, 1_000, 5, &[])];
    insta::assert_snapshot!(plain(&spans), @r#"
    2026-11-21 (UTC)
    worker  python3.13, pid 4242
    ├─ 14:03:07.412  chat amazon.nova-lite-v1:0  900 ms
    │  ├─ 14:03:07.612  retrieval KB1  90 ms
    │  │    5 documents
    ├─ 14:03:08.412  chat amazon.nova-lite-v1:0  5 ms
    "#);
}

#[test]
fn content_is_shown_shortened_when_there_is_some() {
    let worker = process(4242, "worker");
    let mut input: Vec<serde_json::Value> = (1..=5)
        .map(|turn| serde_json::json!({"role": "user", "parts": [{"type": "text", "content": format!("turn {turn}")}]}))
        .collect();
    input.push(serde_json::json!({"role": "tool", "parts": [
        {"type": "tool_call_response", "id": "t1", "response": {"celsius": 21}}
    ]}));
    let output = serde_json::json!([{"role": "assistant", "parts": [
        {"type": "text", "content": "It is\n21 °C. ".repeat(20)},
        {"type": "tool_call", "id": "t2", "name": "save", "arguments": {"city": "Zürich"}},
    ]}]);
    let span = call(
        &worker,
        1,
        0,
        10,
        &[
            (
                semconv::SYSTEM_INSTRUCTIONS,
                text(r#"[{"type":"text","content":"Be brief."}]"#),
            ),
            (
                semconv::INPUT_MESSAGES,
                text(&serde_json::Value::Array(input).to_string()),
            ),
            (semconv::OUTPUT_MESSAGES, text(&output.to_string())),
        ],
    );
    insta::assert_snapshot!(plain(&[span]), @r#"
    2026-11-21 (UTC)
    worker  python3.13, pid 4242
    ├─ 14:03:07.412  chat amazon.nova-lite-v1:0  10 ms
    │    > system: Be brief.
    │    … 2 before
    │    > user: turn 3
    │    > user: turn 4
    │    > user: turn 5
    │    > tool: {"celsius":21}
    │    < assistant: It is 21 °C. It is 21 °C. It is 21 °C. It is 21 °C. It is 21 °C. It is 21 °C. It is 21 °C. It is 21…
    "#);
}

#[test]
fn content_that_is_no_json_shows_nothing_rather_than_failing() {
    let worker = process(4242, "worker");
    let odd = ["", "{", "null", "[1,{\"role\":3,\"parts\":7}]"];
    for json in odd {
        let span = call(&worker, 1, 0, 10, &[(semconv::INPUT_MESSAGES, text(json))]);
        assert!(plain(&[span]).contains("chat amazon.nova-lite-v1:0"));
    }
}

#[test]
fn colours_can_be_taken_away_without_changing_a_word() {
    let worker = process(4242, "worker");
    let spans = [streamed(&worker), throttled(&worker)];
    let painted = write(&mut Console::new(true), &spans);
    assert!(
        painted.contains("\u{1b}[31mfailed: ThrottlingException, HTTP 429"),
        "{painted}"
    );
    let mut stripped = String::new();
    let mut rest = painted.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        stripped.push_str(before);
        rest = after
            .split_once('m')
            .map(|(_, after)| after)
            .expect("a whole sequence");
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain(&spans));
}

#[test]
fn nothing_in_the_traffic_can_steer_the_terminal() {
    let worker = process(4242, "worker");
    let mut span = throttled(&worker);
    span.name = "chat \u{1b}]0;owned\u{7}".to_owned();
    span.status = SpanStatus::Error {
        description: "\u{1b}[2J\n├─ forged".to_owned(),
    };
    let written = plain(&[span]);
    assert!(
        !written.contains('\u{1b}') && !written.contains('\u{7}'),
        "{written:?}"
    );
    assert_eq!(written.lines().count(), 5, "{written}");
}

#[test]
fn a_call_made_more_than_once_says_what_that_cost() {
    let process = process(4242, "worker");
    let mut repeated = call(
        &process,
        1,
        0,
        9_300,
        &[
            (semconv::USAGE_OUTPUT_TOKENS, Value::Int(5)),
            (semconv::HTTP_RESEND_COUNT, Value::Int(2)),
            (semconv::ATTEMPTS_THROTTLED, Value::Int(2)),
            (semconv::ATTEMPTS_BACKOFF, Value::Double(6.1)),
        ],
    );
    repeated.name = "chat amazon.nova-lite-v1:0".to_owned();
    let written = plain(&[repeated]);
    assert!(
        written.contains("5 tokens out · 3 attempts, 2 throttled, 6.10 s between them"),
        "{written}"
    );
}

#[test]
fn an_inferred_loop_says_how_long_it_is() {
    let process = process(4242, "worker");
    let mut whole = call(
        &process,
        1,
        0,
        9_300,
        &[
            (semconv::LOOP_CALLS, Value::Int(3)),
            (semconv::LOOP_TOOLS, Value::Int(2)),
        ],
    );
    whole.name = "invoke_agent".to_owned();
    let written = plain(&[whole]);
    assert!(written.contains("a loop of 3 calls and 2 tools"), "{written}");
}
