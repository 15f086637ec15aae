//! W3C Baggage: one member of the `baggage` header (<https://www.w3.org/TR/baggage/>, section 3).

use percent_encoding::percent_decode_str;

/// Most bytes looked into: what every platform must hand on (section 3.3.1).
const MAX_BAGGAGE: usize = 8192;

/// Most members looked into. Platforms must hand on 64 (section 3.3.1).
const MAX_MEMBERS: usize = 180;

/// The value of a member, percent-decoded, properties left out. Lines of the header are one list; the first of several
/// members of that name counts. What is no member is passed over.
pub(super) fn member<'h>(lines: impl Iterator<Item = &'h str>, name: &str) -> Option<String> {
    let mut left = MAX_BAGGAGE;
    lines
        .take_while(|line| {
            let fits = line.len() <= left;
            left = left.saturating_sub(line.len());
            fits
        })
        .flat_map(|line| line.split(','))
        .take(MAX_MEMBERS)
        .find_map(|member| {
            let (pair, _properties) = member.split_once(';').unwrap_or((member, ""));
            let (key, value) = pair.split_once('=')?;
            let octets = value.trim().trim_matches('"');
            (key.trim() == name && octets.bytes().all(is_octet))
                .then(|| percent_decode_str(octets).decode_utf8_lossy().into_owned())
        })
}

/// `baggage-octet`: printable ASCII without space, quotation mark, comma, semicolon and backslash.
fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn session(lines: &[&str]) -> Option<String> {
        member(lines.iter().copied(), "session.id")
    }

    #[test]
    fn a_member_is_found_among_others() {
        for (lines, value) in [
            (vec!["session.id=s-1"], Some("s-1")),
            (
                vec!["user.id=u, session.id = s-1 ;ttl=3;secret , a=b"],
                Some("s-1"),
            ),
            (vec!["a=b", "session.id=s-2,session.id=s-3"], Some("s-2")),
            (vec!["session.id=Am%C3%A9lie%20%2C%3B"], Some("Amélie ,;")),
            (vec!["session.id=%FFx"], Some("\u{fffd}x")),
            (vec!["session.id=a=b=="], Some("a=b==")),
            (vec!["session.id="], Some("")),
            (
                vec!["Session.Id=s", "session.id", "=x", "session.id=a b", ""],
                None,
            ),
            (vec!["session.id=a\\b,,;;=,session.id=good"], Some("good")),
        ] {
            assert_eq!(session(&lines).as_deref(), value, "{lines:?}");
        }
    }

    #[test]
    fn what_is_beyond_the_limits_is_not_looked_into() {
        let long = format!("a={},session.id=s", "x".repeat(MAX_BAGGAGE));
        assert_eq!(session(&[&long]), None);
        let many = format!("{}session.id=s", "a=b,".repeat(MAX_MEMBERS));
        assert_eq!(session(&[&many]), None);
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value in ".{0,64}", before in "[a-z0-9=;%, ]{0,64}") {
            let encoded = percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC);
            prop_assume!(!before.contains("session.id"));
            let line = format!("{before},session.id={encoded};p=1");
            prop_assert_eq!(session(&[&line]), Some(value));
        }

        #[test]
        fn anything_may_come(line in any::<String>()) {
            let _found = session(&[&line]);
        }
    }
}
