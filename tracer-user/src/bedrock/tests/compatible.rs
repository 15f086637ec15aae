//! The endpoints that speak as `OpenAI` and Anthropic do, on Bedrock's host and on mantle's.

use proptest::prelude::*;
use serde_json::json;

use super::play::Play;
use crate::bedrock::Call;
use crate::bedrock::billing::ServiceTier;
use crate::bedrock::call::Gaps;
use crate::bedrock::content::Part;
use crate::bedrock::operation::{Operation, Service};
use crate::bedrock::session::Session;
use crate::event::Monotonic;
use crate::http::{BodyPart, Completion, Hole, HoleReason, Phase};

const LINES: (&str, &str) = ("Content-Type", "text/event-stream; charset=utf-8");
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn text(text: &str) -> Part {
    Part::Text(text.into())
}

fn answered(call: &Call) -> &[Part] {
    let content = call.content.as_ref().expect("content was asked for");
    &content.output[0].parts
}

fn reasons(call: &Call) -> Vec<&str> {
    call.stop_reasons
        .iter()
        .map(|reason| reason.wire.as_str())
        .collect()
}

/// A stream cut into pieces of this size.
fn streamed(path: &str, request: &str, stream: &str, size: usize) -> Call {
    let mut play = Play::new("POST", path).with_content();
    play.request(request).response(200, &[LINES]);
    for piece in stream.as_bytes().chunks(size) {
        play.part(&BodyPart::Bytes(piece));
    }
    play.call()
}

const CHAT: &str = "/openai/v1/chat/completions";
const RESPONSES: &str = "/openai/v1/responses";
const MESSAGES: &str = "/anthropic/v1/messages";

#[test]
fn chat_completions_in_one_piece() {
    let call = Play::new("POST", CHAT)
        .with_content()
        .header("X-Amzn-Bedrock-GuardrailIdentifier", "gr-1")
        .request(
            r#"{"model": "openai.gpt-oss-20b-1:0", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 9,
                "service_tier": "flex", "metadata": {"session_id": "s-1"}, "amazon-bedrock-guardrailConfig": {"tagSuffix": "x"}}"#,
        )
        .response(200, &[JSON, ("x-request-id", "req-1")])
        .answer(
            r#"{"id": "chatcmpl-1", "object": "chat.completion", "model": "openai.gpt-oss-20b-1:0", "service_tier": "default",
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
                "usage": {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 8}}}"#,
        )
        .call();
    assert_eq!(call.route.operation, Operation::ChatCompletions);
    assert_eq!(call.route.service, Service::Runtime);
    assert_eq!(
        call.route.resource.model.as_deref(),
        Some("openai.gpt-oss-20b-1:0")
    );
    assert_eq!(call.guardrail.id.as_deref(), Some("gr-1"));
    assert_eq!(call.session.map(|session| session.id).as_deref(), Some("s-1"));
    assert_eq!(call.request_id.as_deref(), Some("req-1"));
    assert_eq!(call.billing.tier, Some(ServiceTier::Standard));
    assert_eq!(call.parameters.max_tokens, Some(9));
    assert_eq!(
        (call.usage.input_with_cache(), call.usage.output),
        (Some(20), Some(5))
    );
    assert_eq!(call.content.expect("content").output[0].parts, [text("Hello")]);
    assert!(!call.streaming);
    assert_eq!(call.gaps, Gaps::default());
}

const CHAT_EVENTS: &str = concat!(
    "data: {\"id\": \"c-1\", \"model\": \"m-1\", \"choices\": [{\"index\": 0, \"delta\": {\"role\": \"assistant\", \"content\": \"\"}}]}\r\n\r\n",
    ": keep alive\r\n\r\n",
    "data: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"Hel\"}}]}\r\n\r\n",
    "data: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"lo\"}}]}\r\n\r\n",
    "data: {\"choices\": [{\"index\": 0, \"delta\": {}, \"finish_reason\": \"stop\"}]}\r\n\r\n",
    "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 3, \"completion_tokens\": 4}}\r\n\r\n",
    "data: [DONE]\r\n\r\n",
);

