//! What was said in a step, where it was asked for.

use serde_json::{Value, json};

use crate::bedrock::agent::step::{Step, Work};
use crate::genai::attributes::List;
use crate::genai::attributes::content::add_documents;
use crate::genai::content::Documents;
use crate::genai::options::Options;
use crate::genai::redaction::Hits;
use crate::genai::semconv;

/// Adds what was said, and gives the rules that took something out of it.
pub(super) fn add(list: &mut List, step: &Step, finish_reasons: &[String], options: &Options) -> Hits {
    let Some(said) = step.content.as_deref().filter(|_| options.capture.on_spans()) else {
        return Hits::new();
    };
    let mut documents = Documents::of(said, finish_reasons, options);
    let mut hits = std::mem::take(&mut documents.redacted);
    let first = |document: &Option<Value>, member: &str| {
        let part = document.as_ref()?.pointer("/0/parts/0")?;
        part.get(member).filter(|value| !value.is_null()).cloned()
    };
    // At the places that the attributes' names spell, so that paths can be written down from the names.
    let (mut all, places): (Value, &[(&'static str, &str)]) = match &step.work {
        Work::Model(_) | Work::Agent(_) => {
            add_documents(list, &documents);
            return hits;
        }
        Work::Tool(_) => (
            json!({"gen_ai": {"tool": {"call": {
                "arguments": first(&documents.input, "arguments"),
                "result": first(&documents.output, "response"),
            }}}}),
            &[
                (semconv::TOOL_CALL_ARGUMENTS, "/gen_ai/tool/call/arguments"),
                (semconv::TOOL_CALL_RESULT, "/gen_ai/tool/call/result"),
            ],
        ),
        Work::Retrieval(_) => (
            json!({"gen_ai": {"retrieval": {
                "query": {"text": first(&documents.input, "content")},
                "documents": first(&documents.output, "response"),
            }}}),
            &[
                (semconv::RETRIEVAL_QUERY, "/gen_ai/retrieval/query/text"),
                (semconv::RETRIEVAL_FOUND, "/gen_ai/retrieval/documents"),
            ],
        ),
        Work::Guardrail(_) | Work::Node(_) => return hits,
    };
    options.redaction.document(&mut all, &mut hits);
    for (name, place) in places {
        list.string(name, all.pointer(place).and_then(text));
    }
    list.truth(semconv::CONTENT_CUT, documents.cut.then_some(true));
    hits
}

/// Attributes of spans cannot be structured: a text as it is, anything else as JSON text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
