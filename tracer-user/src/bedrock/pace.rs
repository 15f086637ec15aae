//! `Pace`: how the pieces of a streamed answer followed each other.

use crate::event::Monotonic;

use super::histogram::{Buckets, Histogram};

/// How the pieces of a streamed answer followed each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    last: Option<Monotonic>,
    gaps: Histogram,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            last: None,
            gaps: Histogram::new(Buckets::DURATION),
        }
    }
}

impl Pace {
    /// A piece has come. Pieces that came in one read come at the same time.
    pub(super) fn piece(&mut self, time: Monotonic) {
        if let Some(Monotonic(last)) = self.last.replace(time) {
            self.gaps.record(time.0.saturating_sub(last));
        }
    }

    /// Something of the answer was not seen: how long the next piece took is not known.
    pub(super) fn interrupt(&mut self) {
        self.last = None;
    }

    /// Nanoseconds between one piece and the next.
    pub fn gaps(&self) -> &Histogram {
        &self.gaps
    }
}

#[cfg(test)]
mod tests {
    use super::{Monotonic, Pace};

    #[test]
    fn a_hole_is_no_gap_between_pieces() {
        let mut pace = Pace::default();
        for time in [100, 130, 130] {
            pace.piece(Monotonic(time));
        }
        pace.interrupt();
        pace.piece(Monotonic(9_000));
        pace.piece(Monotonic(9_070));
        assert_eq!((pace.gaps().count(), pace.gaps().sum()), (3, 100));
    }
}
