//! Numbers and times for people, and the cleaning of texts that strangers wrote.

use std::fmt::Write as _;

/// Nanoseconds of a day.
pub(crate) const NS_A_DAY: u64 = 86_400 * NS_A_SECOND;

const NS_A_SECOND: u64 = 1_000_000_000;
const NS_A_MILLISECOND: u64 = 1_000_000;

/// A text as it can be shown on one line. What comes from the traffic could move the cursor, recolour the terminal or
/// turn the writing direction: every run of white space becomes a blank, and every other control character is shown as
/// what it is, a stranger.
pub(crate) fn clean(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_whitespace() {
            if !line.is_empty() && !line.ends_with(' ') {
                line.push(' ');
            }
        } else if character.is_control() || is_format(character) {
            line.push(char::REPLACEMENT_CHARACTER);
        } else {
            line.push(character);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// Unicode's embeddings, overrides and isolates of direction (UAX #9) and its invisible marks.
fn is_format(character: char) -> bool {
    matches!(character,
        '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The beginning of a text, with a mark when there is more.
pub(crate) fn shorten(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

/// `1,012`.
pub(crate) fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// US dollars: cents from a dollar on, more digits below, at most nine characters below ten thousand.
pub(crate) fn dollars(value: f64) -> String {
    if !value.is_finite() {
        "?".to_owned()
    } else if value >= 1.0 || value <= 0.0 {
        format!("${value:.2}")
    } else if value >= 0.01 {
        format!("${value:.4}")
    } else if value >= 0.000_01 {
        format!("${value:.6}")
    } else {
        "<$0.00001".to_owned()
    }
}

/// `842 ms`, `1.24 s`, `2 min 5 s`.
pub(crate) fn duration(ns: u64) -> String {
    match ns {
        0..NS_A_MILLISECOND => format!("0.{} ms", ns / (NS_A_MILLISECOND / 10)),
        NS_A_MILLISECOND..NS_A_SECOND => format!("{} ms", ns / NS_A_MILLISECOND),
        _ if ns < 60 * NS_A_SECOND => {
            let hundredths = ns / (NS_A_SECOND / 100);
            format!("{}.{:02} s", hundredths / 100, hundredths % 100)
        }
        _ => {
            let seconds = ns / NS_A_SECOND;
            format!("{} min {} s", seconds / 60, seconds % 60)
        }
    }
}

/// Seconds as a span has them, in the same words.
pub(crate) fn seconds(seconds: f64) -> String {
    std::time::Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|seconds| u64::try_from(seconds.as_nanos()).ok())
        .map_or_else(|| format!("{seconds} s"), duration)
}

/// Time of day, UTC, to the millisecond.
pub(crate) fn clock(unix_ns: u64) -> String {
    let milliseconds = unix_ns % NS_A_DAY / NS_A_MILLISECOND;
    let (seconds, milliseconds) = (milliseconds / 1000, milliseconds % 1000);
    format!(
        "{:02}:{:02}:{:02}.{milliseconds:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Date of a day counted from the Unix epoch, by counting in eras of 400 years that begin in March, so that a leap day is
/// the last day of its year.
pub(crate) fn date(day: u64) -> String {
    /// Days from 1 March 0000 to 1 January 1970.
    const EPOCH: u64 = 719_468;
    const ERA: u64 = 146_097;
    let day = day + EPOCH;
    let (era, day) = (day / ERA, day % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", year + 400 * era + next_year)
}

/// Bytes as W3C writes ids.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{clean, clock, date, duration, number, seconds, shorten};

    #[test]
    fn a_stranger_cannot_steer_the_terminal() {
        assert_eq!(clean("\u{1b}[2Jgone\u{7}"), "\u{fffd}[2Jgone\u{fffd}");
        assert_eq!(clean(" two\r\nlines\tand  more "), "two lines and more");
        assert_eq!(
            clean("a\u{202e}b\u{2066}c\u{9b}31m\u{61c}d"),
            "a\u{fffd}b\u{fffd}c\u{fffd}31m\u{fffd}d"
        );
        assert_eq!(clean("Grüezi, 世界"), "Grüezi, 世界");
    }

    #[test]
    fn numbers_are_grouped() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1_012, "1,012"),
            (1_234_567, "1,234,567"),
            (-1_000, "-1,000"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(i64::MIN), "-9,223,372,036,854,775,808");
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        for (ns, text) in [
            (0, "0.0 ms"),
            (420_000, "0.4 ms"),
            (842_999_999, "842 ms"),
            (1_249_000_000, "1.24 s"),
            (125_400_000_000, "2 min 5 s"),
        ] {
            assert_eq!(duration(ns), text);
        }
        assert_eq!(seconds(0.21), "210 ms");
        assert_eq!(seconds(f64::NAN), "NaN s");
        assert_eq!(seconds(-1.0), "-1 s");
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(clock(1_763_683_200_123_456_789), "00:00:00.123");
        assert_eq!(clock(1_763_730_187_412_000_000), "13:03:07.412");
        for (day, text) in [
            (0, "1970-01-01"),
            (19_781, "2024-02-28"),
            (19_782, "2024-02-29"),
            (19_783, "2024-03-01"),
            (20_412, "2025-11-20"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(day), text);
        }
        assert_eq!(date(u64::MAX / super::NS_A_DAY), "2554-07-21");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shorten("Zürich", 6), "Zürich");
        assert_eq!(shorten("Zürich", 2), "Zü…");
        assert_eq!(shorten("a b", 2), "a…");
    }
}
