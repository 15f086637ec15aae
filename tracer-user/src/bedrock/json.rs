//! A lenient reader of JSON bodies: facts are picked out one by one, and whatever else a document holds is stepped over.
//!
//! A value of the wrong type is no value, a member told twice counts as told last, and a document that breaks off gives
//! everything before the break. Nothing is built but what is asked for.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Longest text that is taken over from a body as a fact: an id, a name, a reason.
pub const MAX_TEXT: usize = 1024;

/// Largest number of items that [`Json::texts`] keeps.
const MAX_TEXTS: usize = 64;

/// Whole numbers up to here are exact in a JSON number that is written as a float.
const MAX_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// A JSON value as its source text, not looked into yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

/// The document breaks off or is no JSON; what came before the break was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A body as text. Bytes that are not UTF-8 are replaced, so that they spoil the string they stand in and nothing else.
pub fn text(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body)
}

impl<'a> Json<'a> {
    /// A value from its source text.
    pub fn new(source: &'a str) -> Self {
        Self(source.trim_matches([' ', '\t', '\r', '\n']))
    }

    /// The source text.
    pub fn source(self) -> &'a str {
        self.0
    }

    /// Calls `each` with the members of an object in order; a value that is not an object has none.
    pub fn members(self, mut each: impl FnMut(&str, Json<'a>)) -> Result<(), Malformed> {
        self.visit_members(&mut each)
    }

    /// Calls `each` with the items of an array in order; a value that is not an array has none.
    pub fn items(self, mut each: impl FnMut(Json<'a>)) -> Result<(), Malformed> {
        self.visit_items(&mut each)
    }

    /// The last member of that name.
    pub fn member(self, name: &str) -> Option<Json<'a>> {
        let mut found = None;
        // A break later in the document takes nothing away from what was found before it.
        let _broken = self.members(|key, value| {
            if key == name {
                found = Some(value);
            }
        });
        found
    }

    /// Follows member names downwards.
    pub fn at(self, path: &[&str]) -> Option<Json<'a>> {
        path.iter().try_fold(self, |value, name| value.member(name))
    }

    /// A string of at most [`MAX_TEXT`] bytes that is not empty.
    pub fn text(self) -> Option<String> {
        self.string()
            .filter(|text| !text.is_empty() && text.len() <= MAX_TEXT)
            .map(Cow::into_owned)
    }

    /// A string of any length.
    pub fn string(self) -> Option<Cow<'a, str>> {
        if let Some(inner) = self.0.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
            && memchr::memchr2(b'\\', b'"', inner.as_bytes()).is_none()
        {
            return Some(Cow::Borrowed(inner));
        }
        if !self.0.starts_with('"') {
            return None;
        }
        serde_json::from_str::<String>(self.0).ok().map(Cow::Owned)
    }

    /// A text or an array of texts.
    pub fn texts(self) -> Vec<String> {
        if let Some(text) = self.text() {
            return vec![text];
        }
        let mut texts = Vec::new();
        let _broken = self.items(|item| {
            if texts.len() < MAX_TEXTS {
                texts.extend(item.text());
            }
        });
        texts
    }

    /// A whole number that counts something. Bedrock writes some of them as floats (`28.0`) once a guardrail has rewritten
    /// the body.
    pub fn count(self) -> Option<u64> {
        self.0.parse::<u64>().ok().or_else(|| {
            self.number()
                .filter(|number| number.fract() == 0.0 && (0.0..=MAX_EXACT_FLOAT).contains(number))
                .map(exact)
        })
    }

    /// A number that JSON can hold: finite.
    pub fn number(self) -> Option<f64> {
        let first = *self.0.as_bytes().first()?;
        if first != b'-' && !first.is_ascii_digit() {
            return None;
        }
        self.0.parse::<f64>().ok().filter(|number| number.is_finite())
    }

    /// A whole number with a sign.
    pub fn integer(self) -> Option<i64> {
        self.0.parse::<i64>().ok().or_else(|| {
            let number = self.number()?;
            let magnitude = i64::try_from(exact(number.abs())).ok()?;
            (number.fract() == 0.0 && number.abs() <= MAX_EXACT_FLOAT).then_some(if number < 0.0 {
                -magnitude
            } else {
                magnitude
            })
        })
    }

    /// `true` or `false`.
    pub fn truth(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// Whether the value is an object.
    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// Whether the value is an array.
    pub fn is_array(self) -> bool {
        self.0.starts_with('[')
    }

    /// Whether the value is `null`.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// The value built in full, for content. `None` for what is malformed or nested too deeply.
    pub fn build(self) -> Option<serde_json::Value> {
        serde_json::from_str(self.0).ok()
    }

    fn visit_members(self, each: &mut dyn FnMut(&str, Json<'a>)) -> Result<(), Malformed> {
        if !self.is_object() {
            return if self.is_complete() {
                Ok(())
            } else {
                Err(Malformed)
            };
        }
        let mut deserializer = serde_json::Deserializer::from_str(self.0);
        deserializer
            .deserialize_map(Members(each))
            .map_err(|_| Malformed)?;
        deserializer.end().map_err(|_| Malformed)
    }

    fn visit_items(self, each: &mut dyn FnMut(Json<'a>)) -> Result<(), Malformed> {
        if !self.is_array() {
            return if self.is_complete() {
                Ok(())
            } else {
                Err(Malformed)
            };
        }
        let mut deserializer = serde_json::Deserializer::from_str(self.0);
        deserializer.deserialize_seq(Items(each)).map_err(|_| Malformed)?;
        deserializer.end().map_err(|_| Malformed)
    }

    /// Whether the text is one JSON value to its end.
    fn is_complete(self) -> bool {
        serde_json::from_str::<IgnoredAny>(self.0).is_ok()
    }
}

/// A number known to be whole, not negative and at most 2^53.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller has checked the range or checks it next; `as` saturates"
)]
fn exact(number: f64) -> u64 {
    number as u64
}

