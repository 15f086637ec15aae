//! Entries for the fuzzer; the tests call them too, on inputs of their own.

use super::Conversation;
use super::encoding::{DECODED_MAX, Decoder};
use crate::conn::Connections;
use crate::counters::{Counter, Counters};
use crate::event::ConnectionKey;
use crate::event::script::{Call, events};
use crate::hpack::frame::PREFACE;
use crate::http::{BodyPart, ExchangeNumber, HoleReason, HttpEvent, HttpSink};

/// A script of calls in one piece and in pieces: the same exchanges, each ended once, within bounded memory. The first byte
/// chooses the size of the pieces.
pub fn conversation(data: &[u8]) {
    let Some((&size, script)) = data.split_first() else {
        return;
    };
    let calls = Call::parse(script);
    let whole = converse(&calls, usize::MAX);
    for size in [1, usize::from(size).max(1)] {
        assert_eq!(
            converse(&calls, size),
            whole,
            "pieces of {size} bytes change the outcome"
        );
    }
}

/// A conversation over HTTP/2, made of frames that mostly are some, in one piece and in pieces: the same exchanges. The first
/// byte chooses the size of the pieces, and whether the beginning was seen; then come calls of one frame each: a byte with
/// direction, hole and lie, then kind, flags, stream and length of the payload, then the payload.
pub fn http2(data: &[u8]) {
    let Some((&first, mut rest)) = data.split_first() else {
        return;
    };
    let mut calls = Vec::new();
    if first & 1 == 0 {
        calls.push(Call::write(PREFACE));
        calls.push(Call::read(b"\0\0\0\x04\0\0\0\0\0"));
    }
    while let Some((&[control, kind, flags, stream, length], after)) = rest.split_first_chunk() {
        let (payload, after) = after
            .split_at_checked(usize::from(length))
            .unwrap_or((after, &[]));
        rest = after;
        // A length that is not that of the payload now and then.
        let told = if control & 8 == 0 {
            payload.len()
        } else {
            usize::from(length) + 3
        };
        let [high, low] = u16::try_from(told).unwrap_or(u16::MAX).to_be_bytes();
        let mut bytes = vec![0, high, low, kind % 11, flags, 0, 0, 0, stream % 8];
        bytes.extend_from_slice(payload);
        let call = Call {
            bytes: bytes.into(),
            ..if control & 1 == 0 {
                Call::write(&[])
            } else {
                Call::read(&[])
            }
        };
        calls.push(if control & 6 == 6 {
            call.after_hole(u64::from(control))
        } else {
            call
        });
    }
    let whole = converse(&calls, usize::MAX);
    for size in [1, usize::from(first / 2).max(1)] {
        assert_eq!(
            converse(&calls, size),
            whole,
            "pieces of {size} bytes change the outcome"
        );
    }
}

/// A coded body in one piece and in pieces. The first byte chooses the codings, the second the size of the pieces.
pub fn encoding(data: &[u8]) {
    let Some((&[codings, size], body)) = data.split_first_chunk() else {
        return;
    };
    let named = |choice: u8| CODINGS.get(usize::from(choice % 8)).copied();
    let codings: Vec<&str> = [codings, codings / 8].into_iter().filter_map(named).collect();
    let whole = decode(&codings, body, body.len().max(1));
    for size in [1, usize::from(size).max(1)] {
        assert_eq!(
            decode(&codings, body, size),
            whole,
            "pieces of {size} bytes change the outcome"
        );
    }
}

/// What comes out of a coded body, and how many holes were told.
fn decode(codings: &[&str], body: &[u8], size: usize) -> (Vec<u8>, u64) {
    let (mut decoded, mut holes) = (Vec::new(), 0);
    let mut counters = Counters::default();
    let mut decoder = Decoder::new(codings.iter().copied());
    let mut give = |part: BodyPart<'_>| match part {
        BodyPart::Bytes(bytes) => decoded.extend_from_slice(bytes),
        BodyPart::Hole(_) => holes += 1,
    };
    for piece in body.chunks(size) {
        decoder.push(BodyPart::Bytes(piece), &mut counters, &mut give);
        assert!(decoder.held() <= DECODER_HELD_MAX);
    }
    decoder.finish(&mut counters, &mut give);
    assert!(decoded.len() as u64 <= DECODED_MAX);
    assert!(holes <= 1 && holes == counters.get(Counter::BodiesUndecodable));
    (decoded, holes)
}

const CODINGS: [&str; 5] = ["gzip", "deflate", "br", "zstd", "identity"];

/// Two windows of 16 MiB and their tables.
const DECODER_HELD_MAX: usize = 40 << 20;

