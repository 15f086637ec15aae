//! From events to the outlets: the part of the way that live tracing and replay share.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::arguments::SpanFormat;
use super::failure::Failure;
use super::metrics::{self, When};
use super::settings::{STDOUT, Settings};
use super::{logs, telemetry};
use crate::counters::Counters;
use crate::event::{ConnectionKey, ProbeEvent, Verdict};
use crate::export::{
    Colour, Format, Health, OutletSettings, Outlets, Output, Pulse, Report, Signal, WhenFull,
};
use crate::genai::Capture;
use crate::genai::span::Span;
use crate::pipeline::{self, Pipeline, Sink};
use crate::probe::Verdicts;

/// The pipeline and where its spans go.
#[derive(Debug)]
pub(super) struct Stages {
    pipeline: Pipeline,
    sink: OutletSink,
}

/// What came out in the end.
#[derive(Debug)]
pub(super) struct Outcome {
    /// How many spans were made.
    pub(super) spans: u64,
    /// What was seen and dropped on the way.
    pub(super) counters: Counters,
    /// What became of the spans.
    pub(super) report: Report,
}

impl Stages {
    /// Opens the outlets: as the user says, else as `standard` says. `when`: a replay has the time to wait.
    pub(super) fn open(settings: &Settings, standard: Standard, when: When) -> Result<Self, Failure> {
        let mut pipeline = telemetry::settings(settings)?;
        let outlets = outlet_settings(settings, pipeline.content, standard, when)?;
        pipeline.metrics = outlets.metrics.any();
        let pipeline = Pipeline::new(pipeline);
        let outlets = Outlets::open(outlets).map_err(Failure::told_by)?;
        Ok(Self {
            pipeline,
            sink: OutletSink {
                outlets,
                verdicts: None,
                spans: 0,
            },
        })
    }

    /// Tells the kernel side what is recognised from now on.
    pub(super) fn steer(&mut self, verdicts: Verdicts) {
        self.sink.verdicts = Some(verdicts);
    }

    /// Goes on by other settings of the pipeline. The outlets stay as they are.
    pub(super) fn reconfigure(&mut self, settings: pipeline::Settings) {
        self.pipeline.reconfigure(settings, &mut self.sink);
    }

    /// Takes one more event.
    pub(super) fn push(&mut self, event: &ProbeEvent<'_>) {
        if let ProbeEvent::Host(host) = event {
            self.sink.outlets.host(host);
        }
        self.pipeline.push(event, &mut self.sink);
    }

    /// Whether spans still go anywhere.
    pub(super) fn is_open(&self) -> bool {
        self.sink.outlets.is_open()
    }

    /// Whether calls are counted in metrics.
    pub(super) fn is_metered(&self) -> bool {
        self.pipeline.is_metered()
    }

    /// Whether anybody waits for metrics.
    pub(super) fn metrics_are_asked_for(&mut self) -> bool {
        self.sink.outlets.metrics_are_asked_for()
    }

    /// Tells those who wait the metrics, with how geophone itself is.
    pub(super) fn tell_metrics(&mut self, mut health: Health) {
        health.counters.merge(self.pipeline.counters());
        health.tables.extend(self.pipeline.tables());
        if let Some(snapshot) = self.pipeline.collect() {
            self.sink.outlets.metrics(snapshot, Some(&health));
        }
    }

    /// Where metrics are served to Prometheus, if they are.
    pub(super) fn prometheus(&self) -> Option<SocketAddr> {
        self.sink.outlets.prometheus()
    }

    /// Where the tracing loop leaves its signs of life.
    pub(super) fn pulse(&self) -> Pulse {
        self.sink.outlets.pulse()
    }

    /// Lets out what is under way and flushes the outlets. `health`: how geophone itself is, where that is of interest.
    pub(super) fn finish(self, health: Option<Health>) -> Outcome {
        let Self {
            mut pipeline,
            mut sink,
        } = self;
        pipeline.finish(&mut sink);
        if let Some(snapshot) = pipeline.collect() {
            let health = health.map(|mut health| {
                health.counters.merge(pipeline.counters());
                health.tables.extend(pipeline.tables());
                health
            });
            sink.outlets.last_metrics(snapshot, health.as_ref());
        }
        let report = sink.outlets.shutdown(PATIENCE);
        let mut counters = pipeline.counters().clone();
        counters.merge(&report.counters);
        Outcome {
            spans: sink.spans,
            counters,
            report,
        }
    }
}

/// What is done with spans when the user does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standard {
    /// Where they are written to: standard output, unless that belongs to something else.
    pub(super) output: Output,
    /// Whether they are written though neither --format nor --output asks for them.
    pub(super) unasked: bool,
}

#[derive(Debug)]
struct OutletSink {
    outlets: Outlets,
    verdicts: Option<Verdicts>,
    spans: u64,
}

impl Sink for OutletSink {
    fn span(&mut self, span: Span) {
        self.spans += 1;
        self.outlets.span(span);
    }

    fn verdict(&mut self, connection: ConnectionKey, verdict: Verdict) {
        if let Some(verdicts) = &self.verdicts
            && let Err(error) = verdicts.set(connection, verdict)
        {
            // The kernel side then goes on with what it hands over to undecided connections.
            tracing::warn!(%error, ?connection, ?verdict, "the kernel side was not told what a connection is");
        }
    }
}

fn outlet_settings(
    settings: &Settings,
    content: Capture,
    standard: Standard,
    when: When,
) -> Result<OutletSettings, Failure> {
    let (format, output) = (settings.spans.format.get(), settings.spans.output.get());
    let asked = format.is_some() || output.is_some();
    let output = match output {
        Some(file) if file.0 == Path::new(STDOUT) => Output::Stdout,
        Some(file) => Output::File(file.0.clone()),
        None => standard.output,
    };
    let otlp = if settings.sends(Signal::Traces) {
        Some(settings.otlp_of(Signal::Traces)?)
    } else {
        None
    };
    let format = match format {
        Some(SpanFormat::Pretty) => Format::Pretty,
        None if !asked && !standard.unasked => Format::None,
        None if output.is_terminal() => Format::Pretty,
        None if !asked && otlp.is_some() => Format::None,
        Some(SpanFormat::OtlpJson) | None => Format::OtlpJson,
    };
    Ok(OutletSettings {
        format,
        output,
        colour: Colour::Auto,
        otlp,
        queue: settings.otlp.queue_size.get().copied(),
        when_full: match when {
            When::Live => WhenFull::DropOldest,
            When::Replay => WhenFull::Wait,
        },
        metrics: metrics::settings(settings, when, variable)?,
        logs: logs::settings(content, settings)?,
    })
}

/// A variable of the environment; one that is no text is as good as none.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// How long the end may take for spans that are still on their way to a backend.
const PATIENCE: Duration = Duration::from_secs(10);
