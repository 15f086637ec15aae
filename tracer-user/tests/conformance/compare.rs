//! Recorded Bedrock exchanges, sent through the whole pipeline, say what the recordings are known to say.
//!
//! `GEOPHONE_RECORDED` names a file of JSON lines: `{"id", "request": {method, host, path, headers, body_b64}, "response":
//! {status, headers, body_b64}, "expected": {…}}`. Without it there is nothing to compare, and the test says so.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use tracer_user::bedrock::family::{Family, Task};
use tracer_user::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, ProcessKey, Verdict};
use tracer_user::genai::Capture;
use tracer_user::genai::semconv;
use tracer_user::genai::span::{Span, SpanStatus, Value};
use tracer_user::pipeline::{Pipeline, Settings, Sink};

/// Operations whose bodies are read.
const READ: [&str; 4] = [
    "Converse",
    "ConverseStream",
    "InvokeModel",
    "InvokeModelWithResponseStream",
];

const CONNECTION: ConnectionKey = ConnectionKey {
    process: ProcessKey {
        pid: 4711,
        start_ns: 1,
    },
    address: 0x1000,
    generation: 0,
};

#[derive(Default)]
struct Found {
    spans: Vec<Span>,
    verdicts: Vec<Verdict>,
}

impl Sink for Found {
    fn span(&mut self, span: Span) {
        self.spans.push(span);
    }

    fn verdict(&mut self, _connection: ConnectionKey, verdict: Verdict) {
        self.verdicts.push(verdict);
    }
}

#[test]
fn recorded_exchanges_say_what_they_are_known_to_say() {
    let Some(path) = std::env::var_os("GEOPHONE_RECORDED") else {
        eprintln!(
            "NOT RUN: no recordings to compare with; set GEOPHONE_RECORDED to a file of recorded exchanges (JSON lines)"
        );
        return;
    };
    let text = std::fs::read_to_string(&path).expect("the file of GEOPHONE_RECORDED can be read");
    let mut compared = BTreeMap::<String, usize>::new();
    let mut not_covered = Vec::new();
    let mut wrong = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let row: Json = serde_json::from_str(line).expect("each line is JSON");
        let id = string(&row, "/id");
        let api = string(&row, "/expected/api");
        let spans = trace(&row);
        if !READ.contains(&api.as_str()) {
            not_covered.push(format!("{id}: {api}, {} span(s)", spans.len()));
            continue;
        }
        if let Some(model) = row.pointer("/expected/model_id").and_then(Json::as_str)
            && api.starts_with("Invoke")
            && Family::of_model(model) == Some(Family::Other)
            && Task::of_model(model).is_none()
        {
            not_covered.push(format!(
                "{id}: content of {model} (what headers, metrics and common members say is compared)"
            ));
        }
        let differences = match spans.as_slice() {
            [span] => compare(&row["expected"], span),
            spans => vec![format!("{} spans instead of one", spans.len())],
        };
        if differences.is_empty() {
            *compared.entry(api).or_default() += 1;
        }
        for difference in differences {
            writeln!(wrong, "{id}: {difference}").expect("a string takes everything");
        }
    }
    for row in &not_covered {
        eprintln!("not yet covered: {row}");
    }
    eprintln!("agree: {compared:?}");
    assert!(wrong.is_empty(), "recordings and spans differ:\n{wrong}");
    assert!(
        !compared.is_empty(),
        "the file holds no exchange that can be compared"
    );
}

