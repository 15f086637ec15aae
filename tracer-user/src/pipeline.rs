//! The core as one value: `ProbeEvent`s go in, spans and verdicts come out. Live tracing and replay call the same
//! [`Pipeline::push`].

#[cfg(test)]
mod clock_tests;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod reconfigure_tests;
#[cfg(test)]
mod wishes_tests;

use std::sync::Arc;

use crate::bedrock::session::SessionHeader;
use crate::bedrock::{self, Calls, Output, UnderWay};
use crate::conn::Connections;
use crate::counters::{Counter, Counters};
use crate::event::{ConnectionKey, LossReason, Monotonic, ProbeEvent, Process, Verdict};
use crate::genai::attempts::{self, Attempts};
use crate::genai::cost::Prices;
use crate::genai::metrics::{Metrics, Recorded, Snapshot};
use crate::genai::span::Span;
use crate::genai::tool_loop::{self, ToolLoops};
use crate::genai::{Capture, ContentLimit, Convention, Options, Redaction, Spans};
use crate::wire::Conversation;

/// Takes what the pipeline finds.
pub trait Sink {
    /// A span is finished.
    fn span(&mut self, span: Span);

    /// A connection was recognised: the kernel side may stop or must go on handing over its bytes.
    fn verdict(&mut self, connection: ConnectionKey, verdict: Verdict);
}

/// What the pipeline may be told.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whose names are used.
    pub convention: Convention,
    /// Where prompts and completions go.
    pub content: Capture,
    /// How long a content attribute may be.
    pub content_limit: ContentLimit,
    /// What is taken out of content and messages.
    pub redaction: Arc<Redaction>,
    /// Request headers that hold a session, the most telling first.
    pub session_headers: Vec<SessionHeader>,
    /// What calls are priced by, if they are.
    pub prices: Option<Arc<Prices>>,
    /// Whether calls are counted in metrics.
    pub metrics: bool,
    /// Join calls that hand on results of tools.
    pub tool_loop: bool,
}

/// From probe events to spans. No IO, no clock, no thread.
#[derive(Debug)]
pub struct Pipeline {
    connections: Connections<Conversation>,
    calls: Calls,
    attempts: Attempts,
    tool_loop: bool,
    loops: ToolLoops,
    spans: Spans,
    metrics: Option<Metrics>,
    counters: Counters,
    /// Time of the last event.
    now: Monotonic,
}

impl Pipeline {
    /// An empty pipeline.
    pub fn new(settings: Settings) -> Self {
        let Settings {
            convention,
            content,
            content_limit,
            redaction,
            session_headers,
            prices,
            metrics,
            tool_loop,
        } = settings;
        let metrics = metrics.then(|| Metrics::new(convention, prices.clone()));
        let options = Options {
            convention,
            capture: content,
            prices,
            content_limit,
            redaction,
        };
        Self {
            connections: Connections::default(),
            calls: Calls::new(bedrock::Settings {
                content: content.any(),
                session_headers: session_headers.into(),
                tool_results: tool_loop,
            }),
            attempts: Attempts::default(),
            tool_loop,
            loops: ToolLoops::default(),
            spans: Spans::new(options),
            metrics,
            counters: Counters::default(),
            now: Monotonic::default(),
        }
    }

    /// Goes on by other settings, with nothing forgotten; whether there are metrics stays as it is. What content may no longer
    /// leave does not leave any more, of calls under way neither; what may from now on is that of calls that begin from now
    /// on.
    pub fn reconfigure(&mut self, settings: Settings, sink: &mut impl Sink) {
        let Settings {
            convention,
            content,
            content_limit,
            redaction,
            session_headers,
            prices,
            metrics: _,
            tool_loop,
        } = settings;
        if self.tool_loop && !tool_loop {
            self.loops.finish();
            self.tell_calls(sink);
        }
        self.tool_loop = tool_loop;
        if let Some(metrics) = &mut self.metrics {
            metrics.reconfigure(convention, prices.clone());
        }
        self.calls.reconfigure(bedrock::Settings {
            content: content.any(),
            session_headers: session_headers.into(),
            tool_results: tool_loop,
        });
        let options = Options {
            convention,
            capture: content,
            prices,
            content_limit,
            redaction,
        };
        self.spans.reconfigure(options, self.now);
    }

    /// Takes one more event, credentials blanked; whatever it completes goes to `sink` before this returns. A process whose
    /// pod asks to be left alone is not looked into.
    pub fn push(&mut self, event: &ProbeEvent<'_>, sink: &mut impl Sink) {
        self.now = self.now.max(event.time().unwrap_or_default());
        self.count(event);
        self.spans.learn(event);
        if let Some(connection) = event.connection()
            && self.spans.is_left_alone(connection.process)
        {
            sink.verdict(connection, Verdict::Ignore);
            return;
        }
        if let ProbeEvent::ServerName { connection, name, .. } = event {
            self.calls.server_name(*connection, name);
        }
        self.connections.push(event, &mut self.calls, &mut self.counters);
        self.tell(sink);
        match event {
            ProbeEvent::Tick(time) => {
                self.attempts.tick(*time);
                self.join();
                self.loops.tick(*time);
            }
            ProbeEvent::ProcessExit { process, .. } => {
                self.attempts.process_exit(*process);
                self.join();
                self.loops.process_exit(*process);
            }
            ProbeEvent::Host(_)
            | ProbeEvent::Process(_)
            | ProbeEvent::Open { .. }
            | ProbeEvent::ServerName { .. }
            | ProbeEvent::Data(_)
            | ProbeEvent::Close { .. }
            | ProbeEvent::Lost(_) => {}
        }
        self.tell_calls(sink);
        if let (Some(metrics), ProbeEvent::ProcessExit { process, time }) = (&mut self.metrics, event) {
            metrics.process_exit(*process, *time);
        }
        self.spans.forget(event);
    }

