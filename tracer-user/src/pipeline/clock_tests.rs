//! Clocks that are set, machines that sleep and programs that stand still in the middle of a call.

use std::collections::BTreeMap;

use super::{Pipeline, Settings, Sink};
use crate::conn::SILENCE_MAX_NS;
use crate::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, ProcessKey, Verdict};
use crate::genai::span::{Span, Value};

const SECOND: u64 = 1_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

/// Wall clock minus monotonic clock at the beginning.
const OFFSET: i64 = 1_700_000_000_000_000_000;

const CONNECTION: ConnectionKey = ConnectionKey {
    process: ProcessKey {
        pid: 4242,
        start_ns: 7,
    },
    address: 0x55d0,
    generation: 1,
};

const ANSWER: &str = "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"hm\"}]}},\
    \"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":7,\"outputTokens\":5,\"totalTokens\":12}}";

#[derive(Default)]
struct Spans(Vec<Span>);

impl Sink for Spans {
    fn span(&mut self, span: Span) {
        self.0.push(span);
    }

    fn verdict(&mut self, _: ConnectionKey, _: Verdict) {}
}

/// A pipeline, the time, and how far each direction of its connection is.
struct Scene {
    pipeline: Pipeline,
    spans: Spans,
    now: u64,
    places: BTreeMap<Direction, u64>,
}

impl Scene {
    fn begin() -> Self {
        let mut scene = Self {
            pipeline: Pipeline::new(Settings {
                metrics: true,
                ..Settings::default()
            }),
            spans: Spans::default(),
            now: 1_000 * SECOND,
            places: BTreeMap::new(),
        };
        scene.clock_is(OFFSET);
        let (connection, time) = (CONNECTION, scene.time());
        scene.push(&ProbeEvent::Open { connection, time });
        scene
    }

    fn time(&self) -> Monotonic {
        Monotonic(self.now)
    }

    fn push(&mut self, event: &ProbeEvent<'_>) {
        self.pipeline.push(event, &mut self.spans);
    }

    /// The wall clock stands so far before the monotonic one from now on.
    fn clock_is(&mut self, wall_offset_ns: i64) {
        self.push(&ProbeEvent::Host(Host {
            boot_id: "b".to_owned(),
            name: "node-3".to_owned(),
            wall_offset_ns,
        }));
    }

    /// Time passes, with a tick every second.
    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += SECOND;
            let tick = ProbeEvent::Tick(self.time());
            self.push(&tick);
        }
    }

    fn data(&mut self, direction: Direction, bytes: &str) {
        let place = self.places.entry(direction).or_default();
        let stream_offset = *place;
        *place += bytes.len() as u64;
        let event = ProbeEvent::Data(Data {
            connection: CONNECTION,
            direction,
            thread: 4242,
            time: self.time(),
            stream_offset,
            call_length: bytes.len() as u64,
            call_offset: 0,
            joined_late: false,
            unpaired: false,
            bytes: bytes.as_bytes().into(),
        });
        self.push(&event);
    }

    fn request(&mut self, attempt: u32) {
        self.data(
            Direction::Write,
            &format!(
                "POST /model/amazon.nova-lite-v1%3A0/converse HTTP/1.1\r\n\
                 Host: bedrock-runtime.us-east-1.amazonaws.com\r\namz-sdk-invocation-id: 5f0c\r\n\
                 amz-sdk-request: attempt={attempt}; max=3\r\nContent-Length: 2\r\n\r\n{{}}"
            ),
        );
    }

    fn answer(&mut self) {
        self.data(Direction::Read, &head("200 OK"));
        self.data(Direction::Read, ANSWER);
    }

    /// The spans that are told when tracing ends here.
    fn end(mut self) -> Vec<Span> {
        self.pipeline.finish(&mut self.spans);
        self.spans.0
    }
}

fn head(status: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        ANSWER.len()
    )
}

