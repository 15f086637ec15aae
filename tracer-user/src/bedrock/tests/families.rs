//! The families beside Claude, Nova and Titan Text: their bodies in one piece.

use serde_json::json;

use super::play::Play;
use crate::bedrock::Call;
use crate::bedrock::content::Part;
use crate::bedrock::family::Task;

fn invoked(model: &str, request: &str, response: &str) -> Call {
    Play::invoke(model)
        .with_content()
        .request(request)
        .response(200, &[])
        .answer(response)
        .call()
}

type Asked = (String, Vec<Part>);

/// What was asked, by role, and what each choice said.
fn said(call: &Call) -> (Vec<Asked>, Vec<Vec<Part>>) {
    let content = call.content.clone().expect("content was asked for");
    (
        content
            .input
            .into_iter()
            .map(|one| (one.role, one.parts))
            .collect(),
        content.output.into_iter().map(|one| one.parts).collect(),
    )
}

fn text(text: &str) -> Part {
    Part::Text(text.into())
}

fn words(call: &Call) -> Vec<&str> {
    call.stop_reasons
        .iter()
        .map(|reason| reason.wire.as_str())
        .collect()
}

#[test]
fn llama() {
    let call = invoked(
        "us.meta.llama3-1-70b-instruct-v1%3A0",
        r#"{"prompt": "Hi", "max_gen_len": 5, "temperature": 0.2, "top_p": 0.9}"#,
        r#"{"generation": "Hello", "prompt_token_count": 5, "generation_token_count": 10.0, "stop_reason": "length"}"#,
    );
    assert_eq!(call.task, Some(Task::Completion));
    assert_eq!(call.parameters.max_tokens, Some(5));
    assert_eq!((call.usage.input, call.usage.output), (Some(5), Some(10)));
    assert_eq!(words(&call), ["length"]);
    assert_eq!(
        said(&call),
        (vec![("user".into(), vec![text("Hi")])], vec![vec![text("Hello")]])
    );
}

#[test]
fn mistrals_prompt_and_outputs() {
    let call = invoked(
        "mistral.mistral-7b-instruct-v0%3A2",
        r#"{"prompt": "Hi", "max_tokens": 5, "top_k": 50, "stop": ["|"]}"#,
        r#"{"outputs": [{"text": "Hello", "stop_reason": "stop"}]}"#,
    );
    assert_eq!(call.task, Some(Task::Completion));
    assert_eq!(call.parameters.stop_sequences, ["|"]);
    assert_eq!(words(&call), ["stop"]);
    assert_eq!(said(&call).1, [[text("Hello")]]);
}

#[test]
fn mistrals_chat_with_either_name_for_the_reason() {
    for reason in ["stop_reason", "finish_reason"] {
        let call = invoked(
            "mistral.mistral-large-2407-v1%3A0",
            r#"{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "tool_choice": "auto"}"#,
            &format!(
                r#"{{"choices": [{{"index": 0, "{reason}": "tool_calls", "message": {{"role": "assistant", "content": "",
                    "tool_calls": [{{"id": "c1", "function": {{"name": "f", "arguments": "{{\"a\": 1}}"}}}}]}}}}]}}"#
            ),
        );
        assert_eq!(call.task, Some(Task::Chat));
        assert_eq!(words(&call), ["tool_calls"]);
        assert_eq!(call.tool_calls[0].id.as_deref(), Some("c1"));
        assert_eq!(
            said(&call).1,
            [[Part::ToolCall {
                id: Some("c1".into()),
                name: "f".into(),
                arguments: json!({"a": 1}),
            }]]
        );
    }
}

#[test]
fn chat_completions() {
    let call = invoked(
        "openai.gpt-oss-120b-1%3A0",
        r#"{"messages": [{"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "c0", "function": {"name": "look", "arguments": ""}}]},
                {"role": "tool", "tool_call_id": "c0", "content": "a cat"}],
            "max_completion_tokens": 5, "reasoning_effort": "low", "response_format": {"type": "json_object"}, "n": 2,
            "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {}}}]}"#,
        r#"{"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-oss", "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "<reasoning>hm</reasoning>A cat."}},
                {"index": 1, "finish_reason": "length", "message": {"role": "assistant", "content": "A", "reasoning_content": "so"}}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 3}}}"#,
    );
    assert_eq!(call.usage.input_with_cache(), Some(20));
    assert_eq!((call.usage.cache_read, call.usage.reasoning), (Some(8), Some(3)));
    assert_eq!(call.parameters.choice_count, Some(2));
    assert_eq!(call.parameters.reasoning_level.as_deref(), Some("low"));
    assert_eq!(call.response_id.as_deref(), Some("chatcmpl-1"));
    assert_eq!(words(&call), ["stop", "length"]);
    let (asked, answered) = said(&call);
    let roles: Vec<&str> = asked.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"]);
    assert_eq!(
        asked[1].1[1..],
        [
            Part::Blob {
                modality: "image",
                mime_type: Some("image/png".into()),
                size: 3,
            },
            Part::Uri {
                modality: "image",
                mime_type: None,
                uri: "https://example.com/a.png".into(),
            },
        ]
    );
    assert_eq!(
        asked[3].1,
        [Part::ToolResult {
            id: Some("c0".into()),
            response: json!("a cat"),
        }]
    );
    assert_eq!(
        answered,
        [
            [Part::Reasoning("hm".into()), text("A cat.")],
            [Part::Reasoning("so".into()), text("A")],
        ]
    );
    assert_eq!(call.content.expect("content").tools[0].name, "look");
}

