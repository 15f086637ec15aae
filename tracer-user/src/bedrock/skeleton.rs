//! The facts of a JSON document as it passes: its structure without what makes prompts and answers big.
//!
//! Strings longer than [`LONG_STRING`] become `""`, and the members of [`CONTENT`] become empty lists or objects. What is
//! kept is JSON again wherever the document was.

use memchr::memchr2;

/// Strings longer than this are content, not facts.
pub(super) const LONG_STRING: usize = 1024;

/// Members of the top level that hold no facts but that they are there.
const CONTENT: [&[u8]; 15] = [
    b"messages",
    b"system",
    b"toolConfig",
    b"tools",
    b"documents",
    b"chat_history",
    b"texts",
    b"images",
    b"inputs",
    b"input",
    b"prompt",
    b"promptVariables",
    b"embedding",
    b"embeddings",
    b"embeddingsByType",
];

/// What is kept of a document.
#[derive(Debug, Default)]
pub(super) struct Skeleton {
    kept: Vec<u8>,
    place: Place,
    depth: u64,
    /// The last string of the top level: it names a member if a colon follows.
    name: (usize, usize),
    /// The next list or object is left out.
    armed: bool,
    /// Depth around the list or object that is being left out.
    skipping: Option<u64>,
}

/// Where in the document the next byte stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between strings.
    #[default]
    Outside,
    /// In a string that began at this place of what is kept.
    Short { start: usize, escaped: bool },
    /// In a string that is left out.
    Long { escaped: bool },
    /// The cap is reached: nothing more is kept.
    Full,
}

impl Skeleton {
    /// What is kept so far.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Takes the next bytes. Returns how many of them are beyond `limit`, the most that may be kept.
    pub(super) fn push(&mut self, bytes: &[u8], limit: usize) -> u64 {
        let mut at = 0;
        // What is to be kept and not copied yet begins here.
        let mut from = 0;
        while at < bytes.len() {
            match self.place {
                Place::Full => return (bytes.len() - at) as u64,
                Place::Outside => {
                    if let Some(beyond) = self.outside(bytes, &mut at, &mut from, limit) {
                        return beyond;
                    }
                }
                Place::Short { start, escaped } => {
                    let begun = self.kept.len() + (at - from);
                    let room = (LONG_STRING + 1).saturating_sub(begun - start).max(1);
                    let rest = bytes.get(at..).unwrap_or_default();
                    let (taken, end) = scan_string(rest.get(..room).unwrap_or(rest), escaped);
                    at += taken;
                    match end {
                        End::Closed => {
                            let end = self.kept.len() + (at - from);
                            if self.depth == 1 {
                                self.name = (start, end - 1);
                            }
                            self.place = Place::Outside;
                            if let Some(beyond) = self.full(bytes, at, from, limit) {
                                return beyond;
                            }
                        }
                        End::Open { escaped } if begun + taken - start > LONG_STRING => {
                            // Up to the opening quote it stays.
                            let uncopied = start.saturating_sub(self.kept.len());
                            self.kept.truncate(start);
                            self.copy(bytes.get(from..from + uncopied));
                            from = at;
                            self.place = Place::Long { escaped };
                        }
                        End::Open { escaped } => self.place = Place::Short { start, escaped },
                    }
                }
                Place::Long { escaped } => {
                    let (taken, end) = scan_string(bytes.get(at..).unwrap_or_default(), escaped);
                    at += taken;
                    from = at;
                    match end {
                        End::Closed => {
                            // The closing quote stays, unless all around it goes.
                            from -= usize::from(self.skipping.is_none());
                            self.name = (0, 0);
                            self.place = Place::Outside;
                            if let Some(beyond) = self.full(bytes, at, from, limit) {
                                return beyond;
                            }
                        }
                        End::Open { escaped } => self.place = Place::Long { escaped },
                    }
                }
            }
        }
        if self.skipping.is_none() {
            self.copy(bytes.get(from..));
        }
        if self.place == Place::Outside {
            return self.cut(limit);
        }
        0
    }

    /// Up to the next string, or the end of the bytes. `Some` when the cap is reached.
    fn outside(&mut self, bytes: &[u8], at: &mut usize, from: &mut usize, limit: usize) -> Option<u64> {
        for byte in bytes.get(*at..).unwrap_or_default() {
            *at += 1;
            match byte {
                b'"' => {
                    let beyond = self.full(bytes, *at - 1, *from, limit);
                    if beyond.is_some() {
                        return beyond;
                    }
                    self.armed = false;
                    self.place = if self.skipping.is_some() {
                        Place::Long { escaped: false }
                    } else {
                        Place::Short {
                            start: self.kept.len() + (*at - *from),
                            escaped: false,
                        }
                    };
                    return None;
                }
                b'{' | b'[' => {
                    if std::mem::take(&mut self.armed) {
                        self.copy(bytes.get(*from..*at));
                        self.skipping = Some(self.depth);
                        let beyond = self.cut(limit);
                        if beyond > 0 {
                            return Some(beyond + (bytes.len() - *at) as u64);
                        }
                    }
                    self.depth += 1;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.skipping == Some(self.depth) {
                        self.skipping = None;
                        *from = *at - 1;
                    }
                }
                b':' if self.depth == 1 => {
                    self.armed = self.names_content(bytes.get(*from..*at).unwrap_or_default());
                }
                _ => {}
            }
        }
        None
    }

