//! What is missed of a conversation over HTTP/2, and what is told all the same.

use super::streams::CUT_MAX_NS;
use super::tests::{END_STREAM, PADDED, begun, data, headers, ok, post, reset, settings};
use crate::counters::Counter;
use crate::event::Direction::{Read, Write};
use crate::hpack::frame::PREFACE;
use crate::wire::tests::Scene;

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
fn an_answer_may_pass_before_frames_are_found_again() {
    let (transcript, _) = begun()
        .lose(Read, 1)
        .read(b"rest of some frame")
        .write(headers(END_STREAM, 1, &post("/")))
        .read(b"nothing that a frame begins with")
        .close()
        .run();
    assert_eq!(
        transcript.lines,
        ["0 POST /", "0 sent", "0 Desynchronised(Waiting)", "gone"]
    );
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
                data(END_STREAM, 1, b"proven"),
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
            "0 < hole 6 Lost",
            "0 < proven",
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
            "0 < hole ? Lost",
            "0 < of a stream begun before",
            "1 sent",
            "2 POST /known",
            "2 sent",
            "1 200",
            "1 < seven",
            "1 Complete",
            "2 200",
            "2 Complete",
            "0 Closed(Response)",
            "gone"
        ]
    );
}

#[test]
fn a_hole_within_a_head_costs_that_head_only() {
    let head = headers(END_STREAM, 1, &post("/one"));
    let lines = begun()
        .write(&head[..20])
        .lose(Write, head.len() as u64 - 25)
        .write([&head[head.len() - 5..], &headers(END_STREAM, 3, &post("/two"))].concat())
        .read([headers(END_STREAM, 3, &ok()), headers(END_STREAM, 1, &ok())].concat())
        .close()
        .lines();
    assert_eq!(
        lines,
        [
            "0 sent",
            "1 POST /two",
            "1 sent",
            "1 200",
            "1 Complete",
            "0 200",
            "0 Complete",
            "gone"
        ]
    );
}

#[test]
fn a_hole_may_reach_into_padding() {
    let body = data(PADDED | END_STREAM, 1, b"\x05body\0\0\0\0\0");
    let begun = begun()
        .write([headers(END_STREAM, 1, &post("/"))].concat())
        .read(headers(0, 1, &ok()))
        .clone();
    for (missing, expected) in [
        (10..16, ["0 < hole 4 Lost", "0 Complete"]),
        (9..16, ["0 < hole ? Lost", "0 Complete"]),
    ] {
        let lines = begun
            .clone()
            .read(&body[..missing.start])
            .lose(Read, missing.len() as u64)
            .read(&body[missing.end..])
            .close()
            .lines();
        assert_eq!(lines[3..5], expected);
    }
}

#[test]
fn a_stream_whose_end_was_missed_ends_some_time() {
    let cut = begun()
        .write(
            [
                headers(END_STREAM, 1, &post("/one")),
                headers(END_STREAM, 3, &post("/two")),
            ]
            .concat(),
        )
        .read([headers(0, 1, &ok()), data(0, 1, b"before")].concat())
        .lose(Read, 500)
        .clone();
    let ended = ["0 < before", "0 < hole ? Lost"];
    let closed = cut.clone().read(headers(0, 3, &ok())).close().lines();
    assert_eq!(closed[5..7], ended);
    assert_eq!(
        closed[7..],
        [
            "1 200",
            "0 Desynchronised(Response)",
            "1 Closed(Response)",
            "gone"
        ]
    );
    let reset = cut.clone().read(headers(0, 3, &ok())).write(reset(1, 8)).lines();
    assert_eq!(reset[8], "0 Desynchronised(Response)");
    let mut busy = cut.clone();
    busy.read(headers(0, 3, &ok()));
    for _ in 0..4 {
        busy.wait(CUT_MAX_NS / 3).read(data(0, 3, b"."));
    }
    assert_eq!(
        busy.close().lines()[7..],
        [
            "1 200",
            "1 < ..",
            "0 Desynchronised(Response)",
            "1 < ..",
            "1 Closed(Response)",
            "gone"
        ]
    );
}

#[test]
fn an_answer_whose_head_was_missed_begins_with_a_hole() {
    let lines = begun()
        .write(headers(END_STREAM, 1, &post("/one")))
        .lose(Read, 100)
        .read(data(0, 1, b"tail "))
        .read(data(END_STREAM, 1, b"end"))
        .close()
        .lines();
    assert_eq!(
        lines,
        [
            "0 POST /one",
            "0 sent",
            "0 < hole ? Lost",
            "0 < tail end",
            "0 Complete",
            "gone"
        ]
    );
}

#[test]
fn a_head_whose_status_is_unknown_may_be_an_interim_one() {
    // Index 62 is the newest entry of a table that was filled before.
    let lines = Scene::joined_late()
        .write(headers(END_STREAM, 1, &post("/")))
        .read(headers(0, 1, &[0xbe]))
        .read([headers(0, 1, &ok()), data(END_STREAM, 1, b"x")].concat())
        .close()
        .lines();
    assert_eq!(
        lines,
        ["0 POST /", "0 sent", "0 200", "0 < x", "0 Complete", "gone"]
    );
}

#[test]
fn a_server_met_in_the_middle_is_foreign() {
    for scene in [
        Scene::joined_late()
            .read(headers(END_STREAM, 1, &post("/model")))
            .clone(),
        Scene::joined_late().write(headers(0, 1, &ok())).clone(),
        Scene::joined_late()
            .write(data(0, 1, b"an answer under way"))
            .read(headers(END_STREAM, 3, &post("/model")))
            .clone(),
    ] {
        let lines = scene.clone().close().lines();
        assert_eq!(lines, ["foreign", "gone"]);
    }
}

#[test]
fn what_only_looked_like_a_frame_does_not_make_a_connection_http2() {
    // A call in the middle of an upload begins like a frame; the next ones are HTTP/1.
    let (transcript, counters) = Scene::joined_late()
        .write(b"\0\0\x04\0\0\0\0\0\x01 of some binary body")
        .write("GET /a HTTP/1.1\r\n\r\n")
        .read("HTTP/1.1 204 No\r\n\r\n")
        .close()
        .run();
    assert_eq!(
        transcript.lines,
        ["0 GET /a", "0 sent", "0 204", "0 Complete", "gone"]
    );
    assert_eq!(counters.get(Counter::ConnectionsHttp2), 0);
}

#[test]
fn a_direction_that_stands_alone_tells_its_half() {
    let lines = Scene::unpaired()
        .read(settings())
        .read([headers(0, 1, &ok()), data(END_STREAM, 1, b"x")].concat())
        .read(headers(0, 3, &ok()))
        .close()
        .lines();
    assert_eq!(
        lines,
        [
            "0 200",
            "0 < x",
            "0 Complete",
            "1 200",
            "1 Closed(Response)",
            "gone"
        ]
    );
    let lines = Scene::unpaired()
        .write([&PREFACE[..], &settings()].concat())
        .write(headers(END_STREAM, 1, &post("/one")))
        .close()
        .lines();
    assert_eq!(lines, ["0 POST /one", "0 sent", "0 Closed(Waiting)", "gone"]);
}