    /// What was seen and dropped so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many entries each table has.
    pub fn tables(&self) -> [(&'static str, u64); 7] {
        [
            ("connections", self.connections.len()),
            ("judged_connections", self.calls.connections()),
            ("exchanges", self.calls.exchanges()),
            ("attempts", self.attempts.waiting()),
            ("tool_loops", self.loops.open()),
            ("processes", self.spans.processes()),
            (
                "metered_processes",
                self.metrics.as_ref().map_or(0, Metrics::processes),
            ),
        ]
        .map(|(name, entries)| (name, entries as u64))
    }

    /// The calls that have not ended, each with its process. Costs nothing unless asked.
    pub fn under_way(&self) -> impl Iterator<Item = (Arc<Process>, UnderWay<'_>)> {
        self.calls
            .under_way()
            .filter(|call| !self.spans.is_left_alone(call.connection.process))
            .map(|call| (self.spans.process(call.connection.process), call))
    }

    /// Whether calls are counted in metrics.
    pub fn is_metered(&self) -> bool {
        self.metrics.is_some()
    }

    /// The metrics so far, as of the last event; `None` if they were not asked for.
    pub fn collect(&mut self) -> Option<Snapshot> {
        let metrics = self.metrics.as_mut()?;
        Some(metrics.collect(self.now, self.spans.host()))
    }

    /// Tracing stops: what is under way comes out, marked incomplete.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        self.connections.finish(&mut self.calls, &mut self.counters);
        self.tell(sink);
        self.attempts.finish();
        self.join();
        self.loops.finish();
        self.tell_calls(sink);
    }

    fn count(&mut self, event: &ProbeEvent<'_>) {
        self.counters.add(Counter::Events, 1);
        match event {
            ProbeEvent::Data(data) => self.counters.add(Counter::Bytes, data.bytes.len() as u64),
            ProbeEvent::Lost(lost) => {
                let reason = match lost.reason {
                    LossReason::RingFull => Counter::LostRingFull,
                    LossReason::ReadFault => Counter::LostReadFault,
                    LossReason::CallCap => Counter::LostCallCap,
                    LossReason::MapFull => Counter::LostMapFull,
                    LossReason::Unseen => Counter::LostUnseen,
                    LossReason::ProcessShare => Counter::LostProcessShare,
                };
                self.counters.add(reason, lost.records);
            }
            ProbeEvent::Host(_)
            | ProbeEvent::Process(_)
            | ProbeEvent::ProcessExit { .. }
            | ProbeEvent::Open { .. }
            | ProbeEvent::ServerName { .. }
            | ProbeEvent::Close { .. }
            | ProbeEvent::Tick(_) => {}
        }
    }

    fn tell(&mut self, sink: &mut impl Sink) {
        let outputs: Vec<Output> = self.calls.outputs().collect();
        for output in outputs {
            match output {
                Output::Verdict(connection, verdict) => sink.verdict(connection, verdict),
                Output::Count(counter, count) => self.counters.add(counter, count),
                Output::Begun(begun) => self.attempts.begun(begun),
                // Its spans come before what was found later, in whatever pieces that came.
                Output::Call(call) => {
                    self.attempts.call(call);
                    self.tell_calls(sink);
                }
            }
        }
    }

    /// Hands on calls that are whole, all their attempts included.
    fn join(&mut self) {
        for output in self.attempts.outputs() {
            match output {
                attempts::Output::Count(counter, count) => self.counters.add(counter, count),
                attempts::Output::Call(call) if self.spans.is_left_alone(call.connection.process) => {
                    self.counters.add(Counter::CallsLeftAlone, 1);
                }
                attempts::Output::Call(call) => {
                    if let Some(metrics) = &mut self.metrics {
                        let process = self.spans.process(call.connection.process);
                        let Recorded {
                            overflowed,
                            forgotten,
                        } = metrics.record(&call, &process, self.spans.host());
                        self.counters
                            .add(Counter::MetricsOverflowed, u64::from(overflowed));
                        self.counters.add(Counter::MetricsForgotten, forgotten);
                    }
                    if self.tool_loop {
                        self.loops.call(call);
                    } else {
                        self.loops.pass(call);
                    }
                }
            }
        }
    }

    /// Calls that are whole, and the loops they make.
    fn tell_calls(&mut self, sink: &mut impl Sink) {
        self.join();
        for output in self.loops.outputs() {
            let spans = match output {
                tool_loop::Output::Count(counter, count) => {
                    self.counters.add(counter, count);
                    continue;
                }
                tool_loop::Output::Call(call) => self.spans.spans(&call),
                tool_loop::Output::Tool(tool) => vec![self.spans.of_tool(&tool)],
                tool_loop::Output::Loop(whole) => vec![self.spans.of_loop(&whole)],
            };
            for span in spans {
                self.counters.add(Counter::Spans, 1);
                sink.span(span);
            }
        }
    }
}
