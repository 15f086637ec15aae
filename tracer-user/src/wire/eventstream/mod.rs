//! `application/vnd.amazon.eventstream` frames.
//!
//! ```text
//! u32 total length │ u32 headers length │ u32 CRC-32 of the 8 bytes before │ headers │ payload │ u32 CRC-32 of all before
//! └──────────────────────────── prelude ───────────────────────────────────┘
//! ```
//!
//! Big-endian, CRC-32 of IEEE 802.3. The format is the one the AWS SDKs speak (`botocore/eventstream.py`, the crate
//! `aws-smithy-eventstream`). This decoder watches, so it goes on where a client would give up:
//!
//! - The prelude is checked as soon as its 12 bytes are there: a broken length never makes us wait for gigabytes.
//! - A frame whose prelude holds but whose message checksum, headers or size do not is stepped over exactly.
//! - After a broken prelude, or a hole that hides where the next frame begins, the bytes are searched for the next prelude
//!   whose checksum and lengths hold. Chance passes that test once in about 2^54 positions.
//! - A hole of known length inside a frame costs that frame alone.
//!
//! Frames that lie wholly within the bytes fed are borrowed from them, others are gathered in a buffer of at most
//! [`MAX_RETAINED_FRAME`] bytes. How the input is split never changes what comes out.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod message;
#[cfg(test)]
mod tests;

use std::mem;

pub use message::{Header, HeaderValue, Headers, Message, MessageKind};

/// Largest header section; the same limit as in `botocore/eventstream.py`.
pub const MAX_HEADERS: usize = 128 * 1024;

/// Largest payload; the same limit as in `botocore/eventstream.py`.
pub const MAX_PAYLOAD: usize = 24 * 1024 * 1024;

/// Frames larger than this are stepped over and reported as [`BrokenReason::Oversized`], however they arrive. Text deltas
/// are a few KiB; the largest frames in use carry an image or a file.
pub const MAX_RETAINED_FRAME: usize = 8 * 1024 * 1024;

/// Once a frame is done, no more buffer than this is kept for the next.
const KEPT_CAPACITY: usize = 64 * 1024;

const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

// `find_prelude` looks for a first byte of 0 or 1 only.
const _: () = assert!(PRELUDE + MAX_HEADERS + MAX_PAYLOAD + CHECKSUM < 0x0200_0000);

/// What the decoder finds, in the order of the stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Item<'a> {
    /// A whole frame; both checksums hold.
    Message(Message<'a>),
    /// A stretch that could not be decoded.
    Broken(Broken),
}

/// A stretch of the stream that gave no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// What broke first.
    pub reason: BrokenReason,
    /// Bytes that were seen, but not decoded. Missing bytes are not counted.
    pub skipped: u64,
}

/// Why a stretch could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BrokenReason {
    /// The checksum of the prelude is wrong: not a frame, or damaged.
    PreludeChecksum,
    /// The prelude's checksum holds, but its lengths are impossible or beyond [`MAX_HEADERS`] or [`MAX_PAYLOAD`].
    Length,
    /// The checksum of the message is wrong.
    MessageChecksum,
    /// The checksums hold, but the headers cannot be parsed.
    Headers,
    /// A sound frame larger than [`MAX_RETAINED_FRAME`].
    Oversized,
    /// Bytes are missing.
    Hole,
    /// The stream ended inside a frame.
    Truncated,
}

/// Takes the bytes of one body in any pieces and yields its frames.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// Start of a prelude, of a frame, or while searching of what may become a prelude; tells `state` which.
    buffer: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// At a frame boundary, or within the first 12 bytes after it.
    #[default]
    Prelude,
    /// The prelude holds; gathering a frame of this many bytes.
    Frame { total: usize },
    /// Inside a frame that gives no message, with a known end.
    Skip { remaining: u64, broken: Broken },
    /// Looking for the next prelude.
    Search { broken: Broken },
}

