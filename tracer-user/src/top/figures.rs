//! `Figures`: what is told of many calls together.

use super::durations::Durations;
use super::seen::Facts;

/// Sums and quantiles of calls.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Calls that have ended.
    pub calls: u64,
    /// Of those, the ones that failed, throttled ones among them.
    pub errors: u64,
    /// Attempts that were refused because there were too many.
    pub throttles: u64,
    /// Input tokens, cached ones among them.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// US dollars, as far as prices are known.
    pub cost: Option<f64>,
    /// From the request's first byte to the end.
    pub took: Durations,
    /// From the request's first byte to the first piece of a streamed answer.
    pub first_chunk: Durations,
}

impl Figures {
    /// Counts a call.
    pub(super) fn add(&mut self, facts: &Facts) {
        self.calls += 1;
        self.errors += u64::from(facts.outcome.is_failure());
        self.throttles += facts.throttles;
        self.input = self.input.saturating_add(facts.input.unwrap_or(0));
        self.output = self.output.saturating_add(facts.output.unwrap_or(0));
        self.cost = sum(self.cost, facts.cost);
        self.took.add(facts.took_ns);
        if let Some(ns) = facts.first_chunk_ns {
            self.first_chunk.add(ns);
        }
    }

    /// Takes over what was counted elsewhere.
    pub(super) fn merge(&mut self, other: &Self) {
        let Self {
            calls,
            errors,
            throttles,
            input,
            output,
            cost,
            took,
            first_chunk,
        } = other;
        self.calls += calls;
        self.errors += errors;
        self.throttles += throttles;
        self.input = self.input.saturating_add(*input);
        self.output = self.output.saturating_add(*output);
        self.cost = sum(self.cost, *cost);
        self.took.merge(took);
        self.first_chunk.merge(first_chunk);
    }
}

fn sum(left: Option<f64>, right: Option<f64>) -> Option<f64> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left + right),
        (one, other) => one.or(other),
    }
}
