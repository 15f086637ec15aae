//! `Seen`: a finished span, and what the screen shows of it.

use std::sync::Arc;

use crate::enrich::Resource;
use crate::event::ProcessKey;
use crate::export::text::clean;
use crate::genai::semconv;
use crate::genai::span::{Span, SpanId, SpanKind, SpanStatus, TraceId, Value};

/// Most characters of a name on the screen.
pub(super) const NAME_MAX: usize = 200;

/// Stands where there is no model, agent or knowledge base.
pub(super) const UNKNOWN: &str = "–";

/// Beginnings of resource attributes that tell where a process runs.
const PLACES: [&str; 3] = ["container.", "host.", "k8s."];

/// A finished span with the process it belongs to.
#[derive(Debug)]
pub struct Seen {
    /// The span.
    pub span: Span,
    /// Its process.
    pub resource: Arc<Resource>,
    /// What the screen shows of it.
    pub facts: Facts,
}

/// Identity of a span.
pub(super) type SpanKey = (TraceId, SpanId);

/// What the screen shows of a span. Texts are cleaned of all that could steer the terminal, and cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Whether it is a call to Bedrock, not a step within one.
    pub is_call: bool,
    /// Model, else agent or knowledge base.
    pub model: Arc<str>,
    /// Name of the service.
    pub service: Arc<str>,
    /// Process.
    pub process: ProcessKey,
    /// Session or conversation.
    pub session: Option<Arc<str>>,
    /// `chat`, else what the span is called.
    pub operation: Arc<str>,
    /// Input tokens.
    pub input: Option<u64>,
    /// Output tokens.
    pub output: Option<u64>,
    /// US dollars.
    pub cost: Option<f64>,
    /// How long it took.
    pub took_ns: u64,
    /// When the first piece of the answer came, counted from the start.
    pub first_chunk_ns: Option<u64>,
    /// Attempts that were refused because there were too many.
    pub throttles: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, or why it ended.
    pub note: Arc<str>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It did not fail.
    Fine,
    /// Something is missing of what was seen.
    Incomplete,
    /// It failed.
    Failed,
    /// It was refused because there were too many.
    Throttled,
}

impl Outcome {
    /// Whether the call failed, for whatever reason.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Throttled)
    }
}

impl Seen {
    pub(super) fn new(span: Span, resource: Arc<Resource>) -> Self {
        let facts = Facts::of(&span, &resource);
        Self {
            span,
            resource,
            facts,
        }
    }

    /// Identity.
    pub fn key(&self) -> SpanKey {
        (self.span.trace_id, self.span.span_id)
    }

    /// Output tokens a second, from the first piece of a streamed answer on.
    #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
    pub fn tokens_a_second(&self) -> Option<f64> {
        let streamed_ns = self.facts.took_ns.checked_sub(self.facts.first_chunk_ns?)?;
        let tokens = self.facts.output?;
        (streamed_ns > 0).then(|| tokens as f64 * 1e9 / streamed_ns as f64)
    }
}

