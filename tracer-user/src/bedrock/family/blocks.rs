//! Content blocks of Converse and Nova: objects of one member whose name is the kind.

use serde_json::Value;

use super::super::content::{Message, Part, ToolDefinition, mime_type};
use super::super::json::Json;

/// A message; its content is a list of blocks or one text.
pub(super) fn message(message: Json<'_>, role: &str) -> Message {
    let mut parts = Vec::new();
    if let Some(content) = message.member("content") {
        if let Some(text) = content.string() {
            parts.push(Part::Text(text.into_owned()));
        }
        let _broken = content.items(|block| parts.extend(part(block)));
    }
    Message {
        role: message
            .member("role")
            .and_then(Json::text)
            .unwrap_or_else(|| role.to_owned()),
        parts,
    }
}

/// A tool of `toolConfig.tools`.
pub(super) fn tool(tool: Json<'_>) -> Option<ToolDefinition> {
    let specification = tool.member("toolSpec").or_else(|| tool.member("systemTool"))?;
    Some(ToolDefinition {
        name: specification.member("name").and_then(Json::text)?,
        description: specification
            .member("description")
            .and_then(Json::string)
            .map(Into::into),
        parameters: specification.at(&["inputSchema", "json"]).and_then(Json::build),
    })
}

/// A block; `None` for one that says nothing.
fn part(block: Json<'_>) -> Option<Part> {
    let mut found = None;
    let _broken = block.members(|kind, value| {
        found = match kind {
            "text" => value.string().map(|text| Part::Text(text.into_owned())),
            "toolUse" => Some(Part::ToolCall {
                id: value.member("toolUseId").and_then(Json::text),
                name: value.member("name").and_then(Json::text).unwrap_or_default(),
                arguments: built(value.member("input")),
            }),
            "toolResult" => Some(Part::ToolResult {
                id: value.member("toolUseId").and_then(Json::text),
                response: built(value.member("content")),
            }),
            "reasoningContent" => Some(
                value
                    .at(&["reasoningText", "text"])
                    .and_then(Json::string)
                    .map_or_else(
                        || other("redacted_reasoning"),
                        |text| Part::Reasoning(text.into_owned()),
                    ),
            ),
            "guardContent" => value
                .at(&["text", "text"])
                .and_then(Json::string)
                .map(|text| Part::Text(text.into_owned())),
            "citationsContent" => {
                let mut text = String::new();
                if let Some(content) = value.member("content") {
                    let _broken = content.items(|item| {
                        text.push_str(&item.member("text").and_then(Json::string).unwrap_or_default());
                    });
                }
                Some(Part::Text(text))
            }
            "image" => Some(medium("image", value)),
            "video" => Some(medium("video", value)),
            "audio" => Some(medium("audio", value)),
            "document" => Some(medium("document", value)),
            "cachePoint" => None,
            kind => Some(other(kind)),
        };
    });
    found
}

fn medium(modality: &'static str, value: Json<'_>) -> Part {
    let mime_type = value
        .member("format")
        .and_then(Json::text)
        .map(|format| mime_type(modality, &format));
    if let Some(content) = value.at(&["source", "bytes"]).and_then(Json::string) {
        return Part::Blob {
            modality,
            mime_type,
            content: content.into_owned(),
        };
    }
    if let Some(uri) = value.at(&["source", "s3Location", "uri"]).and_then(Json::text) {
        return Part::Uri {
            modality,
            mime_type,
            uri,
        };
    }
    match value.at(&["source", "text"]).and_then(Json::string) {
        Some(text) => Part::Text(text.into_owned()),
        None => other(modality),
    }
}

fn other(kind: &str) -> Part {
    Part::Other {
        kind: kind.to_owned(),
    }
}

fn built(value: Option<Json<'_>>) -> Value {
    value.and_then(Json::build).unwrap_or(Value::Null)
}
