//! Claude: the Messages shape with its own stream of events, and the older prompt and completion.

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::content::{Budget, Message, Part, ToolDefinition, decoded_length};
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
    let budget = &mut content.asked;
    match name {
        "prompt" => content
            .input
            .push(Message::text("user", budget.text(Some(value)))),
        "system" if value.is_array() => {
            let _broken = value.items(|block| {
                if budget.envelope() {
                    content.system.push(budget.text(block.member("text")));
                }
            });
        }
        "system" => content.system.push(budget.text(Some(value))),
        "messages" => {
            let _broken = value.items(|one| content.input.extend(message(one, budget)));
        }
        "tools" => {
            let _broken = value.items(|tool| {
                if let Some(name) = tool.member("name").and_then(Json::text)
                    && budget.envelope()
                {
                    content.tools.push(ToolDefinition {
                        name,
                        description: tool.member("description").map(|value| budget.text(Some(value))),
                        parameters: tool.member("input_schema").map(|value| budget.value(Some(value))),
                    });
                }
            });
        }
        _ => {}
    }
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let mut parts = Vec::new();
    let end = body.members(&RESPONSE, |name, value| match name {
        "id" => set(&mut facts.response_id, value.text()),
        "model" => set(&mut facts.response_model, value.text()),
        "content" => {
            facts.spoke = true;
            let _broken = value.items(|block| {
                if is_tool_use(block) {
                    facts.tool_call(
                        block.member("id").and_then(Json::text),
                        block.member("name").and_then(Json::text),
                    );
                }
                if let Some(content) = &mut facts.content {
                    parts.extend(part(block, &mut content.answered));
                }
            });
        }
        "completion" => {
            facts.spoke = true;
            if let Some(content) = &mut facts.content {
                parts.push(Part::Text(content.answered.text(Some(value))));
            }
        }
        "stop_reason" => facts.stop(value.text()),
        "usage" => usage(value, facts),
        _ => facts.take_bedrocks_own(name, value),
    });
    if let Some(content) = &mut facts.content
        && !parts.is_empty()
    {
        content.output.push(Message {
            role: "assistant".into(),
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
                    "usage" => usage(value, facts),
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
                usage(value, facts);
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
fn usage(value: Json<'_>, facts: &mut Facts) {
    let Facts { usage, billing, .. } = facts;
    let _broken = value.members(|name, value| match name {
        "input_tokens" => set(&mut usage.input, value.count()),
        "output_tokens" => set(&mut usage.output, value.count()),
        "cache_read_input_tokens" => set(&mut usage.cache_read, value.count()),
        "cache_creation_input_tokens" => set(&mut usage.cache_write, value.count()),
        "service_tier" => billing.take_tier(value.text().as_deref()),
        "cache_creation" => set(
            &mut usage.cache_write_1h,
            value.member("ephemeral_1h_input_tokens").and_then(Json::count),
        ),
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
fn message(message: Json<'_>, budget: &mut Budget) -> Option<Message> {
    if !budget.envelope() {
        return None;
    }
    let mut role = None;
    let mut parts = Vec::new();
    let _broken = message.members(|name, value| match name {
        "role" => role = value.text(),
        "content" if value.is_array() => {
            let _broken = value.items(|block| parts.extend(part(block, budget)));
        }
        "content" => parts.push(Part::Text(budget.text(Some(value)))),
        _ => {}
    });
    Some(Message {
        role: role.unwrap_or_else(|| "user".into()),
        parts,
    })
}

/// A content block: an object with a `type`. `None` for one that does not fit.
fn part(block: Json<'_>, budget: &mut Budget) -> Option<Part> {
    if !budget.envelope() {
        return None;
    }
    let kind = block.member("type").and_then(Json::text).unwrap_or_default();
    Some(match kind.as_str() {
        "text" => Part::Text(budget.text(block.member("text"))),
        "thinking" => Part::Reasoning(budget.text(block.member("thinking"))),
        "tool_use" => Part::ToolCall {
            id: block.member("id").and_then(Json::text),
            name: block.member("name").and_then(Json::text).unwrap_or_default(),
            arguments: budget.value(block.member("input")),
        },
        "tool_result" => Part::ToolResult {
            id: block.member("tool_use_id").and_then(Json::text),
            response: budget.value(block.member("content")),
        },
        "image" | "document" => {
            let modality = if kind == "image" { "image" } else { "document" };
            let mime_type = block.at(&["source", "media_type"]).and_then(Json::text);
            let source = |name| block.at(&["source", name]);
            match (source("data"), source("url"), source("file_id")) {
                // A document may be plain text.
                (Some(data), _, _) if mime_type.as_deref() == Some("text/plain") => {
                    Part::Text(budget.text(Some(data)))
                }
                (Some(data), _, _) => Part::Blob {
                    modality,
                    mime_type,
                    size: decoded_length(data.source()),
                },
                (None, Some(address), _) => Part::at_address(modality, mime_type, address, budget),
                (None, None, Some(id)) => Part::File {
                    modality,
                    mime_type,
                    file_id: budget.whole(id),
                },
                (None, None, None) => other(&kind),
            }
        }
        kind => other(kind),
    })
}

fn other(kind: &str) -> Part {
    Part::Other {
        kind: kind.chars().take(64).collect(),
    }
}
