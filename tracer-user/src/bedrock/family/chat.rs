//! `OpenAI`'s Chat Completions: the shape of gpt-oss, Qwen, Kimi, `MiniMax`, GLM, Nemotron, Gemma, Palmyra, Grok, `DeepSeek` V3,
//! Jamba and the newer Mistral models, and of the endpoint of that name.

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::call::Usage;
use super::super::content::{
    Budget, Message, Part, ToolDefinition, decoded_length, mime_type, parse_arguments,
};
use super::super::json::{Json, Malformed};
use super::completions::reason;
use super::{Facts, Task, set};

/// Members of a request that hold facts.
const REQUEST: [&str; 20] = [
    "max_tokens",
    "max_completion_tokens",
    "max_gen_len",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "n",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "tools",
    "tool_choice",
    "model",
    "stream",
    "stream_options",
    "service_tier",
    "amazon-bedrock-guardrailConfig",
];

/// Members of a response that hold facts.
const RESPONSE: [&str; 6] = ["id", "model", "object", "created", "usage", "service_tier"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Chat);
    body.members(&REQUEST, |name, value| match name {
        "messages" => {
            if let Some(content) = &mut facts.content {
                let budget = &mut content.asked;
                let _broken = value.items(|one| content.input.extend(message(one, "user", budget)));
            }
        }
        "tools" => tools(value, facts),
        // Some of these models take a bare prompt as well.
        "prompt" => {
            facts.task = Some(Task::Completion);
            facts.asked("user", value);
        }
        _ => facts.parameters.take(name, value),
    })
}

/// Functions offered; their place is below `function` here, and the tool itself in Responses.
pub(super) fn tools(value: Json<'_>, facts: &mut Facts) {
    let Some(content) = &mut facts.content else {
        return;
    };
    let budget = &mut content.asked;
    let _broken = value.items(|tool| {
        let function = tool.member("function").unwrap_or(tool);
        if let Some(name) = function.member("name").and_then(Json::text)
            && budget.envelope()
        {
            content.tools.push(ToolDefinition {
                name,
                description: function
                    .member("description")
                    .map(|value| budget.text(Some(value))),
                parameters: function
                    .member("parameters")
                    .map(|value| budget.value(Some(value))),
            });
        }
    });
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&RESPONSE, |name, value| match name {
        "choices" => {
            let _broken = value.items(|choice| {
                facts.stop(reason(choice));
                if let Some(answer) = choice.member("message") {
                    answered(answer, facts);
                } else if let Some(text) = choice.member("text") {
                    facts.answered_with_thoughts(text);
                }
            });
        }
        _ => common(name, value, facts),
    })
}

fn answered(answer: Json<'_>, facts: &mut Facts) {
    facts.spoke = true;
    if let Some(calls) = answer.member("tool_calls") {
        let _broken = calls.items(|call| {
            facts.tool_call(
                call.member("id").and_then(Json::text),
                call.at(&["function", "name"]).and_then(Json::text),
            );
        });
    }
    if let Some(content) = &mut facts.content {
        let said = message(answer, "assistant", &mut content.answered);
        content.output.extend(said.map(Message::with_thoughts_told));
    }
}

pub(super) fn chunk(chunk: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) -> Result<(), Malformed> {
    assembly.thoughts_in_text();
    chunk.members(|name, value| match name {
        "choices" => {
            let _broken = value.items(|choice| {
                let number = choice.member("index").and_then(Json::count).unwrap_or(0);
                assembly.choice(number);
                // Some models send a whole message instead of a piece.
                if let Some(delta) = choice.member("delta").or_else(|| choice.member("message")) {
                    piece(delta, facts, assembly);
                } else if let Some(text) = choice.member("text") {
                    facts.piece(number, text, assembly);
                }
                facts.stop_choice(number, reason(choice));
            });
        }
        _ => common(name, value, facts),
    })
}

/// A piece of one choice. The first one often holds a role and empty text only.
fn piece(delta: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) {
    let _broken = delta.members(|name, value| match name {
        "content" | "refusal" => {
            let text = value.string().unwrap_or_default();
            facts.spoke |= !text.is_empty();
            assembly.text(0, &text);
        }
        // Some servers tell the same thought under both names.
        "reasoning" if delta.member("reasoning_content").and_then(Json::string).is_some() => {}
        "reasoning_content" | "reasoning" => {
            let text = value.string().unwrap_or_default();
            facts.spoke |= !text.is_empty();
            assembly.reasoning(0, &text);
        }
        "tool_calls" => {
            facts.spoke = true;
            let _broken = value.items(|call| {
                let arguments = call.at(&["function", "arguments"]);
                assembly.tool_piece(
                    call.member("index").and_then(Json::count),
                    call.member("id").and_then(Json::text),
                    call.at(&["function", "name"]).and_then(Json::text),
                    // Text, piece by piece; an object where it comes whole.
                    &arguments
                        .map(|value| value.string().unwrap_or_else(|| value.source().into()))
                        .unwrap_or_default(),
                );
            });
        }
        _ => {}
    });
}

