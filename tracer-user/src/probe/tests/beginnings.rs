//! Libraries of which no probe tells when they make a connection object: what is written tells.

use super::super::Options;
use super::{collect, is_root, joined, pieces, stand_in, tracer};
use crate::event::{ConnectionKey, Data, Direction, ProbeEvent, Verdict};

const REQUEST: &[u8] = b"GET /one HTTP/1.1\r\nHost: example.test\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";

fn write(ssl: u64, bytes: &[u8]) {
    let size = i32::try_from(bytes.len()).unwrap();
    stand_in::write(ssl, bytes.as_ptr(), size, size);
}

fn read(ssl: u64, bytes: &[u8]) {
    let size = i32::try_from(bytes.len()).unwrap();
    stand_in::read(ssl, bytes.as_ptr(), size, size);
}

/// The peer has ended the connection.
fn read_end(ssl: u64) {
    stand_in::read(ssl, RESPONSE.as_ptr(), 1, 0);
}

/// The generations of all data, in order, each once.
fn generations(pieces: &[Data<'_>]) -> Vec<ConnectionKey> {
    let mut keys: Vec<_> = pieces.iter().map(|piece| piece.connection).collect();
    keys.dedup();
    keys
}

#[test]
fn what_begins_like_http_is_the_beginning_and_anything_else_is_joined_late() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach_without_beginnings(&mut tracer);
    let (one, two, late, answering) = (0x21_0000, 0x21_1000, 0x21_2000, 0x21_3000);
    write(one, REQUEST);
    write(two, PREFACE);
    write(late, b"rest of a request that began before");
    read(answering, RESPONSE);
    for ssl in [one, two, late, answering] {
        read_end(ssl);
    }
    let mut ends = 0;
    let events = collect(&mut tracer, |event| {
        ends += usize::from(matches!(event, ProbeEvent::Close { .. }));
        ends == 4
    });
    for (ssl, expected) in [(one, false), (two, false), (late, true)] {
        let written = pieces(&events, ssl, Direction::Write);
        assert_eq!(written.len(), 1);
        assert_eq!(written[0].joined_late, expected, "{ssl:#x}");
    }
    assert!(pieces(&events, answering, Direction::Read)[0].joined_late);
}

#[test]
fn the_answer_to_a_request_that_was_given_up_does_not_go_on_with_the_next() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach_without_beginnings(&mut tracer);
    let ssl = 0x22_0000;
    write(ssl, REQUEST);
    read(ssl, RESPONSE);
    read(ssl, b"half");
    // Another connection, at the address of the one that was given up.
    write(ssl, REQUEST);
    write(ssl, b"its body");
    read(ssl, RESPONSE);
    write(ssl, PREFACE);
    read_end(ssl);
    let events = collect(&mut tracer, |event| matches!(event, ProbeEvent::Close { .. }));
    let written = pieces(&events, ssl, Direction::Write);
    let keys = generations(&written);
    assert_eq!(keys.len(), 3);
    assert!(keys.is_sorted_by(|one, other| one.generation < other.generation));
    let of = |key: ConnectionKey, direction| {
        let mut pieces = pieces(&events, ssl, direction);
        pieces.retain(|piece| piece.connection == key);
        joined(&pieces)
    };
    assert_eq!(of(keys[0], Direction::Read), [RESPONSE, b"half"].concat());
    assert_eq!(of(keys[1], Direction::Write), [REQUEST, b"its body"].concat());
    assert_eq!(of(keys[1], Direction::Read), RESPONSE);
    assert_eq!(of(keys[2], Direction::Write), PREFACE);
    assert!(written.iter().all(|piece| !piece.joined_late));
}

#[test]
fn an_address_that_was_ignored_may_carry_a_wanted_connection_later() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach_without_beginnings(&mut tracer);
    let ssl = 0x23_0000;
    write(ssl, REQUEST);
    let verdicts = tracer.verdicts();
    let mut ignored = None;
    collect(&mut tracer, |event| {
        if let ProbeEvent::Data(data) = event {
            verdicts.set(data.connection, Verdict::Ignore).unwrap();
            ignored = Some(data.connection);
        }
        ignored.is_some()
    });
    read(ssl, RESPONSE);
    write(ssl, b"more of what nobody wants");
    write(ssl, PREFACE);
    read(ssl, b"wanted");
    read_end(ssl);
    let events = collect(&mut tracer, |event| matches!(event, ProbeEvent::Close { .. }));
    let written = pieces(&events, ssl, Direction::Write);
    assert_eq!(joined(&written), PREFACE);
    assert!(Some(written[0].connection) > ignored);
    assert_eq!(joined(&pieces(&events, ssl, Direction::Read)), b"wanted");
}