#[test]
fn chat_completions_as_a_stream() {
    for size in [1, 7, 10_000] {
        let call = streamed(CHAT, r#"{"model": "m", "stream": true}"#, CHAT_EVENTS, size);
        assert!(call.streaming);
        assert_eq!(call.route.resource.model.as_deref(), Some("m"));
        assert_eq!(call.response_model.as_deref(), Some("m-1"));
        assert_eq!(answered(&call), [text("Hello")]);
        assert_eq!(reasons(&call), ["stop"]);
        assert_eq!((call.usage.input, call.usage.output), (Some(3), Some(4)));
        assert_eq!(call.gaps, Gaps::default(), "{size}");
    }
    // Four events of the request and the head, then one byte a millisecond: the first words are where they are.
    let call = streamed(CHAT, r#"{"stream": true}"#, CHAT_EVENTS, 1);
    let words = CHAT_EVENTS.find("Hel").expect("the words are there");
    let end = words + CHAT_EVENTS[words..].find("\r\n\r\n").expect("an end") + 3;
    assert_eq!(
        call.timings.first_chunk,
        Some(Monotonic(1_000_000 * (4 + end as u64)))
    );
}

#[test]
fn responses_in_one_piece() {
    let call = Play::new("POST", RESPONSES)
        .with_content()
        .request(
            r#"{"model": "openai.gpt-oss-120b", "instructions": "Be brief.", "max_output_tokens": 9, "reasoning": {"effort": "high"},
                "text": {"format": {"type": "json_schema"}}, "conversation": {"id": "conv-1"},
                "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {}}],
                "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                    {"type": "function_call", "call_id": "c0", "name": "f", "arguments": "{\"a\": 1}"},
                    {"type": "function_call_output", "call_id": "c0", "output": "ok"}]}"#,
        )
        .response(200, &[JSON])
        .answer(
            r#"{"id": "resp_1", "object": "response", "status": "completed", "model": "gpt-oss", "error": null, "output": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello", "annotations": []}]},
                    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}],
                "usage": {"input_tokens": 30, "input_tokens_details": {"cached_tokens": 10}, "output_tokens": 7,
                    "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 37}}"#,
        )
        .call();
    assert_eq!(call.route.resource.model.as_deref(), Some("openai.gpt-oss-120b"));
    assert_eq!(
        call.session.as_ref().map(|session: &Session| session.id.as_str()),
        Some("conv-1")
    );
    assert_eq!(call.parameters.reasoning_level.as_deref(), Some("high"));
    assert_eq!(
        call.parameters.output,
        Some(crate::bedrock::parameters::OutputType::Json)
    );
    assert_eq!(call.usage.input_with_cache(), Some(30));
    assert_eq!((call.usage.cache_read, call.usage.reasoning), (Some(10), Some(2)));
    assert_eq!(reasons(&call), ["function_call"]);
    assert_eq!(call.tool_calls[0].id.as_deref(), Some("c1"));
    assert_eq!(
        answered(&call),
        [
            Part::Reasoning("hm".into()),
            text("Hello"),
            Part::ToolCall {
                id: Some("c1".into()),
                name: "f".into(),
                arguments: json!({}),
            },
        ]
    );
    let content = call.content.expect("content");
    assert_eq!(content.system, ["Be brief."]);
    let roles: Vec<&str> = content.input.iter().map(|one| one.role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "tool"]);
    assert_eq!(
        content.input[1].parts,
        [Part::ToolCall {
            id: Some("c0".into()),
            name: "f".into(),
            arguments: json!({"a": 1}),
        }]
    );
}

const RESPONSE_EVENTS: &str = r#"event: response.created
data: {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "model": "gpt-oss", "output": []}}

event: response.output_text.delta
data: {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"}

event: response.output_text.delta
data: {"type": "response.output_text.delta", "output_index": 0, "delta": "lo"}

"#;

#[test]
fn responses_as_a_stream() {
    let last = r#"event: response.incomplete
data: {"type": "response.incomplete", "response": {"id": "resp_1", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}], "usage": {"input_tokens": 3, "output_tokens": 4}}}

"#;
    let stream = format!("{RESPONSE_EVENTS}{last}");
    for size in [3, 10_000] {
        let call = streamed(
            RESPONSES,
            r#"{"model": "m", "stream": true, "input": "Hi"}"#,
            &stream,
            size,
        );
        assert_eq!(answered(&call), [text("Hello")]);
        assert_eq!(reasons(&call), ["max_output_tokens"]);
        assert_eq!((call.usage.input, call.usage.output), (Some(3), Some(4)));
        assert_eq!(call.response_id.as_deref(), Some("resp_1"));
        assert_eq!(call.gaps, Gaps::default());
    }
    // The last event makes good what a hole took.
    let mut play = Play::new("POST", RESPONSES).with_content();
    play.request(r#"{"stream": true}"#).response(200, &[LINES]);
    play.part(&BodyPart::Bytes(&RESPONSE_EVENTS.as_bytes()[..200]));
    play.part(&BodyPart::Hole(Hole {
        length: Some(100),
        reason: HoleReason::Lost,
    }));
    play.part(&BodyPart::Bytes(format!("\"}}\n\n{last}").as_bytes()));
    let call = play.call();
    assert!(call.gaps.response_hole && !call.gaps.no_stop_event);
    assert_eq!(answered(&call), [text("Hello")]);
    assert_eq!(call.usage.output, Some(4));
}

