//! The families beside Claude, Nova and Titan Text: their streams.

use serde_json::json;

use super::play::{EVENTSTREAM, Play, chunk};
use crate::bedrock::Call;
use crate::bedrock::call::Gaps;
use crate::bedrock::content::Part;
use crate::http::BodyPart;

const METRICS: &str = r#""amazon-bedrock-invocationMetrics": {"inputTokenCount": 12, "outputTokenCount": 34, "invocationLatency": 56, "firstByteLatency": 7}"#;

fn streamed(model: &str, chunks: &[&str]) -> Call {
    let mut play = Play::invoke_stream(model).with_content();
    play.request("{}").response(200, &[EVENTSTREAM]);
    for one in chunks {
        play.part(&BodyPart::Bytes(&chunk(&one.replace("METRICS", METRICS))));
    }
    play.call()
}

fn check(call: &Call, reasons: &[&str], parts: &[&[Part]]) {
    assert_eq!((call.usage.input, call.usage.output), (Some(12), Some(34)));
    assert_eq!(call.server_latency_ms, Some(56));
    let words: Vec<&str> = call
        .stop_reasons
        .iter()
        .map(|reason| reason.wire.as_str())
        .collect();
    assert_eq!(words, reasons);
    let content = call.content.as_ref().expect("content was asked for");
    let said: Vec<&[Part]> = content
        .output
        .iter()
        .map(|message| message.parts.as_slice())
        .collect();
    assert_eq!(said, parts);
    assert_eq!(call.gaps, Gaps::default());
    assert!(call.timings.first_chunk.is_some());
}

fn text(text: &str) -> Part {
    Part::Text(text.into())
}

#[test]
fn llama() {
    let call = streamed(
        "meta.llama3-8b-instruct-v1%3A0",
        &[
            r#"{"generation": "", "prompt_token_count": 11, "generation_token_count": 1, "stop_reason": null}"#,
            r#"{"generation": "He", "prompt_token_count": null, "generation_token_count": 2, "stop_reason": null}"#,
            r#"{"generation": "llo", "prompt_token_count": null, "generation_token_count": 3, "stop_reason": "stop", METRICS}"#,
        ],
    );
    check(&call, &["stop"], &[&[text("Hello")]]);
}

#[test]
fn mistral() {
    let call = streamed(
        "mistral.mixtral-8x7b-instruct-v0%3A1",
        &[
            r#"{"outputs": [{"text": "He", "stop_reason": null}]}"#,
            r#"{"outputs": [{"text": "llo", "stop_reason": "stop"}], METRICS}"#,
        ],
    );
    check(&call, &["stop"], &[&[text("Hello")]]);
}

#[test]
fn chat_completions_with_two_answers_at_once() {
    let call = streamed(
        "qwen.qwen3-32b-v1%3A0",
        &[
            r#"{"id": "c", "model": "qwen3", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}"#,
            r#"{"choices": [{"index": 1, "delta": {"content": "A"}}, {"index": 0, "delta": {"reasoning": "hm", "reasoning_content": "hm"}}]}"#,
            r#"{"choices": [{"index": 0, "delta": {"content": "O"}}, {"index": 1, "delta": {"content": "ye"}}]}"#,
            r#"{"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]}"#,
            r#"{"choices": [{"index": 0, "delta": {"content": "h"}, "finish_reason": "stop"}]}"#,
            r#"{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}, METRICS}"#,
        ],
    );
    check(
        &call,
        &["stop", "length"],
        &[&[Part::Reasoning("hm".into()), text("Oh")], &[text("Aye")]],
    );
    assert_eq!(call.response_model.as_deref(), Some("qwen3"));
}

