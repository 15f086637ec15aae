//! What each operation and each family of models is told as: one small exchange a file in `goldens/`, its spans beside it in
//! `snapshots/`.
//!
//! A file is a request and its answer as they would be written down: the lines of the heads, an empty line, the body. The
//! answer begins with `--- STATUS`. A line `event NAME {…}` in an answer is a frame of an event-stream, and `chunk {…}` one
//! that carries a piece of a model's own answer; `exception NAME {…}` ends a stream.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tracer_user::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, ProcessKey, Verdict};
use tracer_user::genai::Capture;
use tracer_user::genai::span::{Attribute, Span, SpanStatus, Value};
use tracer_user::pipeline::{Pipeline, Settings, Sink};
use tracer_user::scrub::Scrubber;

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

/// Bytes as they pass, in pieces that each come at a time of its own.
struct Exchange {
    request: Vec<u8>,
    answer: Vec<Vec<u8>>,
}

impl Exchange {
    fn read(text: &str) -> Self {
        let (request, answer) = text.split_once("\n--- ").expect("an answer");
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let (first, fields) = head.split_once('\n').expect("a request line and its fields");
        let request = message(&format!("{first} HTTP/1.1"), fields, body.trim().as_bytes());
        let (head, body) = answer.split_once("\n\n").unwrap_or((answer, ""));
        let (status, fields) = head.split_once('\n').unwrap_or((head, ""));
        let status = format!("HTTP/1.1 {} X", status.trim());
        if !body.lines().any(|line| frame(line).is_some()) {
            return Self {
                request,
                answer: vec![message(&status, fields, body.trim().as_bytes())],
            };
        }
        let fields =
            format!("{fields}\nContent-Type: application/vnd.amazon.eventstream\nTransfer-Encoding: chunked");
        let head = format!("{status}\r\n{}\r\n\r\n", fields.trim().replace('\n', "\r\n"));
        let chunks = body.lines().filter_map(frame).map(|frame| {
            let size = format!("{:x}\r\n", frame.len());
            [size.as_bytes(), &frame, b"\r\n"].concat()
        });
        let answer = std::iter::once(head.into_bytes()).chain(chunks);
        Self {
            request,
            answer: answer.chain([b"0\r\n\r\n".to_vec()]).collect(),
        }
    }

    /// Its spans.
    fn spans(&self) -> Vec<Span> {
        let mut found = Found::default();
        let mut scrubber = Scrubber::new();
        let mut pipeline = Pipeline::new(Settings {
            content: Capture::Span,
            ..Settings::default()
        });
        let mut push = |event: ProbeEvent<'_>| pipeline.push(&scrubber.scrub(event), &mut found);
        push(ProbeEvent::Host(Host {
            boot_id: "boot".into(),
            name: "host".into(),
            wall_offset_ns: 0,
        }));
        push(data(Direction::Write, 0, 1, &self.request));
        let mut offset = 0;
        for (place, piece) in self.answer.iter().enumerate() {
            push(data(Direction::Read, offset, 2 + place as u64, piece));
            offset += piece.len() as u64;
        }
        pipeline.finish(&mut found);
        found.0
    }
}

fn data(direction: Direction, stream_offset: u64, milliseconds: u64, bytes: &[u8]) -> ProbeEvent<'_> {
    ProbeEvent::Data(Data {
        connection: CONNECTION,
        direction,
        thread: 1,
        time: Monotonic(milliseconds * 1_000_000),
        stream_offset,
        call_length: bytes.len() as u64,
        call_offset: 0,
        joined_late: false,
        unpaired: false,
        bytes: Cow::Borrowed(bytes),
    })
}

fn message(first: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let fields = format!("{fields}\nContent-Length: {}", body.len());
    let head = format!("{first}\r\n{}\r\n\r\n", fields.trim().replace('\n', "\r\n"));
    [head.as_bytes(), body].concat()
}

/// A frame of an event-stream, if the line is one.
fn frame(line: &str) -> Option<Vec<u8>> {
    let (kind, rest) = line.split_once(' ')?;
    let (name_field, name, payload) = match kind {
        "event" | "exception" => {
            let (name, payload) = rest.split_once(' ')?;
            (format!(":{kind}-type"), name, payload.to_owned())
        }
        "chunk" => {
            let bytes = BASE64_STANDARD.encode(rest);
            (
                ":event-type".to_owned(),
                "chunk",
                format!(r#"{{"bytes": "{bytes}"}}"#),
            )
        }
        _ => return None,
    };
    let text = |text: &str| HeaderValue::String(text.to_owned().into());
    let kind = if kind == "exception" { kind } else { "event" };
    let message = Message::new(payload.into_bytes())
        .add_header(Header::new(name_field, text(name)))
        .add_header(Header::new(":message-type", text(kind)));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("the message can be written");
    Some(bytes)
}

/// Spans as people read them: attributes by name, those that are the same for every call left out.
fn listed(spans: &[Span]) -> String {
    const ALWAYS: [&str; 4] = ["gen_ai.provider.name", "rpc.system", "server.port", "thread.id"];
    let mut text = String::new();
    for span in spans {
        let beneath = spans
            .iter()
            .any(|other| Some(other.span_id) == span.parent.as_ref().map(|parent| parent.span_id));
        let indent = if beneath { "  " } else { "" };
        let milliseconds = (span.end_unix_ns - span.start_unix_ns) / 1_000_000;
        writeln!(text, "{indent}{} ({:?}, {milliseconds} ms)", span.name, span.kind).expect("a string");
        if let SpanStatus::Error { description } = &span.status {
            writeln!(text, "{indent}  ! {description}").expect("a string");
        }
        let mut attributes: Vec<&Attribute> = span.attributes.iter().collect();
        attributes.sort_by_key(|attribute| attribute.key);
        for Attribute { key, value } in attributes {
            if !ALWAYS.contains(key) {
                writeln!(text, "{indent}  {key}: {}", shown(value)).expect("a string");
            }
        }
        for event in &span.events {
            writeln!(text, "{indent}  * {}", event.name).expect("a string");
            for Attribute { key, value } in &event.attributes {
                writeln!(text, "{indent}    {key}: {}", shown(value)).expect("a string");
            }
        }
    }
    text
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone().into_owned(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => format!("{number:?}"),
        Value::Bool(truth) => truth.to_string(),
        Value::Strings(texts) => format!("{texts:?}"),
    }
}

#[test]
fn each_operation_and_family_is_told_as_it_was() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is part of the repository")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there are no exchanges");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a text");
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a name");
        let spans = Exchange::read(&text).spans();
        insta::assert_snapshot!(name, listed(&spans), &text);
    }
}
