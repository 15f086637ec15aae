//! The table told from outside: what a reader hears for what the probes saw.

use super::{Beginning, Connections, Ending, SILENCE_MAX_NS, StreamEvent, StreamReader};
use crate::counters::{Counter, Counters};
use crate::event::{ConnectionKey, Data, Direction, Monotonic, ProbeEvent, ProcessKey};

/// Notes what it is told, and holds as much memory as the bytes it was given.
struct Notes {
    held: usize,
    beginning: Beginning,
}

impl StreamReader<Vec<String>> for Notes {
    fn begin(beginning: Beginning) -> Self {
        Self { held: 0, beginning }
    }

    fn read(
        &mut self,
        connection: ConnectionKey,
        event: StreamEvent<'_>,
        output: &mut Vec<String>,
        _: &mut Counters,
    ) {
        let name = format!("{:x}.{}", connection.address, connection.generation);
        output.push(match event {
            StreamEvent::Bytes(piece) => {
                self.held += piece.bytes.len();
                let late = if self.beginning.joined_late { " late" } else { "" };
                let start = if piece.call_start { " start" } else { "" };
                let text = String::from_utf8_lossy(piece.bytes);
                format!("{name} {:?} {text}{start}{late}", piece.direction)
            }
            StreamEvent::Gap {
                direction, length, ..
            } => format!("{name} {direction:?} gap {length}"),
            StreamEvent::Silent { time } => format!("{name} silent at {}", time.0),
            StreamEvent::End { ending, time } => format!("{name} {ending:?} at {}", time.0),
        });
    }

    fn held(&self) -> usize {
        self.held
    }
}

fn key(pid: u32, address: u64, generation: u32) -> ConnectionKey {
    ConnectionKey {
        process: ProcessKey { pid, start_ns: 7 },
        address,
        generation,
    }
}

fn data(connection: ConnectionKey, time: u64, offset: u64, bytes: &str) -> ProbeEvent<'static> {
    ProbeEvent::Data(Data {
        connection,
        direction: Direction::Write,
        thread: 1,
        time: Monotonic(time),
        stream_offset: offset,
        call_length: bytes.len() as u64,
        call_offset: 0,
        joined_late: false,
        unpaired: false,
        bytes: bytes.as_bytes().to_vec().into(),
    })
}

