//! What a packet cannot carry, as one line of text in the comment of its block.
//!
//! Text since Wireshark shows it and keeps it when it saves a file; fixed order since it is parsed once per packet.
//!
//! ```text
//! geophone data pid=812 start=5530000000 ssl=0x55d0 gen=1 dir=read tid=813 time=91 offset=0 call=0+213 late=0 alone=0 crc=1f0c22d4
//! geophone open pid=812 start=5530000000 ssl=0x55d0 gen=1 time=90 crc=5512aa01
//! geophone close pid=812 start=5530000000 ssl=0x55d0 gen=1 time=99 crc=00aa41fe
//! geophone event crc=9a8b7c6d
//! ```
//!
//! `crc` is the CRC-32 (IEEE 802.3) of the payload followed by the line up to and including `crc=`: a flipped bit in
//! either is found, and the event is left out rather than believed.

use std::fmt::Write as _;

use super::MARK;
use crate::event::{ConnectionKey, Data, Direction, Monotonic, ProcessKey};

/// A parsed comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comment {
    /// The payload of the TCP segment is plaintext.
    Data(DataFacts),
    /// The connection object was created.
    Open {
        connection: ConnectionKey,
        time: Monotonic,
    },
    /// The connection object was freed.
    Close {
        connection: ConnectionKey,
        time: Monotonic,
    },
    /// The payload is a JSON object, see [`super::json`].
    Event,
}

/// All of a [`Data`] but its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DataFacts {
    pub(super) connection: ConnectionKey,
    pub(super) direction: Direction,
    pub(super) thread: u32,
    pub(super) time: Monotonic,
    pub(super) stream_offset: u64,
    pub(super) call_length: u64,
    pub(super) call_offset: u64,
    pub(super) joined_late: bool,
    pub(super) unpaired: bool,
}

impl DataFacts {
    pub(super) fn of(data: &Data<'_>) -> Self {
        let Data {
            connection,
            direction,
            thread,
            time,
            stream_offset,
            call_length,
            call_offset,
            joined_late,
            unpaired,
            bytes: _,
        } = data;
        Self {
            connection: *connection,
            direction: *direction,
            thread: *thread,
            time: *time,
            stream_offset: *stream_offset,
            call_length: *call_length,
            call_offset: *call_offset,
            joined_late: *joined_late,
            unpaired: *unpaired,
        }
    }

    pub(super) fn with_bytes(self, bytes: &[u8]) -> Data<'_> {
        Data {
            connection: self.connection,
            direction: self.direction,
            thread: self.thread,
            time: self.time,
            stream_offset: self.stream_offset,
            call_length: self.call_length,
            call_offset: self.call_offset,
            joined_late: self.joined_late,
            unpaired: self.unpaired,
            bytes: bytes.into(),
        }
    }
}

/// Why a comment that begins as ours says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommentError {
    /// Not the text that [`write`] makes.
    Malformed,
    /// The checksum belongs to another line or payload.
    Checksum,
}

/// Appends the comment of `facts` about `payload` to `line`.
pub(super) fn write(facts: &Comment, payload: &[u8], line: &mut String) {
    let start = line.len();
    line.push_str(MARK);
    // Writing to a string cannot fail.
    let _infallible = match facts {
        Comment::Data(data) => write_data(data, line),
        Comment::Open { connection, time } => write_moment("open ", *connection, *time, line),
        Comment::Close { connection, time } => write_moment("close ", *connection, *time, line),
        Comment::Event => {
            line.push_str("event ");
            Ok(())
        }
    };
    line.push_str(CRC);
    let crc = checksum(payload, line.get(start..).unwrap_or_default().as_bytes());
    let _infallible = write!(line, "{crc:08x}");
}

fn write_data(data: &DataFacts, line: &mut String) -> std::fmt::Result {
    line.push_str("data ");
    write_connection(data.connection, line)?;
    let direction = match data.direction {
        Direction::Read => "read",
        Direction::Write => "write",
    };
    let DataFacts {
        thread,
        time: Monotonic(time),
        stream_offset,
        call_offset,
        call_length,
        ..
    } = data;
    let late = u8::from(data.joined_late);
    let alone = u8::from(data.unpaired);
    write!(
        line,
        "dir={direction} tid={thread} time={time} offset={stream_offset} call={call_offset}+{call_length} late={late} alone={alone} "
    )
}

fn write_moment(
    kind: &str,
    connection: ConnectionKey,
    time: Monotonic,
    line: &mut String,
) -> std::fmt::Result {
    line.push_str(kind);
    write_connection(connection, line)?;
    write!(line, "time={} ", time.0)
}

fn write_connection(connection: ConnectionKey, line: &mut String) -> std::fmt::Result {
    let ConnectionKey {
        process: ProcessKey { pid, start_ns },
        address,
        generation,
    } = connection;
    write!(
        line,
        "pid={pid} start={start_ns} ssl={address:#x} gen={generation} "
    )
}

