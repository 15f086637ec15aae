//! Conversations over HTTP/1, as people and machines hold them.

use super::exchange::PIPELINED_MAX;
use super::half::HEAD_MAX;
use super::head::FIELDS_MAX;
use crate::conn::SILENCE_MAX_NS;
use crate::counters::Counter;
use crate::event::Direction::{Read, Write};
use crate::wire::tests::Scene;

pub(super) const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
pub(super) const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

pub(super) fn length(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
}

pub(super) fn post(length: usize) -> String {
    format!("POST /p HTTP/1.1\r\nContent-Length: {length}\r\n\r\n")
}

#[test]
fn keep_alive_exchanges_follow_each_other() {
    let scene = Scene::new()
        .write(post(4))
        .write("ping")
        .read(length(4))
        .read("po")
        .read("ng")
        .write(GET)
        .read(length(0))
        .close()
        .clone();
    assert_eq!(
        scene.lines(),
        [
            "0 POST /p",
            "0 > ping",
            "0 sent",
            "0 200",
            "0 < pong",
            "0 Complete",
            "1 GET /a",
            "1 sent",
            "1 200",
            "1 Complete",
            "gone"
        ]
    );
}

#[test]
fn chunks_extensions_and_trailers_are_undone() {
    let scene = Scene::new()
        .write("POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .read(format!(
            "{CHUNKED}4;name=\"x\"\r\nwiki\r\n00A \r\npedia in \n\r\n0\r\nExpires: never\r\nX: y\r\n\r\n"
        ))
        .write(GET)
        .clone();
    assert_eq!(
        scene.lines(),
        [
            "0 POST /p",
            "0 > abc",
            "0 sent",
            "0 200",
            "0 < wikipedia in \\n",
            "0 Complete",
            "1 GET /a",
            "1 sent",
            "1 TracingStopped(Waiting)",
            "gone"
        ]
    );
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let scene = Scene::new()
        .write(format!("{GET}{}xyz{GET}", post(3)))
        .read(format!("{}1{}", length(1), length(0)))
        .read(format!("{}3", length(1)))
        .clone();
    assert_eq!(
        scene.lines(),
        [
            "0 GET /a",
            "0 sent",
            "1 POST /p",
            "1 > xyz",
            "1 sent",
            "2 GET /a",
            "2 sent",
            "0 200",
            "0 < 1",
            "0 Complete",
            "1 200",
            "1 Complete",
            "2 200",
            "2 < 3",
            "2 Complete",
            "gone"
        ]
    );
}

