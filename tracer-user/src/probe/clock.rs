//! The clocks of the kernel as its programs read them, whatever time namespace geophone itself is in.

use std::fs;
use std::sync::OnceLock;

use rustix::time::{ClockId, clock_gettime};

use crate::event::{Host, Monotonic};

/// The host and its clocks, measured again from time to time.
#[derive(Debug)]
pub struct HostClock {
    pub(super) host: Host,
}

impl HostClock {
    /// A wall clock that moved by more than this against the monotonic one makes a new [`Host`] event.
    const TOLERANCE_NS: u64 = 1_000_000;

    /// Reads who the host is and measures its clocks.
    pub fn measure() -> Self {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            host: Host {
                boot_id: boot_id.trim().to_owned(),
                name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
                wall_offset_ns: wall_offset_ns(),
            },
        }
    }

    /// The host as it was measured last.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Measures again; gives the host if its wall clock was set or drifted off.
    pub fn check(&mut self) -> Option<&Host> {
        let offset = wall_offset_ns();
        if offset.abs_diff(self.host.wall_offset_ns) <= Self::TOLERANCE_NS {
            return None;
        }
        self.host.wall_offset_ns = offset;
        Some(&self.host)
    }
}

/// The clock of the records, `bpf_ktime_get_ns`: it knows nothing of time namespaces.
pub fn now() -> Monotonic {
    let time = nanoseconds(ClockId::Monotonic).saturating_sub(Shifts::own().monotonic_ns);
    Monotonic(u64::try_from(time).unwrap_or(0))
}

/// How far the times since boot that `/proc` tells us are ahead of the host's.
pub(super) fn boottime_shift_ns() -> i64 {
    Shifts::own().boottime_ns
}

/// Wall clock minus monotonic clock of the host. Of several readings the one counts whose two monotonic ones are closest.
fn wall_offset_ns() -> i64 {
    const READINGS: usize = 16;
    let offset = (0..READINGS)
        .map(|_| {
            let before = nanoseconds(ClockId::Monotonic);
            let wall = nanoseconds(ClockId::Realtime);
            let spread = nanoseconds(ClockId::Monotonic) - before;
            (spread, wall - (before + spread / 2))
        })
        .min()
        .map_or(0, |(_, offset)| offset);
    offset.saturating_add(Shifts::own().monotonic_ns)
}

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec)
}

/// How far the clocks of a time namespace are ahead of the host's, `time_namespaces(7)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Shifts {
    monotonic_ns: i64,
    boottime_ns: i64,
}

impl Shifts {
    /// Those of this process: its clocks never change once it has threads.
    fn own() -> Self {
        static OWN: OnceLock<Shifts> = OnceLock::new();
        // Before Linux 5.6, and without time namespaces, there is no such file.
        *OWN.get_or_init(|| {
            fs::read_to_string("/proc/self/timens_offsets")
                .map_or_else(|_| Self::default(), |text| Self::parse(&text))
        })
    }

    /// Lines of clock, seconds and nanoseconds.
    fn parse(text: &str) -> Self {
        let of = |clock: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(clock))?;
            let mut numbers = line.split_ascii_whitespace().map(str::parse::<i64>);
            let seconds = numbers.next()?.ok()?;
            Some(
                seconds
                    .saturating_mul(1_000_000_000)
                    .saturating_add(numbers.next()?.ok()?),
            )
        };
        Self {
            monotonic_ns: of("monotonic ").unwrap_or(0),
            boottime_ns: of("boottime ").unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_offset_is_steady_and_tells_the_time() {
        let mut clock = HostClock::measure();
        assert!(!clock.host().boot_id.is_empty());
        assert!(!clock.host().name.is_empty());
        assert!(clock.check().is_none(), "nobody set the clock meanwhile");
        let told = clock.host().wall_offset_ns + i64::try_from(now().0).unwrap();
        let wall = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        assert!(wall.abs_diff(u128::try_from(told).unwrap()) < 100_000_000);
    }

    #[test]
    fn a_clock_that_was_set_gives_a_new_host() {
        let mut clock = HostClock::measure();
        clock.host.wall_offset_ns -= 3_600_000_000_000;
        let before = clock.host.wall_offset_ns;
        let host = clock.check().expect("an hour off");
        assert!(host.wall_offset_ns - before >= 3_599_000_000_000);
    }

    #[test]
    fn a_time_namespace_says_how_far_it_is_ahead() {
        let text = "monotonic      400000         7\nboottime      -500000         0\n";
        let shifts = Shifts {
            monotonic_ns: 400_000_000_000_007,
            boottime_ns: -500_000_000_000_000,
        };
        assert_eq!(Shifts::parse(text), shifts);
        assert_eq!(Shifts::parse("monotonic soon"), Shifts::default());
    }
}
