//! Outlets: where finished spans go.
//!
//! ```text
//!             ┌─ queue ─ writer thread ─ console tree or OTLP JSON lines ─ terminal, pipe, file
//!  Span ──────┤
//!             ├─ queue ─ otlp thread ─── OTLP over HTTP or gRPC ────────── any OpenTelemetry backend
//!             └─ queue ─ otlp thread ─── its details as a log record ───── any OpenTelemetry backend
//! ```
//!
//! Metrics go their own way (`metrics/`): who needs them asks for them ([`Outlets::metrics_are_asked_for`]).
//!
//! [`Outlets::span`] puts the span into bounded queues and returns: neither a paused terminal nor a dead backend holds
//! up tracing. What a queue has no room for is dropped and counted.

mod console;
mod logs;
mod metrics;
mod otlp;
mod otlp_json;
mod prometheus;
mod pulse;
mod queue;
mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod transform;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::counters::{Counter, Counters};
use crate::enrich::{Resource, Resources};
use crate::event::Host;
use crate::genai::metrics::Snapshot;
use crate::genai::span::Span;
use logs::Details;
use otlp::Load;

pub use metrics::health::{Health, health_metric_names};
pub use otlp::{
    ClientCertificate, GrpcError, OtlpHeaders, OtlpProtocol, OtlpSettings, OtlpSettingsError, QUEUE_SPANS,
    Signal, TlsError,
};
pub use pulse::{Pulse, Standing};
pub(crate) use queue::weight;
pub use settings::{
    Colour, Format, LogSettings, MetricSettings, OpenError, OutletSettings, Output, WhenFull,
};

/// A span with the process it belongs to.
#[derive(Debug, Clone)]
struct Finished {
    resource: Arc<Resource>,
    span: Arc<Span>,
    /// About how many bytes it takes.
    weight: usize,
}

impl Finished {
    fn new(resource: Arc<Resource>, span: Span) -> Self {
        Self {
            resource,
            weight: weight(&span),
            span: Arc::new(span),
        }
    }
}

/// Every outlet that was asked for.
#[derive(Debug)]
pub struct Outlets {
    resources: Resources,
    writer: Option<writer::Writer>,
    otlp: Option<otlp::Otlp>,
    /// Takes the details of spans.
    logs: Option<otlp::Otlp>,
    metrics: Metrics,
}

/// The outlets of metrics.
#[derive(Debug)]
struct Metrics {
    requests: metrics::Requests,
    otlp: Option<otlp::OtlpMetrics>,
    prometheus: Option<prometheus::Prometheus>,
    pulse: Pulse,
    written: bool,
    /// Since when geophone's own metrics are summed up, ns since the Unix epoch.
    start_unix_ns: u64,
    /// The last state, to be sent and written at the end.
    last: Option<Arc<metrics::Collected>>,
}

impl Metrics {
    fn open(settings: MetricSettings) -> Result<Self, OpenError> {
        let MetricSettings {
            otlp,
            prometheus,
            written,
        } = settings;
        let (collector, requests) = metrics::requests();
        let otlp =
            otlp.map(|(settings, interval)| otlp::OtlpMetrics::open(settings, interval, collector.clone()));
        let pulse = Pulse::default();
        let prometheus =
            prometheus.map(|address| prometheus::Prometheus::open(address, collector.clone(), pulse.clone()));
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Self {
            requests,
            otlp: otlp.transpose()?,
            prometheus: prometheus.transpose()?,
            pulse,
            written,
            start_unix_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            last: None,
        })
    }
}

/// A number of spans in words.
fn spans(number: u64) -> String {
    match number {
        1 => "1 span was".to_owned(),
        number => format!("{number} spans were"),
    }
}

/// What became of the spans.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Spans written to the terminal or the file.
    pub written: u64,
    /// Spans that the OTLP backend took.
    pub exported: u64,
    /// Spans dropped, by reason.
    pub counters: Counters,
    /// What went wrong, a sentence each: what happened, why, and what can be done.
    pub problems: Vec<String>,
    /// Writing failed, and not for want of a reader: what was written is not all.
    pub broken: bool,
}

impl Outlets {
    /// Opens the outlets. Fails when one of them cannot work at all: an output file that
    /// cannot be made, a certificate that cannot be read. A backend that does not answer is no such case.
    pub fn open(settings: OutletSettings) -> Result<Self, OpenError> {
        let OutletSettings {
            format,
            output,
            colour,
            otlp,
            queue,
            when_full,
            metrics,
            logs,
        } = settings;
        let queue = queue.unwrap_or(QUEUE_SPANS);
        let metrics = Metrics::open(metrics)?;
        let details = |apart| if apart { Details::Apart } else { Details::OnSpan };
        let spans = Load::Spans(details(logs.otlp.is_some()));
        let otlp = otlp
            .map(|settings| otlp::Otlp::open(settings, spans, when_full, queue))
            .transpose()?;
        let written = details(logs.written);
        let logs = logs
            .otlp
            .map(|settings| otlp::Otlp::open(settings, Load::Records, when_full, queue))
            .transpose()?;
        let writer = writer::Writer::open(format, output, colour, written, when_full)?;
        Ok(Self {
            resources: Resources::default(),
            writer,
            otlp,
            logs,
            metrics,
        })
    }

