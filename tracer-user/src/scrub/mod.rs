//! Blanks credentials in the plaintext before anything else sees it.
//!
//! Live, this stands right behind the kernel's records: neither a recording nor a span can hold a key or a token, since
//! nothing after this place ever had it. Bytes are overwritten with `*`, one for one, so that lengths and offsets stay.
//!
//! What is blanked (`secrets.rs` is the list):
//! - the values of credential header fields, continuation lines included; of `Authorization` all but the scheme, and for
//!   AWS signatures the credential scope and the names of the signed headers, by which Bedrock is recognised;
//! - in request targets the signature, the session token and the access key id of presigned URLs;
//! - everything on a connection direction before a call that begins like an HTTP/1 message: other protocols, and what was
//!   under way when the probes came;
//! - after a hole, what may be the rest of a credential: up to the next line end, or a byte that no header can hold. In a body
//!   nothing is blanked after a hole, as far as it is sure to be the same body: in a response, and in the same call of a request.
//!
//! A line that looks like a credential header is blanked in a body too. Bodies are not searched otherwise. A request that
//! begins in the middle of a call, behind a body without a line end, has its header fields blanked, but not its target.
//!
//! HTTP/2 packs its header fields (`frames.rs`, `block.rs`). They are blanked in place by the same list, in such a way that they
//! stay valid: a blanked field reads as zeros or stars. The values of names that are not known, since probes came late or
//! bytes are missing, are blanked too. Bodies pass. What is not sure to be a frame is blanked whole, and counted.

mod block;
mod coded;
mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod h2_tests;
#[cfg(test)]
mod http2_tests;
mod secrets;
#[cfg(test)]
mod tests;
mod text;
mod value;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::counters::{Counter, Counters};
use crate::event::{ConnectionKey, Data, Direction, ProbeEvent, ProcessKey};
use frames::Frames;
use text::Text;

pub use secrets::is_credential;

/// Most connections remembered at once. One that was forgotten is blanked until its next message begins.
pub const CONNECTIONS_MAX: usize = 16_384;

/// When the table is full, one in this many connections makes room.
const FORGOTTEN_SHARE: usize = 16;

/// What stands in the place of a secret byte.
const BLANK: u8 = b'*';

/// Blanks the credentials of every connection.
#[derive(Debug, Default)]
pub struct Scrubber {
    // Ordered, so that all connections of a process are neighbours.
    connections: BTreeMap<Place, Connection>,
    uses: u64,
    counters: Counters,
    hidden: Vec<Range<usize>>,
}

/// Where a connection object lives. The generation is kept beside it, so that a new object takes the old one's room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    process: ProcessKey,
    address: u64,
}

#[derive(Debug)]
struct Connection {
    generation: u32,
    last_use: u64,
    http2: bool,
    read: Stream,
    write: Stream,
}

#[derive(Debug)]
struct Stream {
    /// Where the next byte belongs, unless some are missing.
    next: u64,
    text: Text,
    /// Once it speaks HTTP/2, or may do so.
    frames: Option<Box<Frames>>,
}

impl Scrubber {
    /// Knows no connection yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the event back with its credentials blanked.
    pub fn scrub<'a>(&mut self, event: ProbeEvent<'a>) -> ProbeEvent<'a> {
        match &event {
            ProbeEvent::Open { connection, .. } | ProbeEvent::Close { connection, .. } => {
                self.connections.remove(&Place::of(connection));
            }
            ProbeEvent::ProcessExit { process, .. } => self.forget(*process),
            // Told again after `execve`, or whenever it is not sure to have been told: what is under way goes on.
            ProbeEvent::Process(_)
            | ProbeEvent::Host(_)
            | ProbeEvent::ServerName { .. }
            | ProbeEvent::Data(_)
            | ProbeEvent::Lost(_)
            | ProbeEvent::Tick(_) => {}
        }
        match event {
            ProbeEvent::Data(data) => ProbeEvent::Data(self.data(data)),
            other => other,
        }
    }

    /// What was left out.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many connections are remembered.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no connection is remembered.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    fn data<'a>(&mut self, mut data: Data<'a>) -> Data<'a> {
        let place = Place::of(&data.connection);
        if self.connections.len() >= CONNECTIONS_MAX && !self.connections.contains_key(&place) {
            self.make_room();
        }
        self.uses += 1;
        let connection = self
            .connections
            .entry(place)
            .or_insert_with(|| Connection::new(data.connection.generation));
        if connection.generation != data.connection.generation {
            *connection = Connection::new(data.connection.generation);
        }
        connection.last_use = self.uses;

        let length = data.bytes.len();
        let stream = match data.direction {
            Direction::Read => &mut connection.read,
            Direction::Write => &mut connection.write,
        };
        if data.stream_offset == 0 {
            *stream = Stream::new();
        } else if data.stream_offset != stream.next {
            stream.hole(&data);
        }
        stream.next = data.stream_offset.saturating_add(length as u64);

        self.hidden.clear();
        let hidden = stream.read(&mut data, connection.http2, &mut self.hidden);
        connection.http2 |= stream.is_http2();
        if connection.http2 {
            self.counters.add(Counter::Http2BytesHidden, hidden);
        }
        data
    }

    fn forget(&mut self, process: ProcessKey) {
        let all = Place { process, address: 0 }..=Place {
            process,
            address: u64::MAX,
        };
        let places: Vec<Place> = self.connections.range(all).map(|(place, _)| *place).collect();
        for place in places {
            self.connections.remove(&place);
        }
    }

    /// Forgets the connections that were quiet for longest: a good many at once, so that a full table does not cost a
    /// search for every new connection.
    fn make_room(&mut self) {
        let mut uses: Vec<u64> = self
            .connections
            .values()
            .map(|connection| connection.last_use)
            .collect();
        let share = uses.len() / FORGOTTEN_SHARE;
        let (_, newest, _) = uses.select_nth_unstable(share);
        let newest = *newest;
        self.connections
            .retain(|_, connection| connection.last_use > newest);
    }
}

