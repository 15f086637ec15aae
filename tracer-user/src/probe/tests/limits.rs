//! Large calls, full rings and memory that cannot be read: what is missing shows, what is there is in its place.

use tracer_common::limits::{CALL_CAP, CALL_HEAD, UNKNOWN_PREFIX};

use super::super::{Options, Tracer};
use super::{collect, collect_until_freed, is_root, joined, pieces, stand_in, tracer};
use crate::event::{Data, Direction, LossReason, Lost, ProbeEvent};

/// Bytes that tell where they are.
fn pattern(length: usize) -> Vec<u8> {
    (0..length.div_ceil(8))
        .flat_map(|index| (index as u64).to_le_bytes())
        .take(length)
        .collect()
}

/// Whether every piece holds what was at its place.
fn assert_in_place(pieces: &[Data<'_>], stream: &[u8]) {
    for piece in pieces {
        let start = usize::try_from(piece.stream_offset).unwrap();
        assert!(
            stream[start..start + piece.bytes.len()] == *piece.bytes,
            "bytes at {start} are from elsewhere"
        );
    }
}

fn size(length: usize) -> i32 {
    i32::try_from(length).unwrap()
}

/// What was lost so far and by the next tick.
fn losses(tracer: &mut Tracer, so_far: &[ProbeEvent<'static>]) -> Vec<Lost> {
    let until_tick = collect(tracer, |event| matches!(event, ProbeEvent::Tick(_)));
    so_far
        .iter()
        .chain(&until_tick)
        .filter_map(|event| match event {
            ProbeEvent::Lost(lost) => Some(*lost),
            _ => None,
        })
        .collect()
}

#[test]
fn a_prompt_of_five_megabytes_is_whole_when_its_head_names_an_operation() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach(&mut tracer);
    let ssl = 0x11_0000;
    let head = b"POST /model/anthropic.claude-v2/converse HTTP/1.1\r\n\r\n";
    let body = pattern(5_000_054);
    let mut count = 0;

    stand_in::new(ssl);
    stand_in::write(ssl, head.as_ptr(), size(head.len()), size(head.len()));
    stand_in::write_internal(ssl, body.as_ptr(), body.len(), 0, &mut count, body.len());
    stand_in::free(ssl);

    let events = collect_until_freed(&mut tracer, ssl);
    let written = pieces(&events, ssl, Direction::Write);
    assert!(joined(&written) == [head.as_slice(), &body].concat());
    let call: Vec<_> = written.iter().skip(1).collect();
    assert_eq!(call.len(), 306, "305 full records and the rest");
    assert!(call.iter().all(|piece| piece.call_length == 5_000_054));
    assert!(
        call.iter()
            .all(|piece| piece.call_offset + head.len() as u64 == piece.stream_offset)
    );
    assert_eq!(losses(&mut tracer, &events), []);
}

#[test]
fn while_nobody_knows_a_connection_a_prefix_is_handed_over_and_the_rest_is_a_hole() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach(&mut tracer);
    let ssl = 0x12_0000;
    let prefix = usize::try_from(UNKNOWN_PREFIX).unwrap();
    let stream = pattern(prefix + 1000);

    stand_in::new(ssl);
    stand_in::write(ssl, stream.as_ptr(), 100, 100);
    let rest = stream.len() - 100;
    stand_in::write(ssl, stream.as_ptr().wrapping_add(100), size(rest), size(rest));
    stand_in::write(ssl, stream.as_ptr(), 10, 10);
    stand_in::read(ssl, b"the other direction has its own".as_ptr(), 31, 31);
    stand_in::free(ssl);

    let events = collect_until_freed(&mut tracer, ssl);
    let written = pieces(&events, ssl, Direction::Write);
    assert!(joined(&written) == stream[..prefix]);
    assert_eq!(
        joined(&pieces(&events, ssl, Direction::Read)),
        b"the other direction has its own"
    );
}

#[test]
fn of_a_call_beyond_the_cap_head_and_tail_are_handed_over() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(64 << 20);
    stand_in::attach(&mut tracer);
    let ssl = 0x13_0000;
    let omitted = 3 * 1_000_003;
    let length = usize::try_from(CALL_CAP).unwrap() + omitted;
    let mut stream = pattern(length);
    stream[..16].copy_from_slice(b"POST /model/x/in");

    stand_in::new(ssl);
    stand_in::write(ssl, stream.as_ptr(), size(length), size(length));
    stand_in::write(ssl, b"next".as_ptr(), 4, 4);
    stand_in::free(ssl);

    let events = collect_until_freed(&mut tracer, ssl);
    stream.extend_from_slice(b"next");
    let written = pieces(&events, ssl, Direction::Write);
    assert_in_place(&written, &stream);
    let behind = written
        .iter()
        .position(|piece| piece.stream_offset > CALL_HEAD)
        .unwrap();
    let (head, tail) = written.split_at(behind);
    assert_eq!(joined(head).len() as u64, CALL_HEAD);
    assert_eq!(tail[0].stream_offset, CALL_HEAD + omitted as u64);
    assert_eq!(
        tail.iter().map(|piece| piece.bytes.len() as u64).sum::<u64>(),
        CALL_CAP - CALL_HEAD + 4
    );
    let lost = losses(&mut tracer, &events);
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].reason, LossReason::CallCap);
    assert_eq!(lost[0].bytes, omitted as u64);
}

#[test]
fn a_full_ring_makes_holes_that_are_counted_to_the_byte() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(64 << 10);
    stand_in::attach(&mut tracer);
    let ssl = 0x14_0000;
    let mut stream = pattern(1 << 20);
    stream[..16].copy_from_slice(b"POST /model/x/in");

    stand_in::new(ssl);
    stand_in::write(ssl, stream.as_ptr(), 1 << 20, 1 << 20);
    let events = collect(&mut tracer, |event| matches!(event, ProbeEvent::Tick(_)));
    stand_in::write(ssl, b"after".as_ptr(), 5, 5);
    stand_in::free(ssl);
    let later = collect_until_freed(&mut tracer, ssl);

    let written = pieces(&events, ssl, Direction::Write);
    assert_in_place(&written, &stream);
    let seen: u64 = written.iter().map(|piece| piece.bytes.len() as u64).sum();
    assert!(seen > 0);
    let lost: Vec<&Lost> = events
        .iter()
        .filter_map(|event| match event {
            ProbeEvent::Lost(lost) => Some(lost),
            _ => None,
        })
        .collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].reason, LossReason::ProcessShare);
    assert_eq!(lost[0].process.unwrap().pid, std::process::id());
    assert_eq!(lost[0].bytes, (1 << 20) - seen);
    assert_eq!(lost[0].records, 64 - written.len() as u64);
    let after = pieces(&later, ssl, Direction::Write);
    assert_eq!(after[0].stream_offset, 1 << 20, "the lost bytes still count");
    assert_eq!(after[0].bytes.as_ref(), b"after");
}

#[test]
fn memory_that_cannot_be_read_makes_a_hole() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach(&mut tracer);
    let ssl = 0x15_0000;

    stand_in::write(ssl, std::ptr::without_provenance(8), 100, 100);
    stand_in::write(ssl, b"next".as_ptr(), 4, 4);
    stand_in::free(ssl);

    let events = collect_until_freed(&mut tracer, ssl);
    let written = pieces(&events, ssl, Direction::Write);
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].stream_offset, 100);
    assert_eq!(written[0].bytes.as_ref(), b"next");
    let mut lost = losses(&mut tracer, &events);
    lost.retain(|lost| lost.reason == LossReason::ReadFault);
    assert_eq!((lost[0].records, lost[0].bytes), (1, 100));
}
