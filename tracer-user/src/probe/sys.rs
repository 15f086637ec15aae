//! The system calls that have no safe wrapper: a `perf_event_open` event with its ring, for task and mapping records, and
//! the few commands of `bpf(2)` that aya has no words for.
//!
//! The only unsafe code in user space. What it hands out is plain bytes, which `watch.rs` reads, and descriptors.
#![allow(
    unsafe_code,
    reason = "perf_event_open with its shared ring and some commands of bpf(2) have no safe wrapper"
)]

use std::ffi::CStr;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use aya_obj::generated::bpf_insn;

/// Data pages of one ring, a power of two. A mapping record is about 120 bytes, so this holds some 1000 of them.
const DATA_PAGES: usize = 32;

/// `struct perf_event_attr`, first 112 bytes (`PERF_ATTR_SIZE_VER5`), from `include/uapi/linux/perf_event.h`.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_watermark: u32,
    breakpoint_kind: u32,
    config1: u64,
    config2: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clock_id: i32,
    sample_regs_interrupt: u64,
    aux_watermark: u32,
    sample_max_stack: u16,
    reserved: u16,
}

const _: () = assert!(size_of::<PerfEventAttr>() == 112);

const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_DUMMY: u64 = 9;
const PERF_SAMPLE_TIME: u64 = 1 << 2;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;

// Bits of `perf_event_attr.flags`.
const FLAG_MMAP: u64 = 1 << 8;
const FLAG_COMM: u64 = 1 << 9;
const FLAG_TASK: u64 = 1 << 13;
const FLAG_WATERMARK: u64 = 1 << 14;
const FLAG_SAMPLE_ID_ALL: u64 = 1 << 18;
const FLAG_MMAP2: u64 = 1 << 23;
const FLAG_COMM_EXEC: u64 = 1 << 24;
const FLAG_USE_CLOCK_ID: u64 = 1 << 25;

// Places in `struct perf_event_mmap_page`.
const OFFSET_DATA_HEAD: usize = 1024;
const OFFSET_DATA_TAIL: usize = 1032;

/// Task and mapping records of one processor core, as the kernel writes them.
#[derive(Debug)]
pub(super) struct TaskRing {
    descriptor: OwnedFd,
    base: NonNull<u8>,
    page_size: usize,
}

// SAFETY: the mapping belongs to this value alone, no thread-local state is involved.
unsafe impl Send for TaskRing {}

impl TaskRing {
    /// Follows forks, execs, exits and executable mappings of all processes on one core. Needs `CAP_PERFMON`.
    pub(super) fn open(core: u32) -> io::Result<Self> {
        let attributes = PerfEventAttr {
            kind: PERF_TYPE_SOFTWARE,
            size: u32::try_from(size_of::<PerfEventAttr>()).unwrap_or(0),
            config: PERF_COUNT_SW_DUMMY,
            sample_type: PERF_SAMPLE_TIME,
            flags: FLAG_MMAP
                | FLAG_MMAP2
                | FLAG_COMM
                | FLAG_COMM_EXEC
                | FLAG_TASK
                | FLAG_WATERMARK
                | FLAG_SAMPLE_ID_ALL
                | FLAG_USE_CLOCK_ID,
            // Wake the reader for every record: an attach that comes late misses bytes.
            wakeup_watermark: 1,
            clock_id: libc::CLOCK_MONOTONIC,
            ..PerfEventAttr::default()
        };
        let every_process: libc::pid_t = -1;
        let no_group: libc::c_int = -1;
        // SAFETY: `attributes` is a live `perf_event_attr` whose `size` field tells its length; the call only reads it.
        let result = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attributes,
                every_process,
                core,
                no_group,
                PERF_FLAG_FD_CLOEXEC,
            )
        };
        let raw = i32::try_from(result)
            .ok()
            .filter(|descriptor| *descriptor >= 0)
            .ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the call above has just returned this descriptor, nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        let page_size = rustix::param::page_size();
        // SAFETY: a fresh shared mapping at an address the kernel picks; it overlaps nothing of ours.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                (DATA_PAGES + 1) * page_size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                descriptor.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(address.cast::<u8>()).ok_or_else(|| io::Error::other("mmap gave null"))?;
        Ok(Self {
            descriptor,
            base,
            page_size,
        })
    }

    /// Appends all complete records that are waiting to `out` and gives their room back to the kernel.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) {
        let head = self.position(OFFSET_DATA_HEAD).load(Ordering::Acquire);
        let tail = self.position(OFFSET_DATA_TAIL).load(Ordering::Relaxed);
        for span in spans(tail, head, DATA_PAGES * self.page_size) {
            // SAFETY: `spans` stays within the data pages, which begin one page after `base`.
            let start = unsafe { self.base.add(self.page_size + span.start) };
            // SAFETY: the kernel does not write between tail and head until tail is moved below.
            let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), span.len()) };
            out.extend_from_slice(bytes);
        }
        self.position(OFFSET_DATA_TAIL).store(head, Ordering::Release);
    }

    fn position(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: `offset` is one of the two constants, within the first page, which is mapped as long as `self` lives.
        let place = unsafe { self.base.add(offset) }.cast::<u64>();
        // SAFETY: both are 8-byte fields at multiples of 8, shared with the kernel, which accesses them atomically.
        unsafe { AtomicU64::from_ptr(place.as_ptr()) }
    }
}

