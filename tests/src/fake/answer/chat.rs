//! `OpenAI`'s Chat Completions.

use serde_json::{Value, json};

use super::{Reply, Stream, input_pieces, invocation_metrics, tool_fact};
use crate::fake::body::Fact;
use crate::fake::scenario::Stop;
use crate::fake::served::Usage;

pub(super) fn stop(stop: Stop) -> &'static str {
    match stop {
        Stop::EndTurn | Stop::StopSequence => "stop",
        Stop::ToolUse => "tool_calls",
        Stop::MaxTokens => "length",
        Stop::ContentFiltered | Stop::GuardrailIntervened => "content_filter",
    }
}

pub(super) fn body(reply: &Reply) -> Value {
    let mut message = json!({"role": "assistant", "content": reply.text()});
    if let Some(tool) = &reply.tool_call {
        let function = json!({"name": tool.name, "arguments": tool.input.to_string()});
        message["tool_calls"] = json!([{"id": tool.id, "type": "function", "function": function}]);
    }
    let mut body = head(reply, "chat.completion");
    body["choices"] = json!([{"index": 0, "message": message, "finish_reason": stop(reply.stop)}]);
    body["usage"] = usage(&reply.usage);
    body
}

fn head(reply: &Reply, object: &str) -> Value {
    json!({"id": reply.message_id, "object": object, "created": 1_760_000_000, "model": reply.model_name})
}

/// The prompt's tokens, cached ones among them.
fn usage(usage: &Usage) -> Value {
    let prompt = usage.input + usage.cache_read.unwrap_or(0);
    let mut fields = json!({
        "prompt_tokens": prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.total(),
    });
    if let Some(read) = usage.cache_read {
        fields["prompt_tokens_details"] = json!({"cached_tokens": read});
    }
    fields
}

pub(super) fn stream(reply: &Reply, stream: &mut Stream<'_>) {
    let chunk = |delta: Value, reason: Option<&str>| {
        let mut chunk = head(reply, "chat.completion.chunk");
        chunk["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
        chunk
    };
    stream.inner(&chunk(json!({"role": "assistant"}), None), vec![reply.identity()]);
    for text in &reply.deltas {
        stream.inner_delta(&chunk(json!({"content": text}), None), text);
    }
    if let Some(tool) = &reply.tool_call {
        let function = json!({"name": tool.name, "arguments": ""});
        let call = json!([{"index": 0, "id": tool.id, "type": "function", "function": function}]);
        let facts = tool_fact(reply).into_iter().collect();
        stream.inner(&chunk(json!({"tool_calls": call}), None), facts);
        for piece in input_pieces(&tool.input) {
            let call = json!([{"index": 0, "function": {"arguments": piece}}]);
            stream.inner(&chunk(json!({"tool_calls": call}), None), Vec::new());
        }
    }
    let reason = stop(reply.stop);
    let mut last = chunk(json!({}), Some(reason));
    let mut facts = vec![Fact::Stop(reason.to_owned())];
    if stream.in_frames() {
        last["amazon-bedrock-invocationMetrics"] = invocation_metrics(&reply.usage);
        facts.push(Fact::Usage(reply.usage));
        facts.extend(reply.latency_ms.map(Fact::Latency));
    }
    stream.inner(&last, facts);
    if stream.call.stream_tells_usage {
        let mut chunk = head(reply, "chat.completion.chunk");
        chunk["choices"] = json!([]);
        chunk["usage"] = usage(&reply.usage);
        stream.inner(&chunk, vec![Fact::Usage(reply.usage)]);
    }
    if !stream.in_frames() {
        stream.done();
    }
}
