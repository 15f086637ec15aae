//! Answers to requests that were not seen, or whose head could not be understood.

use super::play::{EVENTSTREAM, Play, chunk, frame};
use crate::bedrock::operation::Operation;
use crate::event::Verdict;
use crate::http::BodyPart;

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
