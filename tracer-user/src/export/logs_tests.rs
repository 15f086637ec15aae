//! Details of calls as log records.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use serde_json::{Value as Json, json};

use super::super::tests::{PATIENCE, process, span};
use crate::enrich::Resource;
use crate::event::Process;
use crate::export::{Format, LogSettings, OutletSettings, Outlets, Output};
use crate::genai::semconv;
use crate::genai::span::{Attribute, Parent, Span, SpanEvent, SpanId, Value};

fn text(key: &'static str, text: String) -> Attribute {
    Attribute {
        key,
        value: Value::String(text.into()),
    }
}

fn input() -> Json {
    json!([
        {"role": "user", "parts": [{"type": "text", "content": "Is it 19 °C in Zürich?"}]},
        {"role": "assistant", "parts": [
            {"type": "tool_call", "id": "t1", "name": "weather", "arguments": {
                "city": "Zürich", "days": 3, "exact": true, "unit": null, "above": -0.5, "near": [], "by": {},
            }},
        ]},
    ])
}

/// A span whose details were asked for on spans and on events.
pub(in crate::export) fn detailed(process: &Arc<Process>, number: u8) -> Span {
    let mut span = span(process, number);
    span.attributes
        .push(text(semconv::INPUT_MESSAGES, input().to_string()));
    span.events.push(SpanEvent {
        name: semconv::DETAILS_EVENT,
        time_unix_ns: span.end_unix_ns,
        attributes: vec![
            text(semconv::OPERATION_NAME, "chat".to_owned()),
            text(semconv::INPUT_MESSAGES, input().to_string()),
        ],
    });
    span
}

/// The value as the JSON that it came from.
fn as_json(value: Option<&AnyValue>) -> Json {
    match value.and_then(|value| value.value.as_ref()) {
        None => Json::Null,
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(truth)) => json!(truth),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::DoubleValue(number)) => json!(number),
        Some(Any::ArrayValue(array)) => array.values.iter().map(|item| as_json(Some(item))).collect(),
        Some(Any::KvlistValue(list)) => members(&list.values),
        Some(other) => panic!("no value of ours: {other:?}"),
    }
}

fn members(list: &[KeyValue]) -> Json {
    let members = list
        .iter()
        .map(|member| (member.key.clone(), as_json(member.value.as_ref())));
    Json::Object(members.collect())
}

fn attributes(record: &LogRecord) -> Json {
    members(&record.attributes)
}

/// The only record of a request, which is the one of span 7.
pub(in crate::export) fn check(request: &ExportLogsServiceRequest) {
    let [of_process] = request.resource_logs.as_slice() else {
        panic!("one process: {request:?}");
    };
    let resource = of_process.resource.as_ref().expect("a resource");
    assert_eq!(members(&resource.attributes)["process.pid"], 4242);
    let [scope] = of_process.scope_logs.as_slice() else {
        panic!("one scope: {request:?}");
    };
    let name = scope.scope.as_ref().map(|scope| scope.name.as_str());
    assert_eq!(name, Some("geophone"));
    let [record] = scope.log_records.as_slice() else {
        panic!("one record: {request:?}");
    };
    assert_eq!(record.event_name, "gen_ai.client.inference.operation.details");
    assert_eq!(
        (record.severity_number, record.severity_text.as_str()),
        (5, "DEBUG")
    );
    assert_eq!(record.time_unix_nano, 1_763_683_200_965_456_789);
    assert_eq!(
        (&record.trace_id[..], &record.span_id[..], record.flags),
        (&[7; 16][..], &[7; 8][..], 1)
    );
    assert_eq!(
        attributes(record),
        json!({
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": input(),
        })
    );
}

/// The only record of a span.
fn record_of(span: &Span) -> LogRecord {
    let resource = Resource::of(&span.process, None);
    let mut request = super::request(&resource, std::iter::once(span));
    request
        .resource_logs
        .remove(0)
        .scope_logs
        .remove(0)
        .log_records
        .remove(0)
}

#[test]
fn the_record_is_in_the_context_of_the_span_as_its_caller_sampled_it() {
    let mut span = detailed(&process(1, "worker"), 3);
    span.parent = Some(Parent {
        span_id: SpanId([9; 8]),
        flags: 0,
        trace_state: String::new(),
    });
    let record = record_of(&span);
    assert_eq!((record.span_id, record.flags), (vec![3; 8], 0));
}

#[test]
fn content_that_is_deeper_than_decoders_go_arrives_as_text_at_its_end() {
    let mut deep = json!("here");
    for _ in 0..120 {
        deep = json!({ "in": deep });
    }
    let mut span = detailed(&process(1, "worker"), 1);
    span.events[0].attributes = vec![text(semconv::TOOL_DEFINITIONS, json!([deep]).to_string())];
    let resource = Resource::of(&span.process, None);
    let bytes = super::request(&resource, std::iter::once(&span)).encode_to_vec();
    let request = ExportLogsServiceRequest::decode(&bytes[..]).expect("decoders take it");
    let record = &request.resource_logs[0].scope_logs[0].log_records[0];
    let told = attributes(record);
    let mut told = &told[semconv::TOOL_DEFINITIONS][0];
    let mut levels = 1;
    while let Some(inner) = told.get("in") {
        told = inner;
        levels += 1;
    }
    assert_eq!(levels, super::DEPTH_MAX);
    let rest: Json = serde_json::from_str(told.as_str().expect("text")).expect("JSON");
    assert_eq!(rest.to_string().matches("in").count(), 121 - super::DEPTH_MAX);
}

#[test]
fn in_a_file_the_record_is_the_line_behind_its_span() {
    let directory = tempfile::tempdir().expect("a directory");
    let lines = |logs: LogSettings| -> Vec<Json> {
        let path = directory.path().join("spans.jsonl");
        let mut outlets = Outlets::open(OutletSettings {
            format: Format::OtlpJson,
            output: Output::File(path.clone()),
            logs,
            ..OutletSettings::default()
        })
        .expect("the file can be made");
        let process = process(4242, "worker");
        outlets.span(detailed(&process, 7));
        outlets.span(span(&process, 8));
        let report = outlets.shutdown(PATIENCE);
        assert_eq!((report.written, report.problems.len()), (2, 0), "{report:?}");
        let text = std::fs::read_to_string(path).expect("written");
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
            .collect()
    };
    let span = |line: &Json| line["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone();
    let apart = lines(LogSettings {
        written: true,
        ..LogSettings::default()
    });
    let [first, record, second] = apart.as_slice() else {
        panic!("three lines: {apart:?}");
    };
    assert_eq!(span(first)["events"], json!([]));
    assert_eq!(span(second)["spanId"], "0808080808080808");
    let request: ExportLogsServiceRequest =
        serde_json::from_value(record.clone()).expect("an export request");
    check(&request);
    let record = &record["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["timeUnixNano"], "1763683200965456789");
    assert_eq!(record["traceId"], "07".repeat(16));

    let beneath = lines(LogSettings::default());
    assert_eq!(beneath.len(), 2);
    let event = &span(&beneath[0])["events"][0];
    assert_eq!(event["name"], "gen_ai.client.inference.operation.details");
    let content = &event["attributes"][1];
    assert_eq!(content["key"], "gen_ai.input.messages");
    assert_eq!(content["value"]["stringValue"], input().to_string());
}