    /// Whether the last name of the top level is one of [`CONTENT`]. `uncopied` follows what is kept.
    fn names_content(&self, uncopied: &[u8]) -> bool {
        let (start, end) = self.name;
        let copied = self.kept.len();
        let name = if start >= copied {
            uncopied.get(start - copied..end.saturating_sub(copied))
        } else if end <= copied {
            self.kept.get(start..end)
        } else {
            // Cut in two by the end of a piece; put together, since rare.
            let whole = [self.kept.get(start..).unwrap_or_default(), uncopied].concat();
            return whole
                .get(..end - start)
                .is_some_and(|name| CONTENT.contains(&name));
        };
        name.is_some_and(|name| CONTENT.contains(&name))
    }

    /// Holds to the cap at every edge of a string, so that the end of a piece is no special place. `Some` when it is
    /// reached: how many bytes had to go, all that follow included.
    fn full(&mut self, bytes: &[u8], at: usize, from: usize, limit: usize) -> Option<u64> {
        if self.skipping.is_some() || self.kept.len() + (at - from) <= limit {
            return None;
        }
        self.copy(bytes.get(from..at));
        Some(self.cut(limit) + (bytes.len() - at) as u64)
    }

    fn copy(&mut self, bytes: Option<&[u8]>) {
        self.kept.extend_from_slice(bytes.unwrap_or_default());
    }

    /// Holds to the cap; returns how many bytes had to go.
    fn cut(&mut self, limit: usize) -> u64 {
        let beyond = self.kept.len().saturating_sub(limit);
        if beyond > 0 {
            self.kept.truncate(limit);
            self.place = Place::Full;
        }
        beyond as u64
    }
}

/// How a scan within a string ended.
enum End {
    Closed,
    Open { escaped: bool },
}

/// Scans string bytes to the closing quote; returns how many were scanned.
fn scan_string(bytes: &[u8], escaped: bool) -> (usize, End) {
    if bytes.is_empty() {
        return (0, End::Open { escaped });
    }
    let mut at = usize::from(escaped);
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if bytes.get(at - 1) == Some(&b'"') {
            return (at, End::Closed);
        }
        if at == bytes.len() {
            return (at, End::Open { escaped: true });
        }
        at += 1;
    }
    (bytes.len(), End::Open { escaped: false })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(parts: &[&[u8]], limit: usize) -> (Vec<u8>, u64) {
        let mut skeleton = Skeleton::default();
        let beyond = parts.iter().map(|part| skeleton.push(part, limit)).sum();
        (skeleton.kept, beyond)
    }

    fn whole(text: &str) -> String {
        let (kept, beyond) = kept(&[text.as_bytes()], usize::MAX);
        assert_eq!(beyond, 0);
        String::from_utf8(kept).expect("text stays text")
    }

    #[test]
    fn long_strings_leave_their_quotes() {
        let long = "all work and no play \\\" \\\\ ".repeat(100);
        assert_eq!(
            whole(&format!(
                r#"{{"a": ["{long}", 1], "{long}": "b", "maxTokens": 9}}"#
            )),
            r#"{"a": ["", 1], "": "b", "maxTokens": 9}"#
        );
        let fits = format!("\"{}\"", "x".repeat(LONG_STRING));
        assert_eq!(whole(&fits), fits);
        assert_eq!(whole(&format!("\"{}\"", "x".repeat(LONG_STRING + 1))), "\"\"");
    }

    #[test]
    fn content_of_the_top_level_leaves_its_brackets() {
        assert_eq!(
            whole(
                r#"{"messages" : [{"role": "user]", "content": [[{}], "\"}"]}], "maxTokens": 9, "system": "s", "tools": {"a": []}}"#
            ),
            r#"{"messages" : [], "maxTokens": 9, "system": "s", "tools": {}}"#
        );
    }

    #[test]
    fn the_same_names_further_down_or_as_values_stay() {
        let text = r#"{"output": {"messages": [1]}, "stop": "messages", "x": ["messages", {"tools": [2]}], "messages": 5, "y": [3]}"#;
        assert_eq!(whole(text), text);
    }

    #[test]
    fn what_is_beyond_the_cap_is_counted() {
        assert_eq!(kept(&[b"[1, 2, 3]", b"45"], 4), (b"[1, ".to_vec(), 7));
        let long = format!(r#"["{}", 1]"#, "x".repeat(5_000));
        assert_eq!(kept(&[long.as_bytes()], 7).0, b"[\"\", 1]");
        let (before, after) = long.as_bytes().split_at(1);
        let both = format!("[[[[{long}");
        assert_eq!(kept(&[both.as_bytes()], 2), kept(&[b"[[[[", before, after], 2));
        assert_eq!(kept(&[both.as_bytes()], 2).1, both.len() as u64 - 2);
    }

    proptest! {
        #[test]
        fn any_split_keeps_the_same(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("\"".to_owned()), Just("\\".to_owned()), Just("\\\"".to_owned()), Just("é".to_owned()),
                    Just("{".to_owned()), Just("]".to_owned()), Just(":".to_owned()), Just("\"messages\":".to_owned()),
                    Just("[1]".to_owned()), (1000_usize..1100).prop_map(|length| "y".repeat(length)),
                ],
                0..24,
            ),
            cuts in proptest::collection::vec(0_usize..8192, 0..6),
            limit in prop_oneof![Just(usize::MAX), 0_usize..3000],
        ) {
            let whole = pieces.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
            cuts.push(0);
            cuts.push(whole.len());
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
            let mut once = Skeleton::default();
            let mut often = Skeleton::default();
            let beyond_once = once.push(&whole, limit);
            let beyond_often: u64 = parts.iter().map(|part| often.push(part, limit)).sum();
            // In the middle of a short string the cap is not held to yet.
            if once.place == Place::Full || once.place == Place::Outside {
                prop_assert_eq!((&once.kept, beyond_once), (&often.kept, beyond_often));
            }
        }
    }
}