/// Hands over the members of an object.
struct Members<'f, 'a>(&'f mut dyn FnMut(&str, Json<'a>));

impl<'a> Visitor<'a> for Members<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Key<'a>>()? {
            let value: &'a RawValue = map.next_value()?;
            (self.0)(&key.0, Json::new(value.get()));
        }
        Ok(())
    }
}

/// Hands over the items of an array.
struct Items<'f, 'a>(&'f mut dyn FnMut(Json<'a>));

impl<'a> Visitor<'a> for Items<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(value) = sequence.next_element::<&'a RawValue>()? {
            (self.0)(Json::new(value.get()));
        }
        Ok(())
    }
}

/// Name of a member, borrowed unless it holds escapes.
struct Key<'a>(Cow<'a, str>);

impl<'a> serde::Deserialize<'a> for Key<'a> {
    fn deserialize<D: serde::Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl<'a> Visitor<'a> for Name {
            type Value = Key<'a>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }

            fn visit_borrowed_str<E: serde::de::Error>(self, name: &'a str) -> Result<Key<'a>, E> {
                Ok(Key(Cow::Borrowed(name)))
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Key<'a>, E> {
                if name.len() > MAX_TEXT {
                    return Err(E::custom("a name beyond reason"));
                }
                Ok(Key(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Name).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> (Vec<String>, Result<(), Malformed>) {
        let mut names = Vec::new();
        let end = Json::new(source).members(|name, _| names.push(name.to_owned()));
        (names, end)
    }

    #[test]
    fn a_wrong_type_is_no_value_and_harms_no_other() {
        let body = Json::new(r#"{"a": {"x": 1}, "b": 1e999, "c": "7", "d": 7, "e": null, "f": -2}"#);
        assert_eq!(body.member("a").and_then(Json::count), None);
        assert_eq!(body.member("b").and_then(Json::number), None);
        assert_eq!(body.member("c").and_then(Json::count), None);
        assert_eq!(body.member("d").and_then(Json::count), Some(7));
        assert_eq!(body.member("d").and_then(Json::text), None);
        assert!(body.member("e").is_some_and(Json::is_null));
        assert_eq!(body.member("f").and_then(Json::count), None);
        assert_eq!(body.member("f").and_then(Json::integer), Some(-2));
        assert_eq!(body.member("missing"), None);
    }

    #[test]
    fn counts_may_be_written_as_floats() {
        for (source, count) in [
            ("28.0", Some(28)),
            ("0", Some(0)),
            ("1e3", Some(1000)),
            ("28.5", None),
            ("-1.0", None),
            ("1e300", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("NaN", None),
            ("true", None),
        ] {
            assert_eq!(Json::new(source).count(), count, "{source}");
        }
    }

    #[test]
    fn the_last_of_two_members_counts() {
        let body = Json::new(r#"{"stop": "a", "stop": "b"}"#);
        assert_eq!(body.member("stop").and_then(Json::text).as_deref(), Some("b"));
    }

    #[test]
    fn a_document_that_breaks_off_gives_what_came_before() {
        let (before, end) = names(r#"{"metrics": {"latencyMs": 4}, "output": {"message": "#);
        assert_eq!(before, ["metrics"]);
        assert_eq!(end, Err(Malformed));
        assert_eq!(names("{\"a\": 1}").1, Ok(()));
        assert_eq!(names("{\"a\": 1} x").1, Err(Malformed));
        assert_eq!(names("[]"), (vec![], Ok(())));
        assert_eq!(names(""), (vec![], Err(Malformed)));
    }

    #[test]
    fn nesting_beyond_any_limit_is_stepped_over() {
        let deep = format!(
            r#"{{"usage": {}{}, "id": "x"}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let body = Json::new(&deep);
        assert_eq!(body.member("id").and_then(Json::text).as_deref(), Some("x"));
        assert_eq!(body.member("usage").and_then(Json::count), None);
        assert_eq!(body.member("usage").and_then(Json::build), None);
    }

    #[test]
    fn strings_are_unescaped_and_long_ones_are_no_facts() {
        let body = Json::new(r#"{"p\u0061th": "a\/b\n", "broken": "\ud800"}"#);
        assert_eq!(body.member("path").and_then(Json::text).as_deref(), Some("a/b\n"));
        assert_eq!(body.member("broken").and_then(Json::text), None);
        let long = format!("\"{}\"", "x".repeat(MAX_TEXT + 1));
        assert_eq!(Json::new(&long).text(), None);
        assert_eq!(
            Json::new(&long).string().map(|text| text.len()),
            Some(MAX_TEXT + 1)
        );
    }

    #[test]
    fn stop_sequences_are_one_text_or_several() {
        assert_eq!(Json::new(r#""END""#).texts(), ["END"]);
        assert_eq!(Json::new(r#"["|", 5, "x"]"#).texts(), ["|", "x"]);
        assert!(Json::new("{}").texts().is_empty());
    }

    #[test]
    fn bytes_that_are_no_text_spoil_their_string_only() {
        let body = text(b"{\"a\": \"\xff\xfe\", \"b\": 2}");
        assert_eq!(Json::new(&body).member("b").and_then(Json::count), Some(2));
    }
}
