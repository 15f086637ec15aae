//! What belongs together comes out together: sessions, attempts and tool loops, from bytes to spans, however they are cut and
//! whatever else passes at the same time.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use tracer_user::counters::Counter;
use tracer_user::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, ProcessKey, Verdict};
use tracer_user::genai::semconv;
use tracer_user::genai::span::{Span, SpanStatus, Value};
use tracer_user::pipeline::{Pipeline, Settings, Sink};

const SECOND: u64 = 1_000_000_000;

#[derive(Default)]
struct Found(Vec<Span>);

impl Sink for Found {
    fn span(&mut self, span: Span) {
        self.0.push(span);
    }

    fn verdict(&mut self, _connection: ConnectionKey, _verdict: Verdict) {}
}

/// One thing that happens to a process.
#[derive(Debug, Clone)]
enum Step {
    /// Bytes on a connection, at a second.
    Say(u64, Direction, u64, Vec<u8>),
    /// A connection is freed.
    Close(u64, u64),
    /// The process ends.
    Exit(u64),
}

fn connection(pid: u32, address: u64) -> ConnectionKey {
    ConnectionKey {
        process: ProcessKey { pid, start_ns: 1 },
        address,
        generation: 0,
    }
}

/// A pipeline and how far each connection has come.
struct Machine {
    pipeline: Pipeline,
    found: Found,
    offsets: BTreeMap<(ConnectionKey, bool), u64>,
    sizes: Box<dyn Iterator<Item = usize>>,
}

impl Machine {
    fn new(tool_loop: bool, sizes: &[usize]) -> Self {
        let mut this = Self {
            pipeline: Pipeline::new(Settings {
                tool_loop,
                session_headers: vec!["x-chat".parse().expect("a name")],
                ..Settings::default()
            }),
            found: Found::default(),
            offsets: BTreeMap::new(),
            sizes: Box::new(Vec::from(sizes).into_iter().cycle()),
        };
        this.push(&ProbeEvent::Host(Host {
            boot_id: "boot".into(),
            name: "host".into(),
            wall_offset_ns: 0,
        }));
        this
    }

    fn push(&mut self, event: &ProbeEvent<'_>) {
        self.pipeline.push(event, &mut self.found);
    }

    fn take(&mut self, pid: u32, step: &Step) {
        match step {
            Step::Say(address, direction, second, bytes) => {
                let key = connection(pid, *address);
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let size = self.sizes.next().unwrap_or(usize::MAX);
                    let (piece, after) = rest.split_at(size.clamp(1, rest.len()));
                    rest = after;
                    let offset = self
                        .offsets
                        .entry((key, *direction == Direction::Read))
                        .or_default();
                    let stream_offset = std::mem::replace(offset, *offset + piece.len() as u64);
                    self.push(&ProbeEvent::Data(Data {
                        connection: key,
                        direction: *direction,
                        thread: pid,
                        time: Monotonic(second * SECOND),
                        stream_offset,
                        call_length: piece.len() as u64,
                        call_offset: 0,
                        joined_late: false,
                        unpaired: false,
                        bytes: Cow::Borrowed(piece),
                    }));
                }
            }
            Step::Close(address, second) => self.push(&ProbeEvent::Close {
                connection: connection(pid, *address),
                time: Monotonic(second * SECOND),
            }),
            Step::Exit(second) => self.push(&ProbeEvent::ProcessExit {
                process: connection(pid, 0).process,
                time: Monotonic(second * SECOND),
            }),
        }
    }

    fn finish(mut self) -> Vec<Span> {
        self.pipeline.finish(&mut self.found);
        self.found.0
    }
}

/// Header fields, a line each.
fn lines(headers: &[(&str, &str)]) -> String {
    let lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    lines.concat()
}

