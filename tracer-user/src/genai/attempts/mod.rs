//! Attempts of one logical call, joined: an SDK that is throttled asks again, and all of it is one call of its program.
//!
//! SDKs of AWS name a call (`amz-sdk-invocation-id`), those of Anthropic and `OpenAI` count (`x-stainless-retry-count`) and send
//! the same request again. A failed attempt that may be followed waits for the next one until the process ends, tracing
//! stops, room is needed, or [`PATIENCE_NS`] have passed. A call that went well at first is never held back.

mod outcome;
mod series;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::bedrock::Call;
use crate::bedrock::attempt::{Begun, Series};
use crate::counters::Counter;
use crate::event::{ConnectionKey, Monotonic, ProcessKey};
use crate::http::ExchangeNumber;

use series::Logical;

pub(super) use outcome::is_throttled;

/// How long a failed attempt waits for the next one. The SDKs of AWS wait 20 s at most between attempts (`max_backoff` of the
/// standard retry mode).
pub const PATIENCE_NS: u64 = 30_000_000_000;

/// Most logical calls of which something is remembered. The one that began first comes out as it is.
pub const MAX_LOGICAL: usize = 16_384;

/// Most failed attempts that wait for the next one. They keep what was said in them.
pub const MAX_WAITING: usize = 512;

/// Most bytes of content kept in attempts that have ended.
pub const MAX_HELD: usize = 64 << 20;

/// One exchange.
type Place = (ConnectionKey, ExchangeNumber);

/// Joins attempts. No IO, no clock: time comes with the calls and with [`Attempts::tick`].
#[derive(Debug, Default)]
pub struct Attempts {
    /// In the order they began.
    logical: BTreeMap<u64, Logical>,
    next: u64,
    /// Those of one series: as a rule one.
    of_series: BTreeMap<(ProcessKey, Series), BTreeSet<u64>>,
    /// Attempts under way.
    of_place: BTreeMap<Place, u64>,
    /// Those that wait for something, by the end of their patience.
    waiting: BTreeSet<(Monotonic, u64)>,
    /// Bytes of content kept.
    held: usize,
    outputs: Vec<Output>,
}

/// Something to tell. The owner takes it after every event.
#[derive(Debug)]
pub enum Output {
    /// A call as a whole: its last attempt, with the identity and the start of its first.
    Call(Box<Call>),
    /// Something to be counted.
    Count(Counter, u64),
}

impl Attempts {
    /// An attempt has begun.
    pub fn begun(&mut self, begun: Begun) {
        let Begun {
            connection,
            exchange,
            series,
            resends,
        } = begun;
        let key = (connection.process, series);
        let id = self.continued(&key, resends).unwrap_or_else(|| self.begin(key));
        let place = (connection, exchange);
        if let Some(logical) = self.logical.get_mut(&id) {
            if let Some(deadline) = logical.deadline.take() {
                self.waiting.remove(&(deadline, id));
            }
            logical.under_way.insert(place, resends);
            self.of_place.insert(place, id);
        }
    }

