//! Looks into files on threads of its own: a large program delays neither the ring buffer nor another file.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use super::copies::Copies;
use super::files::{FileIdentity, Looked, Unknown};
use super::places;
use crate::rights::{self, Rights};

/// Threads for files that a process has mapped: one slow file does not delay the next.
const THREADS: usize = 2;
/// Between two looks at what is installed.
const INTERVAL: Duration = Duration::from_mins(5);
/// Niceness of the thread that looks at what nobody has asked for.
const NICENESS: i32 = 10;

/// What the threads found.
#[derive(Debug)]
pub(super) enum Done {
    /// A file that was handed in.
    Asked(Looked),
    /// A program with TLS that is installed, and to have its probes before it runs.
    Expected(Looked),
    /// A program with TLS that is installed, beyond the number of those that get probes before they run.
    Known(Looked),
    /// All that is expected now: what is not among them is gone.
    Round(HashSet<FileIdentity>),
}

/// The threads, and what they found.
#[derive(Debug)]
pub(super) struct Workers {
    shared: Arc<Shared>,
    done: Receiver<Done>,
    results: Results,
    threads: usize,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    copies: Arc<Copies>,
}

#[derive(Debug, Default)]
struct Queue {
    files: VecDeque<Unknown>,
    is_closed: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where results go.
#[derive(Debug, Clone)]
struct Results {
    sender: Sender<Done>,
    /// Readable when there are any.
    wake: Arc<OwnedFd>,
}

impl Results {
    /// Whether somebody still wants them.
    fn send(&self, done: Done) -> bool {
        let is_wanted = self.sender.send(done).is_ok();
        // It can only fail when it is readable already.
        rustix::io::write(&self.wake, &1_u64.to_ne_bytes()).ok();
        is_wanted
    }
}

impl Workers {
    /// Threads are started as files come in.
    pub(super) fn new(copies: Arc<Copies>) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (sender, done) = mpsc::channel();
        Ok(Self {
            shared: Arc::new(Shared {
                queue: Mutex::default(),
                changed: Condvar::new(),
                copies,
            }),
            done,
            results: Results {
                sender,
                wake: Arc::new(wake),
            },
            threads: 0,
        })
    }

    /// What to wait on: readable when [`take`](Self::take) has something to give.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.results.wake.as_fd()
    }

    /// Has a file looked into; it comes back from [`take`](Self::take) or [`wait`](Self::wait).
    pub(super) fn submit(&mut self, file: Unknown) {
        if self.threads < THREADS && self.start_thread() {
            self.threads += 1;
        }
        if self.threads == 0 {
            // No thread can be had: better late than never.
            self.results.send(Done::Asked(file.look(&self.shared.copies)));
            return;
        }
        self.shared.queue().files.push_back(file);
        self.shared.changed.notify_all();
    }

    /// Looks at what is installed, now and from time to time, without haste.
    pub(super) fn look_ahead(&self) {
        let (shared, results) = (Arc::clone(&self.shared), self.results.clone());
        let started = rights::spawn("look-ahead", Rights::LOOKING, move || {
            look_ahead(&shared, &results);
        });
        if let Err(error) = started {
            tracing::warn!(%error, "installed programs are not looked at before they run");
        }
    }

    /// What was found meanwhile. Never waits.
    pub(super) fn take(&self) -> Vec<Done> {
        let mut count = [0; 8];
        // Nothing to read means that there is nothing new.
        rustix::io::read(&self.results.wake, &mut count).ok();
        self.done.try_iter().collect()
    }

    /// Waits for the next result.
    pub(super) fn wait(&self) -> Option<Done> {
        self.done.recv().ok()
    }

    fn start_thread(&self) -> bool {
        let (shared, results) = (Arc::clone(&self.shared), self.results.clone());
        rights::spawn("look", Rights::LOOKING, move || look_into(&shared, &results)).is_ok()
    }
}

/// The threads end by themselves, each after the file that it is at: nobody waits for that.
impl Drop for Workers {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.is_closed = true;
        queue.files.clear();
        drop(queue);
        self.shared.changed.notify_all();
    }
}

fn look_into(shared: &Shared, results: &Results) {
    let mut queue = shared.queue();
    while !queue.is_closed {
        match queue.files.pop_front() {
            Some(file) => {
                drop(queue);
                results.send(Done::Asked(file.look(&shared.copies)));
                queue = shared.queue();
            }
            None => queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

fn look_ahead(shared: &Shared, results: &Results) {
    // On Linux this is for the calling thread alone. Without it the thread is in the way a little more.
    rustix::process::nice(NICENESS).ok();
    let mut seen = places::Seen::default();
    loop {
        let round = places::look(&mut seen, &shared.copies, places::candidates(), |done| {
            results.send(done) && !shared.queue().is_closed
        });
        if !results.send(Done::Round(round)) {
            return;
        }
        let (queue, _) = shared
            .changed
            .wait_timeout_while(shared.queue(), INTERVAL, |queue| !queue.is_closed)
            .unwrap_or_else(PoisonError::into_inner);
        if queue.is_closed {
            return;
        }
    }
}