impl Facts {
    fn of(span: &Span, resource: &Resource) -> Self {
        let read = Reader(span);
        let code = read.text(semconv::ERROR_TYPE);
        let throttled = code.is_some_and(|code| code.contains("Throttl"))
            || read.count(semconv::HTTP_STATUS) == Some(429);
        let failed = code.is_some() || matches!(span.status, SpanStatus::Error { .. });
        let outcome = match (throttled, failed) {
            (true, _) => Outcome::Throttled,
            (false, true) => Outcome::Failed,
            (false, false) if read.texts(semconv::INCOMPLETE).is_some() => Outcome::Incomplete,
            (false, false) => Outcome::Fine,
        };
        let note = match (outcome, &span.status) {
            (Outcome::Failed | Outcome::Throttled, SpanStatus::Error { description }) => {
                [code.unwrap_or_default(), description.as_str()].join(" ")
            }
            (Outcome::Failed | Outcome::Throttled, SpanStatus::Unset) => code.unwrap_or_default().to_owned(),
            (Outcome::Incomplete, _) => read
                .texts(semconv::INCOMPLETE)
                .map(|reasons| format!("incomplete: {}", reasons.join(", ").replace('_', " ")))
                .unwrap_or_default(),
            (Outcome::Fine, _) => read
                .texts(semconv::RESPONSE_FINISH_REASONS)
                .map(|reasons| reasons.join(", "))
                .unwrap_or_default(),
        };
        let model = [
            semconv::REQUEST_MODEL,
            semconv::RESPONSE_MODEL,
            semconv::AGENT_ID,
            semconv::DATA_SOURCE_ID,
            semconv::KNOWLEDGE_BASE_ID,
        ]
        .iter()
        .find_map(|key| read.text(key));
        Self {
            is_call: span.kind == SpanKind::Client,
            model: name(model.unwrap_or(UNKNOWN)),
            service: name(&resource.service_name),
            process: span.process.key,
            session: read
                .text(semconv::CONVERSATION_ID)
                .or_else(|| read.text(semconv::SESSION_ID))
                .map(name),
            operation: name(read.text(semconv::OPERATION_NAME).unwrap_or(&span.name)),
            input: read.count(semconv::USAGE_INPUT_TOKENS),
            output: read.count(semconv::USAGE_OUTPUT_TOKENS),
            cost: read.number(semconv::COST_USD),
            took_ns: span.end_unix_ns.saturating_sub(span.start_unix_ns),
            first_chunk_ns: read.seconds_as_ns(semconv::RESPONSE_TIME_TO_FIRST_CHUNK),
            throttles: read
                .count(semconv::ATTEMPTS_THROTTLED)
                .unwrap_or(u64::from(throttled)),
            outcome,
            note: name(&note),
        }
    }
}

/// Where a process runs: container, pod, namespace and the like.
pub(super) fn place(resource: &Resource) -> impl Iterator<Item = (&str, &str)> {
    let tells_place = |key: &str| PLACES.iter().any(|prefix| key.starts_with(prefix));
    resource
        .attributes
        .iter()
        .filter(move |attribute| tells_place(&attribute.key))
        .filter_map(|attribute| match &attribute.value {
            Value::String(text) => Some((attribute.key.as_ref(), text.as_ref())),
            Value::Int(_) | Value::Double(_) | Value::Bool(_) | Value::Strings(_) => None,
        })
}

/// A name as it can be shown: cleaned, and not beyond [`NAME_MAX`].
pub(super) fn name(text: &str) -> Arc<str> {
    let mut name = clean(text);
    if let Some((end, _)) = name.char_indices().nth(NAME_MAX) {
        name.truncate(end);
    }
    name.into()
}

/// Reads attributes.
struct Reader<'a>(&'a Span);

impl<'a> Reader<'a> {
    fn value(&self, key: &str) -> Option<&'a Value> {
        let Self(span) = self;
        let attribute = span.attributes.iter().find(|attribute| attribute.key == key)?;
        Some(&attribute.value)
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        match self.value(key)? {
            Value::String(text) => Some(text),
            Value::Int(_) | Value::Double(_) | Value::Bool(_) | Value::Strings(_) => None,
        }
    }

    fn texts(&self, key: &str) -> Option<&'a [String]> {
        match self.value(key)? {
            Value::Strings(texts) => Some(texts),
            Value::Int(_) | Value::Double(_) | Value::Bool(_) | Value::String(_) => None,
        }
    }

    fn count(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::Int(number) => u64::try_from(*number).ok(),
            Value::String(_) | Value::Double(_) | Value::Bool(_) | Value::Strings(_) => None,
        }
    }

    fn number(&self, key: &str) -> Option<f64> {
        match self.value(key)? {
            Value::Double(number) => Some(*number),
            Value::String(_) | Value::Int(_) | Value::Bool(_) | Value::Strings(_) => None,
        }
    }

    fn seconds_as_ns(&self, key: &str) -> Option<u64> {
        let time = std::time::Duration::try_from_secs_f64(self.number(key)?).ok()?;
        u64::try_from(time.as_nanos()).ok()
    }
}
