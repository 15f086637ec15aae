//! A bounded queue between the tracing thread and an outlet.
//!
//! Bounded in spans and in bytes, since a span with content may hold megabytes. When it is full the oldest span goes:
//! what happens now is worth more than what nobody fetched. The lock is held to move a pointer, never across IO.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::{Finished, WhenFull};
use crate::genai::span::{Attribute, Span, Value};

/// Longest that a waiting producer is held up when nothing is taken at all: a replay into a dead backend must end.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What a queue or a batch may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most spans.
    pub(super) spans: usize,
    /// Most bytes, as [`weight`] counts them. A single span beyond it is let through alone.
    pub(super) bytes: usize,
}

/// When to hand over a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batching {
    /// A batch is full at this.
    pub(super) limits: Limits,
    /// How long the first span of a batch waits for company.
    pub(super) linger: Duration,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    when_full: WhenFull,
    state: Mutex<State>,
    /// Tells the consumer that there is a span, or that there will be no more.
    changed: Notify,
    /// Tells a waiting producer that there is room.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    spans: VecDeque<(Finished, usize)>,
    bytes: usize,
    dropped: u64,
    closed: bool,
    /// The consumer took nothing for [`WAIT_MAX`]: nobody waits for it again until it does.
    stuck: bool,
}

impl Queue {
    pub(super) fn new(limits: Limits, when_full: WhenFull) -> Self {
        Self {
            limits,
            when_full,
            state: Mutex::default(),
            changed: Notify::new(),
            room: Condvar::new(),
        }
    }

    /// Puts a span at the end; what there is no room for is dropped from the front.
    pub(super) fn push(&self, finished: Finished) {
        let weight = weight(&finished.span);
        let mut state = self.lock();
        if self.when_full == WhenFull::Wait {
            state = self.wait_for_room(state, weight);
        }
        if state.closed {
            state.dropped += 1;
            return;
        }
        state.bytes += weight;
        state.spans.push_back((finished, weight));
        self.trim(&mut state);
        drop(state);
        self.changed.notify_one();
    }

    /// The next batch: once one is full, or its first span has waited long enough, or nothing more comes. `None` when
    /// the queue is closed and empty.
    pub(super) async fn batch(&self, batching: Batching) -> Option<Vec<Finished>> {
        loop {
            {
                let state = self.lock();
                if !state.spans.is_empty() {
                    break;
                }
                if state.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
        let deadline = tokio::time::Instant::now() + batching.linger;
        while !self.has(batching.limits) {
            if tokio::time::timeout_at(deadline, self.changed.notified())
                .await
                .is_err()
            {
                break;
            }
        }
        Some(self.take(batching.limits))
    }

    /// Puts spans that could not be sent back to where they were; the oldest are dropped when room has become scarce.
    pub(super) fn give_back(&self, batch: Vec<Finished>) {
        let mut state = self.lock();
        for finished in batch.into_iter().rev() {
            let weight = weight(&finished.span);
            state.bytes += weight;
            state.spans.push_front((finished, weight));
        }
        self.trim(&mut state);
    }

    /// No more spans come; what is there can still be fetched.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
        self.room.notify_all();
    }

    /// Whether no more spans come.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Throws away what is left and says how much it was.
    pub(super) fn clear(&self) -> u64 {
        let mut state = self.lock();
        let left = count(state.spans.len());
        state.spans.clear();
        state.bytes = 0;
        left
    }

    /// How many spans were dropped for want of room.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn has(&self, limits: Limits) -> bool {
        let state = self.lock();
        state.closed || state.spans.len() >= limits.spans || state.bytes >= limits.bytes
    }

    fn take(&self, limits: Limits) -> Vec<Finished> {
        let mut state = self.lock();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some((_, weight)) = state.spans.front() {
            let full = batch.len() >= limits.spans || bytes + weight > limits.bytes;
            if full && !batch.is_empty() {
                break;
            }
            let Some((finished, weight)) = state.spans.pop_front() else {
                break;
            };
            bytes += weight;
            state.bytes -= weight;
            batch.push(finished);
        }
        state.stuck = false;
        self.room.notify_all();
        batch
    }

    fn trim(&self, state: &mut State) {
        while state.spans.len() > 1 && !self.fits(state, 0) {
            if let Some((_, weight)) = state.spans.pop_front() {
                state.bytes -= weight;
                state.dropped += 1;
            }
        }
    }

    fn fits(&self, state: &State, more: usize) -> bool {
        let spans = state.spans.len() + usize::from(more > 0);
        spans <= self.limits.spans && state.bytes + more <= self.limits.bytes
    }

    fn wait_for_room<'a>(&'a self, state: MutexGuard<'a, State>, weight: usize) -> MutexGuard<'a, State> {
        let deadline = Instant::now() + WAIT_MAX;
        let full = |state: &mut State| {
            !state.closed && !state.stuck && !state.spans.is_empty() && !self.fits(state, weight)
        };
        let patience = deadline.saturating_duration_since(Instant::now());
        let (mut state, timeout) = self
            .room
            .wait_timeout_while(state, patience, full)
            .unwrap_or_else(PoisonError::into_inner);
        state.stuck |= timeout.timed_out();
        state
    }

    /// A panic while the lock was held cannot leave the state half changed: counts are corrected beside each move.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About how many bytes a span takes, in memory as on the wire.
pub(super) fn weight(span: &Span) -> usize {
    /// Ids, times, flags and the framing around them.
    const FIXED: usize = 160;
    let events = span
        .events
        .iter()
        .map(|event| event.name.len() + 16 + attributes_weight(&event.attributes));
    FIXED + span.name.len() + attributes_weight(&span.attributes) + events.sum::<usize>()
}

fn attributes_weight(attributes: &[Attribute]) -> usize {
    /// Tags and lengths of a key and a value.
    const FIXED: usize = 8;
    let values = attributes.iter().map(|Attribute { key, value }| {
        let value = match value {
            Value::String(text) => text.len(),
            Value::Int(_) | Value::Double(_) => 8,
            Value::Bool(_) => 1,
            Value::Strings(texts) => texts.iter().map(|text| text.len() + FIXED).sum(),
        };
        FIXED + key.len() + value
    });
    values.sum()
}

/// A length as a counter takes it.
pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
