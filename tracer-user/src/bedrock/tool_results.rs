//! Which results of tools a request carries: ids and whether the tool failed, found in the JSON as it passes, whatever is kept
//! of it.
//!
//! | body | a result is | it failed if |
//! |---|---|---|
//! | Converse, Nova | member `toolResult` with a `toolUseId` | its `status` is `error` |
//! | Claude | object of type `tool_result` with a `tool_use_id` | `is_error` |
//! | Chat Completions, Mistral | message of role `tool` with a `tool_call_id` | nobody says so |
//! | Responses | object of type `function_call_output` with a `call_id` | nobody says so |

use std::collections::VecDeque;

use memchr::memchr2;

use crate::http::BodyPart;

use super::call::ToolResult;
use super::json::Json;

/// Most results told of one request: the last ones, since a conversation repeats all that came before.
pub(super) const MAX_TOOL_RESULTS: usize = 256;

/// Longest id of a tool's use. Bedrock's have at most 64 characters (`ToolUseId` of the service model).
const MAX_ID: usize = 256;

/// Objects further down hold what tools said.
const MAX_DEPTH: usize = 8;

/// Reads a request as it passes.
#[derive(Debug, Default)]
pub(super) struct ToolResults {
    found: VecDeque<ToolResult>,
    /// Lists and objects around the next byte.
    frames: Vec<Frame>,
    /// How many more there are within the innermost frame.
    deeper: u64,
    string: Option<Text>,
    /// Some bytes were missed: what follows has no known place.
    lost: bool,
}

/// A list or an object.
#[derive(Debug, Default)]
struct Frame {
    /// Name of the member that it is, if it is one.
    name: Member,
    is_object: bool,
    /// The next string names a member.
    names_member: bool,
    /// The member whose value comes next.
    member: Member,
    /// Its own type or role says that it is a result.
    says_result: Option<Member>,
    /// It says that the tool failed.
    says_failed: bool,
    /// The ids it has, by the names that they have in each body.
    id: Option<(Member, String)>,
}

/// Members that tell.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Member {
    #[default]
    Other,
    /// `toolResult`
    ToolResult,
    /// `toolUseId`
    ToolUseId,
    /// `tool_use_id`
    ClaudeId,
    /// `tool_call_id`
    ChatId,
    /// `call_id`
    ResponsesId,
    /// `type`
    Type,
    /// `role`
    Role,
    /// `status`
    Status,
    /// `is_error`
    IsError,
}

impl Member {
    fn of(name: &str) -> Self {
        match name {
            "toolResult" => Member::ToolResult,
            "toolUseId" => Member::ToolUseId,
            "tool_use_id" => Member::ClaudeId,
            "tool_call_id" => Member::ChatId,
            "call_id" => Member::ResponsesId,
            "type" => Member::Type,
            "role" => Member::Role,
            "status" => Member::Status,
            "is_error" => Member::IsError,
            _ => Member::Other,
        }
    }
}

/// A string that is being read.
#[derive(Debug, Default)]
struct Text {
    /// As it stands in the document, unless it is of no interest or too long.
    kept: Option<Vec<u8>>,
    escaped: bool,
}

impl ToolResults {
    /// Takes more of the body.
    pub(super) fn push(&mut self, part: &BodyPart<'_>) {
        match part {
            BodyPart::Bytes(bytes) if !self.lost => self.read(bytes),
            BodyPart::Bytes(_) => {}
            BodyPart::Hole(_) => self.lost = true,
        }
    }

