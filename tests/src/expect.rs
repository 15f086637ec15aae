//! What a span must say, derived from what the fake served and the conventions alone.
//!
//! The comparison is exact in both directions: a missing attribute, a wrong value and an attribute that nothing explains
//! are all findings.

use serde_json::{Value, json};

use crate::fake::{Operation, Served, Usage};
use crate::span::{Attributes, CLIENT, ERROR, Span};

/// Clocks of the fake and of the kernel are the same clock; what lies between is scheduling on a busy machine.
const SLACK_NS: u64 = 2_000_000_000;

/// Attributes that are checked by rules of their own.
const MEASURED: [&str; 1] = ["gen_ai.response.time_to_first_chunk"];

/// Everything that is wrong with a span, or nothing.
pub fn findings(span: &Span, served: &Served) -> Vec<String> {
    let mut findings = Vec::new();
    let mut differ = |what: &str, is: Value, should: Value| {
        if is != should {
            findings.push(format!("{what} is {is}, should be {should}"));
        }
    };
    let expected = attributes(served);
    differ("name", json!(span.name), json!(name(served)));
    differ("kind", json!(span.kind), json!(CLIENT));
    let failed = served.error.is_some() || !served.complete;
    differ("status is error", json!(span.status == ERROR), json!(failed));
    if let Some(message) = &served.error_message {
        differ("status description", json!(span.message), json!(message));
    }
    for (key, value) in &expected {
        let is = span.attributes.get(key).cloned().unwrap_or(Value::Null);
        differ(key, is, value.clone());
    }
    for (key, value) in &span.attributes {
        if !expected.contains_key(key) && !MEASURED.contains(&key.as_str()) {
            findings.push(format!("{key} = {value} is explained by nothing that was served"));
        }
    }
    if let Some((trace, parent)) = parent(served) {
        if span.trace_id != trace || span.parent_span_id != parent {
            findings.push(format!(
                "the span is {}/{} under {:?}, should be in trace {trace} under {parent}",
                span.trace_id, span.span_id, span.parent_span_id
            ));
        }
    } else if !span.parent_span_id.is_empty() {
        findings.push(format!(
            "the span has a parent that nobody sent: {}",
            span.parent_span_id
        ));
    }
    findings.extend(times(span, served));
    findings
}

/// `{operation} {model}`.
fn name(served: &Served) -> String {
    format!("{} {}", operation_name(served), served.model)
}

/// Titan's own body is a prompt to be continued, everything else is a conversation.
fn operation_name(served: &Served) -> &'static str {
    let invoke = matches!(
        served.operation,
        Some(Operation::InvokeModel | Operation::InvokeModelWithResponseStream)
    );
    if invoke && served.model.contains("amazon.titan-text") {
        "text_completion"
    } else {
        "chat"
    }
}

