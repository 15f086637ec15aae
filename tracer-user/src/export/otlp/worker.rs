//! The thread that sends: batches, retries, and what is given up.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;

use super::health::Health;
use super::outcome::Outcome;
use super::{Load, Transport};
use crate::enrich::Resource;
use crate::export::queue::{Batching, Limits, Queue, count};
use crate::export::{Finished, WhenFull, logs, transform};

/// Most spans that are kept while a backend is slow or away, unless it is said otherwise, and most bytes of them.
pub const QUEUE_SPANS: NonZeroUsize = NonZeroUsize::new(8_192).expect("not zero");
const QUEUE_BYTES: usize = 64 << 20;

/// What is sent at once. gRPC servers take 4 MiB a message unless told otherwise.
const BATCHING: Batching = Batching {
    limits: Limits {
        spans: 512,
        bytes: 3 << 20,
    },
    linger: Duration::from_millis(500),
};

/// Most requests under way at once.
const CONCURRENT_MAX: usize = 4;

/// First and longest pause after a failure; it doubles in between.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Longest that a backend is left alone because it asked for it.
const ASKED_PAUSE_MAX: Duration = Duration::from_mins(5);

/// Pause after a failure when geophone is about to end.
const ENDING_PAUSE: Duration = Duration::from_millis(250);

/// What both sides know.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) queue: Queue,
    accepted: AtomicU64,
    sent: AtomicU64,
    refused: AtomicU64,
    /// The last thing that went wrong.
    trouble: Mutex<Option<String>>,
    closing: Notify,
    giving_up: Notify,
}

impl Shared {
    pub(super) fn new(when_full: WhenFull, spans: NonZeroUsize) -> Self {
        let limits = Limits {
            spans: spans.get(),
            bytes: QUEUE_BYTES,
        };
        Self {
            queue: Queue::new(limits, when_full),
            accepted: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            trouble: Mutex::default(),
            closing: Notify::new(),
            giving_up: Notify::new(),
        }
    }

    /// Takes a span to be sent.
    pub(super) fn accept(&self, finished: Finished) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.queue.push(finished);
    }

    /// No more spans come: what there is should be sent now.
    pub(super) fn close(&self) {
        self.queue.close();
        self.closing.notify_one();
    }

    /// The time is over, whatever is under way.
    pub(super) fn give_up(&self) {
        self.giving_up.notify_one();
    }

    /// Spans handed in.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Spans that the backend took.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Spans that the backend refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The last thing that went wrong.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, reason: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    fn lost(&self) -> u64 {
        self.refused() + self.queue.dropped()
    }
}

/// Sends until the queue is closed and empty, or there is no more time.
pub(super) async fn run(shared: &Shared, transport: &Transport, load: Load, backend: String) {
    tokio::select! {
        () = send_all(shared, transport, load, backend) => {}
        () = shared.giving_up.notified() => {}
    }
}

async fn send_all(shared: &Shared, transport: &Transport, load: Load, backend: String) {
    let mut health = Health::new(backend, load.many());
    let mut failures = 0_u32;
    while let Some(batch) = shared.queue.batch(BATCHING).await {
        let Some(later) = send_batch(shared, transport, load, &mut health, batch).await else {
            failures = 0;
            continue;
        };
        let pause = if shared.queue.is_closed() {
            later.after.unwrap_or(ENDING_PAUSE)
        } else {
            later
                .after
                .map_or_else(|| pause(failures), |after| after.min(ASKED_PAUSE_MAX))
        };
        failures = failures.saturating_add(1);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // The end is near: one more try at once.
            () = shared.closing.notified() => {}
        }
    }
}

/// Spans of one process.
struct Request {
    resource: Arc<Resource>,
    spans: Vec<Finished>,
}

/// The backend wants to be left alone.
struct Later {
    after: Option<Duration>,
}

