//! A JSON body as it is kept until it is read: bounded, and without the long strings when content is off.
//!
//! A prompt of 5 MB is a few long strings among short facts. With content off each string beyond [`LONG_STRING`] is left
//! out while it passes (`""` stays in its place), so that what is kept of any prompt is small.

use memchr::memchr2;

use crate::http::{BodyPart, Hole};

use super::json::{self, Json, Malformed};

/// Strings longer than this are content, not facts.
pub const LONG_STRING: usize = 1024;

/// Most that is kept of one body without its long strings.
pub const MAX_FACTS: usize = 4 << 20;

/// Most that is kept of one body with its content.
pub const MAX_CONTENT: usize = 32 << 20;

/// How much is kept of what follows a hole: the end of a body holds the parameters or the usage.
pub const MAX_AFTER_HOLE: usize = 64 << 10;

/// Most places in the part after a hole that are tried as the start of a member.
const MAX_CANDIDATES: usize = 32;

/// What is kept of a body.
#[derive(Debug)]
pub struct Body {
    keep: Keep,
    /// Before the first hole; all of the body if there is none.
    head: Vec<u8>,
    place: Place,
    /// After the last hole, the end of it.
    tail: Vec<u8>,
    /// Bytes that passed the caps and are not kept.
    beyond_cap: u64,
    holes: Vec<Hole>,
}

/// What of a body is worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Short strings, numbers, names.
    Facts,
    /// Everything.
    Content,
}

/// Where in the document the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between strings.
    Outside,
    /// In a string that began at this place of `head`.
    Short { start: usize, escaped: bool },
    /// In a string that is left out.
    Long { escaped: bool },
    /// Behind a hole: whether inside a string or not cannot be known.
    AfterHole,
    /// Beyond the cap.
    Full,
}

