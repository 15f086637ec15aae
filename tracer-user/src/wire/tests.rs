//! Conversations told from outside: connections as the probes see them, exchanges as HTTP means them.

use crate::conn::Connections;
use crate::counters::{Counter, Counters};
use crate::event::{ConnectionKey, Data, Direction, Monotonic, ProbeEvent, ProcessKey};
use crate::http::{BodyPart, ExchangeNumber, HttpEvent, HttpSink};
use crate::wire::Conversation;

/// Writes down what it is told, one line an event; adjacent bytes of one body are one line.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    pub(super) lines: Vec<String>,
    open: Option<(ExchangeNumber, &'static str)>,
}

impl HttpSink for Transcript {
    fn http(&mut self, _: ConnectionKey, exchange: ExchangeNumber, event: HttpEvent<'_>) {
        let number = exchange.0;
        let line = match event {
            HttpEvent::Request { head, .. } => format!("{number} {} {}", head.method, head.target),
            HttpEvent::RequestBody { part, .. } => return self.body(exchange, ">", &part),
            HttpEvent::RequestEnd { .. } => format!("{number} sent"),
            HttpEvent::Response { head, .. } => format!("{number} {}", head.status),
            HttpEvent::ResponseBody { part, .. } => return self.body(exchange, "<", &part),
            HttpEvent::End { completion, .. } => format!("{number} {completion:?}"),
        };
        self.open = None;
        self.lines.push(line);
    }

    fn unpaired(&mut self, _: ConnectionKey) {}

    fn foreign(&mut self, _: ConnectionKey) {
        self.open = None;
        self.lines.push("foreign".into());
    }

    fn gone(&mut self, _: ConnectionKey) {
        self.open = None;
        self.lines.push("gone".into());
    }
}

impl Transcript {
    fn body(&mut self, exchange: ExchangeNumber, arrow: &'static str, part: &BodyPart<'_>) {
        match part {
            BodyPart::Bytes(bytes) => {
                let text = bytes.escape_ascii().to_string();
                match self.lines.last_mut() {
                    Some(line) if self.open == Some((exchange, arrow)) => line.push_str(&text),
                    _ => self.lines.push(format!("{} {arrow} {text}", exchange.0)),
                }
                self.open = Some((exchange, arrow));
            }
            BodyPart::Hole(hole) => {
                self.open = None;
                let length = hole.length.map_or("?".into(), |length| length.to_string());
                self.lines
                    .push(format!("{} {arrow} hole {length} {:?}", exchange.0, hole.reason));
            }
        }
    }
}

/// A connection as the probes see it, call by call.
#[derive(Debug, Clone, Default)]
pub(super) struct Scene {
    pub(super) events: Vec<ProbeEvent<'static>>,
    time: u64,
    read: u64,
    written: u64,
    late: bool,
    unpaired: bool,
}

pub(super) const CONNECTION: ConnectionKey = ConnectionKey {
    process: ProcessKey { pid: 1, start_ns: 1 },
    address: 0xa,
    generation: 0,
};

impl Scene {
    /// A connection whose beginning is seen.
    pub(super) fn new() -> Self {
        let mut scene = Self::default();
        let (connection, time) = (CONNECTION, scene.now());
        scene.events.push(ProbeEvent::Open { connection, time });
        scene
    }

    /// A connection that was in use when the probes came.
    pub(super) fn joined_late() -> Self {
        Self {
            late: true,
            ..Self::default()
        }
    }

    /// A connection of which only one direction is seen.
    pub(super) fn unpaired() -> Self {
        Self {
            unpaired: true,
            ..Self::default()
        }
    }

    /// The process writes, in one call.
    pub(super) fn write(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.call(Direction::Write, bytes.as_ref())
    }

    /// The process reads, in one call.
    pub(super) fn read(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.call(Direction::Read, bytes.as_ref())
    }

    /// Bytes that the probes lose.
    pub(super) fn lose(&mut self, direction: Direction, length: u64) -> &mut Self {
        *self.offset(direction) += length;
        self
    }

