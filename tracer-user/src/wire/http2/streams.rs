//! The streams of a connection: which exchange each is, and how far it has come.

use std::collections::{BTreeMap, VecDeque};

use super::super::encoding::Decoder;
use crate::http::{Completion, ExchangeNumber, Phase};

/// Most streams under way on one connection. Servers allow 100 to 250 at once.
pub(super) const STREAMS_MAX: usize = 1024;

/// Streams that ended last: what still comes of them is no new exchange.
const ENDED_KEPT: usize = 256;

/// One request and its response.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) number: ExchangeNumber,
    pub(super) request: Side,
    pub(super) response: Side,
}

/// One direction of a stream.
#[derive(Debug)]
pub(super) enum Side {
    /// No (final) head has passed.
    Awaited,
    /// The body is under way.
    Body(Box<Decoder>),
    /// All of it has passed.
    Ended,
}

impl Side {
    pub(super) fn is_ended(&self) -> bool {
        matches!(self, Side::Ended)
    }
}

impl Stream {
    /// How it ended, given how it would have if the response had not been seen to its end.
    pub(super) fn completion(&self, otherwise: impl FnOnce(Phase) -> Completion) -> Completion {
        match (&self.response, &self.request) {
            (Side::Ended, _) => Completion::Complete,
            (Side::Body(_), _) => otherwise(Phase::Response),
            (Side::Awaited, Side::Ended) => otherwise(Phase::Waiting),
            (Side::Awaited, Side::Awaited | Side::Body(_)) => otherwise(Phase::Request),
        }
    }
}

/// All streams under way.
#[derive(Debug)]
pub(super) struct Streams {
    under_way: BTreeMap<u32, Stream>,
    ended: VecDeque<u32>,
    next: u64,
}

impl Streams {
    /// The first exchange will have this number.
    pub(super) fn starting_at(first: u64) -> Self {
        Self {
            under_way: BTreeMap::new(),
            ended: VecDeque::new(),
            next: first,
        }
    }

    pub(super) fn get(&mut self, stream: u32) -> Option<&mut Stream> {
        self.under_way.get_mut(&stream)
    }

    /// Whether there is no room for another.
    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= STREAMS_MAX
    }

    /// Whether the stream was there and is over.
    pub(super) fn has_ended(&self, stream: u32) -> bool {
        self.ended.contains(&stream)
    }

    /// A new exchange.
    pub(super) fn begin(&mut self, stream: u32, request: Side) -> ExchangeNumber {
        let number = ExchangeNumber(self.next);
        self.next += 1;
        self.under_way.insert(
            stream,
            Stream {
                number,
                request,
                response: Side::Awaited,
            },
        );
        number
    }

    /// A stream is over.
    pub(super) fn remove(&mut self, stream: u32) -> Option<Stream> {
        let ended = self.under_way.remove(&stream)?;
        if self.ended.len() >= ENDED_KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back(stream);
        Some(ended)
    }

    /// Those under way, oldest first.
    pub(super) fn under_way(&self) -> Vec<u32> {
        let mut streams: Vec<(ExchangeNumber, u32)> = self
            .under_way
            .iter()
            .map(|(stream, state)| (state.number, *stream))
            .collect();
        streams.sort_unstable();
        streams.into_iter().map(|(_, stream)| stream).collect()
    }

    /// Memory held beyond this value.
    pub(super) fn held(&self) -> usize {
        let side = |side: &Side| match side {
            Side::Body(decoder) => size_of::<Decoder>() + decoder.held(),
            Side::Awaited | Side::Ended => 0,
        };
        self.under_way
            .values()
            .map(|stream| size_of::<Stream>() + side(&stream.request) + side(&stream.response))
            .sum()
    }
}
