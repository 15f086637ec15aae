//! A busy afternoon, as the tests of the screen see it.

mod bounds;
mod rules;
mod screens;

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;

use super::{Flow, Model, Source, draw};
use crate::bedrock::UnderWay;
use crate::bedrock::operation::{Operation, Service};
use crate::bedrock::route::{Resource, Route};
use crate::event::{ConnectionKey, Host, Monotonic, Process, ProcessKey};
use crate::genai::semconv;
use crate::genai::span::{Attribute, Parent, Span, SpanId, SpanKind, SpanStatus, TraceId, Value};
use crate::http::{ExchangeNumber, Phase};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;

/// A Saturday, 14:03:07 UTC, when the machine had been up for an hour.
const NOW: Monotonic = Monotonic(3_600 * SECOND);
const NOW_UNIX_NS: u64 = 1_795_269_787 * SECOND;

const SONNET: &str = "us.anthropic.claude-3-7-sonnet-20250219-v1:0";
const NOVA: &str = "amazon.nova-lite-v1:0";
const TITAN: &str = "amazon.titan-embed-text-v2:0";

fn process(pid: u32, name: &str) -> Arc<Process> {
    Arc::new(Process {
        key: ProcessKey { pid, start_ns: 1 },
        parent_pid: 1,
        executable: "/usr/bin/python3.13".to_owned(),
        command_line: vec!["python3".to_owned(), format!("/srv/{name}.py")],
        environment: Vec::new(),
        cgroup: String::new(),
        pod: None,
        withheld: crate::event::pod::Wishes::default(),
    })
}

fn worker() -> Arc<Process> {
    process(4242, "worker")
}

fn api() -> Arc<Process> {
    process(4300, "checkout-api")
}

/// A call that began so many seconds ago.
fn call(process: &Arc<Process>, number: u8, model: &str, ago: u64, took_ms: u64) -> Span {
    let start_unix_ns = NOW_UNIX_NS - ago * SECOND;
    let span = Span {
        process: Arc::clone(process),
        trace_id: TraceId([number; 16]),
        span_id: SpanId([number; 8]),
        parent: None,
        name: format!("chat {model}"),
        kind: SpanKind::Client,
        start_unix_ns,
        end_unix_ns: start_unix_ns + took_ms * MILLISECOND,
        status: SpanStatus::Unset,
        attributes: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
    };
    let operation = if model == TITAN { "embeddings" } else { "chat" };
    let span = with(span, semconv::OPERATION_NAME, text(operation));
    with(span, semconv::REQUEST_MODEL, text(model))
}

fn with(mut span: Span, key: &'static str, value: Value) -> Span {
    span.attributes.push(Attribute { key, value });
    span
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned().into())
}

fn tokens(span: Span, input: i64, output: i64) -> Span {
    let span = with(span, semconv::USAGE_INPUT_TOKENS, Value::Int(input));
    with(span, semconv::USAGE_OUTPUT_TOKENS, Value::Int(output))
}

fn stopped(span: Span, reason: &str) -> Span {
    with(
        span,
        semconv::RESPONSE_FINISH_REASONS,
        Value::Strings(vec![reason.to_owned()]),
    )
}

fn failed(span: Span, code: &str, status: i64, description: &str) -> Span {
    let span = with(span, semconv::ERROR_TYPE, text(code));
    Span {
        status: SpanStatus::Error {
            description: description.to_owned(),
        },
        ..with(span, semconv::HTTP_STATUS, Value::Int(status))
    }
}

/// What ended this afternoon.
fn afternoon() -> Vec<Span> {
    let (worker, api) = (worker(), api());
    let streamed = tokens(call(&worker, 1, SONNET, 20, 4_200), 2_080, 312);
    let streamed = with(
        streamed,
        semconv::RESPONSE_TIME_TO_FIRST_CHUNK,
        Value::Double(0.431),
    );
    let streamed = with(streamed, semconv::COST_USD, Value::Double(0.010_92));
    let streamed = with(streamed, semconv::CONVERSATION_ID, text("sess-7f3a"));
    let answered = stopped(tokens(call(&api, 2, NOVA, 12, 842), 1_012, 34), "tool_call");
    let answered = with(answered, semconv::COST_USD, Value::Double(0.000_068_9));
    let seen_in_part = with(
        call(&worker, 3, NOVA, 9, 5_000),
        semconv::INCOMPLETE,
        Value::Strings(vec!["response_hole".to_owned(), "no_stop_event".to_owned()]),
    );
    vec![
        stopped(streamed, "stop"),
        answered,
        seen_in_part,
        failed(
            call(&api, 4, SONNET, 8, 31),
            "ThrottlingException",
            429,
            "Too many requests, please wait before trying again.",
        ),
        failed(
            call(&api, 5, NOVA, 6, 18),
            "ValidationException",
            400,
            "The provided model identifier is invalid.",
        ),
        tokens(call(&worker, 6, TITAN, 5, 65), 12_345, 0),
    ]
}

