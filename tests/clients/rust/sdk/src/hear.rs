//! Tells what an answer said.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::error::ProvideErrorMetadata;
use aws_sdk_bedrockruntime::operation::converse::ConverseOutput;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::primitives::event_stream::{EventReceiver, EventStreamSender};
use aws_sdk_bedrockruntime::types::error::InvokeModelWithBidirectionalStreamInputError as InputError;
use aws_sdk_bedrockruntime::types::{
    BidirectionalInputPayloadPart, ContentBlock, ContentBlockDelta, ConverseStreamOutput,
    InvokeModelWithBidirectionalStreamInput as Input, InvokeModelWithBidirectionalStreamOutput as Output,
    ResponseStream, TokenUsage,
};
use futures_core::Stream;
use protocol::{Call, Seen};
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, channel};

use super::{answered, broke};

/// A whole answer of Converse.
pub fn converse(answer: &ConverseOutput, seen: &mut Seen) {
    let message = answer.output().and_then(|output| output.as_message().ok());
    for block in message.into_iter().flat_map(|message| message.content()) {
        match block {
            ContentBlock::Text(text) => seen.text(text),
            ContentBlock::ToolUse(tool) => seen.set("tool", json!({"name": tool.name()})),
            _ => {}
        }
    }
    seen.set("stop_reason", answer.stop_reason().as_str());
    seen.set_some("usage", answer.usage().map(usage));
}

/// Reads a stream to its end, or as far as the call wants.
pub async fn events<Event, Failure>(
    mut stream: EventReceiver<Event, Failure>,
    note: impl Fn(&Event, &mut Seen),
    call: &Call,
    seen: &mut Seen,
) where
    Failure: ProvideErrorMetadata + Error + 'static,
{
    loop {
        match stream.recv().await {
            Ok(Some(event)) => {
                note(&event, seen);
                if Some(seen.event()) == call.take {
                    return;
                }
            }
            Ok(None) => return,
            Err(failure) => {
                seen.event();
                return broke(&failure, seen);
            }
        }
    }
}

/// An event of ConverseStream.
pub fn converse_event(event: &ConverseStreamOutput, seen: &mut Seen) {
    match event {
        ConverseStreamOutput::ContentBlockDelta(event) => {
            if let Some(ContentBlockDelta::Text(text)) = event.delta() {
                seen.text(text);
            }
        }
        ConverseStreamOutput::MessageStop(event) => seen.set("stop_reason", event.stop_reason().as_str()),
        ConverseStreamOutput::Metadata(event) => seen.set_some("usage", event.usage().map(usage)),
        _ => {}
    }
}

/// An event of InvokeModelWithResponseStream.
pub fn response_event(event: &ResponseStream, seen: &mut Seen) {
    if let ResponseStream::Chunk(part) = event {
        let bytes = part.bytes().map(Blob::as_ref).unwrap_or_default();
        seen.inner(&serde_json::from_slice(bytes).unwrap_or_default());
    }
}

/// Talks to a model in both directions: each event is sent when the one before was answered.
pub async fn both_ways(client: &Client, call: &Call, seen: &mut Seen) {
    let (ask, asked) = channel(1);
    let input = EventStreamSender::from(Asked(asked));
    let answer = client
        .invoke_model_with_bidirectional_stream()
        .model_id(&call.model)
        .body(input)
        .send()
        .await;
    let Some(answer) = answered(answer, seen) else {
        return;
    };
    let mut stream = answer.body;
    for event in call.body["events"].as_array().into_iter().flatten() {
        let part = BidirectionalInputPayloadPart::builder()
            .bytes(Blob::new(event.to_string()))
            .build();
        if ask.send(Input::Chunk(part)).await.is_err() {
            return seen.error("Incomplete", "the request ended early");
        }
        // The end of the session is answered by the rest of the stream, everything else by one event.
        if event["event"].get("sessionEnd").is_some() {
            break;
        }
        match stream.recv().await {
            Ok(Some(event)) => said(&event, seen),
            Ok(None) => return seen.error("Incomplete", "the response ended early"),
            Err(failure) => return broke(&failure, seen),
        }
    }
    drop(ask);
    loop {
        match stream.recv().await {
            Ok(Some(event)) => said(&event, seen),
            Ok(None) => return,
            Err(failure) => return broke(&failure, seen),
        }
    }
}

/// What is still to be sent, as the stream that the SDK wants.
#[derive(Debug)]
struct Asked(Receiver<Input>);

impl Stream for Asked {
    type Item = Result<Input, InputError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }
}

fn said(event: &Output, seen: &mut Seen) {
    seen.event();
    if let Output::Chunk(part) = event {
        let bytes = part.bytes().map(Blob::as_ref).unwrap_or_default();
        let event: Value = serde_json::from_slice(bytes).unwrap_or_default();
        seen.text(
            event["event"]["textOutput"]["content"]
                .as_str()
                .unwrap_or_default(),
        );
        seen.set_some("stop_reason", event["event"]["contentEnd"]["stopReason"].as_str());
    }
}

fn usage(usage: &TokenUsage) -> Value {
    json!({
        "inputTokens": usage.input_tokens(),
        "outputTokens": usage.output_tokens(),
        "totalTokens": usage.total_tokens(),
    })
}