#[test]
fn vendors_that_speak_as_openai_does() {
    for model in [
        "ai21.jamba-1-5-large-v1%3A0",
        "deepseek.v3-v1%3A0",
        "qwen.qwen3-32b-v1%3A0",
        "moonshot.kimi-k2-thinking",
        "minimax.minimax-m2",
        "zai.glm-4-6",
        "nvidia.nemotron-nano-12b-v2",
        "google.gemma-3-27b-it",
        "us.writer.palmyra-x5-v1%3A0",
        "xai.grok-4",
    ] {
        let call = invoked(
            model,
            r#"{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, "stop": "END"}"#,
            r#"{"id": "x-1", "choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 2.0, "completion_tokens": 3.0, "total_tokens": 5.0}}"#,
        );
        assert_eq!(call.task, Some(Task::Chat), "{model}");
        assert_eq!(call.parameters.max_tokens, Some(9), "{model}");
        assert_eq!(
            (call.usage.input, call.usage.output),
            (Some(2), Some(3)),
            "{model}"
        );
        assert_eq!(said(&call).1, [[text("Hello")]], "{model}");
    }
}

#[test]
fn deepseeks_thoughts_end_where_its_answer_begins() {
    let call = invoked(
        "us.deepseek.r1-v1%3A0",
        r#"{"prompt": "Hi<think>\n", "max_tokens": 5, "temperature": 0.5}"#,
        r#"{"choices": [{"text": "They greet me.\n</think>\n\nHello", "stop_reason": "stop"}]}"#,
    );
    assert_eq!(call.task, Some(Task::Completion));
    assert_eq!(words(&call), ["stop"]);
    assert_eq!(
        said(&call).1,
        [[Part::Reasoning("They greet me.".into()), text("Hello")]]
    );
}

#[test]
fn imported_models_are_told_by_their_bodies() {
    let arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aimported-model%2Fabc";
    for (request, response, task, counts) in [
        (
            r#"{"prompt": "Hi", "max_gen_len": 5}"#,
            r#"{"generation": "Hello", "prompt_token_count": 2, "generation_token_count": 3, "stop_reason": "stop"}"#,
            Task::Completion,
            (Some(2), Some(3)),
        ),
        (
            r#"{"prompt": "Hi", "max_tokens": 5}"#,
            r#"{"object": "text_completion", "id": "cmpl-1", "choices": [{"text": "Hello", "finish_reason": "stop", "stop_reason": "Human:"}],
                "usage": {"prompt_tokens": 2, "completion_tokens": 3}}"#,
            Task::Completion,
            (Some(2), Some(3)),
        ),
        (
            r#"{"messages": [{"role": "user", "content": "Hi"}]}"#,
            r#"{"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 2}}"#,
            Task::Chat,
            (Some(2), None),
        ),
    ] {
        let call = invoked(arn, request, response);
        assert_eq!(call.task, Some(task), "{response}");
        assert_eq!((call.usage.input, call.usage.output), counts, "{response}");
        assert_eq!(words(&call), ["stop"], "{response}");
        let (asked, answered) = said(&call);
        assert_eq!(asked[0].1, [text("Hi")], "{request}");
        assert_eq!(answered, [[text("Hello")]], "{response}");
    }
}

#[test]
fn coheres_generations() {
    let call = invoked(
        "cohere.command-light-text-v14",
        r#"{"prompt": "Hi", "p": 0.5, "k": 3, "num_generations": 2, "max_tokens": 4}"#,
        r#"{"id": "g", "prompt": "Hi", "generations": [{"id": "1", "text": "a", "finish_reason": "MAX_TOKENS"},
            {"id": "2", "text": "b", "finish_reason": "COMPLETE"}]}"#,
    );
    assert_eq!(
        (call.parameters.top_p, call.parameters.top_k),
        (Some(0.5), Some(3.0))
    );
    assert_eq!(call.parameters.choice_count, Some(2));
    assert_eq!(call.response_id.as_deref(), Some("g"));
    assert_eq!(words(&call), ["MAX_TOKENS", "COMPLETE"]);
    assert_eq!(said(&call).1, [[text("a")], [text("b")]]);
}

