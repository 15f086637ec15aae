//! Conversations over HTTP/2, frame by frame.

use proptest::prelude::*;

use crate::conn::SILENCE_MAX_NS;
use crate::counters::Counter;
use crate::event::Direction::{Read, Write};
use crate::hpack::frame::PREFACE;
use crate::wire::tests::Scene;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

pub(super) fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, payload)
}

pub(super) fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(1, flags | END_HEADERS, stream, block)
}

pub(super) fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[])
}

pub(super) fn goaway(last: u32) -> Vec<u8> {
    frame(7, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
}

pub(super) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(3, 0, stream, &code.to_be_bytes())
}

/// Literal fields, put into no table (RFC 7541 section 6.2.2).
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
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

pub(super) fn post(path: &str) -> Vec<u8> {
    block(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "b.test"),
        (":path", path),
    ])
}

pub(super) fn ok() -> Vec<u8> {
    // Index 8 of the static table: `:status: 200`.
    vec![0x88]
}

pub(super) fn begun() -> Scene {
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
fn of_a_header_block_beyond_reason_only_the_stream_is_known() {
    let huge = vec![0; 70_000];
    let flood = vec![0; 16_000];
    let mut floods = frame(1, END_STREAM, 3, &flood);
    for _ in 0..20 {
        floods.extend(frame(9, 0, 3, &flood));
    }
    floods.extend(frame(9, END_HEADERS, 3, &[]));
    let (transcript, counters) = begun()
        .write([headers(END_STREAM, 1, &huge), floods].concat())
        .write(headers(END_STREAM, 5, &post("/")))
        .read(
            [1, 3, 5]
                .map(|stream| headers(END_STREAM, stream, &ok()))
                .concat(),
        )
        .close()
        .run();
    assert_eq!(
        transcript.lines,
        [
            "0 sent",
            "1 sent",
            "2 POST /",
            "2 sent",
            "0 200",
            "0 Complete",
            "1 200",
            "1 Complete",
            "2 200",
            "2 Complete",
            "gone"
        ]
    );
    assert_eq!(counters.get(Counter::HpackDesynchronised), 1);
}

#[test]
fn a_stream_that_says_nothing_for_an_hour_is_given_up_though_others_go_on() {
    let mut busy = begun();
    busy.write(
        [
            headers(END_STREAM, 1, &post("/one")),
            headers(0, 3, &post("/two")),
        ]
        .concat(),
    );
    for _ in 0..4 {
        busy.wait(SILENCE_MAX_NS / 3).write(data(0, 3, b"."));
    }
    assert_eq!(
        busy.lines()[3..],
        [
            "1 > ..",
            "0 TimedOut(Waiting)",
            "1 > ..",
            "1 TracingStopped(Request)",
            "gone"
        ]
    );
}

#[test]
fn pushed_streams_are_refused_but_their_heads_fill_the_table() {
    // `x: y` goes into the table with the promise and is referred to in the answer.
    let promise = [&2_u32.to_be_bytes()[..], &[0x40, 1, b'x', 1, b'y']].concat();
    let (transcript, counters) = begun()
        .write(headers(END_STREAM, 1, &post("/")))
        .read(
            [
                frame(5, END_HEADERS, 1, &promise),
                headers(0, 2, &ok()),
                data(END_STREAM, 2, b"pushed"),
                headers(END_STREAM, 1, &[0x88, 0xbe]),
            ]
            .concat(),
        )
        .close()
        .run();
    assert_eq!(
        transcript.lines,
        ["0 POST /", "0 sent", "0 200", "0 Complete", "gone"]
    );
    assert_eq!(counters.get(Counter::HpackDesynchronised), 0);
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
