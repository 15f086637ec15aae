//! The service's clock: times of a trace, and how they lie on the host's clock.

use crate::event::Monotonic;

/// Time on the service's clock, ns since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServerTime(pub(super) u64);

impl ServerTime {
    /// Reads `2025-05-30T17:28:09.251741423Z`: RFC 3339 in UTC, the fraction of any length (Smithy's `date-time`).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let [year, month, day] = numbers(date, '-')?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let [hour, minute, second] = numbers(time, ':')?;
        let valid = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        if !valid || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let nanoseconds: u64 = fraction
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(9)
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        seconds
            .checked_mul(1_000_000_000)?
            .checked_add(nanoseconds)
            .map(Self)
    }
}

/// Three plain numbers.
fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut next = || {
        let part = parts.next()?;
        let plain = (1..=4).contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_digit());
        plain.then(|| part.parse().ok()).flatten()
    };
    let all = [next()?, next()?, next()?];
    parts.next().is_none().then_some(all)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are taken to begin with March, so that a leap day is the last
/// day of its year.
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days_before_month = (153 * month + 2) / 5;
    // 719 468 days lie between 0000-03-01 and 1970-01-01.
    (year * 365 + leap_days + days_before_month + day).saturating_sub(719_469)
}

/// When something was told: by the service's clock, where it says so, and when it arrived here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) server: Option<ServerTime>,
    pub(super) arrival: Monotonic,
}

/// How far the service's clock is from the host's.
///
/// What arrives was sent before: `arrival - sent` is the distance of the clocks plus what the way took. Over a whole stream the
/// least of them has waited least, and with it no event lies after its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Clock {
    offset: Option<i128>,
}

impl Clock {
    /// Something that was told at `moment` arrived.
    pub(super) fn observe(&mut self, moment: Moment) {
        let Some(ServerTime(sent)) = moment.server else {
            return;
        };
        let offset = i128::from(moment.arrival.0) - i128::from(sent);
        self.offset = Some(self.offset.map_or(offset, |known| known.min(offset)));
    }

    /// A moment on the host's clock.
    pub(super) fn host(&self, moment: Moment) -> Monotonic {
        let (Some(ServerTime(sent)), Some(offset)) = (moment.server, self.offset) else {
            return moment.arrival;
        };
        let host = (i128::from(sent) + offset).max(0);
        Monotonic(u64::try_from(host).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_service_are_read_to_the_nanosecond() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2025-05-30T17:28:09.251741423Z", Some(1_748_626_089_251_741_423)),
            ("2024-02-29T23:59:59.5Z", Some(1_709_251_199_500_000_000)),
            ("2000-03-01T00:00:00.0000000019Z", Some(951_868_800_000_000_001)),
            ("2100-12-31T00:00:00Z", Some(4_133_894_400_000_000_000)),
            ("2025-05-30T17:28:09.25", None),
            ("2025-05-30T17:28:09.2x5Z", None),
            ("2025-13-30T17:28:09Z", None),
            ("2025-05-30 17:28:09Z", None),
            ("9999-05-30T17:28:09Z", None),
            ("+025-05-30T17:28:09Z", None),
            ("", None),
        ] {
            assert_eq!(ServerTime::parse(text).map(|time| time.0), expected, "{text}");
        }
    }

    #[test]
    fn the_event_that_waited_least_tells_how_far_the_clocks_are_apart() {
        let at = |sent, arrival| Moment {
            server: Some(ServerTime(sent)),
            arrival: Monotonic(arrival),
        };
        let mut clock = Clock::default();
        // The first two were held back and came together with the third.
        for moment in [at(1_000, 90), at(1_020, 90), at(1_050, 90)] {
            clock.observe(moment);
        }
        assert_eq!(clock.host(at(1_000, 90)), Monotonic(40));
        assert_eq!(clock.host(at(1_050, 90)), Monotonic(90));
        assert_eq!(clock.host(at(5, 90)), Monotonic(0));
        let untold = Moment {
            server: None,
            arrival: Monotonic(70),
        };
        assert_eq!(clock.host(untold), Monotonic(70));
    }
}
