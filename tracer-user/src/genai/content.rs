//! Prompts and answers as the message JSON of OpenTelemetry's `gen_ai` conventions. How much there may be was settled when
//! they were read.

use serde::Serialize;
use serde_json::Value;

use super::convention::Convention;
use crate::bedrock::content::{Content, Message, Part, ToolDefinition};

/// The content attributes of a span; empty ones are left out.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    pub(super) input: Option<String>,
    pub(super) output: Option<String>,
    pub(super) system: Option<String>,
    pub(super) tools: Option<String>,
}

/// Renders all content. `finish_reasons` go with the messages of the answer, one each.
pub(super) fn render(content: &Content, finish_reasons: &[String], convention: Convention) -> Rendered {
    let Content {
        system,
        input,
        output,
        tools,
        asked: _,
        answered: _,
    } = content;
    // Until v1.41 each message of the answer says why it ended.
    let finish_reasons = if convention.old_names() {
        finish_reasons
    } else {
        &[]
    };
    let reason = |index: usize| {
        finish_reasons
            .get(index)
            .or_else(|| finish_reasons.last())
            .map(String::as_str)
    };
    Rendered {
        input: array(input.iter().map(|one| message(one, None))),
        output: array(
            output
                .iter()
                .enumerate()
                .map(|(index, one)| message(one, reason(index))),
        ),
        system: array(system.iter().map(|content| PartJson::Text { content })),
        tools: array(tools.iter().map(tool)),
    }
}

fn array<T: Serialize>(items: impl Iterator<Item = T>) -> Option<String> {
    let items: Vec<T> = items.collect();
    if items.is_empty() {
        return None;
    }
    serde_json::to_string(&items).ok()
}

/// A message; `finish_reason` is what v1.41 has for those of the answer.
#[derive(Serialize)]
struct MessageJson<'a> {
    role: &'a str,
    parts: Vec<PartJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PartJson<'a> {
    Text {
        content: &'a str,
    },
    Reasoning {
        content: &'a str,
    },
    ToolCall {
        id: Option<&'a str>,
        name: &'a str,
        arguments: &'a Value,
    },
    ToolCallResponse {
        id: Option<&'a str>,
        response: &'a Value,
    },
    /// The bytes stay out; `size` tells how many there were.
    Blob {
        modality: &'a str,
        mime_type: Option<&'a str>,
        content: &'static str,
        size: u64,
    },
    File {
        modality: &'a str,
        mime_type: Option<&'a str>,
        file_id: &'a str,
    },
    Uri {
        modality: &'a str,
        mime_type: Option<&'a str>,
        uri: &'a str,
    },
    #[serde(untagged)]
    Other {
        r#type: &'a str,
    },
}

#[derive(Serialize)]
struct ToolJson<'a> {
    r#type: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a Value>,
}

/// A message of tool results only comes from the tools, whatever role it was sent under.
fn message<'a>(message: &'a Message, finish_reason: Option<&'a str>) -> MessageJson<'a> {
    let results_only = !message.parts.is_empty()
        && message
            .parts
            .iter()
            .all(|part| matches!(part, Part::ToolResult { .. }));
    MessageJson {
        role: if results_only { "tool" } else { &message.role },
        parts: message.parts.iter().map(part).collect(),
        finish_reason,
    }
}

fn part(part: &Part) -> PartJson<'_> {
    match part {
        Part::Text(content) => PartJson::Text { content },
        Part::Reasoning(content) => PartJson::Reasoning { content },
        Part::ToolCall { id, name, arguments } => PartJson::ToolCall {
            id: id.as_deref(),
            name,
            arguments,
        },
        Part::ToolResult { id, response } => PartJson::ToolCallResponse {
            id: id.as_deref(),
            response,
        },
        Part::Blob {
            modality,
            mime_type,
            size,
        } => PartJson::Blob {
            modality,
            mime_type: mime_type.as_deref(),
            content: "",
            size: *size,
        },
        Part::File {
            modality,
            mime_type,
            file_id,
        } => PartJson::File {
            modality,
            mime_type: mime_type.as_deref(),
            file_id,
        },
        Part::Uri {
            modality,
            mime_type,
            uri,
        } => PartJson::Uri {
            modality,
            mime_type: mime_type.as_deref(),
            uri,
        },
        Part::Other { kind } => PartJson::Other { r#type: kind },
    }
}

fn tool(tool: &ToolDefinition) -> ToolJson<'_> {
    let ToolDefinition {
        name,
        description,
        parameters,
    } = tool;
    ToolJson {
        r#type: "function",
        name,
        description: description.as_deref(),
        parameters: parameters.as_ref(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_have_the_conventions_shape() {
        let content = Content {
            system: vec!["Be brief.".into()],
            input: vec![
                Message::text("user", "Hi".into()),
                Message {
                    role: "user".into(),
                    parts: vec![Part::ToolResult {
                        id: Some("t1".into()),
                        response: json!([{"text": "sunny"}]),
                    }],
                },
            ],
            output: vec![Message {
                role: "assistant".into(),
                parts: vec![
                    Part::Reasoning("hm".into()),
                    Part::ToolCall {
                        id: None,
                        name: "weather".into(),
                        arguments: json!({"city": "Oslo"}),
                    },
                    Part::Other {
                        kind: "searchResult".into(),
                    },
                ],
            }],
            tools: vec![ToolDefinition {
                name: "weather".into(),
                description: Some("Tells it.".into()),
                parameters: Some(json!({"type": "object"})),
            }],
            ..Content::default()
        };
        let rendered = render(&content, &["tool_call".into()], Convention::V1_41);
        let read = |text: Option<String>| {
            serde_json::from_str::<Value>(&text.expect("there is some")).expect("JSON")
        };
        assert_eq!(
            read(rendered.input),
            json!([
                {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
                {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": [{"text": "sunny"}]}]},
            ])
        );
        assert_eq!(
            read(rendered.output),
            json!([{"role": "assistant", "finish_reason": "tool_call", "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "tool_call", "id": null, "name": "weather", "arguments": {"city": "Oslo"}},
                {"type": "searchResult"},
            ]}])
        );
        assert_eq!(
            read(rendered.system),
            json!([{"type": "text", "content": "Be brief."}])
        );
        assert_eq!(
            read(rendered.tools),
            json!([{"type": "function", "name": "weather", "description": "Tells it.", "parameters": {"type": "object"}}])
        );
    }
}
