//! Content blocks of Converse and Nova: objects of one member whose name is the kind.

use super::super::content::{Budget, Message, Part, ToolDefinition, decoded_length, mime_type};
use super::super::json::Json;

/// A message; its content is a list of blocks or one text.
pub(super) fn message(message: Json<'_>, role: &str, budget: &mut Budget) -> Option<Message> {
    if !budget.envelope() {
        return None;
    }
    let mut parts = Vec::new();
    let mut told = None;
    let _broken = message.members(|name, value| match name {
        "role" => told = value.text(),
        "content" if value.is_array() => {
            let _broken = value.items(|block| parts.extend(part(block, budget)));
        }
        "content" => parts.push(Part::Text(budget.text(Some(value)))),
        _ => {}
    });
    Some(Message {
        role: told.unwrap_or_else(|| role.to_owned()),
        parts,
    })
}

/// A tool of `toolConfig.tools`.
pub(super) fn tool(tool: Json<'_>, budget: &mut Budget) -> Option<ToolDefinition> {
    let specification = tool.member("toolSpec").or_else(|| tool.member("systemTool"))?;
    let name = specification.member("name").and_then(Json::text)?;
    if !budget.envelope() {
        return None;
    }
    Some(ToolDefinition {
        name,
        description: specification
            .member("description")
            .map(|value| budget.text(Some(value))),
        parameters: specification
            .at(&["inputSchema", "json"])
            .map(|value| budget.value(Some(value))),
    })
}

/// A block; `None` for one that says nothing or does not fit.
fn part(block: Json<'_>, budget: &mut Budget) -> Option<Part> {
    if !budget.envelope() {
        return None;
    }
    let mut found = None;
    let _broken = block.members(|kind, value| {
        found = match kind {
            "text" => Some(Part::Text(budget.text(Some(value)))),
            "toolUse" => Some(Part::ToolCall {
                id: value.member("toolUseId").and_then(Json::text),
                name: value.member("name").and_then(Json::text).unwrap_or_default(),
                arguments: budget.value(value.member("input")),
            }),
            "toolResult" => Some(Part::ToolResult {
                id: value.member("toolUseId").and_then(Json::text),
                response: budget.value(value.member("content")),
            }),
            "reasoningContent" => Some(match value.at(&["reasoningText", "text"]) {
                Some(text) => Part::Reasoning(budget.text(Some(text))),
                None => other("redacted_reasoning"),
            }),
            "guardContent" => Some(Part::Text(budget.text(value.at(&["text", "text"])))),
            "citationsContent" => {
                let mut text = String::new();
                if let Some(content) = value.member("content") {
                    let _broken = content.items(|item| text.push_str(&budget.text(item.member("text"))));
                }
                Some(Part::Text(text))
            }
            "image" => Some(medium("image", value, budget)),
            "video" => Some(medium("video", value, budget)),
            "audio" => Some(medium("audio", value, budget)),
            "document" => Some(medium("document", value, budget)),
            "cachePoint" => None,
            kind => Some(other(kind)),
        };
    });
    found
}

fn medium(modality: &'static str, value: Json<'_>, budget: &mut Budget) -> Part {
    let mime_type = value
        .member("format")
        .and_then(Json::text)
        .map(|format| mime_type(modality, &format));
    if let Some(bytes) = value.at(&["source", "bytes"]) {
        return Part::Blob {
            modality,
            mime_type,
            size: decoded_length(bytes.source()),
        };
    }
    if let Some(uri) = value.at(&["source", "s3Location", "uri"]) {
        return Part::Uri {
            modality,
            mime_type,
            uri: budget.whole(uri),
        };
    }
    match value.at(&["source", "text"]) {
        Some(text) => Part::Text(budget.text(Some(text))),
        None => other(modality),
    }
}

fn other(kind: &str) -> Part {
    Part::Other {
        kind: kind.chars().take(64).collect(),
    }
}
