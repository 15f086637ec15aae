//! Trying again what was refused: after a pause that grows, and told once.

use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;

/// Pause after the first refusal.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest pause. What is refused for so long is not granted within a second.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Refusals one after another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Patience {
    refusals: u32,
    again: Option<Instant>,
    reason: String,
}

impl Patience {
    /// It was refused once more. Whether it is the first time in a row: what is said may have other words each time, and is
    /// told once.
    pub(super) fn refused(&mut self, reason: &str, now: Instant) -> bool {
        let pause = PAUSE_MIN
            .saturating_mul(1 << self.refusals.min(10))
            .min(PAUSE_MAX);
        self.refusals = self.refusals.saturating_add(1);
        self.again = Some(now + pause);
        reason.clone_into(&mut self.reason);
        self.refusals == 1
    }

    /// It was granted. How often it had been refused before.
    pub(super) fn granted(&mut self) -> u32 {
        std::mem::take(self).refusals
    }

    /// When it may be tried again; `None` if it was not refused.
    pub(super) fn again(&self) -> Option<Instant> {
        self.again
    }

    /// Why it was refused, if it was.
    pub(super) fn reason(&self) -> Option<&str> {
        self.again.map(|_| self.reason.as_str())
    }
}

/// Whether something failed for want of open files or memory, and not by its nature.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_half_a_minute_and_it_is_told_once() {
        let mut patience = Patience::default();
        let now = Instant::now();
        let mut pauses = Vec::new();
        let mut told = 0;
        for file in 0..7 {
            let reason = format!("cannot attach to /proc/self/fd/{file}: Too many open files");
            told += u32::from(patience.refused(&reason, now));
            pauses.push(patience.again().unwrap().duration_since(now).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(told, 1);
        assert!(!patience.refused("Permission denied", now));
        assert_eq!(patience.reason(), Some("Permission denied"));
        assert_eq!(patience.granted(), 8);
        assert_eq!((patience.again(), patience.reason()), (None, None));
        assert!(patience.refused("Permission denied", now), "it begins anew");
    }
}
