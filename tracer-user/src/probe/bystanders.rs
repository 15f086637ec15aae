//! Processes that rules leave alone by what they run, known before they say anything.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::left_alone::LeftAlone;
use super::process::{Stat, command_line, executable};
use crate::select::{Outcome, Place, Rules, Subject};

/// The rules, and whom they were found to mean.
///
/// Only what no pod can change is decided here; the rest is decided when the process says something.
#[derive(Debug, Default)]
pub(super) struct Bystanders {
    rules: Arc<Rules>,
    left_alone: Option<LeftAlone>,
    /// Pids that were asked about since they began to run what they run.
    known: HashMap<u32, bool>,
}

/// A process as `/proc` shows it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    executable: String,
    command_line: Vec<String>,
}

impl Seen {
    fn of(pid: u32) -> Self {
        Self {
            executable: executable(pid).unwrap_or_default(),
            command_line: command_line(pid).unwrap_or_default(),
        }
    }
}

impl Bystanders {
    pub(super) fn new(rules: Arc<Rules>, left_alone: LeftAlone) -> Self {
        Self {
            rules,
            left_alone: Some(left_alone),
            known: HashMap::new(),
        }
    }

    /// Whether a process is left alone, whatever its pod. The kernel side is told of one that is.
    pub(super) fn is_one(&mut self, pid: u32) -> bool {
        if self.rules.are_trivial() {
            return false;
        }
        if let Some(known) = self.known.get(&pid) {
            return *known;
        }
        let Some(Stat { start_ticks, .. }) = Stat::read(pid) else {
            return false;
        };
        let seen = Seen::of(pid);
        let is_one = self.leaves_alone(&Subject::new(
            &seen.executable,
            &seen.command_line,
            Place::Unknown,
        ));
        // In the midst of `execve` there are no arguments yet.
        if is_one || !seen.command_line.is_empty() {
            self.known.insert(pid, is_one);
        }
        if is_one && let Some(left_alone) = &self.left_alone {
            left_alone.add_if(pid, start_ticks, || Seen::of(pid) == seen);
        }
        is_one
    }

    /// Whether every process of a program is left alone, however it is called and wherever it runs.
    pub(super) fn is_program(&self, path: &Path) -> bool {
        self.leaves_alone(&Subject::program(&path.to_string_lossy()))
    }

    /// Whether the kernel side does not look at a process, for whatever reason.
    pub(super) fn has(&self, pid: u32) -> bool {
        self.left_alone
            .as_ref()
            .is_some_and(|left_alone| left_alone.contains(pid))
    }

    /// A process begins to run something, or has ended.
    pub(super) fn forget(&mut self, pid: u32) {
        self.known.remove(&pid);
    }

    /// It is not known what processes did meanwhile.
    pub(super) fn forget_all(&mut self) {
        self.known.clear();
    }

    fn leaves_alone(&self, subject: &Subject<'_>) -> bool {
        matches!(self.rules.decide(subject), Outcome::Settled(decision) if !decision.trace)
    }
}
