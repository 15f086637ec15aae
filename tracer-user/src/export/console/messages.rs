//! Prompts and answers, a line each, for those who asked for content.

use serde_json::Value;

use super::paint::{Paint, Style};
use crate::export::text::{clean, shorten};

/// Most messages of one side that are shown; of a long conversation the end is what is new.
const SHOWN_MAX: usize = 4;

/// Longest text of a message that is shown, in characters.
const TEXT_MAX: usize = 100;

/// Whose words they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    System,
    Input,
    Output,
}

/// Lines for the messages in one content attribute, which is JSON as the conventions for `gen_ai` have it.
pub(super) fn lines(json: &str, side: Side, paint: Paint) -> Vec<String> {
    let Ok(Value::Array(messages)) = serde_json::from_str(json) else {
        return Vec::new();
    };
    let hidden = messages.len().saturating_sub(SHOWN_MAX);
    let mut lines = Vec::new();
    if hidden > 0 {
        lines.push(paint.style(Style::Dim, &format!("… {hidden} before")));
    }
    for message in messages.iter().skip(hidden) {
        let (who, text) = match side {
            // System instructions are parts without a message around them.
            Side::System => ("system".to_owned(), part(message)),
            Side::Input | Side::Output => (clean(field(message, "role")), parts(message)),
        };
        let arrow = if side == Side::Output { "<" } else { ">" };
        let who = paint.style(Style::Dim, &format!("{arrow} {who}:"));
        lines.push(format!("{who} {}", shorten(&text, TEXT_MAX)));
    }
    lines
}

fn parts(message: &Value) -> String {
    let parts = message
        .get("parts")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    parts
        .iter()
        .map(part)
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn part(part: &Value) -> String {
    match field(part, "type") {
        "text" => clean(field(part, "content")),
        "reasoning" => format!("(reasoning) {}", clean(field(part, "content"))),
        "tool_call" => {
            let arguments = part.get("arguments").map(plain).unwrap_or_default();
            format!("{}({arguments})", clean(field(part, "name")))
        }
        "tool_call_response" => part.get("response").map(plain).unwrap_or_default(),
        "blob" | "uri" => format!("[{}]", clean(field(part, "mime_type"))),
        other => format!("[{}]", clean(other)),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text),
        other => clean(&other.to_string()),
    }
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
