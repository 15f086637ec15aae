//! Our spans as OpenTelemetry's types: `SpanData` for the exporter, protobuf messages for the file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, Link as OtelLink, SpanContext, SpanId as OtelSpanId, SpanKind as OtelSpanKind, Status, TraceFlags,
    TraceId as OtelTraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value as OtelValue};
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::logs::Details;
use crate::enrich::Resource;
use crate::genai::span::{
    Attribute, Link, Parent, Span, SpanEvent, SpanId, SpanKind, SpanStatus, TraceId, Value,
};

/// Who made the spans: the instrumentation scope.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("geophone")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}

/// A span as the SDK's exporters take it. `details`: whether they are among its events.
pub(super) fn span_data(span: &Span, details: Details) -> SpanData {
    let Span {
        process: _,
        trace_id: TraceId(trace_id),
        span_id: SpanId(span_id),
        parent,
        name,
        kind,
        start_unix_ns,
        end_unix_ns,
        status,
        attributes,
        events,
        links,
    } = span;
    let trace_state = parent.as_ref().map(trace_state).unwrap_or_default();
    let mut span_links = SpanLinks::default();
    span_links.links = links.iter().map(link).collect();
    let mut span_events = SpanEvents::default();
    let events = events.iter().filter(|event| details.is_of_span(event));
    span_events.events = events.map(event).collect();
    SpanData {
        span_context: SpanContext::new(
            OtelTraceId::from_bytes(*trace_id),
            OtelSpanId::from_bytes(*span_id),
            flags(span),
            false,
            trace_state,
        ),
        parent_span_id: parent.as_ref().map_or(OtelSpanId::INVALID, |parent| {
            let SpanId(id) = parent.span_id;
            OtelSpanId::from_bytes(id)
        }),
        // The parent is a span of the same process, though we read it off the wire.
        parent_span_is_remote: false,
        span_kind: match kind {
            SpanKind::Client => OtelSpanKind::Client,
            SpanKind::Internal => OtelSpanKind::Internal,
        },
        name: name.clone().into(),
        start_time: time(*start_unix_ns),
        end_time: time(*end_unix_ns),
        attributes: attributes.iter().map(key_value).collect(),
        dropped_attributes_count: 0,
        events: span_events,
        links: span_links,
        status: match status {
            SpanStatus::Unset => Status::Unset,
            SpanStatus::Error { description } => Status::error(description.clone()),
        },
        instrumentation_scope: scope(),
    }
}

/// A trace of its own is recorded as a whole: sampled. Beneath a caller's span the caller decides.
pub(super) fn flags(span: &Span) -> TraceFlags {
    let parent = span.parent.as_ref();
    parent.map_or(TraceFlags::SAMPLED, |parent| TraceFlags::new(parent.flags))
}

/// A resource as the SDK's exporters take it.
pub(super) fn sdk_resource(resource: &Resource) -> opentelemetry_sdk::Resource {
    let attributes = resource.attributes.iter();
    let attributes =
        attributes.map(|attribute| KeyValue::new(attribute.key.clone(), value(&attribute.value)));
    opentelemetry_sdk::Resource::builder_empty()
        .with_attributes(attributes)
        .build()
}

/// A resource as protobuf, its attributes in our order, which is the same every time.
pub(super) fn proto_resource(resource: &Resource) -> resource::Resource {
    let attributes = resource.attributes.iter();
    resource::Resource {
        attributes: attributes
            .map(|attribute| common::KeyValue {
                key: attribute.key.clone().into_owned(),
                value: Some(value(&attribute.value).into()),
                ..common::KeyValue::default()
            })
            .collect(),
        ..resource::Resource::default()
    }
}

/// An attribute as protobuf.
pub(super) fn proto_attribute(attribute: &Attribute) -> common::KeyValue {
    common::KeyValue {
        key: attribute.key.to_owned(),
        value: Some(value(&attribute.value).into()),
        ..common::KeyValue::default()
    }
}

fn trace_state(parent: &Parent) -> TraceState {
    // What a caller sent need not be valid; then it is as if it had sent none (W3C Trace Context §3.3).
    parent.trace_state.parse().unwrap_or_default()
}

fn event(event: &SpanEvent) -> Event {
    let SpanEvent {
        name,
        time_unix_ns,
        attributes,
    } = event;
    Event::new(
        *name,
        time(*time_unix_ns),
        attributes.iter().map(key_value).collect(),
        0,
    )
}

fn link(link: &Link) -> OtelLink {
    let Link {
        trace_id: TraceId(trace_id),
        span_id: SpanId(span_id),
        attributes,
    } = link;
    let context = SpanContext::new(
        OtelTraceId::from_bytes(*trace_id),
        OtelSpanId::from_bytes(*span_id),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    );
    OtelLink::new(context, attributes.iter().map(key_value).collect(), 0)
}

fn key_value(attribute: &Attribute) -> KeyValue {
    KeyValue::new(attribute.key, value(&attribute.value))
}

fn value(value: &Value) -> OtelValue {
    match value {
        Value::String(text) => OtelValue::String(StringValue::from(text.clone())),
        Value::Int(number) => OtelValue::I64(*number),
        Value::Double(number) => OtelValue::F64(*number),
        Value::Bool(truth) => OtelValue::Bool(*truth),
        Value::Strings(texts) => OtelValue::Array(Array::String(
            texts.iter().cloned().map(StringValue::from).collect(),
        )),
    }
}

fn time(unix_ns: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(unix_ns)
}
