//! Quantiles of durations in bounded memory.

use sketches_ddsketch::{Config, DDSketch};

/// Most that a quantile differs from the true one, as a part of it.
pub const ERROR: f64 = 0.01;

/// Most buckets: at [`ERROR`] they reach from the longest duration seen down to a hundred-millionth of it, 36 µs below an
/// hour. What is shorter counts as that.
const BUCKETS_MAX: u32 = 1024;

/// Shortest duration told from none, in seconds.
const SHORTEST: f64 = 1e-6;

const NS_A_SECOND: f64 = 1e9;

/// How long many things took: a `DDSketch` (Masson, Rim, Lee: VLDB 2019) of at most 8 KiB, whose quantiles are within
/// [`ERROR`] of the true ones.
#[derive(Clone)]
pub struct Durations(DDSketch);

impl Default for Durations {
    fn default() -> Self {
        Self(DDSketch::new(Config::new(ERROR, BUCKETS_MAX, SHORTEST)))
    }
}

impl std::fmt::Debug for Durations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durations")
            .field("count", &self.0.count())
            .finish()
    }
}

impl Durations {
    /// Takes one more, in nanoseconds.
    #[allow(
        clippy::cast_precision_loss,
        reason = "what an f64 cannot tell apart is far below the error of a quantile"
    )]
    pub fn add(&mut self, ns: u64) {
        self.0.add(ns as f64 / NS_A_SECOND);
    }

    /// The duration, in nanoseconds, that at least this part of all did not exceed (`0.95`: all but one in twenty, of two
    /// the longer); `None` as long as there is none.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a float becomes the nearest integer there is"
    )]
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let last = self.0.count().checked_sub(1)? as f64;
        let place = ((part * (last + 1.0)).ceil() - 1.0).clamp(0.0, last);
        // The sketch takes the place below a fraction of the last one; half a place more keeps it from the one before.
        let fraction = if last > 0.0 {
            ((place + 0.5) / last).min(1.0)
        } else {
            0.0
        };
        let seconds = self.0.quantile(fraction).ok().flatten()?;
        Some((seconds * NS_A_SECOND).round() as u64)
    }

    /// Takes all of another.
    pub fn merge(&mut self, other: &Self) {
        // All have one configuration, so that it cannot fail.
        self.0.merge(&other.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::{Durations, ERROR};
    use proptest::prelude::*;

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Durations::default().quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_its_error(mut all in proptest::collection::vec(40_000_u64..3_600_000_000_000, 1..300)) {
            let mut durations = Durations::default();
            for ns in &all {
                durations.add(*ns);
            }
            all.sort_unstable();
            for part in [0.0, 0.5, 0.95, 1.0] {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
                let place = ((part * all.len() as f64).ceil() as usize).max(1) - 1;
                let told = durations.quantile(part).expect("there are some");
                #[allow(clippy::cast_precision_loss, reason = "below the error")]
                let (told, truth) = (told as f64, all[place] as f64);
                prop_assert!((told - truth).abs() <= truth * ERROR * 1.01, "{part}: {told} for {truth}");
            }
        }

        #[test]
        fn it_makes_no_difference_where_durations_were_put_together(
            left in proptest::collection::vec(40_000_u64..3_600_000_000_000, 0..50),
            right in proptest::collection::vec(40_000_u64..3_600_000_000_000, 0..50),
        ) {
            let [mut one, mut other, mut all] = [(); 3].map(|()| Durations::default());
            for (durations, values) in [(&mut one, &left), (&mut other, &right)] {
                for ns in values {
                    durations.add(*ns);
                    all.add(*ns);
                }
            }
            one.merge(&other);
            for part in [0.5, 0.95] {
                prop_assert_eq!(one.quantile(part), all.quantile(part));
            }
        }
    }
}
