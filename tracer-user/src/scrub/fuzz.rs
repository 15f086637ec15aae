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
    let (whole, http2) = run(&calls, usize::MAX);
    for size in [1, usize::from(size).max(1)] {
        assert_eq!(
            scrub(&calls, size),
            whole,
            "pieces of {size} bytes change the outcome"
        );
    }
    for (call, bytes) in calls.iter().zip(&whole) {
        assert_eq!(bytes.len(), call.bytes.len(), "one byte for one byte");
        // Of HTTP/2 the blanked bytes are zeros too, and what else is valid in their place.
        let unchanged = |(after, before): (&u8, &u8)| after == before || *after == BLANK;
        assert!(http2 || bytes.iter().zip(&*call.bytes).all(unchanged));
    }
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

/// What is left of each call, handed over in pieces of at most `size` bytes.
pub(super) fn scrub(calls: &[Call<'_>], size: usize) -> Vec<Vec<u8>> {
    run(calls, size).0
}

/// What is left of each call; and whether anything may have been HTTP/2.
fn run(calls: &[Call<'_>], size: usize) -> (Vec<Vec<u8>>, bool) {
    let mut scrubber = Scrubber::new();
    let mut left = vec![Vec::new(); calls.len()];
    let mut http2 = false;
    for (number, event) in events(calls, size) {
        if let ProbeEvent::Data(data) = scrubber.scrub(event)
            && let Some(left) = left.get_mut(number)
        {
            left.extend_from_slice(&data.bytes);
        }
        assert!(scrubber.len() <= CONNECTIONS_MAX);
        let mut streams = scrubber
            .connections
            .values()
            .flat_map(|connection| [&connection.read, &connection.write]);
        http2 |= streams.any(|stream| stream.frames.is_some());
    }
    (left, http2)
}
