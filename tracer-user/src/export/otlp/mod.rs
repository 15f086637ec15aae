//! Sending spans, log records and metrics to an OpenTelemetry backend.
//!
//! Over HTTP `opentelemetry-otlp` makes the requests. Its exporter carries one resource, so there is one request for each process in
//! a batch; all of them share one pool of connections, and an exporter costs nothing to make beside that. Retrying is done
//! here and not by the crate, since here it is known how much may be kept.

mod grpc;
mod health;
mod http;
mod metrics;
mod outcome;
mod settings;
mod tls;
mod worker;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use tokio::runtime::Runtime;

use super::logs::Details;
use super::{Finished, OpenError, Report, WhenFull};
use crate::counters::Counter;
use crate::rights::{self, Rights};
use grpc::GrpcTransport;
use http::HttpTransport;
use outcome::Outcome;
use worker::Shared;

pub(super) use metrics::OtlpMetrics;
pub use worker::QUEUE_SPANS;

pub use grpc::GrpcError;
pub use settings::{ClientCertificate, OtlpHeaders, OtlpProtocol, OtlpSettings, OtlpSettingsError, Signal};
pub use tls::TlsError;

/// Who sends, as the specification asks it to be said.
const USER_AGENT: &str = concat!("geophone/", env!("CARGO_PKG_VERSION"));

/// How long a thread that was told to stop may take to do so.
const STOPPING_MAX: Duration = Duration::from_secs(1);

/// What is sent of the spans that are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// The spans.
    Spans(Details),
    /// Their details, as log records.
    Records,
}

impl Load {
    /// One of them, for people.
    fn one(self) -> &'static str {
        match self {
            Self::Spans(_) => "span",
            Self::Records => "log record",
        }
    }

    /// Many of them, for people.
    fn many(self) -> &'static str {
        match self {
            Self::Spans(_) => "spans",
            Self::Records => "log records",
        }
    }

    /// A number of them in words.
    fn counted(self, number: u64) -> String {
        match number {
            1 => format!("1 {} was", self.one()),
            number => format!("{number} {} were", self.many()),
        }
    }
}

/// Hands spans to the sending thread.
#[derive(Debug)]
pub(super) struct Otlp {
    load: Load,
    shared: Arc<Shared>,
    ended: Receiver<()>,
    /// The address, for people.
    backend: String,
}

/// How requests are sent.
#[derive(Debug)]
enum Transport {
    Http(HttpTransport),
    Grpc(GrpcTransport),
}

impl Transport {
    fn new(settings: OtlpSettings, runtime: &Runtime) -> Result<Self, OpenError> {
        Ok(match settings.protocol {
            OtlpProtocol::HttpProtobuf => Self::Http(HttpTransport::new(settings)?),
            OtlpProtocol::Grpc => {
                let _inside = runtime.enter();
                Self::Grpc(GrpcTransport::new(settings)?)
            }
        })
    }

    async fn send(&self, resource: &Resource, spans: Vec<SpanData>) -> Outcome {
        match self {
            Self::Http(transport) => transport.send(resource, spans).await,
            Self::Grpc(transport) => transport.send(resource, spans).await,
        }
    }

    async fn send_metrics(&self, request: ExportMetricsServiceRequest) -> Outcome {
        match self {
            Self::Http(transport) => transport.send_message(&request).await,
            Self::Grpc(transport) => transport.send_metrics(request).await,
        }
    }

    async fn send_logs(&self, request: ExportLogsServiceRequest) -> Outcome {
        match self {
            Self::Http(transport) => transport.send_message(&request).await,
            Self::Grpc(transport) => transport.send_logs(request).await,
        }
    }
}

impl Otlp {
    /// Sets up the connection, without making one, and starts the thread.
    ///
    /// `queue`: most spans that are kept.
    pub(super) fn open(
        settings: OtlpSettings,
        load: Load,
        when_full: WhenFull,
        queue: NonZeroUsize,
    ) -> Result<Self, OpenError> {
        let backend = settings.shown_endpoint();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(OpenError::Thread)?;
        let transport = match Transport::new(settings, &runtime) {
            Ok(transport) => transport,
            Err(error) => {
                // Dropping it would block, which a caller inside another runtime may not.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let shared = Arc::new(Shared::new(when_full, queue));
        let (sender, ended) = sync_channel(1);
        let (worker, name) = (Arc::clone(&shared), backend.clone());
        let thread = match load {
            Load::Spans(_) => "otlp",
            Load::Records => "otlp-logs",
        };
        rights::spawn(thread, Rights::NONE, move || {
            runtime.block_on(worker::run(&worker, &transport, load, name));
            // Spans that come from now on are lost.
            worker.queue.close();
            // A name that is being looked up would hold up the end.
            runtime.shutdown_background();
            // Nobody waits any more when the time for shutting down was over.
            sender.send(()).ok();
        })
        .map_err(OpenError::Thread)?;
        Ok(Self {
            load,
            shared,
            ended,
            backend,
        })
    }

    pub(super) fn span(&self, finished: Finished) {
        self.shared.accept(finished);
    }

    /// How many spans wait.
    pub(super) fn waiting(&self) -> u64 {
        self.shared.queue.waiting()
    }

    /// Spans dropped for want of room.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.queue.dropped()
    }

    /// Spans that the backend refused.
    pub(super) fn refused(&self) -> u64 {
        self.shared.refused()
    }

    /// No more spans come: what there is should be sent now.
    pub(super) fn close(&self) {
        self.shared.close();
    }

    /// Sends what is left, until the deadline.
    pub(super) fn shutdown(self, deadline: Instant, report: &mut Report) {
        let Self {
            load,
            shared,
            ended,
            backend,
        } = self;
        shared.close();
        let patience = deadline.saturating_duration_since(Instant::now());
        if ended.recv_timeout(patience).is_err() {
            shared.give_up();
            // Whether it ends or not, what it has not sent by now is counted as lost.
            ended.recv_timeout(STOPPING_MAX).ok();
        }
        let (sent, refused, dropped) = (shared.sent(), shared.refused(), shared.queue.dropped());
        let unsent = shared.accepted().saturating_sub(sent + refused + dropped);
        let (by_backend, by_queue) = match load {
            Load::Spans(_) => {
                report.exported += sent;
                (Counter::SpansDroppedExport, Counter::SpansDroppedQueueFull)
            }
            Load::Records => (Counter::LogsDroppedExport, Counter::LogsDroppedQueueFull),
        };
        report.counters.add(by_backend, unsent + refused);
        report.counters.add(by_queue, dropped);
        let trouble = shared
            .trouble()
            .unwrap_or_else(|| "there was no time left".to_owned());
        if unsent > 0 {
            report.problems.push(format!(
                "{} not sent to {backend} before the end: {trouble}",
                load.counted(unsent)
            ));
        }
        if refused > 0 {
            report.problems.push(format!(
                "{} refused by {backend}: {trouble}",
                load.counted(refused)
            ));
        }
        if dropped > 0 {
            report.problems.push(format!(
                "{} dropped since {backend} did not take them as fast as they came: {trouble}",
                load.counted(dropped)
            ));
        }
    }
}
