//! Outlets: where finished spans go.
//!
//! ```text
//!             ┌─ queue ─ writer thread ─ console tree or OTLP JSON lines ─ terminal, pipe, file
//!  Span ──────┤
//!             └─ queue ─ otlp thread ─── OTLP over HTTP or gRPC ────────── any OpenTelemetry backend
//! ```
//!
//! [`Outlets::span`] puts the span into bounded queues and returns: neither a paused terminal nor a dead backend holds
//! up tracing. What a queue has no room for is dropped and counted.

mod console;
mod otlp;
mod otlp_json;
mod queue;
mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod transform;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::counters::{Counter, Counters};
use crate::enrich::{Resource, Resources};
use crate::event::Host;
use crate::genai::span::Span;

pub use otlp::{
    ClientCertificate, GrpcError, OtlpHeaders, OtlpProtocol, OtlpSettings, OtlpSettingsError, TlsError,
};
pub(crate) use queue::weight;
pub use settings::{Colour, Format, OpenError, OutletSettings, Output, WhenFull};

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
            when_full,
        } = settings;
        let otlp = otlp
            .map(|settings| otlp::Otlp::open(settings, when_full))
            .transpose()?;
        let writer = writer::Writer::open(format, output, colour, when_full)?;
        Ok(Self {
            resources: Resources::default(),
            writer,
            otlp,
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
        if let Some(writer) = &self.writer {
            writer.span(finished);
        }
    }

    /// Whether anyone still reads what is written. False once the reader of a pipe is gone (`geophone … | head`) or the
    /// disk is full: time to end.
    pub fn is_open(&self) -> bool {
        self.writer.as_ref().is_none_or(writer::Writer::is_open)
    }

    /// What was dropped so far.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        if let Some(writer) = &self.writer {
            counters.add(Counter::SpansDroppedQueueFull, writer.dropped());
        }
        if let Some(otlp) = &self.otlp {
            counters.add(Counter::SpansDroppedQueueFull, otlp.dropped());
            counters.add(Counter::SpansDroppedExport, otlp.refused());
        }
        counters
    }

    /// Writes and sends what is left, for no longer than `patience`, and says what became of it all.
    pub fn shutdown(self, patience: Duration) -> Report {
        let deadline = Instant::now() + patience;
        let mut report = Report::default();
        // Both end at the same time, and neither uses up the time of the other.
        if let Some(otlp) = &self.otlp {
            otlp.close();
        }
        if let Some(writer) = self.writer {
            writer.shutdown(deadline, &mut report);
        }
        if let Some(otlp) = self.otlp {
            otlp.shutdown(deadline, &mut report);
        }
        report
    }
}
