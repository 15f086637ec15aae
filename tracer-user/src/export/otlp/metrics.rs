//! The thread that sends metrics, at an interval and at the end.
//!
//! Metrics are cumulative: what could not be sent is in the next request as well. So nothing is queued, and only the last
//! state is sent again until it arrives or the time is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::outcome::Outcome;
use super::settings::OtlpSettings;
use super::{STOPPING_MAX, Transport};
use crate::counters::Counter;
use crate::export::metrics::split::{POINTS_MAX, split};
use crate::export::metrics::{Collected, Collector, proto};
use crate::export::{OpenError, Report};
use crate::rights::{self, Rights};

/// Pause before the last state is sent again.
const ENDING_PAUSE: Duration = Duration::from_millis(250);

/// Longest that is waited for a backend that asked for it, at the end.
const ENDING_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Hands the last state to the sending thread.
#[derive(Debug)]
pub(in crate::export) struct OtlpMetrics {
    last: Option<oneshot::Sender<Arc<Collected>>>,
    shared: Arc<Shared>,
    ended: Receiver<()>,
    backend: String,
}

#[derive(Debug, Default)]
struct Shared {
    failed: AtomicU64,
    /// What went wrong with the last request.
    trouble: Mutex<Option<String>>,
    giving_up: Notify,
}

impl Shared {
    fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes how a request went; a change is logged, and not every request.
    fn note(&self, backend: &str, trouble: Option<String>) {
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &trouble) {
            (None, Some(reason)) => tracing::warn!(
                "the OTLP backend {backend} does not take metrics: {reason}; they are counted on and sent again"
            ),
            (Some(_), None) => tracing::warn!("the OTLP backend {backend} takes metrics again"),
            (None, None) => tracing::debug!("the OTLP backend {backend} took metrics"),
            (Some(_), Some(_)) => {}
        }
        if trouble.is_some() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        *known = trouble;
    }
}

impl OtlpMetrics {
    /// Sets up the connection, without making one, and starts the thread.
    pub(in crate::export) fn open(
        settings: OtlpSettings,
        interval: Duration,
        collector: Collector,
    ) -> Result<Self, OpenError> {
        let backend = settings.shown_endpoint();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(OpenError::Thread)?;
        let transport = match Transport::new(settings, &runtime) {
            Ok(transport) => transport,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let shared = Arc::new(Shared::default());
        let (last, awaited) = oneshot::channel();
        let (sender, ended) = sync_channel(1);
        let (worker, name) = (Arc::clone(&shared), backend.clone());
        rights::spawn("otlp-metrics", Rights::NONE, move || {
            let work = send_all(&worker, &transport, &name, interval, collector, awaited);
            runtime.block_on(async {
                tokio::select! {
                    () = work => {}
                    () = worker.giving_up.notified() => {}
                }
            });
            runtime.shutdown_background();
            sender.send(()).ok();
        })
        .map_err(OpenError::Thread)?;
        Ok(Self {
            last: Some(last),
            shared,
            ended,
            backend,
        })
    }

    /// Requests that failed.
    pub(in crate::export) fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Hands over the last state, or that there is none.
    pub(in crate::export) fn close(&mut self, last: Option<Arc<Collected>>) {
        if let (Some(sender), Some(last)) = (self.last.take(), last) {
            // The thread lives until it has this.
            sender.send(last).ok();
        }
    }

    /// Waits until the last state has arrived, until the deadline.
    pub(in crate::export) fn shutdown(mut self, deadline: Instant, report: &mut Report) {
        self.close(None);
        let Self {
            last: _,
            shared,
            ended,
            backend,
        } = self;
        let patience = deadline.saturating_duration_since(Instant::now());
        if ended.recv_timeout(patience).is_err() {
            shared.giving_up.notify_one();
            ended.recv_timeout(STOPPING_MAX).ok();
        }
        let failed = shared.failed.load(Ordering::Relaxed);
        report.counters.add(Counter::MetricExportsFailed, failed);
        if let Some(trouble) = shared.trouble() {
            report
                .problems
                .push(format!("the last metrics were not taken by {backend}: {trouble}"));
        }
    }
}

async fn send_all(
    shared: &Shared,
    transport: &Transport,
    backend: &str,
    interval: Duration,
    collector: Collector,
    mut last: oneshot::Receiver<Arc<Collected>>,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {
                if let Some(collected) = collector.collect().await {
                    send(shared, transport, backend, &collected).await;
                }
            }
            last = &mut last => {
                if let Ok(collected) = last {
                    send_last(shared, transport, backend, &collected).await;
                }
                return;
            }
        }
    }
}

/// Until it has arrived, or never will.
async fn send_last(shared: &Shared, transport: &Transport, backend: &str, collected: &Collected) {
    while let Some(pause) = send(shared, transport, backend, collected).await {
        tokio::time::sleep(pause.min(ENDING_PAUSE_MAX)).await;
    }
}

/// Sends once. How long to wait before it is worth another try, if it is.
async fn send(
    shared: &Shared,
    transport: &Transport,
    backend: &str,
    collected: &Collected,
) -> Option<Duration> {
    let mut trouble = None;
    for request in split(proto::request(collected), POINTS_MAX) {
        match transport.send_metrics(request).await {
            Outcome::Accepted { rejected: 0, .. } => {}
            Outcome::Accepted { rejected, message } => {
                trouble = Some(format!("it refused {rejected} points ({message})"));
            }
            Outcome::Later { reason, after } => {
                shared.note(backend, Some(reason));
                return Some(after.unwrap_or(ENDING_PAUSE));
            }
            Outcome::TooLarge { reason } => {
                trouble = Some(format!("{reason}; raise the limit of the backend"));
            }
            Outcome::Refused { reason } => trouble = Some(reason),
        }
    }
    shared.note(backend, trouble);
    None
}