    /// The results, in order.
    pub(super) fn finish(self) -> Vec<ToolResult> {
        self.found.into()
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.string.is_some() {
                bytes = self.read_string(bytes);
                continue;
            }
            bytes = rest;
            match byte {
                b'"' => self.string = Some(self.begin_string()),
                b'{' => self.open(true),
                b'[' => self.open(false),
                b'}' | b']' => self.close(),
                b',' if self.deeper == 0 => {
                    if let Some(frame) = self.frames.last_mut() {
                        frame.names_member = frame.is_object;
                        frame.member = Member::Other;
                    }
                }
                // No other value of a truth begins so.
                b't' if self.deeper == 0 => {
                    if let Some(frame) = self.frames.last_mut()
                        && frame.member == Member::IsError
                    {
                        frame.says_failed = true;
                    }
                }
                _ => {}
            }
        }
    }

    fn begin_string(&self) -> Text {
        let of_interest = self.deeper == 0
            && self
                .frames
                .last()
                .is_some_and(|frame| frame.names_member || frame.member != Member::Other);
        Text {
            kept: of_interest.then(Vec::new),
            escaped: false,
        }
    }

    /// Reads on in a string, and gives back what comes after what was read.
    fn read_string<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(text) = &mut self.string else {
            return bytes;
        };
        let end = if text.escaped {
            text.escaped = false;
            1
        } else {
            match memchr2(b'"', b'\\', bytes) {
                Some(0) => {
                    let is_end = bytes.first() == Some(&b'"');
                    text.escaped = !is_end;
                    if is_end {
                        let text = self.string.take().and_then(|text| text.kept);
                        self.end_string(text.as_deref());
                        return bytes.get(1..).unwrap_or_default();
                    }
                    1
                }
                Some(plain) => plain,
                None => bytes.len(),
            }
        };
        let (read, rest) = bytes.split_at(end.min(bytes.len()));
        if let Some(kept) = &mut text.kept {
            kept.extend_from_slice(read);
            if kept.len() > MAX_ID {
                text.kept = None;
            }
        }
        rest
    }

    fn end_string(&mut self, raw: Option<&[u8]>) {
        if self.deeper > 0 {
            return;
        }
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let text = raw.and_then(|raw| Json::new(&format!("\"{}\"", String::from_utf8_lossy(raw))).text());
        if frame.names_member {
            frame.names_member = false;
            frame.member = text.as_deref().map_or(Member::Other, Member::of);
            return;
        }
        match (frame.member, text.as_deref()) {
            (Member::Type, Some("tool_result")) => frame.says_result = Some(Member::ClaudeId),
            (Member::Type, Some("function_call_output" | "custom_tool_call_output")) => {
                frame.says_result = Some(Member::ResponsesId);
            }
            (Member::Status, Some("error")) => frame.says_failed = true,
            (Member::Role, Some("tool")) => frame.says_result = Some(Member::ChatId),
            (
                member @ (Member::ToolUseId | Member::ClaudeId | Member::ChatId | Member::ResponsesId),
                Some(_),
            ) => frame.id = text.map(|id| (member, id)),
            _ => {}
        }
        frame.member = Member::Other;
    }

    fn open(&mut self, is_object: bool) {
        if self.deeper > 0 || self.frames.len() >= MAX_DEPTH {
            self.deeper = self.deeper.saturating_add(1);
            return;
        }
        let name = self.frames.last_mut().map_or(Member::Other, |around| {
            std::mem::replace(&mut around.member, Member::Other)
        });
        self.frames.push(Frame {
            name,
            is_object,
            names_member: is_object,
            ..Frame::default()
        });
    }

    fn close(&mut self) {
        if self.deeper > 0 {
            self.deeper -= 1;
            return;
        }
        let Some(Frame {
            name,
            says_result,
            says_failed,
            id: Some((member, id)),
            ..
        }) = self.frames.pop()
        else {
            return;
        };
        let is_result = match member {
            Member::ToolUseId => name == Member::ToolResult,
            other => says_result == Some(other),
        };
        if is_result {
            if self.found.len() >= MAX_TOOL_RESULTS {
                self.found.pop_front();
            }
            self.found.push_back(ToolResult {
                id,
                failed: says_failed,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Hole, HoleReason};
    use proptest::prelude::*;

    fn results(body: &str) -> Vec<String> {
        in_pieces(body.as_bytes(), body.len().max(1))
    }

    /// Ids; those of tools that failed with an exclamation mark.
    fn in_pieces(body: &[u8], size: usize) -> Vec<String> {
        let mut results = ToolResults::default();
        for piece in body.chunks(size) {
            results.push(&BodyPart::Bytes(piece));
        }
        told(results)
    }

    fn told(results: ToolResults) -> Vec<String> {
        results
            .finish()
            .into_iter()
            .map(|ToolResult { id, failed }| if failed { format!("{id}!") } else { id })
            .collect()
    }

    const CONVERSE: &str = r#"{"messages": [
        {"role": "user", "content": [{"text": "say \"toolResult\": {\"toolUseId\": \"no\"}"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "asked", "name": "f", "input": {"toolUseId": "x"}}}]},
        {"role": "user", "content": [
            {"toolResult": {"content": [{"json": {"toolResult": {"toolUseId": "deep"}}}], "toolUseId": "tooluse_1", "status": "success"}},
            {"toolResult": {"status": "error", "toolUseId": "tooluse_2", "content": []}}]}],
        "toolConfig": {"tools": []}}"#;

    #[test]
    fn every_body_tells_its_results_and_nothing_else() {
        assert_eq!(results(CONVERSE), ["tooluse_1", "tooluse_2!"]);
        for (body, ids) in [
            (
                r#"{"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "input": {}}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"},
                    {"tool_use_id": "toolu_2", "is_error" : true, "type": "tool_result"},
                    {"is_error": false, "tool_use_id": "toolu_3", "type": "tool_result"}, {"type": "text", "tool_use_id": "no"}]}]}"#,
                vec!["toolu_1", "toolu_2!", "toolu_3"],
            ),
            (
                r#"{"messages": [{"role": "assistant", "tool_calls": [{"id": "call_0", "type": "function"}]},
                    {"tool_call_id": "call_0", "role": "tool", "content": "42"}, {"role": "user", "tool_call_id": "no"}]}"#,
                vec!["call_0"],
            ),
            (
                r#"{"input": [{"type": "function_call", "call_id": "no", "name": "f"},
                    {"type": "function_call_output", "call_id": "c1", "output": "42"}]}"#,
                vec!["c1"],
            ),
            (
                r#"{"messages": [{"toolResult": {"toolUseId": "\u0061b"}}]}"#,
                vec!["ab"],
            ),
            (r#"{"prompt": "tool_use_id"}"#, vec![]),
            (
                r#"]]}{"messages": [{"toolResult": "toolUseId"}], "toolUseId": "no"}"#,
                vec![],
            ),
            ("", vec![]),
        ] {
            assert_eq!(results(body), ids, "{body}");
        }
    }

    #[test]
    fn the_last_results_are_told() {
        let many: Vec<String> = (0..MAX_TOOL_RESULTS + 3)
            .map(|number| format!(r#"{{"role":"tool","tool_call_id":"c{number}"}}"#))
            .collect();
        let found = results(&format!(r#"{{"messages":[{}]}}"#, many.join(",")));
        assert_eq!(found.len(), MAX_TOOL_RESULTS);
        assert_eq!(found.first().map(String::as_str), Some("c3"));
    }

    #[test]
    fn behind_a_hole_nothing_is_told() {
        let mut results = ToolResults::default();
        results.push(&BodyPart::Bytes(
            br#"{"m": [{"toolResult": {"toolUseId": "a"}}, "#,
        ));
        results.push(&BodyPart::Hole(Hole {
            length: Some(3),
            reason: HoleReason::Lost,
        }));
        results.push(&BodyPart::Bytes(br#"{"toolResult": {"toolUseId": "b"}}]}"#));
        assert_eq!(told(results), ["a"]);
    }

    proptest! {
        #[test]
        fn any_split_tells_the_same(size in 1_usize..200) {
            prop_assert_eq!(in_pieces(CONVERSE.as_bytes(), size), results(CONVERSE));
        }

        #[test]
        fn anything_may_come(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1_usize..50) {
            prop_assert_eq!(in_pieces(&bytes, size), in_pieces(&bytes, 300));
        }

        #[test]
        fn results_are_found_among_anything(
            text in ".{0,40}", id in "[a-zA-Z0-9_-]{1,64}", size in 1_usize..50,
        ) {
            let body = serde_json::json!({
                "system": text, "messages": [{"content": [{"text": text}, {"toolResult": {"toolUseId": id, "x": text}}]}],
            });
            prop_assert_eq!(in_pieces(body.to_string().as_bytes(), size), [id]);
        }
    }
}
