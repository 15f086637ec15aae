//! Exchanges as they happen, and the calls they are told as.

mod beside;
mod bodies;
mod chunks;
mod compatible;
mod families;
mod play;
mod sessions;
mod speech;
mod streams;
mod unseen;

pub(crate) use play::{CONNECTION, EVENTSTREAM, Play, chunk, frame};

use crate::counters::Counter;
use crate::event::{ConnectionKey, Monotonic, Verdict};
use crate::http::{BodyPart, Completion, ExchangeNumber, Hole, HoleReason, HttpSink as _, Phase};

use super::Output;
use super::failure::Failure;

#[test]
fn a_converse_call_is_told_whole() {
    let call = Play::converse()
        .header("amz-sdk-invocation-id", "9f0a")
        .header("amz-sdk-request", "ttl=20260101T000000Z; attempt=3; max=5")
        .request(r#"{"messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "inferenceConfig": {"maxTokens": 100, "temperature": 0, "topP": 0.9, "stopSequences": ["END"]},
            "additionalModelRequestFields": {"top_k": 50, "max_tokens": 7},
            "guardrailConfig": {"guardrailIdentifier": "gr-1", "guardrailVersion": "DRAFT"}}"#)
        .response(200, &[("x-amzn-RequestId", "r-1")])
        .answer(r#"{"output": {"message": {"role": "assistant", "content": [{"text": "hello"},
            {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Oslo"}}}]}},
            "stopReason": "tool_use", "metrics": {"latencyMs": 321},
            "usage": {"inputTokens": 12, "outputTokens": 250, "cacheReadInputTokens": 1028, "cacheWriteInputTokens": 0}}"#)
        .call();
    assert_eq!(call.parameters.max_tokens, Some(100));
    assert_eq!(call.parameters.top_k, Some(50.0));
    assert_eq!(call.parameters.stop_sequences, ["END"]);
    assert_eq!(call.guardrail.id.as_deref(), Some("gr-1"));
    assert_eq!(call.guardrail.version.as_deref(), Some("DRAFT"));
    assert_eq!(call.usage.input_with_cache(), Some(1040));
    assert_eq!(call.usage.output, Some(250));
    assert_eq!(call.usage.cache_write, Some(0));
    assert_eq!(call.stop_reasons[0].wire, "tool_use");
    assert_eq!(call.tool_calls[0].name.as_deref(), Some("weather"));
    assert_eq!(call.server_latency_ms, Some(321));
    assert_eq!(call.request_id.as_deref(), Some("r-1"));
    assert_eq!(call.attempt.resends, 2);
    assert_eq!(call.content, None);
    assert_eq!(call.gaps, super::call::Gaps::default());
    assert_eq!(call.completion, Completion::Complete);
}

#[test]
fn a_refused_call_tells_the_code_and_the_message() {
    for (headers, body, code, message) in [
        (
            vec![(
                "x-amzn-ErrorType",
                "ThrottlingException:http://internal.amazon.com/x",
            )],
            r#"{"message": "Too many requests"}"#,
            "ThrottlingException",
            Some("Too many requests"),
        ),
        (
            vec![],
            r#"{"__type": "x#AccessDeniedException", "Message": "no"}"#,
            "AccessDeniedException",
            Some("no"),
        ),
        (vec![], "<html>", "429", None),
        (vec![], "", "429", None),
    ] {
        let call = Play::converse()
            .request("{}")
            .response(429, &headers)
            .answer(body)
            .call();
        assert_eq!(
            call.failure,
            Some(Failure {
                code: code.into(),
                message: message.map(str::to_owned),
                in_stream: None,
            })
        );
        assert_eq!(call.status, Some(429));
    }
}

#[test]
fn headers_count_tokens_where_the_body_does_not() {
    let call = Play::invoke("mistral.mistral-7b-instruct-v0:2")
        .request(r#"{"prompt": "x", "max_tokens": 10, "stop": ["|"]}"#)
        .response(
            200,
            &[
                ("X-Amzn-Bedrock-Input-Token-Count", "6"),
                ("X-Amzn-Bedrock-Output-Token-Count", "10"),
                ("X-Amzn-Bedrock-Invocation-Latency", "219"),
            ],
        )
        .answer(r#"{"outputs": [{"text": "y", "stop_reason": "length"}]}"#)
        .call();
    assert_eq!((call.usage.input, call.usage.output), (Some(6), Some(10)));
    assert_eq!(call.parameters.max_tokens, Some(10));
    assert_eq!(call.stop_reasons[0].wire, "length");
    assert_eq!(call.server_latency_ms, Some(219));
}

#[test]
fn operations_that_are_not_read_still_give_a_call() {
    let call = Play::new("POST", "/model/m/dream")
        .request(r#"{"of": "sheep"}"#)
        .response(200, &[])
        .answer("{}")
        .call();
    assert_eq!(call.route.operation.name(), "UnknownRuntimeOperation");
    assert_eq!(call.status, Some(200));
}

#[test]
fn a_prompt_with_a_hole_keeps_the_parameters_around_it() {
    let call = Play::converse()
        .request_parts(&[
            BodyPart::Bytes(
                br#"{"inferenceConfig": {"maxTokens": 5}, "messages": [{"content": [{"text": "aaa"#,
            ),
            BodyPart::Hole(Hole {
                length: Some(1_000_000),
                reason: HoleReason::Lost,
            }),
            BodyPart::Bytes(br#"zz"}]}], "guardrailConfig": {"guardrailIdentifier": "gr-1"}}"#),
        ])
        .response(200, &[])
        .answer(r#"{"stopReason": "end_turn"}"#)
        .call();
    assert!(call.gaps.request_hole && !call.gaps.request_unreadable);
    assert_eq!(call.parameters.max_tokens, Some(5));
    assert_eq!(call.guardrail.id.as_deref(), Some("gr-1"));
}

#[test]
fn a_body_that_is_no_json_is_counted_and_marked() {
    let mut play = Play::converse();
    let call = play
        .request("{]")
        .response(200, &[])
        .answer("{\"stopReason\": \"end_turn\", ")
        .call();
    assert!(call.gaps.request_unreadable && call.gaps.response_unreadable);
    assert_eq!(call.stop_reasons[0].wire, "end_turn");
    assert_eq!(play.counted(Counter::BodiesUnreadable), 2);
}

#[test]
fn a_call_given_up_early_is_told_as_far_as_it_came() {
    let mut play = Play::converse();
    let call = play
        .request(r#"{"inferenceConfig": {"maxTokens": 5}}"#)
        .end(Completion::Closed(Phase::Waiting))
        .call();
    assert_eq!((call.status, call.parameters.max_tokens), (None, Some(5)));
    assert_eq!(call.completion, Completion::Closed(Phase::Waiting));
}

#[test]
fn each_connection_is_judged_once() {
    let mut play = Play::converse();
    play.request("{}").response(200, &[]).answer("{}").call();
    play.again().request("{}").response(200, &[]).answer("{}").call();
    assert_eq!(play.verdicts(), [(CONNECTION, Verdict::Want)]);
    assert_eq!(play.counted(Counter::ConnectionsWanted), 1);

    let mut other = Play::foreign();
    other.request("{}").end(Completion::Complete);
    assert_eq!(other.verdicts(), [(CONNECTION, Verdict::Ignore)]);
}

#[test]
fn the_handshake_alone_can_tell() {
    let mut calls = super::Calls::new(super::Settings::default());
    calls.server_name(CONNECTION, "bedrock-runtime.us-east-1.amazonaws.com");
    calls.foreign(CONNECTION);
    let outputs: Vec<Output> = calls.outputs().collect();
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Verdict(CONNECTION, Verdict::Want))),
    );
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::Verdict(_, Verdict::Ignore)))
    );
}

#[test]
fn calls_under_way_are_bounded_and_the_oldest_comes_out() {
    let mut play = Play::converse();
    for number in 0..8_193 {
        let connection = ConnectionKey {
            address: number,
            ..CONNECTION
        };
        play.begin_at(connection, ExchangeNumber(0), Monotonic(1_000 + number));
    }
    let calls = play.calls_so_far();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].connection.address, 0);
    assert_eq!(calls[0].completion, Completion::Evicted(Phase::Request));
}
