//! Where a body ends (RFC 9112 §6.3) and which of its bytes are content, also across holes.

use super::chunked::Chunks;

/// How the end of a body is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked(Chunks),
    /// It ends with the connection.
    UntilClose,
}

/// What a body does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyStep<'a> {
    /// Content.
    Bytes(&'a [u8]),
    /// Content is missing here; how many bytes, where that can be told.
    Hole(Option<u64>),
    /// The input is used up.
    Hungry,
    /// The body is complete; what is left of the input follows it.
    End,
    /// These bytes are not a body of this kind.
    Broken,
}

impl Framing {
    /// A body without a byte.
    pub(super) fn empty() -> Self {
        Framing::Length(0)
    }

    /// Takes what it can from the front of `input`.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> BodyStep<'a> {
        match self {
            Framing::Length(0) => BodyStep::End,
            Framing::Length(remaining) => take_content(input, Some(remaining)),
            Framing::Chunked(chunks) => chunks.next(input),
            Framing::UntilClose => take_content(input, None),
        }
    }

    /// Passes over missing bytes and leaves in `missing` those beyond the end of the body.
    pub(super) fn skip(&mut self, missing: &mut u64) -> BodyStep<'static> {
        match self {
            Framing::Length(0) => BodyStep::End,
            _ if *missing == 0 => BodyStep::Hungry,
            Framing::Length(remaining) => BodyStep::Hole(Some(skip_content(remaining, missing))),
            Framing::Chunked(chunks) => chunks.skip(missing),
            Framing::UntilClose => BodyStep::Hole(Some(std::mem::take(missing))),
        }
    }

    /// A hole hides where the body goes on or ends, and it is being searched for.
    pub(super) fn is_searching(&self) -> bool {
        matches!(self, Framing::Chunked(chunks) if chunks.is_searching())
    }
}

/// Takes content up to `remaining` bytes from the front of the input, as one slice.
pub(super) fn take_content<'a>(input: &mut &'a [u8], remaining: Option<&mut u64>) -> BodyStep<'a> {
    let limit = remaining.as_ref().map_or(u64::MAX, |remaining| **remaining);
    let length = usize::try_from(limit).unwrap_or(usize::MAX).min(input.len());
    let (content, rest) = input.split_at(length);
    *input = rest;
    if let Some(remaining) = remaining {
        *remaining -= length as u64;
    }
    if content.is_empty() {
        BodyStep::Hungry
    } else {
        BodyStep::Bytes(content)
    }
}

/// Passes over missing content; gives how much.
pub(super) fn skip_content(remaining: &mut u64, missing: &mut u64) -> u64 {
    let skipped = (*remaining).min(*missing);
    *remaining -= skipped;
    *missing -= skipped;
    skipped
}
