//! InvokeModel with Titan's text body.

use serde_json::{Value, json};

use super::anthropic::chunk;
use super::{LATENCY_MS, Reply, Stream, invocation_metrics};
use crate::fake::body::Fact;
use crate::fake::scenario::Stop;

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
