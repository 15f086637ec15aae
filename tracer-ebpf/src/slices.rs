//! The plaintext of one TLS record of rustls, as the process has it in its memory.

use aya_ebpf::helpers::bpf_probe_read_user;
use tracer_common::limits::{LARGE, SLICES};
use tracer_common::state::loss;

use crate::connection::Connection;
use crate::emit::Transfer;
use crate::hints;
use crate::maps;
use crate::process::Caller;

/// The plaintext of one record, in one or several pieces.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Slices {
    /// An array of pointers and lengths; 0 where there is one piece only, whose place `start` and `end` tell.
    pub(crate) array: u64,
    count: u64,
    /// Which part of all the bytes of the array is meant.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Slices {
    /// `OutboundChunks` of rustls 0.23: a first word of 0 is the variant `Single`.
    #[inline(always)]
    pub(crate) fn of(chunks: u64) -> Self {
        let word = |index: u64| read::<u64>(chunks + 8 * index).unwrap_or(0);
        let array = word(0);
        if array == 0 {
            return Self::only(word(1), word(2));
        }
        Self {
            array,
            count: word(1),
            start: word(2),
            end: word(3),
        }
    }

    /// A slice.
    #[inline(always)]
    pub(crate) fn one(slice: u64) -> Self {
        Self::only(
            read::<u64>(slice).unwrap_or(0),
            read::<u64>(slice + 8).unwrap_or(0),
        )
    }

    #[inline(always)]
    pub(crate) fn only(start: u64, length: u64) -> Self {
        Self {
            array: 0,
            count: 0,
            start,
            end: start + length,
        }
    }

    /// Where the plaintext begins. Only a hint hangs on it: in an array, where its first piece begins.
    #[inline(always)]
    pub(crate) fn first_byte(&self) -> u64 {
        if self.array == 0 {
            self.start
        } else {
            read::<u64>(self.array).unwrap_or(0)
        }
    }

    /// Whether an array begins like a request to Bedrock.
    #[inline(always)]
    pub(crate) fn requests_bedrock(&self) -> bool {
        self.start == 0
            && hints::requests_bedrock(self.first_byte(), read::<u64>(self.array + 8).unwrap_or(0))
    }

    /// Hands over some of an array, as far as they are wanted of this connection, and leaves the rest. Whether there is any.
    #[inline(always)]
    pub(crate) fn hand_over(&mut self, caller: Caller, address: u64, connection: &mut Connection) -> bool {
        let mut index = 0;
        while index < SLICES {
            if self.count == 0 || self.end == 0 {
                return false;
            }
            // Both words at once: of two results that are tested together the verifier loses sight.
            let Some([pointer, length]) = read::<[u64; 2]>(self.array) else {
                return false;
            };
            let to = if length < self.end { length } else { self.end };
            if self.start < to {
                let start = pointer + self.start;
                piece(caller, address, connection, true, start, to - self.start);
            }
            self.array += 16;
            self.count -= 1;
            self.start = self.start.saturating_sub(length);
            self.end -= to;
            index += 1;
        }
        true
    }

    /// What could not be followed to its end is a hole.
    #[inline(always)]
    pub(crate) fn omit_rest(&self, connection: &mut Connection) {
        if self.start < self.end {
            let rest = self.end - self.start;
            maps::lose(loss::CALL_CAP, 1, rest);
            connection.stream(true).offset += rest;
        }
    }
}

/// Hands over some plaintext, and counts it in the stream.
#[inline(always)]
pub(crate) fn piece(
    caller: Caller,
    address: u64,
    connection: &mut Connection,
    write: bool,
    buffer: u64,
    length: u64,
) {
    // A TLS record holds no more, RFC 8446 section 5.1.
    let possible = if length > LARGE as u64 {
        LARGE as u64
    } else {
        length
    };
    if possible < length {
        maps::lose(loss::CALL_CAP, 1, length - possible);
    }
    let allowed = connection.allowance(write, possible);
    let transfer = Transfer::new(caller, address, connection, write, buffer, length, allowed);
    connection.stream(write).offset += length;
    transfer.hand_over_small();
}

/// Reads the memory of the process.
#[inline(always)]
pub(crate) fn read<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}
