//! What a recording is known to say, against what its span says.

use serde_json::{Value as Json, json};
use tracer_user::genai::semconv;
use tracer_user::genai::span::{Span, SpanStatus, Value};

/// What the span gets wrong.
pub(crate) fn compare(expected: &Json, span: &Span) -> Vec<String> {
    let mut differences = Vec::new();
    let mut same = |what: &str, expected: Json, found: Json| {
        if expected != found {
            differences.push(format!("{what}: expected {expected}, found {found}"));
        }
    };
    let get = |name: &str| attribute(span, name);
    let known = |name: &str| expected.get(name).cloned().unwrap_or(Json::Null);
    let wire = |name: &str| {
        expected
            .pointer(&format!("/usage_wire/{name}"))
            .cloned()
            .unwrap_or(Json::Null)
    };

    same("model", known("model_id"), get(semconv::REQUEST_MODEL));
    same("operation", known("api"), get(semconv::RPC_METHOD));
    same("status", known("status"), get(semconv::HTTP_STATUS));
    same(
        "stream",
        known("stream"),
        Json::Bool(get(semconv::REQUEST_STREAM) == Json::Bool(true)),
    );
    same(
        "input tokens",
        known("input_tokens_incl_cache"),
        get(semconv::USAGE_INPUT_TOKENS),
    );
    same("output tokens", wire("output"), get(semconv::USAGE_OUTPUT_TOKENS));
    // Headers and metrics may tell of cache tokens where the body, from which the expectation comes, does not.
    for (name, attribute) in [
        ("cache_read", semconv::USAGE_CACHE_READ),
        ("cache_write", semconv::USAGE_CACHE_CREATION),
    ] {
        let found = get(attribute);
        if !(wire(name).is_null() && found == json!(0)) {
            same(name, wire(name), found);
        }
    }
    if let Some(reason) = expected.get("finish_reason_otel") {
        let choices = expected.get("n_choices").and_then(Json::as_u64).unwrap_or(1);
        let found = get(semconv::RESPONSE_FINISH_REASONS);
        // A stream of several choices ends them all with one reason.
        let found_choices = found.as_array().map_or(0, Vec::len) as u64;
        let choices = if known("stream") == Json::Bool(true) {
            found_choices
        } else {
            choices
        };
        same(
            "finish reasons",
            json!(vec![reason; usize::try_from(choices).unwrap_or(1)]),
            found,
        );
    }
    // The expectations leave out ids of some families, whose bodies do have one.
    if let Some(id) = expected.get("response_id") {
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        same("response id", Json::String(id), get(semconv::RESPONSE_ID));
    }
    same(
        "response model",
        known("response_model"),
        get(semconv::RESPONSE_MODEL),
    );
    same("error", known("error_code"), get(semconv::ERROR_TYPE));
    let description = match &span.status {
        SpanStatus::Unset => Json::Null,
        SpanStatus::Error { description } => Json::String(description.clone()),
    };
    same("error message", known("error_message"), description);
    for (name, attribute) in [
        ("max_tokens", semconv::REQUEST_MAX_TOKENS),
        ("temperature", semconv::REQUEST_TEMPERATURE),
        ("top_p", semconv::REQUEST_TOP_P),
        ("top_k", semconv::REQUEST_TOP_K),
    ] {
        if let Some(value) = expected.pointer(&format!("/request/{name}")) {
            let found = get(attribute);
            if value.as_f64() != found.as_f64() {
                same(name, value.clone(), found);
            }
        }
    }
    if let Some(stop) = expected
        .pointer("/request/stop")
        .filter(|stop| **stop != json!([]))
    {
        same(
            "stop sequences",
            stop.clone(),
            get(semconv::REQUEST_STOP_SEQUENCES),
        );
    }
    let calls = expected
        .get("tool_calls")
        .and_then(Json::as_array)
        .cloned()
        .unwrap_or_default();
    let of_calls = |name: &str| match calls.as_slice() {
        [] => Json::Null,
        calls => calls.iter().map(|call| call[name].clone()).collect(),
    };
    same("tool names", of_calls("name"), get(semconv::TOOL_CALL_NAMES));
    same("tool ids", of_calls("id"), get(semconv::TOOL_CALL_IDS));
    let arguments: Vec<Json> = calls
        .iter()
        .filter_map(|call| call.get("args").cloned())
        .collect();
    same(
        "tool arguments",
        Json::Array(arguments),
        Json::Array(tool_arguments(span)),
    );
    same("gaps", Json::Null, get(semconv::INCOMPLETE));
    differences
}

/// Arguments of the tool calls in the answer, as the content attribute has them.
fn tool_arguments(span: &Span) -> Vec<Json> {
    let Json::String(messages) = attribute(span, semconv::OUTPUT_MESSAGES) else {
        return Vec::new();
    };
    let messages: Json = serde_json::from_str(&messages).expect("messages are JSON");
    messages
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|message| message["parts"].as_array().cloned().unwrap_or_default())
        .filter(|part| part["type"] == "tool_call")
        .map(|part| part["arguments"].clone())
        .collect()
}

/// Characters of the answer, as the content attribute has it.
pub(crate) fn text_length(span: &Span) -> usize {
    let Json::String(messages) = attribute(span, semconv::OUTPUT_MESSAGES) else {
        return 0;
    };
    let messages: Json = serde_json::from_str(&messages).expect("messages are JSON");
    let parts = messages
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|message| message["parts"].as_array().cloned().unwrap_or_default());
    parts
        .filter_map(|part| Some(part["content"].as_str()?.chars().count()))
        .sum()
}

pub(crate) fn attribute(span: &Span, name: &str) -> Json {
    span.attributes
        .iter()
        .find(|attribute| attribute.key == name)
        .map_or(Json::Null, |attribute| match &attribute.value {
            Value::String(text) => json!(text),
            Value::Int(number) => json!(number),
            Value::Double(number) => json!(number),
            Value::Bool(truth) => json!(truth),
            Value::Strings(texts) => json!(texts),
        })
}
