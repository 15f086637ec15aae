//! Which processes the kernel side is not to look at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aya::maps::{HashMap, MapData};
use tracer_common::state::TICK_NS;

use super::process::{Stat, command_line, executable};
use crate::event::Process;

/// Thread-group ids, each with the start of the process in clock ticks.
pub(super) type Map = HashMap<MapData, u32, u64>;

/// Tells the kernel side which processes to leave alone. Cheap to clone.
///
/// A filter in the kernel for what is decided here: should it not take, what comes is dropped in user space.
#[derive(Debug, Clone)]
pub struct LeftAlone {
    map: Arc<Mutex<Map>>,
}

impl LeftAlone {
    pub(super) fn new(map: Map) -> Self {
        Self {
            map: Arc::new(Mutex::new(map)),
        }
    }

    /// Nothing of this process is looked at any more, until it runs another program.
    pub fn add(&self, process: &Process) {
        let ticks = process.key.start_ns / TICK_NS;
        self.add_if(process.key.pid, ticks, || {
            executable(process.key.pid).is_ok_and(|now| now == process.executable)
                && command_line(process.key.pid).is_ok_and(|now| now == process.command_line)
        });
    }

    /// The same by pid and start. `still_holds` is asked afterwards: a process that has become another program meanwhile is
    /// forgotten by the kernel side if it did so after this was told, and else here.
    pub(super) fn add_if(&self, pid: u32, start_ticks: u64, still_holds: impl FnOnce() -> bool) {
        if let Err(error) = self.map().insert(pid, start_ticks, 0) {
            tracing::debug!(%error, pid, "the kernel side was not told to leave a process alone");
            return;
        }
        if !still_holds() {
            self.remove(pid);
        }
    }

    /// A process is looked at again.
    pub fn remove(&self, pid: u32) {
        // That it was not there is as good.
        self.map().remove(&pid).ok();
    }

    /// Every process is looked at again.
    pub fn clear(&self) {
        let mut map = self.map();
        let pids: Vec<u32> = map.keys().flatten().collect();
        for pid in pids {
            map.remove(&pid).ok();
        }
    }

    /// Whether this process, the one that has the pid now, is left alone.
    pub fn contains(&self, pid: u32) -> bool {
        let told = self.map().get(&pid, 0).ok();
        told.is_some_and(|ticks| Stat::read(pid).is_some_and(|stat| stat.start_ticks == ticks))
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