impl Place {
    fn of(connection: &ConnectionKey) -> Self {
        Self {
            process: connection.process,
            address: connection.address,
        }
    }
}

impl Connection {
    fn new(generation: u32) -> Self {
        Self {
            generation,
            last_use: 0,
            http2: false,
            read: Stream::new(),
            write: Stream::new(),
        }
    }
}

impl Stream {
    fn new() -> Self {
        Self {
            next: 0,
            text: Text::new(),
            frames: None,
        }
    }
}

impl Stream {
    /// Bytes are missing before these.
    fn hole(&mut self, data: &Data<'_>) {
        let call = data.stream_offset.saturating_sub(data.call_offset);
        self.text.hole(call < self.next && self.next < data.stream_offset);
        if let Some(frames) = &mut self.frames {
            frames.hole(data.stream_offset.checked_sub(self.next));
        }
    }

    /// Whether it speaks HTTP/2 for sure.
    fn is_http2(&self) -> bool {
        self.frames.as_ref().is_some_and(|frames| frames.is_confirmed())
    }

    /// Blanks what must not be seen. Gives how many bytes of HTTP/2 were hidden since nothing was known about them.
    fn read(&mut self, data: &mut Data<'_>, http2: bool, hidden: &mut Vec<Range<usize>>) -> u64 {
        let call_start = data.call_offset == 0;
        let at_beginning = data.stream_offset == 0 && !data.joined_late;
        match &self.frames {
            Some(frames) if frames.is_confirmed() => {}
            _ if http2 && at_beginning => self.frames = Some(Box::new(Frames::at_beginning(http2))),
            _ if http2 => self.frames = Some(Box::new(Frames::lost())),
            Some(frames) if call_start && frames.is_lost() => self.frames = None,
            _ => {}
        }
        // Frames begin with the high octet of their length, text never begins so.
        if self.frames.is_none()
            && call_start
            && self.text.is_unidentified()
            && data.bytes.first() == Some(&0)
        {
            self.text = Text::new();
            self.frames = Some(Box::new(if at_beginning {
                Frames::at_beginning(http2)
            } else {
                Frames::candidate()
            }));
        }
        let mut at = 0;
        if self.frames.is_none() {
            at = self.text.read(&data.bytes, call_start, hidden);
            for range in hidden.drain(..) {
                blank(&mut data.bytes, range);
            }
            if !self.text.is_http2() {
                return 0;
            }
        }
        self.frames
            .get_or_insert_with(|| Box::new(Frames::after_preface()))
            .read(&mut data.bytes, at, call_start && at == 0, data.call_length)
    }
}

/// Blanks a range. Carriage returns stay, they may belong to a line end. Copies only if that changes anything.
fn blank(bytes: &mut Cow<'_, [u8]>, range: Range<usize>) {
    let secret = |byte: &u8| *byte != BLANK && *byte != b'\r';
    if bytes
        .get(range.clone())
        .is_some_and(|bytes| bytes.iter().any(secret))
    {
        for byte in bytes
            .to_mut()
            .get_mut(range)
            .into_iter()
            .flatten()
            .filter(|byte| secret(byte))
        {
            *byte = BLANK;
        }
    }
}
