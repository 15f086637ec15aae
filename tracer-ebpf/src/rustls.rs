//! rustls: plaintext goes into `MessageEncrypter::encrypt` and comes out of `MessageDecrypter::decrypt`, record by record.
//!
//! Both are trait methods, so every build has them as functions of their own. Neither knows its connection: each direction
//! is told by the address of its cipher state, and `partner` finds which two belong together. The connection goes by the
//! encrypter's address. TLS numbers the records of a key from 0: that shows a new key, and records that were missed.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_get_attach_cookie;
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use tracer_common::cookie::RustlsShape;
use tracer_common::record::flag;
use tracer_common::state::{loss, verdict};

use crate::connection::{self, ConnectionKey};
use crate::maps::{self, CIPHERS, PROGRAMS, RECORDS, program};
use crate::process::Caller;
use crate::slices::{Slices, piece, read};
use crate::{hints, partner, registers};

/// Values of rustls' `ContentType`.
const ALERT: u8 = 1;
const APPLICATION_DATA: u8 = 3;

/// The tag of `Result<InboundPlainMessage, Error>`: up to this it is one of the errors that a decryption may give
/// (`PeerSentOversizedRecord` is the last of them), and [`Ok`] is the number of all kinds of errors, 20 and more.
const LAST_ERROR: u8 = 17;

/// Bits of [`Cipher::state`].
mod state {
    /// A record of this key was seen, so [`super::Cipher::next`] counts.
    pub(super) const SEEN: u64 = 1 << 0;
    /// The first record of this key was not seen.
    pub(super) const LATE: u64 = 1 << 1;
    /// Its connection was found when it first carried data. Before that it is only what the partner told, maybe of another
    /// key that lived at this address.
    pub(super) const PROVEN: u64 = 1 << 2;
    /// The latest record was one of the handshake: after it, a key update may follow.
    pub(super) const HANDSHAKE: u64 = 1 << 3;
}

/// One key of one direction.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Cipher {
    /// Address that its connection goes by; 0 while no plaintext of the application has passed.
    connection: u64,
    /// Number of the record that must come next.
    next: u64,
    state: u64,
}

/// A record on its way through a cipher and through the programs here.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Record {
    /// The probed function.
    method: u64,
    /// The cipher state.
    receiver: u64,
    /// Number of the record under its key.
    number: u64,
    /// 1: encrypted, 0: decrypted.
    write: u64,
    /// Where the result of a decryption will be.
    result: u64,
    /// Address that its connection goes by, once that is known.
    connection: u64,
    /// How much has been looked through for the partner.
    portions: u64,
    /// The other cipher state of the connection; 0 as long as it is not found.
    partner: u64,
    /// Its plaintext; until it is decrypted, the ciphertext that becomes it in place.
    slices: Slices,
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
    let mut record = Record {
        method: registers::instruction_pointer(context),
        receiver: call.receiver,
        number: call.number,
        write: 1,
        result: maps::zero(),
        connection: maps::zero(),
        portions: maps::zero(),
        partner: maps::zero(),
        slices: match shape {
            RustlsShape::Borrowed => Slices::of(call.argument),
            RustlsShape::Owned => Slices::one(call.argument),
        },
    };
    passed(context, caller, &mut record, kind, true);
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
    let record = Record {
        method: registers::instruction_pointer(context),
        receiver: call.receiver,
        number: call.number,
        write: maps::zero(),
        result: call.result,
        connection: maps::zero(),
        portions: maps::zero(),
        partner: maps::zero(),
        slices: Slices::one(payload),
    };
    keep(caller, &record);
}

/// Return of the same.
#[inline(always)]
pub(crate) fn decrypted(context: &RetProbeContext) {
    let caller = Caller::current();
    let Some(saved) = RECORDS.get_ptr_mut(caller.pid_tgid) else {
        return;
    };
    // SAFETY: a live map value, which only this thread writes.
    let record = unsafe { &mut *saved };
    if let Some(kind) = take_plaintext(shape(context), record) {
        passed(context, caller, record, kind, false);
    }
    forget(caller);
}

/// Puts the plaintext in the place of the ciphertext, and tells its kind. `None` where decryption failed.
#[inline(always)]
fn take_plaintext(shape: RustlsShape, record: &mut Record) -> Option<u8> {
    // `Result<InboundPlainMessage, Error>` with the tag of `Error`, and `Result<PlainMessage, Error>` with one of its own
    // and a vector in it, as at entry.
    let (fields, kind_at) = match shape {
        RustlsShape::Borrowed => (record.result + 8, record.result + 24),
        RustlsShape::Owned => (record.result + 16, record.result + 36),
    };
    let (Some(tag), Some(start), Some(length), Some(kind)) = (
        read::<u8>(record.result),
        read::<u64>(fields),
        read::<u64>(fields + 8),
        read::<u8>(kind_at),
    ) else {
        maps::lose(loss::READ_FAULT, 1, 0);
        return None;
    };
    // Behind the tag of an error lies what was there before.
    let failed = match shape {
        RustlsShape::Borrowed => tag <= LAST_ERROR,
        RustlsShape::Owned => tag != 0,
    };
    let Slices { start: from, end, .. } = record.slices;
    if failed || start < from || start > end || length > end - start {
        return None;
    }
    record.slices.start = start;
    record.slices.end = start + length;
    Some(kind)
}

