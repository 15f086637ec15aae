//! What the kernel side could not hand over, and who took so much of the ring buffer that it had to give way.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use aya::maps::{MapData, PerCpuArray};
use tracer_common::state::{ProcessId, loss};

use super::process::Processes;
use crate::event::{LossReason, Lost, Monotonic, ProcessKey};

/// Records and bytes by reason.
pub(super) type ByReason = PerCpuArray<MapData, [u64; 2]>;
/// Records and bytes by process. It forgets the processes that lost nothing for longest.
pub(super) type ByProcess = aya::maps::HashMap<MapData, [u64; 2], [u64; 2]>;

/// Between two warnings.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);
/// Processes that a warning names.
const NAMED: usize = 3;

const REASONS: [(u32, LossReason); loss::SLOTS as usize] = [
    (loss::RING_FULL, LossReason::RingFull),
    (loss::READ_FAULT, LossReason::ReadFault),
    (loss::CALL_CAP, LossReason::CallCap),
    (loss::MAP_FULL, LossReason::MapFull),
    (loss::UNSEEN, LossReason::Unseen),
    (loss::PROCESS_SHARE, LossReason::ProcessShare),
];

/// The counts of the kernel side.
pub(super) struct Losses {
    by_reason: ByReason,
    by_process: ByProcess,
    /// What was told of each reason.
    told: [Count; loss::SLOTS as usize],
    /// What the map said of each process.
    known: HashMap<ProcessKey, Count>,
    noisy: Noisy,
}

/// How much was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Count {
    records: u64,
    bytes: u64,
}

impl From<[u64; 2]> for Count {
    fn from([records, bytes]: [u64; 2]) -> Self {
        Self { records, bytes }
    }
}

impl Count {
    fn plus(self, other: Self) -> Self {
        Self {
            records: self.records.wrapping_add(other.records),
            bytes: self.bytes.wrapping_add(other.bytes),
        }
    }

    fn less(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_sub(other.records),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl Losses {
    pub(super) fn new(by_reason: ByReason, by_process: ByProcess) -> Self {
        Self {
            by_reason,
            by_process,
            told: Default::default(),
            known: HashMap::new(),
            noisy: Noisy::default(),
        }
    }

    /// What was lost since the last time.
    pub(super) fn take(&mut self, time: Monotonic) -> Vec<Lost> {
        let mut lost = Vec::new();
        for ((slot, reason), index) in REASONS.into_iter().zip(0..) {
            let (Some(total), Some(told)) = (self.total(slot), self.told.get(index).copied()) else {
                continue;
            };
            let mut told_now = told;
            if reason == LossReason::ProcessShare && total != told {
                for (process, count) in self.of_processes() {
                    self.noisy.add(process, count);
                    lost.push(count.as_lost(reason, Some(process), time));
                    told_now = told_now.plus(count);
                }
            }
            // Of the processes that the map has forgotten; those that came in meanwhile are counted the next time.
            let rest = total.less(told_now);
            if rest.records > 0 {
                lost.push(rest.as_lost(reason, None, time));
                told_now = told_now.plus(rest);
            }
            if let Some(told) = self.told.get_mut(index) {
                *told = told_now;
            }
        }
        lost
    }

    /// Warns of the processes that take more than their share of the ring, from time to time.
    pub(super) fn warn(&mut self, now: Instant, facts: &mut Processes) {
        self.noisy.warn(now, facts);
    }

    fn total(&self, slot: u32) -> Option<Count> {
        let values = self.by_reason.get(&slot, 0).ok()?;
        Some(
            values
                .iter()
                .fold(Count::default(), |all, one| all.plus(Count::from(*one))),
        )
    }

    /// What each process lost since the last time.
    fn of_processes(&mut self) -> Vec<(ProcessKey, Count)> {
        let mut changed = Vec::new();
        let mut known = HashMap::new();
        for (id, count) in self.by_process.iter().filter_map(Result::ok) {
            let ProcessId {
                start,
                process,
                unused: _,
            } = zerocopy::transmute!(id);
            let key = ProcessKey {
                pid: process,
                start_ns: start,
            };
            let count = Count::from(count);
            let before = self.known.get(&key).copied().unwrap_or_default();
            // Forgotten and begun anew, it counts from zero.
            let new = if count.records < before.records {
                count
            } else {
                count.less(before)
            };
            known.insert(key, count);
            if new.records > 0 {
                changed.push((key, new));
            }
        }
        self.known = known;
        changed
    }
}

impl Count {
    fn as_lost(self, reason: LossReason, process: Option<ProcessKey>, time: Monotonic) -> Lost {
        let Self { records, bytes } = self;
        Lost {
            reason,
            process,
            records,
            bytes,
            time,
        }
    }
}

/// Who lost since the last warning.
#[derive(Debug, Default)]
struct Noisy {
    processes: HashMap<ProcessKey, Count>,
    warned: Option<Instant>,
}

impl Noisy {
    fn add(&mut self, process: ProcessKey, count: Count) {
        let sum = self.processes.entry(process).or_default();
        *sum = sum.plus(count);
    }

    fn warn(&mut self, now: Instant, facts: &mut Processes) {
        let is_due = self.warned.is_none_or(|last| now >= last + WARNING_INTERVAL);
        if self.processes.is_empty() || !is_due {
            return;
        }
        self.warned = Some(now);
        let mut noisy: Vec<(ProcessKey, Count)> = self.processes.drain().collect();
        noisy.sort_by_key(|(process, count)| (std::cmp::Reverse(count.records), *process));
        let others = noisy.len().saturating_sub(NAMED);
        for (process, Count { records, bytes }) in noisy.into_iter().take(NAMED) {
            let executable = facts.describe(process).executable.clone();
            let name = Path::new(&executable)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            tracing::warn!(
                bytes,
                "process {} ({name}) fills the ring buffer: {records} records of it were left out, so that others find room",
                process.pid,
            );
        }
        if others > 0 {
            tracing::warn!("so do {others} other processes");
        }
    }
}
