//! A pod may take away from what is told of it, never add to it; so may the operator's rules.

use std::sync::Arc;

use super::{Pipeline, Settings, Sink};
use crate::counters::Counter;
use crate::event::pod::{Pod, Wishes};
use crate::event::{
    ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, Process, ProcessKey, Verdict,
};
use crate::genai::Capture;
use crate::genai::span::Span;

const PROCESS: ProcessKey = ProcessKey {
    pid: 4242,
    start_ns: 7,
};

const CONNECTION: ConnectionKey = ConnectionKey {
    process: PROCESS,
    address: 0x55d0,
    generation: 1,
};

const REQUEST: &str = "POST /model/amazon.nova-lite-v1%3A0/converse HTTP/1.1\r\n\
    Host: bedrock-runtime.us-east-1.amazonaws.com\r\nContent-Length: 72\r\n\r\n\
    {\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"canary in the mine\"}]}]}";

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 103\r\n\r\n\
    {\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"canary sings\"}]}},\"stopReason\":\"end_turn\"}";

#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    verdicts: Vec<Verdict>,
}

impl Sink for Taken {
    fn span(&mut self, span: Span) {
        self.spans.push(span);
    }

    fn verdict(&mut self, _connection: ConnectionKey, verdict: Verdict) {
        self.verdicts.push(verdict);
    }
}

fn process(wishes: Wishes) -> ProbeEvent<'static> {
    told(wishes, Wishes::default())
}

fn told(of_pod: Wishes, withheld: Wishes) -> ProbeEvent<'static> {
    ProbeEvent::Process(Arc::new(Process {
        key: PROCESS,
        parent_pid: 1,
        executable: "/usr/bin/chat".to_owned(),
        command_line: vec!["chat".to_owned()],
        environment: Vec::new(),
        cgroup: String::new(),
        pod: Some(Arc::new(Pod {
            wishes: of_pod,
            ..Pod::default()
        })),
        withheld,
    }))
}

fn data(direction: Direction, bytes: &'static str) -> ProbeEvent<'static> {
    ProbeEvent::Data(Data {
        connection: CONNECTION,
        direction,
        thread: 4242,
        time: Monotonic(1_000),
        stream_offset: 0,
        call_length: bytes.len() as u64,
        call_offset: 0,
        joined_late: false,
        unpaired: false,
        bytes: bytes.as_bytes().into(),
    })
}

/// One call of a process whose wishes are known before it, or only after its request.
fn call(before: Wishes, meanwhile: Option<Wishes>) -> (Taken, Pipeline) {
    let mut pipeline = Pipeline::new(Settings {
        content: Capture::Span,
        ..Settings::default()
    });
    let mut taken = Taken::default();
    let mut events = vec![
        ProbeEvent::Host(Host {
            boot_id: "b".to_owned(),
            name: "node-3".to_owned(),
            wall_offset_ns: 0,
        }),
        process(before),
        ProbeEvent::Open {
            connection: CONNECTION,
            time: Monotonic(900),
        },
        data(Direction::Write, REQUEST),
    ];
    events.extend(meanwhile.map(process));
    events.push(data(Direction::Read, ANSWER));
    events.push(ProbeEvent::ProcessExit {
        process: PROCESS,
        time: Monotonic(2_000),
    });
    for event in &events {
        pipeline.push(event, &mut taken);
    }
    pipeline.finish(&mut taken);
    (taken, pipeline)
}

#[test]
fn without_a_wish_content_is_told_as_the_operator_allows() {
    let (taken, _) = call(Wishes::default(), None);
    assert_eq!(taken.spans.len(), 1);
    let told = format!("{:?}", taken.spans);
    assert!(told.contains("canary in the mine"), "{told}");
    assert!(told.contains("canary sings"), "{told}");
}

#[test]
fn a_pod_keeps_its_content_back_even_when_it_says_so_in_the_middle_of_a_call() {
    let wish = Wishes {
        without_content: true,
        ..Wishes::default()
    };
    for (before, meanwhile) in [(wish, None), (Wishes::default(), Some(wish))] {
        let (taken, _) = call(before, meanwhile);
        assert_eq!(taken.spans.len(), 1);
        assert!(!format!("{:?}", taken.spans).contains("canary"));
    }
}

#[test]
fn a_pod_that_wants_no_telemetry_has_none() {
    let wish = Wishes {
        untraced: true,
        ..Wishes::default()
    };
    let (taken, pipeline) = call(wish, None);
    assert!(taken.spans.is_empty());
    assert!(
        taken.verdicts.contains(&Verdict::Ignore),
        "the kernel side is told"
    );
    assert_eq!(
        pipeline.counters().get(Counter::CallsLeftAlone),
        0,
        "it was not looked into"
    );

    let (taken, pipeline) = call(Wishes::default(), Some(wish));
    assert!(taken.spans.is_empty());
    assert_eq!(pipeline.counters().get(Counter::CallsLeftAlone), 1);
}

#[test]
fn a_call_under_way_is_shown_no_more_once_its_pod_wants_no_telemetry() {
    let wish = Wishes {
        untraced: true,
        ..Wishes::default()
    };
    let mut pipeline = Pipeline::new(Settings::default());
    let mut taken = Taken::default();
    for event in [process(Wishes::default()), data(Direction::Write, REQUEST)] {
        pipeline.push(&event, &mut taken);
    }
    assert_eq!(pipeline.under_way().count(), 1);
    pipeline.push(&process(wish), &mut taken);
    assert_eq!(pipeline.under_way().count(), 0);
}

#[test]
fn what_a_rule_keeps_back_stays_away_whatever_the_pod_says() {
    let mut taken = Taken::default();
    for (withheld, spans) in [
        (
            Wishes {
                without_content: true,
                ..Wishes::default()
            },
            1,
        ),
        (
            Wishes {
                untraced: true,
                ..Wishes::default()
            },
            0,
        ),
    ] {
        let mut pipeline = Pipeline::new(Settings {
            content: Capture::Span,
            ..Settings::default()
        });
        taken.spans.clear();
        for event in [
            told(Wishes::default(), withheld),
            data(Direction::Write, REQUEST),
            data(Direction::Read, ANSWER),
        ] {
            pipeline.push(&event, &mut taken);
        }
        pipeline.finish(&mut taken);
        assert_eq!(taken.spans.len(), spans);
        assert!(!format!("{:?}", taken.spans).contains("canary"));
    }
}
