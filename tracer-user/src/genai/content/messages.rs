//! The shapes of messages, parts and tools (`gen-ai-input-messages.json` and its kin of the conventions).

use serde_json::{Map, Value, json};

use super::Documents;
use crate::bedrock::content::{Content, Message, Part, ToolDefinition};

/// All of it, neither redacted nor cut here.
pub(super) fn documents(content: Content, finish_reasons: &[String]) -> Documents {
    let cut = content.cut();
    let Content {
        system,
        input,
        output,
        tools,
        asked: _,
        answered: _,
    } = content;
    let output = output.into_iter().enumerate().map(|(index, one)| {
        let reason = finish_reasons.get(index).or_else(|| finish_reasons.last());
        message(one, reason)
    });
    Documents {
        input: array(input.into_iter().map(|one| message(one, None))),
        output: array(output),
        system: array(system.into_iter().map(text)),
        tools: array(tools.into_iter().map(tool)),
        cut,
        ..Documents::default()
    }
}

/// A part of text.
pub(super) fn text(content: String) -> Value {
    object([("type", "text".into()), ("content", content.into())])
}

fn array(items: impl Iterator<Item = Value>) -> Option<Value> {
    let items: Vec<Value> = items.collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

/// Members in this order; those that are null are left out.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(
        members
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<Map<String, Value>>(),
    )
}

/// A message of tool results only comes from the tools, whatever role it was sent under.
fn message(message: Message, finish_reason: Option<&String>) -> Value {
    let Message { role, parts } = message;
    let results_only = !parts.is_empty() && parts.iter().all(|part| matches!(part, Part::ToolResult { .. }));
    object([
        ("role", if results_only { "tool".into() } else { role.into() }),
        ("parts", parts.into_iter().map(part).collect()),
        ("finish_reason", finish_reason.cloned().into()),
    ])
}

fn part(part: Part) -> Value {
    match part {
        Part::Text(content) => text(content),
        Part::Reasoning(content) => object([("type", "reasoning".into()), ("content", content.into())]),
        // Null arguments and answers are arguments and answers.
        Part::ToolCall { id, name, arguments } => {
            json!({"type": "tool_call", "id": id, "name": name, "arguments": arguments})
        }
        Part::ToolResult { id, response } => {
            json!({"type": "tool_call_response", "id": id, "response": response})
        }
        // The schema asks for content; the bytes stay out all the same, and `size` tells how many there were.
        Part::Blob {
            modality,
            mime_type,
            size,
        } => object([
            ("type", "blob".into()),
            ("modality", modality.into()),
            ("mime_type", mime_type.into()),
            ("content", "".into()),
            ("size", size.into()),
        ]),
        Part::File {
            modality,
            mime_type,
            file_id,
        } => object([
            ("type", "file".into()),
            ("modality", modality.into()),
            ("mime_type", mime_type.into()),
            ("file_id", file_id.into()),
        ]),
        Part::Uri {
            modality,
            mime_type,
            uri,
        } => object([
            ("type", "uri".into()),
            ("modality", modality.into()),
            ("mime_type", mime_type.into()),
            ("uri", uri.into()),
        ]),
        Part::Other { kind } => object([("type", kind.into())]),
    }
}

fn tool(tool: ToolDefinition) -> Value {
    let ToolDefinition {
        name,
        description,
        parameters,
    } = tool;
    object([
        ("type", "function".into()),
        ("name", name.into()),
        ("description", description.into()),
        ("parameters", parameters.into()),
    ])
}
