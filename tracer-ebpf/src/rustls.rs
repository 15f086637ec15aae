//! rustls: plaintext goes into `MessageEncrypter::encrypt` and comes out of `MessageDecrypter::decrypt`, record by record.
//!
//! Both are trait methods, so every build has them as functions of their own. Neither knows its connection: each direction
//! is told by the address of its cipher state, and `partner` finds which two belong together. The connection goes by the
//! encrypter's address. TLS numbers the records of a key from 0: that shows a new key, and records that were missed.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::helpers::generated::bpf_get_attach_cookie;
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use tracer_common::cookie::RustlsShape;
use tracer_common::limits::{LARGE, SLICES};
use tracer_common::record::flag;
use tracer_common::state::{loss, verdict};

use crate::connection::{self, Connection, ConnectionKey};
use crate::emit::Transfer;
use crate::maps::{self, CIPHERS, DECRYPTS};
use crate::process::Caller;
use crate::registers::{self, RustCall};
use crate::{hints, partner};

/// Values of rustls' `ContentType`.
const ALERT: u8 = 1;
const APPLICATION_DATA: u8 = 3;

/// A sequence number that nobody has: the next record may have any.
const ANY: u64 = u64::MAX;

/// One key of one direction.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Cipher {
    /// Address that its connection goes by; 0 while no plaintext of the application has passed.
    connection: u64,
    /// Number of the record that must come next, or [`ANY`].
    next: u64,
}

/// What must be remembered of a decryption from entry to return.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Decrypt {
    result: u64,
    receiver: u64,
    /// The ciphertext, which is decrypted in place.
    buffer: u64,
    size: u64,
    number: u64,
    /// The encrypter beside it; 0 where it was not looked for or not found.
    partner: u64,
}

/// A record that passed through a cipher.
#[derive(Clone, Copy)]
struct Passed {
    receiver: u64,
    number: u64,
    partner: u64,
    write: bool,
}

/// Entry of `encrypt(&mut self, message, number)`.
#[inline(always)]
pub(crate) fn encrypt(context: &ProbeContext) {
    let caller = Caller::current();
    if !caller.is_followed() {
        return;
    }
    let call = registers::rust_call(context);
    let shape = shape(context);
    let kind_at = match shape {
        RustlsShape::Borrowed => 32,
        RustlsShape::Owned => 16,
    };
    let Some(kind) = read::<u8>(call.argument + kind_at) else {
        maps::lose(loss::READ_FAULT, 1, 0);
        return;
    };
    let passed = Passed {
        receiver: call.receiver,
        number: call.number,
        partner: if kind == APPLICATION_DATA && !is_settled(caller, &call) {
            partner::find(context, call.receiver, true)
        } else {
            0
        },
        write: true,
    };
    let slices = match shape {
        RustlsShape::Borrowed => Slices::of(call.argument),
        RustlsShape::Owned => Slices::one(call.argument),
    };
    if kind != APPLICATION_DATA {
        track(caller, passed, kind);
        return;
    }
    let first = slices.first_byte();
    let Some(address) = settle(caller, passed, first) else {
        return;
    };
    slices.hand_over(caller, address, true);
}

/// Entry of `decrypt(&mut self, message, number)`.
#[inline(always)]
pub(crate) fn decrypt(context: &ProbeContext) {
    let caller = Caller::current();
    if !caller.is_followed() {
        return;
    }
    let call = registers::rust_call(context);
    // 0.23 passes a slice, earlier versions a vector: capacity, pointer, length.
    let payload = match shape(context) {
        RustlsShape::Borrowed => call.argument,
        RustlsShape::Owned => call.argument + 8,
    };
    let (Some(buffer), Some(size)) = (read::<u64>(payload), read::<u64>(payload + 8)) else {
        maps::lose(loss::READ_FAULT, 1, 0);
        return;
    };
    let saved = Decrypt {
        result: call.result,
        receiver: call.receiver,
        buffer,
        size,
        number: call.number,
        partner: if is_settled(caller, &call) {
            0
        } else {
            partner::find(context, call.receiver, false)
        },
    };
    if DECRYPTS.insert(caller.pid_tgid, saved, 0).is_err() {
        maps::lose(loss::MAP_FULL, 1, 0);
    }
}

