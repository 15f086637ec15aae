//! Signs of life of the tracing loop, for who asks over HTTP whether geophone is alive and ready.
//!
//! The tracing loop leaves the time of each turn and how its probes stand; others read that without making it wait.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a turn may take before the loop counts as stuck. A turn is over after a tenth of a second; a look at every
/// process of a large host, or a file that is searched for the first time, may take seconds.
const TURN_MAX: Duration = Duration::from_secs(15);

/// How long it may take until the first turn: every process of the host is looked at and gets its probes before.
const START_MAX: Duration = Duration::from_mins(2);

/// How the probes stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Standing {
    /// They are being put in place.
    #[default]
    Starting,
    /// So many are in place.
    Probes(u64),
    /// None is, and no process has a use for one.
    Idle,
    /// None is, although processes could be traced.
    Blind {
        /// How many could.
        processes: u64,
        /// What the kernel said to the last attempt, if it said anything.
        reason: Option<String>,
    },
    /// No probe is in place, and what processes run cannot be looked at, for this reason.
    Unsighted(String),
    /// Tracing has ended, and what is left is being sent.
    Ending,
}

/// Kept by the tracing loop; its clones read the same.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    since: Instant,
    /// Nanoseconds from `since` to the last turn; 0 before the first.
    turned: AtomicU64,
    standing: Mutex<Standing>,
}

/// Yes or no, with the sentence why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Yes(String),
    No(String),
}

impl Default for Pulse {
    fn default() -> Self {
        Self::since(Instant::now())
    }
}

impl Pulse {
    fn since(since: Instant) -> Self {
        Self(Arc::new(Shared {
            since,
            turned: AtomicU64::new(0),
            standing: Mutex::default(),
        }))
    }

    /// The loop has turned once more.
    pub fn turned(&self) {
        self.turned_at(Instant::now());
    }

    fn turned_at(&self, now: Instant) {
        let after = now.saturating_duration_since(self.0.since).as_nanos();
        let after = u64::try_from(after).unwrap_or(u64::MAX).max(1);
        self.0.turned.store(after, Ordering::Relaxed);
    }

