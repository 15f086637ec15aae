//! What really comes out of the pipeline stands on the page, by every convention and with content wherever it may go.

use std::borrow::Cow;
use std::collections::BTreeSet;

use tracer_user::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, ProcessKey, Verdict};
use tracer_user::genai::span::Span;
use tracer_user::genai::{Capture, Convention, semconv};
use tracer_user::pipeline::{Pipeline, Settings, Sink};

use crate::page::Page;

const CONNECTION: ConnectionKey = ConnectionKey {
    process: ProcessKey { pid: 1, start_ns: 1 },
    address: 1,
    generation: 0,
};

#[derive(Default)]
struct Found(Vec<Span>);

impl Sink for Found {
    fn span(&mut self, span: Span) {
        self.0.push(span);
    }

    fn verdict(&mut self, _connection: ConnectionKey, _verdict: Verdict) {}
}

/// Requests and their answers: what makes many attributes, and a failure.
const EXCHANGES: [(&str, &str, &str, &str); 3] = [
    (
        "/model/amazon.nova-lite-v1%3A0/converse",
        r#"{"system": [{"text": "Be brief."}], "messages": [{"role": "user", "content": [{"text": "Weather?"}]}],
            "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 1, "stopSequences": ["END"]},
            "additionalModelRequestFields": {"top_k": 5},
            "guardrailConfig": {"guardrailIdentifier": "gr-1", "guardrailVersion": "1"},
            "toolConfig": {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {}}}}]}}"#,
        "200 OK",
        r#"{"output": {"message": {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "weather", "input": {}}}]}},
            "stopReason": "tool_use", "metrics": {"latencyMs": 5},
            "usage": {"inputTokens": 4, "outputTokens": 2, "cacheReadInputTokens": 1, "cacheWriteInputTokens": 3}}"#,
    ),
    (
        "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke",
        r#"{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "top_k": 4}"#,
        "200 OK",
        r#"{"id": "msg_1", "model": "claude-3-haiku", "content": [{"type": "text", "text": "Hi"}],
            "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}"#,
    ),
    (
        "/model/anthropic.claude-v2/invoke",
        r#"{"prompt": "hi", "max_tokens_to_sample": 3}"#,
        "429 Too Many Requests",
        r#"{"message": "slow down"}"#,
    ),
];

fn traced(convention: Convention, content: Capture) -> Vec<Span> {
    let mut found = Found::default();
    let mut pipeline = Pipeline::new(Settings {
        convention,
        content,
        ..Settings::default()
    });
    pipeline.push(
        &ProbeEvent::Host(Host {
            boot_id: "boot".into(),
            name: "host".into(),
            wall_offset_ns: 0,
        }),
        &mut found,
    );
    let (mut read, mut written) = (0, 0);
    for (turn, (path, asked, status, answered)) in EXCHANGES.into_iter().enumerate() {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: bedrock-runtime.eu-west-1.amazonaws.com\r\nContent-Length: {}\r\n\r\n{asked}",
            asked.len()
        );
        let response = format!(
            "HTTP/1.1 {status}\r\nx-amzn-RequestId: r-1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answered}",
            answered.len()
        );
        for (direction, text, offset) in [
            (Direction::Write, request, &mut written),
            (Direction::Read, response, &mut read),
        ] {
            pipeline.push(
                &ProbeEvent::Data(Data {
                    connection: CONNECTION,
                    direction,
                    thread: 1,
                    time: Monotonic(1_000 * (turn as u64 + 1)),
                    stream_offset: *offset,
                    call_length: text.len() as u64,
                    call_offset: 0,
                    joined_late: false,
                    unpaired: false,
                    bytes: Cow::Borrowed(text.as_bytes()),
                }),
                &mut found,
            );
            *offset += text.len() as u64;
        }
    }
    pipeline.finish(&mut found);
    found.0
}

#[test]
fn what_comes_out_is_told() {
    let page = Page::read();
    let mut seen = BTreeSet::new();
    for convention in [Convention::V1_41, Convention::Latest, Convention::Both] {
        for content in [Capture::Nothing, Capture::SpanAndEvent] {
            let spans = traced(convention, content);
            assert_eq!(spans.len(), EXCHANGES.len());
            let untold: Vec<String> = spans.iter().flat_map(|span| page.untold(span)).collect();
            assert!(untold.is_empty(), "{convention:?}, {content:?}: {untold:?}");
            let names = spans.iter().flat_map(|span| {
                let events = span.events.iter().map(|event| event.name);
                span.attributes
                    .iter()
                    .map(|attribute| attribute.key)
                    .chain(events)
            });
            seen.extend(names.map(str::to_owned));
        }
    }
    // Else there would be nothing to find fault with.
    for name in [
        semconv::USAGE_CACHE_CREATION,
        semconv::USAGE_CACHE_WRITE,
        semconv::INPUT_MESSAGES,
        semconv::ERROR_TYPE,
        semconv::DETAILS_EVENT,
    ] {
        assert!(seen.contains(name), "{name} did not come out");
    }
}

#[test]
fn content_goes_where_it_was_asked_for_and_nowhere_else() {
    for (capture, on_spans, on_events) in [
        (Capture::Nothing, false, false),
        (Capture::Span, true, false),
        (Capture::Event, false, true),
        (Capture::SpanAndEvent, true, true),
    ] {
        let spans = traced(Convention::V1_41, capture);
        let [span, ..] = &spans[..] else {
            panic!("there are spans");
        };
        let has = |attributes: &[tracer_user::genai::span::Attribute]| {
            format!("{attributes:?}").contains("Weather?")
        };
        assert_eq!(has(&span.attributes), on_spans, "{capture:?}");
        let events: Vec<_> = span
            .events
            .iter()
            .filter(|event| event.name == semconv::DETAILS_EVENT)
            .collect();
        assert_eq!(events.len(), usize::from(on_events), "{capture:?}");
        assert_eq!(events.iter().any(|event| has(&event.attributes)), on_events);
    }
}
