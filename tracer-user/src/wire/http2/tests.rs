//! Conversations over HTTP/2, frame by frame.

use proptest::prelude::*;

use crate::counters::Counter;
use crate::event::Direction::{Read, Write};
use crate::hpack::frame::PREFACE;
use crate::wire::tests::Scene;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, payload)
}

fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(1, flags | END_HEADERS, stream, block)
}

fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[])
}

fn goaway(last: u32) -> Vec<u8> {
    frame(7, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(3, 0, stream, &code.to_be_bytes())
}

/// Literal fields, put into no table (RFC 7541 section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn post(path: &str) -> Vec<u8> {
    block(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "b.test"),
        (":path", path),
    ])
}

fn ok() -> Vec<u8> {
    // Index 8 of the static table: `:status: 200`.
    vec![0x88]
}

fn begun() -> Scene {
    Scene::new()
        .write([&PREFACE[..], &settings()].concat())
        .read(settings())
        .clone()
}

#[test]
fn streams_interleave_and_each_is_told_whole() {
    let lines = begun()
        .write(headers(0, 1, &post("/one")))
        .write([headers(0, 3, &post("/two")), data(0, 1, b"ask")].concat())
        .read([headers(0, 3, &ok()), data(0, 3, b"early ")].concat())
        .write([data(END_STREAM, 3, b"two"), data(END_STREAM, 1, b" one")].concat())
        .read(
            [
                headers(0, 1, &ok()),
                data(0, 1, b"one"),
                data(END_STREAM, 3, b"answer"),
            ]
            .concat(),
        )
        .read(data(END_STREAM, 1, &[]))
        .close()
        .lines();
    assert_eq!(
        lines,
        [
            "0 POST /one",
            "1 POST /two",
            "0 > ask",
            "1 200",
            "1 < early ",
            "1 > two",
            "1 sent",
            "0 >  one",
            "0 sent",
            "0 200",
            "0 < one",
            "1 < answer",
            "1 Complete",
            "0 Complete",
            "gone",
        ]
    );
}

#[test]
fn a_head_may_come_in_continuations_with_padding_and_priority() {
    let block = post("/model");
    let (first, rest) = block.split_at(7);
    let padded = [&[3, 0, 0, 0, 0, 16][..], first, &[0; 3]].concat();
    let lines = begun()
        .write(
            [
                frame(1, PADDED | PRIORITY, 1, &padded),
                frame(9, 0, 1, &rest[..9]),
                frame(9, END_HEADERS, 1, &rest[9..]),
                data(PADDED | END_STREAM, 1, b"\x02body\0\0"),
            ]
            .concat(),
        )
        .read(
            [
                frame(8, 0, 0, &[0, 0, 1, 0]),
                frame(6, 0, 0, &[7; 8]),
                headers(END_STREAM, 1, &ok()),
            ]
            .concat(),
        )
        .close()
        .lines();
    assert_eq!(
        lines,
        [
            "0 POST /model",
            "0 > body",
            "0 sent",
            "0 200",
            "0 Complete",
            "gone"
        ]
    );
}

#[test]
fn trailers_and_interim_heads_change_nothing() {
    let interim = block(&[(":status", "103"), ("link", "</style>")]);
    let lines = begun()
        .write(
            [
                headers(0, 1, &post("/")),
                data(0, 1, b"x"),
                headers(END_STREAM, 1, &block(&[("sum", "1")])),
            ]
            .concat(),
        )
        .read([headers(0, 1, &interim), headers(0, 1, &ok()), data(0, 1, b"y")].concat())
        .read(headers(END_STREAM, 1, &block(&[("grpc-status", "0")])))
        .close()
        .lines();
    assert_eq!(
        lines,
        [
            "0 POST /",
            "0 > x",
            "0 sent",
            "0 200",
            "0 < y",
            "0 Complete",
            "gone"
        ]
    );
}

