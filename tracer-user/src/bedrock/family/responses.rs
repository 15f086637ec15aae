//! `OpenAI`'s Responses: `input` and `output` are lists of items, of which messages are one kind. A stream's last event
//! repeats the whole answer.

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::content::{Budget, Message, Part, parse_arguments};
use super::super::failure::ErrorBody;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, chat, set};

/// Members of a request that hold facts.
const REQUEST: [&str; 8] = [
    "max_output_tokens",
    "temperature",
    "top_p",
    "reasoning",
    "text",
    "tools",
    "instructions",
    "previous_response_id",
];

/// Members of a response that hold facts.
const RESPONSE: [&str; 7] = [
    "id",
    "model",
    "status",
    "usage",
    "incomplete_details",
    "error",
    "service_tier",
];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Chat);
    body.members(&REQUEST, |name, value| match name {
        "reasoning" => set(
            &mut facts.parameters.reasoning_level,
            value.member("effort").and_then(Json::text),
        ),
        "text" => {
            if let Some(format) = value.member("format") {
                facts.parameters.take("response_format", format);
            }
        }
        "tools" => chat::tools(value, facts),
        "instructions" => {
            if let Some(content) = &mut facts.content {
                content.system.push(content.asked.text(Some(value)));
            }
        }
        "input" if value.is_array() => {
            if let Some(content) = &mut facts.content {
                let budget = &mut content.asked;
                let _broken = value.items(|one| content.input.extend(asked_item(one, budget)));
            }
        }
        "input" => facts.asked("user", value),
        _ => facts.parameters.take(name, value),
    })
}

/// An item of the conversation as a message of its own.
fn asked_item(item: Json<'_>, budget: &mut Budget) -> Option<Message> {
    let kind = item.member("type").and_then(Json::text);
    if matches!(kind.as_deref(), None | Some("message")) {
        return chat::message(item, "user", budget);
    }
    let role = match kind.as_deref() {
        Some("function_call_output") => "tool",
        _ => "assistant",
    };
    Some(Message {
        role: role.to_owned(),
        parts: vec![part(item, budget)?],
    })
}

/// An item that is no message.
fn part(item: Json<'_>, budget: &mut Budget) -> Option<Part> {
    if !budget.envelope() {
        return None;
    }
    let kind = item.member("type").and_then(Json::text).unwrap_or_default();
    Some(match kind.as_str() {
        "function_call" => Part::ToolCall {
            id: item.member("call_id").and_then(Json::text),
            name: item.member("name").and_then(Json::text).unwrap_or_default(),
            arguments: parse_arguments(budget.value(item.member("arguments"))),
        },
        "function_call_output" => Part::ToolResult {
            id: item.member("call_id").and_then(Json::text),
            response: budget.value(item.member("output")),
        },
        "reasoning" => {
            let mut thoughts = String::new();
            for list in ["summary", "content"] {
                if let Some(list) = item.member(list) {
                    let _broken = list.items(|piece| thoughts.push_str(&budget.text(piece.member("text"))));
                }
            }
            Part::Reasoning(thoughts)
        }
        kind => Part::Other {
            kind: kind.chars().take(64).collect(),
        },
    })
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let mut end = End::default();
    let whole = body.members(&RESPONSE, |name, value| match name {
        "output" => output(value, facts, &mut end),
        _ => closing(name, value, facts, &mut end),
    });
    end.settle(facts);
    whole
}

/// The items of an answer: one message.
fn output(items: Json<'_>, facts: &mut Facts, end: &mut End) {
    let mut parts = Vec::new();
    let _broken = items.items(|item| {
        facts.spoke = true;
        let kind = item.member("type").and_then(Json::text);
        if kind.as_deref() == Some("function_call") {
            end.calls = true;
            facts.tool_call(
                item.member("call_id").and_then(Json::text),
                item.member("name").and_then(Json::text),
            );
        }
        if let Some(content) = &mut facts.content {
            let budget = &mut content.answered;
            match kind.as_deref() {
                Some("message") => parts.extend(
                    chat::message(item, "assistant", budget)
                        .into_iter()
                        .flat_map(|message| message.parts),
                ),
                _ => parts.extend(part(item, budget)),
            }
        }
    });
    if let Some(content) = &mut facts.content
        && !parts.is_empty()
    {
        content.output.push(Message {
            role: "assistant".into(),
            parts,
        });
    }
}