#[test]
fn interim_responses_are_passed_over() {
    let scene = Scene::new()
        .write("POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .read("HTTP/1.1 100 Continue\r\n\r\n")
        .write("hi")
        .read("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        .clone();
    assert_eq!(
        scene.lines(),
        ["0 POST /p", "0 > hi", "0 sent", "0 204", "0 Complete", "gone"]
    );
}

#[test]
fn a_refused_expectation_leaves_the_connection_usable() {
    let scene = Scene::new()
        .write("POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .read("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        .write(GET)
        .read(length(0))
        .clone();
    assert_eq!(
        scene.lines(),
        [
            "0 POST /p",
            "0 403",
            "0 < no",
            "0 Complete",
            "1 GET /a",
            "1 sent",
            "1 200",
            "1 Complete",
            "gone"
        ]
    );
}

#[test]
fn responses_without_a_body_have_none_whatever_they_declare() {
    let scene = Scene::new()
        .write("HEAD /h HTTP/1.1\r\n\r\n")
        .read(length(500))
        .write(GET)
        .read("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n")
        .write(GET)
        .read(length(2))
        .read("ok")
        .clone();
    assert_eq!(
        scene
            .lines()
            .into_iter()
            .filter(|line| line.contains("Complete"))
            .count(),
        3
    );
}

#[test]
fn a_body_until_close_is_complete_when_closed_and_cut_when_the_process_dies() {
    let begin = |scene: Scene| {
        scene
            .clone()
            .write(GET)
            .read("HTTP/1.0 200 OK\r\n\r\nabc")
            .read("def")
            .clone()
    };
    let expected = ["0 GET /a", "0 sent", "0 200", "0 < abcdef"];
    let closed = begin(Scene::new()).close().lines();
    assert_eq!(closed[..4], expected);
    assert_eq!(closed[4..], ["0 Complete", "gone"]);
    let killed = begin(Scene::new()).exit().lines();
    assert_eq!(killed[..4], expected);
    assert_eq!(killed[4..], ["0 Closed(Response)", "gone"]);
}

#[test]
fn an_answer_before_the_request_is_sent_is_still_its_answer() {
    let early = Scene::new()
        .write(post(10))
        .write("12345")
        .read("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        .clone();
    let answered = ["0 POST /p", "0 > 12345", "0 413", "0 < no"];
    let sent = early.clone().write("67890").write(GET).lines();
    assert_eq!(sent[..4], answered);
    assert_eq!(sent[4..8], ["0 > 67890", "0 sent", "0 Complete", "1 GET /a"]);
    let closed = early.clone().close().lines();
    assert_eq!(closed[4..], ["0 Complete", "gone"]);
}

#[test]
fn an_upgrade_and_a_tunnel_end_http() {
    for (request, response) in [
        (
            "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n\x01\x02GET /no HTTP/1.1\r\n\r\n",
        ),
        (
            "CONNECT h:443 HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 Established\r\n\r\nHTTP/1.1 200 no\r\n\r\n",
        ),
    ] {
        let lines = Scene::new().write(request).read(response).write(GET).lines();
        assert_eq!(lines[3..], ["0 Upgraded", "foreign", "gone"], "{request}");
    }
}

#[test]
fn old_and_sloppy_heads_are_read() {
    let scene = Scene::new()
        .write("\r\n\r\nGET /a HTTP/1.1\nX-Long: a\r\n b\nHost: h\n\n")
        .read("\r\nHTTP/1.1 200\r\nbroken line\r\nContent-Length : 2\r\nX: a\r\n\tb\r\n\r\nok")
        .clone();
    assert_eq!(
        scene.lines(),
        ["0 GET /a", "0 sent", "0 200", "0 < ok", "0 Complete", "gone"]
    );
}

#[test]
fn smuggling_shapes_are_read_as_the_rfc_says() {
    let both =
        "POST /p HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";
    assert_eq!(Scene::new().write(both).lines()[1..3], ["0 > abcde", "0 sent"]);
    let same = "POST /p HTTP/1.1\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(Scene::new().write(same).lines()[1..3], ["0 > abc", "0 sent"]);
    for fields in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: +3",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
    ] {
        let lines = Scene::new()
            .write(format!(
                "POST /p HTTP/1.1\r\n{fields}\r\n\r\nGET /no HTTP/1.1\r\n\r\n"
            ))
            .write(GET)
            .lines();
        assert_eq!(
            lines[..3],
            ["0 POST /p", "0 Desynchronised(Request)", "1 GET /a"],
            "{fields}"
        );
    }
}

#[test]
fn joined_late_the_next_request_is_the_first() {
    let scene = Scene::joined_late()
        .read("rest of some body")
        .read("and POST in it")
        .write(GET)
        .read(length(2))
        .read("ok")
        .clone();
    let (transcript, counters) = scene.run();
    assert_eq!(
        transcript.lines,
        ["0 GET /a", "0 sent", "0 200", "0 < ok", "0 Complete", "gone"]
    );
    assert_eq!(counters.get(Counter::UnsynchronisedBytes), 31);
}

#[test]
fn joined_late_a_response_stands_alone() {
    let scene = Scene::joined_late()
        .write("rest of a prompt")
        .read(length(2))
        .read("ok")
        .write(GET)
        .clone();
    assert_eq!(
        scene.lines()[..5],
        ["0 200", "0 < ok", "0 Complete", "1 GET /a", "1 sent"]
    );
}

#[test]
fn a_hole_in_a_body_of_known_length_is_passed_exactly() {
    let scene = Scene::new()
        .write(post(10))
        .write("12")
        .lose(Write, 6)
        .write("90")
        .read(length(5))
        .read("a")
        .lose(Read, 4)
        .write(GET)
        .read(length(0))
        .clone();
    let (transcript, counters) = scene.run();
    assert_eq!(
        transcript.lines,
        [
            "0 POST /p",
            "0 > 12",
            "0 > hole 6 Lost",
            "0 > 90",
            "0 sent",
            "0 200",
            "0 < a",
            "1 GET /a",
            "1 sent",
            "0 < hole 4 Lost",
            "0 Complete",
            "1 200",
            "1 Complete",
            "gone"
        ]
    );
    assert_eq!(counters.get(Counter::HoleBytes), 10);
}

#[test]
fn a_hole_within_one_chunk_is_passed_exactly() {
    let scene = Scene::new()
        .write(GET)
        .read(format!("{CHUNKED}a\r\n12"))
        .lose(Read, 6)
        .read("90\r\n1\r\nx")
        .lose(Read, 2)
        .read("0\r\n\r\n")
        .clone();
    assert_eq!(
        scene.lines()[2..],
        [
            "0 200",
            "0 < 12",
            "0 < hole 6 Lost",
            "0 < 90x",
            "0 Complete",
            "gone"
        ]
    );
}

#[test]
fn after_a_hole_across_chunks_the_next_chunk_is_found() {
    let scene = Scene::new()
        .write(GET)
        .read(format!("{CHUNKED}a\r\n12"))
        .lose(Read, 600)
        .read("tail of a chunk\r\n\r\nzz\r\n\r\n5\r\nhello\r\n")
        .read("7\r\n, usage\r\n0\r\n\r\n")
        .write(GET)
        .read(length(0))
        .clone();
    assert_eq!(
        scene.lines()[2..],
        [
            "0 200",
            "0 < 12",
            "0 < hole 8 Lost",
            "0 < hole ? Lost",
            "0 < hello, usage",
            "0 Complete",
            "1 GET /a",
            "1 sent",
            "1 200",
            "1 Complete",
            "gone"
        ]
    );
}

#[test]
fn a_number_on_a_line_of_the_content_is_no_chunk() {
    let scene = Scene::new()
        .write(GET)
        .read(format!("{CHUNKED}a\r\n12"))
        .lose(Read, 600)
        .read("text\r\n5\r\nnot a chunk\r\n3\r\nyes\r\n0\r\n\r\n")
        .clone();
    assert_eq!(
        scene.lines()[5..],
        [
            "0 < hole ? Lost",
            "0 < not a",
            "0 < hole ? Lost",
            "0 < yes",
            "0 Complete",
            "gone"
        ]
    );
}

#[test]
fn a_hole_that_swallows_the_end_of_chunks_ends_at_the_next_message() {
    let begin = Scene::new()
        .write(GET)
        .read(format!("{CHUNKED}a\r\n12"))
        .lose(Read, 600)
        .clone();
    let by_response = begin.clone().read(length(2)).read("ok").lines();
    assert_eq!(
        by_response[5..],
        [
            "0 < hole ? Lost",
            "0 Desynchronised(Response)",
            "1 200",
            "1 < ok",
            "1 Complete",
            "gone"
        ]
    );
    let by_request = begin
        .clone()
        .read("rest")
        .write(GET)
        .read(length(2))
        .read("ok")
        .lines();
    assert_eq!(
        by_request[6..],
        [
            "0 Desynchronised(Response)",
            "1 GET /a",
            "1 sent",
            "1 200",
            "1 < ok",
            "1 Complete",
            "gone"
        ]
    );
}

#[test]
fn a_hole_in_a_chunked_request_does_not_cost_the_answer() {
    let scene = Scene::new()
        .write("POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12")
        .lose(Write, 100)
        .read(length(2))
        .read("ok")
        .write(GET)
        .read(length(0))
        .clone();
    let lines = scene.lines();
    assert_eq!(lines[..4], ["0 POST /p", "0 > 12", "0 200", "0 < ok"]);
    assert!(lines.contains(&"0 Complete".to_owned()), "{lines:?}");
    assert!(lines.contains(&"1 Complete".to_owned()), "{lines:?}");
}

#[test]
fn a_hole_in_a_head_costs_that_message_only() {
    let in_response = Scene::new()
        .write(GET)
        .read("HTTP/1.1 200 OK\r\nContent-")
        .lose(Read, 40)
        .read("body")
        .write(GET)
        .read(length(0))
        .clone();
    assert_eq!(
        in_response.lines(),
        [
            "0 GET /a",
            "0 sent",
            "0 Desynchronised(Waiting)",
            "1 GET /a",
            "1 sent",
            "1 200",
            "1 Complete",
            "gone"
        ]
    );
    let in_request = Scene::new()
        .write("POST /p HTTP/1.1\r\nHo")
        .lose(Write, 40)
        .read(length(0))
        .write(GET)
        .read(length(0))
        .clone();
    assert_eq!(
        in_request.lines(),
        [
            "0 200",
            "0 Complete",
            "1 GET /a",
            "1 sent",
            "1 200",
            "1 Complete",
            "gone"
        ]
    );
}

#[test]
fn how_far_an_exchange_came_is_told_at_the_end() {
    for (scene, expected) in [
        (Scene::new().write(post(3)).close(), "0 Closed(Request)"),
        (Scene::new().write(GET).close(), "0 Closed(Waiting)"),
        (
            Scene::new().write(GET).read(length(3)).exit(),
            "0 Closed(Response)",
        ),
        (
            Scene::new().write(GET).wait(SILENCE_MAX_NS + 1).read(length(0)),
            "0 TimedOut(Waiting)",
        ),
        (Scene::new().write(GET), "0 TracingStopped(Waiting)"),
    ] {
        let (transcript, counters) = scene.run();
        assert!(
            transcript.lines.contains(&expected.to_owned()),
            "{expected}: {transcript:?}"
        );
        assert_eq!(counters.get(Counter::ExchangesIncomplete), 1);
    }
}

#[test]
fn a_coded_body_comes_out_decoded() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, b"hello hello hello").expect("a Vec takes all");
    let coded = encoder.finish().expect("a Vec takes all");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        coded.len()
    );
    let scene = Scene::new().write(GET).read(head).read(coded).clone();
    assert_eq!(scene.lines()[3..5], ["0 < hello hello hello", "0 Complete"]);
}

#[test]
fn endless_heads_are_given_up() {
    for head in [
        format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(HEAD_MAX)),
        format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(FIELDS_MAX + 1)),
    ] {
        let scene = Scene::new()
            .write(GET)
            .read(length(0))
            .write(head)
            .write(GET)
            .clone();
        assert_eq!(scene.lines()[4..6], ["1 GET /a", "1 sent"]);
    }
}

#[test]
fn requests_without_end_and_without_answers_stay_bounded() {
    let mut scene = Scene::new();
    for _ in 0..=PIPELINED_MAX {
        scene.write(GET);
    }
    let (transcript, counters) = scene.run();
    assert_eq!(
        counters.get(Counter::ExchangesIncomplete),
        PIPELINED_MAX as u64 + 1
    );
    assert!(transcript.lines.contains(&"0 Evicted(Waiting)".to_owned()));
}
