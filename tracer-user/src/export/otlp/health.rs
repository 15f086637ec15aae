//! Whether the backend takes spans, told once when it changes and not for every batch.

use std::time::Instant;

/// What is known of the backend.
#[derive(Debug)]
pub(super) struct Health {
    backend: String,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was sent yet.
    Unknown,
    /// It takes spans.
    Up,
    /// It cannot be reached, or asks for patience.
    Away { since: Instant, lost_before: u64 },
    /// It answers, and refuses.
    Refusing { since: Instant, lost_before: u64 },
}

impl Health {
    pub(super) fn new(backend: String) -> Self {
        Self {
            backend,
            state: State::Unknown,
        }
    }

    /// It took spans; `lost` is how many were lost since the start.
    pub(super) fn up(&mut self, lost: u64) {
        let backend = &self.backend;
        match std::mem::replace(&mut self.state, State::Up) {
            State::Up => {}
            State::Unknown => tracing::debug!("the OTLP backend {backend} takes spans"),
            State::Away { since, lost_before } | State::Refusing { since, lost_before } => {
                let seconds = since.elapsed().as_secs();
                let lost = lost.saturating_sub(lost_before);
                tracing::info!(
                    "the OTLP backend {backend} takes spans again after {seconds} s; {lost} spans were lost meanwhile"
                );
            }
        }
    }

    /// It cannot be reached, or asks for patience.
    pub(super) fn away(&mut self, reason: &str, lost: u64) {
        if matches!(self.state, State::Away { .. }) {
            return;
        }
        let (since, lost_before) = self.trouble_began(lost);
        self.state = State::Away { since, lost_before };
        tracing::warn!(
            "the OTLP backend {} does not take spans: {reason}; tracing goes on, and spans are kept and sent again as long as there is room",
            self.backend
        );
    }

    /// It answers, and refuses.
    pub(super) fn refusing(&mut self, reason: &str, lost: u64) {
        if matches!(self.state, State::Refusing { .. }) {
            return;
        }
        let (since, lost_before) = self.trouble_began(lost);
        self.state = State::Refusing { since, lost_before };
        tracing::warn!(
            "the OTLP backend {} refuses spans: {reason}; tracing goes on, and refused spans are dropped and counted",
            self.backend
        );
    }

    fn trouble_began(&self, lost: u64) -> (Instant, u64) {
        match self.state {
            State::Away { since, lost_before } | State::Refusing { since, lost_before } => {
                (since, lost_before)
            }
            State::Unknown | State::Up => (Instant::now(), lost),
        }
    }
}
