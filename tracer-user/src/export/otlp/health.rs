//! Whether the backend takes what it is sent, told once when it changes and not for every batch.

use std::time::Instant;

/// What is known of the backend.
#[derive(Debug)]
pub(super) struct Health {
    backend: String,
    /// What it is to take, for people.
    load: &'static str,
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
    pub(super) fn new(backend: String, load: &'static str) -> Self {
        Self {
            backend,
            load,
            state: State::Unknown,
        }
    }

    /// It took spans; `lost` is how many were lost since the start.
    pub(super) fn up(&mut self, lost: u64) {
        let Self { backend, load, .. } = &*self;
        match self.state {
            State::Up => {}
            State::Unknown => tracing::debug!("the OTLP backend {backend} takes {load}"),
            State::Away { since, lost_before } | State::Refusing { since, lost_before } => {
                let seconds = since.elapsed().as_secs();
                let lost = lost.saturating_sub(lost_before);
                // As loud as the line before it: who read that one waits for this one.
                tracing::warn!(
                    "the OTLP backend {backend} takes {load} again after {seconds} s; {lost} {load} were lost meanwhile"
                );
            }
        }
        self.state = State::Up;
    }

    /// It cannot be reached, or asks for patience.
    pub(super) fn away(&mut self, reason: &str, lost: u64) {
        if matches!(self.state, State::Away { .. }) {
            return;
        }
        let (since, lost_before) = self.trouble_began(lost);
        self.state = State::Away { since, lost_before };
        tracing::warn!(
            "the OTLP backend {} does not take {load}: {reason}; tracing goes on, and {load} are kept and sent again as long as there is room",
            self.backend,
            load = self.load
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
            "the OTLP backend {} refuses {load}: {reason}; tracing goes on, and refused {load} are dropped and counted",
            self.backend,
            load = self.load
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::Health;

    /// What is logged, a line each.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panics").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(story: impl FnOnce(&mut Health)) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            story(&mut Health::new("http://b".to_owned(), "spans"));
        });
        let bytes = log.0.lock().expect("nobody panics").clone();
        String::from_utf8(bytes)
            .expect("UTF-8")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn an_outage_is_two_lines_however_long_it_is() {
        let lines = logged(|health| {
            health.up(0);
            for _ in 0..100 {
                health.away("it cannot be reached: Connection refused", 5);
            }
            health.up(12);
            health.up(12);
        });
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(
            lines[0].contains("WARN") && lines[0].contains("Connection refused"),
            "{lines:#?}"
        );
        assert!(lines[1].contains("7 spans were lost meanwhile"), "{lines:#?}");
    }

    #[test]
    fn a_backend_that_is_away_and_then_refuses_is_told_twice() {
        let lines = logged(|health| {
            health.away("it answered 503", 0);
            health.refusing("it answered 401", 0);
            health.refusing("it answered 401", 512);
        });
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(
            lines[1].contains("401") && lines[1].contains("dropped and counted"),
            "{lines:#?}"
        );
    }

    #[test]
    fn a_backend_that_is_fine_is_not_worth_a_line() {
        assert_eq!(logged(|health| health.up(0)), Vec::<String>::new());
    }
}
