//! The version-neutral shape of HTTP: what `wire/` hands to `bedrock/`, for HTTP/1 and HTTP/2 alike.
//!
//! One exchange is a request and its response: heads, body parts in the order and at the time they passed, and an end
//! that says whether all of it was seen. Bodies are decoded already (transfer and content codings undone).

use std::borrow::Cow;

use crate::event::{ConnectionKey, Monotonic};

/// Receives what happens on a connection, in order. Exchanges of one connection may interleave (pipelining, HTTP/2).
pub trait HttpSink {
    /// One more thing happened.
    fn http(&mut self, connection: ConnectionKey, exchange: ExchangeNumber, event: HttpEvent<'_>);

    /// Of this connection only one direction will be seen: its exchanges have no response, or no request.
    fn unpaired(&mut self, connection: ConnectionKey);

    /// The connection carries no HTTP calls of this process: another protocol, one not read yet, or the process is the
    /// server. No exchange of it follows.
    fn foreign(&mut self, connection: ConnectionKey);

    /// The connection is gone and all its exchanges have ended: what is kept for it may go.
    fn gone(&mut self, connection: ConnectionKey);
}

/// Counts the exchanges of one connection, in the order their requests (or, joined late, responses) began. Starts at the
/// stream offset of the first byte seen: 0, unless the connection is taken up again after it was evicted. So no number
/// comes twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeNumber(pub u64);

/// A part of an exchange. `End` comes exactly once and last; everything else at most in the order listed.
#[derive(Debug)]
pub enum HttpEvent<'a> {
    /// The request head is complete.
    Request {
        /// Method, target and fields.
        head: RequestHead<'a>,
        /// Arrival of its first byte.
        time: Monotonic,
        /// Thread that wrote it.
        thread: u32,
    },
    /// Some of the request body.
    RequestBody {
        /// Bytes or hole.
        part: BodyPart<'a>,
        /// When it passed.
        time: Monotonic,
    },
    /// The request body is complete.
    RequestEnd {
        /// When its last byte passed.
        time: Monotonic,
    },
    /// The final response head (1xx heads are not handed on) is complete.
    Response {
        /// Status and fields.
        head: ResponseHead<'a>,
        /// Arrival of its first byte.
        time: Monotonic,
    },
    /// Some of the response body.
    ResponseBody {
        /// Bytes or hole.
        part: BodyPart<'a>,
        /// When it passed.
        time: Monotonic,
    },
    /// Nothing more comes of this exchange.
    End {
        /// How it ended.
        completion: Completion,
        /// When.
        time: Monotonic,
    },
}

impl HttpEvent<'_> {
    /// When it passed.
    pub fn time(&self) -> Monotonic {
        match self {
            Self::Request { time, .. }
            | Self::RequestBody { time, .. }
            | Self::RequestEnd { time }
            | Self::Response { time, .. }
            | Self::ResponseBody { time, .. }
            | Self::End { time, .. } => *time,
        }
    }
}

/// Some of a body, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyPart<'a> {
    /// Decoded bytes.
    Bytes(&'a [u8]),
    /// Bytes that were not seen or could not be decoded.
    Hole(Hole),
}

/// Missing bytes in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// How many, where that is known; counted before content decoding.
    pub length: Option<u64>,
    /// Why they are missing.
    pub reason: HoleReason,
}

/// Why bytes of a body are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoleReason {
    /// The kernel side did not hand them over.
    Lost,
    /// The content coding is broken, unknown, or would expand beyond the cap.
    Undecodable,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Completion {
    /// Request and response were seen to their ends. (Holes within are told by the body parts.) Also when the server
    /// answered early and the connection ended before the rest of the request was sent.
    Complete,
    /// The connection was closed, or its process ended, before the response was complete.
    Closed(Phase),
    /// The bytes stopped being HTTP, or a hole hid where the message ends.
    Desynchronised(Phase),
    /// Nothing came for so long that it was given up.
    TimedOut(Phase),
    /// Tracing stopped while it was under way.
    TracingStopped(Phase),
    /// A table was full and this exchange had to make room.
    Evicted(Phase),
    /// The connection left HTTP (`101 Switching Protocols`, `CONNECT`).
    Upgraded,
}

/// How far an exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The request was not complete.
    Request,
    /// The request was complete; no response had begun.
    Waiting,
    /// The response had begun.
    Response,
}

/// Request line (or pseudo-header fields) and fields.
#[derive(Debug, Clone)]
pub struct RequestHead<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Request target as sent: path and query, still percent-encoded.
    pub target: &'a str,
    /// Protocol version.
    pub version: Version,
    /// Header fields in order.
    pub fields: Fields<'a>,
}

/// Status line (or `:status`) and fields.
#[derive(Debug, Clone)]
pub struct ResponseHead<'a> {
    /// Status code.
    pub status: u16,
    /// Protocol version.
    pub version: Version,
    /// Header fields in order.
    pub fields: Fields<'a>,
}

/// Version of HTTP that carried a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// Header fields as they came; names compare without regard to case.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a> {
    fields: Vec<(Cow<'a, str>, Cow<'a, [u8]>)>,
    is_partial: bool,
}

impl<'a> Fields<'a> {
    /// No fields yet, with room for so many.
    pub fn with_capacity(count: usize) -> Self {
        Self {
            fields: Vec::with_capacity(count),
            is_partial: false,
        }
    }

    /// There are fields that could not be understood: their names or values were told before anybody listened (RFC 7541).
    pub fn set_partial(&mut self) {
        self.is_partial = true;
    }

    /// Whether a field that is not here may have been sent all the same.
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, [u8]>>) {
        self.fields.push((name.into(), value.into()));
    }

    /// First value of a field, if it is UTF-8; surrounding white space is cut off.
    pub fn get<'f>(&'f self, name: &'f str) -> Option<&'f str> {
        self.values(name).next()
    }

    /// All values of a field that are UTF-8.
    pub fn values<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> + 'f {
        self.fields
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .filter_map(|(_, value)| std::str::from_utf8(value).ok())
            .map(str::trim)
    }

    /// Every field in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}
