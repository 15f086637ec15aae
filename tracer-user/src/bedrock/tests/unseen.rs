//! Answers to requests that were not seen, or whose head could not be understood.

use super::play::{EVENTSTREAM, Play, chunk, frame};
use crate::bedrock::operation::{Operation, Service};
use crate::event::Verdict;
use crate::http::{BodyPart, Hole, HoleReason};

fn played(headers: &[(&str, &str)], parts: &[Vec<u8>]) -> Play {
    let mut play = Play::converse();
    play.response(200, headers);
    for part in parts {
        play.part(&BodyPart::Bytes(part));
    }
    play.end(crate::http::Completion::Complete);
    play
}

#[test]
fn a_stream_of_converse_tells_what_it_is() {
    let call = played(
        &[EVENTSTREAM, ("x-amzn-requestid", "r-1")],
        &[
            frame(
                "event",
                "contentBlockDelta",
                r#"{"contentBlockIndex": 0, "delta": {"text": "Hi"}}"#,
            ),
            frame("event", "messageStop", r#"{"stopReason": "end_turn"}"#),
            frame(
                "event",
                "metadata",
                r#"{"usage": {"inputTokens": 4, "outputTokens": 10}}"#,
            ),
        ],
    )
    .call();
    assert!(call.gaps.request_unseen);
    assert_eq!(call.route.operation, Operation::ConverseStream);
    assert_eq!(call.route.resource.model, None);
    assert_eq!((call.usage.input, call.usage.output), (Some(4), Some(10)));
    assert_eq!(call.stop_reasons[0].wire, "end_turn");
    assert_eq!(call.request_id.as_deref(), Some("r-1"));
}

#[test]
fn a_stream_of_chunks_has_the_metrics_of_its_last() {
    let metrics = r#"{"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 5}}"#;
    let call = played(&[EVENTSTREAM], &[chunk(r#"{"a": 1}"#), chunk(metrics)]).call();
    assert_eq!(call.route.operation, Operation::InvokeModelWithResponseStream);
    assert_eq!((call.usage.input, call.usage.output), (Some(3), Some(5)));
}

#[test]
fn headers_of_bedrock_are_enough() {
    let mut play = played(
        &[
            ("content-type", "application/json"),
            ("x-amzn-bedrock-input-token-count", "7"),
            ("x-amzn-bedrock-output-token-count", "9"),
        ],
        &[b"{}".to_vec()],
    );
    let call = play.call();
    assert_eq!(call.route.operation, Operation::UnknownRuntimeOperation);
    assert_eq!((call.usage.input, call.usage.output), (Some(7), Some(9)));
    assert_eq!(play.verdicts()[0].1, Verdict::Want);
}

#[test]
fn an_agent_is_known_by_the_session_that_it_names() {
    let headers = [EVENTSTREAM, ("x-amz-bedrock-agent-session-id", "s-1")];
    let answer = frame("event", "chunk", r#"{"bytes": "R3Jhbml0ZS4="}"#);
    let call = played(&headers, &[answer]).call();
    assert_eq!(call.route.operation, Operation::InvokeAgent);
    assert_eq!(call.route.service, Service::AgentRuntime);
}

#[test]
fn an_answer_of_converse_is_known_by_its_members() {
    // Over HTTP/2 in the middle of a connection no header is known, not even the media type.
    let body = r#"{"output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 4, "outputTokens": 10, "totalTokens": 14}, "metrics": {"latencyMs": 3}}"#;
    let mut play = Play::converse();
    play.partial_response(200).answer(body);
    let call = play.call();
    assert_eq!(call.route.operation, Operation::Converse);
    assert_eq!((call.usage.input, call.usage.output), (Some(4), Some(10)));
    assert!(call.gaps.request_unseen && call.gaps.headers_unknown);
    assert_eq!(play.verdicts()[0].1, Verdict::Want);
}

#[test]
fn a_stream_is_known_by_its_frames_where_no_header_is() {
    let mut play = Play::converse();
    play.partial_response(200);
    play.part(&BodyPart::Bytes(&frame(
        "event",
        "messageStop",
        r#"{"stopReason": "end_turn"}"#,
    )));
    assert_eq!(play.verdicts()[0].1, Verdict::Want, "while it goes on");
    let call = play.call();
    assert!(call.streaming);
    assert_eq!(call.route.operation, Operation::ConverseStream);
    let mut other = Play::converse();
    other
        .partial_response(200)
        .answer(r#"{"items": []}"#)
        .end(crate::http::Completion::Complete);
    assert!(other.calls_so_far().is_empty() && other.verdicts().is_empty());
}

#[test]
fn a_stream_met_in_the_middle_is_known_by_the_events_that_follow() {
    let mut play = Play::converse();
    let delta = frame(
        "event",
        "contentBlockDelta",
        r#"{"contentBlockIndex": 0, "delta": {"text": "Hi"}}"#,
    );
    let stop = frame("event", "messageStop", r#"{"stopReason": "end_turn"}"#);
    play.part(&hole(None))
        .part(&BodyPart::Bytes(&delta[delta.len() / 2..]));
    assert!(play.verdicts().is_empty());
    play.part(&BodyPart::Bytes(&delta)).part(&BodyPart::Bytes(&stop));
    assert_eq!(play.verdicts()[0].1, Verdict::Want);
    let call = play.call();
    assert_eq!(call.route.operation, Operation::ConverseStream);
    assert_eq!(call.stop_reasons[0].wire, "end_turn");
    assert!(
        call.streaming && call.gaps.request_unseen && call.gaps.response_hole && call.gaps.headers_unknown
    );
    assert_eq!(
        (call.status, call.timings.first_chunk),
        (None, None),
        "nobody saw them"
    );
}

#[test]
fn an_answer_whose_head_was_missed_is_that_of_its_request() {
    let stop = frame("event", "messageStop", r#"{"stopReason": "end_turn"}"#);
    let mut play = Play::converse_stream().over_http2();
    play.request("{}").part(&hole(None)).part(&BodyPart::Bytes(&stop));
    let call = play.call();
    assert_eq!(call.stop_reasons[0].wire, "end_turn");
    assert!(call.gaps.response_hole && call.gaps.headers_unknown && !call.gaps.request_unseen);
    assert_eq!((call.status, call.timings.first_chunk), (None, None));
}

#[test]
fn the_answer_to_another_service_is_not_taken_for_one_whose_request_was_missed() {
    let mut play = Play::foreign().over_http2();
    play.request("{}").response(200, &[EVENTSTREAM]);
    play.part(&BodyPart::Bytes(&frame(
        "event",
        "metadata",
        r#"{"usage": {"inputTokens": 4}}"#,
    )));
    play.end(crate::http::Completion::Complete);
    assert!(play.calls_so_far().is_empty() && play.verdicts().is_empty());
}

#[test]
fn a_connection_whose_requests_are_not_understood_gets_time_to_show_what_it_is() {
    let mut play = Play::converse();
    for _ in 0..31 {
        play.partial_response(200).answer(r#"{"items": []}"#);
        play.end(crate::http::Completion::Complete).again();
    }
    assert!(play.verdicts().is_empty());
    play.partial_response(200).answer(r#"{"items": []}"#);
    play.end(crate::http::Completion::Complete);
    assert_eq!(play.verdicts()[0].1, Verdict::Ignore);
}

fn hole(length: Option<u64>) -> BodyPart<'static> {
    BodyPart::Hole(Hole {
        length,
        reason: HoleReason::Lost,
    })
}

#[test]
fn streams_of_other_services_and_plain_answers_are_no_calls() {
    let mut other = played(&[EVENTSTREAM], &[frame("event", "Records", "{}")]);
    assert!(other.calls_so_far().is_empty());
    let mut plain = played(&[("content-type", "application/json")], &[b"{}".to_vec()]);
    assert!(plain.calls_so_far().is_empty());
}

#[test]
fn a_connection_of_http2_may_begin_with_something_else() {
    let mut play = Play::foreign().over_http2();
    for _ in 0..2 {
        play.request("{}").again();
    }
    assert!(play.verdicts().is_empty());
    play.request("{}");
    assert_eq!(play.verdicts()[0].1, Verdict::Ignore);
}