#[test]
fn coheres_conversations() {
    let call = invoked(
        "cohere.command-r-v1%3A0",
        r#"{"message": "And now?", "preamble": "Be brief.", "chat_history": [{"role": "USER", "message": "Hi"},
            {"role": "CHATBOT", "message": "Hello"}], "max_tokens": 4, "tools": [{"name": "f", "parameter_definitions": {}}]}"#,
        r#"{"response_id": "r-1", "generation_id": "g-1", "text": "I look.", "chat_history": [{"role": "USER", "message": "Hi"}],
            "finish_reason": "COMPLETE", "tool_calls": [{"name": "f", "parameters": {"a": 1}}]}"#,
    );
    assert_eq!(call.task, Some(Task::Chat));
    assert_eq!(call.response_id.as_deref(), Some("r-1"));
    assert_eq!(call.tool_calls[0].name.as_deref(), Some("f"));
    let (asked, answered) = said(&call);
    assert_eq!(
        asked,
        [
            ("user".into(), vec![text("Hi")]),
            ("assistant".into(), vec![text("Hello")]),
            ("user".into(), vec![text("And now?")]),
        ]
    );
    assert_eq!(
        answered,
        [[
            text("I look."),
            Part::ToolCall {
                id: None,
                name: "f".into(),
                arguments: json!({"a": 1}),
            },
        ]]
    );
}

#[test]
fn jurassic() {
    let call = invoked(
        "ai21.j2-mid-v1",
        r#"{"prompt": "Hi", "maxTokens": 5, "numResults": 1, "countPenalty": {"scale": 0}, "presencePenalty": {"scale": 0.5}}"#,
        r#"{"id": 1234, "prompt": {"text": "Hi", "tokens": []}, "completions": [{"data": {"text": "Hello", "tokens": []},
            "finishReason": {"reason": "endoftext"}}]}"#,
    );
    assert_eq!(call.response_id.as_deref(), Some("1234"));
    assert_eq!(call.parameters.presence_penalty, Some(0.5));
    assert_eq!(words(&call), ["endoftext"]);
    assert_eq!(said(&call).1, [[text("Hello")]]);
}

#[test]
fn embeddings_of_every_vendor() {
    for (model, request, response, dimensions, input) in [
        (
            "amazon.titan-embed-text-v2%3A0",
            r#"{"inputText": "x", "dimensions": 512, "normalize": true, "embeddingTypes": ["float"]}"#,
            r#"{"embedding": [0.5, -1e-3], "inputTextTokenCount": 3}"#,
            Some(512),
            Some(3),
        ),
        (
            "amazon.titan-embed-image-v1",
            r#"{"inputImage": "AAAA", "embeddingConfig": {"outputEmbeddingLength": 256}}"#,
            r#"{"embedding": [0.5], "inputTextTokenCount": 0, "message": null}"#,
            Some(256),
            Some(0),
        ),
        (
            "amazon.nova-2-multimodal-embeddings-v1%3A0",
            r#"{"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_INDEX",
                "embeddingDimension": 1024, "text": {"truncationMode": "END", "value": "x"}}}"#,
            r#"{"embeddings": [{"embeddingType": "TEXT", "embedding": [0.5]}]}"#,
            Some(1024),
            None,
        ),
        (
            "cohere.embed-v4%3A0",
            r#"{"texts": ["x"], "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 1536}"#,
            r#"{"id": "e", "embeddings": {"float": [[0.5]]}, "response_type": "embeddings_by_type", "texts": ["x"]}"#,
            Some(1536),
            None,
        ),
        (
            "twelvelabs.marengo-embed-2-7-v1%3A0",
            r#"{"inputType": "text", "inputText": "x"}"#,
            r#"{"data": [{"embedding": [0.5]}]}"#,
            None,
            None,
        ),
    ] {
        let call = invoked(model, request, response);
        assert_eq!(call.task, Some(Task::Embedding), "{model}");
        assert_eq!(call.parameters.dimensions, dimensions, "{model}");
        assert_eq!(call.usage.input, input, "{model}");
        assert!(
            call.stop_reasons.is_empty() && call.usage.output.is_none(),
            "{model}"
        );
    }
    let formats = invoked(
        "cohere.embed-v4%3A0",
        r#"{"texts": ["x"], "embedding_types": ["float", "int8"]}"#,
        "{}",
    );
    assert_eq!(formats.parameters.encoding_formats, ["float", "int8"]);
}

