//! HTTP/1.1.

use std::fmt::Write as _;

use tracer_user::event::Direction;

use super::Passed;
use crate::recording::{Message, Recording};

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Chunks for a stream, else its length.
    Recorded,
    /// Chunks.
    Chunked,
}

/// Bytes of a chunk: a length that shares no boundary with frames or pieces.
const CHUNK: usize = 997;

const TO_STRING: &str = "a string takes everything";

pub(super) fn serve(recording: &Recording, framing: Framing) -> Passed {
    let Recording {
        method,
        host,
        path,
        request,
        status,
        response,
        streamed,
        ..
    } = recording;
    let chunked = framing == Framing::Chunked;
    let start = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    let request = message(start, request, chunked);
    let start = format!("HTTP/1.1 {status} Recorded\r\n");
    let response = message(start, response, chunked || *streamed);
    vec![(Direction::Write, request), (Direction::Read, response)]
}

fn message(mut head: String, message: &Message, chunked: bool) -> Vec<u8> {
    let Message { fields, body } = message;
    for (name, value) in fields {
        write!(head, "{name}: {value}\r\n").expect(TO_STRING);
    }
    if !chunked {
        write!(head, "Content-Length: {}\r\n\r\n", body.len()).expect(TO_STRING);
        return [head.as_bytes(), body].concat();
    }
    head.push_str("Transfer-Encoding: chunked\r\n\r\n");
    let mut bytes = head.into_bytes();
    for chunk in body.chunks(CHUNK) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