    pub(super) fn close(&mut self) -> &mut Self {
        let (connection, time) = (CONNECTION, self.now());
        self.events.push(ProbeEvent::Close { connection, time });
        self
    }

    pub(super) fn exit(&mut self) -> &mut Self {
        let (process, time) = (CONNECTION.process, self.now());
        self.events.push(ProbeEvent::ProcessExit { process, time });
        self
    }

    pub(super) fn wait(&mut self, nanoseconds: u64) -> &mut Self {
        self.time += nanoseconds;
        let time = self.now();
        self.events.push(ProbeEvent::Tick(time));
        self
    }

    pub(super) fn now(&mut self) -> Monotonic {
        self.time += 1;
        Monotonic(self.time)
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.run().0.lines
    }

    pub(super) fn run(&self) -> (Transcript, Counters) {
        let mut connections: Connections<Conversation> = Connections::default();
        let mut transcript = Transcript::default();
        let mut counters = Counters::default();
        for event in &self.events {
            connections.push(event, &mut transcript, &mut counters);
        }
        connections.finish(&mut transcript, &mut counters);
        (transcript, counters)
    }

    /// The same with every call in pieces whose sizes repeat `sizes`.
    pub(super) fn split(&self, sizes: &[usize]) -> Self {
        let mut sizes = sizes.iter().copied().filter(|size| *size > 0).cycle();
        let mut events = Vec::new();
        for event in &self.events {
            let ProbeEvent::Data(data) = event else {
                events.push(event.clone());
                continue;
            };
            let mut at = 0;
            while at < data.bytes.len() {
                let size = sizes.next().unwrap_or(usize::MAX).min(data.bytes.len() - at);
                events.push(ProbeEvent::Data(Data {
                    stream_offset: data.stream_offset + at as u64,
                    call_offset: data.call_offset + at as u64,
                    bytes: data.bytes[at..at + size].to_vec().into(),
                    ..data.clone()
                }));
                at += size;
            }
        }
        Self {
            events,
            ..self.clone()
        }
    }

    fn offset(&mut self, direction: Direction) -> &mut u64 {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.written,
        }
    }

    pub(super) fn call(&mut self, direction: Direction, bytes: &[u8]) -> &mut Self {
        let time = self.now();
        let (joined_late, unpaired) = (self.late, self.unpaired);
        let offset = self.offset(direction);
        let stream_offset = *offset;
        *offset += bytes.len() as u64;
        self.events.push(ProbeEvent::Data(Data {
            connection: CONNECTION,
            direction,
            thread: 1,
            time,
            stream_offset,
            call_length: bytes.len() as u64,
            call_offset: 0,
            joined_late,
            unpaired,
            bytes: bytes.to_vec().into(),
        }));
        self
    }
}

#[test]
fn other_protocols_are_foreign() {
    for first in [
        &b"*3\r\n$3\r\nSET\r\n"[..],
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"EHLO client.example\r\n",
    ] {
        let (transcript, counters) = Scene::new().write(first).read(b"+OK\r\n").close().run();
        assert_eq!(transcript.lines, ["foreign", "gone"], "{}", first.escape_ascii());
        assert_eq!(counters.get(Counter::ConnectionsHttp2), 0);
    }
    assert_eq!(
        Scene::new().read("220 mail ready\r\n").close().lines(),
        ["foreign", "gone"]
    );
}

#[test]
fn a_direction_that_stands_alone_tells_its_half() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let lines = Scene::unpaired().read(answer).read(answer).close().lines();
    assert_eq!(
        lines,
        [
            "0 200",
            "0 < ok",
            "0 Complete",
            "1 200",
            "1 < ok",
            "1 Complete",
            "gone"
        ]
    );
    let lines = Scene::unpaired().write("GET /a HTTP/1.1\r\n\r\n").close().lines();
    assert_eq!(lines, ["0 GET /a", "0 sent", "0 Closed(Waiting)", "gone"]);
}

#[test]
fn the_server_side_of_a_connection_is_foreign() {
    let scene = Scene::new()
        .read("POST /model/m/converse HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        .write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .clone();
    assert_eq!(scene.lines(), ["foreign", "gone"]);
}
