//! Metrics made of calls: tokens, durations, pace and cost, by process and attributes.
//!
//! Everything is counted in whole numbers and kept from the first call on (cumulative temporality), so that it depends
//! neither on the order of calls nor on how often it is collected. [`Metrics::collect`] gives a [`Snapshot`] that is free of any
//! exporter's types.

mod collect;
mod data;
mod instrument;
mod set;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bedrock::Call;
use crate::event::{Host, Monotonic, Process, ProcessKey};

use super::convention::Convention;
use super::cost::Prices;
use super::failure::failed;
use super::operation::operation_name;
use set::{Key, Set};

pub use data::{Data, Metric, Number, Point, ProcessMetrics, Snapshot};

/// Most sets of attributes kept for one process, as OpenTelemetry's SDKs do (its specification's default cardinality limit).
/// Calls beyond it are counted together.
#[allow(clippy::doc_markdown, reason = "the name of a project")]
pub const MAX_SETS: usize = 2_000;

/// Most sets kept for all processes; a set takes about a kilobyte.
pub const MAX_SETS_IN_ALL: usize = 20_000;

/// Most processes with metrics. The one that ended first, else the one that called first, is forgotten first.
pub const MAX_PROCESSES: usize = 4_096;

/// How long the metrics of an ended process are still told: several intervals of those who collect.
const ENDED_KEPT_NS: u64 = 5 * 60 * 1_000_000_000;

/// What a call did to the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// There was no room for its attributes: it is counted among the overflow.
    pub overflowed: bool,
    /// Sets of attributes that were forgotten to make room for its process.
    pub forgotten: u64,
}

/// Keeps the metrics of every process.
#[derive(Debug)]
pub struct Metrics {
    convention: Convention,
    prices: Option<Arc<Prices>>,
    processes: BTreeMap<ProcessKey, Metered>,
    sets: usize,
}

/// One process.
#[derive(Debug)]
struct Metered {
    process: Arc<Process>,
    start_unix_ns: u64,
    sets: BTreeMap<Key, Set>,
    ended: Option<Monotonic>,
    /// Somebody has collected since it ended.
    told: bool,
}

impl Metrics {
    /// No calls yet.
    pub fn new(convention: Convention, prices: Option<Arc<Prices>>) -> Self {
        Self {
            convention,
            prices,
            processes: BTreeMap::new(),
            sets: 0,
        }
    }

    /// Goes on by other names and prices. What was counted stays.
    pub fn reconfigure(&mut self, convention: Convention, prices: Option<Arc<Prices>>) {
        self.convention = convention;
        self.prices = prices;
    }

    /// How many processes have metrics, those that ended lately included.
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// Takes a call of a process. Work for which the convention has no operation is none of its metrics.
    pub fn record(&mut self, call: &Call, process: &Arc<Process>, host: &Host) -> Recorded {
        let mut recorded = Recorded::default();
        let Some(operation) = operation_name(call) else {
            return recorded;
        };
        if !self.processes.contains_key(&process.key) {
            recorded.forgotten = self.make_room();
        }
        let sets_in_all = self.sets;
        let metered = self.processes.entry(process.key).or_insert_with(|| Metered {
            process: Arc::clone(process),
            start_unix_ns: wall(host, call.timings.request),
            sets: BTreeMap::new(),
            ended: None,
            told: false,
        });
        metered.process = Arc::clone(process);
        metered.told = false;
        let mut key = Key::of(call, operation, failed(call).map(|failed| failed.kind));
        let is_full = metered.sets.len() >= MAX_SETS || sets_in_all >= MAX_SETS_IN_ALL;
        if is_full && !metered.sets.contains_key(&key) {
            key = Key::Overflow;
            recorded.overflowed = true;
        }
        let charge = self.prices.as_ref().map(|prices| prices.charge(call));
        let before = metered.sets.len();
        metered.sets.entry(key).or_default().record(call, charge);
        self.sets += metered.sets.len() - before;
        recorded
    }

    /// A process is gone. Its metrics are told for a while yet.
    pub fn process_exit(&mut self, process: ProcessKey, time: Monotonic) {
        if let Some(metered) = self.processes.get_mut(&process) {
            metered.ended = Some(time);
        }
    }

    /// Everything so far, as of `now`.
    pub fn collect(&mut self, now: Monotonic, host: &Host) -> Snapshot {
        let before = Monotonic(now.0.saturating_sub(ENDED_KEPT_NS));
        self.processes
            .retain(|_, metered| !metered.told || metered.ended.is_none_or(|ended| ended > before));
        self.sets = self.processes.values().map(|metered| metered.sets.len()).sum();
        // A clock that was set back does not make sums end before they began.
        let begins = self.processes.values().map(|metered| metered.start_unix_ns);
        let begins = begins.max().unwrap_or(0);
        let convention = self.convention;
        let processes = self.processes.values_mut().map(|metered| {
            metered.told |= metered.ended.is_some();
            ProcessMetrics {
                process: Arc::clone(&metered.process),
                metrics: collect::metrics(&metered.sets, metered.start_unix_ns, convention),
            }
        });
        Snapshot {
            time_unix_ns: wall(host, now).max(begins),
            processes: processes.collect(),
        }
    }

    fn make_room(&mut self) -> u64 {
        if self.processes.len() < MAX_PROCESSES {
            return 0;
        }
        // Ended ones first, then by when they first called.
        let age = |metered: &Metered| {
            let ended = metered.ended.map_or(u64::MAX, |time| time.0);
            (ended, metered.start_unix_ns)
        };
        let oldest = self.processes.iter().min_by_key(|(_, metered)| age(metered));
        let Some(oldest) = oldest.map(|(key, _)| *key) else {
            return 0;
        };
        let forgotten = self
            .processes
            .remove(&oldest)
            .map_or(0, |metered| metered.sets.len());
        self.sets -= forgotten;
        forgotten as u64
    }
}

/// Wall clock of a monotonic time.
fn wall(host: &Host, time: Monotonic) -> u64 {
    time.0.saturating_add_signed(host.wall_offset_ns)
}