#[test]
fn a_stream_outlives_the_goaway_of_its_client() {
    // As the SDK for JavaScript does in every call.
    let lines = begun()
        .write(headers(END_STREAM, 1, &post("/")))
        .read([headers(0, 1, &ok()), data(0, 1, b"first ")].concat())
        .write(goaway(0))
        .read([data(0, 1, b"second"), data(END_STREAM, 1, &[])].concat())
        .close()
        .lines();
    assert_eq!(
        lines,
        [
            "0 POST /",
            "0 sent",
            "0 200",
            "0 < first second",
            "0 Complete",
            "gone"
        ]
    );
}

#[test]
fn streams_that_a_server_does_not_answer_end_with_its_goaway() {
    let lines = begun()
        .write(
            [
                headers(END_STREAM, 1, &post("/one")),
                headers(END_STREAM, 3, &post("/two")),
            ]
            .concat(),
        )
        .read([goaway(1), headers(END_STREAM, 1, &ok())].concat())
        .close()
        .lines();
    assert_eq!(
        lines,
        [
            "0 POST /one",
            "0 sent",
            "1 POST /two",
            "1 sent",
            "1 Closed(Waiting)",
            "0 200",
            "0 Complete",
            "gone"
        ]
    );
}

#[test]
fn a_reset_ends_a_stream_and_no_other() {
    let lines = begun()
        .write([headers(0, 1, &post("/one")), headers(0, 3, &post("/two"))].concat())
        .read([headers(END_STREAM, 1, &ok()), reset(1, 0)].concat())
        .write([reset(3, 8), data(END_STREAM, 3, b"late")].concat())
        .read(headers(END_STREAM, 3, &ok()))
        .close()
        .lines();
    assert_eq!(
        lines,
        [
            "0 POST /one",
            "1 POST /two",
            "0 200",
            "0 Complete",
            "1 Closed(Request)",
            "gone"
        ]
    );
}

#[test]
fn a_hole_within_a_body_is_as_long_as_what_is_missing() {
    let body = data(END_STREAM, 1, &[b'x'; 100]);
    let (transcript, counters) = begun()
        .write(
            [
                headers(END_STREAM, 1, &post("/")),
                headers(END_STREAM, 3, &post("/other")),
            ]
            .concat(),
        )
        .read([headers(0, 1, &ok()), body[..19].to_vec()].concat())
        .lose(Read, 80)
        .read([&body[99..], &headers(END_STREAM, 3, &ok())].concat())
        .close()
        .run();
    assert_eq!(
        transcript.lines,
        [
            "0 POST /",
            "0 sent",
            "1 POST /other",
            "1 sent",
            "0 200",
            "0 < xxxxxxxxxx",
            "0 < hole 80 Lost",
            "0 < xxxxxxxxxx",
            "0 Complete",
            "1 200",
            "1 Complete",
            "gone",
        ]
    );
    assert_eq!(counters.get(Counter::HpackDesynchronised), 0);
}

#[test]
fn behind_a_hole_that_hides_frames_the_next_frame_is_found() {
    let (transcript, counters) = begun()
        .write(
            [
                headers(END_STREAM, 1, &post("/one")),
                headers(END_STREAM, 3, &post("/two")),
            ]
            .concat(),
        )
        .read([headers(0, 1, &ok()), data(0, 1, b"before")].concat())
        .lose(Read, 500)
        .read(b"rest of some frame")
        .read(
            [
                data(0, 1, b"behind"),
                data(END_STREAM, 1, &[]),
                headers(END_STREAM, 3, &ok()),
            ]
            .concat(),
        )
        .close()
        .run();
    assert_eq!(
        transcript.lines,
        [
            "0 POST /one",
            "0 sent",
            "1 POST /two",
            "1 sent",
            "0 200",
            "0 < before",
            "0 < hole ? Lost",
            "0 < behind",
            "0 Complete",
            "1 200",
            "1 Complete",
            "gone",
        ]
    );
    assert_eq!(counters.get(Counter::HpackDesynchronised), 1);
}

