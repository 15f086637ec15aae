//! A decoded frame: typed headers and a payload.

use std::fmt;

/// A frame whose checksums hold, borrowed from the input or the decoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Message<'a> {
    /// The headers, in order.
    pub headers: Headers<'a>,
    /// The payload, as it came.
    pub payload: &'a [u8],
}

/// What a message says it is; the Smithy event-stream specification names the headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind<'a> {
    /// `:message-type` is `event`.
    Event {
        /// `:event-type`, for example `contentBlockDelta`.
        event_type: &'a str,
    },
    /// `:message-type` is `exception`: a modelled error ends the stream.
    Exception {
        /// `:exception-type`, for example `throttlingException`.
        exception_type: &'a str,
    },
    /// `:message-type` is `error`: an error outside the model ends the stream.
    Error {
        /// `:error-code`.
        code: Option<&'a str>,
        /// `:error-message`.
        message: Option<&'a str>,
    },
    /// No known `:message-type`, or its companion header is missing.
    Unknown,
}

impl<'a> Message<'a> {
    /// Sorts the message by its `:message-type`.
    pub fn kind(&self) -> MessageKind<'a> {
        let kind = match self.string(":message-type") {
            Some("event") => self
                .string(":event-type")
                .map(|event_type| MessageKind::Event { event_type }),
            Some("exception") => self
                .string(":exception-type")
                .map(|exception_type| MessageKind::Exception { exception_type }),
            Some("error") => Some(MessageKind::Error {
                code: self.string(":error-code"),
                message: self.string(":error-message"),
            }),
            _ => None,
        };
        kind.unwrap_or(MessageKind::Unknown)
    }

    /// First header of that name, if it is a string.
    pub fn string(&self, name: &str) -> Option<&'a str> {
        match self.header(name)? {
            HeaderValue::String(value) => Some(value),
            _ => None,
        }
    }

    /// First header of that name. Names are compared exactly.
    pub fn header(&self, name: &str) -> Option<HeaderValue<'a>> {
        self.headers
            .iter()
            .find(|header| header.name == name)
            .map(|header| header.value)
    }
}

/// The header section of a message, known to parse to its end.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    /// Checks a header section; `None` if some of it is not a header.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = Header::parse(rest)?.1;
        }
        Some(Self(bytes))
    }

    /// The section as it came.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The headers in order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (header, after) = Header::parse(rest)?;
            rest = after;
            Some(header)
        })
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_map()
            .entries(self.iter().map(|header| (header.name, header.value)))
            .finish()
    }
}

/// A name and a typed value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Header<'a> {
    /// The name; those of the protocol begin with `:`.
    pub name: &'a str,
    /// The value.
    pub value: HeaderValue<'a>,
}

/// The ten value types of the format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeaderValue<'a> {
    /// Types 0 (true) and 1 (false).
    Bool(bool),
    /// Type 2.
    Byte(i8),
    /// Type 3.
    Int16(i16),
    /// Type 4.
    Int32(i32),
    /// Type 5.
    Int64(i64),
    /// Type 6, with a length of 16 bits.
    Bytes(&'a [u8]),
    /// Type 7, with a length of 16 bits; UTF-8.
    String(&'a str),
    /// Type 8, milliseconds since the Unix epoch.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

impl<'a> Header<'a> {
    /// `u8 name length, name, u8 type, value`; an empty name is refused, as the AWS SDK for Rust does.
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&length, rest) = bytes.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(length))?;
        let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
        let (&kind, rest) = rest.split_first()?;
        let (value, rest) = match kind {
            0 => (HeaderValue::Bool(true), rest),
            1 => (HeaderValue::Bool(false), rest),
            2 => fixed(rest, |bytes| HeaderValue::Byte(i8::from_be_bytes(bytes)))?,
            3 => fixed(rest, |bytes| HeaderValue::Int16(i16::from_be_bytes(bytes)))?,
            4 => fixed(rest, |bytes| HeaderValue::Int32(i32::from_be_bytes(bytes)))?,
            5 => fixed(rest, |bytes| HeaderValue::Int64(i64::from_be_bytes(bytes)))?,
            6 => sized(rest).map(|(value, rest)| (HeaderValue::Bytes(value), rest))?,
            7 => {
                let (value, rest) = sized(rest)?;
                (HeaderValue::String(std::str::from_utf8(value).ok()?), rest)
            }
            8 => fixed(rest, |bytes| HeaderValue::Timestamp(i64::from_be_bytes(bytes)))?,
            9 => fixed(rest, HeaderValue::Uuid)?,
            _ => return None,
        };
        Some((Self { name, value }, rest))
    }
}

fn fixed<'a, const LENGTH: usize>(
    bytes: &'a [u8],
    value: impl FnOnce([u8; LENGTH]) -> HeaderValue<'a>,
) -> Option<(HeaderValue<'a>, &'a [u8])> {
    let (head, rest) = bytes.split_first_chunk::<LENGTH>()?;
    Some((value(*head), rest))
}

fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