#[test]
fn a_stream_of_responses_cut_short_keeps_its_pieces() {
    let mut play = Play::new("POST", RESPONSES).with_content();
    play.request(r#"{"model": "m", "stream": true}"#)
        .response(200, &[LINES]);
    play.answer(RESPONSE_EVENTS)
        .answer("event: response.output_text.delta\ndata: {\"type\": \"resp")
        .end(Completion::Closed(Phase::Response));
    let call = play.call();
    assert!(call.gaps.no_stop_event && !call.gaps.response_unreadable);
    assert_eq!(answered(&call), [text("Hello")]);
    assert_eq!(call.response_model.as_deref(), Some("gpt-oss"));
    assert!(reasons(&call).is_empty());
}

#[test]
fn a_response_that_failed_is_a_failure() {
    let body = r#"{"id": "resp_1", "status": "failed", "error": {"code": "server_error", "message": "Something broke."}, "output": []}"#;
    let whole = Play::new("POST", RESPONSES)
        .request(r#"{"model": "m"}"#)
        .response(200, &[JSON])
        .answer(body)
        .call();
    let stream =
        format!("event: response.failed\ndata: {{\"type\": \"response.failed\", \"response\": {body}}}\n\n");
    let piecemeal = streamed(RESPONSES, r#"{"stream": true}"#, &stream, 50);
    for call in [whole, piecemeal] {
        let failure = call.failure.as_ref().expect("it failed");
        assert_eq!(failure.code, "server_error");
        assert_eq!(failure.message.as_deref(), Some("Something broke."));
        assert_eq!(reasons(&call), ["failed"]);
    }
}

const MESSAGE_EVENTS: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","model":"claude-sonnet-4-5","usage":{"input_tokens":3,"cache_read_input_tokens":5,"output_tokens":1,"service_tier":"standard"}}}

event: ping
data: {"type":"ping"}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}

event: message_stop
data: {"type":"message_stop"}

"#;

#[test]
fn messages_in_one_piece_and_as_a_stream() {
    let request = r#"{"model": "anthropic.claude-sonnet-4-5", "max_tokens": 9, "stream": STREAM, "metadata": {"user_id": "u"},
        "messages": [{"role": "user", "content": "Hi"}]}"#;
    let whole = Play::new("POST", MESSAGES)
        .with_content()
        .request(&request.replace("STREAM", "false"))
        .response(200, &[JSON, ("request-id", "req_1")])
        .answer(
            r#"{"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",
                "content": [{"type": "text", "text": "Hello"}],
                "usage": {"input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 4, "service_tier": "standard"}}"#,
        )
        .call();
    let piecemeal = streamed(MESSAGES, &request.replace("STREAM", "true"), MESSAGE_EVENTS, 11);
    assert!(piecemeal.streaming && !whole.streaming);
    for call in [whole, piecemeal] {
        assert_eq!(
            call.route.resource.model.as_deref(),
            Some("anthropic.claude-sonnet-4-5")
        );
        assert_eq!(call.response_model.as_deref(), Some("claude-sonnet-4-5"));
        assert_eq!(
            (call.usage.input_with_cache(), call.usage.output),
            (Some(8), Some(4))
        );
        assert_eq!(call.billing.tier, Some(ServiceTier::Standard));
        assert_eq!(reasons(&call), ["end_turn"]);
        assert_eq!(answered(&call), [text("Hello")]);
        assert_eq!(call.gaps, Gaps::default());
    }
}

#[test]
fn errors_come_in_the_words_of_each_vendor() {
    for (path, status, body, code) in [
        (
            CHAT,
            400,
            r#"{"error": {"message": "no", "type": "invalid_request_error", "param": null, "code": "validation_error"}}"#,
            "validation_error",
        ),
        (
            RESPONSES,
            401,
            r#"{"error": {"message": "no", "type": "authentication_error", "param": null, "code": null}}"#,
            "authentication_error",
        ),
        (
            MESSAGES,
            529,
            r#"{"type": "error", "error": {"type": "overloaded_error", "message": "no"}, "request_id": "req_1"}"#,
            "overloaded_error",
        ),
        (CHAT, 503, "upstream is gone", "503"),
    ] {
        let call = Play::new("POST", path)
            .request(r#"{"model": "m"}"#)
            .response(status, &[JSON])
            .answer(body)
            .call();
        let failure = call.failure.expect("it failed");
        assert_eq!(failure.code, code, "{body}");
        assert_eq!(call.route.resource.model.as_deref(), Some("m"));
    }
}

#[test]
fn an_error_within_a_stream_is_a_failure_with_what_came_before_it() {
    for (path, before, error, code) in [
        (
            CHAT,
            "data: {\"choices\": [{\"delta\": {\"content\": \"Hello\"}}]}\n\n",
            "data: {\"error\": {\"message\": \"no\", \"type\": \"server_error\", \"code\": null}}\n\n",
            "server_error",
        ),
        (
            MESSAGES,
            "event: content_block_delta\ndata: {\"type\": \"content_block_delta\", \"delta\": {\"text\": \"Hello\"}}\n\n",
            "event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\", \"message\": \"no\"}}\n\n",
            "overloaded_error",
        ),
        (
            RESPONSES,
            "data: {\"type\": \"response.output_text.delta\", \"delta\": \"Hello\"}\n\n",
            "event: error\ndata: {\"type\": \"error\", \"code\": \"rate_limit_exceeded\", \"message\": \"no\"}\n\n",
            "rate_limit_exceeded",
        ),
    ] {
        let call = streamed(path, r#"{"stream": true}"#, &format!("{before}{error}"), 13);
        let failure = call.failure.as_ref().expect("it failed");
        assert_eq!(
            (failure.code.as_str(), failure.message.as_deref()),
            (code, Some("no"))
        );
        assert!(failure.in_stream.is_some());
        assert_eq!(answered(&call), [text("Hello")]);
    }
}

#[test]
fn mantle_has_its_own_host_and_paths() {
    for (path, operation) in [
        ("/v1/chat/completions", Operation::ChatCompletions),
        ("/openai/v1/chat/completions", Operation::ChatCompletions),
        ("/v1/responses", Operation::Responses),
        ("/openai/v1/responses?x=1", Operation::Responses),
        ("/anthropic/v1/messages", Operation::Messages),
    ] {
        let call = Play::on("bedrock-mantle.eu-west-1.api.aws", path)
            .request(r#"{"model": "openai.gpt-oss-120b"}"#)
            .response(200, &[JSON])
            .answer("{}")
            .call();
        assert_eq!(call.route.operation, operation, "{path}");
        assert_eq!(call.route.service, Service::Mantle, "{path}");
        assert_eq!(call.route.region.as_deref(), Some("eu-west-1"), "{path}");
        assert_eq!(
            call.route.resource.model.as_deref(),
            Some("openai.gpt-oss-120b"),
            "{path}"
        );
    }
}

#[test]
fn an_answer_without_a_head_is_told_by_what_was_asked_or_how_it_begins() {
    let chunk = "data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}, \"finish_reason\": \"stop\"}]}\n\n";
    let document = r#"{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}"#;
    for (request, answer, streaming) in [
        (r#"{"stream": true}"#, chunk, true),
        ("{}", chunk, true),
        ("{}", document, false),
    ] {
        let mut play = Play::new("POST", CHAT);
        play.request(request).partial_response(200).answer(answer);
        let call = play.call();
        assert_eq!(call.streaming, streaming, "{request} {answer}");
        assert_eq!(reasons(&call), ["stop"], "{request} {answer}");
        assert!(call.gaps.headers_unknown);
    }
}

#[test]
fn without_content_nothing_that_was_said_is_kept() {
    let mut play = Play::new("POST", RESPONSES);
    play.request(
        r#"{"model": "m", "input": [{"role": "user", "content": "secret"}], "instructions": "secret"}"#,
    )
    .response(200, &[LINES]);
    play.answer(&RESPONSE_EVENTS.replace("Hel", "secret"));
    play.answer("data: {\"type\": \"response.completed\", \"response\": {\"status\": \"completed\", \"output\": [{\"type\": \"message\", \"content\": [{\"type\": \"output_text\", \"text\": \"secret\"}]}]}}\n\n");
    let call = play.call();
    assert_eq!(reasons(&call), ["completed"]);
    assert!(!format!("{call:?}").contains("secret"));
}

/// A hole of this length at every place: what is told is what the whole stream tells, or nothing, and the hole is told.
#[test]
fn a_hole_anywhere_takes_facts_away_and_makes_none_up() {
    let last = "data: {\"type\": \"response.completed\", \"response\": {\"status\": \"completed\", \"usage\": {\"input_tokens\": 3, \"output_tokens\": 4}}}\n\n";
    let responses = format!("{RESPONSE_EVENTS}{last}");
    for (path, stream) in [
        (CHAT, CHAT_EVENTS),
        (MESSAGES, MESSAGE_EVENTS),
        (RESPONSES, &responses),
    ] {
        let whole = streamed(path, r#"{"stream": true}"#, stream, stream.len());
        for length in [1, 40, 300] {
            for start in 0..stream.len().saturating_sub(length) {
                let mut play = Play::new("POST", path);
                play.request(r#"{"stream": true}"#).response(200, &[LINES]);
                play.part(&BodyPart::Bytes(&stream.as_bytes()[..start]));
                play.part(&BodyPart::Hole(Hole {
                    length: Some(length as u64),
                    reason: HoleReason::Lost,
                }));
                play.part(&BodyPart::Bytes(&stream.as_bytes()[start + length..]));
                let call = play.call();
                let same = |found: Option<u64>, expected: Option<u64>| found.is_none() || found == expected;
                assert!(
                    same(call.usage.input, whole.usage.input),
                    "{path} {start} {length}"
                );
                assert!(
                    same(call.usage.output, whole.usage.output),
                    "{path} {start} {length}"
                );
                assert!(
                    call.stop_reasons.is_empty() || call.stop_reasons == whole.stop_reasons,
                    "{path} {start} {length}"
                );
                assert!(
                    call.gaps.response_hole && call.failure.is_none(),
                    "{path} {start} {length}"
                );
                assert!(!call.gaps.response_unreadable, "{path} {start} {length}");
            }
        }
    }
}

/// What a call says, whenever its pieces came.
fn told(call: &Call) -> String {
    let Call {
        usage,
        stop_reasons,
        tool_calls,
        response_id,
        response_model,
        failure,
        gaps,
        content,
        ..
    } = call;
    let code = failure.as_ref().map(|failure| &failure.code);
    format!(
        "{usage:?} {stop_reasons:?} {tool_calls:?} {response_id:?} {response_model:?} {code:?} {gaps:?} {content:?}"
    )
}

proptest! {
    /// Pieces that matter in any order, whole or cut, give a call, and the same one however they come.
    #[test]
    fn any_stream_gives_a_call_however_it_is_cut(
        path in prop_oneof![Just(CHAT), Just(RESPONSES), Just(MESSAGES)],
        size in 1..60_usize,
        pieces in proptest::collection::vec(prop_oneof![
            Just("data: {\"choices\": [{\"delta\": {\"content\": \"a\"}}]}\n\n"),
            Just("data: {\"choices\": [{\"index\": 1e9, \"delta\": {\"tool_calls\": [{\"index\": 0, \"id\": \"c\"}, 7, {}]}}]}\n\n"),
            Just("data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 2.0, \"completion_tokens\": -3}}\n\n"),
            Just("data: {\"type\": \"response.output_item.added\", \"item\": {\"type\": \"function_call\"}}\n\n"),
            Just("data: {\"type\": \"response.function_call_arguments.delta\", \"delta\": \"{\"}\n\n"),
            Just("data: {\"type\": \"response.completed\", \"response\": {\"status\": \"completed\", \"output\": [{}, 5]}}\n\n"),
            Just("data: {\"type\": \"content_block_delta\", \"delta\": {\"text\": \"a\"}}\n\n"),
            Just("data: {\"type\": \"message_stop\"}\n\n"), Just("data: {\"error\": {\"code\": null}}\n\n"), Just("data: [DONE]\n\n"),
            Just("data: {\"choices\": ["), Just("\n"), Just("data:"), Just("\u{0}"), Just("[[[[{"), Just(": x\n"),
        ], 0..20),
    ) {
        let stream = pieces.concat();
        let whole = streamed(path, r#"{"stream": true}"#, &stream, stream.len().max(1));
        prop_assert_eq!(told(&streamed(path, r#"{"stream": true}"#, &stream, size)), told(&whole));
    }

    /// Bodies that break off anywhere keep what stands before the break, and say that they did.
    #[test]
    fn a_document_that_breaks_off_keeps_what_came_before(cut in 0..160_usize) {
        let body = r#"{"id": "resp_1", "status": "completed", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 4}, "output": [{"type": "message", "content": []}]}"#;
        let mut play = Play::new("POST", RESPONSES);
        play.request("{}").response(200, &[JSON]).answer(body.get(..cut).unwrap_or(body));
        let call = play.end(Completion::Closed(Phase::Response)).call();
        prop_assert_eq!(call.response_id.is_some(), cut > body.find("resp_1").unwrap_or(0) + 6);
        prop_assert_eq!(call.usage.output.is_some(), cut > body.find("}, \"output\"").unwrap_or(0));
    }
}
