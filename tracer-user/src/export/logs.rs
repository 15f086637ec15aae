//! The details of a call as a log record: <https://opentelemetry.io/docs/specs/otel/logs/data-model/>.
//!
//! The convention has `gen_ai.client.inference.operation.details` as an event in the sense of logs, with structured content.
//! The core tells it as an event of the span, whose attributes can only be flat. Who takes logs gets the record, and the
//! span without the event.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use serde_json::Value as Json;

use super::transform;
use crate::enrich::Resource;
use crate::genai::semconv;
use crate::genai::span::{Attribute, Span, SpanEvent, SpanId, TraceId, Value};

/// Levels of a structured value; what is deeper is told as JSON text. Each takes three of the 100 nested messages that
/// decoders of protobuf allow, and one message beyond them would cost the whole request.
const DEPTH_MAX: usize = 24;

/// Attributes with a structure of their own.
const STRUCTURED: [&str; 4] = [
    semconv::INPUT_MESSAGES,
    semconv::OUTPUT_MESSAGES,
    semconv::SYSTEM_INSTRUCTIONS,
    semconv::TOOL_DEFINITIONS,
];

/// Where the details of a call are told, if they were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Details {
    /// As an event of the span.
    OnSpan,
    /// As a log record.
    Apart,
}

impl Details {
    /// Whether an event is one of the span's own.
    pub(super) fn is_of_span(self, event: &SpanEvent) -> bool {
        match self {
            Self::OnSpan => true,
            Self::Apart => !is_details(event),
        }
    }
}

fn is_details(event: &SpanEvent) -> bool {
    event.name == semconv::DETAILS_EVENT
}

/// Whether a span has details that can be told apart from it.
pub(super) fn has_details(span: &Span) -> bool {
    span.events.iter().any(is_details)
}

/// The details of spans of one process, as one request.
pub(super) fn request<'s>(
    resource: &Resource,
    spans: impl Iterator<Item = &'s Span>,
) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(transform::proto_resource(resource)),
            scope_logs: vec![ScopeLogs {
                scope: Some(common::InstrumentationScope::from((&transform::scope(), None))),
                log_records: spans.flat_map(records).collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

fn records(span: &Span) -> impl Iterator<Item = LogRecord> {
    let details = span.events.iter().filter(|event| is_details(event));
    details.map(|event| record(span, event))
}

/// In the context of the span, and with its attributes: who has the record alone can still use it.
fn record(span: &Span, event: &SpanEvent) -> LogRecord {
    let (TraceId(trace_id), SpanId(span_id)) = (span.trace_id, span.span_id);
    let own = &event.attributes;
    let of_span = span.attributes.iter();
    let of_span = of_span.filter(|attribute| own.iter().all(|own| own.key != attribute.key));
    LogRecord {
        time_unix_nano: event.time_unix_ns,
        // A recording gives the same record whenever it is replayed.
        observed_time_unix_nano: event.time_unix_ns,
        severity_number: SeverityNumber::Debug.into(),
        severity_text: "DEBUG".to_owned(),
        body: None,
        attributes: of_span.chain(own).map(attribute).collect(),
        dropped_attributes_count: 0,
        flags: u32::from(transform::flags(span).to_u8()),
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        event_name: event.name.to_owned(),
    }
}

fn attribute(attribute: &Attribute) -> common::KeyValue {
    let document = match &attribute.value {
        Value::String(text) if STRUCTURED.contains(&attribute.key) => serde_json::from_str(text).ok(),
        _ => None,
    };
    match document {
        Some(document) => key_value(attribute.key.to_owned(), document, DEPTH_MAX),
        None => transform::proto_attribute(attribute),
    }
}

fn key_value(key: String, document: Json, depth: usize) -> common::KeyValue {
    common::KeyValue {
        key,
        value: Some(any_value(document, depth)),
        ..common::KeyValue::default()
    }
}

fn any_value(document: Json, depth: usize) -> common::AnyValue {
    let value = match (document, depth.checked_sub(1)) {
        (Json::Null, _) => None,
        (Json::Bool(truth), _) => Some(Any::BoolValue(truth)),
        (Json::Number(number), _) => match number.as_i64() {
            Some(number) => Some(Any::IntValue(number)),
            None => number.as_f64().map(Any::DoubleValue),
        },
        (Json::String(text), _) => Some(Any::StringValue(text)),
        (document @ (Json::Array(_) | Json::Object(_)), None) => Some(Any::StringValue(document.to_string())),
        (Json::Array(items), Some(depth)) => Some(Any::ArrayValue(common::ArrayValue {
            values: items.into_iter().map(|item| any_value(item, depth)).collect(),
        })),
        (Json::Object(members), Some(depth)) => Some(Any::KvlistValue(common::KeyValueList {
            values: members
                .into_iter()
                .map(|(key, member)| key_value(key, member, depth))
                .collect(),
        })),
    };
    common::AnyValue { value }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
pub(super) mod tests;
