//! Numbers in few characters.

use crate::export::text::number;

pub(super) use crate::export::text::dollars;

/// `9,999`, `12.3k`, `4.56M`: at most six characters below a trillion.
pub(super) fn amount(count: u64) -> String {
    match count {
        0..10_000 => number(i64::try_from(count).unwrap_or(i64::MAX)),
        10_000..1_000_000 => format!("{}.{}k", count / 1_000, count % 1_000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{}M", count / 1_000_000, count % 1_000_000 / 100_000),
        _ => format!(
            "{}.{}G",
            count / 1_000_000_000,
            count % 1_000_000_000 / 100_000_000
        ),
    }
}

/// `1 call`, `2 calls`.
pub(super) fn noun(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", amount(count))
}

/// `842ms`, `1.24s`, `2m05s`: at most six characters below a hundred hours.
pub(super) fn brief(ns: u64) -> String {
    let (milliseconds, seconds) = (ns / 1_000_000, ns / 1_000_000_000);
    match seconds {
        0 if milliseconds == 0 => format!("0.{}ms", ns / 100_000),
        0 => format!("{milliseconds}ms"),
        1..60 => format!("{seconds}.{:02}s", milliseconds % 1_000 / 10),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// `42 tok/s`: at most ten characters below a million a second.
pub(super) fn rate(value: f64, unit: &str) -> String {
    match value {
        ..9.95 => format!("{value:.1} {unit}"),
        ..999.5 => format!("{value:.0} {unit}"),
        ..9_950.0 => format!("{:.1}k {unit}", value / 1e3),
        _ => format!("{:.0}k {unit}", value / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::{amount, brief, dollars, rate};

    #[test]
    fn numbers_are_short() {
        for (count, text) in [
            (0, "0"),
            (9_999, "9,999"),
            (10_000, "10.0k"),
            (999_999, "999.9k"),
            (4_560_000, "4.5M"),
            (7_800_000_000, "7.8G"),
        ] {
            assert_eq!(amount(count), text);
        }
    }

    #[test]
    fn durations_are_short() {
        for (ns, text) in [
            (0, "0.0ms"),
            (420_000, "0.4ms"),
            (842_999_999, "842ms"),
            (1_249_000_000, "1.24s"),
            (125_400_000_000, "2m05s"),
            (3_725_000_000_000, "1h02m"),
        ] {
            assert_eq!(brief(ns), text);
        }
    }

    #[test]
    fn small_prices_keep_digits_that_count() {
        for (value, text) in [
            (0.0, "$0.00"),
            (0.000_000_18, "<$0.00001"),
            (0.000_42, "$0.000420"),
            (0.0123, "$0.0123"),
            (12.345, "$12.35"),
            (f64::NAN, "?"),
        ] {
            assert_eq!(dollars(value), text);
        }
    }

    #[test]
    fn rates_have_a_unit() {
        assert_eq!(rate(0.0, "ch/s"), "0.0 ch/s");
        assert_eq!(rate(9.94, "ch/s"), "9.9 ch/s");
        assert_eq!(rate(41.7, "tok/s"), "42 tok/s");
        assert_eq!(rate(7_293.0, "tok/s"), "7.3k tok/s");
        assert_eq!(rate(19_582.0, "tok/s"), "20k tok/s");
    }
}
