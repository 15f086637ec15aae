//! Heads: request and status lines, fields, and what they say about the body.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig};
use memchr::memchr;

use super::body::Framing;
use super::chunked::Chunks;
use crate::http::{Fields, RequestHead, ResponseHead, Version};

/// Most fields of one head. botocore stops at 100.
pub(super) const FIELDS_MAX: usize = 256;

/// A request head and what follows it.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) head: RequestHead<'a>,
    pub(super) method: Method,
    /// How the body ends; none when the fields contradict each other.
    pub(super) framing: Option<Framing>,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

/// A response head, final or not.
#[derive(Debug)]
pub(super) struct Response<'a> {
    pub(super) head: ResponseHead<'a>,
    /// How the body ends as far as the response alone tells; none when the fields contradict each other.
    pub(super) framing: Option<Framing>,
}

/// Methods that change what the response means (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Connect,
    Other,
}

/// Length of the head at the front of `bytes`, its empty line included. The first `scanned` bytes are known not to hold
/// the end. A bare line feed ends a line too (RFC 9112 §2.2).
pub(super) fn length(bytes: &[u8], scanned: usize) -> Option<usize> {
    // The last two bytes scanned may be the beginning of the end.
    let mut at = scanned.saturating_sub(2);
    loop {
        let rest = bytes.get(at..)?;
        at += memchr(b'\n', rest)? + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

/// Reads a whole request head; none when it is not one.
pub(super) fn request(bytes: &[u8]) -> Option<Request<'_>> {
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    ParserConfig::default()
        .allow_multiple_spaces_in_request_line_delimiters(true)
        .ignore_invalid_headers_in_requests(true)
        .parse_request_with_uninit_headers(&mut parsed, bytes, &mut slots)
        .ok()
        .filter(httparse::Status::is_complete)?;
    let method = parsed.method?;
    let head = RequestHead {
        method,
        target: parsed.path?,
        version: version(parsed.version)?,
        fields: fields(parsed.headers),
    };
    let framing = match transfer_codings(&head.fields) {
        // RFC 9112 §6.1: the transfer coding overrides the length; §6.3: a request must end with chunked.
        Some(TransferCodings { chunked: true }) => Some(Framing::Chunked(Chunks::new())),
        Some(TransferCodings { chunked: false }) => None,
        None => content_length(&head.fields).map(|length| Framing::Length(length.unwrap_or(0))),
    };
    let expects_continue = head
        .fields
        .values("expect")
        .any(|value| value.eq_ignore_ascii_case("100-continue"));
    Some(Request {
        method: match method {
            "HEAD" => Method::Head,
            "CONNECT" => Method::Connect,
            _ => Method::Other,
        },
        framing,
        expects_continue,
        head,
    })
}

/// Reads a whole response head; none when it is not one.
pub(super) fn response(bytes: &[u8]) -> Option<Response<'_>> {
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    ParserConfig::default()
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .parse_response_with_uninit_headers(&mut parsed, bytes, &mut slots)
        .ok()
        .filter(httparse::Status::is_complete)?;
    let head = ResponseHead {
        status: parsed.code?,
        version: version(parsed.version)?,
        fields: fields(parsed.headers),
    };
    let framing = match transfer_codings(&head.fields) {
        Some(TransferCodings { chunked: true }) => Some(Framing::Chunked(Chunks::new())),
        Some(TransferCodings { chunked: false }) => Some(Framing::UntilClose),
        None => {
            content_length(&head.fields).map(|length| length.map_or(Framing::UntilClose, Framing::Length))
        }
    };
    Some(Response { head, framing })
}

/// Replaces each line fold by spaces (RFC 9112 §5.2), so that every field is one line.
pub(super) fn unfold(bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let folded = |bytes: &[u8], at: usize| matches!(bytes.get(at + 1), Some(b' ' | b'\t'));
    if !memchr::memchr_iter(b'\n', &bytes).any(|at| folded(&bytes, at)) {
        return bytes;
    }
    let mut bytes = bytes.into_owned();
    let folds: Vec<usize> = memchr::memchr_iter(b'\n', &bytes)
        .filter(|at| folded(&bytes, *at))
        .collect();
    for at in folds {
        for at in at.saturating_sub(1)..=at {
            if let Some(byte @ (b'\r' | b'\n')) = bytes.get_mut(at) {
                *byte = b' ';
            }
        }
    }
    Cow::Owned(bytes)
}

/// Codings that the body went through, in the order they were applied.
pub(in super::super) fn codings<'f>(fields: &'f Fields<'_>) -> impl Iterator<Item = &'f str> {
    fields
        .values("content-encoding")
        .chain(fields.values("transfer-encoding"))
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|coding| !coding.eq_ignore_ascii_case("chunked"))
}

struct TransferCodings {
    /// The last of them is `chunked`.
    chunked: bool,
}

fn transfer_codings(fields: &Fields<'_>) -> Option<TransferCodings> {
    fields
        .values("transfer-encoding")
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
        .last()
        .map(|last| TransferCodings {
            chunked: last.eq_ignore_ascii_case("chunked"),
        })
}

/// `Content-Length`; the outer none when it is no number or several different ones (RFC 9112 §6.3).
#[expect(
    clippy::option_option,
    reason = "invalid, absent and present differ in what follows"
)]
fn content_length(fields: &Fields<'_>) -> Option<Option<u64>> {
    let mut length = None;
    for (name, value) in fields.iter() {
        if !name.eq_ignore_ascii_case("content-length") {
            continue;
        }
        for value in value.split(|byte| *byte == b',') {
            let value = value.trim_ascii();
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let value = str::from_utf8(value).ok()?.parse::<u64>().ok()?;
            if length.is_some_and(|length| length != value) {
                return None;
            }
            length = Some(value);
        }
    }
    Some(length)
}

fn version(minor: Option<u8>) -> Option<Version> {
    Some(match minor? {
        0 => Version::Http10,
        _ => Version::Http11,
    })
}

fn fields<'a>(headers: &[Header<'a>]) -> Fields<'a> {
    let mut fields = Fields::with_capacity(headers.len());
    for Header { name, value } in headers {
        fields.push(*name, *value);
    }
    fields
}
