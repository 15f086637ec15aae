//! Bodies of every family that come in one piece.

use proptest::prelude::*;

use super::play::Play;
use crate::bedrock::Call;
use crate::bedrock::content::Part;
use crate::bedrock::family::{Family, Task};

fn invoked(model: &str, request: &str, response: &str) -> Call {
    Play::invoke(model)
        .with_content()
        .request(request)
        .response(200, &[])
        .answer(response)
        .call()
}

#[test]
fn claudes_messages() {
    let call = invoked(
        "anthropic.claude-3-haiku-20240307-v1%3A0",
        r#"{"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "temperature": 0.5, "top_k": 5, "system": "Be brief.",
            "stop_sequences": ["|"], "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
            "messages": [{"role": "user", "content": "hi"},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t0", "content": "ok"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]}]}"#,
        r#"{"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-3", "stop_reason": "tool_use",
            "content": [{"type": "text", "text": "well"}, {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}],
            "usage": {"input_tokens": 3, "output_tokens": 4, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 6}}"#,
    );
    assert_eq!(call.task, Some(Task::Chat));
    assert_eq!(call.parameters.top_k, Some(5.0));
    assert_eq!(call.usage.input_with_cache(), Some(14));
    assert_eq!(call.response_model.as_deref(), Some("claude-3"));
    assert_eq!(call.tool_calls.len(), 1);
    let content = call.content.expect("content");
    assert_eq!(content.system, ["Be brief."]);
    assert_eq!(content.tools[0].name, "f");
    assert_eq!(content.input[0].parts, [Part::Text("hi".into())]);
    assert!(matches!(
        content.input[1].parts[..],
        [Part::ToolResult { .. }, Part::Blob { .. }]
    ));
    assert!(matches!(
        content.output[0].parts[..],
        [Part::Text(_), Part::ToolCall { .. }]
    ));
}

#[test]
fn claudes_older_prompt_and_completion() {
    let call = invoked(
        "anthropic.claude-v2",
        r#"{"prompt": "Human: hi", "max_tokens_to_sample": 50, "stop_sequences": ["Human:"]}"#,
        r#"{"completion": " hello", "stop_reason": "stop_sequence", "stop": "Human:"}"#,
    );
    assert_eq!(call.task, Some(Task::Completion));
    assert_eq!(call.parameters.max_tokens, Some(50));
    assert_eq!(call.stop_reasons.len(), 1);
    let content = call.content.expect("content");
    assert_eq!(content.output[0].parts, [Part::Text(" hello".into())]);
}

#[test]
fn nova() {
    let call = invoked(
        "us.amazon.nova-pro-v1%3A0",
        r#"{"schemaVersion": "messages-v1", "system": [{"text": "s"}], "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "inferenceConfig": {"max_new_tokens": 10, "topP": 1, "topK": 20, "stopSequences": ["|"]}}"#,
        r#"{"output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": 5, "outputTokens": 2, "cacheReadInputTokenCount": 0, "cacheWriteInputTokenCount": 9}}"#,
    );
    assert_eq!(
        (call.parameters.max_tokens, call.parameters.top_k),
        (Some(10), Some(20.0))
    );
    assert_eq!(call.usage.input_with_cache(), Some(14));
    assert_eq!(
        call.content.expect("content").input[0].parts,
        [Part::Text("hi".into())]
    );
}

#[test]
fn titan_text() {
    let call = invoked(
        "amazon.titan-text-express-v1",
        r#"{"inputText": "hi", "textGenerationConfig": {"maxTokenCount": 10, "topP": 0.9, "stopSequences": []}}"#,
        r#"{"inputTextTokenCount": 28.0, "results": [{"tokenCount": 4, "outputText": "a", "completionReason": "FINISH"},
            {"tokenCount": 6.0, "outputText": "b", "completionReason": "CONTENT_FILTERED"}]}"#,
    );
    assert_eq!(call.task, Some(Task::Completion));
    assert_eq!((call.usage.input, call.usage.output), (Some(28), Some(10)));
    assert_eq!(call.stop_reasons.len(), 2);
    assert!(call.parameters.stop_sequences.is_empty());
    assert_eq!(call.content.expect("content").output.len(), 2);
}

