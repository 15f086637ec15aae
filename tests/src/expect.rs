//! What a span must say, derived from what the fake served and the conventions alone.
//!
//! The comparison is exact in both directions: a missing attribute, a wrong value and an attribute that nothing explains
//! are all findings.

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::fake::{Operation, Served, Usage};
use crate::price::cost;
use crate::span::{Attributes, CLIENT, ERROR, Span};

/// Clocks of the fake and of the kernel are the same clock; what lies between is scheduling on a busy machine, and bytes that
/// wait in sockets for a client that has much to do.
const SLACK_NS: u64 = 20_000_000_000;

/// What a span says of what it does not know.
const INCOMPLETE: &str = "geophone.incomplete";

/// Why a span tells no cost.
const UNPRICED: &str = "geophone.cost.unpriced";

/// The operation that gives no text, and so has no reason to end.
const EMBEDDINGS: &str = "embeddings";

const FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";

/// Attributes that are checked by rules of their own.
const MEASURED: [&str; 3] = [FIRST_CHUNK, "thread.id", BACKOFF];

/// Time between attempts.
const BACKOFF: &str = "geophone.attempts.backoff";

/// Everything that is wrong with the span of a call, or nothing. `earlier`: attempts of the same call before the last one.
pub fn findings(span: &Span, earlier: &[&Served], served: &Served) -> Vec<String> {
    let mut findings = Vec::new();
    let mut differ = |what: &str, is: Value, should: Value| {
        if is != should {
            findings.push(format!("{what} is {is}, should be {should}"));
        }
    };
    let mut expected = attributes(served);
    let throttled = earlier
        .iter()
        .chain([&served])
        .filter(|served| is_throttled(served))
        .count();
    if throttled > 0 {
        expected.insert("geophone.attempts.throttled".to_owned(), throttled.into());
    }
    differ("name", json!(span.name), json!(name(served)));
    differ("kind", json!(span.kind), json!(CLIENT));
    // Who ended a connection early cannot be seen from its plaintext: that alone is no error.
    let failed = served.error.is_some();
    differ("status is error", json!(span.status == ERROR), json!(failed));
    let in_stream = failed && served.status == 200;
    let events: Vec<&str> = span.events.iter().map(|event| event.name.as_str()).collect();
    let attempts = if earlier.is_empty() { 0 } else { earlier.len() + 1 };
    let mut expected_events = vec![ATTEMPT; attempts];
    expected_events.extend(in_stream.then_some("exception"));
    differ("events", json!(events), json!(expected_events));
    differ(
        "there is a back-off",
        json!(span.attributes.get(BACKOFF).is_some_and(Value::is_number)),
        json!(attempts > 1),
    );
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
    if span
        .attributes
        .get("thread.id")
        .and_then(Value::as_u64)
        .is_none_or(|id| id == 0)
    {
        findings.push("thread.id is missing".to_owned());
    }
    if !earlier.is_empty() {
        findings.extend(attempt_findings(span, earlier.iter().copied().chain([served])));
    }
    let first = earlier.first().copied().unwrap_or(served);
    findings.extend(times(span, first, served));
    findings
}

/// Event of a span that tells one of several attempts.
const ATTEMPT: &str = "geophone.attempt";

/// What is wrong with the events of the attempts, each of which says what was served to it.
fn attempt_findings<'s>(span: &Span, attempts: impl Iterator<Item = &'s Served>) -> Vec<String> {
    let events = span.events.iter().filter(|event| event.name == ATTEMPT);
    let mut findings = Vec::new();
    for (event, served) in events.zip(attempts) {
        let mut expected = Attributes::new();
        expected.insert(
            "http.request.resend_count".to_owned(),
            (served.attempt - 1).into(),
        );
        expected.insert("http.response.status_code".to_owned(), served.status.into());
        expected.insert("aws.request_id".to_owned(), served.request_id.as_str().into());
        if let Some(error) = &served.error {
            expected.insert("error.type".to_owned(), error.as_str().into());
        }
        let mut said = event.attributes.clone();
        let duration = said.remove("geophone.attempt.duration");
        let delay = said.remove("geophone.attempt.delay");
        if said != expected {
            findings.push(format!(
                "attempt {} says {said:?}, should say {expected:?}",
                served.attempt
            ));
        }
        if duration.and_then(|seconds| seconds.as_f64()).is_none() || delay.is_some() != (served.attempt > 1)
        {
            findings.push(format!("attempt {} lacks its times", served.attempt));
        }
    }
    findings
}

/// Whether it was refused since too much was asked for.
fn is_throttled(served: &Served) -> bool {
    served.error.as_deref() == Some("ThrottlingException")
}

/// Everything that a span of a connection whose beginning nobody heard says and should not. It may leave things out if it
/// says that it does.
pub fn partial_findings(span: &Span, served: &Served) -> Vec<String> {
    let mut expected = attributes(served);
    if !span.attributes.contains_key("gen_ai.request.model") {
        // A call of nobody knows which model is told as most are.
        expected.insert("gen_ai.operation.name".to_owned(), "chat".into());
    }
    // What is not known has no price.
    if span.attributes.contains_key(UNPRICED) {
        expected.remove("llm.cost.usd");
    }
    let mut findings: Vec<String> = span
        .attributes
        .iter()
        .filter(|(key, _)| {
            !MEASURED.contains(&key.as_str()) && ![INCOMPLETE, UNPRICED].contains(&key.as_str())
        })
        .filter(|(key, value)| expected.get(*key) != Some(value))
        .map(|(key, value)| format!("{key} is {value}, should be {:?}", expected.get(key)))
        .collect();
    let missing: Vec<&str> = expected
        .keys()
        .filter(|key| !span.attributes.contains_key(*key))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() && !span.attributes.contains_key(INCOMPLETE) {
        findings.push(format!("{missing:?} are missing, and it does not say so"));
    }
    if (span.status == ERROR) != served.error.is_some() {
        findings.push(format!("its status is {}: {}", span.status, span.message));
    }
    findings
}

