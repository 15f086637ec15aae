//! What goes into the reader of frames, and what comes out.

use crate::conn::Piece;
use crate::event::Monotonic;
use crate::hpack::frame::{FrameHeader, Kind};

/// Bytes of one call, or missing bytes, that are taken in step by step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) missing: u64,
    pub(super) call_start: bool,
    pub(super) call_length: u64,
    pub(super) thread: u32,
    pub(super) time: Monotonic,
}

impl<'a> Input<'a> {
    pub(super) fn bytes(piece: Piece<'a>) -> Self {
        let Piece {
            direction: _,
            bytes,
            call_start,
            call_length,
            thread,
            time,
        } = piece;
        Self {
            bytes,
            missing: 0,
            call_start,
            call_length,
            thread,
            time,
        }
    }

    pub(super) fn gap(length: u64, time: Monotonic) -> Self {
        Self {
            bytes: &[],
            missing: length,
            call_start: false,
            call_length: 0,
            thread: 0,
            time,
        }
    }

    /// The next bytes, at most so many.
    pub(super) fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at_checked(most).unwrap_or((self.bytes, &[]));
        self.bytes = rest;
        if !taken.is_empty() {
            self.call_start = false;
        }
        taken
    }
}

/// What a direction says next.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A complete header block.
    Block(Block),
    /// Content of a body.
    Data { stream: u32, bytes: &'a [u8] },
    /// Missing content of a body; how many bytes, where that can be told.
    Hole { stream: u32, length: Option<u64> },
    /// The sender says nothing more on a stream.
    EndStream { stream: u32 },
    /// `RST_STREAM`
    Reset { stream: u32 },
    /// GOAWAY: streams beyond this one are not answered.
    GoAway { last: u32 },
    /// Settings and their values.
    Settings(Vec<(u16, u32)>),
    /// Where frames begin is not known any more: whatever was under way may have gone on and ended.
    Lost,
}

/// A header block, put together.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    /// It belongs to a promised stream, which nobody wants.
    pub(super) promised: bool,
    /// `None`: some of it is missing, or it is too long.
    pub(super) bytes: Option<Vec<u8>>,
    /// When its first byte passed.
    pub(super) time: Monotonic,
    pub(super) thread: u32,
}

/// The part of a HEADERS or `PUSH_PROMISE` payload that is header block (RFC 9113 sections 6.2 and 6.6).
pub(super) fn fragment(header: FrameHeader, payload: &[u8]) -> Option<&[u8]> {
    let mut rest = payload;
    let mut padding = 0;
    if header.has(FrameHeader::PADDED) {
        let (&length, after) = rest.split_first()?;
        (padding, rest) = (usize::from(length), after);
    }
    if header.kind == Kind::PushPromise {
        rest = rest.get(4..)?;
    } else if header.has(FrameHeader::PRIORITY) {
        rest = rest.get(5..)?;
    }
    rest.get(..rest.len().checked_sub(padding)?)
}
