//! Frames of `application/vnd.amazon.eventstream`, encoded by AWS's own crate.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use serde_json::Value;

const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Encodes the frames of one stream.
#[derive(Debug, Default)]
pub(super) struct FrameEncoder {
    count: usize,
}

impl FrameEncoder {
    /// An event with a JSON payload; like Bedrock, adds the padding key `p` whose length varies from frame to frame.
    pub(super) fn event(&mut self, kind: &str, mut payload: Value) -> Bytes {
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
    pub(super) fn exception(&mut self, member: &str, payload: &Value) -> Bytes {
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

/// Takes the envelopes that a client signs off their frames (bedrock-runtime's bidirectional stream): each is a frame
/// with a date and a signature, and its payload is the frame that is meant.
#[derive(Debug, Default)]
pub(super) struct EnvelopeReader {
    decoder: MessageFrameDecoder,
    held: BytesMut,
}

impl EnvelopeReader {
    /// JSON of the `chunk` events that are whole now, in order; an empty one is the end. The error says what is wrong.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Vec<Chunk>, String> {
        self.held.extend_from_slice(bytes);
        let mut chunks = Vec::new();
        while let DecodedFrame::Complete(envelope) = self
            .decoder
            .decode_frame(&mut self.held)
            .map_err(|error| format!("An envelope does not read: {error}"))?
        {
            chunks.push(Chunk::of(&envelope)?);
        }
        Ok(chunks)
    }
}

/// What an envelope holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Chunk {
    /// An event's JSON.
    Event(Value),
    /// The signed nothing that ends the stream.
    End,
}

impl Chunk {
    fn of(envelope: &Message) -> Result<Self, String> {
        let header = |name: &str| {
            envelope
                .headers()
                .iter()
                .find(|header| header.name().as_str() == name)
                .map(Header::value)
        };
        let Some(HeaderValue::Timestamp(_)) = header(":date") else {
            return Err("An envelope has no date.".to_owned());
        };
        match header(":chunk-signature") {
            Some(HeaderValue::ByteArray(signature)) if signature.len() == 32 => {}
            _ => return Err("An envelope is not signed.".to_owned()),
        }
        if envelope.payload().is_empty() {
            return Ok(Self::End);
        }
        let inner = read_message_from(&mut envelope.payload().clone())
            .map_err(|error| format!("The frame in an envelope does not read: {error}"))?;
        let chunk: Value = serde_json::from_slice(inner.payload()).map_err(|error| error.to_string())?;
        let bytes = chunk["bytes"].as_str().ok_or("A chunk has no bytes.")?;
        let json = STANDARD.decode(bytes).map_err(|error| error.to_string())?;
        Ok(Self::Event(
            serde_json::from_slice(&json).map_err(|error| error.to_string())?,
        ))
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

fn encode(headers: &[(&'static str, &str)], payload: &Value) -> Bytes {
    let headers = headers
        .iter()
        .map(|(name, value)| Header::new(*name, HeaderValue::String((*value).to_owned().into())))
        .collect();
    let message = Message::new_from_parts(headers, payload.to_string());
    let mut buffer = Vec::new();
    write_message_to(&message, &mut buffer).expect("a frame of a few KiB encodes");
    buffer.into()
}
