//! How long a content attribute may be: long texts are cut at their end, and of too many the rest is left out. Both are marked
//! where it happened, and what is left is well-formed.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde_json::{Value, json};

/// About how many bytes a content attribute may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentLimit(usize);

/// Text that is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentLimitError;

impl ContentLimit {
    /// Smallest and largest limit. More than the largest is not taken over from a body.
    const RANGE: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 20;

    /// A single text may have this part of it.
    const TEXTS: usize = 4;

    /// The number of bytes.
    pub fn bytes(self) -> usize {
        self.0
    }

    /// Keeps the end of a list.
    pub(super) fn keep_last(self, document: &mut Option<Value>) -> bool {
        document
            .as_mut()
            .is_some_and(|document| self.fit(document, Keep::Last))
    }

    /// Keeps the beginning of a list.
    pub(super) fn keep_first(self, document: &mut Option<Value>) -> bool {
        document
            .as_mut()
            .is_some_and(|document| self.fit(document, Keep::First))
    }

    fn fit(self, document: &mut Value, keep: Keep) -> bool {
        let mut cut = cut_texts(document, self.0 / Self::TEXTS);
        if let Value::Array(items) = document {
            cut |= leave_out(items, self.0, keep);
            // A single message may still be too long.
            for item in items {
                let room = self.0;
                if weight(item) > room {
                    shorten(item, room, keep);
                    cut = true;
                }
            }
        }
        cut
    }
}

impl Default for ContentLimit {
    /// 256 KiB: a span then stays below the 4 MiB that gRPC servers take.
    fn default() -> Self {
        Self(256 << 10)
    }
}

impl FromStr for ContentLimit {
    type Err = ContentLimitError;

    /// A number of bytes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.parse().map_err(|_| ContentLimitError)?;
        Self::RANGE
            .contains(&bytes)
            .then_some(Self(bytes))
            .ok_or(ContentLimitError)
    }
}

impl fmt::Display for ContentLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (ContentLimit::RANGE.start(), ContentLimit::RANGE.end());
        write!(f, "it must be a number of bytes from {least} to {most}")
    }
}

impl std::error::Error for ContentLimitError {}

/// Which end of a list is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    First,
    Last,
}

