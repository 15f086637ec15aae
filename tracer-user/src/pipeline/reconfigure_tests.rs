//! Other settings while calls are under way: what may no longer leave does not, and what may from now on is of later calls.

use std::sync::Arc;

use super::{Pipeline, Settings, Sink};
use crate::event::{ConnectionKey, Data, Direction, Monotonic, ProbeEvent, ProcessKey, Verdict};
use crate::genai::span::Span;
use crate::genai::{Capture, Redaction};

const REQUEST: &str = "POST /model/amazon.nova-lite-v1%3A0/converse HTTP/1.1\r\n\
    Host: bedrock-runtime.us-east-1.amazonaws.com\r\nContent-Length: 72\r\n\r\n\
    {\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"canary in the mine\"}]}]}";

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 103\r\n\r\n\
    {\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"canary sings\"}]}},\"stopReason\":\"end_turn\"}";

#[derive(Default)]
struct Taken(Vec<Span>);

impl Sink for Taken {
    fn span(&mut self, span: Span) {
        self.0.push(span);
    }

    fn verdict(&mut self, _connection: ConnectionKey, _verdict: Verdict) {}
}

/// One call after the other on one connection, a second apart.
struct Caller {
    pipeline: Pipeline,
    taken: Taken,
    time: u64,
    calls: u64,
}

impl Caller {
    fn new(settings: Settings) -> Self {
        Self {
            pipeline: Pipeline::new(settings),
            taken: Taken::default(),
            time: 1,
            calls: 0,
        }
    }

    fn data(&mut self, direction: Direction, bytes: &'static str) {
        self.time += 1_000_000_000;
        let event = ProbeEvent::Data(Data {
            connection: ConnectionKey {
                process: ProcessKey {
                    pid: 4242,
                    start_ns: 7,
                },
                address: 0x55d0,
                generation: 1,
            },
            direction,
            thread: 4242,
            time: Monotonic(self.time),
            stream_offset: self.calls * bytes.len() as u64,
            call_length: bytes.len() as u64,
            call_offset: 0,
            joined_late: false,
            unpaired: false,
            bytes: bytes.as_bytes().into(),
        });
        self.pipeline.push(&event, &mut self.taken);
    }

    fn ask(&mut self) {
        self.data(Direction::Write, REQUEST);
    }

    /// What was told of the call.
    fn answer(&mut self) -> String {
        self.data(Direction::Read, ANSWER);
        self.calls += 1;
        let spans = std::mem::take(&mut self.taken.0);
        assert_eq!(spans.len(), 1, "{spans:?}");
        format!("{spans:?}")
    }

    fn becomes(&mut self, settings: Settings) {
        self.pipeline.reconfigure(settings, &mut self.taken);
    }
}

fn capturing(content: Capture) -> Settings {
    Settings {
        content,
        ..Settings::default()
    }
}

#[test]
fn content_that_is_turned_off_stays_back_of_a_call_under_way() {
    let mut caller = Caller::new(capturing(Capture::Span));
    caller.ask();
    assert!(caller.answer().contains("canary sings"));
    caller.ask();
    caller.becomes(capturing(Capture::Nothing));
    assert!(!caller.answer().contains("canary"));
}

#[test]
fn content_that_is_turned_on_leaves_of_calls_that_begin_later() {
    let mut caller = Caller::new(capturing(Capture::Nothing));
    caller.ask();
    caller.becomes(capturing(Capture::Span));
    assert!(!caller.answer().contains("canary"));
    caller.ask();
    assert!(caller.answer().contains("canary sings"));
}

/// The call began while content was wanted, and a part of it passed while it was not.
#[test]
fn content_that_is_turned_off_and_on_again_stays_back_of_a_call_under_way() {
    let mut caller = Caller::new(capturing(Capture::Span));
    caller.ask();
    caller.becomes(capturing(Capture::Nothing));
    caller.becomes(capturing(Capture::SpanAndEvent));
    assert!(!caller.answer().contains("canary"));
    caller.ask();
    assert!(caller.answer().contains("canary sings"));
}

#[test]
fn a_new_rule_of_redaction_holds_for_a_call_under_way() {
    let mut caller = Caller::new(capturing(Capture::Span));
    caller.ask();
    let mut redaction = Redaction::default();
    redaction.add_pattern("bird", "canary").expect("a pattern");
    caller.becomes(Settings {
        redaction: Arc::new(redaction),
        ..capturing(Capture::Span)
    });
    let told = caller.answer();
    assert!(
        told.contains("[redacted:bird] sings") && !told.contains("canary"),
        "{told}"
    );
}
