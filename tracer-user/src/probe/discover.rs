//! Finds the files that want probes: what runs already, what starts, what is loaded late, and what is gone again.
//!
//! Events tell of new processes and mappings within microseconds. A slow look at everything is the safety net below them:
//! for events the kernel had no room for, and for files that nobody uses any more, since a probe pins a file and with it
//! the mount of a container that has ended.

mod scan;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bystanders::Bystanders;
use super::coverage::{self, Coverage};
use super::files::{FileIdentity, Files, Opened, Outcome, Target};
use super::followed::{Followed, all_pids};
use super::left_alone::LeftAlone;
use super::patience::{PAUSE_MAX, Patience, is_shortage};
use super::process::Processes;
use super::watch::{MappedFile, TaskEvent, Watch};
use super::workers::{Done, Workers};
use super::{Scope, maps, prescan};
use crate::select::Rules;
use scan::Scan;

/// Time between two looks at everything.
const SCAN_INTERVAL: Duration = PAUSE_MAX;

/// What is to be done.
#[derive(Debug)]
pub enum Found {
    /// Put probes on this file. It is offered once; tell the result to [`Finder::attached`].
    Attach(Target),
    /// Nothing uses this file any more: take its probes away.
    Detach(FileIdentity),
    /// All installed programs have been looked at, and this many of them were offered.
    LookedAhead(usize),
}

/// Knows which files have probes and which should have.
#[derive(Debug)]
pub struct Finder {
    scope: Followed,
    watch: io::Result<Watch>,
    files: Files,
    workers: Workers,
    /// Files that are being looked into, and the processes that have mapped them.
    pending: HashMap<FileIdentity, Vec<u32>>,
    /// Installed programs that are to have probes before they run.
    expected: HashSet<FileIdentity>,
    processes: Processes,
    /// Events of which only what they say of processes was taken in.
    noted: Vec<TaskEvent>,
    attachments: HashMap<FileIdentity, Attachment>,
    /// Files looked at before any process maps them.
    prepared: Vec<PathBuf>,
    bystanders: Bystanders,
    scan: Option<Scan>,
    /// When everything is looked at the next time, unless something that was refused is due before.
    next_scan: Instant,
    /// Files and processes cannot be looked at.
    shortage: Patience,
}

/// A file that was offered for probes.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) state: AttachmentState,
    unused_scans: u32,
    patience: Patience,
}

/// What became of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AttachmentState {
    Offered,
    Attached { probes: usize },
    Failed(String),
}

/// What the result of an offer means to who reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// As was to be expected.
    None,
    /// It was refused, the first time in a row.
    Refused,
    /// It was granted after so many refusals.
    Granted(u32),
}

impl Finder {
    /// Begins to follow events. Without the right to do so it still works, by looking at everything more often; see
    /// [`watch_error`](Self::watch_error).
    pub fn start(scope: &Scope) -> io::Result<Self> {
        let copies = Arc::default();
        Ok(Self {
            scope: match scope {
                Scope::All => Followed::All,
                Scope::Processes(pids) => Followed::Processes(pids.iter().copied().collect()),
            },
            watch: Watch::start(),
            files: Files::new(Arc::clone(&copies)),
            workers: Workers::new(copies)?,
            pending: HashMap::new(),
            expected: HashSet::new(),
            processes: Processes::default(),
            noted: Vec::new(),
            attachments: HashMap::new(),
            prepared: Vec::new(),
            bystanders: Bystanders::default(),
            scan: None,
            next_scan: Instant::now(),
            shortage: Patience::default(),
        })
    }

    /// Leaves processes alone from now on that these rules name, and lets the kernel side know of them. Begins to look at
    /// everything.
    pub fn choose(&mut self, rules: Arc<Rules>, left_alone: LeftAlone) {
        self.bystanders = Bystanders::new(rules, left_alone);
        self.scan = None;
        self.next_scan = Instant::now();
    }

    /// Why events cannot be followed, if so: then new libraries are found up to a second late.
    pub fn watch_error(&self) -> Option<&io::Error> {
        self.watch.as_ref().err()
    }

