//! Streams as servers write them, and as they must not break the reader.

use proptest::prelude::*;

use super::fuzz::{fuzz, read};
use super::{Item, MAX_EVENT, Reader};

fn items(stream: &str) -> Vec<String> {
    for size in [1, 2, 3, 7] {
        assert_eq!(
            read(stream.as_bytes(), size, None),
            read(stream.as_bytes(), usize::MAX, None)
        );
    }
    read(stream.as_bytes(), usize::MAX, None)
}

#[test]
fn events_have_a_kind_and_data() {
    assert_eq!(
        items("event: ping\ndata: {}\n\ndata: {\"a\": 1}\n\ndata: [DONE]\n\n"),
        ["ping: {}", ": {\"a\": 1}", ": [DONE]"]
    );
}

#[test]
fn lines_end_in_any_way() {
    for end in ["\n", "\r", "\r\n"] {
        let stream = format!("event: a{end}data: 1{end}data: 2{end}{end}data: 3{end}{end}");
        assert_eq!(items(&stream), ["a: 1\n2", ": 3"], "{end:?}");
    }
}

#[test]
fn comments_and_other_fields_are_nothing_and_one_space_is_left_out() {
    assert_eq!(
        items(": keep alive\n\nid: 7\nretry: 5\ndata:a\ndata:  b\ndata\n\nevent: lonely\n\ndata:\n\n"),
        [": a\n b\n", ": "]
    );
}

#[test]
fn a_mark_of_byte_order_is_left_out_at_the_beginning_only() {
    assert_eq!(items("\u{feff}data: 1\n\n\u{feff}data: 2\n\n"), [": 1"]);
}

#[test]
fn an_event_without_its_blank_line_is_given_and_half_a_line_is_not() {
    assert_eq!(items("data: 1\n\ndata: 2\n"), [": 1", ": 2"]);
    assert_eq!(items("data: 1\n\ndata: 2"), [": 1", "Truncated"]);
    assert_eq!(items("data: 1\n\nevent: x\n"), [": 1"]);
    assert!(items("").is_empty());
}

#[test]
fn a_hole_costs_the_event_it_hits() {
    let stream = b"data: 1\n\ndata: 2\n\ndata: 3\n\n";
    for (at, after) in [(11, 14), (9, 16), (3, 12)] {
        let mut cut = stream[..at].to_vec();
        cut.extend_from_slice(&stream[after..]);
        let found = read(&cut, 1, Some(at));
        assert!(found.contains(&"Hole".to_owned()), "{found:?}");
        assert_eq!(found.last().map(String::as_str), Some(": 3"), "{found:?}");
        assert!(!found.contains(&": 2".to_owned()), "{found:?}");
    }
    assert_eq!(read(b"data: 1\n\n", 9, Some(9)), [": 1", "Hole"]);
    // What follows a hole may be the middle of a line: it ends no event by being empty.
    assert_eq!(read(b"\nmore\n\ndata: 1\n\n", 3, Some(0)), ["Hole", ": 1"]);
}

#[test]
fn an_event_beyond_the_cap_costs_itself_only() {
    let long = "x".repeat(MAX_EVENT / 2);
    let stream = format!("data: 1\n\ndata: {long}\ndata: {long}\n\ndata: 2\n\n");
    for size in [usize::MAX, 1 << 20, 4093] {
        assert_eq!(
            read(stream.as_bytes(), size, None),
            [": 1", "Oversized", ": 2"],
            "{size}"
        );
    }
    let mut reader = Reader::new();
    reader.feed(stream.as_bytes(), &mut |_: Item<'_>| ());
    assert!(reader.line.capacity() + reader.data.capacity() < 1 << 18);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz(&data);
    }

    /// Made of pieces that matter, so that chance finds the corners.
    #[test]
    fn any_split_gives_the_same(
        size in any::<u8>(),
        hole in any::<u8>(),
        pieces in proptest::collection::vec(prop_oneof![
            Just("data: a"), Just("data:"), Just("event: b"), Just(": c"), Just("\n"), Just("\r"), Just("\r\n"), Just("\u{feff}"),
            Just("\n\n"), Just("data"), Just("x"),
        ], 0..40),
    ) {
        let mut input = vec![size, hole];
        input.extend_from_slice(pieces.concat().as_bytes());
        fuzz(&input);
    }

    /// Whatever is written is read again.
    #[test]
    fn what_is_written_is_read(events in proptest::collection::vec(("[a-z_.]{0,8}", "[ -~\n]{0,40}"), 0..20), end in 0..3usize) {
        let end = ["\n", "\r", "\r\n"][end];
        let mut stream = String::new();
        for (kind, data) in &events {
            if !kind.is_empty() {
                stream.extend(["event: ", kind, end]);
            }
            for line in data.split('\n') {
                stream.extend(["data: ", line, end]);
            }
            stream += end;
        }
        let expected: Vec<String> = events.iter().map(|(kind, data)| format!("{kind}: {data}")).collect();
        prop_assert_eq!(read(stream.as_bytes(), 3, None), expected);
    }
}