fn post(target: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers = lines(headers);
    format!(
        "POST {target} HTTP/1.1\r\nHost: bedrock-runtime.eu-west-1.amazonaws.com\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers = lines(headers);
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

const NOVA: &str = "/model/amazon.nova-lite-v1%3A0/converse";
const FINE: &str = r#"{"output": {"message": {"role": "assistant", "content": [{"text": "done"}]}}, "stopReason": "end_turn", "usage": {"inputTokens": 4, "outputTokens": 2}}"#;

fn refusal() -> Vec<u8> {
    answer(
        429,
        &[
            ("x-amzn-ErrorType", "ThrottlingException"),
            ("x-amzn-RequestId", "r-429"),
        ],
        r#"{"message": "slow down"}"#,
    )
}

/// boto3 is throttled, gets no answer, and is answered on a connection of its own.
fn boto3() -> Vec<Step> {
    let ask = |attempt: u32| {
        post(
            NOVA,
            &[
                ("amz-sdk-invocation-id", "70d796fc"),
                ("amz-sdk-request", &format!("attempt={attempt}; max=3")),
                ("baggage", "session.id=s-1"),
            ],
            r#"{"messages": [{"role": "user", "content": [{"text": "hi"}]}]}"#,
        )
    };
    vec![
        Step::Say(1, Direction::Write, 10, ask(1)),
        Step::Say(1, Direction::Read, 11, refusal()),
        Step::Say(1, Direction::Write, 13, ask(2)),
        Step::Close(1, 14),
        Step::Say(2, Direction::Write, 18, ask(3)),
        Step::Say(
            2,
            Direction::Read,
            20,
            answer(200, &[("x-amzn-RequestId", "r-200")], FINE),
        ),
    ]
}

/// Anthropic's SDK finds the model overloaded once.
fn anthropic() -> Vec<Step> {
    let ask = |count: &str| {
        post(
            "/anthropic/v1/messages",
            &[("x-stainless-retry-count", count)],
            r#"{"model": "anthropic.claude-sonnet-4", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "metadata": {"user_id": "u"}}"#,
        )
    };
    let overloaded = r#"{"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}"#;
    let fine = r#"{"id": "msg_1", "type": "message", "model": "claude", "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}"#;
    vec![
        Step::Say(1, Direction::Write, 30, ask("0")),
        Step::Say(1, Direction::Read, 31, answer(529, &[], overloaded)),
        Step::Say(1, Direction::Write, 32, ask("1")),
        Step::Say(1, Direction::Read, 34, answer(200, &[], fine)),
    ]
}

/// An agent that looks two things up.
fn agent() -> Vec<Step> {
    let result = |id: &str| {
        format!(r#"{{"toolResult": {{"toolUseId": "{id}", "content": [{{"text": "sunny"}}]}}}}, "#)
    };
    let ask = |results: &[&str]| {
        let results: Vec<String> = results.iter().map(|id| result(id)).collect();
        post(
            NOVA,
            &[("x-chat", "c-7")],
            &format!(
                r#"{{"messages": [{{"role": "user", "content": [{{"text": "hi"}}, {}{{"text": "go on"}}]}}]}}"#,
                results.concat()
            ),
        )
    };
    let wants = |ids: &[&str]| {
        let tools: Vec<String> = ids
            .iter()
            .map(|id| format!(r#"{{"toolUse": {{"toolUseId": "{id}", "name": "weather", "input": {{}}}}}}"#))
            .collect();
        let body = format!(
            r#"{{"output": {{"message": {{"role": "assistant", "content": [{}]}}}}, "stopReason": "tool_use"}}"#,
            tools.join(", ")
        );
        answer(200, &[], &body)
    };
    vec![
        Step::Say(1, Direction::Write, 40, ask(&[])),
        Step::Say(1, Direction::Read, 42, wants(&["t1", "t2"])),
        Step::Say(1, Direction::Write, 45, ask(&["t1", "t2"])),
        Step::Say(1, Direction::Read, 47, wants(&["t3"])),
        Step::Say(1, Direction::Write, 49, ask(&["t1", "t2", "t3"])),
        Step::Say(1, Direction::Read, 52, answer(200, &[], FINE)),
    ]
}

fn run(pid: u32, steps: &[Step], tool_loop: bool) -> Vec<Span> {
    let mut machine = Machine::new(tool_loop, &[usize::MAX]);
    for step in steps {
        machine.take(pid, step);
    }
    machine.finish()
}

fn value<'s>(attributes: &'s [tracer_user::genai::span::Attribute], name: &str) -> Option<&'s Value> {
    attributes
        .iter()
        .find(|attribute| attribute.key == name)
        .map(|attribute| &attribute.value)
}

fn text(span: &Span, name: &str) -> Option<String> {
    match value(&span.attributes, name) {
        Some(Value::String(text)) => Some(text.to_string()),
        _ => None,
    }
}

#[test]
fn three_attempts_over_two_connections_are_one_span() {
    let spans = run(1, &boto3(), false);
    let [span] = spans.as_slice() else {
        panic!("one call, but {spans:#?}");
    };
    assert_eq!((span.start_unix_ns, span.end_unix_ns), (10 * SECOND, 20 * SECOND));
    assert_eq!(span.status, SpanStatus::Unset);
    assert_eq!(text(span, semconv::AWS_REQUEST_ID).as_deref(), Some("r-200"));
    assert_eq!(text(span, semconv::SESSION_ID).as_deref(), Some("s-1"));
    assert_eq!(
        value(&span.attributes, semconv::HTTP_RESEND_COUNT),
        Some(&Value::Int(2))
    );
    assert_eq!(
        value(&span.attributes, semconv::ATTEMPTS_THROTTLED),
        Some(&Value::Int(1))
    );
    assert_eq!(
        value(&span.attributes, semconv::ATTEMPTS_BACKOFF),
        Some(&Value::Double(6.0))
    );
    assert_eq!(value(&span.attributes, semconv::INCOMPLETE), None);
    let attempts: Vec<_> = span
        .events
        .iter()
        .map(|event| {
            let of = |name| value(&event.attributes, name).cloned();
            (
                event.name,
                event.time_unix_ns / SECOND,
                of(semconv::HTTP_STATUS),
                of(semconv::ERROR_TYPE),
                of(semconv::ATTEMPT_DELAY),
            )
        })
        .collect();
    let error = |text: &'static str| Some(Value::String(text.into()));
    assert_eq!(
        attempts,
        [
            (
                semconv::ATTEMPT_EVENT,
                10,
                Some(Value::Int(429)),
                error("ThrottlingException"),
                None
            ),
            (
                semconv::ATTEMPT_EVENT,
                13,
                None,
                error("connection_closed"),
                Some(Value::Double(2.0))
            ),
            (
                semconv::ATTEMPT_EVENT,
                18,
                Some(Value::Int(200)),
                None,
                Some(Value::Double(4.0))
            ),
        ]
    );
}

#[test]
fn attempts_that_are_only_counted_are_one_span_too() {
    let spans = run(1, &anthropic(), false);
    let [span] = spans.as_slice() else {
        panic!("one call, but {spans:#?}");
    };
    assert_eq!(span.events.len(), 2);
    assert_eq!((span.start_unix_ns, span.end_unix_ns), (30 * SECOND, 34 * SECOND));
    assert_eq!(text(span, semconv::SESSION_ID), None, "a user is no session");
}

#[test]
fn a_client_that_gives_up_is_told_of_by_the_clock_or_by_its_end() {
    let first: Vec<Step> = boto3().into_iter().take(2).collect();
    for by_clock in [true, false] {
        let mut machine = Machine::new(false, &[usize::MAX]);
        for step in &first {
            machine.take(1, step);
        }
        machine.push(&ProbeEvent::Tick(Monotonic(40 * SECOND)));
        assert_eq!(machine.found.0.len(), 0, "another attempt may come");
        if by_clock {
            machine.push(&ProbeEvent::Tick(Monotonic(41 * SECOND)));
        } else {
            machine.take(1, &Step::Exit(40));
        }
        let [span] = machine.found.0.as_slice() else {
            panic!("one call, but {:#?}", machine.found.0);
        };
        assert!(matches!(span.status, SpanStatus::Error { .. }));
        assert_eq!(span.end_unix_ns, 11 * SECOND, "not when it was told");
        assert_eq!(machine.pipeline.counters().get(Counter::Throttles), 1);
    }
}

#[test]
fn a_tool_loop_is_a_tree_where_it_is_asked_for() {
    let spans = run(1, &agent(), true);
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let (chat, tool) = ("chat amazon.nova-lite-v1:0", "execute_tool weather");
    assert_eq!(names, [chat, tool, tool, chat, tool, chat, "invoke_agent"]);
    let root = spans.last().expect("the loop");
    assert_eq!((root.start_unix_ns, root.end_unix_ns), (40 * SECOND, 52 * SECOND));
    assert_eq!(text(root, semconv::CONVERSATION_ID).as_deref(), Some("c-7"));
    for span in &spans {
        assert_eq!(span.trace_id, root.trace_id);
        assert_eq!(text(span, semconv::SESSION_ID).as_deref(), Some("c-7"));
    }
    assert_eq!(
        (spans[1].start_unix_ns, spans[1].end_unix_ns),
        (42 * SECOND, 45 * SECOND)
    );

    let plain = run(1, &agent(), false);
    assert_eq!(plain.len(), 3);
    assert!(plain.iter().all(|span| span.parent.is_none()));
    let own: Vec<_> = plain.iter().map(|span| span.span_id).collect();
    let calls: Vec<_> = spans
        .iter()
        .filter(|span| span.name == chat)
        .map(|span| span.span_id)
        .collect();
    assert_eq!(own, calls, "a call has its own id in a loop as well");
}

/// The spans in an order that does not depend on who was first.
fn sorted(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.process.key, span.span_id));
    spans
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_split_and_any_interleaving_of_processes_gives_the_same_spans(
        sizes in prop::collection::vec(1_usize..700, 1..8),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 80),
        tool_loop in any::<bool>(),
    ) {
        let programs = [(1, boto3()), (2, anthropic()), (3, agent()), (4, boto3()), (5, agent())];
        let expected = programs
            .iter()
            .flat_map(|(pid, steps)| run(*pid, steps, tool_loop))
            .collect();
        let mut left: Vec<(u32, VecDeque<Step>)> = programs
            .into_iter()
            .map(|(pid, steps)| (pid, steps.into()))
            .collect();
        let mut machine = Machine::new(tool_loop, &sizes);
        for pick in picks {
            left.retain(|(_, steps)| !steps.is_empty());
            if left.is_empty() {
                break;
            }
            let chosen = pick.index(left.len());
            let (pid, steps) = &mut left[chosen];
            if let Some(step) = steps.pop_front() {
                machine.take(*pid, &step);
            }
        }
        prop_assert_eq!(sorted(machine.finish()), sorted(expected));
    }
}
