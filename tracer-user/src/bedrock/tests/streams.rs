//! Answers that come as event-streams: whole, failing, cut short, damaged.

use super::play::{EVENTSTREAM, Play, chunk, frame};
use crate::bedrock::content::Part;
use crate::counters::Counter;
use crate::event::Monotonic;
use crate::http::{BodyPart, Completion, Hole, HoleReason, Phase};

fn converse_events() -> Vec<Vec<u8>> {
    [
        ("messageStart", r#"{"role": "assistant", "p": "abc"}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex": 0, "delta": {"text": "Let me"}, "p": "a"}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex": 0, "delta": {"text": " look."}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex": 0}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}"#,
        ),
        ("contentBlockDelta", r#"{"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{\"ci"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex": 1, "delta": {"toolUse": {"input": "ty\": \"Oslo\"}"}}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex": 1}"#),
        ("messageStop", r#"{"stopReason": "tool_use"}"#),
        (
            "metadata",
            r#"{"usage": {"inputTokens": 4, "outputTokens": 10, "cacheReadInputTokens": 2701, "cacheReadInputTokenCount": 2701},
                "metrics": {"latencyMs": 7}, "trace": {"promptRouter": {"invokedModelId": "routed"}}}"#,
        ),
    ]
    .iter()
    .map(|(name, payload)| frame("event", name, payload))
    .collect()
}

#[test]
fn frames_that_never_end_take_no_more_than_all_bodies_may() {
    let large = frame("event", "chunk", &"x".repeat(7 << 20));
    let unended = BodyPart::Bytes(&large[..large.len() - 1]);
    let mut play = Play::converse_stream();
    for _ in 0..38 {
        play.again()
            .request("{}")
            .response(200, &[EVENTSTREAM])
            .part(&unended);
    }
    let evicted = play.calls_so_far();
    assert_eq!(evicted.len(), 2);
    for call in evicted {
        assert_eq!(call.completion, Completion::Evicted(Phase::Response));
    }
    // What still comes of one that came out is no call of its own.
    play.part(&unended).end(Completion::Complete);
    assert!(play.calls_so_far().is_empty());
}

#[test]
fn a_streamed_answer_is_put_together() {
    let mut play = Play::converse_stream().with_content();
    play.request("{}").response(200, &[EVENTSTREAM]);
    for event in converse_events() {
        play.part(&BodyPart::Bytes(&event));
    }
    let call = play.call();
    assert!(call.streaming);
    assert_eq!(call.stop_reasons[0].wire, "tool_use");
    assert_eq!(call.usage.input_with_cache(), Some(2705));
    assert_eq!(call.response_model.as_deref(), Some("routed"));
    assert_eq!(call.tool_calls[0].id.as_deref(), Some("t1"));
    // Begun at 1 ms, body, end and response head at 2, 3 and 4 ms, the first delta is the second event.
    assert_eq!(call.timings.first_chunk, Some(Monotonic(6_000_000)));
    let content = call.content.expect("content was asked for");
    assert_eq!(
        content.output[0].parts,
        [
            Part::Text("Let me look.".into()),
            Part::ToolCall {
                id: Some("t1".into()),
                name: "weather".into(),
                arguments: serde_json::json!({"city": "Oslo"}),
            },
        ]
    );
}

#[test]
fn without_content_only_the_facts_of_a_stream_are_kept() {
    let mut play = Play::converse_stream();
    play.request("{}").response(200, &[EVENTSTREAM]);
    play.part(&BodyPart::Bytes(&converse_events().concat()));
    let call = play.call();
    assert_eq!(call.content, None);
    assert_eq!(call.tool_calls[0].name.as_deref(), Some("weather"));
    assert!(!format!("{call:?}").contains("Oslo"));
}

#[test]
fn an_exception_inside_a_stream_is_a_failure_with_what_came_before_it() {
    for (kind, name, payload, code, message) in [
        (
            "exception",
            "throttlingException",
            r#"{"message": "slow down"}"#,
            "ThrottlingException",
            Some("slow down"),
        ),
        (
            "exception",
            "modelStreamErrorException",
            "not json",
            "ModelStreamErrorException",
            None,
        ),
        ("error", "InternalError", "", "InternalError", None),
    ] {
        let mut play = Play::converse_stream();
        play.request("{}").response(200, &[EVENTSTREAM]);
        let events = converse_events();
        play.part(&BodyPart::Bytes(&events[..3].concat()));
        play.part(&BodyPart::Bytes(&frame(kind, name, payload)));
        let call = play.call();
        let failure = call.failure.expect("the stream told of one");
        assert_eq!(
            (failure.code.as_str(), failure.message.as_deref()),
            (code, message)
        );
        assert_eq!(failure.in_stream, Some(Monotonic(6_000_000)));
        assert_eq!(call.status, Some(200));
        assert!(call.timings.first_chunk.is_some());
        assert!(!call.gaps.no_stop_event);
    }
}

#[test]
fn a_stream_that_ends_without_its_stop_is_marked() {
    for completion in [Completion::Complete, Completion::Closed(Phase::Response)] {
        let mut play = Play::converse_stream();
        play.request("{}").response(200, &[EVENTSTREAM]);
        let events = converse_events().concat();
        play.part(&BodyPart::Bytes(&events[..300]));
        let call = play.end(completion).call();
        assert!(call.gaps.no_stop_event && !call.gaps.frames_broken);
        assert_eq!(call.completion, completion);
        assert_eq!(call.usage.input, None);
    }
}

#[test]
fn a_broken_frame_costs_itself_only() {
    let mut events = converse_events();
    let last = events[1].len() - 1;
    events[1][last] ^= 1;
    let mut play = Play::converse_stream();
    play.request("{}").response(200, &[EVENTSTREAM]);
    play.part(&BodyPart::Bytes(&events.concat()));
    let call = play.call();
    assert!(call.gaps.frames_broken && !call.gaps.no_stop_event);
    assert_eq!(call.stop_reasons[0].wire, "tool_use");
    assert_eq!(play.counted(Counter::FramesBroken), 1);
}

#[test]
fn a_hole_in_a_stream_keeps_both_sides_of_it() {
    let events = converse_events();
    let mut play = Play::converse_stream();
    play.request("{}").response(200, &[EVENTSTREAM]);
    play.part(&BodyPart::Bytes(&events[..2].concat()));
    play.part(&BodyPart::Hole(Hole {
        length: Some((events[2].len() + events[3].len()) as u64),
        reason: HoleReason::Lost,
    }));
    play.part(&BodyPart::Bytes(&events[4..].concat()));
    let call = play.call();
    assert!(call.gaps.response_hole);
    assert_eq!(call.usage.output, Some(10));
    assert_eq!(call.tool_calls.len(), 1);
}

#[test]
fn claudes_own_counts_go_before_the_metrics() {
    let mut play = Play::invoke_stream("us.anthropic.claude-3-5-sonnet-20240620-v1%3A0").with_content();
    play.request(r#"{"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}"#);
    play.response(200, &[EVENTSTREAM]);
    for inner in [
        r#"{"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 12, "cache_read_input_tokens": 1000, "output_tokens": 1}}}"#,
        r#"{"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}"#,
        r#"{"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}"#,
        r#"{"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}}"#,
        r#"{"type": "content_block_stop", "index": 1}"#,
        r#"{"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 133}}"#,
        r#"{"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 12, "outputTokenCount": 97, "invocationLatency": 3915}}"#,
    ] {
        play.part(&BodyPart::Bytes(&chunk(inner)));
    }
    let call = play.call();
    assert_eq!(
        (call.usage.input_with_cache(), call.usage.output),
        (Some(1012), Some(133))
    );
    assert_eq!(call.response_id.as_deref(), Some("msg_1"));
    assert_eq!(call.server_latency_ms, Some(3915));
    assert_eq!(
        call.content.expect("content").output[0].parts,
        [
            Part::Reasoning("hm".into()),
            Part::ToolCall {
                id: Some("toolu_1".into()),
                name: "f".into(),
                arguments: serde_json::json!({}),
            },
        ]
    );
}

#[test]
fn an_error_event_of_claudes_is_a_failure() {
    let mut play = Play::invoke_stream("anthropic.claude-3-haiku-20240307-v1%3A0");
    play.request("{}").response(200, &[EVENTSTREAM]);
    play.part(&BodyPart::Bytes(&chunk(
        r#"{"type": "error", "error": {"type": "overloaded_error", "message": "later"}}"#,
    )));
    let failure = play.call().failure.expect("told");
    assert_eq!(
        (failure.code.as_str(), failure.message.as_deref()),
        ("overloaded_error", Some("later"))
    );
}

#[test]
fn novas_pieces_of_one_text_are_one_text() {
    let mut play = Play::invoke_stream("amazon.nova-micro-v1%3A0").with_content();
    play.request(r#"{"schemaVersion": "messages-v1"}"#)
        .response(200, &[EVENTSTREAM]);
    for inner in [
        r#"{"messageStart": {"role": "assistant"}}"#,
        r#"{"contentBlockDelta": {"delta": {"text": "Sure"}, "contentBlockIndex": 0}}"#,
        r#"{"contentBlockDelta": {"delta": {"text": ", go"}, "contentBlockIndex": 1}}"#,
        r#"{"messageStop": {"stopReason": "max_tokens"}}"#,
        r#"{"metadata": {"usage": {"inputTokens": 5}}, "amazon-bedrock-invocationMetrics": {"inputTokenCount": 5.0, "outputTokenCount": 10, "cacheReadInputTokenCount": 0}}"#,
    ] {
        play.part(&BodyPart::Bytes(&chunk(inner)));
    }
    let call = play.call();
    assert_eq!(
        (call.usage.input, call.usage.output, call.usage.cache_read),
        (Some(5), Some(10), Some(0))
    );
    assert_eq!(
        call.content.expect("content").output[0].parts,
        [Part::Text("Sure, go".into())]
    );
}

#[test]
fn a_family_behind_an_opaque_arn_is_told_by_its_chunks() {
    let mut play =
        Play::invoke_stream("arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fabc");
    play.request_parts(&[]).response(200, &[EVENTSTREAM]);
    play.part(&BodyPart::Bytes(&chunk(
        r#"{"outputText": "hi", "completionReason": "FINISH", "totalOutputTextTokenCount": 3, "inputTextTokenCount": 28.0}"#,
    )));
    let call = play.call();
    assert_eq!((call.usage.input, call.usage.output), (Some(28), Some(3)));
    assert_eq!(call.stop_reasons[0].wire, "FINISH");
}

#[test]
fn a_guardrail_that_blocks_the_prompt_leaves_no_reason() {
    let mut play = Play::invoke_stream("amazon.titan-text-lite-v1");
    play.request("{}").response(200, &[EVENTSTREAM]);
    play.part(&BodyPart::Bytes(&chunk(
        r#"{"outputText": "Sorry", "amazon-bedrock-guardrailAction": "INTERVENED", "totalOutputTextTokenCount": 0}"#,
    )));
    let call = play.call();
    assert!(call.stop_reasons.is_empty());
    assert_eq!(call.guardrail.intervened, Some(true));
}

#[test]
fn chunks_that_are_no_base64_or_no_json_are_counted() {
    let mut play = Play::invoke_stream("amazon.titan-text-lite-v1");
    play.request("{}").response(200, &[EVENTSTREAM]);
    play.part(&BodyPart::Bytes(&frame("event", "chunk", r#"{"bytes": "%%%"}"#)));
    play.part(&BodyPart::Bytes(&chunk("{")));
    play.part(&BodyPart::Bytes(&chunk(r#"{"completionReason": "LENGTH"}"#)));
    let call = play.call();
    assert!(call.gaps.response_unreadable);
    assert_eq!(call.stop_reasons[0].wire, "LENGTH");
    assert_eq!(play.counted(Counter::BodiesUnreadable), 2);
}

#[test]
fn a_count_that_runs_is_told_with_the_end_alone() {
    let whole = [
        r#"{"generation": "Ba", "prompt_token_count": 9, "generation_token_count": 1, "stop_reason": null}"#,
        r#"{"generation": "salt", "generation_token_count": 2, "stop_reason": "stop"}"#,
    ];
    for (chunks, output) in [(&whole[..], Some(2)), (&whole[..1], None)] {
        let mut play = Play::invoke_stream("meta.llama3-8b-instruct-v1:0");
        play.request("{}").response(200, &[EVENTSTREAM]);
        for inner in chunks {
            play.part(&BodyPart::Bytes(&chunk(inner)));
        }
        let usage = play.call().usage;
        assert_eq!((usage.input, usage.output), (Some(9), output));
    }
}

#[test]
fn where_the_better_count_may_have_been_missed_the_lesser_is_not_told() {
    let end = r#"{"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 392, "outputTokenCount": 97}}"#;
    for (hole, output) in [(None, Some(97)), (Some(120), None)] {
        let mut play = Play::invoke_stream("anthropic.claude-3-haiku-20240307-v1:0");
        play.request("{}").response(200, &[EVENTSTREAM]);
        if hole.is_some() {
            play.part(&BodyPart::Hole(Hole {
                length: hole,
                reason: HoleReason::Lost,
            }));
        }
        play.part(&BodyPart::Bytes(&chunk(end)));
        let usage = play.call().usage;
        assert_eq!((usage.input, usage.output), (Some(392), output));
    }
}