#[test]
fn what_only_begins_like_a_frame_is_passed_over_however_it_is_cut() {
    // Three octets of a length, the kind of a body, and then flags that it does not have.
    let scene = begun()
        .write(headers(END_STREAM, 1, &post("/one")))
        .read(headers(0, 1, &ok()))
        .lose(Read, 500)
        .read(b"\0\x10\0\0\xff rest of some body")
        .read([data(END_STREAM, 1, b"found")].concat())
        .close()
        .clone();
    let expected = [
        "0 POST /one",
        "0 sent",
        "0 200",
        "0 < hole ? Lost",
        "0 < found",
        "0 Complete",
        "gone",
    ];
    for sizes in [&[1][..], &[2], &[3, 5], &[1000]] {
        let (transcript, counters) = scene.split(sizes).run();
        assert_eq!(transcript.lines, expected, "{sizes:?}");
        assert_eq!(counters.get(Counter::UnsynchronisedBytes), 23);
    }
}

#[test]
fn joined_late_what_is_known_is_told() {
    // An index into a table from before: the path stays unknown, the method is one of the static table.
    let partly = [&[0x83, 0xc0][..]].concat();
    let lines = Scene::joined_late()
        .write(b"the rest of some frame")
        .read(data(0, 5, b"of a stream begun before"))
        .write(headers(END_STREAM, 7, &partly))
        .write(headers(END_STREAM, 9, &post("/known")))
        .read([headers(0, 7, &ok()), data(END_STREAM, 7, b"seven")].concat())
        .read(headers(END_STREAM, 9, &ok()))
        .close()
        .lines();
    assert_eq!(
        lines,
        [
            "0 sent",
            "1 POST /known",
            "1 sent",
            "0 200",
            "0 < seven",
            "0 Complete",
            "1 200",
            "1 Complete",
            "gone"
        ]
    );
}

#[test]
fn more_streams_than_any_server_allows_make_room() {
    let mut scene = begun();
    for index in 0..1100_u32 {
        scene.write(headers(END_STREAM, 2 * index + 1, &post("/")));
    }
    let (transcript, _) = scene.close().run();
    let evicted = transcript
        .lines
        .iter()
        .filter(|line| line.ends_with("Evicted(Waiting)"))
        .count();
    assert_eq!(evicted, 1100 - super::streams::STREAMS_MAX);
}

#[test]
fn a_header_block_beyond_reason_is_left_out() {
    let huge = vec![0; 70_000];
    let lines = begun()
        .write([headers(END_STREAM, 1, &huge), headers(END_STREAM, 3, &post("/"))].concat())
        .read([headers(END_STREAM, 3, &ok())].concat())
        .close()
        .lines();
    assert_eq!(lines, ["0 POST /", "0 sent", "0 200", "0 Complete", "gone"]);
}

proptest! {
    #[test]
    fn how_the_bytes_are_cut_changes_nothing(cuts in prop::collection::vec(1_usize..40, 1..60)) {
        let requests = [
            PREFACE.to_vec(), settings(), headers(0, 1, &post("/one")), data(PADDED, 1, b"\x03abc\0\0\0"),
            headers(END_STREAM, 3, &post("/two")), data(END_STREAM, 1, b"def"),
        ].concat();
        let responses = [
            settings(), headers(0, 1, &ok()), data(0, 1, &[b'a'; 70]), headers(END_STREAM, 3, &ok()),
            data(END_STREAM, 1, b"end"),
        ].concat();
        let whole = Scene::new().write(&requests).read(&responses).close().lines();
        let mut scene = Scene::new();
        for (direction, bytes) in [(Write, &requests), (Read, &responses)] {
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                scene.call(direction, now);
                rest = later;
            }
        }
        prop_assert_eq!(scene.close().lines(), whole);
    }
}
