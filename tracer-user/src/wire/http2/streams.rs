//! The streams of a connection: which exchange each is, and how far it has come.

use std::collections::{BTreeMap, VecDeque};

use super::super::encoding::Decoder;
use crate::conn::SILENCE_MAX_NS;
use crate::event::{Direction, Monotonic};
use crate::http::{Completion, ExchangeNumber, Phase};

/// Most streams under way on one connection. Servers allow 100 to 250 at once.
pub(super) const STREAMS_MAX: usize = 1024;

/// Streams that ended last: what still comes of them is no new exchange.
const ENDED_KEPT: usize = 256;

/// How long a stream may say nothing once its end may have been missed. Other streams keep the connection from falling
/// silent, so nothing else would end it.
pub(super) const CUT_MAX_NS: u64 = 900 * 1_000_000_000;

/// One request and its response.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) number: ExchangeNumber,
    pub(super) request: Side,
    pub(super) response: Side,
    /// When it was last heard of.
    heard: Monotonic,
}

/// One direction of a stream.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) progress: Progress,
    /// Bytes were missed, and its end may have been among them.
    pub(super) is_cut: bool,
}

/// How far a direction has come.
#[derive(Debug)]
pub(super) enum Progress {
    /// No final head has passed.
    Awaited,
    /// A head has passed, but whether it was the final one could not be told.
    HeadUnknown(Box<Decoder>),
    /// The body is under way.
    Body(Box<Decoder>),
    /// All of it has passed.
    Ended,
}

impl Side {
    fn new(progress: Progress) -> Self {
        Self {
            progress,
            is_cut: false,
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self.progress, Progress::Ended)
    }

    /// What undoes the coding of its body.
    pub(super) fn decoder(&mut self) -> Option<&mut Decoder> {
        match &mut self.progress {
            Progress::HeadUnknown(decoder) | Progress::Body(decoder) => Some(decoder),
            Progress::Awaited | Progress::Ended => None,
        }
    }

    fn held(&self) -> usize {
        match &self.progress {
            Progress::HeadUnknown(decoder) | Progress::Body(decoder) => size_of::<Decoder>() + decoder.held(),
            Progress::Awaited | Progress::Ended => 0,
        }
    }
}

impl Stream {
    pub(super) fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Write => &mut self.request,
            Direction::Read => &mut self.response,
        }
    }

    /// How it ended, given how it would have if the response had not been seen to its end.
    pub(super) fn completion(&self, otherwise: impl FnOnce(Phase) -> Completion) -> Completion {
        otherwise(match (&self.response.progress, &self.request.progress) {
            (Progress::Ended, _) => return Completion::Complete,
            (Progress::Body(_) | Progress::HeadUnknown(_), _) => Phase::Response,
            (Progress::Awaited, Progress::Ended) => Phase::Waiting,
            (Progress::Awaited, _) => Phase::Request,
        })
    }

    /// How it ended where nothing more can come of it.
    pub(super) fn closed(&self) -> Completion {
        let is_cut = self.response.is_cut;
        self.completion(if is_cut {
            Completion::Desynchronised
        } else {
            Completion::Closed
        })
    }

    /// How and when it ended if it has said nothing for too long.
    fn expired(&self, now: Monotonic) -> Option<(Completion, Monotonic)> {
        let (limit, otherwise): (_, fn(Phase) -> Completion) = if self.response.is_cut {
            (CUT_MAX_NS, Completion::Desynchronised)
        } else {
            (SILENCE_MAX_NS, Completion::TimedOut)
        };
        let end = Monotonic(self.heard.0.saturating_add(limit));
        (end < now).then(|| (self.completion(otherwise), end))
    }

    fn held(&self) -> usize {
        size_of::<Self>() + self.request.held() + self.response.held()
    }
}

/// All streams under way.
#[derive(Debug)]
pub(super) struct Streams {
    under_way: BTreeMap<u32, Stream>,
    ended: VecDeque<u32>,
    next: u64,
    held: usize,
}

impl Streams {
    /// The first exchange will have this number.
    pub(super) fn starting_at(first: u64) -> Self {
        Self {
            under_way: BTreeMap::new(),
            ended: VecDeque::new(),
            next: first,
            held: 0,
        }
    }

    /// Memory held beyond this value.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Whether the stream is under way.
    pub(super) fn contains(&self, stream: u32) -> bool {
        self.under_way.contains_key(&stream)
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
    pub(super) fn begin(&mut self, stream: u32, request: Progress, time: Monotonic) -> ExchangeNumber {
        let number = ExchangeNumber(self.next);
        self.next = self.next.saturating_add(1);
        let begun = Stream {
            number,
            request: Side::new(request),
            response: Side::new(Progress::Awaited),
            heard: time,
        };
        self.held += begun.held();
        if let Some(replaced) = self.under_way.insert(stream, begun) {
            self.held = self.held.saturating_sub(replaced.held());
        }
        number
    }

    /// Something passed on a stream that is under way.
    pub(super) fn hear<T>(
        &mut self,
        stream: u32,
        time: Monotonic,
        change: impl FnOnce(&mut Stream) -> T,
    ) -> Option<T> {
        let stream = self.under_way.get_mut(&stream)?;
        let before = stream.held();
        stream.heard = stream.heard.max(time);
        let result = change(stream);
        self.held = self.held.saturating_sub(before).saturating_add(stream.held());
        Some(result)
    }

    /// A stream is over.
    pub(super) fn remove(&mut self, stream: u32) -> Option<Stream> {
        let ended = self.under_way.remove(&stream)?;
        self.held = self.held.saturating_sub(ended.held());
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

    /// Those that have said nothing for too long, with how and when each ended.
    pub(super) fn expired(&self, now: Monotonic) -> Vec<(u32, Completion, Monotonic)> {
        let expired = |(stream, state): (&u32, &Stream)| {
            let (completion, end) = state.expired(now)?;
            Some((*stream, completion, end))
        };
        self.under_way.iter().filter_map(expired).collect()
    }
}
