//! `text/event-stream`: server-sent events (WHATWG HTML, section 9.2, "Parsing an event stream").
//!
//! Lines end in LF, CR or CRLF; a blank one ends an event. Of the fields only `event` and `data` matter here: `id` and `retry`
//! are for clients that connect anew. This reader watches, so it differs from the standard in three places:
//!
//! - An event larger than [`MAX_EVENT`] is stepped over and told as broken.
//! - After a hole everything up to the next blank line belongs to the event that was hit.
//! - An event whose last line is complete when the body ends is given, though no blank line came: clients of these streams
//!   take it as well. One that breaks off within a line is broken.
//!
//! Data that lies on one line within the bytes fed is borrowed from them. How the input is split never changes what comes out.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod tests;

use memchr::memchr2;

/// Events larger than this, all their lines taken together, are stepped over. Text deltas are a few hundred bytes, the last
/// event of a stream repeats the whole answer.
pub const MAX_EVENT: usize = 8 * 1024 * 1024;

/// Once an event is done, no more buffer than this is kept for the next.
const KEPT_CAPACITY: usize = 64 * 1024;

/// What some writers put before everything else.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the reader finds, in the order of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A whole event.
    Event(Event<'a>),
    /// An event that could not be read.
    Broken(BrokenReason),
}

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its `event` field; empty where it has none.
    pub kind: &'a [u8],
    /// Its `data` lines, joined by LF.
    pub data: &'a [u8],
}

/// Why an event could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BrokenReason {
    /// It is larger than [`MAX_EVENT`].
    Oversized,
    /// Bytes are missing.
    Hole,
    /// The body ended within a line.
    Truncated,
}

/// Takes the bytes of one body in any pieces and yields its events.
#[derive(Debug, Default)]
pub struct Reader {
    /// The line under way.
    line: Vec<u8>,
    /// `event` field of the event under way.
    kind: Vec<u8>,
    /// `data` lines of the event under way.
    data: Vec<u8>,
    /// It has such a line, perhaps an empty one.
    has_data: bool,
    /// Bytes of lines of the event under way, kept or not.
    taken: usize,
    before: Before,
    /// The event under way cannot be had; it lasts until the next blank line.
    broken: Option<BrokenReason>,
    /// The line under way has bytes that are not kept, or may have.
    line_hidden: bool,
}

/// What came before the next byte, as far as it matters.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing, or a part of the first line: it may have a mark of byte order.
    #[default]
    Beginning,
    /// A CR: an LF belongs to it.
    Return,
    /// Anything else.
    Other,
}

impl Reader {
    /// A reader at the beginning of a body. To join in the middle of one, begin with a [`hole`](Self::hole).
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], each: &mut impl FnMut(Item<'_>)) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if self.before == Before::Return {
                self.before = Before::Other;
                if *first == b'\n' {
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
            }
            let Some((line, end)) = memchr2(b'\r', b'\n', rest).and_then(|at| rest.split_at_checked(at))
            else {
                self.keep(rest);
                return;
            };
            rest = end.get(1..).unwrap_or_default();
            self.end_line(line, each);
            self.before = if end.first() == Some(&b'\r') {
                Before::Return
            } else {
                Before::Other
            };
        }
    }

    /// Bytes are missing here, however many.
    pub fn hole(&mut self) {
        self.discard(BrokenReason::Hole);
        self.line_hidden = true;
        self.before = Before::Other;
    }

    /// The body is over. The reader is as new afterwards.
    pub fn finish(&mut self, each: &mut impl FnMut(Item<'_>)) {
        if let Some(reason) = self.broken {
            each(Item::Broken(reason));
        } else if !self.line.is_empty() {
            each(Item::Broken(BrokenReason::Truncated));
        } else if self.has_data {
            each(Item::Event(Event {
                kind: &self.kind,
                data: &self.data,
            }));
        }
        *self = Self::default();
    }

    /// Bytes held back until the rest of their event arrives.
    pub fn buffered(&self) -> usize {
        self.line.len() + self.kind.len() + self.data.len()
    }

    /// The start of a line, or a piece of it.
    fn keep(&mut self, bytes: &[u8]) {
        if self.take(bytes) {
            self.line.extend_from_slice(bytes);
        }
    }

    /// The end of a line, of which the start may have been kept.
    fn end_line(&mut self, bytes: &[u8], each: &mut impl FnMut(Item<'_>)) {
        let kept = self.take(bytes);
        let hidden = std::mem::take(&mut self.line_hidden);
        if !kept {
            let blank = bytes.is_empty() && !hidden;
            if blank && let Some(reason) = self.broken.take() {
                each(Item::Broken(reason));
                self.release();
            }
            return;
        }
        let mut start = std::mem::take(&mut self.line);
        let line = if start.is_empty() {
            bytes
        } else {
            start.extend_from_slice(bytes);
            &start
        };
        let line = if self.before == Before::Beginning {
            line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            if self.has_data {
                each(Item::Event(Event {
                    kind: &self.kind,
                    data: &self.data,
                }));
            }
            self.release();
        } else {
            self.field(line);
        }
        start.clear();
        start.shrink_to(KEPT_CAPACITY);
        self.line = start;
    }

    /// A line `name: value`; one without a colon is a name alone, one that begins with it a comment.
    fn field(&mut self, line: &[u8]) {
        let (name, value) = match memchr::memchr(b':', line).and_then(|at| line.split_at_checked(at)) {
            Some((name, value)) => {
                let value = value.strip_prefix(b":").unwrap_or(value);
                (name, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match name {
            b"event" => {
                self.kind.clear();
                self.kind.extend_from_slice(value);
            }
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            _ => {}
        }
    }

    /// Counts bytes of a line. `false` if the event under way cannot be had.
    fn take(&mut self, bytes: &[u8]) -> bool {
        self.taken = self.taken.saturating_add(bytes.len());
        if self.broken.is_none() && self.taken > MAX_EVENT {
            self.line_hidden |= !self.line.is_empty();
            self.discard(BrokenReason::Oversized);
        }
        if self.broken.is_some() {
            self.line_hidden |= !bytes.is_empty();
            return false;
        }
        true
    }

    /// Gives up the event under way.
    fn discard(&mut self, reason: BrokenReason) {
        self.release();
        self.line = Vec::new();
        self.broken.get_or_insert(reason);
    }

    /// Makes room for the next event.
    fn release(&mut self) {
        for buffer in [&mut self.kind, &mut self.data] {
            buffer.clear();
            buffer.shrink_to(KEPT_CAPACITY);
        }
        self.has_data = false;
        self.taken = 0;
    }
}
