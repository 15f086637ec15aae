//! Every map and every global, and the losses.

use core::arch::asm;
use core::hint::black_box;
use core::ptr;

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf};
use tracer_common::limits;
pub(crate) use tracer_common::state::program;
use tracer_common::state::{Followed, ProcessId, VerdictKey, loss, offset};

use crate::call::{Call, CallKey};
use crate::connection::{Connection, ConnectionKey};
use crate::emit::Transfer;
use crate::go::GoroutineKey;
use crate::rustls::{Cipher, Record};
use crate::share::Share;

/// Calls that want more than one record, on their way from `call_return` to `call_return_large`. By thread, as `CALLS`.
#[map]
pub(crate) static TRANSFERS: HashMap<CallKey, Transfer> = HashMap::with_max_entries(limits::CALLS, 0);

/// Programs that others go on in: so the verifier follows their loops once, and not for every way that leads there.
#[map]
pub(crate) static PROGRAMS: ProgramArray = ProgramArray::with_max_entries(program::SLOTS, 0);

/// Everything that user space reads, in one order. The loader sets its real size.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Processes that are followed.
#[map]
pub(crate) static PROCESSES: HashMap<u32, Followed> = HashMap::with_max_entries(limits::PROCESSES, 0);

/// Processes that are to be left alone, with the start of each in [`TICK_NS`](tracer_common::state::TICK_NS), so that a later process of that id is
/// not taken for it. User space looks again at what it is told nevertheless: of an LRU map an entry may be lost.
#[map]
pub(crate) static LEFT_ALONE: LruHashMap<u32, u64> = LruHashMap::with_max_entries(limits::PROCESSES, 0);

/// Calls between entry and return. Not an LRU map: a thread may block in a read for hours, and must not be forgotten.
/// Threads that die within a call are cleared away when they exit.
#[map]
pub(crate) static CALLS: HashMap<CallKey, Call> = HashMap::with_max_entries(limits::CALLS, 0);

/// Reads of goroutines between entry and return.
#[map]
pub(crate) static GO_READS: LruHashMap<GoroutineKey, Call> = LruHashMap::with_max_entries(limits::CALLS, 0);

/// Records of rustls that are being decrypted, or are on their way from program to program; by thread.
#[map]
pub(crate) static RECORDS: HashMap<u64, Record> = HashMap::with_max_entries(limits::CALLS, 0);

/// Keys of rustls by the address of their cipher state: two for each connection.
#[map]
pub(crate) static CIPHERS: LruHashMap<ConnectionKey, Cipher> =
    LruHashMap::with_max_entries(2 * limits::CONNECTIONS, 0);

/// What is known of each connection object.
#[map]
pub(crate) static CONNECTIONS: LruHashMap<ConnectionKey, Connection> =
    LruHashMap::with_max_entries(limits::CONNECTIONS, 0);

/// What user space decided. Separate from `CONNECTIONS`, so that writing a verdict never overwrites stream offsets.
#[map]
pub(crate) static VERDICTS: LruHashMap<VerdictKey, u32> =
    LruHashMap::with_max_entries(limits::CONNECTIONS, 0);

/// What each process holds of the ring.
#[map]
pub(crate) static TENANTS: LruHashMap<u64, Share> = LruHashMap::with_max_entries(limits::TENANTS, 0);

/// What each control group holds of the ring. Apart from `TENANTS`, so that many processes cannot make one forgotten.
#[map]
pub(crate) static GROUPS: LruHashMap<u64, Share> = LruHashMap::with_max_entries(limits::TENANTS, 0);

/// Records and bytes that were not handed over since their process had more than its share of the ring.
#[map]
pub(crate) static REFUSED: LruHashMap<ProcessId, [u64; 2]> = LruHashMap::with_max_entries(limits::REFUSED, 0);

/// Records and bytes that were not handed over, by [`loss`].
#[map]
static LOSSES: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(loss::SLOTS, 0);

/// Generations given out so far.
#[map]
static GENERATIONS: Array<u64> = Array::with_max_entries(1, 0);

/// 1 to follow every process, 0 to follow those in `PROCESSES`.
#[unsafe(no_mangle)]
static TRACE_ALL: u32 = 0;

/// Thread-group id of the agent: it never traces itself.
#[unsafe(no_mangle)]
static AGENT: u32 = 0;

/// Offsets of kernel structure members, see [`offset`].
#[unsafe(no_mangle)]
static TASK_OFFSETS: [u32; offset::COUNT] = [0; offset::COUNT];

/// Whether every process is followed.
#[inline(always)]
pub(crate) fn trace_all() -> bool {
    // SAFETY: a valid static; volatile, since the loader rewrites it after compilation.
    unsafe { ptr::read_volatile(&raw const TRACE_ALL) != 0 }
}

/// The agent's own thread-group id.
#[inline(always)]
pub(crate) fn agent() -> u32 {
    // SAFETY: as above.
    unsafe { ptr::read_volatile(&raw const AGENT) }
}

/// One of the offsets of [`offset`].
#[inline(always)]
pub(crate) fn task_offset(index: usize) -> usize {
    // SAFETY: as above; callers pass constants of `offset`, all below `COUNT`.
    unsafe { ptr::read_volatile((&raw const TASK_OFFSETS).cast::<u32>().add(index)) as usize }
}

/// A zero that the compiler does not know to be one. Of many zeros in a row it makes a call of `memset`; the kernel
/// refuses calls in a program with a tail call, before Linux 6.0 on arm64.
#[inline(always)]
pub(crate) fn zero() -> u64 {
    black_box(0)
}

/// Counts what is not handed over.
#[inline(always)]
pub(crate) fn lose(reason: u32, records: u64, bytes: u64) {
    if let Some(slot) = LOSSES.get_ptr_mut(reason) {
        count(slot, records, bytes);
    }
}

/// Adds to a count of records and of bytes.
#[inline(always)]
pub(crate) fn count(counts: *mut [u64; 2], records: u64, bytes: u64) {
    add(counts.cast(), records);
    // SAFETY: there are two numbers.
    add(unsafe { counts.cast::<u64>().add(1) }, bytes);
}

/// A number that no other generation has. The counter only grows, so of two objects that live at one address one
/// after the other the later gets the greater number, also when both counted at once with others.
#[inline(always)]
pub(crate) fn next_generation() -> u32 {
    let Some(counter) = GENERATIONS.get_ptr_mut(0) else {
        return 0;
    };
    add(counter, 1);
    // SAFETY: a live map value. Fetching in the same instruction needs Linux 5.18 on arm64.
    unsafe { ptr::read_volatile(counter) as u32 }
}

/// The target has no atomic types in `core`; this is `BPF_ATOMIC | BPF_ADD` of RFC 9669 §5.3, which does not fetch.
#[inline(always)]
pub(crate) fn add(counter: *mut u64, amount: u64) {
    // SAFETY: `counter` points into a live, aligned map value; a preempted program on the same CPU may add as well.
    unsafe {
        asm!(
            "lock *(u64 *)({counter} + 0) += {amount}",
            counter = in(reg) counter,
            amount = in(reg) amount,
            options(nostack),
        );
    }
}
