//! A run, from the first word of a process to the last.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::selector::{HELD_IN_ALL_MAX, HELD_MAX, PATIENCE_NS};
use super::super::{Rules, Selector, Sink};
use super::rules;
use crate::counters::Counter;
use crate::event::pod::{Pod, Wishes};
use crate::event::{ConnectionKey, Data, Direction, Monotonic, ProbeEvent, Process, ProcessKey};

/// What came out, in words.
#[derive(Default)]
struct Out {
    said: Vec<String>,
}

impl Sink for Out {
    fn event(&mut self, event: &ProbeEvent<'_>) {
        self.said.push(match event {
            ProbeEvent::Process(process) => {
                let kept = match (process.is_left_alone(), process.keeps_content_back()) {
                    (true, _) => "left alone",
                    (false, true) => "without content",
                    (false, false) => "traced",
                };
                format!("{}: {kept}", process.key.pid)
            }
            ProbeEvent::Data(data) => {
                let text = String::from_utf8_lossy(&data.bytes);
                format!(
                    "{}> {}",
                    data.connection.process.pid,
                    text.get(..8).unwrap_or(&text)
                )
            }
            ProbeEvent::ProcessExit { process, .. } => format!("{} ended", process.pid),
            ProbeEvent::Tick(_) => return,
            other => format!("{other:?}"),
        });
    }

    fn leave_alone(&mut self, process: &Process) {
        self.said.push(format!("kernel: not {}", process.key.pid));
    }

    fn follow(&mut self, process: &Process) {
        self.said.push(format!("kernel: {} again", process.key.pid));
    }
}

impl Out {
    fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }
}

fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        pid,
        start_ns: u64::from(pid),
    }
}

/// A process of a pod, where the API server has told of it, or of none.
fn process(pid: u32, exe: &str, cgroup: &str, pod: Option<Pod>) -> Process {
    Process {
        key: key(pid),
        parent_pid: 1,
        executable: exe.to_owned(),
        command_line: vec![exe.to_owned()],
        environment: Vec::new(),
        cgroup: cgroup.to_owned(),
        pod: pod.map(Arc::new),
        withheld: Wishes::default(),
    }
}

fn told(process: Process) -> ProbeEvent<'static> {
    ProbeEvent::Process(Arc::new(process))
}

fn says(pid: u32, text: impl Into<Cow<'static, str>>) -> ProbeEvent<'static> {
    let text: Cow<'static, str> = text.into();
    ProbeEvent::Data(Data {
        connection: ConnectionKey {
            process: key(pid),
            address: 1,
            generation: 1,
        },
        direction: Direction::Write,
        thread: pid,
        time: Monotonic(1),
        stream_offset: 0,
        call_length: text.len() as u64,
        call_offset: 0,
        joined_late: false,
        unpaired: false,
        bytes: text.into_owned().into_bytes().into(),
    })
}

fn ends(pid: u32) -> ProbeEvent<'static> {
    ProbeEvent::ProcessExit {
        process: key(pid),
        time: Monotonic(2),
    }
}

fn in_pod(cgroup: &str) -> bool {
    cgroup.contains("pod")
}

const POD: &str = "/kubepods/pod1";

fn agents() -> Pod {
    Pod {
        namespace: "agents".to_owned(),
        ..Pod::default()
    }
}

fn personnel() -> Pod {
    Pod {
        namespace: "hr".to_owned(),
        ..Pod::default()
    }
}

fn selector(toml: &str, in_pod: Option<fn(&str) -> bool>) -> Selector {
    Selector::new(Arc::new(rules(toml)), in_pod)
}

fn push(
    selector: &mut Selector,
    out: &mut Out,
    events: impl IntoIterator<Item = ProbeEvent<'static>>,
) -> Vec<String> {
    for event in events {
        selector.push(&event, out);
    }
    out.take()
}

const NO_BATCH: &str = "[[rules]]\nexe = \"batch\"\ntrace = false\n";
const NO_PERSONNEL: &str = "[[rules]]\nnamespace = \"hr\"\ntrace = false\n";

#[test]
fn who_is_left_alone_by_its_program_is_never_heard_of() {
    let (mut selector, mut out) = (selector(NO_BATCH, None), Out::default());
    let events = [
        told(process(1, "/bin/batch", "/", None)),
        says(1, "secret"),
        told(process(2, "/bin/chat", "/", None)),
        says(2, "hello"),
        ends(1),
        ends(2),
    ];
    assert_eq!(
        push(&mut selector, &mut out, events),
        ["kernel: not 1", "2: traced", "2> hello", "1 ended", "2 ended"]
    );
}

#[test]
fn another_program_in_the_same_process_is_judged_anew() {
    let (mut selector, mut out) = (selector(NO_BATCH, None), Out::default());
    let events = [
        told(process(1, "/bin/chat", "/", None)),
        says(1, "hello"),
        told(process(1, "/bin/batch", "/", None)),
        says(1, "secret"),
        told(process(1, "/bin/chat", "/", None)),
        says(1, "again"),
    ];
    assert_eq!(
        push(&mut selector, &mut out, events),
        [
            "1: traced",
            "1> hello",
            "1: left alone",
            "kernel: not 1",
            "kernel: 1 again",
            "1: traced",
            "1> again"
        ]
    );
}

#[test]
fn another_process_with_the_same_pid_is_another_process() {
    let (mut selector, mut out) = (selector(NO_BATCH, None), Out::default());
    push(
        &mut selector,
        &mut out,
        [told(process(1, "/bin/batch", "/", None))],
    );
    let later = ProcessKey { pid: 1, start_ns: 99 };
    let mut chat = process(1, "/bin/chat", "/", None);
    chat.key = later;
    assert_eq!(push(&mut selector, &mut out, [told(chat)]), ["1: traced"]);
}

