//! How geophone itself is, for its own metrics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::counters::Counters;
use crate::export::Health;
use crate::probe::Tracer;
use crate::probe::coverage::Figures;

/// How long a look at every process of the host stays good: on a large host it takes a while.
const CENSUS_KEPT: Duration = Duration::from_secs(30);

/// The last look at every process.
#[derive(Debug, Default)]
pub(super) struct Census {
    taken: Option<Instant>,
    processes: BTreeMap<&'static str, u64>,
    libraries: BTreeMap<&'static str, u64>,
}

impl Census {
    /// How it stands. `counters`: what was counted outside of the pipeline.
    pub(super) fn health(&mut self, tracer: &mut Tracer, counters: Counters) -> Health {
        if self.taken.is_none_or(|taken| taken.elapsed() >= CENSUS_KEPT) {
            let coverage = tracer.coverage();
            self.processes.clear();
            for process in &coverage {
                *self.processes.entry(process.verdict().word()).or_default() += 1;
            }
            self.libraries = Figures::of(&coverage).traced;
            self.taken = Some(Instant::now());
        }
        Health {
            counters,
            processes: self.processes.clone(),
            libraries: self.libraries.clone(),
            probes: tracer.probes(),
        }
    }
}