fn common(name: &str, value: Json<'_>, facts: &mut Facts) {
    match name {
        "id" => set(&mut facts.response_id, value.text()),
        "model" => set(&mut facts.response_model, value.text()),
        "usage" => usage(value, &mut facts.usage),
        "service_tier" => facts.billing.take_tier(value.text().as_deref()),
        _ => facts.take_bedrocks_own(name, value),
    }
}

/// Token counts of Chat Completions and of Responses. The input holds the cached tokens already.
pub(super) fn usage(value: Json<'_>, usage: &mut Usage) {
    let _broken = value.members(|name, value| match name {
        "prompt_tokens" | "input_tokens" => {
            set(&mut usage.input, value.count());
            usage.input_is_total = usage.input.is_some();
        }
        "completion_tokens" | "output_tokens" => set(&mut usage.output, value.count()),
        // Moonshot's place for it.
        "cached_tokens" => set(&mut usage.cache_read, value.count()),
        "prompt_tokens_details" | "input_tokens_details" => {
            set(
                &mut usage.cache_read,
                value.member("cached_tokens").and_then(Json::count),
            );
            set(
                &mut usage.cache_write,
                value.member("cache_write_tokens").and_then(Json::count),
            );
        }
        "completion_tokens_details" | "output_tokens_details" => set(
            &mut usage.reasoning,
            value.member("reasoning_tokens").and_then(Json::count),
        ),
        _ => {}
    });
}

/// A message of the conversation or of the answer; `None` if it does not fit.
pub(super) fn message(message: Json<'_>, role: &str, budget: &mut Budget) -> Option<Message> {
    if !budget.envelope() {
        return None;
    }
    let role = message
        .member("role")
        .and_then(Json::text)
        .unwrap_or_else(|| role.to_owned());
    let mut parts = Vec::new();
    if role == "tool" {
        parts.push(Part::ToolResult {
            id: message.member("tool_call_id").and_then(Json::text),
            response: budget.value(message.member("content")),
        });
        return Some(Message { role, parts });
    }
    let mut thoughts = None;
    let _broken = message.members(|name, value| match name {
        "content" | "refusal" if value.is_array() => {
            let _broken = value.items(|block| parts.extend(part(block, budget)));
        }
        "content" | "refusal" => {
            let text = budget.text(Some(value));
            if !text.is_empty() {
                parts.push(Part::Text(text));
            }
        }
        "reasoning_content" | "reasoning" => {
            let text = budget.text(Some(value));
            if !text.is_empty() {
                thoughts = Some(Part::Reasoning(text));
            }
        }
        "tool_calls" => {
            let _broken = value.items(|call| parts.extend(tool_call(call, budget)));
        }
        _ => {}
    });
    // Thoughts come first, wherever they stand.
    parts.splice(..0, thoughts);
    Some(Message { role, parts })
}

fn tool_call(call: Json<'_>, budget: &mut Budget) -> Option<Part> {
    let function = call.member("function")?;
    budget.envelope().then(|| Part::ToolCall {
        id: call.member("id").and_then(Json::text),
        name: function.member("name").and_then(Json::text).unwrap_or_default(),
        arguments: parse_arguments(budget.value(function.member("arguments"))),
    })
}

/// A piece of content: an object with a `type`, of Chat Completions or of Responses.
pub(super) fn part(block: Json<'_>, budget: &mut Budget) -> Option<Part> {
    if !budget.envelope() {
        return None;
    }
    let kind = block.member("type").and_then(Json::text).unwrap_or_default();
    Some(match kind.as_str() {
        "text" | "input_text" | "output_text" => Part::Text(budget.text(block.member("text"))),
        "refusal" => Part::Text(budget.text(block.member("refusal"))),
        "reasoning" | "thinking" => {
            Part::Reasoning(budget.text(block.member("text").or_else(|| block.member(kind.as_str()))))
        }
        "image_url" | "input_image" => {
            let place = block.member("image_url");
            medium(
                "image",
                place.and_then(|place| place.member("url")).or(place),
                budget,
            )
        }
        "input_audio" => Part::Blob {
            modality: "audio",
            mime_type: block
                .at(&["input_audio", "format"])
                .and_then(Json::text)
                .map(|format| mime_type("audio", &format)),
            size: block
                .at(&["input_audio", "data"])
                .map_or(0, |data| decoded_length(data.source())),
        },
        "file" | "input_file" => {
            let file = block.member("file").unwrap_or(block);
            match file.member("file_id") {
                Some(id) => Part::File {
                    modality: "document",
                    mime_type: None,
                    file_id: budget.whole(id),
                },
                None => medium(
                    "document",
                    file.member("file_data").or_else(|| file.member("file_url")),
                    budget,
                ),
            }
        }
        kind => Part::Other {
            kind: kind.chars().take(64).collect(),
        },
    })
}

/// An address, or the thing itself in a `data:` address.
fn medium(modality: &'static str, place: Option<Json<'_>>, budget: &mut Budget) -> Part {
    match place {
        Some(place) => Part::at_address(modality, None, place, budget),
        None => Part::Other {
            kind: modality.to_owned(),
        },
    }
}