/// An agent's call, and what happened within it.
fn agent() -> Vec<Span> {
    let beneath = |number: u8, parent: u8, name: &str| Span {
        kind: SpanKind::Internal,
        name: name.to_owned(),
        trace_id: TraceId([9; 16]),
        parent: Some(Parent {
            span_id: SpanId([parent; 8]),
            flags: 1,
            trace_state: String::new(),
        }),
        ..call(&worker(), number, NOVA, 3, 400)
    };
    let mut asked = call(&worker(), 9, NOVA, 4, 2_900);
    asked.name = "invoke_agent AGENT12345".to_owned();
    asked.attributes = vec![
        Attribute {
            key: semconv::OPERATION_NAME,
            value: text("invoke_agent"),
        },
        Attribute {
            key: semconv::AGENT_ID,
            value: text("AGENT12345"),
        },
    ];
    vec![
        beneath(10, 9, "chat amazon.nova-lite-v1:0"),
        failed(
            beneath(11, 9, "execute_tool get_weather"),
            "DependencyFailedException",
            424,
            "The Lambda function timed out.",
        ),
        beneath(12, 11, "GET https://weather.example"),
        asked,
    ]
}

fn route(model: &str) -> Route {
    Route {
        operation: Operation::ConverseStream,
        service: Service::Runtime,
        region: Some("us-east-1".to_owned()),
        server: None,
        resource: Resource {
            model: Some(model.to_owned()),
            ..Resource::default()
        },
    }
}

/// A call that began so many milliseconds ago.
fn under_way<'a>(process: &Process, number: u64, route: &'a Route, ago_ms: u64, chunks: u64) -> UnderWay<'a> {
    let begun = Monotonic(NOW.0 - ago_ms * MILLISECOND);
    // The address and the number differ from call to call.
    let connection = ConnectionKey {
        process: process.key,
        address: number,
        generation: 0,
    };
    UnderWay {
        connection,
        exchange: ExchangeNumber(number),
        route,
        session: None,
        streaming: true,
        begun,
        phase: if chunks > 0 {
            Phase::Response
        } else {
            Phase::Waiting
        },
        first_chunk: (chunks > 0).then(|| Monotonic(begun.0 + 500 * MILLISECOND)),
        chunks,
    }
}

fn live() -> Model {
    let mut model = Model::new(Source::Live {
        target: "every process".to_owned(),
    });
    model.host(&Host {
        boot_id: "boot".to_owned(),
        name: "node-3".to_owned(),
        wall_offset_ns: i64::try_from(NOW_UNIX_NS - NOW.0).expect("within an i64"),
    });
    model.look(NOW, std::iter::empty());
    model
}

fn busy() -> Model {
    let mut model = live();
    for span in afternoon().into_iter().chain(agent()) {
        model.span(span);
    }
    let (worker, api) = (worker(), api());
    let (sonnet, nova) = (route(SONNET), route(NOVA));
    let calls = [
        (Arc::clone(&worker), under_way(&worker, 1, &sonnet, 2_500, 84)),
        (Arc::clone(&api), under_way(&api, 2, &nova, 300, 0)),
    ];
    model.look(NOW, calls.into_iter());
    model
}

/// The screen as text.
fn screen(model: &mut Model, width: u16, height: u16) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    model.resize(height);
    draw(model, area, &mut buffer);
    let mut screen = String::new();
    for y in 0..height {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        screen.push_str(line.trim_end());
        screen.push('\n');
    }
    screen
}

fn press(model: &mut Model, keys: &str) {
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            '↓' => KeyCode::Down,
            '↑' => KeyCode::Up,
            key => KeyCode::Char(key),
        };
        assert_eq!(model.key(KeyEvent::new(code, KeyModifiers::NONE)), Flow::Stay);
    }
}