impl Body {
    /// An empty body.
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            head: Vec::new(),
            place: Place::Outside,
            tail: Vec::new(),
            beyond_cap: 0,
            holes: Vec::new(),
        }
    }

    /// Takes the next part. `budget` is what may still be kept of all bodies together.
    pub fn push(&mut self, part: &BodyPart<'_>, budget: usize) {
        match part {
            BodyPart::Bytes(bytes) => self.bytes(bytes, budget),
            BodyPart::Hole(hole) => {
                // One of each reason tells enough.
                if self.holes.iter().all(|known| known.reason != hole.reason) {
                    self.holes.push(*hole);
                }
                if self.place != Place::Full {
                    self.place = Place::AfterHole;
                }
                self.tail.clear();
            }
        }
    }

    /// Bytes kept.
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    /// One hole of each reason.
    pub fn holes(&self) -> &[Hole] {
        &self.holes
    }

    /// Bytes that were not kept since a cap was reached.
    pub fn beyond_cap(&self) -> u64 {
        self.beyond_cap
    }

    /// Calls `each` with the members of the document. Behind a hole those of `names` are found that begin after it.
    pub fn members(&self, names: &[&str], mut each: impl FnMut(&str, Json<'_>)) -> Result<(), Malformed> {
        let head = json::text(&self.head);
        let end = Json::new(&head).members(&mut each);
        if self.tail.is_empty() {
            return end;
        }
        let tail = json::text(&self.tail);
        if let Some(rest) = members_after_hole(&tail, names) {
            let _complete = Json::new(&rest).members(&mut each);
        }
        Err(Malformed)
    }

    /// Reads the document as a whole; gives what is there when it is broken.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        json::text(&self.head)
    }

    fn bytes(&mut self, bytes: &[u8], budget: usize) {
        if self.place == Place::Full {
            self.beyond_cap += bytes.len() as u64;
            return;
        }
        if self.place == Place::AfterHole {
            self.append_tail(bytes);
            return;
        }
        let room = match self.keep {
            Keep::Facts => MAX_FACTS,
            Keep::Content => MAX_CONTENT,
        }
        .saturating_sub(self.head.len())
        .min(budget);
        match self.keep {
            Keep::Content => {
                let (kept, beyond) = bytes.split_at(room.min(bytes.len()));
                self.head.extend_from_slice(kept);
                self.fill(beyond.len());
            }
            Keep::Facts => self.append_facts(bytes, room),
        }
    }

    fn fill(&mut self, beyond: usize) {
        if beyond > 0 {
            self.beyond_cap += beyond as u64;
            self.place = Place::Full;
        }
    }

    /// Keeps the end of what follows a hole, at most twice the cap between two trims.
    fn append_tail(&mut self, bytes: &[u8]) {
        let bytes = bytes
            .len()
            .checked_sub(MAX_AFTER_HOLE)
            .and_then(|excess| bytes.get(excess..))
            .unwrap_or(bytes);
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 2 * MAX_AFTER_HOLE {
            self.tail.drain(..self.tail.len() - MAX_AFTER_HOLE);
        }
    }

    /// Keeps everything but long strings; stops for good where `room` ends.
    fn append_facts(&mut self, mut bytes: &[u8], room: usize) {
        let limit = self.head.len().saturating_add(room);
        while !bytes.is_empty() {
            let taken = match self.place {
                Place::Outside => {
                    let room = limit.saturating_sub(self.head.len()).min(bytes.len());
                    if room == 0 {
                        self.fill(bytes.len());
                        return;
                    }
                    self.step_outside(bytes.get(..room).unwrap_or(bytes))
                }
                Place::Short { start, escaped } => self.step_short(bytes, start, escaped),
                Place::Long { escaped } => self.step_long(bytes, escaped),
                Place::AfterHole | Place::Full => return,
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Up to and with the quote that opens a string.
    fn step_outside(&mut self, bytes: &[u8]) -> usize {
        let taken = memchr::memchr(b'"', bytes).map_or(bytes.len(), |at| at + 1);
        let opens = bytes.get(taken - 1) == Some(&b'"');
        self.head.extend_from_slice(bytes.get(..taken).unwrap_or(bytes));
        if opens {
            self.place = Place::Short {
                start: self.head.len(),
                escaped: false,
            };
        }
        taken
    }

    /// Up to and with the quote that closes the string, unless it grows long.
    fn step_short(&mut self, bytes: &[u8], start: usize, escaped: bool) -> usize {
        let length = self.head.len().saturating_sub(start);
        let room = (LONG_STRING + 1).saturating_sub(length).max(1);
        let window = bytes.get(..room).unwrap_or(bytes);
        let (taken, place) = scan_string(window, escaped);
        match place {
            InString::Closed => {
                self.head.extend_from_slice(bytes.get(..taken).unwrap_or(bytes));
                self.place = Place::Outside;
            }
            InString::Open { escaped } if length + taken > LONG_STRING => {
                self.head.truncate(start);
                self.place = Place::Long { escaped };
            }
            InString::Open { escaped } => {
                self.head.extend_from_slice(bytes.get(..taken).unwrap_or(bytes));
                self.place = Place::Short { start, escaped };
            }
        }
        taken
    }

    /// Up to and with the quote that closes the string; only the quote is kept.
    fn step_long(&mut self, bytes: &[u8], escaped: bool) -> usize {
        let (taken, place) = scan_string(bytes, escaped);
        match place {
            InString::Closed => {
                self.head.push(b'"');
                self.place = Place::Outside;
            }
            InString::Open { escaped } => self.place = Place::Long { escaped },
        }
        taken
    }
}

/// How a scan within a string ended.
enum InString {
    Closed,
    Open { escaped: bool },
}

/// Scans string bytes to the closing quote; returns how many were scanned.
fn scan_string(bytes: &[u8], escaped: bool) -> (usize, InString) {
    let mut at = usize::from(escaped).min(bytes.len());
    if escaped && bytes.is_empty() {
        return (0, InString::Open { escaped });
    }
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if bytes.get(at - 1) == Some(&b'"') {
            return (at, InString::Closed);
        }
        if at == bytes.len() {
            return (at, InString::Open { escaped: true });
        }
        at += 1;
    }
    (bytes.len(), InString::Open { escaped: false })
}

/// The members at the end of a document of which only the end is there, as an object of their own.
///
/// A member `"name":` of the top level is proven by what follows it: with a `{` before it, the rest is one whole object up
/// to the last byte. A member further down would close more braces than it opens, and a quotation in a prompt is escaped.
fn members_after_hole(tail: &str, names: &[&str]) -> Option<String> {
    let mut starts: Vec<usize> = names
        .iter()
        .flat_map(|name| {
            let quoted = format!("\"{name}\"");
            tail.match_indices(&quoted).map(|(at, _)| at).collect::<Vec<_>>()
        })
        .collect();
    starts.sort_unstable();
    starts.truncate(MAX_CANDIDATES);
    starts.into_iter().find_map(|start| {
        let rest = format!("{{{}", tail.get(start..)?);
        Json::new(&rest).members(|_, _| ()).is_ok().then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::HoleReason;

    const UNBOUNDED: usize = usize::MAX;

    fn kept(keep: Keep, parts: &[&[u8]]) -> Vec<u8> {
        let mut body = Body::new(keep);
        for part in parts {
            body.push(&BodyPart::Bytes(part), UNBOUNDED);
        }
        body.head
    }

    fn hole() -> BodyPart<'static> {
        BodyPart::Hole(Hole {
            length: None,
            reason: HoleReason::Lost,
        })
    }

    #[test]
    fn a_long_prompt_is_left_out_and_the_parameters_behind_it_stay() {
        let prompt = "all work and no play \\\" \\\\ ".repeat(200_000);
        let body = format!(r#"{{"messages": [{{"text": "{prompt}"}}], "maxTokens": 9}}"#);
        let mut kept = Body::new(Keep::Facts);
        for chunk in body.as_bytes().chunks(16 << 10) {
            kept.push(&BodyPart::Bytes(chunk), UNBOUNDED);
        }
        assert_eq!(kept.text(), r#"{"messages": [{"text": ""}], "maxTokens": 9}"#);
        assert_eq!(kept.beyond_cap(), 0);
    }

    #[test]
    fn strings_up_to_the_limit_stay() {
        let fits = format!("\"{}\"", "x".repeat(LONG_STRING));
        assert_eq!(kept(Keep::Facts, &[fits.as_bytes()]), fits.as_bytes());
        let long = format!("\"{}\"", "x".repeat(LONG_STRING + 1));
        assert_eq!(kept(Keep::Facts, &[long.as_bytes()]), b"\"\"");
        assert_eq!(kept(Keep::Content, &[long.as_bytes()]), long.as_bytes());
    }

    #[test]
    fn what_is_beyond_the_cap_or_the_budget_is_counted() {
        let mut body = Body::new(Keep::Facts);
        let numbers = vec![b'1'; MAX_FACTS];
        body.push(&BodyPart::Bytes(&numbers), UNBOUNDED);
        body.push(&BodyPart::Bytes(b"22"), UNBOUNDED);
        body.push(&BodyPart::Bytes(b"22"), UNBOUNDED);
        assert_eq!((body.len(), body.beyond_cap()), (MAX_FACTS, 4));

        let mut body = Body::new(Keep::Content);
        body.push(&BodyPart::Bytes(b"0123456789"), 4);
        assert_eq!((body.len(), body.beyond_cap()), (4, 6));
    }

    #[test]
    fn parameters_behind_a_hole_are_found() {
        let mut body = Body::new(Keep::Facts);
        body.push(
            &BodyPart::Bytes(br#"{"modelId": "m", "messages": [{"text": "aaa"#),
            UNBOUNDED,
        );
        body.push(&hole(), UNBOUNDED);
        body.push(
            &BodyPart::Bytes(br#"zz \"inferenceConfig\": {}"}], "inferenceConfig": {"maxTokens": 5}, "toolConfig": {"inferenceConfig": 3}}"#),
            UNBOUNDED,
        );
        let mut found = Vec::new();
        let end = body.members(&["inferenceConfig"], |name, value| {
            found.push((name.to_owned(), value.source().to_owned()));
        });
        assert_eq!(end, Err(Malformed));
        assert_eq!(
            found,
            [
                ("modelId".into(), "\"m\"".into()),
                ("inferenceConfig".to_owned(), r#"{"maxTokens": 5}"#.to_owned()),
                ("toolConfig".into(), r#"{"inferenceConfig": 3}"#.into()),
            ]
        );
    }

    #[test]
    fn a_member_further_down_is_not_taken_for_one_of_the_top() {
        let tail = r#""deep": {"temperature": 2}}], "stop": "x"}"#;
        assert_eq!(members_after_hole(tail, &["temperature"]), None);
    }

    #[test]
    fn the_end_behind_a_hole_is_bounded() {
        let mut body = Body::new(Keep::Content);
        body.push(&hole(), UNBOUNDED);
        for _ in 0..64 {
            body.push(&BodyPart::Bytes(&[b' '; 16 << 10]), UNBOUNDED);
        }
        body.push(&BodyPart::Bytes(br#", "usage": {"inputTokens": 3}}"#), UNBOUNDED);
        assert!(body.len() <= 2 * MAX_AFTER_HOLE);
        let mut usage = None;
        let _malformed = body.members(&["usage"], |_, value| {
            usage = value.member("inputTokens").and_then(Json::count);
        });
        assert_eq!(usage, Some(3));
    }

    proptest! {
        #[test]
        fn any_split_keeps_the_same(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("\"".to_owned()), Just("\\".to_owned()), Just("\\\"".to_owned()), Just("é".to_owned()),
                    Just("{}".to_owned()), (1000_usize..1100).prop_map(|length| "y".repeat(length)),
                ],
                0..20,
            ),
            cuts in proptest::collection::vec(0_usize..8192, 0..6),
        ) {
            let whole = pieces.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
            cuts.push(0);
            cuts.push(whole.len());
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
            prop_assert_eq!(kept(Keep::Facts, &parts), kept(Keep::Facts, &[&whole]));
        }
    }
}
