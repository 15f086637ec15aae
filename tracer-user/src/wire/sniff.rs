//! What a connection speaks, told from the first bytes of a call.

use crate::hpack::frame;

/// Most bytes that are needed to tell: the preface of HTTP/2 and what may stand before it.
pub(super) const SNIFFED_MAX: usize = HTTP2_PREFACE.len() + EMPTY_LINES_MAX;

/// Most bytes of empty lines before a message (RFC 9112 §2.2).
const EMPTY_LINES_MAX: usize = 4;

/// What some bytes at the start of a call begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// An HTTP/1 request.
    Request,
    /// An HTTP/1 response.
    Response,
    /// The client preface of HTTP/2 (RFC 9113 §3.4).
    Http2Client,
    /// The first frame of an HTTP/2 server: SETTINGS on stream 0 (RFC 9113 §6.5).
    Http2Server,
    /// Nothing of these.
    Other,
    /// More bytes are needed to tell.
    Undecided,
}

/// Tells what `bytes`, the first of a call, begin.
pub(super) fn start(bytes: &[u8]) -> Start {
    let empty = bytes
        .iter()
        .take(EMPTY_LINES_MAX)
        .take_while(|byte| b"\r\n".contains(byte))
        .count();
    let bytes = bytes.get(empty..).unwrap_or_default();
    let of = |whole: &[u8], found| {
        if bytes.starts_with(whole) {
            Some(found)
        } else if whole.starts_with(bytes) {
            Some(Start::Undecided)
        } else {
            None
        }
    };
    // Nothing may stand before the preface.
    None.or_else(|| of(HTTP2_PREFACE, Start::Http2Client).filter(|_| empty == 0))
        // No method of HTTP/1 is called so, for just this reason.
        .or_else(|| bytes.starts_with(b"PRI ").then_some(Start::Other))
        .or_else(|| of(b"HTTP/1.1 ", Start::Response))
        .or_else(|| of(b"HTTP/1.0 ", Start::Response))
        .or_else(|| request(bytes))
        .or_else(|| http2_settings(bytes))
        .unwrap_or(Start::Other)
}

/// Whether a call in the middle of a connection begins with a frame of HTTP/2; `None` while it may. It takes a whole frame
/// header to tell.
pub(super) fn goes_on_in_http2(call: &[u8]) -> Option<bool> {
    let may = frame::resumes(call, frame::DEFAULT_MAX_FRAME_SIZE);
    (!may || call.len() >= frame::FrameHeader::LENGTH).then_some(may)
}

/// A request line: a method in capitals, a space, and a target as RFC 9112 §3.2 knows them.
fn request(bytes: &[u8]) -> Option<Start> {
    let method_length = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-')
        .count();
    let undecided = (method_length <= METHOD_MAX).then_some(Start::Undecided);
    match bytes.get(method_length..)? {
        [] => undecided,
        _ if !(METHOD_MIN..=METHOD_MAX).contains(&method_length) => None,
        [b' '] => undecided,
        [b' ', first, ..] if first.is_ascii_alphanumeric() || b"/*[".contains(first) => Some(Start::Request),
        _ => None,
    }
}

fn http2_settings(bytes: &[u8]) -> Option<Start> {
    // Length (24 bits, a multiple of 6 and small), type 4, flags 0, stream 0.
    let [length @ .., 4, 0, 0, 0, 0, 0] = bytes.get(..9).unwrap_or(bytes) else {
        let may_become = bytes.len() < 9
            && bytes.iter().take(2).all(|byte| *byte == 0)
            && bytes.get(2).is_none_or(|length| length % 6 == 0)
            && bytes.get(3).is_none_or(|kind| *kind == 4)
            && bytes.iter().skip(4).all(|byte| *byte == 0);
        return may_become.then_some(Start::Undecided);
    };
    matches!(length, [0, 0, length] if length % 6 == 0).then_some(Start::Http2Server)
}

const HTTP2_PREFACE: &[u8] = frame::PREFACE;

/// `GET` and `PUT` are the shortest methods.
const METHOD_MIN: usize = 3;

/// `UPDATEREDIRECTREF` is the longest registered method.
const METHOD_MAX: usize = 17;

#[cfg(test)]
mod tests {
    use super::{SNIFFED_MAX, Start, start};

    #[test]
    fn the_first_bytes_of_each_protocol_are_told_apart() {
        for (bytes, expected) in [
            (&b"POST /model/m/converse HTTP/1.1\r\n"[..], Start::Request),
            (b"CONNECT [::1]:443 HTTP/1.1\r\n", Start::Request),
            (b"OPTIONS * HTTP/1.1\r\n", Start::Request),
            (b"UPDATEREDIRECTREF /a HTTP/1.1\r\n", Start::Request),
            (b"HTTP/1.1 200 OK\r\n", Start::Response),
            (b"HTTP/1.0 200\r\n", Start::Response),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0", Start::Http2Client),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03", Start::Http2Server),
            (b"\0\0\0\x04\0\0\0\0\0", Start::Http2Server),
            (b"*3\r\n$3\r\nSET\r\n", Start::Other),
            (b"220 mail ESMTP\r\n", Start::Other),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Start::Other),
            (b"\r\n\r\nGET /a HTTP/1.1\r\n", Start::Request),
            (b"\r\n", Start::Undecided),
            (b"GE", Start::Undecided),
            (b"HTTP/1", Start::Undecided),
            (b"HTTP/3.0 2", Start::Other),
            (b"PRI * HTTP/1.1\r\n", Start::Other),
            (b"", Start::Undecided),
        ] {
            assert_eq!(start(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn so_many_bytes_always_tell() {
        for byte in 0..=u8::MAX {
            assert_ne!(start(&[byte; SNIFFED_MAX]), Start::Undecided);
        }
    }
}