/// A record of this kind passed. With plaintext of the application it goes on in another program and does not come back.
/// `is_new`: it is not kept yet.
#[inline(always)]
fn passed<C: EbpfContext>(context: &C, caller: Caller, record: &mut Record, kind: u8, is_new: bool) {
    let cipher = count(caller, record);
    if kind != APPLICATION_DATA {
        track(caller, record, cipher, kind);
        return;
    }
    let cipher = Cipher {
        connection: cipher.connection,
        next: cipher.next,
        state: cipher.state & !state::HANDSHAKE,
    };
    remember(caller, record.receiver, cipher);
    let is_told = connection::uses(caller, cipher.connection, record.write != 0, record.receiver);
    record.connection = if is_told { cipher.connection } else { 0 };
    if is_new {
        keep(caller, record);
    }
    let next = if is_told && cipher.state & state::PROVEN != 0 {
        hand_over_program(record)
    } else {
        program::RUSTLS_PAIR
    };
    go_on(context, next);
    forget(caller);
}

/// Which program hands a record over. There is one for each way, so that each is quickly verified.
#[inline(always)]
fn hand_over_program(record: &Record) -> u32 {
    if record.write == 0 {
        program::RUSTLS_HAND_OVER_READ
    } else if record.slices.array == 0 {
        program::RUSTLS_HAND_OVER_WRITTEN
    } else {
        program::RUSTLS_HAND_OVER_PIECES
    }
}

/// Goes on in another program. Comes back only where that is not in its place.
#[inline(always)]
fn go_on<C: EbpfContext>(context: &C, program: u32) {
    // SAFETY: all programs here have the same context, and nothing is held.
    unsafe { PROGRAMS.tail_call(context, program) };
    maps::lose(loss::MAP_FULL, 1, 0);
}

/// Continues [`passed`] for a key that carries data for the first time: looks for its partner, portion by portion.
#[inline(always)]
pub(crate) fn pair(context: &ProbeContext) {
    let caller = Caller::current();
    let Some(saved) = RECORDS.get_ptr_mut(caller.pid_tgid) else {
        return;
    };
    // SAFETY: a live map value, which only this thread writes.
    let record = unsafe { &mut *saved };
    let place = partner::place(context, record.receiver, record.method, record.portions);
    record.portions += 1;
    let next = if place == 0 && record.portions < partner::PORTIONS {
        program::RUSTLS_PAIR
    } else {
        if place != 0 {
            record.partner = partner::beside(place, record.receiver, record.method, record.write != 0);
        }
        program::RUSTLS_SETTLE
    };
    go_on(context, next);
    forget(caller);
}

/// Continues [`pair`].
#[inline(always)]
pub(crate) fn settle_record(context: &ProbeContext) {
    let caller = Caller::current();
    let Some(saved) = RECORDS.get_ptr_mut(caller.pid_tgid) else {
        return;
    };
    // SAFETY: as in `pair`.
    let record = unsafe { &mut *saved };
    record.connection = settle(caller, record);
    if record.connection != 0 {
        go_on(context, hand_over_program(record));
    }
    forget(caller);
}

/// Continues [`passed`] for a record in one piece whose connection is known.
#[inline(always)]
pub(crate) fn hand_over(write: bool) {
    let caller = Caller::current();
    let Some(saved) = RECORDS.get_ptr(caller.pid_tgid) else {
        return;
    };
    // SAFETY: as in `pair`.
    let Record {
        connection: address,
        slices: Slices { start, end, .. },
        ..
    } = unsafe { *saved };
    forget(caller);
    let length = end - start;
    let Some(connection) = connection::find_or_join(caller, address, flag::JOINED_LATE) else {
        return;
    };
    if connection.update_verdict(caller, address) == verdict::UNKNOWN
        && write
        && hints::requests_bedrock(start, length)
    {
        connection.verdict = verdict::LIKELY;
    }
    piece(caller, address, connection, write, start, length);
}

/// Continues [`passed`] for a record in several pieces whose connection is known; comes back to itself while some are left.
#[inline(always)]
pub(crate) fn hand_over_pieces(context: &ProbeContext) {
    let caller = Caller::current();
    let Some(saved) = RECORDS.get_ptr_mut(caller.pid_tgid) else {
        return;
    };
    // SAFETY: as in `pair`.
    let record = unsafe { &mut *saved };
    let Some(connection) = connection::find_or_join(caller, record.connection, flag::JOINED_LATE) else {
        return;
    };
    if connection.update_verdict(caller, record.connection) == verdict::UNKNOWN
        && record.slices.requests_bedrock()
    {
        connection.verdict = verdict::LIKELY;
    }
    if record.slices.hand_over(caller, record.connection, connection) {
        // SAFETY: as in `go_on`. The kernel lets a chain of programs have 33 links.
        unsafe { PROGRAMS.tail_call(context, program::RUSTLS_HAND_OVER_PIECES) };
    }
    record.slices.omit_rest(connection);
    forget(caller);
}