/// Cuts every text that is longer than `most`.
fn cut_texts(value: &mut Value, most: usize) -> bool {
    match value {
        Value::String(text) if text.len() > most => {
            let end = text.floor_char_boundary(most);
            let rest = text.len() - end;
            text.truncate(end);
            // Writing to a string does not fail.
            write!(text, "… [cut: {rest} bytes more]").ok();
            true
        }
        Value::Array(items) => items
            .iter_mut()
            .fold(false, |cut, item| cut_texts(item, most) | cut),
        Value::Object(members) => members
            .values_mut()
            .fold(false, |cut, member| cut_texts(member, most) | cut),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Leaves items out until the rest fits, but for one.
fn leave_out(items: &mut Vec<Value>, most: usize, keep: Keep) -> bool {
    let weights: Vec<usize> = items.iter().map(weight).collect();
    let mut left = most;
    let fits = |weight: &&usize| {
        let fits = **weight <= left;
        left = left.saturating_sub(**weight);
        fits
    };
    let kept = match keep {
        Keep::First => weights.iter().take_while(fits).count(),
        Keep::Last => weights.iter().rev().take_while(fits).count(),
    };
    let dropped = items.len() - kept.max(1).min(items.len());
    if dropped == 0 {
        return false;
    }
    let (range, place) = match keep {
        Keep::First => (items.len() - dropped..items.len(), None),
        Keep::Last => (0..dropped, Some(0)),
    };
    let bytes: usize = weights.get(range.clone()).unwrap_or_default().iter().sum();
    let like = items.get(range.start).cloned().unwrap_or_default();
    items.drain(range);
    let mark = mark(&like, dropped, bytes);
    items.insert(place.unwrap_or(items.len()), mark);
    true
}

/// What stands where items were left out; of the same kind as they.
fn mark(like: &Value, items: usize, bytes: usize) -> Value {
    let of = |what: &str| format!("[cut: {items} {what}, {bytes} bytes]");
    if like.get("parts").is_some() {
        json!({"role": "geophone", "parts": [{"type": "text", "content": of("messages")}]})
    } else if like.get("name").is_some() && like.get("arguments").is_none() {
        json!({"type": "geophone.cut", "name": of("tools")})
    } else {
        json!({"type": "text", "content": of("parts")})
    }
}

/// Makes one message, part or tool fit.
fn shorten(item: &mut Value, room: usize, keep: Keep) {
    if let Some(Value::Array(parts)) = item.get_mut("parts") {
        leave_out(parts, room, keep);
        for part in parts {
            if weight(part) > room {
                shorten(part, room, keep);
            }
        }
        return;
    }
    // Many short texts: JSON that is of no use in part.
    if let Value::Object(members) = item {
        for member in members.values_mut() {
            let bytes = weight(member);
            if bytes > room / ContentLimit::TEXTS && !member.is_string() {
                *member = Value::String(format!("[cut: {bytes} bytes]"));
            }
        }
    }
}

/// About how many bytes a value takes as JSON.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| weight(item) + 1).sum::<usize>(),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, member)| name.len() + 4 + weight(member));
            2 + members.sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(bytes: &str) -> ContentLimit {
        bytes.parse().expect("a limit")
    }

    fn message(text: &str) -> Value {
        json!({"role": "user", "parts": [{"type": "text", "content": text}]})
    }

    #[test]
    fn a_long_text_is_cut_at_its_end_and_says_so() {
        let mut document = Some(json!([message(&"é".repeat(200))]));
        assert!(limit("1024").keep_last(&mut document));
        let expected = format!("{}… [cut: 144 bytes more]", "é".repeat(128));
        assert_eq!(document, Some(json!([message(&expected)])));
    }

    #[test]
    fn of_a_long_conversation_the_end_is_kept() {
        let long = message(&"x".repeat(250));
        let mut document = Some(Value::Array(vec![long.clone(); 9]));
        assert!(limit("1024").keep_last(&mut document));
        let mark = json!({"role": "geophone", "parts": [{"type": "text", "content": "[cut: 6 messages, 1842 bytes]"}]});
        assert_eq!(document, Some(json!([mark, long, long, long])));
        assert!(!limit("4096").keep_last(&mut Some(Value::Array(vec![message("x"); 9]))));
    }

    #[test]
    fn the_last_message_stays_whatever_it_holds() {
        let rows: Vec<Value> = (0..500).map(Value::from).collect();
        let result = json!({"type": "tool_call_response", "id": "t", "response": rows});
        let mut document = Some(json!([message("before"), {"role": "tool", "parts": [result]}]));
        assert!(limit("1024").keep_last(&mut document));
        let document = document.expect("there is some");
        assert_eq!(
            document.pointer("/1/parts/0"),
            Some(&json!({"type": "tool_call_response", "id": "t", "response": "[cut: 4502 bytes]"}))
        );
        assert!(weight(&document) <= 1024);
    }

    #[test]
    fn of_tools_the_first_are_kept() {
        let tool = json!({"type": "function", "name": "f", "description": "x".repeat(200)});
        let mut document = Some(Value::Array(vec![tool; 10]));
        assert!(limit("1024").keep_first(&mut document));
        let document = document.expect("there is some");
        assert_eq!(document.as_array().map(Vec::len), Some(5));
        assert_eq!(
            document.get(4),
            Some(&json!({"type": "geophone.cut", "name": "[cut: 6 tools, 1488 bytes]"}))
        );
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in ["", "1k", "10", "2000000", "-1"] {
            assert_eq!(text.parse::<ContentLimit>(), Err(ContentLimitError));
        }
    }
}