/// How an answer ended, which takes several members to tell.
#[derive(Default)]
struct End {
    status: Option<String>,
    /// Why it is incomplete.
    reason: Option<String>,
    /// It asks for functions.
    calls: bool,
}

impl End {
    /// A word of the body in any case: that of the reason, of the item that awaits an answer, or of the status.
    fn settle(self, facts: &mut Facts) {
        match self.status.as_deref() {
            Some("completed") if self.calls => facts.stop(Some("function_call".to_owned())),
            Some("incomplete") if self.reason.is_some() => facts.stop(self.reason),
            Some("completed" | "incomplete" | "failed" | "cancelled") => facts.stop(self.status),
            // Still at work, or not told.
            _ => {}
        }
    }
}

fn closing(name: &str, value: Json<'_>, facts: &mut Facts, end: &mut End) {
    match name {
        "status" => set(&mut end.status, value.text()),
        "incomplete_details" => set(&mut end.reason, value.member("reason").and_then(Json::text)),
        "error" if value.is_object() => facts.fail(ErrorBody::read(value.source().as_bytes())),
        "id" => set(&mut facts.response_id, value.text()),
        "model" => set(&mut facts.response_model, value.text()),
        "usage" => chat::usage(value, &mut facts.usage),
        "service_tier" => facts.billing.take_tier(value.text().as_deref()),
        _ => facts.take_bedrocks_own(name, value),
    }
}

/// Reads one event of a stream.
pub(super) fn event(event: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) -> Result<(), Malformed> {
    let index = || event.member("output_index").and_then(Json::count).unwrap_or(0);
    let delta = || event.member("delta").and_then(Json::string).unwrap_or_default();
    let kind = event.member("type").and_then(Json::text).unwrap_or_default();
    match kind.as_str() {
        "response.output_text.delta" | "response.refusal.delta" => {
            facts.spoke = true;
            assembly.text(index(), &delta());
        }
        "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
            facts.spoke = true;
            assembly.reasoning(index(), &delta());
        }
        "response.function_call_arguments.delta" => {
            facts.spoke = true;
            assembly.tool_input(index(), &delta());
        }
        "response.output_item.added" => {
            if let Some(item) = event.member("item")
                && item.member("type").and_then(Json::text).as_deref() == Some("function_call")
            {
                facts.spoke = true;
                assembly.tool(
                    index(),
                    item.member("call_id").and_then(Json::text),
                    item.member("name").and_then(Json::text),
                );
            }
        }
        "response.created" | "response.in_progress" | "response.queued" => {
            if let Some(response) = event.member("response") {
                let mut unended = End::default();
                let _broken = response.members(|name, value| closing(name, value, facts, &mut unended));
            }
        }
        "response.completed" | "response.incomplete" | "response.failed" => {
            facts.ended = true;
            if let Some(response) = event.member("response") {
                last(response, facts, assembly);
            }
        }
        "error" => facts.fail(ErrorBody::read(event.source().as_bytes())),
        _ => {}
    }
    event.members(|_, _| ())
}

/// The last event has all that was said: what was put together from pieces, perhaps with some missing, is not needed.
fn last(response: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) {
    let mut end = End::default();
    let _broken = response.members(|name, value| match name {
        "output" if value.items(|_| ()).is_ok() && value.is_array() => {
            assembly.clear();
            output(value, facts, &mut end);
        }
        _ => closing(name, value, facts, &mut end),
    });
    end.settle(facts);
}
