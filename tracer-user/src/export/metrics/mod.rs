//! Outlets of metrics.
//!
//! ```text
//!   otlp-metrics thread ──┐ asks: collect!                    ┌── OTLP
//!   prometheus thread ────┴──► tracing thread ── Collected ───┴── /metrics
//! ```
//!
//! Metrics are kept by the tracing thread. Who needs them asks, and the tracing thread answers between two looks at the
//! probes; nobody waits for a lock. At the end the last state is handed over unasked.

mod collected;
pub(super) mod health;
pub(super) mod proto;
pub(super) mod split;
mod table;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::sync::oneshot;

pub(super) use collected::Collected;
pub(super) use proto::in_units;
pub(super) use table::table;

/// How long an answer may take: tracing never stands still that long, but may be ending.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where to answer.
type Reply = oneshot::Sender<Arc<Collected>>;

/// Asks for the metrics.
#[derive(Debug, Clone)]
pub(super) struct Collector(Sender<Reply>);

impl Collector {
    /// The metrics as they are now; `None` when tracing is over.
    pub(super) async fn collect(&self) -> Option<Arc<Collected>> {
        let (reply, answer) = oneshot::channel();
        self.0.send(reply).ok()?;
        tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()
    }
}

/// Who has asked and was not answered yet.
#[derive(Debug)]
pub(super) struct Requests {
    incoming: Receiver<Reply>,
    waiting: Vec<Reply>,
}

impl Requests {
    /// Whether anybody waits.
    pub(super) fn any(&mut self) -> bool {
        self.waiting.extend(self.incoming.try_iter());
        !self.waiting.is_empty()
    }

    /// Answers all of them.
    pub(super) fn answer(&mut self, collected: &Arc<Collected>) {
        for reply in self.waiting.drain(..) {
            // Who gave up waiting is not told.
            reply.send(Arc::clone(collected)).ok();
        }
    }
}

/// Both ends.
pub(super) fn requests() -> (Collector, Requests) {
    let (sender, incoming) = channel();
    let waiting = Vec::new();
    (Collector(sender), Requests { incoming, waiting })
}
