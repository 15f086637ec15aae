//! What may be said of an exchange of which some bytes were not seen: less than of the whole, and nothing else.

use serde_json::Value as Json;
use tracer_user::genai::semconv;
use tracer_user::genai::span::{Span, SpanStatus};

use crate::compare::attribute;

/// Measured, so that what is missing moves them; or there to say that something is missing, or which of several sources was there.
const MEASURED: [&str; 3] = [
    semconv::INCOMPLETE,
    semconv::RESPONSE_TIME_TO_FIRST_CHUNK,
    semconv::SESSION_SOURCE,
];

/// What was said by people and models. Of a text, pieces may be missing.
const CONTENT: [&str; 2] = [semconv::INPUT_MESSAGES, semconv::OUTPUT_MESSAGES];

/// What spans with something missing say, and those of the whole exchange do not.
pub(crate) fn findings(whole: &[Span], holed: &[Span]) -> Vec<String> {
    let mut findings = Vec::new();
    for span in holed {
        // The one that it is most like is the one that it is about.
        let best = whole
            .iter()
            .map(|whole| differences(whole, span))
            .min_by_key(Vec::len);
        findings.extend(best.unwrap_or_else(|| vec!["a span of nothing".to_owned()]));
    }
    if holed.len() > whole.len() {
        findings.push(format!("{} spans instead of {}", holed.len(), whole.len()));
    }
    findings
}

fn differences(whole: &Span, holed: &Span) -> Vec<String> {
    let mut differences = Vec::new();
    let mark = attribute(holed, semconv::INCOMPLETE);
    let mut wrong = |what: &str, holed: &dyn std::fmt::Debug, whole: &dyn std::fmt::Debug| {
        differences.push(format!(
            "{what} is {holed:?}, of the whole it is {whole:?} (said of it: {mark})"
        ));
    };
    if holed.name != whole.name && !is_general(holed, whole) {
        wrong("name", &holed.name, &whole.name);
    }
    if holed.kind != whole.kind {
        wrong("kind", &holed.kind, &whole.kind);
    }
    if holed.status != SpanStatus::Unset && holed.status != whole.status {
        wrong("status", &holed.status, &whole.status);
    }
    for told in &holed.attributes {
        let (of_holed, of_whole) = (attribute(holed, told.key), attribute(whole, told.key));
        if !(MEASURED.contains(&told.key) || is_part(told.key, &of_holed, &of_whole)) {
            wrong(told.key, &of_holed, &of_whole);
        }
    }
    let keys = |span: &Span| -> Vec<&str> { span.attributes.iter().map(|told| told.key).collect() };
    if mark.is_null() && keys(holed) != keys(whole) {
        wrong("attributes without a mark", &keys(holed), &keys(whole));
    }
    differences
}

/// Whether the name says less: where the model is not known, it ends before it, or is that of the remote procedure.
fn is_general(holed: &Span, whole: &Span) -> bool {
    let procedure = [
        attribute(whole, semconv::RPC_METHOD),
        Json::from("UnknownRuntimeOperation"),
    ];
    attribute(holed, semconv::REQUEST_MODEL).is_null()
        && (whole.name.starts_with(&holed.name) || procedure.contains(&Json::from(holed.name.as_str())))
}

/// Whether a value is the one of the whole, or a list with entries left out.
fn is_part(key: &str, holed: &Json, whole: &Json) -> bool {
    let holed_list = holed.as_array();
    let whole_list = whole.as_array();
    match (holed_list, whole_list) {
        (Some(holed), Some(whole)) => is_subsequence(holed, whole),
        _ if CONTENT.contains(&key) => {
            // Arguments that are no JSON any more are told as text, which is written in another way.
            let written = |one: &char| !" \\\"".contains(*one);
            let text = |value: &Json| -> Vec<char> {
                value
                    .as_str()
                    .unwrap_or_default()
                    .chars()
                    .filter(written)
                    .collect()
            };
            is_subsequence(&text(holed), &text(whole))
        }
        _ => holed == whole,
    }
}

fn is_subsequence<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|one| rest.any(|other| other == one))
}