fn converse(calls: &[Call<'_>], size: usize) -> Log {
    let mut log = Log::default();
    let mut counters = Counters::default();
    let mut connections = Connections::<Conversation>::default();
    for (_, event) in events(calls, size) {
        connections.push(&event, &mut log, &mut counters);
    }
    connections.finish(&mut log, &mut counters);
    let known_to_be_foreign = log.lines.iter().any(|(line, _)| line.ends_with("foreign"));
    for (counter, count) in counters.iter() {
        // Nothing is counted on a foreign connection, and where in a call it was found out depends on the pieces.
        if count > 0 && !(counter == Counter::UnsynchronisedBytes && known_to_be_foreign) {
            log.line(format!("{} {count}", counter.name()));
        }
    }
    log
}

/// What was told, with the parts of bodies joined where they follow each other.
#[derive(Debug, Default, PartialEq, Eq)]
struct Log {
    lines: Vec<(String, Vec<u8>)>,
}

impl Log {
    fn line(&mut self, line: String) {
        self.lines.push((line, Vec::new()));
    }

    fn part(&mut self, whose: &str, part: &BodyPart<'_>) {
        let kind = match part {
            BodyPart::Bytes(_) => format!("{whose} bytes"),
            BodyPart::Hole(hole) => match hole.reason {
                HoleReason::Lost => format!("{whose} {hole:?}"),
                HoleReason::Undecodable => format!("{whose} undecodable"),
            },
        };
        let bytes: &[u8] = match part {
            BodyPart::Bytes(bytes) => bytes,
            BodyPart::Hole(_) => &[],
        };
        match self.lines.last_mut() {
            Some((last, all)) if *last == kind => all.extend_from_slice(bytes),
            _ => self.lines.push((kind, bytes.to_vec())),
        }
    }
}

impl HttpSink for Log {
    fn http(&mut self, connection: ConnectionKey, exchange: ExchangeNumber, event: HttpEvent<'_>) {
        let of = format!("{}.{} {}", connection.address, connection.generation, exchange.0);
        match event {
            HttpEvent::RequestBody { part, .. } => self.part(&format!("{of} request"), &part),
            HttpEvent::ResponseBody { part, .. } => self.part(&format!("{of} response"), &part),
            event => self.line(format!("{of} {event:?}")),
        }
    }

    fn unpaired(&mut self, _: ConnectionKey) {}

    fn foreign(&mut self, connection: ConnectionKey) {
        self.line(format!("{connection:?} foreign"));
    }

    fn gone(&mut self, connection: ConnectionKey) {
        self.line(format!("{connection:?} gone"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::{Call, conversation, encoding, http2};

    const REQUEST: &[u8] = b"POST /model/m/converse HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: t\r\n\r\n";
    const LENGTH: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde";

    #[test]
    fn known_conversations_hold() {
        let gap = |call: Call<'static>| call.after_hole(3);
        let cases = [
            vec![
                Call::write(REQUEST),
                Call::read(CHUNKED),
                Call::write(REQUEST),
                Call::read(LENGTH),
            ],
            vec![
                Call::write(REQUEST),
                gap(Call::read(CHUNKED)),
                Call::read(b"\r\n1\r\nx\r\n0\r\n\r\n"),
            ],
            vec![Call::read(CHUNKED), Call::write(REQUEST)],
            vec![Call::write(
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            )],
            vec![Call::write(b"HEAD / HTTP/1.1\r\n\r\n"), Call::read(LENGTH)],
            vec![
                Call {
                    close: true,
                    ..Call::write(REQUEST)
                },
                Call {
                    pause: true,
                    ..Call::write(REQUEST)
                },
            ],
            vec![
                Call {
                    second_connection: true,
                    ..Call::write(REQUEST)
                },
                Call::read(LENGTH),
            ],
        ];
        for size in [1, 4] {
            for calls in &cases {
                conversation(&[&[size], Call::script(calls).as_slice()].concat());
            }
        }
        conversation(b"");
    }

    #[test]
    fn known_codings_hold() {
        let text = b"{\"text\":\"one two one two one two\"}".repeat(40);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&text)
            .and(zlib.write_all(&text))
            .and(bare.write_all(&text))
            .expect("memory takes all");
        let bodies = [
            (0, gzip.finish()),
            (1, zlib.finish()),
            (1, bare.finish()),
            (2, Ok(text.clone())),
            (3, Ok(text)),
        ];
        for (coding, body) in bodies {
            let body = body.expect("memory takes all");
            for size in [1, 7] {
                encoding(&[&[coding + 4 * 8, size], body.as_slice()].concat());
                encoding(&[&[coding, size], body.get(..body.len() / 2).unwrap_or_default()].concat());
            }
        }
        encoding(b"");
    }

    proptest! {
        #[test]
        fn anything_like_a_conversation_is_survived(
            calls in prop::collection::vec((prop::collection::vec(prop::sample::select(vec![
                "GET / ", "POST / ", "HTTP/1.1\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 101 S\r\n",
                "Content-Length: 3\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n",
                "Connection: close\r\n", "Content-Encoding: gzip\r\n", "\r\n", "\n", "3\r\nabc\r\n", "0\r\n\r\n", "0\r\n", "abc", "x",
                "A: b\r\n", " folded\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "CONNECT a:1 ", "HEAD / ",
            ]), 0..12), any::<bool>(), 0..4_u64, any::<bool>()), 0..6),
            size in any::<u8>(),
        ) {
            let texts: Vec<_> = calls.iter().map(|(parts, read, hole, close)| (parts.concat(), *read, *hole, *close)).collect();
            let calls: Vec<_> = texts
                .iter()
                .map(|(text, read, hole, close)| {
                    let call = if *read { Call::read(text.as_bytes()) } else { Call::write(text.as_bytes()) };
                    Call { close: *close, ..call.after_hole(*hole) }
                })
                .collect();
            conversation(&[&[size], Call::script(&calls).as_slice()].concat());
        }

        #[test]
        fn anything_like_http2_is_survived(
            first in any::<u8>(),
            frames in prop::collection::vec((
                any::<u8>(), prop::sample::select(vec![0_u8, 0, 0, 1, 1, 1, 3, 4, 5, 7, 8, 9, 10]), any::<u8>(), any::<u8>(),
                prop::collection::vec(prop::sample::select(vec![0_u8, 1, 4, 0x82, 0x83, 0x84, 0x88, 0xbe, 0x40, 0x10, b'a', 0xff]), 0..24),
            ), 0..24),
        ) {
            let mut data = vec![first];
            for (control, kind, flags, stream, payload) in frames {
                data.extend([control, kind, flags, stream, u8::try_from(payload.len()).unwrap()]);
                data.extend(payload);
            }
            http2(&data);
        }

        #[test]
        fn any_coded_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..300)) {
            encoding(&data);
        }
    }
}
