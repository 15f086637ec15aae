//! Cohere's Command: `prompt` in, `generations` out; and Command R: `message` in, `text` out, a stream of typed events.

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::content::{Message, Part, ToolDefinition};
use super::super::json::{Json, Malformed};
use super::{Facts, Task, set};

const REQUEST: [&str; 9] = [
    "max_tokens",
    "temperature",
    "p",
    "k",
    "stop_sequences",
    "num_generations",
    "seed",
    "message",
    "preamble",
];
const RESPONSE: [&str; 5] = ["id", "prompt", "response_id", "finish_reason", "generation_id"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let mut said = None;
    let end = body.members(&REQUEST, |name, value| match name {
        "p" => facts.parameters.take("top_p", value),
        "k" => facts.parameters.take("top_k", value),
        "prompt" => {
            facts.task = Some(Task::Completion);
            facts.asked("user", value);
        }
        "message" => {
            facts.task = Some(Task::Chat);
            said = value.string().map(std::borrow::Cow::into_owned);
        }
        "preamble" => {
            if let Some(content) = &mut facts.content {
                content.system.push(content.asked.text(Some(value)));
            }
        }
        "chat_history" => {
            let _broken = value.items(|turn| {
                let role = match turn.member("role").and_then(Json::text).as_deref() {
                    Some("CHATBOT") => "assistant",
                    Some("SYSTEM") => "system",
                    Some("TOOL") => "tool",
                    _ => "user",
                };
                if let Some(text) = turn.member("message") {
                    facts.asked(role, text);
                }
            });
        }
        "tools" => tools(value, facts),
        _ => facts.parameters.take(name, value),
    });
    // The history goes before the message, wherever it stands in the body.
    if let Some(said) = said {
        facts.asked_text("user", &said);
    }
    end
}

fn tools(value: Json<'_>, facts: &mut Facts) {
    let Some(content) = &mut facts.content else {
        return;
    };
    let budget = &mut content.asked;
    let _broken = value.items(|tool| {
        if let Some(name) = tool.member("name").and_then(Json::text)
            && budget.envelope()
        {
            content.tools.push(ToolDefinition {
                name,
                description: tool.member("description").map(|value| budget.text(Some(value))),
                parameters: tool
                    .member("parameter_definitions")
                    .map(|value| budget.value(Some(value))),
            });
        }
    });
}

/// An answer of Command.
pub(super) fn generations(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&RESPONSE, |name, value| match name {
        "id" => set(&mut facts.response_id, value.text()),
        "generations" => {
            let _broken = value.items(|generation| {
                facts.stop(generation.member("finish_reason").and_then(Json::text));
                if let Some(text) = generation.member("text") {
                    facts.answered(text);
                }
            });
        }
        _ => facts.take_bedrocks_own(name, value),
    })
}

/// A chunk of Command: a piece of one generation, or how it ended.
pub(super) fn generation_chunk(
    chunk: Json<'_>,
    facts: &mut Facts,
    assembly: &mut Assembly,
) -> Result<(), Malformed> {
    let choice = chunk.member("index").and_then(Json::count).unwrap_or(0);
    chunk.members(|name, value| match name {
        "id" => set(&mut facts.response_id, value.text()),
        "text" => facts.piece(choice, value, assembly),
        "finish_reason" => facts.stop_choice(choice, value.text()),
        _ => facts.take_bedrocks_own(name, value),
    })
}

/// An answer of Command R.
pub(super) fn reply(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let mut calls = Vec::new();
    let end = body.members(&RESPONSE, |name, value| match name {
        "text" => facts.answered(value),
        "tool_calls" => calls = tool_calls(value, facts),
        _ => closing(name, value, facts),
    });
    if let Some(content) = &mut facts.content
        && !calls.is_empty()
    {
        match content.output.last_mut() {
            Some(message) => message.parts.extend(calls),
            None => content.output.push(Message {
                role: "assistant".into(),
                parts: calls,
            }),
        }
    }
    end
}

/// Tool calls, which have no ids here.
fn tool_calls(value: Json<'_>, facts: &mut Facts) -> Vec<Part> {
    let mut parts = Vec::new();
    let _broken = value.items(|call| {
        let name = call.member("name").and_then(Json::text);
        if let Some(content) = &mut facts.content
            && content.answered.envelope()
        {
            parts.push(Part::ToolCall {
                id: None,
                name: name.clone().unwrap_or_default(),
                arguments: content.answered.value(call.member("parameters")),
            });
        }
        facts.tool_call(None, name);
    });
    parts
}

/// An event of Command R's stream.
pub(super) fn reply_chunk(
    chunk: Json<'_>,
    facts: &mut Facts,
    assembly: &mut Assembly,
) -> Result<(), Malformed> {
    match chunk.member("event_type").and_then(Json::text).as_deref() {
        Some("text-generation") => {
            if let Some(text) = chunk.member("text") {
                facts.piece(0, text, assembly);
            }
        }
        Some("tool-calls-generation") => {
            facts.spoke = true;
            let mut index = 0;
            if let Some(calls) = chunk.member("tool_calls") {
                let _broken = calls.items(|call| {
                    assembly.tool(index, None, call.member("name").and_then(Json::text));
                    if let Some(arguments) = call.member("parameters") {
                        assembly.tool_input(index, arguments.source());
                    }
                    index += 1;
                });
            }
        }
        Some("stream-end") => {
            facts.ended = true;
            if let Some(response) = chunk.member("response") {
                let _broken = response.members(|name, value| {
                    if name != "finish_reason" {
                        closing(name, value, facts);
                    }
                });
            }
        }
        _ => {}
    }
    chunk.members(|name, value| closing(name, value, facts))
}

fn closing(name: &str, value: Json<'_>, facts: &mut Facts) {
    match name {
        "response_id" => set(&mut facts.response_id, value.text()),
        "finish_reason" => facts.stop(value.text()),
        _ => facts.take_bedrocks_own(name, value),
    }
}
