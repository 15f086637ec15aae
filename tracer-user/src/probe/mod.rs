//! Live source: finds TLS libraries, attaches the probes and reads the ring buffer. All that needs root is here.
//!
//! [`Tracer`] is the whole of it: start it, then [`poll`](Tracer::poll) for events. Dropping it (or the end of the
//! process, however it ends) takes every probe out of the kernel.

pub mod checks;
pub mod coverage;
pub mod discover;
pub mod files;
pub mod maps;
pub mod process;
pub mod resolve;
pub mod watch;

mod prescan;
mod sys;

use std::time::Duration;

use crate::event::{ConnectionKey, ProbeEvent, Verdict};

/// What to trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every process of the host, present and future.
    All,
    /// These processes (thread-group ids) and every child they start from now on.
    Processes(Vec<u32>),
}

/// How to trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which processes.
    pub scope: Scope,
    /// Size of the ring buffer in bytes; rounded up to a power of two of at least one page.
    pub ring_bytes: u32,
}

impl Options {
    /// Room for what a busy host says while the agent is not scheduled for a moment.
    pub const DEFAULT_RING_BYTES: u32 = 32 << 20;

    /// The defaults for a scope.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            ring_bytes: Self::DEFAULT_RING_BYTES,
        }
    }
}

/// Why tracing could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel side is not part of this build.
    #[error("this build of geophone has no kernel side")]
    NoKernelSide,
}

/// The probes in the kernel and the ring buffer they write to.
#[derive(Debug)]
pub struct Tracer {
    verdicts: Verdicts,
}

impl Tracer {
    /// Loads the programs, attaches to what runs already and follows what starts later.
    pub fn start(_options: Options) -> Result<Self, Error> {
        Err(Error::NoKernelSide)
    }

    /// Adds a process and its later children to the scope and attaches to the libraries it has mapped. Data flows when
    /// this returns. No effect on the scope if that is [`Scope::All`].
    pub fn trace_process(&mut self, _pid: u32) -> Result<(), Error> {
        Err(Error::NoKernelSide)
    }

    /// Waits for events, at most `timeout`, and hands them to `each` in order: [`ProbeEvent::Host`] first of all, a
    /// [`ProbeEvent::Process`] before the first event of that process, a [`ProbeEvent::Tick`] once a second. Follows
    /// new processes and libraries by the way. Returns how many events were handed over; 0 after a time-out.
    pub fn poll(
        &mut self,
        _timeout: Duration,
        _each: &mut dyn FnMut(ProbeEvent<'_>),
    ) -> Result<usize, Error> {
        Err(Error::NoKernelSide)
    }

    /// A handle that tells the kernel side what user space decided; may be used from within `each`.
    pub fn verdicts(&self) -> Verdicts {
        self.verdicts.clone()
    }

    /// Takes the probes out of the kernel. Dropping does the same; this one says that it takes about a tenth of a
    /// second for each probe.
    pub fn stop(self) {}
}

/// Tells the kernel side which connections to hand over. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Verdicts {}

impl Verdicts {
    /// Sets the verdict of a connection. A connection that is gone meanwhile is no error.
    pub fn set(&self, _connection: ConnectionKey, _verdict: Verdict) -> Result<(), Error> {
        Err(Error::NoKernelSide)
    }
}
