//! InvokeModel with Nova's body: Converse in all but a few names.

use serde_json::{Value, json};

use super::anthropic::chunk;
use super::{LATENCY_MS, Reply, Stream, converse, input_pieces, invocation_metrics, tool_fact};
use crate::fake::body::Fact;
use crate::fake::served::Usage;

pub(super) fn body(reply: &Reply) -> Value {
    json!({
        "output": {"message": converse::message(reply)},
        "stopReason": converse::stop(reply.stop),
        "usage": usage(&reply.usage),
    })
}

fn usage(usage: &Usage) -> Value {
    json!({
        "inputTokens": usage.input,
        "outputTokens": usage.output,
        "totalTokens": usage.total(),
        "cacheReadInputTokenCount": usage.cache_read.unwrap_or(0),
        "cacheWriteInputTokenCount": usage.cache_write.unwrap_or(0),
    })
}

pub(super) fn stream(reply: &Reply, stream: &mut Stream<'_>) {
    let mut plain = |inner: Value, facts: Vec<Fact>| stream.event("chunk", chunk(&inner), facts);
    plain(json!({"messageStart": {"role": "assistant"}}), Vec::new());
    for text in &reply.deltas {
        let inner = json!({"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}});
        stream.delta("chunk", chunk(&inner), text);
    }
    let mut plain = |inner: Value, facts: Vec<Fact>| stream.event("chunk", chunk(&inner), facts);
    plain(json!({"contentBlockStop": {"contentBlockIndex": 0}}), Vec::new());
    if let Some(tool) = &reply.tool_call {
        plain(
            json!({"contentBlockStart": {
                "start": {"toolUse": {"toolUseId": tool.id, "name": tool.name}},
                "contentBlockIndex": 1,
            }}),
            tool_fact(reply).into_iter().collect(),
        );
        for piece in input_pieces(&tool.input) {
            plain(
                json!({"contentBlockDelta": {
                    "delta": {"toolUse": {"input": piece}}, "contentBlockIndex": 1,
                }}),
                Vec::new(),
            );
        }
        plain(json!({"contentBlockStop": {"contentBlockIndex": 1}}), Vec::new());
    }
    let stop = converse::stop(reply.stop);
    plain(
        json!({"messageStop": {"stopReason": stop}}),
        vec![Fact::Stop(stop.to_owned())],
    );
    plain(
        json!({
            "metadata": {"usage": usage(&reply.usage), "metrics": {}, "trace": {}},
            "amazon-bedrock-invocationMetrics": invocation_metrics(&reply.usage),
        }),
        vec![Fact::Usage(reply.usage), Fact::Latency(LATENCY_MS)],
    );
}
