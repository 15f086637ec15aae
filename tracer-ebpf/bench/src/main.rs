#![no_std]
#![no_main]
//! Programs that the benchmark compares geophone with: an empty pair of probes, and the least that copies a call to a ring
//! buffer. Part of no build of geophone.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::{map, uprobe, uretprobe};
use aya_ebpf::maps::{HashMap, RingBuf};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};

/// A full TLS record.
const MOST: usize = 16 << 10;

/// Buffers of the calls under way, by thread.
#[map]
static CALLS: HashMap<u64, u64> = HashMap::with_max_entries(1024, 0);

/// Where the bytes go.
#[map]
static RING: RingBuf = RingBuf::with_byte_size(32 << 20, 0);

/// Does nothing.
#[uprobe]
fn empty_entry(_context: ProbeContext) -> u32 {
    0
}

/// Does nothing.
#[uretprobe]
fn empty_return(_context: RetProbeContext) -> u32 {
    0
}

/// Remembers the buffer of `f(object, buffer, size)`.
#[uprobe]
fn copy_entry(context: ProbeContext) -> u32 {
    if let Some(buffer) = context.arg::<u64>(1) {
        let _full = CALLS.insert(bpf_get_current_pid_tgid(), buffer, 0);
    }
    0
}

/// Copies what the call says it moved.
#[uretprobe]
fn copy_return(context: RetProbeContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    let Some(saved) = CALLS.get_ptr(thread) else {
        return 0;
    };
    // SAFETY: a live map value, which only this thread writes.
    let buffer = unsafe { *saved };
    let _gone = CALLS.remove(thread);
    let count: i32 = context.ret();
    if count <= 0 {
        return 0;
    }
    let count = count as usize;
    if count <= 1 << 10 {
        copy::<{ 1 << 10 }>(buffer, count);
    } else if count <= 4 << 10 {
        copy::<{ 4 << 10 }>(buffer, count);
    } else {
        copy::<MOST>(buffer, count);
    }
    0
}

/// The size classes that geophone has, so that the ring buffer costs the same.
#[inline(always)]
fn copy<const N: usize>(buffer: u64, count: usize) {
    let Some(mut slot) = RING.reserve::<[u8; N]>(0) else {
        return;
    };
    let length = (core::hint::black_box((count as u32).wrapping_sub(1)) & (N as u32 - 1)) + 1;
    // SAFETY: the slot has room for `N` bytes and `length` is no more; the helper checks the source.
    let failed = unsafe { bpf_probe_read_user(slot.as_mut_ptr().cast(), length, buffer as *const _) };
    if failed == 0 {
        slot.submit(0);
    } else {
        slot.discard(0);
    }
}

/// The programs do not panic; the compiler wants to know what would happen.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// As geophone's own.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
