//! Which processes are followed, when each began, and what becomes of them.

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel};
use tracer_common::record::kind;
use tracer_common::state::{Followed, TICK_NS, loss, offset};

use crate::call::{self, CallKey};
use crate::maps::{self, LEFT_ALONE, PROCESSES};
use crate::{emit, identity, maps::task_offset, rustls};

/// A process and the thread in it that a program runs for.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    /// Thread-group id, above, and thread id, below.
    pub(crate) pid_tgid: u64,
}

impl Caller {
    /// Who runs now.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        Self {
            pid_tgid: bpf_get_current_pid_tgid(),
        }
    }

    /// Thread-group id.
    #[inline(always)]
    pub(crate) fn process(self) -> u32 {
        (self.pid_tgid >> 32) as u32
    }

    /// Thread id.
    #[inline(always)]
    pub(crate) fn thread(self) -> u32 {
        self.pid_tgid as u32
    }

    /// Whether anything of this process may be looked at.
    #[inline(always)]
    pub(crate) fn is_followed(self) -> bool {
        !self.is_left_alone() && self.is_in_scope()
    }

    /// Whether it is among those that tracing was started for.
    #[inline(always)]
    pub(crate) fn is_in_scope(self) -> bool {
        if maps::trace_all() {
            return self.process() != maps::agent();
        }
        PROCESSES.get_ptr(self.process()).is_some()
    }

    /// Whether a rule or its pod says so.
    #[inline(always)]
    pub(crate) fn is_left_alone(self) -> bool {
        let Some(known) = LEFT_ALONE.get_ptr(self.process()) else {
            return false;
        };
        // SAFETY: a live map value of an LRU map: at worst the start of another process, which is not that of this one.
        let ticks = unsafe { *known };
        // SAFETY: the helper takes nothing and cannot fail.
        let task = unsafe { bpf_get_current_task() } as *const c_void;
        start_of(task) / TICK_NS == ticks
    }

    /// When the process began. From now on its end is told, and who it is was told before.
    #[inline(always)]
    pub(crate) fn start(self) -> u64 {
        let process = self.process();
        let mut start = 0;
        if let Some(known) = PROCESSES.get_ptr(process) {
            // SAFETY: a live map value; another thread can only store the same start.
            let known = unsafe { *known };
            if known.told != 0 {
                return known.start;
            }
            start = known.start;
        }
        // SAFETY: the helper takes nothing and cannot fail.
        let task = unsafe { bpf_get_current_task() } as *const c_void;
        if start == 0 {
            start = start_of(task);
        }
        let told = identity::tell(self, start, task);
        let followed = Followed {
            start,
            told: u64::from(told),
        };
        if PROCESSES.insert(process, followed, 0).is_err() {
            maps::lose(loss::MAP_FULL, 1, 0);
        }
        start
    }
}

/// `sched_process_fork`: children of followed processes are followed. A new thread has its process's id and changes
/// nothing.
#[inline(always)]
pub(crate) fn forked(parent: *const c_void, child: *const c_void) {
    if maps::trace_all() {
        return;
    }
    let parent = read::<u32>(parent, offset::TASK_TGID);
    let process = read::<u32>(child, offset::TASK_TGID);
    if parent == process || PROCESSES.get_ptr(parent).is_none() {
        return;
    }
    let followed = Followed {
        start: start_of(child),
        told: maps::zero(),
    };
    if PROCESSES.insert(process, followed, 0).is_err() {
        maps::lose(loss::MAP_FULL, 1, 0);
    }
}

/// `sched_process_exec`
#[inline(always)]
pub(crate) fn executed(task: *const c_void) {
    let caller = Caller::current();
    // It is another program now, of which nobody has said anything yet.
    let _gone = LEFT_ALONE.remove(caller.process());
    if let Some(followed) = PROCESSES.get_ptr_mut(caller.process()) {
        // SAFETY: a live map value; no other thread of the process is left.
        unsafe { (*followed).told = 0 };
        emit::process(kind::EXEC, caller, start_of(task));
    }
}

/// `sched_process_exit` comes for every thread; `do_exit` has counted it out of `signal->live` before.
#[inline(always)]
pub(crate) fn exited(task: *const c_void) {
    let caller = Caller::current();
    // Of every thread: of threads that are killed together the last may have ended the process before this one comes, and
    // where everybody is followed a process is known only once a call of it has returned.
    call::forget(CallKey::new(caller, false));
    call::forget(CallKey::new(caller, true));
    rustls::forget(caller);
    let is_known = PROCESSES.get_ptr(caller.process()).is_some();
    if !is_known && LEFT_ALONE.get_ptr(caller.process()).is_none() {
        return;
    }
    let signal = read::<u64>(task, offset::TASK_SIGNAL) as *const c_void;
    if read::<i32>(signal, offset::SIGNAL_LIVE) == 0 {
        if is_known {
            emit::process(kind::EXIT, caller, start_of(task));
        }
        // A second thread that ends at the same moment finds nothing left to remove.
        let _gone = PROCESSES.remove(caller.process());
        let _gone = LEFT_ALONE.remove(caller.process());
    }
}

/// `task->group_leader->start_boottime`
#[inline(always)]
fn start_of(task: *const c_void) -> u64 {
    let leader = read::<u64>(task, offset::TASK_GROUP_LEADER) as *const c_void;
    read(leader, offset::TASK_START_BOOTTIME)
}

/// Reads a member of a kernel structure; zero if it cannot be read.
#[inline(always)]
pub(crate) fn read<T: Default>(base: *const c_void, member: usize) -> T {
    let address = base.wrapping_byte_add(task_offset(member)).cast::<T>();
    // SAFETY: the helper checks the address and fails on one that is not mapped.
    unsafe { bpf_probe_read_kernel(address) }.unwrap_or_default()
}
