//! Claude's Messages body: InvokeModel, and Anthropic's own operation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Reply, Stream, input_pieces, invocation_metrics, tool_fact};
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
    let mut content = vec![json!({"type": "text", "text": reply.text()})];
    if let Some(tool) = &reply.tool_call {
        content.push(json!({
            "type": "tool_use", "id": tool.id, "name": tool.name, "input": tool.input,
        }));
    }
    json!({
        "id": reply.message_id,
        "type": "message",
        "role": "assistant",
        "model": reply.model_name,
        "content": content,
        "stop_reason": stop(reply.stop),
        "stop_sequence": null,
        "usage": usage(&reply.usage, reply.usage.output),
    })
}

fn usage(usage: &Usage, output: Option<u64>) -> Value {
    let mut fields = json!({"input_tokens": usage.input, "output_tokens": output});
    if let Some(read) = usage.cache_read {
        fields["cache_read_input_tokens"] = read.into();
    }
    if let Some(write) = usage.cache_write {
        fields["cache_creation_input_tokens"] = write.into();
    }
    fields
}

/// The `chunk` event that wraps a provider's own event.
pub(super) fn chunk(inner: &Value) -> Value {
    json!({"bytes": STANDARD.encode(inner.to_string())})
}

pub(super) fn stream(reply: &Reply, stream: &mut Stream<'_>) {
    stream.inner(
        &json!({"type": "message_start", "message": {
            "id": reply.message_id, "type": "message", "role": "assistant",
            "model": reply.model_name, "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": usage(&reply.usage, Some(1)),
        }}),
        vec![reply.identity(), Fact::InputUsage(reply.usage)],
    );
    stream.inner(
        &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        Vec::new(),
    );
    stream.inner(&json!({"type": "ping"}), Vec::new());
    for text in &reply.deltas {
        let inner = json!({
            "type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": text},
        });
        stream.inner_delta(&inner, text);
    }
    stream.inner(&json!({"type": "content_block_stop", "index": 0}), Vec::new());
    if let Some(tool) = &reply.tool_call {
        stream.inner(
            &json!({"type": "content_block_start", "index": 1, "content_block": {
                "type": "tool_use", "id": tool.id, "name": tool.name, "input": {},
            }}),
            tool_fact(reply).into_iter().collect(),
        );
        for piece in input_pieces(&tool.input) {
            stream.inner(
                &json!({"type": "content_block_delta", "index": 1,
                    "delta": {"type": "input_json_delta", "partial_json": piece}}),
                Vec::new(),
            );
        }
        stream.inner(&json!({"type": "content_block_stop", "index": 1}), Vec::new());
    }
    stream.inner(
        &json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop(reply.stop), "stop_sequence": null},
            "usage": {"output_tokens": reply.usage.output},
        }),
        vec![Fact::Stop(stop(reply.stop).to_owned()), Fact::Usage(reply.usage)],
    );
    let mut stop = json!({"type": "message_stop"});
    if stream.in_frames() {
        stop["amazon-bedrock-invocationMetrics"] = invocation_metrics(&reply.usage);
    }
    stream.inner(&stop, reply.latency_ms.map(Fact::Latency).into_iter().collect());
}
