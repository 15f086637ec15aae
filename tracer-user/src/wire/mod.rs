//! Wire formats: HTTP/1, HTTP/2, content codings, event-streams. Parsers that take bytes and yield values, never a socket.
//!
//! [`Conversation`] is what `conn/` keeps for each connection: it tells from the first bytes which protocol is spoken and
//! reads it from there.

pub mod encoding;
pub mod eventstream;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod http1;
mod http2;
#[cfg(test)]
mod oracle_tests;
mod sniff;
#[cfg(test)]
mod tests;

use self::http1::{Context, Http1, Met};
use self::http2::Http2;
use self::sniff::{SNIFFED_MAX, Start};
use crate::conn::{Beginning, Piece, StreamEvent, StreamReader};
use crate::counters::{Counter, Counters};
use crate::event::{ConnectionKey, Direction, Monotonic};
use crate::http::HttpSink;

/// What is said on one connection.
#[derive(Debug)]
pub struct Conversation {
    beginning: Beginning,
    unpaired_told: bool,
    protocol: Protocol,
}

#[derive(Debug)]
enum Protocol {
    /// Too few bytes yet to tell.
    Undecided(Sniffed),
    /// Read here.
    Http1(Box<Http1>),
    /// Read here.
    Http2(Box<Http2>),
    /// Not read: something that is not HTTP, or a server's side.
    Foreign,
}

/// First bytes of a call in each direction.
#[derive(Debug, Default)]
struct Sniffed {
    read: Option<FirstBytes>,
    write: Option<FirstBytes>,
}

#[derive(Debug)]
struct FirstBytes {
    bytes: Vec<u8>,
    thread: u32,
    time: Monotonic,
}

impl<Sink: HttpSink> StreamReader<Sink> for Conversation {
    fn begin(beginning: Beginning) -> Self {
        Self {
            beginning,
            unpaired_told: false,
            protocol: Protocol::Undecided(Sniffed::default()),
        }
    }

    fn read(
        &mut self,
        connection: ConnectionKey,
        event: StreamEvent<'_>,
        sink: &mut Sink,
        counters: &mut Counters,
    ) {
        let mut context = Context {
            connection,
            sink,
            counters,
        };
        if self.beginning.unpaired && !self.unpaired_told {
            self.unpaired_told = true;
            context.sink.unpaired(connection);
        }
        match (&mut self.protocol, event) {
            (Protocol::Undecided(_), StreamEvent::Bytes(piece)) => self.sniff(piece, &mut context),
            (Protocol::Http1(http1), event) => match event {
                StreamEvent::Bytes(piece) => http1.bytes(piece, &mut context),
                StreamEvent::Gap {
                    direction,
                    length,
                    time,
                } => http1.gap(direction, length, time, &mut context),
                StreamEvent::Silent { time } => http1.silent(time, &mut context),
                StreamEvent::End { ending, time } => http1.end(ending, time, &mut context),
            },
            (Protocol::Http2(http2), event) => match event {
                StreamEvent::Bytes(piece) => http2.bytes(piece, &mut context),
                StreamEvent::Gap {
                    direction,
                    length,
                    time,
                } => http2.gap(direction, length, time, &mut context),
                StreamEvent::Silent { time } => http2.silent(time, &mut context),
                StreamEvent::End { ending, time } => http2.end(ending, time, &mut context),
            },
            (Protocol::Undecided(_) | Protocol::Foreign, _) => {}
        }
        match event {
            StreamEvent::Bytes(_) => self.judge(&mut context),
            // With a hole in it or given up for a while, a connection may be anywhere.
            StreamEvent::Gap { direction, .. } => {
                self.beginning.joined_late = true;
                if let Protocol::Undecided(sniffed) = &mut self.protocol {
                    pass_over(sniffed.of(direction).take(), context.counters);
                }
            }
            StreamEvent::Silent { .. } => self.beginning.joined_late = true,
            StreamEvent::End { .. } => {
                self.protocol = Protocol::Foreign;
                context.sink.gone(connection);
            }
        }
    }

    fn held(&self) -> usize {
        match &self.protocol {
            Protocol::Undecided(_) | Protocol::Foreign => 0,
            Protocol::Http1(http1) => size_of::<Http1>() + http1.held(),
            Protocol::Http2(http2) => size_of::<Http2>() + http2.held(),
        }
    }
}