impl AsFd for TaskRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for TaskRing {
    fn drop(&mut self) {
        // SAFETY: exactly what `open` mapped, and nothing borrows from it any more.
        let result = unsafe { libc::munmap(self.base.as_ptr().cast(), (DATA_PAGES + 1) * self.page_size) };
        debug_assert_eq!(result, 0, "munmap of our own mapping");
    }
}

/// The one or two pieces of a ring of `size` bytes that hold the bytes from `tail` to `head`, both of which only grow.
fn spans(tail: u64, head: u64, size: usize) -> [Range<usize>; 2] {
    let waiting = usize::try_from(head.wrapping_sub(tail)).map_or(size, |length| length.min(size));
    let start = usize::try_from(tail % size as u64).unwrap_or(0);
    let first = waiting.min(size - start);
    [start..start + first, 0..waiting - first]
}

/// `enum bpf_cmd`, `include/uapi/linux/bpf.h`.
mod command {
    pub(super) const MAP_UPDATE_ELEM: libc::c_int = 2;
    pub(super) const MAP_DELETE_ELEM: libc::c_int = 3;
    pub(super) const PROG_LOAD: libc::c_int = 5;
    pub(super) const MAP_LOOKUP_BATCH: libc::c_int = 24;
    pub(super) const LINK_CREATE: libc::c_int = 28;
}

/// `BPF_PROG_TYPE_KPROBE`, which uprobes are as well.
const PROGRAM_TYPE_KPROBE: u32 = 2;
/// `BPF_TRACE_UPROBE_MULTI`
const TRACE_UPROBE_MULTI: u32 = 48;
/// `BPF_F_UPROBE_MULTI_RETURN`
const MULTI_RETURN: u32 = 1;
/// `BPF_OBJ_NAME_LEN`, with its terminating zero.
const NAME_LENGTH: usize = 16;

/// `BPF_PROG_LOAD` as far as a program of this object needs it.
#[repr(C)]
#[derive(Default)]
struct ProgramLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; NAME_LENGTH],
    interface: u32,
    expected_attach_type: u32,
}

/// `BPF_LINK_CREATE` with `uprobe_multi`.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    path: u64,
    offsets: u64,
    reference_counters: u64,
    cookies: u64,
    count: u32,
    probe_flags: u32,
    process: u32,
    reserved: u32,
}

/// `BPF_MAP_UPDATE_ELEM`
#[repr(C)]
#[derive(Default)]
struct MapUpdate {
    map: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// `BPF_MAP_LOOKUP_BATCH`
#[repr(C)]
#[derive(Default)]
struct MapBatch {
    from: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Loads a program that goes on links of many uprobes. What the verifier has against it, aya's own load tells.
pub(super) fn load_multi_uprobe(
    name: &str,
    instructions: &[bpf_insn],
    license: &CStr,
) -> io::Result<OwnedFd> {
    let mut attributes = ProgramLoad {
        kind: PROGRAM_TYPE_KPROBE,
        instruction_count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        expected_attach_type: TRACE_UPROBE_MULTI,
        ..ProgramLoad::default()
    };
    for (place, byte) in attributes.name.iter_mut().take(NAME_LENGTH - 1).zip(name.bytes()) {
        *place = byte;
    }
    // SAFETY: the pointers lead to slices and strings that outlive the call, with the lengths given beside them.
    unsafe { bpf_for_descriptor(command::PROG_LOAD, &attributes) }
}

/// Makes one link of a program to many places of a file: `offsets` and `cookies` belong together one by one.
pub(super) fn link_multi_uprobe(
    program: BorrowedFd<'_>,
    path: &CStr,
    offsets: &[u64],
    cookies: &[u64],
    at_return: bool,
) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: number(program),
        attach_type: TRACE_UPROBE_MULTI,
        path: path.as_ptr() as u64,
        offsets: offsets.as_ptr() as u64,
        cookies: cookies.as_ptr() as u64,
        count: u32::try_from(offsets.len().min(cookies.len())).map_err(io::Error::other)?,
        probe_flags: if at_return { MULTI_RETURN } else { 0 },
        ..LinkCreate::default()
    };
    // SAFETY: the path ends with a zero, both slices hold at least `count` numbers, and all outlive the call.
    unsafe { bpf_for_descriptor(command::LINK_CREATE, &attributes) }
}

