//! Into the ring buffer. Every record is reserved at its place, filled and submitted; nothing goes through a scratch
//! buffer, which another thread on this CPU could overwrite.

use core::ptr;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_probe_read_user, bpf_probe_read_user_str};
use aya_ebpf::maps::ring_buf::RingBufEntry;
use tracer_common::limits::{CALL_CAP, CALL_CHUNKS, CALL_HEAD, LARGE, MEDIUM, SERVER_NAME, SMALL};
use tracer_common::record::{Header, Slot, kind};
use tracer_common::state::loss;

use crate::connection::{self, Connection};
use crate::maps::{self, EVENTS};
use crate::process::Caller;

/// The bytes of one call: where they are and where they belong.
pub(crate) struct Place {
    /// Connection object.
    pub(crate) address: u64,
    /// First byte in the memory of the process.
    pub(crate) buffer: u64,
    /// Place of the first byte in the stream.
    pub(crate) stream_offset: u64,
    /// Bytes of the whole call.
    pub(crate) call_length: u64,
}

/// The first `allowed` bytes of a call, in as many records as it takes.
#[inline(always)]
pub(crate) fn data(caller: Caller, connection: &Connection, write: bool, place: &Place, allowed: u64) {
    let mut header = header(kind::DATA, caller, connection.process_start);
    header.address = place.address;
    header.generation = connection.generation;
    header.flags = connection::call_flags(connection, write);
    header.call_length = place.call_length;

    let omitted = allowed.saturating_sub(CALL_CAP);
    if omitted != 0 {
        maps::lose(loss::CALL_CAP, omitted.div_ceil(LARGE as u64), omitted);
    }
    let mut position = 0;
    let mut chunk = 0;
    while chunk < CALL_CHUNKS {
        if position + LARGE as u64 > allowed {
            break;
        }
        full_piece(&mut header, place, position);
        chunk += 1;
        position += LARGE as u64;
        if chunk == CALL_HEAD / LARGE as u64 {
            position += omitted;
        }
    }
    let rest = allowed.saturating_sub(position);
    if rest == 0 {
    } else if rest <= SMALL as u64 {
        last_piece::<SMALL>(&mut header, place, position, rest);
    } else if rest <= MEDIUM as u64 {
        last_piece::<MEDIUM>(&mut header, place, position, rest);
    } else {
        last_piece::<LARGE>(&mut header, place, position, rest);
    }
}

/// A large record filled to the brim.
#[inline(always)]
fn full_piece(header: &mut Header, place: &Place, position: u64) {
    piece::<LARGE>(header, place, position, LARGE as u32, LARGE as u32);
}

/// The last record of a call; `1 <= length <= N`.
#[inline(always)]
fn last_piece<const N: usize>(header: &mut Header, place: &Place, position: u64, length: u64) {
    // The verifier wants to see that the length fits. It forgets a comparison once the compiler has moved it to another
    // register; a mask it cannot forget.
    let length = core::hint::black_box((length as u32).wrapping_sub(1)) & (N as u32 - 1);
    piece::<N>(header, place, position, length + 1, length + 1);
}

#[inline(always)]
fn piece<const N: usize>(header: &mut Header, place: &Place, position: u64, length: u32, read: u32) {
    let Some(slot) = EVENTS.reserve::<Slot<N>>(0) else {
        maps::lose(loss::RING_FULL, 1, u64::from(length));
        return;
    };
    let payload = payload(&slot);
    // SAFETY: `payload` has room for `N` bytes and `read` is no more; the helper checks the source.
    let failed = unsafe { bpf_probe_read_user(payload, read, (place.buffer + position) as *const _) };
    if failed != 0 {
        maps::lose(loss::READ_FAULT, 1, u64::from(length));
        slot.discard(0);
        return;
    }
    header.length = length;
    header.stream_offset = place.stream_offset + position;
    header.call_offset = position;
    submit(slot, header);
}

/// A connection began or ended.
#[inline(always)]
pub(crate) fn connection(kind: u32, caller: Caller, address: u64, connection: &Connection) {
    let mut header = header(kind, caller, connection.process_start);
    header.address = address;
    header.generation = connection.generation;
    bare(&header);
}

/// A process changed or ended.
#[inline(always)]
pub(crate) fn process(kind: u32, caller: Caller, start: u64) {
    bare(&header(kind, caller, start));
}

/// The name that a client asks for; what `judge` says of it is the result.
#[inline(always)]
pub(crate) fn server_name(
    caller: Caller,
    address: u64,
    connection: &Connection,
    name: u64,
    judge: impl FnOnce(&[u8; SERVER_NAME], usize) -> bool,
) -> bool {
    let Some(slot) = EVENTS.reserve::<Slot<SERVER_NAME>>(0) else {
        maps::lose(loss::RING_FULL, 1, 0);
        return false;
    };
    let payload = payload(&slot);
    // SAFETY: `payload` has room for as many bytes; the helper checks the source and ends with a zero.
    let taken = unsafe { bpf_probe_read_user_str(payload, SERVER_NAME as u32, name as *const _) };
    if taken <= 1 || taken > SERVER_NAME as i64 {
        maps::lose(loss::READ_FAULT, u64::from(taken < 0), 0);
        slot.discard(0);
        return false;
    }
    let length = taken as usize - 1;
    // SAFETY: the slot is ours until it is submitted, and `judge` looks at the first `length` bytes only.
    let likely = judge(unsafe { &*payload.cast::<[u8; SERVER_NAME]>() }, length);
    let mut header = header(kind::SERVER_NAME, caller, connection.process_start);
    header.address = address;
    header.generation = connection.generation;
    header.length = length as u32;
    submit(slot, &header);
    likely
}

#[inline(always)]
fn header(kind: u32, caller: Caller, process_start: u64) -> Header {
    Header {
        kind,
        length: 0,
        // SAFETY: the helper takes nothing and cannot fail.
        time: unsafe { bpf_ktime_get_ns() },
        process_start,
        process: caller.process(),
        thread: caller.thread(),
        address: 0,
        generation: 0,
        flags: 0,
        stream_offset: 0,
        call_length: 0,
        call_offset: 0,
    }
}

/// A record without payload.
#[inline(always)]
fn bare(header: &Header) {
    match EVENTS.reserve::<Header>(0) {
        Some(mut slot) => {
            slot.write(*header);
            slot.submit(0);
        }
        None => maps::lose(loss::RING_FULL, 1, 0),
    }
}

#[inline(always)]
fn payload<const N: usize>(slot: &RingBufEntry<Slot<N>>) -> *mut core::ffi::c_void {
    // SAFETY: the place of a field of a reserved slot; nothing is read.
    unsafe { &raw mut (*slot.as_ptr().cast_mut()).payload }.cast()
}

#[inline(always)]
fn submit<const N: usize>(mut slot: RingBufEntry<Slot<N>>, header: &Header) {
    // SAFETY: as above; the header lies at the start of the slot and is aligned.
    unsafe { ptr::write(&raw mut (*slot.as_mut_ptr()).header, *header) };
    slot.submit(0);
}
