//! Times as the service writes them: ISO 8601 with nine digits behind the second.

/// `2025-05-30T17:28:09.251741423Z`
pub(super) fn iso(unix_ns: u64) -> String {
    let (seconds, nanoseconds) = (unix_ns / 1_000_000_000, unix_ns % 1_000_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z")
}

/// Year, month and day of so many days after the first of January 1970.
fn date(mut days: u64) -> (u64, usize, u64) {
    let mut year = 1970;
    loop {
        let leap = u64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
        let months = [31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, length) in months.into_iter().enumerate() {
            if days < length {
                return (year, month + 1, days + 1);
            }
            days -= length;
        }
        year += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::iso;

    #[test]
    fn leap_days_are_counted() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000007Z"),
            (951_825_599, "2000-02-29T11:59:59.000000007Z"),
            (1_748_626_089, "2025-05-30T17:28:09.000000007Z"),
        ] {
            assert_eq!(iso(seconds * 1_000_000_000 + 7), text);
        }
    }
}
