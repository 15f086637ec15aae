//! How geophone itself is, for its own metrics and for who asks whether it is ready.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::counters::Counters;
use crate::export::{Health, Standing};
use crate::probe::Tracer;
use crate::probe::coverage::{Coverage, Figures, LibraryStatus, Verdict};

/// How long a look at every process of the host stays good: on a large host it takes a while.
const CENSUS_KEPT: Duration = Duration::from_secs(30);

/// The same while there are no probes: then it decides whether geophone is ready.
const CENSUS_KEPT_WITHOUT_PROBES: Duration = Duration::from_secs(5);

/// How long the entries of tables stay counted.
const TABLES_KEPT: Duration = Duration::from_secs(2);

/// And while it is not known why there are none: an attempt may be under way.
const CENSUS_KEPT_UNEXPLAINED: Duration = Duration::from_secs(1);

/// The last look at every process.
#[derive(Debug, Default)]
pub(super) struct Census {
    taken: Option<Instant>,
    processes: BTreeMap<&'static str, u64>,
    libraries: BTreeMap<&'static str, u64>,
    waiting: Waiting,
    /// Entries of tables, and when they were counted.
    tables: Option<(Instant, BTreeMap<&'static str, u64>)>,
}

/// Processes of which nothing is traced and something could be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Waiting {
    processes: u64,
    /// What the kernel said to the last attempt.
    reason: Option<String>,
}

impl Waiting {
    fn of(coverage: &[Coverage]) -> Self {
        let mut waiting = Self::default();
        for process in coverage {
            if matches!(process.verdict(), Verdict::Traced | Verdict::LeftAlone) {
                continue;
            }
            let mut could_be = false;
            for library in &process.libraries {
                match &library.status {
                    LibraryStatus::Traceable(_) => could_be = true,
                    LibraryStatus::Failed { reason, .. } => {
                        could_be = true;
                        waiting.reason = Some(reason.clone());
                    }
                    LibraryStatus::Traced { .. } | LibraryStatus::NotTraceable(_) => {}
                }
            }
            waiting.processes += u64::from(could_be);
        }
        waiting
    }
}

impl Census {
    /// How the probes stand. While there are any nobody is looked at.
    pub(super) fn standing(&mut self, tracer: &mut Tracer) -> Standing {
        let probes = tracer.probes();
        if probes > 0 {
            return Standing::Probes(probes);
        }
        let is_unexplained = self.waiting.processes > 0 && self.waiting.reason.is_none();
        let kept = if is_unexplained {
            CENSUS_KEPT_UNEXPLAINED
        } else {
            CENSUS_KEPT_WITHOUT_PROBES
        };
        self.take(tracer, kept);
        if let Some(reason) = tracer.shortage() {
            return Standing::Unsighted(reason.to_owned());
        }
        match &self.waiting {
            Waiting { processes: 0, .. } => Standing::Idle,
            Waiting { processes, reason } => Standing::Blind {
                processes: *processes,
                reason: reason.clone(),
            },
        }
    }

    /// How it stands. `counters`: what was counted outside of the pipeline.
    pub(super) fn health(&mut self, tracer: &mut Tracer, counters: Counters) -> Health {
        self.take(tracer, CENSUS_KEPT);
        Health {
            counters,
            processes: self.processes.clone(),
            libraries: self.libraries.clone(),
            probes: tracer.probes(),
            tables: self.tables(tracer),
        }
    }

    /// How much is remembered: the maps in the kernel may be large, so they are not read for everybody who asks.
    fn tables(&mut self, tracer: &Tracer) -> BTreeMap<&'static str, u64> {
        match &self.tables {
            Some((counted, tables)) if counted.elapsed() < TABLES_KEPT => tables.clone(),
            _ => {
                let tables: BTreeMap<_, _> = tracer.tables().into_iter().collect();
                self.tables = Some((Instant::now(), tables.clone()));
                tables
            }
        }
    }

    /// Looks at every process, unless that was done lately.
    fn take(&mut self, tracer: &mut Tracer, kept: Duration) {
        if self.taken.is_some_and(|taken| taken.elapsed() < kept) {
            return;
        }
        let coverage = tracer.coverage();
        self.processes.clear();
        for process in &coverage {
            *self.processes.entry(process.verdict().word()).or_default() += 1;
        }
        self.libraries = Figures::of(&coverage).traced;
        self.waiting = Waiting::of(&coverage);
        self.taken = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::probe::coverage::LibraryCoverage;
    use crate::probe::resolve::{Known, Resolved, Unresolved};

    #[test]
    fn who_waits_for_probes_is_who_could_have_some_and_has_none() {
        let resolved = || {
            Arc::new(Resolved {
                libraries: Vec::new(),
                refused: Vec::new(),
                build_id: None,
            })
        };
        let traced = || LibraryStatus::Traced {
            resolved: resolved(),
            probes: 4,
        };
        let refused = || LibraryStatus::Failed {
            resolved: resolved(),
            reason: "Too many open files".to_owned(),
        };
        let java = || LibraryStatus::NotTraceable(Unresolved::Unsupported(Known::Java));
        let process = |libraries: Vec<LibraryStatus>| Coverage {
            pid: 1,
            executable: String::new(),
            command_line: Vec::new(),
            libraries: libraries
                .into_iter()
                .map(|status| LibraryCoverage {
                    path: PathBuf::from("/opt/program"),
                    status,
                })
                .collect(),
            left_alone: false,
        };
        // Nothing can be done for these, or it has been done.
        let content = [
            process(vec![]),
            process(vec![java()]),
            process(vec![traced(), refused()]),
        ];
        assert_eq!(Waiting::of(&content), Waiting::default());
        let waiting = [
            process(vec![LibraryStatus::Traceable(resolved())]),
            process(vec![java(), refused(), refused()]),
        ];
        let Waiting { processes, reason } = Waiting::of(&waiting);
        assert_eq!((processes, reason.as_deref()), (2, Some("Too many open files")));
    }
}
