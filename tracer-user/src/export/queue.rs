//! A bounded queue between the tracing thread and an outlet.
//!
//! Bounded in spans and in bytes, since a span with content may hold megabytes. When it is full, the oldest span of the process
//! that has most of what is short goes: what happens now is worth more than what nobody fetched, and nobody's spans push out
//! those of others. The lock is held to move a pointer, never across IO.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Finished, WhenFull};
use crate::event::ProcessKey;
use crate::genai::span::{Attribute, Span, Value};

/// Longest that a waiting producer is held up when nothing gets done at all: a replay into a dead backend must end.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What a queue or a batch may hold.
#[derive(Debug, Clone, Copy, Default)]
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
    spans: VecDeque<Finished>,
    bytes: usize,
    /// What waits of each process.
    held: BTreeMap<ProcessKey, Limits>,
    /// Fetched, and neither [`Queue::done`] nor [`Queue::give_back`] yet: still ours to hold.
    out: Limits,
    dropped: u64,
    closed: bool,
    /// Nothing got done for [`WAIT_MAX`]: nobody waits again until something does.
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

    /// Puts a span at the end; where there is no room, the process that has most of them makes some. A closed queue takes nothing.
    pub(super) fn push(&self, finished: Finished) {
        let weight = finished.weight;
        let mut state = self.lock();
        if self.when_full == WhenFull::Wait {
            state = self.wait_for_room(state, weight);
        }
        if state.closed {
            return;
        }
        state.hold(&finished);
        state.spans.push_back(finished);
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

    /// What was fetched is dealt with.
    pub(super) fn done(&self, batch: &[Finished]) {
        let mut state = self.lock();
        state.release(batch);
        state.stuck = false;
        drop(state);
        self.room.notify_all();
    }

    /// Puts spans that could not be sent back to where they were; the oldest are dropped when room has become scarce.
    pub(super) fn give_back(&self, batch: Vec<Finished>) {
        let mut state = self.lock();
        state.release(&batch);
        for finished in batch.into_iter().rev() {
            state.hold(&finished);
            state.spans.push_front(finished);
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

    /// How many spans were dropped for want of room.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// How many spans are held, those under way among them.
    pub(super) fn waiting(&self) -> u64 {
        let state = self.lock();
        count(state.spans.len() + state.out.spans)
    }

    fn has(&self, limits: Limits) -> bool {
        let state = self.lock();
        state.closed || state.spans.len() >= limits.spans || state.bytes >= limits.bytes
    }

    fn take(&self, limits: Limits) -> Vec<Finished> {
        let mut state = self.lock();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(next) = state.spans.front() {
            let full = batch.len() >= limits.spans || bytes + next.weight > limits.bytes;
            if full && !batch.is_empty() {
                break;
            }
            if let Some(finished) = state.remove(0) {
                bytes += finished.weight;
                batch.push(finished);
            }
        }
        state.out.bytes += bytes;
        state.out.spans += batch.len();
        batch
    }

    /// Drops the oldest of who has most until the rest fits. The newest stays whatever its size.
    fn trim(&self, state: &mut State) {
        while state.spans.len() > 1 && !self.fits(state, 0, 0) {
            let short: fn(&Limits) -> usize = if state.spans.len() + state.out.spans > self.limits.spans {
                |held| held.spans
            } else {
                |held| held.bytes
            };
            if state.remove(state.first_to_go(short)).is_some() {
                state.dropped += 1;
            }
        }
    }

    fn fits(&self, state: &State, spans: usize, bytes: usize) -> bool {
        let spans = state.spans.len() + state.out.spans + spans;
        let bytes = state.bytes + state.out.bytes + bytes;
        spans <= self.limits.spans && bytes <= self.limits.bytes
    }

    fn wait_for_room<'a>(&'a self, state: MutexGuard<'a, State>, weight: usize) -> MutexGuard<'a, State> {
        let full = |state: &mut State| {
            let empty = state.spans.is_empty() && state.out.spans == 0;
            !state.closed && !state.stuck && !empty && !self.fits(state, 1, weight)
        };
        let (mut state, timeout) = self
            .room
            .wait_timeout_while(state, WAIT_MAX, full)
            .unwrap_or_else(PoisonError::into_inner);
        state.stuck |= timeout.timed_out();
        state
    }

    /// A panic while the lock was held cannot leave the state half changed: counts are corrected beside each move.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One more is about to wait.
    fn hold(&mut self, finished: &Finished) {
        self.bytes += finished.weight;
        let held = self.held.entry(finished.span.process.key).or_default();
        held.spans += 1;
        held.bytes += finished.weight;
    }

    fn remove(&mut self, index: usize) -> Option<Finished> {
        let finished = self.spans.remove(index)?;
        self.bytes -= finished.weight;
        let process = finished.span.process.key;
        if let Some(held) = self.held.get_mut(&process) {
            held.spans -= 1;
            held.bytes -= finished.weight;
            if held.spans == 0 {
                self.held.remove(&process);
            }
        }
        Some(finished)
    }

    /// Where the oldest span of those is that have most; never the newest.
    fn first_to_go(&self, short: fn(&Limits) -> usize) -> usize {
        let most = self.held.values().map(short).max();
        // Hardly ever more than one: each span is then compared with a key, not looked up.
        let have_most: BTreeSet<ProcessKey> = self
            .held
            .iter()
            .filter(|(_, held)| Some(short(held)) == most)
            .map(|(process, _)| *process)
            .collect();
        let others = self.spans.len().saturating_sub(1);
        let goes = |finished: &Finished| have_most.contains(&finished.span.process.key);
        self.spans.iter().take(others).position(goes).unwrap_or(0)
    }

    fn release(&mut self, batch: &[Finished]) {
        let bytes: usize = batch.iter().map(|finished| finished.weight).sum();
        self.out.spans = self.out.spans.saturating_sub(batch.len());
        self.out.bytes = self.out.bytes.saturating_sub(bytes);
    }
}

/// About how many bytes a span takes, in memory as on the wire.
pub(crate) fn weight(span: &Span) -> usize {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::tests::{process, span};
    use super::super::{Finished, WhenFull};
    use super::{Batching, Limits, Queue};
    use crate::enrich::Resource;
    use crate::genai::span::SpanId;

    const NOW: Batching = Batching {
        limits: Limits {
            spans: 100,
            bytes: 1 << 20,
        },
        linger: Duration::ZERO,
    };

    fn finished(number: u8) -> Finished {
        let process = process(1, "worker");
        Finished::new(Arc::new(Resource::of(&process, None)), span(&process, number))
    }

    fn queue(spans: usize, when_full: WhenFull) -> Arc<Queue> {
        let limits = Limits {
            spans,
            bytes: 1 << 20,
        };
        Arc::new(Queue::new(limits, when_full))
    }

    fn numbers(batch: &[Finished]) -> Vec<u8> {
        batch
            .iter()
            .map(|Finished { span, .. }| {
                let SpanId([first, ..]) = span.span_id;
                first
            })
            .collect()
    }

    #[tokio::test]
    async fn a_full_queue_drops_the_oldest_and_counts_it() {
        let queue = queue(3, WhenFull::DropOldest);
        for number in 1..=5 {
            queue.push(finished(number));
        }
        assert_eq!(queue.dropped(), 2);
        assert_eq!(numbers(&queue.batch(NOW).await.expect("spans")), [3, 4, 5]);
    }

    #[tokio::test]
    async fn a_process_with_many_spans_makes_room_for_its_neighbours() {
        let queue = queue(6, WhenFull::DropOldest);
        let of = |pid, number| {
            let process = process(pid, "worker");
            Finished::new(Arc::new(Resource::of(&process, None)), span(&process, number))
        };
        queue.push(of(1, 1));
        for number in 11..=40 {
            queue.push(of(2, number));
        }
        queue.push(of(1, 2));
        assert_eq!(queue.dropped(), 26);
        let batch = queue.batch(NOW).await.expect("spans");
        assert_eq!(numbers(&batch), [1, 37, 38, 39, 40, 2]);
        queue.give_back(batch);
        for number in 41..=50 {
            queue.push(of(2, number));
        }
        assert_eq!(
            numbers(&queue.batch(NOW).await.expect("spans")),
            [1, 2, 47, 48, 49, 50]
        );
    }

    #[tokio::test]
    async fn a_queue_is_full_by_bytes_too_but_takes_one_span_of_any_size() {
        let one = finished(1).weight;
        let queue = Queue::new(
            Limits {
                spans: 100,
                bytes: one * 2,
            },
            WhenFull::DropOldest,
        );
        for number in 1..=3 {
            queue.push(finished(number));
        }
        assert_eq!(queue.dropped(), 1);
        let tiny = Queue::new(Limits { spans: 100, bytes: 1 }, WhenFull::DropOldest);
        tiny.push(finished(7));
        let batching = Batching {
            limits: Limits { spans: 1, bytes: 1 },
            ..NOW
        };
        assert_eq!(numbers(&tiny.batch(batching).await.expect("a span")), [7]);
    }

    #[tokio::test]
    async fn what_could_not_be_sent_goes_back_to_the_front_and_is_the_first_to_be_dropped() {
        let queue = queue(3, WhenFull::DropOldest);
        queue.push(finished(1));
        queue.push(finished(2));
        let batch = queue.batch(NOW).await.expect("spans");
        queue.push(finished(3));
        queue.give_back(batch);
        queue.push(finished(4));
        assert_eq!(queue.dropped(), 1);
        assert_eq!(numbers(&queue.batch(NOW).await.expect("spans")), [2, 3, 4]);
    }

    #[tokio::test]
    async fn what_is_being_sent_counts_until_it_is_done() {
        let queue = queue(3, WhenFull::DropOldest);
        for number in 1..=3 {
            queue.push(finished(number));
        }
        let batch = queue.batch(NOW).await.expect("spans");
        queue.push(finished(4));
        queue.push(finished(5));
        assert_eq!(
            queue.dropped(),
            1,
            "three under way, one waiting: no room for a fifth"
        );
        queue.done(&batch);
        queue.push(finished(6));
        assert_eq!(queue.dropped(), 1);
    }

    #[tokio::test]
    async fn a_batch_is_handed_over_when_it_is_full_without_waiting_for_more() {
        let queue = queue(100, WhenFull::DropOldest);
        queue.push(finished(1));
        queue.push(finished(2));
        let batching = Batching {
            limits: Limits {
                spans: 2,
                bytes: 1 << 20,
            },
            linger: Duration::from_hours(1),
        };
        assert_eq!(numbers(&queue.batch(batching).await.expect("spans")), [1, 2]);
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_has_and_then_ends() {
        let queue = queue(100, WhenFull::DropOldest);
        queue.push(finished(1));
        queue.close();
        let batching = Batching {
            linger: Duration::from_hours(1),
            ..NOW
        };
        assert_eq!(numbers(&queue.batch(batching).await.expect("a span")), [1]);
        assert!(queue.batch(batching).await.is_none());
        queue.push(finished(2));
        assert!(queue.batch(batching).await.is_none(), "it came too late");
    }

    #[tokio::test]
    async fn a_replay_waits_for_room_and_loses_nothing() {
        let queue = queue(2, WhenFull::Wait);
        let producer = Arc::clone(&queue);
        let producing = std::thread::spawn(move || {
            for number in 1..=200 {
                producer.push(finished(number));
            }
            producer.close();
        });
        let mut seen = Vec::new();
        while let Some(batch) = queue.batch(NOW).await {
            seen.extend(numbers(&batch));
            queue.done(&batch);
        }
        producing.join().expect("the producer ends");
        assert_eq!(seen, (1..=200).collect::<Vec<u8>>());
        assert_eq!(queue.dropped(), 0);
    }
}
