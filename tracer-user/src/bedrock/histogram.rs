//! Numbers by their size, in the buckets that OpenTelemetry's `gen_ai` conventions advise.
//!
//! Whole numbers only (nanoseconds, tokens), so that any order of recording and merging gives the same value.

/// Buckets whose bounds grow by a constant factor. A number belongs to the first whose bound is not below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Buckets {
    first: u64,
    factor: u64,
}

/// How many bounds there are; above the last is one more bucket.
pub const BOUNDS: usize = 14;

impl Buckets {
    /// 0.01 s to 81.92 s, each twice the one before, in nanoseconds.
    pub const DURATION: Self = Self {
        first: 10_000_000,
        factor: 2,
    };

    /// 1 to 67 108 864 tokens, each four times the one before.
    pub const TOKENS: Self = Self { first: 1, factor: 4 };

    /// The bounds, smallest first.
    pub fn bounds(self) -> [u64; BOUNDS] {
        let mut next = self.first;
        [(); BOUNDS].map(|()| {
            let bound = next;
            next = next.saturating_mul(self.factor);
            bound
        })
    }
}

/// How many numbers fell into each bucket, with their sum and extremes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram {
    buckets: Buckets,
    counts: [u64; BOUNDS + 1],
    sum: u64,
    extremes: Option<(u64, u64)>,
}

impl Histogram {
    /// Holds nothing.
    pub fn new(buckets: Buckets) -> Self {
        Self {
            buckets,
            counts: [0; BOUNDS + 1],
            sum: 0,
            extremes: None,
        }
    }

    /// Takes a number.
    pub fn record(&mut self, value: u64) {
        let bounds = self.buckets.bounds();
        let place = bounds.iter().take_while(|bound| **bound < value).count();
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(value);
        self.widen(value, value);
    }

    /// Takes all that another one of the same buckets took.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.sum = self.sum.saturating_add(other.sum);
        if let Some((min, max)) = other.extremes {
            self.widen(min, max);
        }
    }

    /// Which buckets.
    pub fn buckets(&self) -> Buckets {
        self.buckets
    }

    /// How many numbers fell into each bucket; the last has those above every bound.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many numbers there were.
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The smallest and the largest.
    pub fn extremes(&self) -> Option<(u64, u64)> {
        self.extremes
    }

    fn widen(&mut self, low: u64, high: u64) {
        self.extremes = Some(match self.extremes {
            Some((min, max)) => (min.min(low), max.max(high)),
            None => (low, high),
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Buckets, Histogram};

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let mut tokens = Histogram::new(Buckets::TOKENS);
        for value in [0, 1, 2, 4, 5, 67_108_864, 67_108_865] {
            tokens.record(value);
        }
        assert_eq!(tokens.counts(), [2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((tokens.count(), tokens.sum()), (7, 134_217_741));
        assert_eq!(tokens.extremes(), Some((0, 67_108_865)));
    }

    #[test]
    fn the_bounds_are_those_of_the_convention() {
        let duration = Buckets::DURATION.bounds();
        assert_eq!(
            (duration[0], duration[7], duration[13]),
            (10_000_000, 1_280_000_000, 81_920_000_000)
        );
        let tokens = Buckets::TOKENS.bounds();
        assert_eq!((tokens[1], tokens[6], tokens[13]), (4, 4096, 67_108_864));
    }

    proptest! {
        #[test]
        fn parts_merged_are_the_whole(values: Vec<u64>, cut: prop::sample::Index) {
            let record = |values: &[u64]| {
                let mut histogram = Histogram::new(Buckets::DURATION);
                for value in values {
                    histogram.record(*value);
                }
                histogram
            };
            let (left, right) = values.split_at(cut.index(values.len() + 1));
            let mut merged = record(right);
            merged.merge(&record(left));
            prop_assert_eq!(merged, record(&values));
        }
    }
}
