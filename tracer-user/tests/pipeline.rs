//! However the bytes of a connection are cut into pieces, the same spans come out.

use std::borrow::Cow;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use proptest::prelude::*;
use tracer_user::counters::Counter;
use tracer_user::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, ProcessKey, Verdict};
use tracer_user::genai::Capture;
use tracer_user::genai::span::Span;
use tracer_user::http::Phase;
use tracer_user::pipeline::{Pipeline, Settings, Sink};

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

fn event(name: &str, payload: &str) -> Vec<u8> {
    let text = |text: &str| HeaderValue::String(text.to_owned().into());
    let message = Message::new(payload.to_owned().into_bytes())
        .add_header(Header::new(":event-type", text(name)))
        .add_header(Header::new(":message-type", text("event")));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("the message can be written");
    bytes
}

fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: bedrock-runtime.eu-west-1.amazonaws.com\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Two calls one after the other: what each side says, turn by turn.
fn turns() -> Vec<(Direction, Vec<u8>)> {
    let prompt = "What is the weather? \\\"Now\\\" ".repeat(120);
    let request = format!(
        r#"{{"messages": [{{"role": "user", "content": [{{"text": "{prompt}"}}]}}], "inferenceConfig": {{"maxTokens": 9}}}}"#
    );
    let frames = [
        event(
            "contentBlockDelta",
            r#"{"contentBlockIndex": 0, "delta": {"text": "Sunny."}}"#,
        ),
        event("messageStop", r#"{"stopReason": "end_turn"}"#),
        event("metadata", r#"{"usage": {"inputTokens": 40, "outputTokens": 2}}"#),
    ]
    .concat();
    let mut stream = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in frames.chunks(50) {
        stream.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        stream.extend_from_slice(chunk);
        stream.extend_from_slice(b"\r\n");
    }
    stream.extend_from_slice(b"0\r\n\r\n");
    let error = r#"{"message": "slow down"}"#;
    let refusal = format!(
        "HTTP/1.1 429 Too Many Requests\r\nx-amzn-ErrorType: ThrottlingException:\r\nContent-Length: {}\r\n\r\n{error}",
        error.len()
    );
    vec![
        (
            Direction::Write,
            post("/model/amazon.nova-lite-v1%3A0/converse-stream", &request),
        ),
        (Direction::Read, stream),
        (
            Direction::Write,
            post(
                "/model/anthropic.claude-v2/invoke",
                r#"{"prompt": "hi", "max_tokens_to_sample": 3}"#,
            ),
        ),
        (Direction::Read, refusal.into_bytes()),
    ]
}

fn data(direction: Direction, stream_offset: u64, time: Monotonic, bytes: &[u8]) -> ProbeEvent<'_> {
    ProbeEvent::Data(Data {
        connection: CONNECTION,
        direction,
        thread: 1,
        time,
        stream_offset,
        call_length: bytes.len() as u64,
        call_offset: 0,
        joined_late: false,
        unpaired: false,
        bytes: Cow::Borrowed(bytes),
    })
}

/// Spans of the turns, each cut into pieces of the sizes, over and over.
fn traced(sizes: &[usize], content: bool) -> (Vec<Span>, u64) {
    let mut found = Found::default();
    let mut pipeline = Pipeline::new(Settings {
        content: if content { Capture::Span } else { Capture::Nothing },
        ..Settings::default()
    });
    let mut offsets = [0_u64; 2];
    let mut sizes = sizes.iter().copied().cycle();
    pipeline.push(
        &ProbeEvent::Host(Host {
            boot_id: "boot".into(),
            name: "host".into(),
            wall_offset_ns: 0,
        }),
        &mut found,
    );
    for (turn, (direction, bytes)) in turns().into_iter().enumerate() {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
            rest = after;
            let offset = &mut offsets[usize::from(direction == Direction::Read)];
            let time = Monotonic(1_000 * (turn as u64 + 1));
            pipeline.push(&data(direction, *offset, time, piece), &mut found);
            *offset += piece.len() as u64;
        }
    }
    pipeline.finish(&mut found);
    assert_eq!(pipeline.counters().get(Counter::Spans), found.0.len() as u64);
    (found.0, pipeline.counters().get(Counter::BodiesUnreadable))
}

#[test]
fn one_byte_at_a_time_is_as_good_as_all_at_once() {
    for content in [false, true] {
        let (whole, unreadable) = traced(&[usize::MAX], content);
        assert_eq!((whole.len(), unreadable), (2, 0));
        assert_eq!(traced(&[1], content).0, whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_spans(sizes in proptest::collection::vec(1_usize..2_000, 1..12), content in any::<bool>()) {
        prop_assert_eq!(traced(&sizes, content).0, traced(&[usize::MAX], content).0);
    }
}

#[test]
fn a_stream_is_seen_while_it_is_under_way_and_not_after() {
    let mut found = Found::default();
    let mut pipeline = Pipeline::new(Settings::default());
    let turns = turns();
    let [(_, request), (_, answer), ..] = turns.as_slice() else {
        panic!("a request and its answer");
    };
    assert_eq!(pipeline.under_way().count(), 0);
    pipeline.push(&data(Direction::Write, 0, Monotonic(1), request), &mut found);
    let mut told = Vec::new();
    for (place, byte) in answer.chunks(1).enumerate() {
        let time = Monotonic(2 + place as u64);
        pipeline.push(&data(Direction::Read, place as u64, time, byte), &mut found);
        for (process, call) in pipeline.under_way() {
            assert_eq!(process.key, CONNECTION.process);
            assert_eq!(
                call.route.resource.model.as_deref(),
                Some("amazon.nova-lite-v1:0")
            );
            assert_eq!(
                (call.begun, call.streaming, call.first_chunk.is_some()),
                (Monotonic(1), true, call.chunks > 0)
            );
            told.push((call.phase, call.chunks));
        }
    }
    told.dedup();
    // The events that end an answer say nothing.
    assert_eq!(
        told,
        [(Phase::Waiting, 0), (Phase::Response, 0), (Phase::Response, 1)]
    );
    assert_eq!(found.0.len(), 1);
    assert_eq!(pipeline.under_way().count(), 0, "it has ended");
}
