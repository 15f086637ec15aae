//! Into the ring buffer. Every record is reserved at its place, filled and submitted; nothing goes through a scratch
//! buffer, which another thread on this CPU could overwrite.

use core::hint::black_box;
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
use crate::share::{self, Tenant};

/// Bytes of one call that are to be handed over.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Transfer {
    /// What all records of the call have in common; its `stream_offset` is that of the first byte.
    header: Header,
    /// First byte in the memory of the process.
    buffer: u64,
    /// How many of them to hand over.
    allowed: u64,
    /// How many of those to leave out in the middle.
    omitted: u64,
    /// Where full records end; known once there is a place for them.
    end: u64,
    /// How many bytes come last, in a record of their own.
    last: u64,
}

impl Transfer {
    /// The first `allowed` of `count` bytes at `buffer`, which are next in the stream.
    #[inline(always)]
    pub(crate) fn new(
        caller: Caller,
        address: u64,
        connection: &mut Connection,
        write: bool,
        buffer: u64,
        count: u64,
        allowed: u64,
    ) -> Self {
        let mut header = header(kind::DATA, caller, connection.process_start);
        header.address = address;
        header.generation = connection.generation;
        header.flags = connection::call_flags(connection, write);
        header.stream_offset = connection.stream(write).offset;
        header.call_length = count;
        let zero = maps::zero();
        Self {
            header,
            buffer,
            allowed,
            omitted: zero,
            end: zero,
            last: zero,
        }
    }

    /// Whether one record is enough.
    #[inline(always)]
    pub(crate) fn is_small(&self) -> bool {
        self.allowed <= LARGE as u64
    }

    /// Hands over a small transfer.
    #[inline(always)]
    pub(crate) fn hand_over_small(&self) {
        if self.allowed == 0 {
            return;
        }
        if let Some(mut tenant) = self.tenant()
            && tenant.takes(place_of_last(self.allowed), self.allowed)
        {
            self.last_piece(0, self.allowed);
        }
    }

    /// Takes a place in the ring for a transfer of any size, or for as much of its beginning as may be. Apart from
    /// [`hand_over`](Self::hand_over): whatever is known before a loop, the verifier follows through all of it.
    #[inline(always)]
    pub(crate) fn take_place(&mut self) {
        let Some(mut tenant) = self.tenant() else {
            return;
        };
        self.omitted = self.allowed.saturating_sub(CALL_CAP);
        if self.omitted != 0 {
            maps::lose(loss::CALL_CAP, self.omitted.div_ceil(LARGE as u64), self.omitted);
        }
        let handed = self.allowed - self.omitted;
        let (full, rest) = (handed / LARGE as u64, handed % LARGE as u64);
        let wanted = full * PLACE_OF_LARGE + if rest == 0 { 0 } else { place_of_last(rest) };
        let taken = tenant.take_some(wanted);
        let records = if taken == wanted {
            self.last = rest;
            full
        } else {
            let records = taken / PLACE_OF_LARGE;
            let refused = handed.saturating_sub(records * LARGE as u64);
            tenant.lose(refused.div_ceil(LARGE as u64), refused);
            records
        };
        self.end = records * LARGE as u64;
        if records > CALL_HEAD / LARGE as u64 {
            self.end += self.omitted;
        }
    }

    /// Hands over what has its place.
    #[inline(always)]
    pub(crate) fn hand_over(&self) {
        let mut position = 0;
        let mut chunk = 0;
        while chunk < CALL_CHUNKS {
            if position + LARGE as u64 > self.end {
                break;
            }
            self.piece::<LARGE>(position, LARGE as u32);
            chunk += 1;
            position += LARGE as u64;
            if chunk == CALL_HEAD / LARGE as u64 {
                position += self.omitted;
            }
        }
        if self.last != 0 {
            self.last_piece(self.allowed - self.last, self.last);
        }
    }

    #[inline(always)]
    fn tenant(&self) -> Option<Tenant> {
        let Header {
            process,
            process_start,
            ..
        } = self.header;
        let tenant = Tenant::current(process, process_start);
        if tenant.is_none() {
            maps::lose(loss::MAP_FULL, 1, self.allowed);
        }
        tenant
    }

    /// What comes last: `1 <= length <= LARGE` bytes.
    #[inline(always)]
    fn last_piece(&self, position: u64, length: u64) {
        if length <= SMALL as u64 {
            self.piece_of::<SMALL>(position, length);
        } else if length <= MEDIUM as u64 {
            self.piece_of::<MEDIUM>(position, length);
        } else {
            self.piece_of::<LARGE>(position, length);
        }
    }

