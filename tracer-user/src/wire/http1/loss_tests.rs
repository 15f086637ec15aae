//! Which response answers which request, when some of both are lost: the right one, or none.

use crate::event::Direction::{Read, Write};
use crate::wire::tests::Scene;

use super::tests::{CHUNKED, GET, length, post};

const NEXT: &str = "GET /b HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn behind_lost_responses_the_last_request_is_answered() {
    let scene = Scene::new()
        .write(GET)
        .lose(Read, 900)
        .write(NEXT)
        .read(length(2))
        .read("ok")
        .clone();
    assert_eq!(
        scene.lines(),
        [
            "0 GET /a",
            "0 sent",
            "1 GET /b",
            "1 sent",
            "0 Desynchronised(Waiting)",
            "1 200",
            "1 < ok",
            "1 Complete",
            "gone"
        ]
    );
}

#[test]
fn a_response_whose_request_was_lost_does_not_answer_another() {
    let scene = Scene::new()
        .write(GET)
        .read(length(0))
        .write(NEXT)
        .lose(Read, 900)
        .lose(Write, 200)
        .read(length(2))
        .read("ok")
        .write(GET)
        .read(length(0))
        .clone();
    assert_eq!(
        scene.lines()[3..],
        [
            "0 Complete",
            "1 GET /b",
            "1 sent",
            "1 Desynchronised(Waiting)",
            "2 200",
            "2 < ok",
            "2 Complete",
            "3 GET /a",
            "3 sent",
            "3 200",
            "3 Complete",
            "gone"
        ]
    );
}

#[test]
fn a_request_of_which_something_is_missing_is_not_answered_behind_a_hole() {
    let scene = Scene::new()
        .write(GET)
        .read(CHUNKED)
        .read("a\r\n12")
        .lose(Read, 3000)
        .write(post(600))
        .write("beginning")
        .lose(Write, 4000)
        .read(length(2))
        .read("ok")
        .clone();
    let lines = scene.lines();
    let answered = lines
        .iter()
        .find(|line| line.ends_with(" 200") && !line.starts_with('0'));
    assert_eq!(answered.map(String::as_str), Some("2 200"), "{lines:#?}");
    assert!(
        lines.contains(&"1 Desynchronised(Request)".to_owned()),
        "{lines:#?}"
    );
}

#[test]
fn a_request_behind_a_hole_has_its_answer() {
    let both_lost = Scene::new()
        .write(GET)
        .read(length(0))
        .lose(Write, 200)
        .lose(Read, 900)
        .write(NEXT)
        .read(length(2))
        .read("ok")
        .clone();
    let end_lost = Scene::new()
        .write(GET)
        .read(CHUNKED)
        .read("a\r\n12")
        .lose(Read, 900)
        .write(NEXT)
        .read(length(2))
        .read("ok")
        .clone();
    for scene in [both_lost, end_lost] {
        let lines = scene.lines();
        let end = &lines[lines.len() - 4..];
        assert_eq!(end, ["1 200", "1 < ok", "1 Complete", "gone"], "{lines:#?}");
    }
}

#[test]
fn what_comes_when_the_next_request_was_sent_is_no_longer_of_the_response_before() {
    let scene = Scene::new()
        .write(GET)
        .read(CHUNKED)
        .read("a\r\n12")
        .lose(Read, 900)
        .write(NEXT)
        // A chunk, but of the second response.
        .read("3\r\nabc\r\n0\r\n\r\n")
        .write(GET)
        .read(length(0))
        .clone();
    let lines = scene.lines();
    assert!(!lines.iter().any(|line| line.contains("abc")), "{lines:#?}");
    for expected in [
        "0 Desynchronised(Response)",
        "1 Desynchronised(Waiting)",
        "2 Complete",
    ] {
        assert!(lines.contains(&expected.to_owned()), "{expected}: {lines:#?}");
    }
}
