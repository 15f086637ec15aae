//! What each process has of the calls under way and of the memory for their bodies, so that one that floods us gives way
//! before its neighbours do.

use std::collections::{BTreeMap, BTreeSet};

use crate::conn::fair;
use crate::event::{ConnectionKey, Monotonic, ProcessKey};
use crate::http::ExchangeNumber;

/// A call under way.
pub(super) type CallKey = (ConnectionKey, ExchangeNumber);

/// All calls under way, by process and age.
#[derive(Debug, Default)]
pub(super) struct Shares {
    // Ordered, so that every walk has one order, live and replayed.
    by_age: BTreeSet<(ProcessKey, Monotonic, CallKey)>,
    by_process: BTreeMap<ProcessKey, Share>,
    held: usize,
}

/// What one process has.
#[derive(Debug, Default)]
struct Share {
    calls: usize,
    held: usize,
}

impl Shares {
    /// How many calls are under way.
    pub(super) fn calls(&self) -> usize {
        self.by_age.len()
    }

    /// A call begins.
    pub(super) fn begin(&mut self, call: CallKey, time: Monotonic) {
        let process = call.0.process;
        if self.by_age.insert((process, time, call)) {
            self.by_process.entry(process).or_default().calls += 1;
        }
    }

    /// The call that began at `time` is over and gives back what it held.
    pub(super) fn end(&mut self, call: CallKey, time: Monotonic, held: usize) {
        let process = call.0.process;
        self.by_age.remove(&(process, time, call));
        self.held = self.held.saturating_sub(held);
        if let Some(share) = self.by_process.get_mut(&process) {
            share.calls = share.calls.saturating_sub(1);
            share.held = share.held.saturating_sub(held);
            if share.calls == 0 {
                self.by_process.remove(&process);
            }
        }
    }

    /// A call of this process holds more or less than before.
    pub(super) fn hold(&mut self, process: ProcessKey, before: usize, after: usize) {
        let change = |held: usize| (held + after).saturating_sub(before);
        self.held = change(self.held);
        if let Some(share) = self.by_process.get_mut(&process) {
            share.held = change(share.held);
        }
    }

    /// How much more a call of this process may hold, of `total` for all.
    pub(super) fn budget(&self, process: ProcessKey, total: usize) -> usize {
        let own = self.by_process.get(&process).map_or(0, |share| share.held);
        fair::budget(total, self.held, own)
    }

    /// What all calls hold together.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// The process that holds most.
    pub(super) fn heaviest(&self) -> Option<ProcessKey> {
        let (process, _) = self.by_process.iter().max_by_key(|(_, share)| share.held)?;
        Some(*process)
    }

    /// The oldest call of the process that has most of them.
    pub(super) fn first_to_go(&self) -> Option<CallKey> {
        let (process, _) = self.by_process.iter().max_by_key(|(_, share)| share.calls)?;
        let (owner, _, call) = self.by_age.range((*process, Monotonic(0), FIRST_CALL)..).next()?;
        (owner == process).then_some(*call)
    }
}

/// Not after any other.
const FIRST_CALL: CallKey = (
    ConnectionKey {
        process: ProcessKey { pid: 0, start_ns: 0 },
        address: 0,
        generation: 0,
    },
    ExchangeNumber(0),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn call(pid: u32, number: u64) -> CallKey {
        let connection = ConnectionKey {
            process: ProcessKey { pid, start_ns: 1 },
            address: 0xa,
            generation: 0,
        };
        (connection, ExchangeNumber(number))
    }

    #[test]
    fn the_oldest_call_of_the_busiest_goes_first() {
        let mut shares = Shares::default();
        shares.begin(call(1, 0), Monotonic(1));
        for number in 0..3 {
            shares.begin(call(2, number), Monotonic(10 + number));
        }
        assert_eq!(shares.first_to_go(), Some(call(2, 0)));
        shares.end(call(2, 0), Monotonic(10), 0);
        assert_eq!(shares.first_to_go(), Some(call(2, 1)));
        assert_eq!(shares.calls(), 3);
    }

    #[test]
    fn a_process_that_holds_half_of_all_leaves_the_rest_to_others() {
        let mut shares = Shares::default();
        shares.begin(call(1, 0), Monotonic(1));
        assert_eq!(shares.budget(call(1, 0).0.process, 1000), 500);
        shares.hold(call(1, 0).0.process, 0, 500);
        assert_eq!(shares.budget(call(1, 0).0.process, 1000), 0);
        assert_eq!(shares.budget(call(2, 0).0.process, 1000), 250);
        shares.end(call(1, 0), Monotonic(1), 500);
        assert_eq!(shares.budget(call(2, 0).0.process, 1000), 500);
    }
}