/// `{operation} {model}`.
fn name(served: &Served) -> String {
    format!("{} {}", operation_name(served), served.model)
}

/// Titan's own bodies are a prompt to be continued and a text to be placed, everything else is a conversation.
fn operation_name(served: &Served) -> &'static str {
    let invoke = matches!(
        served.operation,
        Some(Operation::InvokeModel | Operation::InvokeModelWithResponseStream)
    );
    if invoke && served.model.contains("amazon.titan-text") {
        "text_completion"
    } else if invoke && served.model.contains("amazon.titan-embed") {
        EMBEDDINGS
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
    let id = served.model.rsplit('/').next().unwrap_or_default();
    let (kind, base) = match id.strip_prefix("us.") {
        Some(base) => ("inference_profile", base),
        None => ("foundation_model", id),
    };
    set("geophone.model.kind", kind.into());
    set("geophone.model.base", base.into());
    if base != id {
        set("geophone.model.geography", "us".into());
    }
    set("server.address", host.into());
    set("server.port", port.parse::<u64>().unwrap_or(443).into());
    set("aws.request_id", served.request_id.as_str().into());
    if served.streamed {
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
    if operation_name(served) == EMBEDDINGS {
        // All that the tests ask for.
        set("gen_ai.request.encoding_formats", json!(["float"]));
    } else {
        set("gen_ai.response.finish_reasons", json!([finish_reason(served)]));
    }
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
        if let Some(output) = output {
            set("gen_ai.usage.output_tokens", output.into());
            set("gen_ai.usage.total_tokens", (input + output).into());
        }
        if let Some(read) = cache_read {
            set("gen_ai.usage.cache_read.input_tokens", read.into());
        }
        if let Some(write) = cache_write {
            set("gen_ai.usage.cache_creation.input_tokens", write.into());
        }
    }
    if let Some(wire) = &served.stop_reason {
        set("geophone.response.stop_reasons", json!([wire]));
    }
    if let Some((name, id)) = &served.tool_call {
        set("geophone.response.tool_call.names", json!([name]));
        set("geophone.response.tool_call.ids", json!([id]));
    }
    if let Some(milliseconds) = served.latency_ms {
        #[expect(clippy::cast_precision_loss, reason = "some hundred milliseconds")]
        set("geophone.server.duration", json!(milliseconds as f64 / 1e3));
    }
    if let Some(id) = &served.invocation_id {
        set("geophone.sdk.invocation_id", id.as_str().into());
    }
    match cost(served) {
        Some(Ok(dollars)) => set("llm.cost.usd", json!(dollars)),
        Some(Err(reason)) => set(UNPRICED, reason.into()),
        None => {}
    }
    if !served.complete {
        set("geophone.incomplete", json!(["no_stop_event", "closed"]));
    }
    if let Some(operation) = served.operation {
        set("rpc.system", "aws-api".into());
        let mantle = host.starts_with("bedrock-mantle.");
        set(
            "rpc.service",
            if mantle {
                "Bedrock Mantle"
            } else {
                "Bedrock Runtime"
            }
            .into(),
        );
        set("rpc.method", json!(operation));
    }
    set("http.response.status_code", served.status.into());
    let of_host = host
        .strip_prefix("bedrock-runtime.")
        .and_then(|rest| rest.split('.').next());
    if let Some(region) = of_host.or(served.region.as_deref()) {
        set("cloud.region", region.into());
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
        Some("end_turn" | "END_TURN" | "stop" | "stop_sequence" | "FINISH" | "STOP_CRITERIA_MET") => "stop",
        Some("tool_use" | "tool_calls") => "tool_call",
        Some("max_tokens" | "length" | "LENGTH") => "length",
        Some("content_filter" | "content_filtered" | "guardrail_intervened" | "CONTENT_FILTERED") => {
            "content_filter"
        }
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

fn times(span: &Span, first: &Served, served: &Served) -> Vec<String> {
    let mut findings = Vec::new();
    if span.end < span.start {
        findings.push("the span ends before it starts".to_owned());
    }
    if span.start.abs_diff(first.received_unix_ns) > SLACK_NS {
        findings.push(format!(
            "the span starts at {}, but the request came at {}",
            span.start, first.received_unix_ns
        ));
    }
    if served.complete && span.end.abs_diff(served.ended_unix_ns) > SLACK_NS {
        findings.push(format!(
            "the span ends at {}, but the response ended at {}",
            span.end, served.ended_unix_ns
        ));
    }
    let first_chunk = span.attributes.get(FIRST_CHUNK).map(Value::as_f64);
    let streamed = served.streamed && served.first_content_unix_ns.is_some();
    match first_chunk {
        None if streamed => findings.push(format!("{FIRST_CHUNK} is missing")),
        Some(_) if !streamed => findings.push(format!("{FIRST_CHUNK} on an answer that is no stream")),
        Some(None) => findings.push(format!("{FIRST_CHUNK} is no number")),
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
        None => {}
    }
    findings
}