#[inline(always)]
fn keep(caller: Caller, record: &Record) {
    if RECORDS.insert(caller.pid_tgid, record, 0).is_err() {
        maps::lose(loss::MAP_FULL, 1, 0);
    }
}

/// Drops what was saved of a record of this thread.
#[inline(always)]
pub(crate) fn forget(caller: Caller) {
    let _gone = RECORDS.remove(caller.pid_tgid);
}

#[inline(always)]
fn shape<C: EbpfContext>(context: &C) -> RustlsShape {
    // SAFETY: the helper reads the cookie of the link that this program runs for.
    RustlsShape::decode(unsafe { bpf_get_attach_cookie(context.as_ptr()) })
}

/// Counts a record of a key, and sees by its number whether it is the same key as before and whether records are missing.
/// A connection that has lost its key to another, or a record, ends here.
#[inline(always)]
fn count(caller: Caller, record: &Record) -> Cipher {
    let Record { receiver, number, .. } = *record;
    let next = number + 1;
    let mut connection = 0;
    if let Some(known) = CIPHERS.get_ptr(ConnectionKey::new(caller, receiver)) {
        // SAFETY: a live map value; a cipher is used by one thread at a time.
        let known = unsafe { *known };
        if known.state & state::SEEN == 0 {
            // Only what the partner told.
            connection = known.connection;
        } else if known.next == number {
            return Cipher { next, ..known };
        } else if connection::uses(caller, known.connection, record.write != 0, receiver) {
            if number != 0 {
                let missing = if number > known.next {
                    number - known.next
                } else {
                    1
                };
                maps::lose(loss::UNSEEN, missing, 0);
            }
            connection::freed(known.connection);
        }
    }
    let late = if number == 0 { 0 } else { state::LATE };
    Cipher {
        connection,
        next,
        state: state::SEEN | late,
    }
}

/// A record of the handshake, or an alert, which is taken for the end of the connection.
#[inline(always)]
fn track(caller: Caller, record: &Record, cipher: Cipher, kind: u8) {
    let Cipher {
        connection,
        next,
        state,
    } = cipher;
    let cipher = Cipher {
        connection,
        next,
        state: state | state::HANDSHAKE,
    };
    remember(caller, record.receiver, cipher);
    if kind == ALERT && connection::uses(caller, connection, record.write != 0, record.receiver) {
        connection::freed(connection);
    }
}

/// The connection that plaintext of the application belongs to, by its address; begins one where it takes that. 0 where
/// there is no room for one.
#[inline(always)]
fn settle(caller: Caller, record: &Record) -> u64 {
    let Record {
        receiver,
        partner,
        connection: told,
        ..
    } = *record;
    let write = record.write != 0;
    let Some(cipher) = CIPHERS.get_ptr_mut(ConnectionKey::new(caller, receiver)) else {
        return 0;
    };
    // SAFETY: as in `count`.
    let cipher = unsafe { &mut *cipher };
    let mut shared = 0;
    if partner == 0 {
        // What the partner told before is all there is.
        shared = told;
    } else if let Some(known) = CIPHERS.get_ptr(ConnectionKey::new(caller, partner)) {
        // SAFETY: as in `count`.
        let Cipher { connection, .. } = unsafe { *known };
        if connection::uses(caller, connection, !write, partner) {
            shared = connection;
        }
    }
    let updated = |old| match CIPHERS.get_ptr(ConnectionKey::new(caller, old)) {
        // SAFETY: as in `count`.
        Some(old) => unsafe { (*old).state & state::HANDSHAKE != 0 },
        None => false,
    };
    cipher.state |= state::PROVEN;
    let data = record.slices.first_byte();
    if shared != 0 && connection::takes(caller, shared, write, receiver, data, updated) {
        connection::use_cipher(caller, shared, write, receiver);
        cipher.connection = shared;
        return shared;
    }
    if shared != 0 {
        // The partner's memory was that of an older connection.
        connection::freed(shared);
    }
    let named = if write || partner == 0 { receiver } else { partner };
    // Where a connection that goes by this address has another key by now, the memory is free for others while it lives on.
    let address = named + u64::from(connection::has_moved_on(caller, named));
    let late = if cipher.state & state::LATE == 0 {
        0
    } else {
        flag::JOINED_LATE
    };
    let alone = if partner == 0 { flag::UNPAIRED } else { 0 };
    if !connection::begin(caller, address, u64::from(late | alone)) {
        return 0;
    }
    connection::use_cipher(caller, address, write, receiver);
    cipher.connection = address;
    if partner != 0 {
        connection::use_cipher(caller, address, !write, partner);
        // What is known of the partner's number may be that of an older key.
        let told = Cipher {
            connection: address,
            next: 0,
            state: maps::zero(),
        };
        remember(caller, partner, told);
    }
    address
}

#[inline(always)]
fn remember(caller: Caller, cipher_state: u64, cipher: Cipher) {
    let key = ConnectionKey::new(caller, cipher_state);
    if CIPHERS.insert(key, cipher, 0).is_err() {
        maps::lose(loss::MAP_FULL, 1, 0);
    }
}