    /// What to wait on: readable when [`take`](Self::take) has something to do.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let watched = self.watch.iter().flat_map(Watch::descriptors);
        watched.chain([self.workers.descriptor()])
    }

    /// When [`take`](Self::take) wants to be called though no descriptor is readable.
    pub fn due_in(&self, now: Instant) -> Duration {
        if self.scan.is_some() {
            Duration::ZERO
        } else {
            self.due().saturating_duration_since(now)
        }
    }

    /// When everything is to be looked at again: for its own sake, or for what was refused.
    fn due(&self) -> Instant {
        let attachments = self.attachments.values();
        let refused = attachments.filter_map(|attachment| attachment.patience.again());
        let refused = refused.chain(self.shortage.again()).min();
        refused.map_or(self.next_scan, |again| again.min(self.next_scan))
    }

    /// Why processes cannot be looked at, if so.
    pub fn shortage(&self) -> Option<&str> {
        self.shortage.reason()
    }

    /// Looks at everything at once, for the start: the libraries of the system and all processes of the scope.
    pub fn look_at_everything(&mut self) -> Vec<Found> {
        let mut found = Vec::new();
        self.begin_scan(true);
        while self.scan.is_some() {
            self.go_on_scanning(&mut found);
        }
        self.wait_for_files(&mut found);
        found
    }

    /// Looks at what is installed as well, in the background, so that it has its probes before it runs.
    pub fn look_ahead(&self) {
        self.workers.look_ahead();
    }

    /// A command is about to be run: gives the files it will run code from, so that probes are there before it.
    pub fn prepare_command(&mut self, program: &OsStr) -> Vec<Found> {
        let mut found = Vec::new();
        self.prepared.extend(prescan::system());
        self.prepared.extend(prescan::command(program));
        for path in self.prepared.clone() {
            self.look_at_path(&path, &mut found);
        }
        self.wait_for_files(&mut found);
        found
    }

    /// Adds a process to the scope and gives what it has mapped.
    pub fn add_process(&mut self, pid: u32) -> io::Result<Vec<Found>> {
        let mapped = maps::code_files(pid)?;
        if let Followed::Processes(pids) = &mut self.scope {
            pids.insert(pid);
        }
        self.processes.read(pid);
        let mut found = Vec::new();
        for file in &mapped {
            self.look_at_mapping(file, &mut found);
        }
        self.wait_for_files(&mut found);
        Ok(found)
    }

    /// Takes in what happened meanwhile. Never waits.
    pub fn take(&mut self, now: Instant) -> Vec<Found> {
        self.take_note();
        let mut found = Vec::new();
        for event in std::mem::take(&mut self.noted) {
            self.follow(event, now, &mut found);
        }
        for done in self.workers.take() {
            self.take_in(done, &mut found);
        }
        if self.scan.is_none() && now >= self.due() {
            self.begin_scan(now >= self.next_scan);
        }
        self.go_on_scanning(&mut found);
        found
    }

    /// Takes in of what happened meanwhile only who processes are; [`take`](Self::take) does the rest.
    pub fn take_note(&mut self) {
        let mut events = Vec::new();
        if let Ok(watch) = &mut self.watch {
            watch.take(|event| events.push(event));
        }
        for event in events {
            self.note(&event);
            self.noted.push(event);
        }
    }

    /// How many probes are in place, in all files.
    pub fn probes(&self) -> u64 {
        let attachments = self.attachments.values();
        attachments
            .map(|attachment| match attachment.state {
                AttachmentState::Attached { probes } => probes as u64,
                AttachmentState::Failed(_) | AttachmentState::Offered => 0,
            })
            .sum()
    }

    /// The result of an offer: how many probes a file has now, or why it has none. What failed is offered again, after a
    /// pause that grows with each time.
    pub fn attached(&mut self, identity: FileIdentity, result: Result<usize, String>) -> News {
        let Some(attachment) = self.attachments.get_mut(&identity) else {
            return News::None;
        };
        match result {
            Ok(probes) => {
                attachment.state = AttachmentState::Attached { probes };
                match attachment.patience.granted() {
                    0 => News::None,
                    refusals => News::Granted(refusals),
                }
            }
            Err(reason) => {
                let is_news = attachment.patience.refused(&reason, Instant::now());
                attachment.state = AttachmentState::Failed(reason);
                if is_news { News::Refused } else { News::None }
            }
        }
    }

    /// Who processes are.
    pub fn processes(&mut self) -> &mut Processes {
        &mut self.processes
    }

    /// For every process of the scope that runs a program: is it traced, and if not, why.
    pub fn coverage(&mut self) -> Vec<Coverage> {
        let mut coverage = Vec::new();
        for pid in self.pids().unwrap_or_default() {
            if let Some(mut process) = coverage::of_process(pid, &mut self.files, &self.attachments) {
                process.left_alone = self.bystanders.has(pid);
                coverage.push(process);
            }
        }
        coverage
    }

    /// What an event says of who processes are.
    fn note(&mut self, event: &TaskEvent) {
        match event {
            TaskEvent::Mapped(mapped) if self.scope.includes(mapped.pid) => {
                self.processes.mapped(mapped.pid, &mapped.path);
            }
            TaskEvent::Exec { pid } if self.scope.includes(*pid) => {
                self.bystanders.forget(*pid);
                self.processes.executed(*pid);
            }
            TaskEvent::Fork { pid, parent } if self.scope.includes(*parent) => {
                self.bystanders.forget(*pid);
                if let Followed::Processes(pids) = &mut self.scope {
                    pids.insert(*pid);
                }
                self.processes.forked(*pid, *parent);
            }
            TaskEvent::Mapped(_)
            | TaskEvent::Exec { .. }
            | TaskEvent::Fork { .. }
            | TaskEvent::Exit { .. }
            | TaskEvent::Lost(_) => {}
        }
    }

    fn follow(&mut self, event: TaskEvent, now: Instant, found: &mut Vec<Found>) {
        match event {
            TaskEvent::Mapped(mapped) if self.scope.includes(mapped.pid) => {
                if self.bystanders.is_one(mapped.pid) {
                    return;
                }
                let looked = self.look_at_mapping(&mapped, found);
                if looked.is_some_and(|identity| self.attachments.contains_key(&identity)) {
                    self.processes.read(mapped.pid);
                }
            }
            TaskEvent::Exit { pid } => {
                self.bystanders.forget(pid);
                if let Followed::Processes(pids) = &mut self.scope {
                    pids.remove(&pid);
                }
            }
            TaskEvent::Lost(_) => {
                self.scope.adopt_children();
                self.bystanders.forget_all();
                self.scan = None;
                self.next_scan = now;
            }
            TaskEvent::Mapped(_) | TaskEvent::Exec { .. } | TaskEvent::Fork { .. } => {}
        }
    }

    fn look_at_mapping(&mut self, mapped: &MappedFile, found: &mut Vec<Found>) -> Option<FileIdentity> {
        if let Some((identity, outcome)) = self.files.known(mapped) {
            let is_settled = match outcome {
                Outcome::Other(_) => true,
                Outcome::Tls(_) => self.attachments.contains_key(&identity),
            };
            if is_settled {
                return Some(identity);
            }
        }
        let opened = self.files.open_mapping(mapped);
        let opened = self.unless_short(opened)?;
        Some(self.look_into(opened, Some(mapped.pid), found))
    }

    fn look_at_path(&mut self, path: &Path, found: &mut Vec<Found>) -> Option<FileIdentity> {
        let opened = self.files.open_path(path);
        let opened = self.unless_short(opened)?;
        Some(self.look_into(opened, None, found))
    }

    /// What was opened or read. A process that is gone, or a file that cannot be opened, has nothing to attach to any more;
    /// but for want of open files nothing can be said of it.
    fn unless_short<T>(&mut self, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(opened) => Some(opened),
            Err(error) => {
                if is_shortage(&error) {
                    self.short(&error);
                }
                None
            }
        }
    }

    fn short(&mut self, error: &io::Error) {
        let was_due = self.shortage.again().is_none_or(|again| again <= Instant::now());
        if let Some(scan) = &mut self.scan {
            scan.is_blind = true;
        }
        // Once for all that cannot be looked at now.
        if was_due && self.shortage.refused(&error.to_string(), Instant::now()) {
            tracing::warn!(
                "cannot look at what processes run: {error}; what starts now is not traced until that is over, probes stay where \
                 they are; raise the limit on open files (ulimit -n, LimitNOFILE=), or free memory"
            );
        }
    }

    /// Offers a file that is known, and has any other looked into.
    fn look_into(&mut self, opened: Opened, pid: Option<u32>, found: &mut Vec<Found>) -> FileIdentity {
        let identity = opened.identity();
        match opened {
            Opened::Known(looked) => self.offer(looked.into_target(), found),
            Opened::Unknown(file) => {
                let is_new = !self.pending.contains_key(&identity);
                self.pending.entry(identity).or_default().extend(pid);
                if is_new {
                    self.workers.submit(file);
                }
            }
        }
        identity
    }

    /// Waits until every file that was opened has been looked into.
    fn wait_for_files(&mut self, found: &mut Vec<Found>) {
        while !self.pending.is_empty() {
            let Some(done) = self.workers.wait() else { break };
            self.take_in(done, found);
        }
    }

    fn take_in(&mut self, done: Done, found: &mut Vec<Found>) {
        match done {
            Done::Asked(looked) => {
                self.files.learn(&looked);
                let pids = self.pending.remove(&looked.identity).unwrap_or_default();
                if matches!(looked.outcome, Outcome::Tls(_)) {
                    for pid in pids {
                        self.processes.read(pid);
                    }
                }
                self.offer(looked.into_target(), found);
            }
            Done::Expected(looked) => {
                self.files.learn(&looked);
                if self.bystanders.is_program(looked.path()) {
                    return;
                }
                self.expected.insert(looked.identity);
                self.offer(looked.into_target(), found);
            }
            Done::Known(looked) => self.files.learn(&looked),
            Done::Round(expected) => {
                found.push(Found::LookedAhead(expected.len()));
                self.expected = expected;
            }
        }
    }

    fn offer(&mut self, target: Option<Target>, found: &mut Vec<Found>) {
        let Some(target) = target else { return };
        let attachment = self
            .attachments
            .entry(target.identity)
            .or_insert_with(|| Attachment {
                state: AttachmentState::Failed(String::new()),
                unused_scans: 0,
                patience: Patience::default(),
            });
        let is_settled = !matches!(attachment.state, AttachmentState::Failed(_));
        let again = attachment.patience.again();
        if is_settled || again.is_some_and(|again| again > Instant::now()) {
            return;
        }
        attachment.state = AttachmentState::Offered;
        found.push(Found::Attach(target));
    }
}

#[cfg(test)]
mod tests;
