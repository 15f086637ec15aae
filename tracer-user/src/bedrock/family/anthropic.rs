//! Claude: the Messages shape with its own stream of events, and the older prompt and completion.

use std::borrow::Cow;

use serde_json::Value;

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::call::Usage;
use super::super::content::{Message, Part, ToolDefinition};
use super::super::failure;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, set};

/// Members of a request that hold facts.
const REQUEST: [&str; 12] = [
    "max_tokens",
    "max_tokens_to_sample",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "output_config",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "anthropic_version",
];

/// Members of a response that hold facts.
const RESPONSE: [&str; 4] = ["model", "stop_reason", "stop_sequence", "usage"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Chat);
    body.members(&REQUEST, |name, value| {
        facts.parameters.take(name, value);
        if name == "prompt" {
            facts.task = Some(Task::Completion);
        }
        content_of_request(name, value, facts);
    })
}

fn content_of_request(name: &str, value: Json<'_>, facts: &mut Facts) {
    let Some(content) = &mut facts.content else {
        return;
    };
    match name {
        "prompt" => content
            .input
            .extend(value.string().map(|text| Message::text("user", text))),
        "system" => {
            content.system.extend(value.string().map(Cow::into_owned));
            let _broken = value.items(|block| {
                let text = block.member("text").and_then(Json::string);
                content.system.extend(text.map(Cow::into_owned));
            });
        }
        "messages" => {
            let _broken = value.items(|one| content.input.push(message(one, "user")));
        }
        "tools" => {
            let _broken = value.items(|tool| {
                content
                    .tools
                    .extend(tool.member("name").and_then(Json::text).map(|name| {
                        ToolDefinition {
                            name,
                            description: tool
                                .member("description")
                                .and_then(Json::string)
                                .map(Cow::into_owned),
                            parameters: tool.member("input_schema").and_then(Json::build),
                        }
                    }));
            });
        }
        _ => {}
    }
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let mut role = None;
    let mut parts = Vec::new();
    let keep = facts.content.is_some();
    let end = body.members(&RESPONSE, |name, value| match name {
        "id" => set(&mut facts.response_id, value.text()),
        "model" => set(&mut facts.response_model, value.text()),
        "role" => role = value.text(),
        "content" => {
            facts.spoke = true;
            let _broken = value.items(|block| {
                if is_tool_use(block) {
                    facts.tool_call(
                        block.member("id").and_then(Json::text),
                        block.member("name").and_then(Json::text),
                    );
                }
                if keep {
                    parts.push(part(block));
                }
            });
        }
        "completion" => {
            facts.spoke = true;
            if keep {
                parts.extend(value.string().map(|text| Part::Text(text.into_owned())));
            }
        }
        "stop_reason" => facts.stop(value.text()),
        "usage" => usage(value, &mut facts.usage),
        _ => facts.take_bedrocks_own(name, value),
    });
    if let Some(content) = &mut facts.content
        && !parts.is_empty()
    {
        content.output.push(Message {
            role: role.unwrap_or_else(|| "assistant".into()),
            parts,
        });
    }
    end
}

pub(super) fn chunk(chunk: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) -> Result<(), Malformed> {
    let mut kind = None;
    chunk.members(|name, value| match name {
        "type" => kind = value.text(),
        // The older shape has no types.
        "completion" => {
            facts.spoke = true;
            assembly.text(0, &value.string().unwrap_or_default());
        }
        "stop_reason" => {
            let reason = value.text();
            facts.ended |= reason.is_some();
            facts.stop(reason);
        }
        _ => facts.take_bedrocks_own(name, value),
    })?;
    match kind.as_deref() {
        Some("message_start") => {
            if let Some(message) = chunk.member("message") {
                let output = facts.usage.output;
                let _broken = message.members(|name, value| match name {
                    "id" => set(&mut facts.response_id, value.text()),
                    "model" => set(&mut facts.response_model, value.text()),
                    "usage" => usage(value, &mut facts.usage),
                    _ => {}
                });
                // The output count of a beginning says nothing: a stream that is cut must not pass it off as its cost.
                facts.usage.output = output;
            }
        }
        Some("content_block_start") => {
            if let Some(block) = chunk.member("content_block").filter(|block| is_tool_use(*block)) {
                assembly.tool(
                    index(chunk),
                    block.member("id").and_then(Json::text),
                    block.member("name").and_then(Json::text),
                );
            }
        }
        Some("content_block_delta") => {
            facts.spoke = true;
            if facts.content.is_some()
                && let Some(delta) = chunk.member("delta")
            {
                let index = index(chunk);
                let _broken = delta.members(|name, value| match name {
                    "text" => assembly.text(index, &value.string().unwrap_or_default()),
                    "thinking" => assembly.reasoning(index, &value.string().unwrap_or_default()),
                    "partial_json" => assembly.tool_input(index, &value.string().unwrap_or_default()),
                    _ => {}
                });
            }
        }
        Some("message_delta") => {
            facts.stop(chunk.at(&["delta", "stop_reason"]).and_then(Json::text));
            if let Some(value) = chunk.member("usage") {
                usage(value, &mut facts.usage);
            }
        }
        Some("message_stop") => facts.ended = true,
        Some("error") => {
            let error = chunk.member("error").unwrap_or(chunk);
            let code = error
                .member("type")
                .and_then(Json::text)
                .and_then(|text| failure::code(&text));
            let message = error
                .member("message")
                .and_then(Json::string)
                .and_then(|text| failure::message(&text));
            facts.error = Some((code.unwrap_or_else(|| "Error".into()), message));
        }
        _ => {}
    }
    Ok(())
}