/// What the span gets wrong.
fn compare(expected: &Json, span: &Span) -> Vec<String> {
    let mut differences = Vec::new();
    let mut same = |what: &str, expected: Json, found: Json| {
        if expected != found {
            differences.push(format!("{what}: expected {expected}, found {found}"));
        }
    };
    let get = |name: &str| attribute(span, name);
    let known = |name: &str| expected.get(name).cloned().unwrap_or(Json::Null);
    let wire = |name: &str| {
        expected
            .pointer(&format!("/usage_wire/{name}"))
            .cloned()
            .unwrap_or(Json::Null)
    };

    same("model", known("model_id"), get(semconv::REQUEST_MODEL));
    same("operation", known("api"), get(semconv::RPC_METHOD));
    same("status", known("status"), get(semconv::HTTP_STATUS));
    same(
        "stream",
        known("stream"),
        Json::Bool(get(semconv::REQUEST_STREAM) == Json::Bool(true)),
    );
    same(
        "input tokens",
        known("input_tokens_incl_cache"),
        get(semconv::USAGE_INPUT_TOKENS),
    );
    same("output tokens", wire("output"), get(semconv::USAGE_OUTPUT_TOKENS));
    // Headers and metrics may tell of cache tokens where the body, from which the expectation comes, does not.
    for (name, attribute) in [
        ("cache_read", semconv::USAGE_CACHE_READ),
        ("cache_write", semconv::USAGE_CACHE_CREATION),
    ] {
        let found = get(attribute);
        if !(wire(name).is_null() && found == json!(0)) {
            same(name, wire(name), found);
        }
    }
    if let Some(reason) = expected.get("finish_reason_otel") {
        let choices = expected.get("n_choices").and_then(Json::as_u64).unwrap_or(1);
        let found = get(semconv::RESPONSE_FINISH_REASONS);
        // A stream of several choices ends them all with one reason.
        let found_choices = found.as_array().map_or(0, Vec::len) as u64;
        let choices = if known("stream") == Json::Bool(true) {
            found_choices
        } else {
            choices
        };
        same(
            "finish reasons",
            json!(vec![reason; usize::try_from(choices).unwrap_or(1)]),
            found,
        );
    }
    // The expectations leave out ids of some families, whose bodies do have one.
    if let Some(id) = expected.get("response_id") {
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        same("response id", Json::String(id), get(semconv::RESPONSE_ID));
    }
    same(
        "response model",
        known("response_model"),
        get(semconv::RESPONSE_MODEL),
    );
    same("error", known("error_code"), get(semconv::ERROR_TYPE));
    let description = match &span.status {
        SpanStatus::Unset => Json::Null,
        SpanStatus::Error { description } => Json::String(description.clone()),
    };
    same("error message", known("error_message"), description);
    for (name, attribute) in [
        ("max_tokens", semconv::REQUEST_MAX_TOKENS),
        ("temperature", semconv::REQUEST_TEMPERATURE),
        ("top_p", semconv::REQUEST_TOP_P),
        ("top_k", semconv::REQUEST_TOP_K),
    ] {
        if let Some(value) = expected.pointer(&format!("/request/{name}")) {
            let found = get(attribute);
            if value.as_f64() != found.as_f64() {
                same(name, value.clone(), found);
            }
        }
    }
    if let Some(stop) = expected
        .pointer("/request/stop")
        .filter(|stop| **stop != json!([]))
    {
        same(
            "stop sequences",
            stop.clone(),
            get(semconv::REQUEST_STOP_SEQUENCES),
        );
    }
    let calls = expected
        .get("tool_calls")
        .and_then(Json::as_array)
        .cloned()
        .unwrap_or_default();
    let of_calls = |name: &str| match calls.as_slice() {
        [] => Json::Null,
        calls => calls.iter().map(|call| call[name].clone()).collect(),
    };
    same("tool names", of_calls("name"), get(semconv::TOOL_CALL_NAMES));
    same("tool ids", of_calls("id"), get(semconv::TOOL_CALL_IDS));
    let arguments: Vec<Json> = calls
        .iter()
        .filter_map(|call| call.get("args").cloned())
        .collect();
    same(
        "tool arguments",
        Json::Array(arguments),
        Json::Array(tool_arguments(span)),
    );
    same("gaps", Json::Null, get(semconv::INCOMPLETE));
    differences
}

/// Arguments of the tool calls in the answer, as the content attribute has them.
fn tool_arguments(span: &Span) -> Vec<Json> {
    let Json::String(messages) = attribute(span, semconv::OUTPUT_MESSAGES) else {
        return Vec::new();
    };
    let messages: Json = serde_json::from_str(&messages).expect("messages are JSON");
    messages
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|message| message["parts"].as_array().cloned().unwrap_or_default())
        .filter(|part| part["type"] == "tool_call")
        .map(|part| part["arguments"].clone())
        .collect()
}

