//! `Span`: a finished span as the outlets get it; free of any exporter's types.

use std::borrow::Cow;
use std::sync::Arc;

use crate::event::Process;

/// 16 bytes, never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

/// 8 bytes, never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(pub [u8; 8]);

/// A finished span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Process whose call this is; becomes the OpenTelemetry resource.
    pub process: Arc<Process>,
    /// Trace that the span belongs to.
    pub trace_id: TraceId,
    /// Identity of the span.
    pub span_id: SpanId,
    /// Parent within the trace.
    pub parent: Option<Parent>,
    /// `{operation} {model}`.
    pub name: String,
    /// Kind.
    pub kind: SpanKind,
    /// Start, ns since the Unix epoch.
    pub start_unix_ns: u64,
    /// End, ns since the Unix epoch; never before the start.
    pub end_unix_ns: u64,
    /// Status.
    pub status: SpanStatus,
    /// Attributes; each key once.
    pub attributes: Vec<Attribute>,
    /// Events in order of time.
    pub events: Vec<SpanEvent>,
    /// Spans that it has to do with, though they are not above it.
    pub links: Vec<Link>,
}

/// Another span that a span has to do with.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its identity.
    pub span_id: SpanId,
    /// What the two have in common.
    pub attributes: Vec<Attribute>,
}

/// The span that a span nests under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Its identity.
    pub span_id: SpanId,
    /// W3C trace flags as they were sent.
    pub flags: u8,
    /// W3C `tracestate` as it was sent.
    pub trace_state: String,
}

/// Kind of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpanKind {
    /// A call to a remote service.
    Client,
    /// Work inside the process or inside the remote service.
    Internal,
}

/// Status of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanStatus {
    /// No error is known.
    Unset,
    /// The call failed.
    Error {
        /// What the server or the transport said.
        description: String,
    },
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Name; every one is spelled in `genai/semconv.rs`.
    pub key: &'static str,
    /// Value.
    pub value: Value,
}

/// Value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    String(Cow<'static, str>),
    /// Integer.
    Int(i64),
    /// Floating point.
    Double(f64),
    /// Truth.
    Bool(bool),
    /// Texts in order.
    Strings(Vec<String>),
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanEvent {
    /// Name of the event.
    pub name: &'static str,
    /// When, ns since the Unix epoch.
    pub time_unix_ns: u64,
    /// Attributes.
    pub attributes: Vec<Attribute>,
}
