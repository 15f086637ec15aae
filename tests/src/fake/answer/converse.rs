//! Converse and ConverseStream.

use serde_json::{Value, json};

use super::{LATENCY_MS, Reply, Stream, input_pieces, tool_fact};
use crate::fake::body::Fact;
use crate::fake::scenario::Stop;
use crate::fake::served::Usage;

pub(super) fn stop(stop: Stop) -> &'static str {
    match stop {
        Stop::EndTurn => "end_turn",
        Stop::ToolUse => "tool_use",
        Stop::MaxTokens => "max_tokens",
        Stop::StopSequence => "stop_sequence",
        Stop::ContentFiltered => "content_filtered",
        Stop::GuardrailIntervened => "guardrail_intervened",
    }
}

pub(super) fn body(reply: &Reply) -> Value {
    json!({
        "metrics": {"latencyMs": LATENCY_MS},
        "output": {"message": message(reply)},
        "stopReason": stop(reply.stop),
        "usage": usage(&reply.usage),
    })
}

pub(super) fn message(reply: &Reply) -> Value {
    let mut content = vec![json!({"text": reply.text()})];
    if let Some(tool) = &reply.tool_call {
        content.push(json!({
            "toolUse": {"toolUseId": tool.id, "name": tool.name, "input": tool.input},
        }));
    }
    json!({"role": "assistant", "content": content})
}

fn usage(usage: &Usage) -> Value {
    let mut fields = json!({
        "inputTokens": usage.input,
        "outputTokens": usage.output,
        "totalTokens": usage.total(),
    });
    if let Some(read) = usage.cache_read {
        fields["cacheReadInputTokens"] = read.into();
        fields["cacheReadInputTokenCount"] = read.into();
    }
    if let Some(write) = usage.cache_write {
        fields["cacheWriteInputTokens"] = write.into();
        fields["cacheWriteInputTokenCount"] = write.into();
    }
    fields
}

pub(super) fn stream(reply: &Reply, stream: &mut Stream<'_>) {
    stream.event("messageStart", json!({"role": "assistant"}), Vec::new());
    for text in &reply.deltas {
        stream.delta(
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": text}}),
            text,
        );
    }
    stream.event("contentBlockStop", json!({"contentBlockIndex": 0}), Vec::new());
    if let Some(tool) = &reply.tool_call {
        stream.event(
            "contentBlockStart",
            json!({
                "contentBlockIndex": 1,
                "start": {"toolUse": {"toolUseId": tool.id, "name": tool.name}},
            }),
            tool_fact(reply).into_iter().collect(),
        );
        for piece in input_pieces(&tool.input) {
            stream.event(
                "contentBlockDelta",
                json!({"contentBlockIndex": 1, "delta": {"toolUse": {"input": piece}}}),
                Vec::new(),
            );
        }
        stream.event("contentBlockStop", json!({"contentBlockIndex": 1}), Vec::new());
    }
    stream.event(
        "messageStop",
        json!({"stopReason": stop(reply.stop)}),
        vec![Fact::Stop(stop(reply.stop).to_owned())],
    );
    stream.event(
        "metadata",
        json!({"metrics": {"latencyMs": LATENCY_MS}, "usage": usage(&reply.usage)}),
        vec![Fact::Usage(reply.usage), Fact::Latency(LATENCY_MS)],
    );
}