    /// `1 <= length <= N`
    #[inline(always)]
    fn piece_of<const N: usize>(&self, position: u64, length: u64) {
        // The verifier wants to see that the length fits. It forgets a comparison once the compiler has moved it to
        // another register; a mask it cannot forget.
        let length = black_box((length as u32).wrapping_sub(1)) & (N as u32 - 1);
        self.piece::<N>(position, length + 1);
    }

    /// Copies into a place that was taken.
    #[inline(always)]
    fn piece<const N: usize>(&self, position: u64, length: u32) {
        let Some(slot) = share::reserve::<Slot<N>>(u64::from(length)) else {
            return;
        };
        let payload = payload(&slot);
        // SAFETY: `payload` has room for `N` bytes and `length` is no more; the helper checks the source.
        let failed = unsafe { bpf_probe_read_user(payload, length, (self.buffer + position) as *const _) };
        if failed != 0 {
            maps::lose(loss::READ_FAULT, 1, u64::from(length));
            slot.discard(0);
            return;
        }
        let mut header = self.header;
        header.length = length;
        header.stream_offset += position;
        header.call_offset = position;
        submit(slot, &header);
    }
}

/// What a large record takes of the ring.
const PLACE_OF_LARGE: u64 = share::place(size_of::<Slot<LARGE>>());

/// What the last record takes, with `1 <= length <= LARGE` bytes.
#[inline(always)]
fn place_of_last(length: u64) -> u64 {
    if length <= SMALL as u64 {
        share::place(size_of::<Slot<SMALL>>())
    } else if length <= MEDIUM as u64 {
        share::place(size_of::<Slot<MEDIUM>>())
    } else {
        PLACE_OF_LARGE
    }
}

/// A connection began or ended.
#[inline(always)]
pub(crate) fn connection(kind: u32, caller: Caller, address: u64, connection: &Connection) {
    let mut header = header(kind, caller, connection.process_start);
    header.address = address;
    header.generation = connection.generation;
    let Some(mut tenant) = tenant(caller, connection) else {
        return;
    };
    if let Some(slot) = tenant.reserve(0) {
        bare(slot, &header);
    }
}

/// A process changed or ended. That takes a process so long that it cannot fill the ring; and who has ended holds nothing
/// for long.
#[inline(always)]
pub(crate) fn process(kind: u32, caller: Caller, start: u64) {
    match EVENTS.reserve(0) {
        Some(slot) => bare(slot, &header(kind, caller, start)),
        None => maps::lose(loss::RING_FULL, 1, 0),
    }
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
    let Some(mut tenant) = tenant(caller, connection) else {
        return false;
    };
    let Some(slot) = tenant.reserve::<Slot<SERVER_NAME>>(0) else {
        return false;
    };
    let payload = payload(&slot);
    // SAFETY: `payload` has room for as many bytes; the helper checks the source and ends with a zero.
    let taken = unsafe { bpf_probe_read_user_str(payload, SERVER_NAME as u32, name as *const _) };
    // 1 is an empty name, its terminating zero.
    if taken <= 1 || taken > SERVER_NAME as i64 {
        if taken < 0 {
            maps::lose(loss::READ_FAULT, 1, 0);
        }
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

/// What every record begins with.
#[inline(always)]
pub(crate) fn header(kind: u32, caller: Caller, process_start: u64) -> Header {
    let zero = maps::zero();
    Header {
        kind,
        length: 0,
        // SAFETY: the helper takes nothing and cannot fail.
        time: unsafe { bpf_ktime_get_ns() },
        process_start,
        process: caller.process(),
        thread: caller.thread(),
        address: zero,
        generation: zero as u32,
        flags: zero as u32,
        stream_offset: zero,
        call_length: zero,
        call_offset: zero,
    }
}

/// A record without payload.
#[inline(always)]
fn bare(mut slot: RingBufEntry<Header>, header: &Header) {
    slot.write(*header);
    slot.submit(0);
}

#[inline(always)]
fn tenant(caller: Caller, connection: &Connection) -> Option<Tenant> {
    let tenant = Tenant::current(caller.process(), connection.process_start);
    if tenant.is_none() {
        maps::lose(loss::MAP_FULL, 1, 0);
    }
    tenant
}

/// Where the bytes of a reserved slot go.
#[inline(always)]
pub(crate) fn payload<const N: usize>(slot: &RingBufEntry<Slot<N>>) -> *mut core::ffi::c_void {
    // SAFETY: the place of a field of a reserved slot; nothing is read.
    unsafe { &raw mut (*slot.as_ptr().cast_mut()).payload }.cast()
}

/// Hands a slot over that is filled.
#[inline(always)]
pub(crate) fn submit<const N: usize>(mut slot: RingBufEntry<Slot<N>>, header: &Header) {
    // SAFETY: as above; the header lies at the start of the slot and is aligned.
    unsafe { ptr::write(&raw mut (*slot.as_mut_ptr()).header, *header) };
    slot.submit(0);
}