fn attributes(served: &Served) -> Attributes {
    let mut expected = Attributes::new();
    let mut set = |key: &str, value: Value| {
        expected.insert(key.to_owned(), value);
    };
    let (host, port) = served.host.rsplit_once(':').unwrap_or((&served.host, "443"));
    set("gen_ai.operation.name", operation_name(served).into());
    set("gen_ai.provider.name", "aws.bedrock".into());
    set("gen_ai.request.model", served.model.as_str().into());
    set("server.address", host.into());
    set("server.port", port.parse::<u64>().unwrap_or(443).into());
    set("aws.request_id", served.request_id.as_str().into());
    if served.operation.is_some_and(Operation::streams) {
        set("gen_ai.request.stream", true.into());
    }
    if let Some(max_tokens) = served.parameters.max_tokens {
        set("gen_ai.request.max_tokens", max_tokens.into());
    }
    if let Some(temperature) = served.parameters.temperature {
        set("gen_ai.request.temperature", temperature.into());
    }
    if let Some(top_p) = served.parameters.top_p {
        set("gen_ai.request.top_p", top_p.into());
    }
    if let Some(top_k) = served.parameters.top_k {
        set("gen_ai.request.top_k", top_k.into());
    }
    if !served.parameters.stop_sequences.is_empty() {
        set(
            "gen_ai.request.stop_sequences",
            served.parameters.stop_sequences.clone().into(),
        );
    }
    set("gen_ai.response.finish_reasons", json!([finish_reason(served)]));
    if let Some(id) = &served.response_id {
        set("gen_ai.response.id", id.as_str().into());
    }
    if let Some(model) = &served.response_model {
        set("gen_ai.response.model", model.as_str().into());
    }
    if let Some(usage) = &served.usage {
        let Usage {
            input,
            output,
            cache_read,
            cache_write,
        } = *usage;
        let input = input + cache_read.unwrap_or(0) + cache_write.unwrap_or(0);
        set("gen_ai.usage.input_tokens", input.into());
        set("gen_ai.usage.output_tokens", output.into());
        set("gen_ai.usage.total_tokens", usage.total().into());
        if let Some(read) = cache_read {
            set("gen_ai.usage.cache_read.input_tokens", read.into());
        }
        if let Some(write) = cache_write {
            set("gen_ai.usage.cache_creation.input_tokens", write.into());
        }
    }
    if let Some(error) = &served.error {
        set("error.type", error.as_str().into());
    }
    if served.attempt > 1 {
        set("http.request.resend_count", (served.attempt - 1).into());
    }
    expected
}

/// Reasons of the wire in the words of the convention; `error` where one was due and none came.
fn finish_reason(served: &Served) -> &'static str {
    match served.stop_reason.as_deref() {
        Some("end_turn" | "stop_sequence" | "FINISH") => "stop",
        Some("tool_use") => "tool_call",
        Some("max_tokens" | "LENGTH") => "length",
        Some("content_filtered" | "guardrail_intervened" | "CONTENT_FILTERED") => "content_filter",
        _ => "error",
    }
}

/// Trace and span that the request named as its parent: W3C first, X-Ray else.
fn parent(served: &Served) -> Option<(String, String)> {
    if let Some(traceparent) = &served.traceparent {
        let mut fields = traceparent.split('-').skip(1);
        return Some((fields.next()?.to_owned(), fields.next()?.to_owned()));
    }
    let header = served.amzn_trace_id.as_ref()?;
    let field = |name: &str| {
        header
            .split(';')
            .find_map(|field| field.trim().strip_prefix(name))
    };
    let root = field("Root=1-")?.replace('-', "");
    Some((root, field("Parent=")?.to_owned()))
}

fn times(span: &Span, served: &Served) -> Vec<String> {
    let mut findings = Vec::new();
    if span.end < span.start {
        findings.push("the span ends before it starts".to_owned());
    }
    if span.start.abs_diff(served.received_unix_ns) > SLACK_NS {
        findings.push(format!(
            "the span starts at {}, but the request came at {}",
            span.start, served.received_unix_ns
        ));
    }
    if served.complete && span.end.abs_diff(served.ended_unix_ns) > SLACK_NS {
        findings.push(format!(
            "the span ends at {}, but the response ended at {}",
            span.end, served.ended_unix_ns
        ));
    }
    let first_chunk = span.attributes.get(MEASURED[0]).map(Value::as_f64);
    let streamed = served.operation.is_some_and(Operation::streams) && served.first_content_unix_ns.is_some();
    match first_chunk {
        None if streamed => findings.push(format!("{} is missing", MEASURED[0])),
        Some(_) if !streamed => findings.push(format!("{} on an answer that is no stream", MEASURED[0])),
        Some(Some(seconds)) => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a duration of seconds keeps its precision"
            )]
            let whole = (span.end - span.start) as f64 / 1e9;
            if !(0.0..=whole).contains(&seconds) {
                findings.push(format!("the first chunk came after {seconds} s of {whole} s"));
            }
        }
        _ => {}
    }
    findings
}
