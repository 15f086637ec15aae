//! Whether the backend takes what it is sent, told once when it changes and not for every batch.

use std::time::{Duration, Instant};

/// First and longest time between two reminders that something is lost; it doubles in between.
const REMINDER_MIN: Duration = Duration::from_mins(1);
const REMINDER_MAX: Duration = Duration::from_hours(1);

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
    Away(Trouble),
    /// It answers, and refuses.
    Refusing(Trouble),
}

/// Since when it does not take what it is sent, and what was told of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trouble {
    since: Instant,
    lost_before: u64,
    /// How many were lost when it was told last.
    lost_told: u64,
    /// When to tell again, should more be lost by then.
    remind: Instant,
    pause: Duration,
}

impl Trouble {
    fn new(lost: u64, now: Instant) -> Self {
        Self {
            since: now,
            lost_before: lost,
            lost_told: lost,
            remind: now + REMINDER_MIN,
            pause: REMINDER_MIN,
        }
    }

    /// Whether to tell again that something is lost.
    fn reminds(&mut self, lost: u64, now: Instant) -> bool {
        if lost == self.lost_told || now < self.remind {
            return false;
        }
        self.lost_told = lost;
        self.pause = (self.pause * 2).min(REMINDER_MAX);
        self.remind = now + self.pause;
        true
    }
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
            State::Away(Trouble {
                since, lost_before, ..
            })
            | State::Refusing(Trouble {
                since, lost_before, ..
            }) => {
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
        self.away_at(reason, lost, Instant::now());
    }

    fn away_at(&mut self, reason: &str, lost: u64, now: Instant) {
        if let State::Away(trouble) = &mut self.state {
            if trouble.reminds(lost, now) {
                let seconds = (now - trouble.since).as_secs();
                let lost = lost.saturating_sub(trouble.lost_before);
                tracing::warn!(
                    "the OTLP backend {} has not taken {load} for {seconds} s: {reason}; {lost} {load} were lost, the oldest first, \
                     since there is no more room to keep them",
                    self.backend,
                    load = self.load
                );
            }
            return;
        }
        self.state = State::Away(self.trouble(lost, now));
        tracing::warn!(
            "the OTLP backend {} does not take {load}: {reason}; tracing goes on, and {load} are kept and sent again as long as there is room",
            self.backend,
            load = self.load
        );
    }

    /// It answers, and refuses.
    pub(super) fn refusing(&mut self, reason: &str, lost: u64) {
        self.refusing_at(reason, lost, Instant::now());
    }

    fn refusing_at(&mut self, reason: &str, lost: u64, now: Instant) {
        if let State::Refusing(trouble) = &mut self.state {
            if trouble.reminds(lost, now) {
                let seconds = (now - trouble.since).as_secs();
                let lost = lost.saturating_sub(trouble.lost_before);
                tracing::warn!(
                    "the OTLP backend {} has refused {load} for {seconds} s: {reason}; {lost} {load} were lost",
                    self.backend,
                    load = self.load
                );
            }
            return;
        }
        self.state = State::Refusing(self.trouble(lost, now));
        tracing::warn!(
            "the OTLP backend {} refuses {load}: {reason}; tracing goes on, and refused {load} are dropped and counted",
            self.backend,
            load = self.load
        );
    }

    /// That of before, where it changes its kind.
    fn trouble(&self, lost: u64, now: Instant) -> Trouble {
        match self.state {
            State::Away(trouble) | State::Refusing(trouble) => trouble,
            State::Unknown | State::Up => Trouble::new(lost, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

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
    fn losses_of_a_long_outage_are_told_once_in_a_while() {
        let begin = Instant::now();
        let lines = logged(|health| {
            // An hour with an attempt every ten seconds; the queue is full after half of it.
            for attempt in 0_u64..360 {
                let lost = attempt.saturating_sub(180) * 10;
                health.away_at(
                    "Connection refused",
                    lost,
                    begin + Duration::from_secs(attempt * 10),
                );
            }
        });
        assert_eq!(lines.len(), 5, "{lines:#?}");
        assert!(
            lines[1].contains("for 1810 s: Connection refused; 10 spans were lost"),
            "{lines:#?}"
        );
        assert!(
            lines[4].contains("for 2650 s: Connection refused; 850 spans were lost"),
            "{lines:#?}"
        );
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
