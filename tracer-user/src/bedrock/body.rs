//! A JSON body as it is kept until it is read: bounded, and only its [`Skeleton`] when content is off.

use std::borrow::Cow;

use crate::http::{BodyPart, Hole};

use super::json::{self, Json, Malformed};
use super::skeleton::Skeleton;

/// Most that is kept of one body without its content.
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
    /// Before the first hole; all of the body if there is none.
    head: Head,
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

#[derive(Debug)]
enum Head {
    Facts(Skeleton),
    Content(Vec<u8>),
}

impl Body {
    /// An empty body.
    pub fn new(keep: Keep) -> Self {
        Self {
            head: match keep {
                Keep::Facts => Head::Facts(Skeleton::default()),
                Keep::Content => Head::Content(Vec::new()),
            },
            tail: Vec::new(),
            beyond_cap: 0,
            holes: Vec::new(),
        }
    }

    /// Takes the next part. `budget` is what may still be kept of all bodies together.
    pub fn push(&mut self, part: &BodyPart<'_>, budget: usize) {
        match part {
            BodyPart::Bytes(bytes) if self.holes.is_empty() => self.append_head(bytes, budget),
            BodyPart::Bytes(bytes) => self.append_tail(bytes),
            BodyPart::Hole(hole) => {
                // One of each reason tells enough.
                if self.holes.iter().all(|known| known.reason != hole.reason) {
                    self.holes.push(*hole);
                }
                self.tail.clear();
            }
        }
    }

    /// Bytes kept.
    pub fn len(&self) -> usize {
        self.head_bytes().len() + self.tail.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        let head = self.text();
        let end = Json::new(&head).members(&mut each);
        if self.tail.is_empty() {
            return end;
        }
        let tail = json::text(last(&self.tail));
        if let Some(rest) = members_after_hole(&tail, names) {
            let _complete = Json::new(&rest).members(&mut each);
        }
        Err(Malformed)
    }

    /// The document up to the first hole.
    pub fn text(&self) -> Cow<'_, str> {
        json::text(self.head_bytes())
    }

    fn head_bytes(&self) -> &[u8] {
        match &self.head {
            Head::Facts(skeleton) => skeleton.kept(),
            Head::Content(bytes) => bytes,
        }
    }

    fn append_head(&mut self, bytes: &[u8], budget: usize) {
        let held = self.len();
        let limit = |cap: usize| cap.min(held.saturating_add(budget));
        self.beyond_cap += match &mut self.head {
            Head::Facts(skeleton) => skeleton.push(bytes, limit(MAX_FACTS)),
            Head::Content(kept) => {
                let room = limit(MAX_CONTENT).saturating_sub(kept.len());
                // Once something is left out, nothing fits that follows.
                let room = if self.beyond_cap == 0 { room } else { 0 };
                let (fits, beyond) = bytes.split_at(room.min(bytes.len()));
                kept.extend_from_slice(fits);
                beyond.len() as u64
            }
        };
    }

    /// Keeps the end of what follows a hole, at most twice the cap between two trims.
    fn append_tail(&mut self, bytes: &[u8]) {
        if bytes.len() >= MAX_AFTER_HOLE {
            self.tail.clear();
        } else if self.tail.len() + bytes.len() > 2 * MAX_AFTER_HOLE {
            self.tail.drain(..self.tail.len() - MAX_AFTER_HOLE);
        }
        self.tail.extend_from_slice(last(bytes));
    }
}

/// As much of the end as is looked into, however it came.
fn last(bytes: &[u8]) -> &[u8] {
    bytes
        .len()
        .checked_sub(MAX_AFTER_HOLE)
        .and_then(|excess| bytes.get(excess..))
        .unwrap_or(bytes)
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
    use super::*;
    use crate::http::HoleReason;

    const UNBOUNDED: usize = usize::MAX;

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
        assert_eq!(kept.text(), r#"{"messages": [], "maxTokens": 9}"#);
        assert_eq!(kept.beyond_cap(), 0);
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
    fn the_end_behind_a_hole_is_the_same_however_it_comes() {
        let whole: Vec<u8> = (b'a'..=b'z').cycle().take(3 * MAX_AFTER_HOLE + 5).collect();
        for size in [
            100,
            16 << 10,
            MAX_AFTER_HOLE - 1,
            MAX_AFTER_HOLE,
            MAX_AFTER_HOLE + 1,
            whole.len(),
        ] {
            let mut body = Body::new(Keep::Facts);
            body.push(&hole(), UNBOUNDED);
            for piece in whole.chunks(size) {
                body.push(&BodyPart::Bytes(piece), UNBOUNDED);
                assert!(body.len() <= 2 * MAX_AFTER_HOLE);
            }
            assert!(last(&body.tail) == last(&whole), "in pieces of {size}");
        }
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
}
