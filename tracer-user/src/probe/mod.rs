//! Live source: finds TLS libraries, attaches the probes and reads the ring buffer. All that needs root is here.
//!
//! [`Tracer`] is the whole of it: start it, then [`poll`](Tracer::poll) for events. Dropping it (or the end of the
//! process, however it ends) takes every probe out of the kernel.

mod attach;
pub mod btf;
mod bystanders;
pub mod checks;
pub mod clock;
mod copies;
pub mod coverage;
pub mod discover;
mod error;
pub mod files;
mod followed;
pub mod identity;
pub mod inspect;
mod left_alone;
mod loader;
mod losses;
pub mod maps;
mod multi;
mod patience;
pub mod places;
mod prescan;
pub mod process;
pub mod resolve;
mod ring;
mod sweep;
mod sys;
#[cfg(test)]
mod tests;
mod tracer;
mod verdicts;
mod wait;
pub mod watch;
mod workers;

pub use self::error::Error;
pub use self::left_alone::LeftAlone;
pub use self::loader::OLDEST_KERNEL;
pub use self::tracer::Tracer;
pub use self::verdicts::Verdicts;

use std::sync::Arc;

use crate::select::Rules;

/// What to trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every process of the host, present and future.
    All,
    /// These processes (thread-group ids) and every child they start from now on.
    Processes(Vec<u32>),
}

/// How to trace.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which processes.
    pub scope: Scope,
    /// Size of the ring buffer in bytes; rounded up to a power of two of at least one page.
    pub ring_bytes: u32,
    /// How probes are held in place.
    pub links: Links,
    /// Which processes are left alone, whatever their pod: the kernel side does not look at them, and files that only they
    /// use get no probes.
    pub rules: Arc<Rules>,
}

/// What holds probes in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// One link for all places of a program in a file, where the kernel has such links (Linux 6.6); else as below.
    #[default]
    Joined,
    /// A link for each probe: slow to take away.
    Single,
}

impl Options {
    /// Room for what a busy host says while the agent is not scheduled for a moment.
    pub const DEFAULT_RING_BYTES: u32 = 32 << 20;

    /// The defaults for a scope.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            ring_bytes: Self::DEFAULT_RING_BYTES,
            links: Links::default(),
            rules: Arc::default(),
        }
    }
}
