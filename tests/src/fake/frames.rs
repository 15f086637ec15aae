//! Frames of `application/vnd.amazon.eventstream`, encoded by AWS's own crate.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::Value;

const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Encodes the frames of one stream.
#[derive(Debug, Default)]
pub(super) struct FrameEncoder {
    count: usize,
}

impl FrameEncoder {
    /// An event with a JSON payload; like Bedrock, adds the padding key `p` whose length varies from frame to frame.
    pub(super) fn event(&mut self, kind: &'static str, mut payload: Value) -> Bytes {
        let length = self.count * 37 % PADDING.len();
        self.count += 1;
        if let Some(object) = payload.as_object_mut() {
            object.insert("p".to_owned(), Value::from(&PADDING[..length]));
        }
        encode(
            &[
                (":event-type", kind),
                (":content-type", "application/json"),
                (":message-type", "event"),
            ],
            &payload,
        )
    }

    /// An exception: the last frame of a stream that fails under way.
    pub(super) fn exception(&mut self, member: &'static str, payload: &Value) -> Bytes {
        self.count += 1;
        encode(
            &[
                (":exception-type", member),
                (":content-type", "application/json"),
                (":message-type", "exception"),
            ],
            payload,
        )
    }
}

/// The same frame with one bit of the payload turned over, so that its checksum is wrong.
pub(super) fn corrupt(frame: &Bytes) -> Bytes {
    const MESSAGE_CRC: usize = 4;
    let mut bytes = frame.to_vec();
    let last_of_payload = bytes.len().saturating_sub(MESSAGE_CRC + 1);
    if let Some(byte) = bytes.get_mut(last_of_payload) {
        *byte ^= 1;
    }
    bytes.into()
}

fn encode(headers: &[(&'static str, &'static str)], payload: &Value) -> Bytes {
    let headers = headers
        .iter()
        .map(|(name, value)| Header::new(*name, HeaderValue::String((*value).into())))
        .collect();
    let message = Message::new_from_parts(headers, payload.to_string());
    let mut buffer = Vec::new();
    write_message_to(&message, &mut buffer).expect("a frame of a few KiB encodes");
    buffer.into()
}