#[test]
fn tool_calls_come_in_pieces_or_whole() {
    let pieces = streamed(
        "openai.gpt-oss-20b-1%3A0",
        &[
            r#"{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c1", "type": "function",
                "function": {"name": "f", "arguments": ""}}]}}]}"#,
            r#"{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{\"a\""}}]}}]}"#,
            r#"{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}},
                {"index": 1, "id": "c2", "function": {"name": "g", "arguments": "{}"}}]}}]}"#,
            r#"{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], METRICS}"#,
        ],
    );
    let whole = streamed(
        "mistral.mistral-large-2407-v1%3A0",
        &[
            r#"{"choices": [{"index": 0, "message": {"content": "", "tool_calls": [
                {"id": "c1", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
                {"id": "c2", "function": {"name": "g", "arguments": {}}}]}, "stop_reason": "tool_calls"}], METRICS}"#,
        ],
    );
    for call in [pieces, whole] {
        let tool = |id: &str, name: &str, arguments| Part::ToolCall {
            id: Some(id.into()),
            name: name.into(),
            arguments,
        };
        check(
            &call,
            &["tool_calls"],
            &[&[tool("c1", "f", json!({"a": 1})), tool("c2", "g", json!({}))]],
        );
        assert_eq!(call.tool_calls.len(), 2);
    }
}

#[test]
fn deepseek_thinks_first() {
    let call = streamed(
        "us.deepseek.r1-v1%3A0",
        &[
            r#"{"choices": [{"text": "They gr", "stop_reason": null}]}"#,
            r#"{"choices": [{"text": "eet.\n</thi", "stop_reason": null}]}"#,
            r#"{"choices": [{"text": "nk>\n\nHello", "stop_reason": "stop"}], METRICS}"#,
        ],
    );
    check(
        &call,
        &["stop"],
        &[&[Part::Reasoning("They greet.".into()), text("Hello")]],
    );
}

#[test]
fn coheres_generations_side_by_side() {
    let call = streamed(
        "cohere.command-light-text-v14",
        &[
            r#"{"index": 0.0, "is_finished": false, "text": "He"}"#,
            r#"{"index": 1.0, "is_finished": false, "text": "Go"}"#,
            r#"{"index": 0.0, "is_finished": false, "text": "llo"}"#,
            r#"{"index": 0.0, "is_finished": true, "finish_reason": "COMPLETE"}"#,
            r#"{"index": 1.0, "is_finished": true, "finish_reason": "MAX_TOKENS", METRICS}"#,
        ],
    );
    check(
        &call,
        &["COMPLETE", "MAX_TOKENS"],
        &[&[text("Hello")], &[text("Go")]],
    );
}

#[test]
fn coheres_conversations() {
    let call = streamed(
        "cohere.command-r-plus-v1%3A0",
        &[
            r#"{"event_type": "text-generation", "text": "He", "is_finished": false}"#,
            r#"{"event_type": "text-generation", "text": "llo", "is_finished": false}"#,
            r#"{"event_type": "tool-calls-generation", "tool_calls": [{"name": "f", "parameters": {"a": 1}}]}"#,
            r#"{"event_type": "stream-end", "is_finished": true, "finish_reason": "COMPLETE",
                "response": {"response_id": "r-1", "text": "Hello", "finish_reason": "COMPLETE"}, METRICS}"#,
        ],
    );
    check(
        &call,
        &["COMPLETE"],
        &[&[
            text("Hello"),
            Part::ToolCall {
                id: None,
                name: "f".into(),
                arguments: json!({"a": 1}),
            },
        ]],
    );
    assert_eq!(call.response_id.as_deref(), Some("r-1"));
}

#[test]
fn pegasus() {
    let call = streamed(
        "us.twelvelabs.pegasus-1-2-v1%3A0",
        &[
            r#"{"message": "A cat"}"#,
            r#"{"message": " sleeps.", "finishReason": "stop", METRICS}"#,
        ],
    );
    check(&call, &["stop"], &[&[text("A cat sleeps.")]]);
}

#[test]
fn a_stream_of_any_text_family_cut_short_is_marked() {
    for (model, piece) in [
        (
            "meta.llama3-8b-instruct-v1%3A0",
            r#"{"generation": "He", "generation_token_count": 2}"#,
        ),
        (
            "mistral.mixtral-8x7b-instruct-v0%3A1",
            r#"{"outputs": [{"text": "He", "stop_reason": null}]}"#,
        ),
        (
            "openai.gpt-oss-20b-1%3A0",
            r#"{"choices": [{"delta": {"content": "He"}}]}"#,
        ),
        (
            "cohere.command-light-text-v14",
            r#"{"is_finished": false, "text": "He"}"#,
        ),
    ] {
        let call = streamed(model, &[piece]);
        assert!(call.gaps.no_stop_event, "{model}");
        assert_eq!(
            call.content.expect("content").output[0].parts,
            [text("He")],
            "{model}"
        );
    }
}
