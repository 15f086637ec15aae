//! Waiting for the ring buffer and for news of processes, without waking up more often than it pays.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::Error;

/// After the ring was emptied it is left alone for this long. The kernel wakes the reader for a record only when the reader
/// has caught up: one wake-up in this time is all that a traced program pays, however much it says.
const LINGER: Duration = Duration::from_millis(5);

/// Two sets of descriptors: what must be looked at without delay, and that with the ring.
#[derive(Debug)]
pub(super) struct Waiter {
    urgent: OwnedFd,
    all: OwnedFd,
    linger_until: Instant,
}

impl Waiter {
    pub(super) fn new(ring: impl AsFd) -> Result<Self, Error> {
        let create = || epoll::create(epoll::CreateFlags::CLOEXEC);
        let (urgent, all) = (
            create().map_err(std::io::Error::from)?,
            create().map_err(std::io::Error::from)?,
        );
        add(&all, ring)?;
        add(&all, &urgent)?;
        Ok(Self {
            urgent,
            all,
            linger_until: Instant::now(),
        })
    }

    /// Adds a descriptor that ends a wait at once.
    pub(super) fn add_urgent(&self, descriptor: impl AsFd) -> Result<(), Error> {
        add(&self.urgent, descriptor)
    }

    /// The ring was just emptied.
    pub(super) fn drained(&mut self) {
        self.linger_until = Instant::now() + LINGER;
    }

    /// Waits until something happens, at most until `deadline`.
    pub(super) fn wait(&self, deadline: Instant) -> Result<Woken, Error> {
        match wait(&self.urgent, self.linger_until.min(deadline))? {
            Woken::InTime => wait(&self.all, deadline),
            early => Ok(early),
        }
    }
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// The time is over.
    InTime,
    /// A descriptor is readable.
    Readable,
    /// A signal came; the caller may have to look at it.
    Interrupted,
}

impl Woken {
    pub(super) fn is_interrupted(self) -> bool {
        self == Self::Interrupted
    }
}

fn add(set: &OwnedFd, descriptor: impl AsFd) -> Result<(), Error> {
    epoll::add(
        set,
        descriptor,
        epoll::EventData::new_u64(0),
        epoll::EventFlags::IN,
    )
    .map_err(|errno| Error::Wait(errno.into()))
}

fn wait(set: &OwnedFd, deadline: Instant) -> Result<Woken, Error> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(Woken::InTime);
    }
    let timeout = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    let mut events: Vec<epoll::Event> = Vec::with_capacity(1);
    match epoll::wait(set, spare_capacity(&mut events), Some(&timeout)) {
        Ok(0) => Ok(Woken::InTime),
        Ok(_) => Ok(Woken::Readable),
        Err(Errno::INTR) => Ok(Woken::Interrupted),
        Err(errno) => Err(Error::Wait(errno.into())),
    }
}
