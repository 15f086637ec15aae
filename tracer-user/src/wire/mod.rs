//! Wire formats: HTTP/1, HTTP/2, content codings, event-streams, server-sent events. Parsers that take bytes and yield values, never a socket.
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
pub mod sse;
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
    /// It has been counted as HTTP/2.
    is_http2: bool,
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
    call_length: u64,
    thread: u32,
    time: Monotonic,
}

impl<Sink: HttpSink> StreamReader<Sink> for Conversation {
    fn begin(beginning: Beginning) -> Self {
        Self {
            beginning,
            unpaired_told: false,
            is_http2: false,
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
            (protocol, event) => protocol.read(event, &mut context),
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
        let Beginning {
            joined_late: late,
            unpaired,
            offset,
        } = self.beginning;
        let Piece {
            direction,
            bytes,
            call_start,
            call_length,
            thread,
            time,
        } = piece;
        let slot = sniffed.of(direction);
        if call_start && (late || slot.is_none()) {
            let fresh = FirstBytes {
                bytes: Vec::new(),
                call_length,
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
        let mut reader = match (sniff::start(&first.bytes), direction) {
            (Start::Undecided, _) => return,
            (Start::Response, Direction::Read) if late || unpaired => {
                Protocol::Http1(Box::new(Http1::new(Met::AtResponse, offset)))
            }
            (Start::Request, Direction::Write) | (Start::Response, Direction::Read) => {
                Protocol::Http1(Box::new(Http1::new(Met::AtRequest, offset)))
            }
            (Start::Http2Client, Direction::Write) if late => {
                Protocol::Http2(Box::new(Http2::from_preface(offset)))
            }
            (Start::Http2Client, Direction::Write) | (Start::Http2Server, Direction::Read) if !late => {
                Protocol::Http2(Box::new(Http2::new(offset, unpaired)))
            }
            (Start::Http2Client, Direction::Read) => {
                self.give_up(context);
                return;
            }
            _ if late && sniff::goes_on_in_http2(&first.bytes).is_none() => return,
            _ if late && sniff::goes_on_in_http2(&first.bytes) == Some(true) => {
                Protocol::Http2(Box::new(Http2::joined_late(offset)))
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
            if let Some(FirstBytes {
                bytes,
                call_length,
                thread,
                time,
            }) = sniffed.of(direction).take()
                && !bytes.is_empty()
            {
                let piece = Piece {
                    direction,
                    bytes: &bytes,
                    call_start: true,
                    call_length,
                    thread,
                    time,
                };
                reader.read(StreamEvent::Bytes(piece), context);
                call_start &= direction == other;
            }
        }
        reader.read(StreamEvent::Bytes(Piece { call_start, ..piece }), context);
        self.protocol = reader;
    }

    /// Gives up what looked like HTTP at first and is not, or is not any more.
    fn judge(&mut self, context: &mut Context<'_, impl HttpSink>) {
        // How the bytes are cut must not tell whether it is counted before its server is.
        if let Protocol::Http2(http2) = &self.protocol
            && http2.is_proven()
            && !std::mem::replace(&mut self.is_http2, true)
        {
            context.counters.add(Counter::ConnectionsHttp2, 1);
        }
        match &self.protocol {
            Protocol::Http1(http1) => {
                let never_was = !self.beginning.joined_late && !http1.has_spoken() && http1.is_lost();
                if never_was || http1.is_tunnel() {
                    self.give_up(context);
                }
            }
            Protocol::Http2(http2) if http2.is_server() => self.give_up(context),
            // Some bytes in the middle of a connection only looked like a frame.
            Protocol::Http2(http2) if !http2.is_proven() && http2.is_lost() => {
                self.protocol = Protocol::Undecided(Sniffed::default());
            }
            Protocol::Http2(_) | Protocol::Undecided(_) | Protocol::Foreign => {}
        }
    }

    fn give_up(&mut self, context: &mut Context<'_, impl HttpSink>) {
        self.protocol = Protocol::Foreign;
        context.sink.foreign(context.connection);
    }
}

fn pass_over(first: Option<FirstBytes>, counters: &mut Counters) {
    let length = first.map_or(0, |first| first.bytes.len());
    counters.add(Counter::UnsynchronisedBytes, length as u64);
}

impl Protocol {
    /// Hands on what happens to who reads it.
    fn read(&mut self, event: StreamEvent<'_>, context: &mut Context<'_, impl HttpSink>) {
        match (self, event) {
            (Protocol::Http1(http1), event) => match event {
                StreamEvent::Bytes(piece) => http1.bytes(piece, context),
                StreamEvent::Gap {
                    direction,
                    length,
                    time,
                } => http1.gap(direction, length, time, context),
                StreamEvent::Silent { time } => http1.silent(time, context),
                StreamEvent::End { ending, time } => http1.end(ending, time, context),
            },
            (Protocol::Http2(http2), event) => match event {
                StreamEvent::Bytes(piece) => http2.bytes(piece, context),
                StreamEvent::Gap {
                    direction,
                    length,
                    time,
                } => http2.gap(direction, length, time, context),
                StreamEvent::Silent { time } => http2.silent(time, context),
                StreamEvent::End { ending, time } => http2.end(ending, time, context),
            },
            (Protocol::Undecided(_) | Protocol::Foreign, _) => {}
        }
    }
}

impl Sniffed {
    fn of(&mut self, direction: Direction) -> &mut Option<FirstBytes> {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}
