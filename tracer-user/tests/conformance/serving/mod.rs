//! A recording served again: over which HTTP, in which pieces, and what a tracer of the client then says.

mod http1;
mod http2;

use std::borrow::Cow;
use std::fmt;

use tracer_user::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, ProcessKey, Verdict};
use tracer_user::genai::Capture;
use tracer_user::genai::span::Span;
use tracer_user::pipeline::{Pipeline, Settings, Sink};
use tracer_user::scrub::Scrubber;

use crate::recording::Recording;

/// What passes on a connection, in order.
pub(crate) type Passed = Vec<(Direction, Vec<u8>)>;

/// The HTTP that a recording is served over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1, the length of a body told where it was not streamed.
    Http1,
    /// HTTP/1.1, every body in chunks.
    Http1Chunked,
    /// HTTP/2, as the h2 crate speaks it on both sides.
    Http2,
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Http1, Self::Http1Chunked, Self::Http2];

    /// The connection with this exchange alone.
    pub(crate) fn serve(self, recording: &Recording) -> Passed {
        match self {
            Self::Http1 => http1::serve(recording, http1::Framing::Recorded),
            Self::Http1Chunked => http1::serve(recording, http1::Framing::Chunked),
            Self::Http2 => http2::serve(recording),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Http1 => "HTTP/1",
            Self::Http1Chunked => "HTTP/1 chunked",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// Bytes that nobody saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) direction: Direction,
    pub(crate) at: usize,
    pub(crate) length: usize,
}

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
}

impl Sink for Found {
    fn span(&mut self, span: Span) {
        self.spans.push(span);
    }

    fn verdict(&mut self, _connection: ConnectionKey, _verdict: Verdict) {}
}

/// The spans of a connection of which each read and write takes so many bytes at most, content included.
pub(crate) fn trace(passed: &Passed, piece: usize, holes: &[Hole]) -> Vec<Span> {
    let settings = Settings {
        content: Capture::Span,
        ..Settings::default()
    };
    trace_with(settings, passed, piece, holes)
}

/// The same with other settings.
pub(crate) fn trace_with(settings: Settings, passed: &Passed, piece: usize, holes: &[Hole]) -> Vec<Span> {
    let mut found = Found::default();
    let mut scrubber = Scrubber::new();
    let mut pipeline = Pipeline::new(settings);
    let mut push = |event: ProbeEvent<'_>| pipeline.push(&scrubber.scrub(event), &mut found);
    push(ProbeEvent::Host(Host {
        boot_id: "6c5f4bd0-0000-4000-8000-000000000000".into(),
        name: "host".into(),
        wall_offset_ns: 1_700_000_000_000_000_000,
    }));
    push(ProbeEvent::Open {
        connection: CONNECTION,
        time: Monotonic(1),
    });
    // A microsecond a byte, so that time does not depend on the pieces.
    let mut time = 1_000;
    let (mut read, mut written) = (0, 0);
    for (direction, bytes) in passed {
        let offset = match direction {
            Direction::Read => &mut read,
            Direction::Write => &mut written,
        };
        for bytes in bytes.chunks(piece) {
            time += 1_000 * bytes.len() as u64;
            for (at, bytes) in seen(*direction, *offset, bytes, holes) {
                push(ProbeEvent::Data(Data {
                    connection: CONNECTION,
                    direction: *direction,
                    thread: 1,
                    time: Monotonic(time),
                    stream_offset: at as u64,
                    call_length: bytes.len() as u64,
                    call_offset: 0,
                    joined_late: false,
                    unpaired: false,
                    bytes: Cow::Borrowed(bytes),
                }));
            }
            *offset += bytes.len();
        }
    }
    push(ProbeEvent::Close {
        connection: CONNECTION,
        time: Monotonic(time + 1),
    });
    pipeline.finish(&mut found);
    found.spans
}

/// What is left of a piece, each run of bytes with its place in the stream.
fn seen<'a>(direction: Direction, offset: usize, bytes: &'a [u8], holes: &[Hole]) -> Vec<(usize, &'a [u8])> {
    let mut left = Vec::new();
    let mut from = 0;
    for hole in holes.iter().filter(|hole| hole.direction == direction) {
        let start = hole.at.saturating_sub(offset).clamp(from, bytes.len());
        let end = (hole.at + hole.length)
            .saturating_sub(offset)
            .clamp(start, bytes.len());
        left.push((offset + from, &bytes[from..start]));
        from = end;
    }
    left.push((offset + from, &bytes[from..]));
    left.retain(|(_, bytes)| !bytes.is_empty());
    left
}