/// Puts a program into a slot of a map of programs.
pub(super) fn set_program(map: BorrowedFd<'_>, slot: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    let value = number(program);
    let attributes = MapUpdate {
        map: number(map),
        key: (&raw const slot) as u64,
        value: (&raw const value) as u64,
        ..MapUpdate::default()
    };
    // SAFETY: key and value of such a map are 4 bytes each; both live until the call returns.
    unsafe { bpf(command::MAP_UPDATE_ELEM, &attributes) }.map(|_| ())
}

/// Hands over every key of a hash map whose keys and values have these sizes. What is put in or taken out meanwhile may be
/// missing or not.
pub(super) fn keys(
    map: BorrowedFd<'_>,
    key_size: usize,
    value_size: usize,
    each: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    /// Entries at a time; the kernel wants room for all that share a bucket.
    const COUNT: u16 = 1024;
    let mut keys = vec![0_u8; usize::from(COUNT) * key_size];
    let mut values = vec![0_u8; usize::from(COUNT) * value_size];
    // Two, since the kernel reads where to begin and writes where to go on.
    let (mut from, mut next) = (None, 0_u32);
    loop {
        let mut attributes = MapBatch {
            from: from
                .as_ref()
                .map_or(0, |place: &u32| std::ptr::from_ref(place) as u64),
            next: (&raw mut next) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: u32::from(COUNT),
            map: number(map),
            ..MapBatch::default()
        };
        // SAFETY: there is room for `count` keys and values of these sizes, and places of hash maps are 4 bytes.
        let result = unsafe { bpf_answering(command::MAP_LOOKUP_BATCH, &mut attributes) };
        let is_last = match result {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
        };
        let count = usize::try_from(attributes.count).unwrap_or(0);
        keys.chunks_exact(key_size.max(1))
            .take(count)
            .for_each(&mut *each);
        if is_last {
            return Ok(());
        }
        from = Some(next);
    }
}

/// Takes an entry out of a map; none is no error.
pub(super) fn delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    let attributes = MapUpdate {
        map: number(map),
        key: key.as_ptr() as u64,
        ..MapUpdate::default()
    };
    // SAFETY: the caller has the key from [`keys`] of this map, so it has the size of its keys.
    match unsafe { bpf(command::MAP_DELETE_ELEM, &attributes) } {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

/// A descriptor as `bpf(2)` takes it.
fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().unsigned_abs()
}

/// A command that makes a descriptor.
///
/// # Safety
/// As for [`bpf`].
unsafe fn bpf_for_descriptor<Attributes>(
    command: libc::c_int,
    attributes: &Attributes,
) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let raw = unsafe { bpf(command, attributes) }?;
    // SAFETY: the call above has just returned this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// # Safety
/// `attributes` is the part of `union bpf_attr` that the command reads, and every pointer in it is valid for what the
/// command does with it. The command writes nothing to it.
unsafe fn bpf<Attributes>(command: libc::c_int, attributes: &Attributes) -> io::Result<i32> {
    let pointer = std::ptr::from_ref(attributes);
    // SAFETY: the kernel reads as many bytes of `attributes` as the last argument says.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size_of::<Attributes>()) };
    outcome(result)
}

/// # Safety
/// As for [`bpf`], but that the command may write to `attributes`.
unsafe fn bpf_answering<Attributes>(command: libc::c_int, attributes: &mut Attributes) -> io::Result<i32> {
    let pointer = std::ptr::from_mut(attributes);
    // SAFETY: the kernel reads and writes as many bytes of `attributes` as the last argument says.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size_of::<Attributes>()) };
    outcome(result)
}

/// What a system call says, or why it failed.
fn outcome(result: libc::c_long) -> io::Result<i32> {
    i32::try_from(result)
        .ok()
        .filter(|result| *result >= 0)
        .ok_or_else(io::Error::last_os_error)
}

#[cfg(test)]
mod tests {
    use super::spans;

    #[test]
    fn an_empty_ring_gives_nothing() {
        assert_eq!(spans(64, 64, 64), [0..0, 0..0]);
    }

    #[test]
    fn bytes_in_the_middle_come_in_one_piece() {
        assert_eq!(spans(8, 24, 64), [8..24, 0..0]);
    }

    #[test]
    fn bytes_around_the_end_come_in_two_pieces() {
        assert_eq!(spans(120, 136, 64), [56..64, 0..8]);
    }

    #[test]
    fn a_head_that_makes_no_sense_never_leaves_the_ring() {
        assert_eq!(spans(u64::MAX, 5, 64), [63..64, 0..5]);
        assert_eq!(spans(0, 1 << 40, 64), [0..64, 0..0]);
    }
}