    /// Tells which machine the following spans come from.
    pub fn host(&mut self, host: &Host) {
        self.resources.host(host);
    }

    /// Hands a span to every outlet. Does not wait for any of them, unless [`WhenFull::Wait`] was asked for.
    pub fn span(&mut self, span: Span) {
        let finished = Finished::new(self.resources.of(&span.process), span);
        if let Some(otlp) = &self.otlp {
            otlp.span(finished.clone());
        }
        if let Some(logs) = self.logs.as_ref().filter(|_| logs::has_details(&finished.span)) {
            logs.span(finished.clone());
        }
        if let Some(writer) = &self.writer {
            writer.span(finished);
        }
    }

    /// Whether anybody waits for [`Outlets::metrics`].
    pub fn metrics_are_asked_for(&mut self) -> bool {
        self.metrics.requests.any()
    }

    /// Answers those who asked for metrics.
    pub fn metrics(&mut self, snapshot: Snapshot, health: Option<&Health>) {
        let collected = self.collected(snapshot, health);
        self.metrics.requests.answer(&collected);
    }

    /// The metrics of the end, to be sent and written by [`Outlets::shutdown`].
    pub fn last_metrics(&mut self, snapshot: Snapshot, health: Option<&Health>) {
        let collected = self.collected(snapshot, health);
        if let Some(writer) = self.writer.as_ref().filter(|_| self.metrics.written) {
            writer.last_metrics(Arc::clone(&collected));
        }
        self.metrics.last = Some(collected);
    }

    /// Where metrics are served to Prometheus, if they are.
    pub fn prometheus(&self) -> Option<SocketAddr> {
        self.metrics
            .prometheus
            .as_ref()
            .map(prometheus::Prometheus::address)
    }

    /// Where the tracing loop leaves its signs of life.
    pub fn pulse(&self) -> Pulse {
        self.metrics.pulse.clone()
    }

    fn collected(&mut self, snapshot: Snapshot, health: Option<&Health>) -> Arc<metrics::Collected> {
        let waiting = [
            ("otlp", self.otlp.as_ref().map(otlp::Otlp::waiting)),
            ("otlp_logs", self.logs.as_ref().map(otlp::Otlp::waiting)),
            ("writer", self.writer.as_ref().map(writer::Writer::waiting)),
        ];
        let waiting = waiting.into_iter();
        let queues: Vec<_> = waiting
            .filter_map(|(name, length)| Some((name, length?)))
            .collect();
        let own = health.map(|health| {
            let mut health = health.clone();
            health.counters.merge(&self.counters());
            // The clock may have been set back since.
            let start = self.metrics.start_unix_ns.min(snapshot.time_unix_ns);
            metrics::health::metrics(&health, &queues, start, self.resources.machine())
        });
        Arc::new(metrics::Collected::new(snapshot, own, &mut self.resources))
    }

    /// Whether anything still goes anywhere. False once the reader of a pipe is gone (`geophone … | head`) or the disk is
    /// full, and nothing is sent or served beside that: time to end.
    pub fn is_open(&self) -> bool {
        let Self {
            resources: _,
            writer,
            otlp,
            // It has spans to tell of, and they have an outlet of their own.
            logs: _,
            metrics,
        } = self;
        writer.as_ref().is_some_and(writer::Writer::is_open)
            || otlp.is_some()
            || metrics.otlp.is_some()
            || metrics.prometheus.is_some()
    }

    /// What was dropped so far.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        if let Some(writer) = &self.writer {
            counters.add(Counter::SpansDroppedQueueFull, writer.dropped());
            counters.add(Counter::SpansDroppedExport, writer.lost());
        }
        if let Some(otlp) = &self.otlp {
            counters.add(Counter::SpansDroppedQueueFull, otlp.dropped());
            counters.add(Counter::SpansDroppedExport, otlp.refused());
        }
        if let Some(logs) = &self.logs {
            counters.add(Counter::LogsDroppedQueueFull, logs.dropped());
            counters.add(Counter::LogsDroppedExport, logs.refused());
        }
        if let Some(otlp) = &self.metrics.otlp {
            counters.add(Counter::MetricExportsFailed, otlp.failed());
        }
        counters
    }

    /// Writes and sends what is left, for no longer than `patience`, and says what became of it all.
    pub fn shutdown(self, patience: Duration) -> Report {
        let deadline = Instant::now() + patience;
        let mut report = Report::default();
        // All end at the same time, and none uses up the time of another.
        for otlp in self.otlp.iter().chain(&self.logs) {
            otlp.close();
        }
        let Metrics { mut otlp, last, .. } = self.metrics;
        if let Some(metrics) = &mut otlp {
            metrics.close(last);
        }
        if let Some(writer) = self.writer {
            writer.shutdown(deadline, &mut report);
        }
        for otlp in self.otlp.into_iter().chain(self.logs) {
            otlp.shutdown(deadline, &mut report);
        }
        if let Some(metrics) = otlp {
            metrics.shutdown(deadline, &mut report);
        }
        report
    }
}