/// Parses the comment of a block with this payload.
pub(super) fn parse(line: &[u8], payload: &[u8]) -> Result<Comment, CommentError> {
    let mut rest = Rest(
        line.strip_prefix(MARK.as_bytes())
            .ok_or(CommentError::Malformed)?,
    );
    let (comment, sum) = parse_fields(&mut rest).ok_or(CommentError::Malformed)?;
    let summed = line.len().checked_sub(CRC_DIGITS).and_then(|end| line.get(..end));
    if checksum(payload, summed.unwrap_or_default()) == sum {
        Ok(comment)
    } else {
        Err(CommentError::Checksum)
    }
}

fn parse_fields(rest: &mut Rest<'_>) -> Option<(Comment, u32)> {
    let comment = if rest.skip("data ") {
        let connection = rest.connection()?;
        let direction = if rest.skip("dir=read ") {
            Direction::Read
        } else if rest.skip("dir=write ") {
            Direction::Write
        } else {
            return None;
        };
        Comment::Data(DataFacts {
            connection,
            direction,
            thread: rest.decimal("tid=", b' ')?.try_into().ok()?,
            time: Monotonic(rest.decimal("time=", b' ')?),
            stream_offset: rest.decimal("offset=", b' ')?,
            call_offset: rest.decimal("call=", b'+')?,
            call_length: rest.decimal("", b' ')?,
            joined_late: rest.yes_or_no("late=")?,
            // Not in format 1.
            unpaired: !rest.is_next(CRC) && rest.yes_or_no("alone=")?,
        })
    } else if rest.skip("open ") {
        Comment::Open {
            connection: rest.connection()?,
            time: Monotonic(rest.decimal("time=", b' ')?),
        }
    } else if rest.skip("close ") {
        Comment::Close {
            connection: rest.connection()?,
            time: Monotonic(rest.decimal("time=", b' ')?),
        }
    } else if rest.skip("event ") {
        Comment::Event
    } else {
        return None;
    };
    if !rest.skip(CRC) || rest.0.len() != CRC_DIGITS {
        return None;
    }
    let sum = u32::from_str_radix(std::str::from_utf8(rest.0).ok()?, 16).ok()?;
    Some((comment, sum))
}

/// What is left of the line.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// Goes beyond `text` if it is next.
    fn skip(&mut self, text: &str) -> bool {
        match self.0.strip_prefix(text.as_bytes()) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn is_next(&self, text: &str) -> bool {
        self.0.starts_with(text.as_bytes())
    }

    fn yes_or_no(&mut self, name: &str) -> Option<bool> {
        match self.decimal(name, b' ')? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn connection(&mut self) -> Option<ConnectionKey> {
        Some(ConnectionKey {
            process: ProcessKey {
                pid: self.decimal("pid=", b' ')?.try_into().ok()?,
                start_ns: self.decimal("start=", b' ')?,
            },
            address: self.hexadecimal("ssl=0x", b' ')?,
            generation: self.decimal("gen=", b' ')?.try_into().ok()?,
        })
    }

    fn decimal(&mut self, name: &str, end: u8) -> Option<u64> {
        self.number(name, end, |value, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit < 10).then_some(())?;
            value.checked_mul(10)?.checked_add(u64::from(digit))
        })
    }

    fn hexadecimal(&mut self, name: &str, end: u8) -> Option<u64> {
        self.number(name, end, |value, byte| {
            let digit = char::from(byte).to_digit(16)?;
            value.checked_mul(16)?.checked_add(u64::from(digit))
        })
    }

    /// `next` adds one more digit to a number.
    fn number(&mut self, name: &str, end: u8, next: impl Fn(u64, u8) -> Option<u64>) -> Option<u64> {
        if !self.skip(name) {
            return None;
        }
        let mut value = 0;
        for (index, &byte) in self.0.iter().enumerate() {
            if byte == end && index > 0 {
                self.0 = self.0.get(index + 1..)?;
                return Some(value);
            }
            value = next(value, byte)?;
        }
        None
    }
}

fn checksum(payload: &[u8], line: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(payload);
    hasher.update(line);
    hasher.finalize()
}

const CRC: &str = "crc=";
const CRC_DIGITS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_format_1_is_read() {
        let line = b"geophone data pid=812 start=5530000000 ssl=0x55d0 gen=1 dir=read tid=813 time=91 offset=0 call=0+213 late=1 crc=";
        let mut line = line.to_vec();
        let crc = checksum(b"payload", &line);
        line.extend(format!("{crc:08x}").bytes());
        let Ok(Comment::Data(facts)) = parse(&line, b"payload") else {
            panic!("not read")
        };
        assert!(facts.joined_late);
        assert!(!facts.unpaired, "format 1 knew of no such connection");
        assert_eq!(facts.call_length, 213);
    }
}
