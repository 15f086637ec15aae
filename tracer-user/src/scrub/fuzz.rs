//! Entry for the fuzzer; the tests call it too, on inputs of their own.

use super::{BLANK, CONNECTIONS_MAX, Scrubber};
use crate::event::ProbeEvent;
use crate::event::script::{Call, events};

/// A script of calls in one piece and in pieces: the outcome is the same, only ever `*` in the place of a byte, and
/// scrubbing it again changes nothing. The first byte chooses the size of the pieces.
pub fn fuzz(data: &[u8]) {
    let Some((&size, script)) = data.split_first() else {
        return;
    };
    let calls = Call::parse(script);
    let whole = scrub(&calls, usize::MAX);
    for size in [1, usize::from(size).max(1)] {
        assert_eq!(
            scrub(&calls, size),
            whole,
            "pieces of {size} bytes change the outcome"
        );
    }
    for (call, bytes) in calls.iter().zip(&whole) {
        let unchanged = |(after, before): (&u8, &u8)| after == before || *after == BLANK;
        assert!(bytes.iter().zip(&*call.bytes).all(unchanged));
    }
    if calls
        .iter()
        .zip(&whole)
        .all(|(call, bytes)| call.bytes.len() == bytes.len())
    {
        let again: Vec<Call<'_>> = calls
            .iter()
            .zip(&whole)
            .map(|(call, bytes)| Call {
                bytes: bytes.into(),
                ..call.clone()
            })
            .collect();
        assert_eq!(
            scrub(&again, usize::MAX),
            whole,
            "scrubbing twice is scrubbing once"
        );
    }
}

/// What is left of each call, handed over in pieces of at most `size` bytes.
pub(super) fn scrub(calls: &[Call<'_>], size: usize) -> Vec<Vec<u8>> {
    let mut scrubber = Scrubber::new();
    let mut left = vec![Vec::new(); calls.len()];
    for (number, event) in events(calls, size) {
        if let Some(ProbeEvent::Data(data)) = scrubber.scrub(event)
            && let Some(left) = left.get_mut(number)
        {
            left.extend_from_slice(&data.bytes);
        }
        assert!(scrubber.len() <= CONNECTIONS_MAX);
    }
    left
}