fn has(span: &Span, key: &str) -> bool {
    span.attributes.iter().any(|attribute| attribute.key == key)
}

#[test]
fn a_clock_that_is_set_in_the_middle_of_a_call_changes_neither_its_length_nor_its_name() {
    let told = |step: i64| {
        let mut scene = Scene::begin();
        scene.request(1);
        scene.wait(2);
        scene.clock_is(OFFSET + step);
        scene.wait(1);
        scene.answer();
        scene.wait(1);
        scene.request(1);
        scene.answer();
        scene.end()
    };
    let straight = told(0);
    for step in [-HOUR, HOUR] {
        let spans = told(step);
        assert_eq!(spans.len(), 2);
        for (span, straight) in spans.iter().zip(&straight) {
            let length = |span: &Span| span.end_unix_ns - span.start_unix_ns;
            assert_eq!(length(span), length(straight));
            assert_eq!(
                span.start_unix_ns,
                straight.start_unix_ns.saturating_add_signed(step)
            );
            assert_eq!(
                (span.trace_id, span.span_id),
                (straight.trace_id, straight.span_id)
            );
            assert!(!has(span, "geophone.incomplete"), "{span:#?}");
        }
    }
}

#[test]
fn sums_do_not_end_before_they_began_when_the_clock_is_set_back() {
    let mut scene = Scene::begin();
    scene.request(1);
    scene.answer();
    let begin = scene.now.saturating_add_signed(OFFSET);
    scene.clock_is(OFFSET - HOUR);
    scene.wait(1);
    let snapshot = scene.pipeline.collect().expect("metrics");
    assert!(snapshot.time_unix_ns >= begin);
    scene.clock_is(OFFSET);
    scene.wait(1);
    let snapshot = scene.pipeline.collect().expect("metrics");
    assert_eq!(snapshot.time_unix_ns, begin + 2 * SECOND);
}

/// While a machine sleeps its monotonic clock stands still: what shows is a wall clock that has jumped.
#[test]
fn a_machine_that_sleeps_fires_no_timeout() {
    let mut scene = Scene::begin();
    scene.request(1);
    scene.data(Direction::Read, &head("429 Too Many Requests"));
    scene.data(Direction::Read, ANSWER);
    scene.clock_is(OFFSET + 8 * HOUR);
    scene.wait(2);
    assert_eq!(scene.spans.0, [], "the next attempt is waited for");
    scene.request(2);
    scene.answer();
    let now = scene.now.saturating_add_signed(OFFSET + 8 * HOUR);
    let spans = scene.end();
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_eq!(spans[0].end_unix_ns, now, "by the clock as it is");
    assert_eq!(spans[0].end_unix_ns - spans[0].start_unix_ns, 2 * SECOND);
    let tokens = spans[0]
        .attributes
        .iter()
        .find(|attribute| attribute.key == "gen_ai.usage.output_tokens");
    assert_eq!(tokens.map(|attribute| &attribute.value), Some(&Value::Int(5)));
}

#[test]
fn a_program_may_stand_still_for_an_hour_in_the_middle_of_an_answer() {
    let stands_still = |seconds: u64| {
        let mut scene = Scene::begin();
        scene.request(1);
        scene.data(Direction::Read, &head("200 OK"));
        scene.wait(seconds);
        scene.data(Direction::Read, ANSWER);
        scene.end()
    };
    let spans = stands_still(3_600);
    assert_eq!(spans.len(), 1);
    assert!(!has(&spans[0], "geophone.incomplete"), "{:#?}", spans[0]);
    assert_eq!(spans[0].end_unix_ns - spans[0].start_unix_ns, 3_600 * SECOND);
    // Longer than any answer takes: it is told as far as it came, once.
    let spans = stands_still(SILENCE_MAX_NS / SECOND + 60);
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert!(has(&spans[0], "geophone.incomplete"), "{:#?}", spans[0]);
}