#[test]
fn models_are_sorted_by_vendor_however_they_are_named() {
    for (model, family) in [
        ("anthropic.claude-v2", Some(Family::Anthropic)),
        (
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            Some(Family::Anthropic),
        ),
        ("us-gov.anthropic.claude-3-haiku", Some(Family::Anthropic)),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-tg1-large",
            Some(Family::TitanText),
        ),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0",
            Some(Family::Nova),
        ),
        (
            "arn:aws:bedrock:us-east-1:1:custom-model/amazon.titan-text-lite-v1:0:4k/abc",
            Some(Family::TitanText),
        ),
        (
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
            None,
        ),
        ("arn:aws:bedrock:us-east-1:1:imported-model/abc", None),
        ("amazon.nova-canvas-v1:0", Some(Family::Image)),
        ("amazon.nova-reel-v1:0", Some(Family::Video)),
        ("luma.ray-v2:0", Some(Family::Video)),
        ("amazon.titan-embed-text-v1", Some(Family::Embedding)),
        ("amazon.rerank-v1:0", Some(Family::Ranking)),
        ("meta.llama3-8b", Some(Family::Llama)),
        ("eu.mistral.pixtral-large-2502-v1:0", None),
        ("us.deepseek.r1-v1:0", None),
        ("ai21.j2-ultra-v1", Some(Family::Jurassic)),
        ("ai21.jamba-1-5-mini-v1:0", Some(Family::Chat)),
        ("cohere.command-r-plus-v1:0", Some(Family::CommandR)),
        ("cohere.command-text-v14", Some(Family::Command)),
        ("qwen.qwen3-coder-480b-a35b-v1:0", Some(Family::Chat)),
        ("does-not-exist", None),
        ("", None),
    ] {
        assert_eq!(Family::of_model(model), family, "{model}");
    }
}

#[test]
fn wrong_types_lose_themselves_and_nothing_else() {
    let call = invoked(
        "anthropic.claude-3-haiku-20240307-v1%3A0",
        r#"{"max_tokens": "many", "temperature": null, "top_p": [1], "stop_sequences": {"a": 1}, "top_k": 1e999, "messages": 5, "seed": 7}"#,
        r#"{"id": 5, "model": {"a": 1}, "content": "text", "stop_reason": ["end_turn"], "usage": {"input_tokens": -1,
            "output_tokens": 3.0, "output_tokens_details": null}, "usage2": 1, "stop_reason": "end_turn"}"#,
    );
    assert_eq!(call.parameters.seed, Some(7));
    assert_eq!(call.parameters.max_tokens, None);
    assert_eq!((call.usage.input, call.usage.output), (None, Some(3)));
    assert_eq!(call.stop_reasons.len(), 1);
    assert!(!call.gaps.request_unreadable && !call.gaps.response_unreadable);
}

proptest! {
    /// Whatever the bodies are, a call comes out.
    #[test]
    fn any_bodies_give_a_call(
        request in proptest::collection::vec(any::<u8>(), 0..200),
        response in proptest::collection::vec(any::<u8>(), 0..200),
        stream in any::<bool>(),
        content in any::<bool>(),
    ) {
        let mut play = Play::invoke("anthropic.claude-v2");
        if content {
            play = play.with_content();
        }
        play.request_parts(&[crate::http::BodyPart::Bytes(&request)]);
        let kind = if stream { "application/vnd.amazon.eventstream" } else { "application/json" };
        play.response(200, &[("content-type", kind)]);
        play.part(&crate::http::BodyPart::Bytes(&response));
        prop_assert_eq!(play.call().status, Some(200));
    }

    /// JSON of any shape under the names that are looked for never stops the rest from being read.
    #[test]
    fn any_values_under_known_names_are_survived(values in proptest::collection::vec(
        prop_oneof![
            Just("null"), Just("-1"), Just("1e400"), Just("\"x\""), Just("[[]]"), Just("{\"text\": {}}"), Just("[{\"text\": 3}]"),
            Just("true"), Just("\"\\ud800\""),
        ],
        5,
    )) {
        let names = ["output", "usage", "metrics", "trace", "content"];
        let members: Vec<String> = names.iter().zip(&values).map(|(name, value)| format!("\"{name}\": {value}")).collect();
        let body = format!("{{{}, \"stopReason\": \"end_turn\"}}", members.join(", "));
        let call = Play::converse().with_content().request("{}").response(200, &[]).answer(&body).call();
        prop_assert_eq!(call.stop_reasons.len(), 1);
    }
}
