//! Just enough of `application/vnd.amazon.eventstream` for a client without an SDK; checksums are not looked at.

use serde_json::Value;

/// A frame: the headers that matter, and the payload.
#[derive(Debug)]
pub struct Frame {
    /// `:event-type` or `:exception-type`.
    pub kind: String,
    /// Whether it is an exception.
    pub exception: bool,
    /// Payload, if it is JSON.
    pub payload: Value,
}

/// Cuts the whole frames off the front of a buffer.
pub fn whole(buffer: &mut Vec<u8>) -> Vec<Frame> {
    let mut found = Vec::new();
    while buffer.len() >= 16 {
        let number =
            |at: usize| u32::from_be_bytes(buffer[at..at + 4].try_into().expect("four bytes")) as usize;
        let (total, headers) = (number(0), number(4));
        if buffer.len() < total {
            break;
        }
        let frame: Vec<u8> = buffer.drain(..total).collect();
        let mut of = Frame {
            kind: String::new(),
            exception: false,
            payload: serde_json::from_slice(&frame[12 + headers..total - 4]).unwrap_or_default(),
        };
        let mut rest = &frame[12..12 + headers];
        while let [name_length, after @ ..] = rest {
            let (name, after) = after.split_at(usize::from(*name_length));
            assert_eq!(after[0], 7, "the header is a string");
            let length = usize::from(u16::from_be_bytes([after[1], after[2]]));
            let (value, after) = after[3..].split_at(length);
            match name {
                b":event-type" => of.kind = String::from_utf8_lossy(value).into_owned(),
                b":exception-type" => {
                    of.kind = String::from_utf8_lossy(value).into_owned();
                    of.exception = true;
                }
                _ => {}
            }
            rest = after;
        }
        found.push(of);
    }
    found
}

/// Bytes of a base64 text (RFC 4648, section 4).
pub fn from_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(digit).collect();
    digits
        .chunks(4)
        .flat_map(|four| {
            let bits = four
                .iter()
                .fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit))
                << (6 * (4 - four.len()));
            bits.to_be_bytes()[1..four.len()].to_vec()
        })
        .collect()
}
