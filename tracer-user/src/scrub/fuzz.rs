//! Entry for the fuzzer; the tests call it too, on inputs of their own.

use std::borrow::Cow;

use super::{BLANK, Scrubber};
use crate::event::{ConnectionKey, Data, Direction, Monotonic, ProbeEvent, ProcessKey};

/// One call as a list of pieces; a hole may come before it.
pub(super) struct Call<'a> {
    pub(super) direction: Direction,
    pub(super) hole: u64,
    pub(super) bytes: &'a [u8],
}

/// Calls with any bytes, cut at zeros, in one piece and in pieces: the outcome is the same, only ever `*` in the place of
/// a byte, and scrubbing it again changes nothing. The first byte chooses the size of the pieces.
pub fn fuzz(data: &[u8]) {
    let Some((&size, bytes)) = data.split_first() else {
        return;
    };
    let calls: Vec<Call<'_>> = bytes
        .split(|byte| *byte == 0)
        .map(|bytes| {
            let control = bytes.first().copied().unwrap_or_default();
            Call {
                direction: if control & 1 == 0 {
                    Direction::Write
                } else {
                    Direction::Read
                },
                hole: u64::from(control.is_ascii_punctuation()),
                bytes,
            }
        })
        .collect();
    let whole = scrub(&calls, usize::MAX);
    for size in [1, usize::from(size).max(1)] {
        assert_eq!(
            scrub(&calls, size),
            whole,
            "pieces of {size} bytes change the outcome"
        );
    }
    let again: Vec<Call<'_>> = calls
        .iter()
        .zip(&whole)
        .map(|(call, bytes)| Call {
            direction: call.direction,
            hole: call.hole,
            bytes,
        })
        .collect();
    let dropped = calls
        .iter()
        .zip(&whole)
        .any(|(call, bytes)| call.bytes.len() != bytes.len());
    if !dropped {
        assert_eq!(
            scrub(&again, usize::MAX),
            whole,
            "scrubbing twice is scrubbing once"
        );
    }
    for (call, bytes) in calls.iter().zip(&whole) {
        assert!(
            bytes
                .iter()
                .zip(call.bytes)
                .all(|(after, before)| after == before || *after == BLANK)
        );
    }
}

/// What is left of each call, handed over in pieces of at most `size` bytes.
pub(super) fn scrub(calls: &[Call<'_>], size: usize) -> Vec<Vec<u8>> {
    let mut scrubber = Scrubber::new();
    let mut next = [0_u64; 2];
    calls
        .iter()
        .map(|call| {
            let mut left = Vec::new();
            let place = &mut next[usize::from(call.direction == Direction::Read)];
            *place += call.hole;
            let mut call_offset = 0;
            for piece in call.bytes.chunks(size.min(call.bytes.len().max(1))) {
                let event = data(call, *place, call_offset, piece);
                if let Some(ProbeEvent::Data(data)) = scrubber.scrub(event) {
                    left.extend_from_slice(&data.bytes);
                }
                *place += piece.len() as u64;
                call_offset += piece.len() as u64;
            }
            left
        })
        .collect()
}

pub(super) fn connection(generation: u32) -> ConnectionKey {
    let process = ProcessKey { pid: 7, start_ns: 1 };
    ConnectionKey {
        process,
        address: 0x7f00,
        generation,
    }
}

fn data<'a>(call: &Call<'_>, stream_offset: u64, call_offset: u64, bytes: &'a [u8]) -> ProbeEvent<'a> {
    ProbeEvent::Data(Data {
        connection: connection(0),
        direction: call.direction,
        thread: 7,
        time: Monotonic(1),
        stream_offset,
        call_length: call.bytes.len() as u64,
        call_offset,
        joined_late: false,
        bytes: Cow::Borrowed(bytes),
    })
}