impl Conversation {
    /// Tells the protocol, or waits for more bytes.
    fn sniff(&mut self, piece: Piece<'_>, context: &mut Context<'_, impl HttpSink>) {
        let Protocol::Undecided(sniffed) = &mut self.protocol else {
            return;
        };
        let late = self.beginning.joined_late;
        let Piece {
            direction,
            bytes,
            call_start,
            thread,
            time,
        } = piece;
        let slot = sniffed.of(direction);
        if call_start && (late || slot.is_none()) {
            let fresh = FirstBytes {
                bytes: Vec::new(),
                thread,
                time,
            };
            pass_over(slot.replace(fresh), context.counters);
        }
        let Some(first) = slot else {
            context
                .counters
                .add(Counter::UnsynchronisedBytes, bytes.len() as u64);
            return;
        };
        let known = first.bytes.len();
        let room = SNIFFED_MAX.saturating_sub(known);
        first.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let offset = self.beginning.offset;
        let mut reader = match (sniff::start(&first.bytes), direction) {
            (Start::Undecided, _) => return,
            (Start::Response, Direction::Read) if late => Reader::Http1(Http1::new(Met::AtResponse, offset)),
            (Start::Request, Direction::Write) | (Start::Response, Direction::Read) => {
                Reader::Http1(Http1::new(Met::AtRequest, offset))
            }
            (Start::Http2Client, Direction::Write) | (Start::Http2Server, Direction::Read) => {
                Reader::Http2(Http2::new(offset, self.beginning.unpaired))
            }
            _ if late && sniff::goes_on_in_http2(&first.bytes).is_none() => return,
            _ if late && sniff::goes_on_in_http2(&first.bytes) == Some(true) => {
                Reader::Http2(Http2::joined_late(offset))
            }
            // In the middle of a connection anything may come at the start of a call.
            _ if late => {
                first.bytes.truncate(known);
                pass_over(slot.take(), context.counters);
                context
                    .counters
                    .add(Counter::UnsynchronisedBytes, bytes.len() as u64);
                return;
            }
            _ => {
                self.give_up(context);
                return;
            }
        };
        first.bytes.truncate(known);

        let other = match direction {
            Direction::Read => Direction::Write,
            Direction::Write => Direction::Read,
        };
        let mut call_start = call_start;
        for direction in [other, direction] {
            if let Some(FirstBytes { bytes, thread, time }) = sniffed.of(direction).take()
                && !bytes.is_empty()
            {
                let piece = Piece {
                    direction,
                    bytes: &bytes,
                    call_start: true,
                    thread,
                    time,
                };
                reader.bytes(piece, context);
                call_start &= direction == other;
            }
        }
        reader.bytes(Piece { call_start, ..piece }, context);
        self.protocol = match reader {
            Reader::Http1(http1) => Protocol::Http1(Box::new(http1)),
            Reader::Http2(http2) => {
                context.counters.add(Counter::ConnectionsHttp2, 1);
                Protocol::Http2(Box::new(http2))
            }
        };
    }

    /// Gives up what looked like HTTP/1 at first and is not, or is not any more.
    fn judge(&mut self, context: &mut Context<'_, impl HttpSink>) {
        let Protocol::Http1(http1) = &self.protocol else {
            return;
        };
        let never_was = !self.beginning.joined_late && !http1.has_spoken() && http1.is_lost();
        if never_was || http1.is_tunnel() {
            self.give_up(context);
        }
    }

    fn give_up(&mut self, context: &mut Context<'_, impl HttpSink>) {
        self.protocol = Protocol::Foreign;
        context.sink.foreign(context.connection);
    }
}

/// A reader that was just chosen.
enum Reader {
    Http1(Http1),
    Http2(Http2),
}

impl Reader {
    fn bytes(&mut self, piece: Piece<'_>, context: &mut Context<'_, impl HttpSink>) {
        match self {
            Reader::Http1(http1) => http1.bytes(piece, context),
            Reader::Http2(http2) => http2.bytes(piece, context),
        }
    }
}

fn pass_over(first: Option<FirstBytes>, counters: &mut Counters) {
    let length = first.map_or(0, |first| first.bytes.len());
    counters.add(Counter::UnsynchronisedBytes, length as u64);
}

impl Sniffed {
    fn of(&mut self, direction: Direction) -> &mut Option<FirstBytes> {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}
