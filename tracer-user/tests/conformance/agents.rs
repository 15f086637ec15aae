//! What recordings of agents and knowledge bases are known to say: a tree of spans, and what the expectations tell beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value as Json, json};
use tracer_user::genai::semconv;
use tracer_user::genai::span::{Span, SpanId, SpanKind};

use crate::compare::{attribute, text_length};
use crate::recording::Recording;

/// The trees that were written down, by recording.
const TREES: &str = include_str!("trees.txt");

/// What the spans get wrong.
pub(crate) fn compare(recording: &Recording, spans: &[Span]) -> Vec<String> {
    let Some((root, steps)) = spans.split_first() else {
        return vec!["no span".into()];
    };
    let mut differences = Vec::new();
    let mut same = |what: &str, expected: Json, found: Json| {
        if expected != found {
            differences.push(format!("{what}: expected {expected}, found {found}"));
        }
    };
    let expected = |path: &str| recording.expected.pointer(path).cloned().unwrap_or(Json::Null);
    let streamed = Json::Bool(attribute(root, semconv::REQUEST_STREAM) == Json::Bool(true));
    same(
        "operation",
        expected("/api"),
        attribute(root, semconv::RPC_METHOD),
    );
    same(
        "status",
        expected("/status"),
        attribute(root, semconv::HTTP_STATUS),
    );
    same("stream", expected("/stream"), streamed);
    same(
        "model",
        expected("/model_id"),
        attribute(root, semconv::REQUEST_MODEL),
    );
    same(
        "agent",
        expected("/request/agent"),
        attribute(root, semconv::AGENT_ID),
    );
    same("gaps", Json::Null, attribute(root, semconv::INCOMPLETE));
    same(
        "knowledge base",
        expected("/request/kb"),
        attribute(root, semconv::KNOWLEDGE_BASE_ID),
    );
    if let Some(conversation) = recording.expected.pointer("/request/conversation") {
        same(
            "conversation",
            conversation.clone(),
            attribute(root, semconv::CONVERSATION_ID),
        );
    }
    if let Some(documents) = recording.expected.get("n_docs") {
        same(
            "documents",
            documents.clone(),
            attribute(root, semconv::RETRIEVAL_DOCUMENTS),
        );
    }
    if recording.api != "Retrieve" {
        same(
            "length of the answer",
            expected("/text_len"),
            json!(text_length(root)),
        );
    }
    let usage: Vec<Json> = steps
        .iter()
        .filter(|span| attribute(span, semconv::OPERATION_NAME) == semconv::operation::CHAT)
        .map(|span| {
            json!([
                attribute(span, semconv::USAGE_INPUT_TOKENS),
                attribute(span, semconv::USAGE_OUTPUT_TOKENS)
            ])
        })
        .collect();
    let known = recording
        .expected
        .get("trace_usage")
        .cloned()
        .unwrap_or(json!([]));
    same("tokens of the models", known, Json::Array(usage));
    differences.extend(misplaced(spans));
    let (written, found) = (written_down(&recording.id), tree(spans));
    match written {
        Some(written) if written != found => {
            differences.push(format!("tree: expected\n{written}found\n{found}"));
        }
        None if !steps.is_empty() => eprintln!("{}: no tree is written down for\n{found}", recording.id),
        _ => {}
    }
    differences
}

/// The tree that was written down for a recording.
fn written_down(id: &str) -> Option<String> {
    let (_, rest) = TREES.split_once(&format!("\n= {id}\n"))?;
    let end = rest.find("\n\n").map_or(rest.len(), |end| end + 1);
    rest.get(..end).map(str::to_owned)
}

/// Steps that do not lie within the span above, in its trace and its process.
fn misplaced(spans: &[Span]) -> Vec<String> {
    let by_id: BTreeMap<SpanId, &Span> = spans.iter().map(|span| (span.span_id, span)).collect();
    let mut wrong = Vec::new();
    for step in spans.iter().skip(1) {
        let above = step.parent.as_ref().and_then(|parent| by_id.get(&parent.span_id));
        let placed = above.is_some_and(|above| {
            above.start_unix_ns <= step.start_unix_ns
                && step.end_unix_ns <= above.end_unix_ns
                && step.start_unix_ns <= step.end_unix_ns
                && step.trace_id == above.trace_id
                && step.kind == SpanKind::Internal
                && step.process == above.process
        });
        if !placed {
            wrong.push(format!("{} is not within the span above it", step.name));
        }
    }
    if by_id.len() != spans.len() {
        wrong.push("two spans have one id".into());
    }
    wrong
}

/// Spans as lines, beneath those that they are part of.
fn tree(spans: &[Span]) -> String {
    let mut lines = String::new();
    let mut depths = BTreeMap::new();
    for span in spans {
        let above = span
            .parent
            .as_ref()
            .and_then(|parent| depths.get(&parent.span_id));
        let depth = above.map_or(0, |depth: &usize| depth + 1);
        depths.insert(span.span_id, depth);
        let get = |name: &str| attribute(span, name);
        let mut told = vec![span.name.clone()];
        if let (Some(input), Some(output)) = (
            get(semconv::USAGE_INPUT_TOKENS).as_u64(),
            get(semconv::USAGE_OUTPUT_TOKENS).as_u64(),
        ) {
            told.push(format!("{input}>{output}"));
        }
        told.extend(
            get(semconv::RESPONSE_FINISH_REASONS)
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|reason| Some(reason.as_str()?.to_owned())),
        );
        told.extend(get(semconv::TOOL_CALL_ID).as_str().map(str::to_owned));
        told.extend(
            get(semconv::RETRIEVAL_DOCUMENTS)
                .as_u64()
                .map(|number| format!("{number} documents")),
        );
        let intervened = match (get(semconv::GUARDRAIL_INTERVENED), depth) {
            (Json::Bool(true), _) => Some("intervened"),
            (Json::Bool(false), 1..) => Some("passed"),
            _ => None,
        };
        told.extend(intervened.map(str::to_owned));
        told.extend(get(semconv::ERROR_TYPE).as_str().map(|kind| format!("! {kind}")));
        writeln!(lines, "{}{}", "  ".repeat(depth), told.join(" ")).expect("a string takes everything");
    }
    lines
}