impl Decoder {
    /// A decoder at the beginning of a body. To join in the middle of one, begin with a [`hole`](Self::hole).
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], each: &mut impl FnMut(Item<'_>)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.state {
                State::Prelude => self.prelude(rest, each),
                State::Frame { total } => self.frame(rest, total, each),
                State::Skip { remaining, broken } => self.skip(rest, remaining, broken, each),
                State::Search { broken } => self.search(rest, broken, each),
            };
        }
    }

    /// Bytes are missing here: `length` of them, where that is known.
    pub fn hole(&mut self, length: Option<u64>, each: &mut impl FnMut(Item<'_>)) {
        if length == Some(0) {
            return;
        }
        let seen = self.buffer.len() as u64;
        let (broken, remaining) = match self.state {
            State::Prelude => (
                Broken {
                    reason: BrokenReason::Hole,
                    skipped: seen,
                },
                None,
            ),
            State::Frame { total } => {
                let broken = Broken {
                    reason: BrokenReason::Hole,
                    skipped: seen,
                };
                (broken, Some((total as u64).saturating_sub(seen)))
            }
            State::Skip { remaining, broken } => (broken, Some(remaining)),
            State::Search { broken } => (broken.and(seen), None),
        };
        self.release_buffer();
        self.state = match (remaining, length) {
            (Some(remaining), Some(length)) if length < remaining => State::Skip {
                remaining: remaining - length,
                broken,
            },
            (Some(remaining), Some(length)) => {
                each(Item::Broken(broken));
                if length == remaining {
                    State::Prelude
                } else {
                    State::Search {
                        broken: Broken {
                            reason: BrokenReason::Hole,
                            skipped: 0,
                        },
                    }
                }
            }
            _ => State::Search { broken },
        };
    }

    /// The body is over: a frame left incomplete comes out as [`Item::Broken`]. The decoder is as new afterwards.
    pub fn finish(&mut self, each: &mut impl FnMut(Item<'_>)) {
        let seen = self.buffer.len() as u64;
        match mem::take(&mut self.state) {
            State::Prelude if seen == 0 => {}
            State::Prelude | State::Frame { .. } => {
                each(Item::Broken(Broken {
                    reason: BrokenReason::Truncated,
                    skipped: seen,
                }));
            }
            State::Skip { broken, .. } => each(Item::Broken(broken)),
            State::Search { broken } => each(Item::Broken(broken.and(seen))),
        }
        self.release_buffer();
    }

    /// Bytes held back until the rest of their frame arrives.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn prelude<'b>(&mut self, bytes: &'b [u8], each: &mut impl FnMut(Item<'_>)) -> &'b [u8] {
        if self.buffer.is_empty()
            && let Some(window) = bytes.first_chunk::<PRELUDE>()
        {
            match Lengths::parse(window) {
                Ok(lengths) if lengths.total > MAX_RETAINED_FRAME => self.skip_oversized(lengths.total, 0),
                Ok(lengths) => {
                    if let Some((frame, rest)) = bytes.split_at_checked(lengths.total) {
                        each(decode(frame));
                        return rest;
                    }
                    self.buffer.extend_from_slice(bytes);
                    self.state = State::Frame { total: lengths.total };
                    return &[];
                }
                Err(reason) => {
                    self.state = State::Search {
                        broken: Broken { reason, skipped: 0 },
                    }
                }
            }
            return bytes;
        }
        let rest = self.gather(bytes, PRELUDE);
        if let Some(window) = self.buffer.first_chunk::<PRELUDE>() {
            match Lengths::parse(window) {
                Ok(lengths) if lengths.total > MAX_RETAINED_FRAME => {
                    self.buffer.clear();
                    self.skip_oversized(lengths.total, PRELUDE);
                }
                Ok(lengths) => self.state = State::Frame { total: lengths.total },
                Err(reason) => {
                    // No position but the first had its 12 bytes yet; the others stay in question.
                    self.buffer.remove(0);
                    self.state = State::Search {
                        broken: Broken { reason, skipped: 1 },
                    };
                }
            }
        }
        rest
    }

    fn frame<'b>(&mut self, bytes: &'b [u8], total: usize, each: &mut impl FnMut(Item<'_>)) -> &'b [u8] {
        let rest = self.gather(bytes, total);
        if self.buffer.len() >= total {
            each(decode(&self.buffer));
            self.release_buffer();
            self.state = State::Prelude;
        }
        rest
    }

    fn skip<'b>(
        &mut self,
        bytes: &'b [u8],
        remaining: u64,
        broken: Broken,
        each: &mut impl FnMut(Item<'_>),
    ) -> &'b [u8] {
        let length = usize::try_from(remaining).unwrap_or(usize::MAX).min(bytes.len());
        let remaining = remaining - length as u64;
        let broken = broken.and(length as u64);
        if remaining == 0 {
            each(Item::Broken(broken));
            self.state = State::Prelude;
        } else {
            self.state = State::Skip { remaining, broken };
        }
        bytes.get(length..).unwrap_or_default()
    }

    fn search<'b>(&mut self, bytes: &'b [u8], broken: Broken, each: &mut impl FnMut(Item<'_>)) -> &'b [u8] {
        if self.buffer.is_empty() {
            let found = find_prelude(bytes);
            let skipped = found.unwrap_or(bytes.len().saturating_sub(PRELUDE - 1));
            let (gone, rest) = bytes.split_at_checked(skipped).unwrap_or((bytes, &[]));
            let broken = broken.and(gone.len() as u64);
            if found.is_some() {
                each(Item::Broken(broken));
                self.state = State::Prelude;
                return rest;
            }
            self.buffer.extend_from_slice(rest);
            self.state = State::Search { broken };
            return &[];
        }
        // A prelude that begins in the bytes held back ends in the first bytes of `bytes`.
        let held = self.buffer.len();
        let added = bytes.get(..PRELUDE - 1).unwrap_or(bytes);
        self.buffer.extend_from_slice(added);
        let found = find_prelude(&self.buffer);
        let searched = found
            .unwrap_or(self.buffer.len().saturating_sub(PRELUDE - 1))
            .min(held);
        let broken = broken.and(searched as u64);
        if found.is_some() {
            each(Item::Broken(broken));
            self.buffer.truncate(held);
            self.state = State::Prelude;
        } else {
            self.state = State::Search { broken };
        }
        self.buffer.drain(..searched);
        if found.is_some() {
            bytes
        } else if searched == held {
            self.buffer.clear();
            bytes
        } else {
            &[]
        }
    }

    /// Moves bytes into the buffer until it holds `length`; gives back the rest.
    fn gather<'b>(&mut self, bytes: &'b [u8], length: usize) -> &'b [u8] {
        let missing = length.saturating_sub(self.buffer.len());
        let (taken, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.buffer.extend_from_slice(taken);
        rest
    }

    fn skip_oversized(&mut self, total: usize, seen: usize) {
        self.state = State::Skip {
            remaining: total.saturating_sub(seen) as u64,
            broken: Broken {
                reason: BrokenReason::Oversized,
                skipped: seen as u64,
            },
        };
    }

    fn release_buffer(&mut self) {
        self.buffer.clear();
        if self.buffer.capacity() > KEPT_CAPACITY {
            self.buffer = Vec::new();
        }
    }
}

