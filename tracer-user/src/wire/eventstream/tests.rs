//! Frames as AWS encodes them, cut, broken and bent.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::DateTime;
use aws_smithy_types::event_stream::{
    Header as OracleHeader, HeaderValue as OracleValue, Message as OracleMessage,
};
use proptest::prelude::*;

use super::fuzz::{decode, fuzz};
use super::*;

/// A frame as the AWS SDK for Rust writes it.
fn encode(message: &OracleMessage) -> Vec<u8> {
    let mut frame = Vec::new();
    write_message_to(message, &mut frame).expect("the oracle encodes");
    frame
}

fn event(event_type: &str, payload: &str) -> Vec<u8> {
    let string = |name: &str, value: &str| {
        OracleHeader::new(name.to_owned(), OracleValue::String(value.to_owned().into()))
    };
    let message = OracleMessage::new(payload.as_bytes().to_vec())
        .add_header(string(":event-type", event_type))
        .add_header(string(":content-type", "application/json"))
        .add_header(string(":message-type", "event"));
    encode(&message)
}

/// A frame with any lengths, its checksums right.
fn forge(total: u32, headers: u32, rest: &[u8]) -> Vec<u8> {
    let mut frame = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(rest);
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

/// What a consumer would note down: payloads, and broken stretches.
#[derive(Debug, PartialEq)]
enum Seen {
    Payload(String),
    Broken(BrokenReason, u64),
}

enum Input<'a> {
    Bytes(&'a [u8]),
    Hole(Option<u64>),
}

fn watch(inputs: &[Input<'_>], piece: usize) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut each = |item: Item<'_>| {
        seen.push(match item {
            Item::Message(message) => Seen::Payload(String::from_utf8_lossy(message.payload).into_owned()),
            Item::Broken(Broken { reason, skipped }) => Seen::Broken(reason, skipped),
        });
    };
    let mut decoder = Decoder::new();
    for input in inputs {
        match input {
            Input::Bytes(bytes) => bytes
                .chunks(piece)
                .for_each(|piece| decoder.feed(piece, &mut each)),
            Input::Hole(length) => decoder.hole(*length, &mut each),
        }
    }
    decoder.finish(&mut each);
    seen
}

fn payload(text: &str) -> Seen {
    Seen::Payload(text.to_owned())
}

#[test]
fn every_header_type_of_the_aws_sdk_is_read() {
    let uuid = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff;
    let values = [
        ("true", OracleValue::Bool(true), HeaderValue::Bool(true)),
        ("false", OracleValue::Bool(false), HeaderValue::Bool(false)),
        ("byte", OracleValue::Byte(-7), HeaderValue::Byte(-7)),
        ("int16", OracleValue::Int16(-30_000), HeaderValue::Int16(-30_000)),
        (
            "int32",
            OracleValue::Int32(i32::MIN),
            HeaderValue::Int32(i32::MIN),
        ),
        (
            "int64",
            OracleValue::Int64(i64::MIN),
            HeaderValue::Int64(i64::MIN),
        ),
        (
            "bytes",
            OracleValue::ByteArray(vec![0, 255, 7].into()),
            HeaderValue::Bytes(&[0, 255, 7]),
        ),
        (
            "string",
            OracleValue::String("größe".to_owned().into()),
            HeaderValue::String("größe"),
        ),
        (
            "time",
            OracleValue::Timestamp(DateTime::from_millis(1_234)),
            HeaderValue::Timestamp(1_234),
        ),
        (
            "uuid",
            OracleValue::Uuid(uuid),
            HeaderValue::Uuid(uuid.to_be_bytes()),
        ),
    ];
    let mut message = OracleMessage::new("{}");
    for (name, value, _) in &values {
        message = message.add_header(OracleHeader::new(*name, value.clone()));
    }
    let frame = encode(&message);
    for piece in [1, 5, frame.len()] {
        let mut messages = 0;
        let mut decoder = Decoder::new();
        let mut each = |item: Item<'_>| {
            let Item::Message(message) = item else {
                panic!("{item:?}")
            };
            let headers: Vec<_> = message
                .headers
                .iter()
                .map(|header| (header.name, header.value))
                .collect();
            assert_eq!(headers, values.clone().map(|(name, _, ours)| (name, ours)));
            assert_eq!(message.payload, b"{}");
            messages += 1;
        };
        frame
            .chunks(piece)
            .for_each(|bytes| decoder.feed(bytes, &mut each));
        decoder.finish(&mut each);
        assert_eq!(messages, 1);
    }
}

#[test]
fn messages_are_sorted_by_their_type() {
    let kind = |headers: &[(&str, &str)]| {
        let mut message = OracleMessage::new("");
        for (name, value) in headers {
            let value = OracleValue::String((*value).to_owned().into());
            message = message.add_header(OracleHeader::new((*name).to_owned(), value));
        }
        let mut found = String::new();
        Decoder::new().feed(&encode(&message), &mut |item| {
            let Item::Message(message) = item else {
                panic!("{item:?}")
            };
            found = format!("{:?}", message.kind());
        });
        found
    };
    assert_eq!(
        kind(&[(":event-type", "messageStart"), (":message-type", "event")]),
        r#"Event { event_type: "messageStart" }"#
    );
    assert_eq!(
        kind(&[
            (":message-type", "exception"),
            (":exception-type", "throttlingException")
        ]),
        r#"Exception { exception_type: "throttlingException" }"#
    );
    assert_eq!(
        kind(&[(":message-type", "error"), (":error-code", "InternalError")]),
        r#"Error { code: Some("InternalError"), message: None }"#
    );
    assert_eq!(kind(&[(":message-type", "event")]), "Unknown");
    assert_eq!(kind(&[]), "Unknown");
}

#[test]
fn a_damaged_byte_costs_its_frame_and_never_yields_a_wrong_message() {
    let frames = [
        event("messageStart", "one"),
        event("contentBlockDelta", "two"),
        event("messageStop", "three"),
    ];
    let stream = frames.concat();
    for position in 0..stream.len() {
        let mut damaged = stream.clone();
        damaged[position] ^= 0x41;
        let hit = usize::from(position >= frames[0].len())
            + usize::from(position >= frames[0].len() + frames[1].len());
        let within = position - frames[..hit].concat().len();
        let reason = if within < PRELUDE {
            BrokenReason::PreludeChecksum
        } else {
            BrokenReason::MessageChecksum
        };
        let mut expected = vec![payload("one"), payload("two"), payload("three")];
        expected[hit] = Seen::Broken(reason, frames[hit].len() as u64);
        for piece in [1, 13, stream.len()] {
            assert_eq!(
                watch(&[Input::Bytes(&damaged)], piece),
                expected,
                "byte {position}"
            );
        }
    }
}

#[test]
fn a_prelude_that_claims_gigabytes_is_not_waited_for() {
    let mut stream = forge(0x8000_0000, 0, b"");
    let junk = stream.len() as u64;
    stream.extend(event("messageStop", "after"));
    let expected = [Seen::Broken(BrokenReason::Length, junk), payload("after")];
    for piece in [1, 7, stream.len()] {
        assert_eq!(watch(&[Input::Bytes(&stream)], piece), expected);
    }
}

#[test]
fn impossible_lengths_are_refused() {
    let too_long = u32::try_from(MAX_HEADERS + 1).unwrap();
    for (total, headers) in [
        (0, 0),
        (15, 0),
        (16, 1),
        (u32::MAX, u32::MAX),
        (too_long + 16, too_long),
    ] {
        let stream = forge(total, headers, b"");
        assert_eq!(
            watch(&[Input::Bytes(&stream)], 1),
            [Seen::Broken(BrokenReason::Length, 16)]
        );
    }
}

#[test]
fn headers_that_do_not_parse_are_named() {
    let cases: [&[u8]; 6] = [
        b"\x05:name",             // no type
        b"\x00\x00",              // empty name
        b"\x01n\x0a",             // no such type
        b"\x01n\x07\x00\x05abc",  // value shorter than its length
        b"\x01n\x07\x00\x01\xff", // not UTF-8
        b"\x01n\x09uuid",         // uuid too short
    ];
    for headers in cases {
        let length = u32::try_from(headers.len()).unwrap();
        let stream = [forge(length + 16, length, headers), event("messageStop", "after")].concat();
        let expected = [
            Seen::Broken(BrokenReason::Headers, u64::from(length) + 16),
            payload("after"),
        ];
        assert_eq!(watch(&[Input::Bytes(&stream)], 3), expected);
    }
}

#[test]
fn a_frame_too_large_to_keep_is_stepped_over_exactly() {
    let body = vec![b'x'; MAX_RETAINED_FRAME - 15];
    let large = forge(u32::try_from(body.len() + 16).unwrap(), 0, &body);
    let stream = [
        event("files", "before"),
        large.clone(),
        event("messageStop", "after"),
    ]
    .concat();
    let expected = [
        payload("before"),
        Seen::Broken(BrokenReason::Oversized, large.len() as u64),
        payload("after"),
    ];
    for piece in [1000, 16 * 1024, stream.len()] {
        assert_eq!(watch(&[Input::Bytes(&stream)], piece), expected);
    }
    let cut = &stream[..stream.len() - large.len()];
    assert_eq!(
        watch(&[Input::Bytes(cut)], 1000).len(),
        2,
        "also when it never ends"
    );
}

#[test]
fn the_largest_frame_kept_is_given_whole_and_its_memory_given_back() {
    let body = vec![b'x'; MAX_RETAINED_FRAME - 16];
    let large = forge(u32::try_from(body.len() + 16).unwrap(), 0, &body);
    let mut decoder = Decoder::new();
    let mut length = 0;
    for piece in large.chunks(16 * 1024) {
        decoder.feed(piece, &mut |item| match item {
            Item::Message(message) => length += message.payload.len(),
            Item::Broken(broken) => panic!("{broken:?}"),
        });
    }
    assert_eq!(length, body.len());
    assert!(decoder.buffer.capacity() <= KEPT_CAPACITY);
}

#[test]
fn a_body_cut_off_inside_a_frame_says_so() {
    let stream = [event("messageStart", "one"), event("messageStop", "two")].concat();
    let first = event("messageStart", "one").len();
    for end in first + 1..stream.len() {
        let expected = [
            payload("one"),
            Seen::Broken(BrokenReason::Truncated, (end - first) as u64),
        ];
        assert_eq!(watch(&[Input::Bytes(&stream[..end])], 9), expected);
    }
    assert_eq!(
        watch(&[Input::Bytes(&stream[..first])], 9),
        [payload("one")],
        "between frames nothing is missing"
    );
}

#[test]
fn a_hole_inside_a_frame_costs_that_frame_alone() {
    let frames = [
        event("messageStart", "one"),
        event("contentBlockDelta", "two"),
        event("messageStop", "three"),
    ];
    let stream = frames.concat();
    let begin = frames[0].len() + PRELUDE + 3;
    let end = frames[0].len() + frames[1].len();
    for end in begin + 1..=end {
        let inputs = [
            Input::Bytes(&stream[..begin]),
            Input::Hole(Some((end - begin) as u64)),
            Input::Bytes(&stream[end..]),
        ];
        let skipped = (frames[1].len() - (end - begin)) as u64;
        let expected = [
            payload("one"),
            Seen::Broken(BrokenReason::Hole, skipped),
            payload("three"),
        ];
        assert_eq!(watch(&inputs, 4), expected);
    }
}

#[test]
fn a_hole_over_a_frame_boundary_is_searched_past() {
    let frames = [
        event("messageStart", "one"),
        event("contentBlockDelta", "two"),
        event("messageStop", "three"),
    ];
    let stream = frames.concat();
    let begin = frames[0].len() - 5;
    let end = frames[0].len() + 30;
    for length in [Some((end - begin) as u64), None] {
        let inputs = [
            Input::Bytes(&stream[..begin]),
            Input::Hole(length),
            Input::Bytes(&stream[end..]),
        ];
        let seen = watch(&inputs, 7);
        let tail = (frames[1].len() - 30) as u64;
        match length {
            // The end of the first frame is known: its stretch and the one after it are told apart.
            Some(_) => assert_eq!(
                seen,
                [
                    Seen::Broken(BrokenReason::Hole, begin as u64),
                    Seen::Broken(BrokenReason::Hole, tail),
                    payload("three")
                ]
            ),
            None => assert_eq!(
                seen,
                [
                    Seen::Broken(BrokenReason::Hole, begin as u64 + tail),
                    payload("three")
                ]
            ),
        }
    }
}

#[test]
fn joining_in_the_middle_finds_the_next_frame() {
    let stream = [
        event("contentBlockDelta", "\u{0}\u{1}half"),
        event("messageStop", "whole"),
    ]
    .concat();
    for from in 1..20 {
        let seen = watch(&[Input::Hole(None), Input::Bytes(&stream[from..])], 3);
        assert_eq!(seen.last(), Some(&payload("whole")), "from byte {from}");
        assert_eq!(seen.len(), 2);
    }
}

#[test]
fn a_hole_at_the_very_end_is_told() {
    let frame = event("messageStart", "one");
    let seen = watch(&[Input::Bytes(&frame), Input::Hole(None)], 100);
    assert_eq!(seen, [payload("one"), Seen::Broken(BrokenReason::Hole, 0)]);
}

#[test]
fn megabytes_that_are_no_frames_are_searched_once() {
    // Every other position may begin a prelude, until its lengths or its checksum are looked at.
    let hostile: Vec<u8> = [0, 0, 1, 0].repeat(2 * 1024 * 1024);
    let seen = watch(&[Input::Hole(None), Input::Bytes(&hostile)], 11);
    assert_eq!(seen, [Seen::Broken(BrokenReason::Hole, hostile.len() as u64)]);
}

#[test]
fn the_fuzz_entry_holds_on_known_streams() {
    fuzz(b"");
    for size in [1, 2, 12, 255] {
        let stream = [
            event("messageStart", "one"),
            b"noise".to_vec(),
            event("messageStop", "two"),
        ]
        .concat();
        fuzz(&[&[size], stream.as_slice()].concat());
        fuzz(&[&[size], &stream[3..]].concat());
    }
}

/// A stretch of a stream: a good frame, a damaged one, noise, or a forged prelude.
fn stretch() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z\\x00\\x01]{0,60}".prop_map(|text| event("chunk", &text)),
        1 => ("[a-z]{0,60}", any::<prop::sample::Index>(), 1..=255u8).prop_map(|(text, index, flip)| {
            let mut frame = event("chunk", &text);
            let position = index.index(frame.len());
            frame[position] ^= flip;
            frame
        }),
        1 => prop::collection::vec(prop_oneof![Just(0u8), Just(1u8), any::<u8>()], 0..50),
        1 => (0..200u32, 0..40u32).prop_map(|(total, headers)| forge(total, headers, b"payload")),
    ]
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        stretches in prop::collection::vec(stretch(), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = stretches.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| Input::Bytes(&stream[cut[0]..cut[1]])).collect();
        let whole = watch(&[Input::Bytes(&stream)], stream.len().max(1));
        prop_assert_eq!(&watch(&pieces, stream.len().max(1)), &whole);
        prop_assert_eq!(&watch(&pieces, 1), &whole);
    }

    #[test]
    fn a_hole_may_be_told_in_parts(
        stretches in prop::collection::vec(stretch(), 1..6),
        from in any::<prop::sample::Index>(),
        length in 2..300usize,
        part in 1..300usize,
        piece in 1..40usize,
    ) {
        let stream = stretches.concat();
        let from = from.index(stream.len() + 1);
        let after = (from + length).min(stream.len());
        let length = length as u64;
        let part = (part as u64).min(length - 1);
        let (head, tail) = (Input::Bytes(&stream[..from]), Input::Bytes(&stream[after..]));
        let once = watch(&[head, Input::Hole(Some(length)), tail], stream.len().max(1));
        let (head, tail) = (Input::Bytes(&stream[..from]), Input::Bytes(&stream[after..]));
        let parts = [head, Input::Hole(Some(part)), Input::Hole(Some(length - part)), tail];
        prop_assert_eq!(watch(&parts, piece), once);
    }

    #[test]
    fn any_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&data, 1);
        fuzz(&data);
    }
}
