//! Conversations by voice: both sides speak in events.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};

use serde_json::json;

use super::play::{EVENTSTREAM, Play, chunk};
use crate::bedrock::content::Part;
use crate::bedrock::parameters::OutputType;
use crate::http::{BodyPart, Hole, HoleReason};

/// What the AWS SDKs put around each frame of a request.
fn envelope(frame: Vec<u8>) -> Vec<u8> {
    let signed = Message::new(frame)
        .add_header(Header::new(
            ":date",
            HeaderValue::Timestamp(aws_smithy_types::DateTime::from_secs(1)),
        ))
        .add_header(Header::new(
            ":chunk-signature",
            HeaderValue::ByteArray(vec![7; 32].into()),
        ));
    let mut bytes = Vec::new();
    write_message_to(&signed, &mut bytes).expect("the message can be written");
    bytes
}

const ASKED: [&str; 3] = [
    r#"{"event": {"sessionStart": {"inferenceConfiguration": {"maxTokens": 512, "topP": 0.5, "temperature": 0.25}}}}"#,
    r#"{"event": {"textInput": {"promptName": "p", "content": "Hello?"}}}"#,
    r#"{"event": {"sessionEnd": {}}}"#,
];

const ANSWERED: [&str; 7] = [
    r#"{"event": {"completionStart": {}}}"#,
    r#"{"event": {"textOutput": {"content": "Hi there."}}}"#,
    r#"{"event": {"contentEnd": {"stopReason": "PARTIAL_TURN"}}}"#,
    r#"{"event": {"usageEvent": {"totalInputTokens": 5, "totalOutputTokens": 6, "totalTokens": 11}}}"#,
    r#"{"event": {"contentEnd": {"stopReason": "END_TURN"}}}"#,
    r#"{"event": {"usageEvent": {"totalInputTokens": 9, "totalOutputTokens": 8, "totalTokens": 17}}}"#,
    r#"{"event": {"completionEnd": {}}}"#,
];

fn play() -> Play {
    Play::new(
        "POST",
        "/model/amazon.nova-sonic-v1%3A0/invoke-with-bidirectional-stream",
    )
}

#[test]
fn what_is_asked_and_answered_is_read_on_both_sides() {
    for signed in [true, false] {
        let mut play = play().with_content();
        let frames: Vec<Vec<u8>> = ASKED
            .iter()
            .map(|event| {
                if signed {
                    envelope(chunk(event))
                } else {
                    chunk(event)
                }
            })
            .chain(signed.then(|| envelope(Vec::new())))
            .collect();
        let parts: Vec<BodyPart<'_>> = frames.iter().map(|frame| BodyPart::Bytes(frame)).collect();
        play.request_parts(&parts).response(200, &[EVENTSTREAM]);
        for event in ANSWERED {
            play.part(&BodyPart::Bytes(&chunk(event)));
        }
        let call = play.call();
        assert_eq!(call.parameters.max_tokens, Some(512));
        assert_eq!(call.parameters.temperature, Some(0.25));
        assert_eq!((call.usage.input, call.usage.output), (Some(9), Some(8)));
        assert_eq!(call.stop_reasons.len(), 1);
        assert_eq!(call.stop_reasons[0].wire, "END_TURN");
        assert!(call.streaming && call.timings.first_chunk.is_some());
        assert!(!call.gaps.no_stop_event && !call.gaps.frames_broken && !call.gaps.request_unreadable);
        let content = call.content.expect("content was asked for");
        assert_eq!(content.input.len(), 1);
        assert_eq!(content.output.len(), 1);
    }
}

#[test]
fn what_was_heard_and_which_tools_are_used_is_told() {
    let mut play = play().with_content();
    let asked = [
        r#"{"event": {"promptStart": {"audioOutputConfiguration": {"mediaType": "audio/lpcm"}, "toolConfiguration": {"tools": [
            {"toolSpec": {"name": "weather", "description": "Tells it.", "inputSchema": {"json": "{}"}}}]}}}}"#,
        r#"{"event": {"toolResult": {"content": "{\"sky\": \"blue\"}"}}}"#,
    ];
    let frames: Vec<Vec<u8>> = asked.iter().map(|event| chunk(event)).collect();
    let parts: Vec<BodyPart<'_>> = frames.iter().map(|frame| BodyPart::Bytes(frame)).collect();
    play.request_parts(&parts).response(200, &[EVENTSTREAM]);
    for event in [
        r#"{"event": {"textOutput": {"role": "USER", "content": "What is the weather?"}}}"#,
        r#"{"event": {"toolUse": {"toolName": "weather", "toolUseId": "t1", "content": "{\"city\": \"Oslo\"}"}}}"#,
        r#"{"event": {"textOutput": {"role": "ASSISTANT", "content": "Blue."}}}"#,
        r#"{"event": {"completionEnd": {}}}"#,
    ] {
        play.part(&BodyPart::Bytes(&chunk(event)));
    }
    let call = play.call();
    assert_eq!(call.parameters.output, Some(OutputType::Speech));
    assert_eq!(call.tool_calls[0].name.as_deref(), Some("weather"));
    let content = call.content.expect("content was asked for");
    assert_eq!(content.tools[0].name, "weather");
    let said: Vec<Part> = content
        .input
        .into_iter()
        .chain(content.output)
        .flat_map(|one| one.parts)
        .collect();
    assert_eq!(
        said,
        [
            Part::ToolResult {
                id: None,
                response: json!({"sky": "blue"}),
            },
            Part::Text("What is the weather?".into()),
            Part::ToolCall {
                id: Some("t1".into()),
                name: "weather".into(),
                arguments: json!({"city": "Oslo"}),
            },
            Part::Text("Blue.".into()),
        ]
    );
}

#[test]
fn a_hole_in_what_is_asked_costs_what_was_in_it() {
    let mut play = play();
    let start = envelope(chunk(ASKED[0]));
    let hole = BodyPart::Hole(Hole {
        length: Some(40),
        reason: HoleReason::Lost,
    });
    play.request_parts(&[hole, BodyPart::Bytes(&start)])
        .response(200, &[EVENTSTREAM]);
    let call = play.call();
    assert!(call.gaps.request_hole);
    assert!(call.gaps.no_stop_event);
}