fn index(chunk: Json<'_>) -> u64 {
    chunk.member("index").and_then(Json::count).unwrap_or(0)
}

/// A call that the application has to make; what the server's own tools do is not one.
fn is_tool_use(block: Json<'_>) -> bool {
    block.member("type").and_then(Json::text).as_deref() == Some("tool_use")
}

/// Token counts; those of a later event replace the earlier ones, since they are running totals.
fn usage(value: Json<'_>, usage: &mut Usage) {
    let _broken = value.members(|name, value| match name {
        "input_tokens" => set(&mut usage.input, value.count()),
        "output_tokens" => set(&mut usage.output, value.count()),
        "cache_read_input_tokens" => set(&mut usage.cache_read, value.count()),
        "cache_creation_input_tokens" => set(&mut usage.cache_write, value.count()),
        "output_tokens_details" => set(
            &mut usage.reasoning,
            value
                .member("thinking_tokens")
                .or_else(|| value.member("reasoning_tokens"))
                .and_then(Json::count),
        ),
        _ => {}
    });
}

/// A message; its content is a list of blocks or one text.
fn message(message: Json<'_>, role: &str) -> Message {
    let mut parts = Vec::new();
    if let Some(content) = message.member("content") {
        parts.extend(content.string().map(|text| Part::Text(text.into_owned())));
        let _broken = content.items(|block| parts.push(part(block)));
    }
    Message {
        role: message
            .member("role")
            .and_then(Json::text)
            .unwrap_or_else(|| role.to_owned()),
        parts,
    }
}

/// A content block: an object with a `type`.
fn part(block: Json<'_>) -> Part {
    let kind = block.member("type").and_then(Json::text).unwrap_or_default();
    let string = |name: &str| {
        block
            .member(name)
            .and_then(Json::string)
            .unwrap_or_default()
            .into_owned()
    };
    match kind.as_str() {
        "text" => Part::Text(string("text")),
        "thinking" => Part::Reasoning(string("thinking")),
        "tool_use" => Part::ToolCall {
            id: block.member("id").and_then(Json::text),
            name: string("name"),
            arguments: block.member("input").and_then(Json::build).unwrap_or(Value::Null),
        },
        "tool_result" => Part::ToolResult {
            id: block.member("tool_use_id").and_then(Json::text),
            response: block
                .member("content")
                .and_then(Json::build)
                .unwrap_or(Value::Null),
        },
        "image" | "document" => {
            let modality = if kind == "image" { "image" } else { "document" };
            let source = block.member("source");
            let inner = |name: &str| source.and_then(|source| source.member(name));
            let mime_type = inner("media_type").and_then(Json::text);
            match (
                inner("data").and_then(Json::string),
                inner("url").and_then(Json::text),
            ) {
                (Some(content), _) => Part::Blob {
                    modality,
                    mime_type,
                    content: content.into_owned(),
                },
                (None, Some(uri)) => Part::Uri {
                    modality,
                    mime_type,
                    uri,
                },
                (None, None) => Part::Other { kind },
            }
        }
        _ => Part::Other { kind },
    }
}