#[test]
fn an_embedding_behind_an_opaque_arn_is_told_by_its_answer() {
    let call = invoked(
        "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fabc",
        r#"{"inputText": "x"}"#,
        r#"{"embedding": [0.5], "inputTextTokenCount": 3}"#,
    );
    assert_eq!((call.task, call.usage.input), (Some(Task::Embedding), Some(3)));
}

#[test]
fn rerankers_are_neither_conversations_nor_searches() {
    let call = invoked(
        "cohere.rerank-v3-5%3A0",
        r#"{"query": "x", "documents": ["a", "b"], "top_n": 1, "api_version": 2}"#,
        r#"{"results": [{"index": 1.0, "relevance_score": 0.9}]}"#,
    );
    assert_eq!(call.task, Some(Task::Ranking));
    assert_eq!(call.usage, crate::bedrock::call::Usage::default());
}

#[test]
fn images_of_every_vendor() {
    for (model, request, response, reasons) in [
        (
            "amazon.nova-canvas-v1%3A0",
            r#"{"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a cat"},
                "imageGenerationConfig": {"numberOfImages": 2, "seed": 7, "cfgScale": 8}}"#,
            r#"{"images": ["AAAA"], "error": null}"#,
            vec![],
        ),
        (
            "amazon.titan-image-generator-v2%3A0",
            r#"{"taskType": "INPAINTING", "inPaintingParams": {"image": "AAAA", "text": "a cat"},
                "imageGenerationConfig": {"numberOfImages": 2, "seed": 7}}"#,
            r#"{"images": ["AAAA"], "error": "Some of it was left out."}"#,
            vec!["error"],
        ),
        (
            "stability.sd3-5-large-v1%3A0",
            r#"{"prompt": "a cat", "seed": 7, "output_format": "png"}"#,
            r#"{"seeds": [7], "finish_reasons": [null], "images": ["AAAA"]}"#,
            vec![],
        ),
        (
            "stability.stable-image-core-v1%3A1",
            r#"{"prompt": "a cat", "seed": 7}"#,
            r#"{"seeds": [], "finish_reasons": ["Filter reason: prompt"], "images": ["AAAA"]}"#,
            vec!["content_filtered"],
        ),
        (
            "stability.stable-diffusion-xl-v1",
            r#"{"text_prompts": [{"text": "a cat", "weight": 1}], "seed": 7, "steps": 30}"#,
            r#"{"result": "success", "artifacts": [{"seed": 7, "base64": "AAAA", "finishReason": "SUCCESS"}]}"#,
            vec!["SUCCESS"],
        ),
    ] {
        let call = invoked(model, request, response);
        assert_eq!(call.task, Some(Task::Image), "{model}");
        assert_eq!(call.parameters.seed, Some(7), "{model}");
        assert_eq!(words(&call), reasons, "{model}");
        let (asked, answered) = said(&call);
        assert_eq!(asked, [("user".into(), vec![text("a cat")])], "{model}");
        assert!(
            matches!(
                &answered[0][..],
                [Part::Blob {
                    modality: "image",
                    size: 3,
                    ..
                }]
            ),
            "{model}"
        );
    }
}

#[test]
fn a_film_is_told_in_text() {
    let call = invoked(
        "us.twelvelabs.pegasus-1-2-v1%3A0",
        r#"{"inputPrompt": "What happens?", "mediaSource": {"s3Location": {"uri": "s3://b/k"}}, "temperature": 0, "maxOutputTokens": 99}"#,
        r#"{"message": "A cat sleeps.", "finishReason": "stop"}"#,
    );
    assert_eq!(call.task, Some(Task::Chat));
    assert_eq!(call.parameters.max_tokens, Some(99));
    assert_eq!(words(&call), ["stop"]);
    assert_eq!(said(&call).1, [[text("A cat sleeps.")]]);
}

#[test]
fn a_family_that_is_not_known_yet_says_what_most_say() {
    let call = Play::invoke("newvendor.model-v1")
        .with_content()
        .request(r#"{"prompt": "Hi", "max_tokens": 7, "temperature": 0.1}"#)
        .response(
            200,
            &[
                ("x-amzn-bedrock-input-token-count", "2"),
                ("x-amzn-bedrock-output-token-count", "3"),
            ],
        )
        .answer(r#"{"text": "Hello", "finish_reason": "stop"}"#)
        .call();
    assert_eq!(call.parameters.max_tokens, Some(7));
    assert_eq!((call.usage.input, call.usage.output), (Some(2), Some(3)));
    assert_eq!(words(&call), ["stop"]);
    assert_eq!(
        said(&call),
        (vec![("user".into(), vec![text("Hi")])], vec![vec![text("Hello")]])
    );
}