    /// An attempt, or a call that has no others, is over.
    pub fn call(&mut self, mut call: Box<Call>) {
        if is_throttled(&call) {
            self.outputs.push(Output::Count(Counter::Throttles, 1));
        }
        let place = (call.connection, call.exchange);
        let now = call.timings.end;
        let id = self.of_place.remove(&place);
        let Some((id, logical)) = id.and_then(|id| Some((id, self.logical.get_mut(&id)?))) else {
            call.gaps.attempts_unseen = call.attempt.resends > 0;
            self.outputs.push(Output::Call(call));
            return;
        };
        logical.under_way.remove(&place);
        let before = logical.held();
        logical.take(call);
        self.held = (self.held + logical.held()).saturating_sub(before);
        if logical.is_over() && logical.under_way.is_empty() {
            self.tell(id);
        } else if logical.is_over() || logical.under_way.is_empty() {
            // Waits for the next attempt, or for the end of an earlier one that the client has long given up.
            let deadline = Monotonic(now.0.saturating_add(PATIENCE_NS));
            if let Some(before) = logical.deadline.replace(deadline) {
                self.waiting.remove(&(before, id));
            }
            self.waiting.insert((deadline, id));
            self.make_room_for_waiting();
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Monotonic) {
        while let Some((deadline, id)) = self.waiting.first().copied()
            && deadline <= now
        {
            self.tell(id);
        }
    }

    /// A process is gone: no attempt of it follows.
    pub fn process_exit(&mut self, process: ProcessKey) {
        let lowest = (process, Series::Invocation(String::new()));
        let ids: BTreeSet<u64> = self
            .of_series
            .range(lowest..)
            .take_while(|((other, _), _)| *other == process)
            .flat_map(|(_, ids)| ids.iter().copied())
            .collect();
        for id in ids {
            self.tell(id);
        }
    }

    /// Tracing stops.
    pub fn finish(&mut self) {
        while let Some(id) = self.logical.keys().next().copied() {
            self.tell(id);
        }
    }

    /// How many calls are under way or wait for another attempt.
    pub fn waiting(&self) -> usize {
        self.logical.len()
    }

    /// What was found since the last time.
    pub fn outputs(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.outputs.drain(..)
    }

    /// The logical call that an attempt carries on. One that is named is found by its name alone. Of requests that say the
    /// same, a first attempt carries nothing on, and a later one the call that has waited longest for just this attempt, or
    /// the only one whose attempt before may have been given up.
    fn continued(&self, key: &(ProcessKey, Series), resends: u64) -> Option<u64> {
        let ids = self.of_series.get(key)?;
        match key.1 {
            Series::Invocation(_) => ids.first().copied(),
            Series::Request(_) => {
                let known = || ids.iter().filter_map(|id| Some((*id, self.logical.get(id)?)));
                let waiting = known().find(|(_, logical)| logical.waits_for(resends));
                let mut given_up = known().filter(|(_, logical)| logical.may_be_given_up_for(resends));
                let only = || given_up.next().filter(|_| given_up.next().is_none());
                waiting.or_else(only).map(|(id, _)| id)
            }
        }
    }

    fn begin(&mut self, key: (ProcessKey, Series)) -> u64 {
        while self.logical.len() >= MAX_LOGICAL
            && let Some(oldest) = self.logical.keys().next().copied()
        {
            self.evict(oldest);
        }
        let id = self.next;
        self.next += 1;
        self.of_series.entry(key.clone()).or_default().insert(id);
        self.logical.insert(id, Logical::new(key));
        id
    }

    fn make_room_for_waiting(&mut self) {
        while (self.waiting.len() > MAX_WAITING || self.held > MAX_HELD)
            && let Some((_, id)) = self.waiting.first().copied()
        {
            self.evict(id);
        }
    }

    fn evict(&mut self, id: u64) {
        self.outputs.push(Output::Count(Counter::RetriesEvicted, 1));
        self.tell(id);
    }

    /// Nothing more is awaited of it. An attempt that is still under way is told on its own when it ends.
    fn tell(&mut self, id: u64) {
        let Some(mut logical) = self.logical.remove(&id) else {
            return;
        };
        if let Some(deadline) = logical.deadline.take() {
            self.waiting.remove(&(deadline, id));
        }
        self.held = self.held.saturating_sub(logical.held());
        for place in logical.under_way.keys() {
            self.of_place.remove(place);
        }
        if let Some(ids) = self.of_series.get_mut(&logical.key) {
            ids.remove(&id);
            if ids.is_empty() {
                self.of_series.remove(&logical.key);
            }
        }
        if let Some(call) = logical.into_call() {
            let joined = u64::try_from(call.attempts.len())
                .unwrap_or(u64::MAX)
                .saturating_sub(1);
            if joined > 0 {
                self.outputs.push(Output::Count(Counter::AttemptsJoined, joined));
            }
            self.outputs.push(Output::Call(call));
        }
    }
}
