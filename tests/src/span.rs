//! Spans as a consumer of OTLP sees them, read without any code of geophone.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// Attributes with plain values.
pub type Attributes = BTreeMap<String, Value>;

/// One span with the resource it belongs to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Span {
    /// Attributes of the resource.
    pub resource: Attributes,
    /// Name of the instrumentation scope.
    pub scope: String,
    /// Trace id, lower-case hex.
    pub trace_id: String,
    /// Span id, lower-case hex.
    pub span_id: String,
    /// Parent's span id; empty without one.
    pub parent_span_id: String,
    /// Name.
    pub name: String,
    /// Kind by number: 1 internal, 3 client.
    pub kind: i64,
    /// Start, ns since the Unix epoch.
    pub start: u64,
    /// End, ns since the Unix epoch.
    pub end: u64,
    /// Attributes.
    pub attributes: Attributes,
    /// Events.
    pub events: Vec<Event>,
    /// Status by number: 0 unset, 1 ok, 2 error.
    pub status: i64,
    /// Description of the status.
    pub message: String,
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// Name.
    pub name: String,
    /// When, ns since the Unix epoch.
    pub time: u64,
    /// Attributes.
    pub attributes: Attributes,
}

/// `SPAN_KIND_CLIENT`.
pub const CLIENT: i64 = 3;
/// `STATUS_CODE_ERROR`.
pub const ERROR: i64 = 2;

impl Span {
    /// A text attribute.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.attributes.get(key)?.as_str()
    }

    /// The process that the span is about.
    pub fn pid(&self) -> Option<u64> {
        self.resource.get("process.pid")?.as_u64()
    }
}

/// Spans of OTLP JSON lines, in order: one `ExportTraceServiceRequest` a line, as the OpenTelemetry file exporter
/// specification has it. Lines with log records are passed over.
pub fn from_otlp_json_lines(lines: &str) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let request: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        if request.get("resourceLogs").is_some() {
            continue;
        }
        let resources = request["resourceSpans"]
            .as_array()
            .with_context(|| format!("not an export request: {line}"))?;
        for of_resource in resources {
            let resource = attributes(&of_resource["resource"]["attributes"])?;
            for of_scope in list(&of_resource["scopeSpans"]) {
                for span in list(&of_scope["spans"]) {
                    let scope = text(&of_scope["scope"]["name"]);
                    spans.push(one(span, resource.clone(), scope).with_context(|| format!("in {line}"))?);
                }
            }
        }
    }
    Ok(spans)
}

fn one(span: &Value, resource: Attributes, scope: String) -> Result<Span> {
    Ok(Span {
        resource,
        scope,
        trace_id: id(&span["traceId"], 32)?,
        span_id: id(&span["spanId"], 16)?,
        parent_span_id: text(&span["parentSpanId"]),
        name: text(&span["name"]),
        kind: span["kind"].as_i64().context("kind is no number")?,
        start: nanoseconds(&span["startTimeUnixNano"])?,
        end: nanoseconds(&span["endTimeUnixNano"])?,
        attributes: attributes(&span["attributes"])?,
        events: list(&span["events"])
            .map(|event| {
                Ok(Event {
                    name: text(&event["name"]),
                    time: nanoseconds(&event["timeUnixNano"])?,
                    attributes: attributes(&event["attributes"])?,
                })
            })
            .collect::<Result<_>>()?,
        status: span["status"]["code"].as_i64().unwrap_or(0),
        message: text(&span["status"]["message"]),
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn id(value: &Value, length: usize) -> Result<String> {
    let text = text(value);
    let hex = text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !hex || text.bytes().all(|byte| byte == b'0') {
        bail!("{value} is not an id of {length} hex digits");
    }
    Ok(text)
}

/// 64-bit integers are strings in OTLP's JSON.
fn nanoseconds(value: &Value) -> Result<u64> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .with_context(|| format!("{value} is not a time"))
}

fn attributes(list: &Value) -> Result<Attributes> {
    let mut attributes = Attributes::new();
    for entry in list.as_array().into_iter().flatten() {
        let key = text(&entry["key"]);
        let value = plain(&entry["value"]).with_context(|| format!("value of {key}"))?;
        if attributes.insert(key.clone(), value).is_some() {
            bail!("attribute {key} comes twice");
        }
    }
    Ok(attributes)
}

fn plain(value: &Value) -> Result<Value> {
    let (kind, inner) = value
        .as_object()
        .and_then(|object| object.iter().next())
        .with_context(|| format!("{value} is not an attribute value"))?;
    Ok(match kind.as_str() {
        "stringValue" | "boolValue" | "doubleValue" => inner.clone(),
        "intValue" => match inner {
            Value::String(text) => text.parse::<i64>()?.into(),
            other => other.clone(),
        },
        "arrayValue" => inner["values"]
            .as_array()
            .into_iter()
            .flatten()
            .map(plain)
            .collect::<Result<Vec<_>>>()?
            .into(),
        other => bail!("unknown kind of value {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_file_exporter_reads() {
        let line = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"process.pid","value":{"intValue":"7"}}]},
            "scopeSpans":[{"scope":{"name":"s"},"spans":[{"traceId":"0123456789abcdef0123456789abcdef",
            "spanId":"0123456789abcdef","name":"chat x","kind":3,"startTimeUnixNano":"1","endTimeUnixNano":"2",
            "attributes":[{"key":"a","value":{"arrayValue":{"values":[{"stringValue":"b"}]}}}],
            "status":{}}]}]}]}"#
            .replace('\n', "");
        let spans = from_otlp_json_lines(&line).expect("valid");
        assert_eq!(spans.len(), 1);
        assert_eq!(spans[0].pid(), Some(7));
        assert_eq!(spans[0].attributes["a"], serde_json::json!(["b"]));
        assert_eq!((spans[0].start, spans[0].end, spans[0].status), (1, 2, 0));
    }

    #[test]
    fn an_id_that_is_all_zero_is_refused() {
        assert!(id(&Value::from("0000000000000000"), 16).is_err());
    }
}
