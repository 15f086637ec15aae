//! Who a process is, read where it cannot be gone: in the process itself, when its first connection is met.
//!
//! `/proc` forgets a process with its end, and one that makes a single call ends within milliseconds.

use core::ffi::c_void;
use core::hint::black_box;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel_str, bpf_probe_read_user};
use tracer_common::record::{GROUP_NAME, GROUPS, IDENTITY_TEXT, Identity, Slot, kind};
use tracer_common::state::offset;

use crate::emit;
use crate::maps::task_offset;
use crate::process::{Caller, read};
use crate::share::Tenant;

/// What a slot has room for.
const ROOM: usize = size_of::<Identity>() + IDENTITY_TEXT;

/// Tells who the process of the task is. `false` where there was no room for it: then it is told another time.
#[inline(always)]
pub(crate) fn tell(caller: Caller, start: u64, task: *const c_void) -> bool {
    let Some(slot) =
        Tenant::current(caller.process(), start).and_then(|mut tenant| tenant.reserve::<Slot<ROOM>>(0))
    else {
        return false;
    };
    let identity = emit::payload(&slot).cast::<Identity>();
    let parent = read::<u64>(task, offset::TASK_PARENT) as *const c_void;
    // SAFETY: the slot is ours until it is submitted and begins with room for an identity.
    unsafe { (&raw mut (*identity).parent).write(read(parent, offset::TASK_TGID)) };
    name_groups(task, identity);

    let memory = read::<u64>(task, offset::TASK_MEMORY) as *const c_void;
    let begin = read::<u64>(memory, offset::ARGUMENTS_START);
    let arguments = read::<u64>(memory, offset::ARGUMENTS_END).saturating_sub(begin);
    let all = read::<u64>(memory, offset::ENVIRONMENT_END).saturating_sub(begin);
    // SAFETY: behind the identity is the text.
    let text = unsafe { identity.add(1) }.cast::<c_void>();
    let mut length = copy(text, begin, all);
    if length == 0 {
        // A part of the environment is not in memory.
        length = copy(text, begin, arguments);
    }
    let arguments = if arguments < u64::from(length) {
        arguments as u32
    } else {
        length
    };
    // SAFETY: as above.
    unsafe { (&raw mut (*identity).arguments).write(arguments) };

    let mut header = emit::header(kind::IDENTITY, caller, start);
    header.length = size_of::<Identity>() as u32 + length;
    emit::submit(slot, &header);
    true
}

/// Copies at most as much as there is room for; tells how much.
#[inline(always)]
fn copy(to: *mut c_void, from: u64, length: u64) -> u32 {
    if from == 0 || length == 0 {
        return 0;
    }
    let length = if length < IDENTITY_TEXT as u64 {
        length
    } else {
        IDENTITY_TEXT as u64
    };
    // As in `emit`: a mask the verifier cannot forget.
    let length = (black_box((length as u32).wrapping_sub(1)) & (IDENTITY_TEXT as u32 - 1)) + 1;
    // SAFETY: there is room for as many bytes; the helper checks the source.
    let failed = unsafe { bpf_probe_read_user(to, length, from as *const _) };
    if failed == 0 { length } else { 0 }
}

/// Names the control group of a task and those around it; what is not there gets an empty name.
#[inline(always)]
fn name_groups(task: *const c_void, identity: *mut Identity) {
    let mut node = 0;
    if task_offset(offset::TASK_GROUPS) != 0 {
        let set = read::<u64>(task, offset::TASK_GROUPS) as *const c_void;
        let group = read::<u64>(set, offset::GROUP) as *const c_void;
        node = read::<u64>(group, offset::GROUP_NODE);
    }
    let mut index = 0;
    while index < GROUPS {
        // SAFETY: the slot is ours until it is submitted; `index` is within the array.
        let place = unsafe {
            (&raw mut (*identity).groups)
                .cast::<[u8; GROUP_NAME]>()
                .add(index)
        };
        let mut taken = 0;
        if node != 0 {
            let name = read::<u64>(node as *const c_void, offset::NODE_NAME);
            // SAFETY: there is room for as many bytes; the helper checks the source and ends with a zero.
            taken =
                unsafe { bpf_probe_read_kernel_str(place.cast(), GROUP_NAME as u32, name as *const c_void) };
            node = read(node as *const c_void, offset::NODE_PARENT);
        }
        if taken <= 0 {
            // SAFETY: as above.
            unsafe { place.cast::<u8>().write(0) };
        }
        index += 1;
    }
}