impl Broken {
    fn and(self, skipped: u64) -> Self {
        Self {
            skipped: self.skipped.saturating_add(skipped),
            ..self
        }
    }
}

/// A checked prelude.
struct Lengths {
    total: usize,
    headers: usize,
}

impl Lengths {
    fn parse(prelude: &[u8; PRELUDE]) -> Result<Self, BrokenReason> {
        let [t0, t1, t2, t3, h0, h1, h2, h3, c0, c1, c2, c3] = *prelude;
        let lengths = Self {
            total: u32::from_be_bytes([t0, t1, t2, t3]) as usize,
            headers: u32::from_be_bytes([h0, h1, h2, h3]) as usize,
        };
        if crc32fast::hash(&[t0, t1, t2, t3, h0, h1, h2, h3]) != u32::from_be_bytes([c0, c1, c2, c3]) {
            return Err(BrokenReason::PreludeChecksum);
        }
        let payload = lengths
            .total
            .checked_sub(lengths.headers.saturating_add(PRELUDE + CHECKSUM));
        match payload {
            Some(payload) if payload <= MAX_PAYLOAD && lengths.headers <= MAX_HEADERS => Ok(lengths),
            _ => Err(BrokenReason::Length),
        }
    }
}

/// First position where a prelude holds.
fn find_prelude(bytes: &[u8]) -> Option<usize> {
    let mut position = 0;
    loop {
        // The caps keep the first byte of the total length at 0 or 1.
        let rest = bytes.get(position..)?;
        position += memchr::memchr2(0, 1, rest)?;
        let window = bytes.get(position..)?.first_chunk::<PRELUDE>()?;
        if Lengths::parse(window).is_ok() {
            return Some(position);
        }
        position += 1;
    }
}

/// Decodes a whole frame whose prelude holds.
fn decode(frame: &[u8]) -> Item<'_> {
    let broken = |reason| {
        Item::Broken(Broken {
            reason,
            skipped: frame.len() as u64,
        })
    };
    let parts = || {
        let (content, checksum) = frame.split_last_chunk::<CHECKSUM>()?;
        let (prelude, rest) = content.split_first_chunk::<PRELUDE>()?;
        let (headers, payload) = rest.split_at_checked(Lengths::parse(prelude).ok()?.headers)?;
        Some((content, u32::from_be_bytes(*checksum), headers, payload))
    };
    let Some((content, checksum, headers, payload)) = parts() else {
        return broken(BrokenReason::Length);
    };
    if crc32fast::hash(content) != checksum {
        return broken(BrokenReason::MessageChecksum);
    }
    match Headers::parse(headers) {
        Some(headers) => Item::Message(Message { headers, payload }),
        None => broken(BrokenReason::Headers),
    }
}
