//! Processes that the kernel side passes over.

use super::super::process::Stat;
use super::super::{LeftAlone, Options};
use super::{collect_until_freed, is_root, pieces, stand_in, tracer};
use crate::event::Direction;

/// As if this had just been decided.
fn leave_alone(left_alone: &LeftAlone, start_ticks: u64) {
    left_alone.add_if(std::process::id(), start_ticks, || true);
}

#[test]
fn what_passes_meanwhile_is_not_copied_and_the_connection_is_joined_late() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach(&mut tracer);
    let left_alone = tracer.left_alone();
    let pid = std::process::id();
    let start = Stat::read(pid).unwrap().start_ticks;
    let ssl = 0x7000;
    let write = |text: &[u8]| stand_in::write(ssl, text.as_ptr(), 5, 5);

    stand_in::new(ssl);
    write(b"begin");
    // An earlier process that had this pid.
    leave_alone(&left_alone, start - 1);
    assert!(!left_alone.contains(pid));
    write(b"goon.");
    leave_alone(&left_alone, start);
    assert!(left_alone.contains(pid));
    write(b"CANRY");
    left_alone.remove(pid);
    write(b"again");
    // It has become another program before that was told.
    left_alone.add_if(pid, start, || false);
    write(b"more.");
    leave_alone(&left_alone, start);
    left_alone.clear();
    write(b"end..");
    stand_in::free(ssl);

    let events = collect_until_freed(&mut tracer, ssl);
    let told: Vec<_> = pieces(&events, ssl, Direction::Write)
        .into_iter()
        .map(|piece| {
            let text = String::from_utf8_lossy(&piece.bytes).into_owned();
            (
                piece.connection.generation,
                piece.stream_offset,
                piece.joined_late,
                text,
            )
        })
        .collect();
    let [first, .., last] = told.as_slice() else {
        panic!("{told:?}")
    };
    let (before, after) = (first.0, last.0);
    assert!(before < after, "another connection, as far as is known");
    let expected = [
        (before, 0, false, "begin"),
        (before, 5, false, "goon."),
        (after, 0, true, "again"),
        (after, 5, true, "more."),
        (after, 10, true, "end.."),
    ];
    assert_eq!(
        told,
        expected.map(|(generation, offset, late, text)| (generation, offset, late, text.to_owned()))
    );
}