#[test]
fn what_comes_before_the_pod_is_known_waits_and_comes_out_in_order() {
    let (mut selector, mut out) = (selector(NO_PERSONNEL, Some(in_pod)), Out::default());
    let events = [
        told(process(1, "/bin/chat", POD, None)),
        told(process(2, "/bin/chat", POD, None)),
        told(process(3, "/bin/chat", "/system.slice", None)),
        says(1, "first"),
        says(2, "secret"),
        says(3, "outside"),
        says(1, "second"),
    ];
    assert_eq!(
        push(&mut selector, &mut out, events),
        ["3: traced", "3> outside"],
        "outside of pods nothing waits"
    );
    let events = [
        told(process(1, "/bin/chat", POD, Some(agents()))),
        told(process(2, "/bin/chat", POD, Some(personnel()))),
        says(1, "third"),
        says(2, "secret"),
    ];
    assert_eq!(
        push(&mut selector, &mut out, events),
        ["1: traced", "1> first", "1> second", "kernel: not 2", "1> third"]
    );
    assert_eq!(selector.held(), 0);
    assert_eq!(selector.counters().get(Counter::HeldEventsDropped), 0);
}

#[test]
fn a_pod_that_nobody_tells_of_is_left_alone_where_a_rule_may_mean_it_and_else_traced_without_content() {
    for (toml, expected, dropped) in [
        (NO_PERSONNEL, &["kernel: not 1"][..], 1),
        ("", &["1: without content", "1> hello"], 0),
        (
            "[[rules]]\nnamespace = \"hr\"\ncontent = false\n",
            &["1: without content", "1> hello"],
            0,
        ),
    ] {
        let (mut selector, mut out) = (selector(toml, Some(in_pod)), Out::default());
        let waiting = [
            told(process(1, "/bin/chat", POD, None)),
            says(1, "hello"),
            ProbeEvent::Tick(Monotonic(1)),
            ProbeEvent::Tick(Monotonic(PATIENCE_NS)),
        ];
        assert!(push(&mut selector, &mut out, waiting).is_empty());
        assert_eq!(
            push(
                &mut selector,
                &mut out,
                [ProbeEvent::Tick(Monotonic(PATIENCE_NS + 1))]
            ),
            expected
        );
        assert_eq!(selector.counters().get(Counter::HeldEventsDropped), dropped);
        // The word comes late, and is heard.
        let late = push(
            &mut selector,
            &mut out,
            [told(process(1, "/bin/chat", POD, Some(agents())))],
        );
        assert_eq!(late.last().unwrap(), "1: traced");
    }
}

#[test]
fn a_namespace_that_is_not_known_yet_may_have_wishes() {
    let (mut selector, mut out) = (selector("", Some(in_pod)), Out::default());
    let early = Pod {
        awaits_namespace: true,
        ..agents()
    };
    let refuses = Pod {
        wishes: Wishes {
            untraced: true,
            ..Wishes::default()
        },
        ..agents()
    };
    let events = [
        told(process(1, "/bin/chat", POD, Some(early))),
        says(1, "secret"),
        told(process(1, "/bin/chat", POD, Some(refuses))),
        says(1, "secret"),
    ];
    assert_eq!(push(&mut selector, &mut out, events), ["kernel: not 1"]);
}

#[test]
fn who_has_ended_while_it_waited_is_told_and_forgotten() {
    let (mut selector, mut out) = (selector(NO_PERSONNEL, Some(in_pod)), Out::default());
    let brief = [
        told(process(1, "/bin/chat", POD, None)),
        says(1, "hello"),
        ends(1),
    ];
    assert!(push(&mut selector, &mut out, brief).is_empty());
    let known = [told(process(1, "/bin/chat", POD, Some(agents())))];
    assert_eq!(
        push(&mut selector, &mut out, known),
        ["1: traced", "1> hello", "1 ended"]
    );
    // Nothing is known of it any more.
    assert!(push(&mut selector, &mut out, [says(1, "ghost")]).is_empty());
}

#[test]
fn other_rules_hold_for_those_that_run_already() {
    let (mut selector, mut out) = (selector("", None), Out::default());
    let events = [
        told(process(1, "/bin/batch", "/", None)),
        told(process(2, "/bin/chat", "/", None)),
    ];
    push(&mut selector, &mut out, events);
    selector.reload(Arc::new(rules(NO_BATCH)), &mut out);
    assert_eq!(out.take(), ["1: left alone", "kernel: not 1", "2: traced"]);
    assert!(push(&mut selector, &mut out, [says(1, "secret")]).is_empty());
    selector.reload(Arc::new(Rules::default()), &mut out);
    assert_eq!(out.take(), ["kernel: 1 again", "1: traced", "2: traced"]);
}

#[test]
fn holding_is_bounded_for_each_and_for_all_and_what_is_too_much_is_counted() {
    let (mut selector, mut out) = (selector(NO_PERSONNEL, Some(in_pod)), Out::default());
    let piece = "x".repeat(64 << 10);
    for pid in 1..=16 {
        push(
            &mut selector,
            &mut out,
            [told(process(pid, "/bin/chat", POD, None))],
        );
        for _ in 0..=HELD_MAX / piece.len() {
            push(&mut selector, &mut out, [says(pid, piece.clone())]);
        }
        assert!(selector.held() <= HELD_IN_ALL_MAX);
    }
    let dropped = selector.counters().get(Counter::HeldEventsDropped);
    assert!(dropped > 8 * 64, "{dropped}");
    selector.finish(&mut out);
    assert_eq!(selector.held(), 0);
    assert!(out.take().iter().all(|said| said.starts_with("kernel: not")));
}