    /// How the probes stand from now on.
    pub fn stands(&self, standing: Standing) {
        *self.0.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    fn standing(&self) -> Standing {
        let standing = self.0.standing.lock();
        standing.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the tracing loop turns. If not, a new start is what helps.
    pub(super) fn is_alive(&self, now: Instant) -> Answer {
        if self.standing() == Standing::Ending {
            // Whoever asked it to end has a time of their own for that.
            return Answer::Yes("alive: geophone is ending".to_owned());
        }
        let age = now.saturating_duration_since(self.0.since);
        match self.0.turned.load(Ordering::Relaxed) {
            0 if age <= START_MAX => {
                Answer::Yes("alive: geophone is starting, probes are being put in place".to_owned())
            }
            0 => Answer::No(format!(
                "not alive: tracing has not begun {} s after the start",
                age.as_secs()
            )),
            turned => {
                let age = age.saturating_sub(Duration::from_nanos(turned));
                if age <= TURN_MAX {
                    Answer::Yes(format!(
                        "alive: the tracing loop turned {} ms ago",
                        age.as_millis()
                    ))
                } else {
                    Answer::No(format!(
                        "not alive: the tracing loop has not turned for {} s",
                        age.as_secs()
                    ))
                }
            }
        }
    }

    /// Whether calls would be seen.
    pub(super) fn is_ready(&self, now: Instant) -> Answer {
        if let Answer::No(why) = self.is_alive(now) {
            return Answer::No(why.replacen("not alive", "not ready", 1));
        }
        let standing = self.standing();
        if standing.is_ready() {
            Answer::Yes(format!("ready: {standing}"))
        } else {
            Answer::No(format!("not ready: {standing}"))
        }
    }
}

impl Standing {
    /// Whether calls would be seen.
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Probes(_) | Self::Idle => true,
            Self::Starting | Self::Blind { .. } | Self::Unsighted(_) | Self::Ending => false,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => formatter.write_str("probes are being put in place"),
            Self::Probes(1) => formatter.write_str("1 probe is in place"),
            Self::Probes(count) => write!(formatter, "{count} probes are in place"),
            Self::Idle => {
                formatter.write_str("no process has TLS that can be traced, probes follow once one has")
            }
            Self::Blind { processes, reason } => {
                let processes = match processes {
                    1 => "1 process".to_owned(),
                    more => format!("{more} processes"),
                };
                write!(
                    formatter,
                    "no probe is in place although {processes} could be traced"
                )?;
                if let Some(reason) = reason {
                    // One line, whatever the kernel's words are.
                    write!(formatter, " ({})", reason.replace(['\n', '\r'], " "))?;
                }
                formatter.write_str(", `geophone doctor` says what is in the way")
            }
            Self::Unsighted(reason) => write!(
                formatter,
                "no probe is in place, and processes cannot be looked at ({reason})"
            ),
            Self::Ending => formatter.write_str("geophone is ending"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yes(answer: Answer) -> String {
        match answer {
            Answer::Yes(sentence) => sentence,
            Answer::No(sentence) => panic!("no: {sentence}"),
        }
    }

    fn no(answer: Answer) -> String {
        match answer {
            Answer::No(sentence) => sentence,
            Answer::Yes(sentence) => panic!("yes: {sentence}"),
        }
    }

    #[test]
    fn it_is_alive_as_long_as_the_loop_turns() {
        let start = Instant::now();
        let pulse = Pulse::since(start);
        let turn = start + Duration::from_secs(100);
        pulse.turned_at(turn);
        pulse.stands(Standing::Probes(12));
        let told = yes(pulse.is_alive(turn + Duration::from_millis(80)));
        assert_eq!(told, "alive: the tracing loop turned 80 ms ago");
        yes(pulse.is_alive(turn + TURN_MAX));
        let late = turn + TURN_MAX + Duration::from_secs(1);
        let told = no(pulse.is_alive(late));
        assert_eq!(told, "not alive: the tracing loop has not turned for 16 s");
        // Probes of a loop that is stuck are of no use.
        let told = no(pulse.is_ready(late));
        assert_eq!(told, "not ready: the tracing loop has not turned for 16 s");
        pulse.turned_at(late);
        yes(pulse.is_alive(late));
    }

    #[test]
    fn a_start_may_take_its_time_but_not_for_ever() {
        let start = Instant::now();
        let pulse = Pulse::since(start);
        yes(pulse.is_alive(start + START_MAX));
        let told = no(pulse.is_ready(start + START_MAX));
        assert_eq!(told, "not ready: probes are being put in place");
        let told = no(pulse.is_alive(start + START_MAX + Duration::from_secs(1)));
        assert_eq!(told, "not alive: tracing has not begun 121 s after the start");
    }

    #[test]
    fn who_is_ending_is_alive_and_not_ready() {
        let start = Instant::now();
        let pulse = Pulse::since(start);
        pulse.turned_at(start);
        pulse.stands(Standing::Ending);
        // What is left may take longer to be sent than a turn takes.
        yes(pulse.is_alive(start + TURN_MAX * 2));
        assert_eq!(no(pulse.is_ready(start)), "not ready: geophone is ending");
    }

    #[test]
    fn not_ready_is_who_has_no_probes_though_there_is_somebody_to_trace() {
        let pulse = Pulse::default();
        pulse.turned();
        let now = Instant::now();
        pulse.stands(Standing::Idle);
        yes(pulse.is_ready(now));
        pulse.stands(Standing::Blind {
            processes: 3,
            reason: Some("cannot attach:\nPermission denied".to_owned()),
        });
        let told = no(pulse.is_ready(now));
        assert_eq!(
            told,
            "not ready: no probe is in place although 3 processes could be traced (cannot attach: Permission denied), \
             `geophone doctor` says what is in the way"
        );
        yes(pulse.is_alive(now));
        pulse.stands(Standing::Probes(1));
        assert_eq!(yes(pulse.is_ready(now)), "ready: 1 probe is in place");
    }
}
