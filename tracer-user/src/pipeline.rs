//! The core as one value: `ProbeEvent`s go in, spans and verdicts come out. Live tracing and replay call the same
//! [`Pipeline::push`].

use crate::counters::Counters;
use crate::event::{ConnectionKey, ProbeEvent, Verdict};
use crate::genai::span::Span;

/// Takes what the pipeline finds.
pub trait Sink {
    /// A span is finished.
    fn span(&mut self, span: Span);

    /// A connection was recognised: the kernel side may stop or must go on handing over its bytes.
    fn verdict(&mut self, connection: ConnectionKey, verdict: Verdict);
}

/// What the pipeline may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// Put prompts and completions on the spans.
    pub content: bool,
}

/// From probe events to spans. No IO, no clock, no thread.
#[derive(Debug)]
pub struct Pipeline {
    settings: Settings,
    counters: Counters,
}

impl Pipeline {
    /// An empty pipeline.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            counters: Counters::default(),
        }
    }

    /// Takes one more event; whatever it completes goes to `sink` before this returns.
    pub fn push(&mut self, _event: &ProbeEvent<'_>, _sink: &mut impl Sink) {
        let _ = self.settings;
    }

    /// What was seen and dropped so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Tracing stops: what is under way comes out, marked incomplete.
    pub fn finish(&mut self, _sink: &mut impl Sink) {}
}