/// Return of the same.
#[inline(always)]
pub(crate) fn decrypted(context: &RetProbeContext) {
    let caller = Caller::current();
    let Some(saved) = DECRYPTS.get_ptr(caller.pid_tgid) else {
        return;
    };
    // SAFETY: a live map value, which only this thread writes.
    let saved = unsafe { *saved };
    let _gone = DECRYPTS.remove(caller.pid_tgid);
    // `Result<InboundPlainMessage, Error>` and `Result<PlainMessage, Error>`. What tells `Ok` from `Err` depends on the
    // version and the compiler; that the plaintext lies within the ciphertext does not.
    let fields = match shape(context) {
        RustlsShape::Borrowed => saved.result + 8,
        RustlsShape::Owned => saved.result + 16,
    };
    let (Some(start), Some(length), Some(kind)) = (
        read::<u64>(fields),
        read::<u64>(fields + 8),
        read::<u8>(fields + 16),
    ) else {
        maps::lose(loss::READ_FAULT, 1, 0);
        return;
    };
    let end = saved.buffer + saved.size;
    if start < saved.buffer || start > end || length > end - start {
        return;
    }
    let passed = Passed {
        receiver: saved.receiver,
        number: saved.number,
        partner: saved.partner,
        write: false,
    };
    if kind != APPLICATION_DATA {
        track(caller, passed, kind);
        return;
    }
    let slices = Slices::only(start, length);
    if let Some(address) = settle(caller, passed, start) {
        slices.hand_over(caller, address, false);
    }
}

/// Drops what was saved of a decryption of this thread.
#[inline(always)]
pub(crate) fn forget(caller: Caller) {
    let _gone = DECRYPTS.remove(caller.pid_tgid);
}

#[inline(always)]
fn shape<C: EbpfContext>(context: &C) -> RustlsShape {
    // SAFETY: the helper reads the cookie of the link that this program runs for.
    RustlsShape::decode(unsafe { bpf_get_attach_cookie(context.as_ptr()) })
}

/// Whether the connection of a cipher is known and the record is the one to come next.
#[inline(always)]
fn is_settled(caller: Caller, call: &RustCall) -> bool {
    match CIPHERS.get_ptr(ConnectionKey::new(caller, call.receiver)) {
        Some(cipher) => {
            // SAFETY: a live map value.
            let Cipher { connection, next } = unsafe { *cipher };
            connection != 0 && (next == call.number || next == ANY)
        }
        None => false,
    }
}

/// A record of the handshake, or an alert: counts it, and takes an alert for the end of the connection.
#[inline(always)]
fn track(caller: Caller, passed: Passed, kind: u8) {
    let key = ConnectionKey::new(caller, passed.receiver);
    let Some(cipher) = CIPHERS.get_ptr_mut(key) else {
        if passed.number == 0 {
            remember(key, 0, 1);
        }
        return;
    };
    // SAFETY: a live map value; a cipher is used by one thread at a time.
    let Cipher { connection, next } = unsafe { *cipher };
    if next == passed.number || next == ANY {
        remember(key, connection, passed.number + 1);
        if kind == ALERT && connection != 0 {
            connection::freed(connection);
        }
    } else if passed.number == 0 {
        // Another key where an old one was.
        remember(key, 0, 1);
    } else {
        let _gone = CIPHERS.remove(key);
    }
}

/// The connection that plaintext of the application belongs to, by its address; begins one where it takes that.
#[inline(always)]
fn settle(caller: Caller, passed: Passed, data: u64) -> Option<u64> {
    let Passed {
        receiver,
        number,
        partner,
        write,
    } = passed;
    let key = ConnectionKey::new(caller, receiver);
    let mut is_new_key = number == 0;
    if let Some(cipher) = CIPHERS.get_ptr_mut(key) {
        // SAFETY: as in `track`.
        let Cipher { connection, next } = unsafe { *cipher };
        if next == number || next == ANY {
            if connection != 0 {
                remember(key, connection, number + 1);
                return Some(connection);
            }
            // Only the handshake has passed so far, and all of it was seen.
            is_new_key = true;
        } else if number > next {
            maps::lose(loss::UNSEEN, number - next, 0);
        }
    }
    let other_key = ConnectionKey::new(caller, partner);
    let mut shared = 0;
    let mut other_next = ANY;
    if partner != 0
        && let Some(cipher) = CIPHERS.get_ptr(other_key)
    {
        // SAFETY: a live map value.
        let Cipher { connection, next } = unsafe { *cipher };
        if connection == 0 {
            other_next = next;
        } else if connection::uses(caller, connection, !write, partner) {
            shared = connection;
        }
    }
    // A new key beside one that is in use is a key update of TLS 1.3, unless an old connection was at this address before.
    if shared != 0 && is_new_key && !hints::begins(data, write) {
        connection::use_cipher(caller, shared, write, receiver);
        remember(key, shared, number + 1);
        return Some(shared);
    }
    let named = if write || partner == 0 { receiver } else { partner };
    // Where a connection that goes by this address has another key by now, the memory is free for others while it lives on.
    let address = named + u64::from(connection::has_moved_on(caller, named));
    let late = if is_new_key { 0 } else { flag::JOINED_LATE };
    let alone = if partner == 0 { flag::UNPAIRED } else { 0 };
    if !connection::begin(caller, address, late | alone) {
        return None;
    }
    connection::use_cipher(caller, address, write, receiver);
    remember(key, address, number + 1);
    if partner != 0 {
        connection::use_cipher(caller, address, !write, partner);
        remember(other_key, address, other_next);
    }
    Some(address)
}