fn told(connections: &mut Connections<Notes>, events: &[ProbeEvent<'_>]) -> (Vec<String>, Counters) {
    let mut output = Vec::new();
    let mut counters = Counters::default();
    for event in events {
        connections.push(event, &mut output, &mut counters);
    }
    (output, counters)
}

#[test]
fn interleaved_connections_are_told_apart() {
    let (a, b) = (key(1, 0xa, 0), key(1, 0xb, 0));
    let time = Monotonic(1);
    let (output, counters) = told(
        &mut Connections::default(),
        &[
            ProbeEvent::Open { connection: a, time },
            data(a, 2, 0, "one"),
            data(b, 3, 0, "two"),
            data(a, 4, 3, "three"),
            ProbeEvent::Close {
                connection: a,
                time: Monotonic(5),
            },
        ],
    );
    assert_eq!(
        output,
        [
            "a.0 Write one start",
            "b.0 Write two start",
            "a.0 Write three start",
            "a.0 Closed at 5"
        ]
    );
    assert_eq!(counters.get(Counter::Connections), 2);
}

#[test]
fn a_hole_and_a_repetition_are_told_and_counted() {
    let a = key(1, 0xa, 0);
    let (output, counters) = told(
        &mut Connections::default(),
        &[data(a, 1, 0, "abc"), data(a, 2, 1, "bcd"), data(a, 3, 14, "x")],
    );
    assert_eq!(
        output,
        [
            "a.0 Write abc start",
            "a.0 Write d",
            "a.0 Write gap 10",
            "a.0 Write x start"
        ]
    );
    assert_eq!(counters.get(Counter::Holes), 1);
    assert_eq!(counters.get(Counter::HoleBytes), 10);
    assert_eq!(counters.get(Counter::DuplicateBytes), 2);
}

#[test]
fn a_reused_address_ends_the_connection_that_was_there() {
    let (output, _) = told(
        &mut Connections::default(),
        &[
            data(key(1, 0xa, 3), 1, 0, "old"),
            data(key(1, 0xa, 4), 2, 0, "new"),
        ],
    );
    assert_eq!(
        output,
        ["a.3 Write old start", "a.3 Closed at 2", "a.4 Write new start"]
    );
}

#[test]
fn an_exit_ends_the_connections_of_that_process_only() {
    let mut connections = Connections::default();
    let (output, _) = told(
        &mut connections,
        &[
            data(key(1, 0xa, 0), 1, 0, "x"),
            data(key(1, 0xb, 0), 1, 0, "y"),
            data(key(2, 0xc, 0), 1, 0, "z"),
            ProbeEvent::ProcessExit {
                process: key(1, 0, 0).process,
                time: Monotonic(9),
            },
        ],
    );
    assert_eq!(output[3..], ["a.0 ProcessExited at 9", "b.0 ProcessExited at 9"]);
    assert_eq!(connections.len(), 1);
}

#[test]
fn bytes_after_the_end_are_a_connection_joined_in_the_middle() {
    let a = key(1, 0xa, 0);
    let (output, _) = told(
        &mut Connections::default(),
        &[
            data(a, 1, 0, "abc"),
            ProbeEvent::Close {
                connection: a,
                time: Monotonic(2),
            },
            data(a, 3, 3, "def"),
        ],
    );
    assert_eq!(output[1..], ["a.0 Closed at 2", "a.0 Write def start late"]);
}

#[test]
fn silence_is_told_once_and_the_same_with_and_without_ticks() {
    let a = key(1, 0xa, 0);
    let late = SILENCE_MAX_NS + 500_000_000_000;
    let with_ticks = [
        data(a, 1, 0, "x"),
        ProbeEvent::Tick(Monotonic(SILENCE_MAX_NS + 20_000_000_000)),
        ProbeEvent::Tick(Monotonic(SILENCE_MAX_NS + 40_000_000_000)),
        data(a, late, 1, "y"),
    ];
    let without = [data(a, 1, 0, "x"), data(a, late, 1, "y")];
    let (expected, _) = told(&mut Connections::default(), &with_ticks);
    let silent = format!("a.0 silent at {}", SILENCE_MAX_NS + 1);
    assert_eq!(
        expected,
        ["a.0 Write x start", silent.as_str(), "a.0 Write y start"]
    );
    assert_eq!(told(&mut Connections::default(), &without).0, expected);
}

#[test]
fn a_full_table_drops_the_quietest_and_counts_it() {
    let mut connections = Connections::with_limits(2, usize::MAX);
    let (output, counters) = told(
        &mut connections,
        &[
            data(key(1, 0xa, 0), 1, 0, "a"),
            data(key(1, 0xb, 0), 2, 0, "b"),
            data(key(1, 0xa, 0), 3, 1, "a"),
            data(key(1, 0xc, 0), 4, 0, "c"),
        ],
    );
    assert_eq!(output[3..], ["b.0 Evicted at 4", "c.0 Write c start"]);
    assert_eq!(counters.get(Counter::ConnectionsEvicted), 1);
    assert_eq!(connections.len(), 2);
}

#[test]
fn a_noisy_process_makes_room_and_not_its_quiet_neighbours() {
    let mut connections = Connections::with_limits(16, usize::MAX);
    let mut events = vec![
        data(key(1, 0xa, 0), 1, 0, "quiet"),
        data(key(2, 0xa, 0), 2, 0, "quiet"),
    ];
    events.extend((0..1000).map(|index| data(key(3, index, 0), 3 + index, 0, "noise")));
    events.push(data(key(1, 0xa, 0), 2000, 5, "heard"));
    let (output, counters) = told(&mut connections, &events);
    assert_eq!(output.last().unwrap(), "a.0 Write heard start");
    assert_eq!(counters.get(Counter::Connections), 1002);
    assert_eq!(
        connections.len(),
        1002 - usize::try_from(counters.get(Counter::ConnectionsEvicted)).unwrap()
    );
}

#[test]
fn memory_is_made_by_who_holds_most_of_it() {
    let mut connections = Connections::with_limits(100, 12);
    let (output, _) = told(
        &mut connections,
        &[
            data(key(1, 0xa, 0), 1, 0, "aaa"),
            data(key(2, 0xb, 0), 2, 0, "bbbb"),
            data(key(2, 0xc, 0), 3, 0, "cccc"),
            data(key(2, 0xd, 0), 4, 0, "d"),
            data(key(2, 0xe, 0), 5, 0, "e"),
        ],
    );
    assert_eq!(output[5..], ["b.0 Evicted at 5", "c.0 Evicted at 5"]);
    assert_eq!(connections.held(), 5);
}

#[test]
fn readers_that_hold_too_much_memory_make_room() {
    let mut connections = Connections::with_limits(100, 10);
    let (output, counters) = told(
        &mut connections,
        &[
            data(key(1, 0xa, 0), 1, 0, "aaaaaa"),
            data(key(1, 0xb, 0), 2, 0, "bbbbb"),
        ],
    );
    assert_eq!(output[2..], ["a.0 Evicted at 2"]);
    assert_eq!(connections.held(), 5);
    assert_eq!(counters.get(Counter::ConnectionsEvicted), 1);
}

#[test]
fn the_end_of_tracing_ends_every_connection() {
    let mut connections = Connections::default();
    told(&mut connections, &[data(key(1, 0xa, 0), 1, 0, "a")]);
    let mut output = Vec::new();
    connections.finish(&mut output, &mut Counters::default());
    assert_eq!(output, [format!("a.0 {:?} at 1", Ending::TracingStopped)]);
    assert!(connections.is_empty());
}