/// Sends one batch, a request for each process. What has to wait is put back.
async fn send_batch(
    shared: &Shared,
    transport: &Transport,
    load: Load,
    health: &mut Health,
    batch: Vec<Finished>,
) -> Option<Later> {
    let mut waiting = by_process(batch);
    let mut running = FuturesUnordered::new();
    let mut postponed = Vec::new();
    let mut later: Option<Later> = None;
    loop {
        while later.is_none()
            && running.len() < CONCURRENT_MAX
            && let Some(request) = waiting.pop_front()
        {
            running.push(send(transport, load, request));
        }
        let Some((request, outcome)) = running.next().await else {
            break;
        };
        match outcome {
            Outcome::Accepted { rejected, message } => {
                let total = count(request.spans.len());
                let rejected = rejected.min(total);
                shared.sent.fetch_add(total - rejected, Ordering::Relaxed);
                shared.queue.done(&request.spans);
                if rejected > 0 {
                    let reason = format!("it took some and refused others ({message})");
                    refuse(shared, health, rejected, reason);
                } else {
                    health.up(shared.lost());
                }
            }
            Outcome::Later { reason, after } => {
                health.away(&reason, shared.lost());
                shared.note(reason);
                let after = after.max(later.and_then(|later| later.after));
                later = Some(Later { after });
                postponed.extend(request.spans);
            }
            Outcome::TooLarge { reason } => {
                let Request { resource, mut spans } = request;
                if spans.len() > 1 {
                    let second = spans.split_off(spans.len() / 2);
                    for spans in [second, spans] {
                        let resource = Arc::clone(&resource);
                        waiting.push_front(Request { resource, spans });
                    }
                } else {
                    shared.queue.done(&spans);
                    let reason = format!(
                        "{reason}, for a single {}; raise the limit of the backend",
                        load.one()
                    );
                    refuse(shared, health, count(spans.len()), reason);
                }
            }
            Outcome::Refused { reason } => {
                shared.queue.done(&request.spans);
                refuse(shared, health, count(request.spans.len()), reason);
            }
        }
    }
    postponed.extend(waiting.into_iter().flat_map(|request| request.spans));
    if !postponed.is_empty() {
        shared.queue.give_back(postponed);
    }
    later
}

async fn send(transport: &Transport, load: Load, request: Request) -> (Request, Outcome) {
    let spans = request.spans.iter().map(|finished| &*finished.span);
    let outcome = match load {
        Load::Spans(details) => {
            let resource = transform::sdk_resource(&request.resource);
            let spans = spans.map(|span| transform::span_data(span, details)).collect();
            transport.send(&resource, spans).await
        }
        Load::Records => transport.send_logs(logs::request(&request.resource, spans)).await,
    };
    (request, outcome)
}

fn refuse(shared: &Shared, health: &mut Health, spans: u64, reason: String) {
    health.refusing(&reason, shared.lost());
    shared.refused.fetch_add(spans, Ordering::Relaxed);
    shared.note(reason);
}

/// One request for each process, in the order in which they come first.
fn by_process(batch: Vec<Finished>) -> VecDeque<Request> {
    let mut requests: VecDeque<Request> = VecDeque::new();
    for finished in batch {
        let same = |request: &&mut Request| Arc::ptr_eq(&request.resource, &finished.resource);
        match requests.iter_mut().find(same) {
            Some(request) => request.spans.push(finished),
            None => requests.push_back(Request {
                resource: Arc::clone(&finished.resource),
                spans: vec![finished],
            }),
        }
    }
    requests
}

/// Doubles with every failure, and is a little different on every host, so that a backend that comes back is not met by
/// all of them at once.
fn pause(failures: u32) -> Duration {
    let pause = PAUSE_MIN.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX);
    let random = RandomState::new().build_hasher().finish();
    let percent = u32::try_from(random % 40).unwrap_or(0) + 80;
    pause * percent / 100
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{PAUSE_MAX, pause};

    #[test]
    fn pauses_grow_and_stay_bearable() {
        for _ in 0..100 {
            assert!(pause(0) >= Duration::from_millis(400) && pause(0) <= Duration::from_millis(600));
            assert!(pause(3) > pause(1));
            assert!(pause(u32::MAX) <= PAUSE_MAX * 2);
        }
    }
}
