//! InvokeModel with Titan's bodies: texts and vectors.

use serde_json::{Value, json};

use super::anthropic::chunk;
use super::{LATENCY_MS, Rendered, Reply, Stream, invocation_metrics};
use crate::fake::body::{Fact, Step};
use crate::fake::scenario::Stop;
use crate::fake::served::Usage;

pub(super) fn stop(stop: Stop) -> &'static str {
    match stop {
        Stop::EndTurn | Stop::ToolUse => "FINISH",
        Stop::MaxTokens => "LENGTH",
        Stop::StopSequence => "STOP_CRITERIA_MET",
        Stop::ContentFiltered | Stop::GuardrailIntervened => "CONTENT_FILTERED",
    }
}

pub(super) fn body(reply: &Reply) -> Value {
    json!({
        "inputTextTokenCount": reply.usage.input,
        "results": [{
            "tokenCount": reply.usage.output,
            "outputText": reply.text(),
            "completionReason": stop(reply.stop),
        }],
    })
}

/// Length of the vectors.
const DIMENSIONS: u32 = 256;

/// A vector for a text; its tokens are all that it costs.
pub(super) fn embedded(tokens: u64, characters: u64) -> Rendered {
    let embedding: Vec<f64> = (0..DIMENSIONS)
        .map(|place| f64::from((place * 37 + u32::try_from(characters % 97).unwrap_or(0)) % 101) / 101.0)
        .collect();
    let body = json!({
        "embedding": embedding,
        "embeddingsByType": {"float": embedding},
        "inputTextTokenCount": tokens,
    });
    let usage = Usage {
        input: tokens,
        output: None,
        cache_read: None,
        cache_write: None,
    };
    Rendered {
        content_type: "application/json",
        fields: vec![
            ("x-amzn-bedrock-invocation-latency", LATENCY_MS.to_string()),
            ("x-amzn-bedrock-input-token-count", tokens.to_string()),
        ],
        steps: vec![Step::Write {
            bytes: body.to_string().into(),
            facts: vec![Fact::Usage(usage), Fact::Latency(LATENCY_MS)],
        }],
    }
}

/// Titan has no closing event: the last text carries the reason and the counts.
pub(super) fn stream(reply: &Reply, stream: &mut Stream<'_>) {
    let Some((last, others)) = reply.deltas.split_last() else {
        return;
    };
    for text in others {
        let inner = json!({
            "outputText": text, "index": 0, "totalOutputTextTokenCount": null,
            "completionReason": null, "inputTextTokenCount": null,
        });
        stream.delta("chunk", chunk(&inner), text);
    }
    let inner = json!({
        "outputText": last, "index": 0,
        "totalOutputTextTokenCount": reply.usage.output,
        "completionReason": stop(reply.stop),
        "inputTextTokenCount": reply.usage.input,
        "amazon-bedrock-invocationMetrics": invocation_metrics(&reply.usage),
    });
    stream.event(
        "chunk",
        chunk(&inner),
        vec![
            Fact::Content(last.clone()),
            Fact::Stop(stop(reply.stop).to_owned()),
            Fact::Usage(reply.usage),
            Fact::Latency(LATENCY_MS),
        ],
    );
}