/// The spans of one recorded exchange, its bytes rebuilt as HTTP/1.1 and cut into pieces like TLS records.
fn trace(row: &Json) -> Vec<Span> {
    let mut found = Found::default();
    let mut pipeline = Pipeline::new(Settings {
        content: Capture::Span,
        ..Settings::default()
    });
    let mut push = |event: ProbeEvent<'_>| pipeline.push(&event, &mut found);
    push(ProbeEvent::Host(Host {
        boot_id: "6c5f4bd0-0000-4000-8000-000000000000".into(),
        name: "host".into(),
        wall_offset_ns: 1_700_000_000_000_000_000,
    }));
    push(ProbeEvent::Open {
        connection: CONNECTION,
        time: Monotonic(1),
    });
    let mut time = 1_000;
    for (direction, bytes) in [(Direction::Write, request(row)), (Direction::Read, response(row))] {
        let mut offset = 0;
        for piece in bytes.chunks(1_400) {
            time += 1_000_000;
            push(ProbeEvent::Data(Data {
                connection: CONNECTION,
                direction,
                thread: 1,
                time: Monotonic(time),
                stream_offset: offset,
                call_length: piece.len() as u64,
                call_offset: 0,
                joined_late: false,
                unpaired: false,
                bytes: Cow::Borrowed(piece),
            }));
            offset += piece.len() as u64;
        }
    }
    push(ProbeEvent::Close {
        connection: CONNECTION,
        time: Monotonic(time + 1),
    });
    pipeline.finish(&mut found);
    found.spans
}

fn request(row: &Json) -> Vec<u8> {
    let body = body(row, "/request/body_b64");
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\n",
        string(row, "/request/method"),
        string(row, "/request/path"),
        string(row, "/request/host"),
    );
    headers(&mut head, row, "/request/headers");
    write!(head, "Content-Length: {}\r\n\r\n", body.len()).expect("a string takes everything");
    [head.into_bytes(), body].concat()
}

fn response(row: &Json) -> Vec<u8> {
    let body = body(row, "/response/body_b64");
    let status = row
        .pointer("/response/status")
        .and_then(Json::as_u64)
        .expect("a status");
    let mut head = format!("HTTP/1.1 {status} Recorded\r\n");
    headers(&mut head, row, "/response/headers");
    if row.pointer("/expected/stream") != Some(&Json::Bool(true)) {
        write!(head, "Content-Length: {}\r\n\r\n", body.len()).expect("a string takes everything");
        return [head.into_bytes(), body].concat();
    }
    head.push_str("Transfer-Encoding: chunked\r\n\r\n");
    let mut bytes = head.into_bytes();
    // Of a length that shares no boundary with frames or pieces.
    for chunk in body.chunks(997) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// The recorded fields but those that the rebuilt body makes anew.
fn headers(head: &mut String, row: &Json, path: &str) {
    let fields = row
        .pointer(path)
        .and_then(Json::as_array)
        .cloned()
        .unwrap_or_default();
    for field in fields {
        let (Some(name), Some(value)) = (field[0].as_str(), field[1].as_str()) else {
            continue;
        };
        let framing = ["content-length", "transfer-encoding", "content-encoding", "host"];
        if !framing.iter().any(|one| one.eq_ignore_ascii_case(name)) {
            write!(head, "{name}: {value}\r\n").expect("a string takes everything");
        }
    }
}

fn body(row: &Json, path: &str) -> Vec<u8> {
    let text = row.pointer(path).and_then(Json::as_str).unwrap_or_default();
    STANDARD.decode(text).expect("bodies are base64")
}

fn string(row: &Json, path: &str) -> String {
    row.pointer(path)
        .and_then(Json::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn attribute(span: &Span, name: &str) -> Json {
    span.attributes
        .iter()
        .find(|attribute| attribute.key == name)
        .map_or(Json::Null, |attribute| match &attribute.value {
            Value::String(text) => json!(text),
            Value::Int(number) => json!(number),
            Value::Double(number) => json!(number),
            Value::Bool(truth) => json!(truth),
            Value::Strings(texts) => json!(texts),
        })
}