#[inline(always)]
fn remember(key: ConnectionKey, connection: u64, next: u64) {
    if CIPHERS.insert(key, Cipher { connection, next }, 0).is_err() {
        maps::lose(loss::MAP_FULL, 1, 0);
    }
}

/// The plaintext of one record, in one or several pieces.
#[derive(Clone, Copy)]
struct Slices {
    /// An array of pointers and lengths; 0 where there is one piece only, whose place `start` and `end` tell.
    array: u64,
    count: u64,
    /// Which part of all the bytes of the array is meant.
    start: u64,
    end: u64,
}

impl Slices {
    /// `OutboundChunks` of rustls 0.23: a first word of 0 is the variant `Single`.
    #[inline(always)]
    fn of(chunks: u64) -> Self {
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
    fn one(slice: u64) -> Self {
        Self::only(
            read::<u64>(slice).unwrap_or(0),
            read::<u64>(slice + 8).unwrap_or(0),
        )
    }

    #[inline(always)]
    fn only(start: u64, length: u64) -> Self {
        Self {
            array: 0,
            count: 0,
            start,
            end: start + length,
        }
    }

    /// Where the plaintext begins. Only a hint hangs on it: in an array, where its first piece begins.
    #[inline(always)]
    fn first_byte(&self) -> u64 {
        if self.array == 0 {
            self.start
        } else {
            read::<u64>(self.array).unwrap_or(0)
        }
    }

    /// Hands everything over that is wanted of this connection.
    #[inline(always)]
    fn hand_over(&self, caller: Caller, address: u64, write: bool) {
        let Some(connection) = connection::find_or_join(caller, address, flag::JOINED_LATE) else {
            return;
        };
        let decided = connection.update_verdict(caller, address);
        if self.array == 0 {
            let length = self.end - self.start;
            if decided == verdict::UNKNOWN && write && hints::requests_bedrock(self.start, length) {
                connection.verdict = verdict::LIKELY;
            }
            piece(caller, address, connection, write, self.start, length);
            return;
        }
        let mut before = 0;
        let mut index = 0;
        while index < SLICES {
            if index >= self.count || before >= self.end {
                return;
            }
            let slice = self.array + 16 * index;
            let (Some(pointer), Some(length)) = (read::<u64>(slice), read::<u64>(slice + 8)) else {
                break;
            };
            let from = if self.start > before { self.start - before } else { 0 };
            let to = if length > self.end - before {
                self.end - before
            } else {
                length
            };
            if from < to {
                piece(caller, address, connection, write, pointer + from, to - from);
            }
            before += length;
            index += 1;
        }
        // What could not be followed to its end is a hole.
        let from = if self.start > before { self.start } else { before };
        if from < self.end {
            maps::lose(loss::CALL_CAP, 1, self.end - from);
            connection.stream(write).offset += self.end - from;
        }
    }
}

/// Hands over some plaintext, and counts it in the stream.
#[inline(always)]
fn piece(
    caller: Caller,
    address: u64,
    connection: &mut Connection,
    write: bool,
    buffer: u64,
    length: u64,
) {
    // A TLS record holds no more, RFC 8446 section 5.1.
    let possible = if length > LARGE as u64 { LARGE as u64 } else { length };
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
fn read<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}
