//! `InvokeModelWithBidirectionalStream`: a conversation by voice, in which both sides speak in events as long as it lasts.
//!
//! Nova Sonic wraps every event in `{"event": {NAME: {…}}}`, on either side. Its `usageEvent` counts from the start of the
//! session on, so the last one counts.

use super::super::content::{Message, Part, parse_arguments};
use super::super::json::{Json, Malformed};
use super::super::parameters::OutputType;
use super::super::stop::StopReason;
use super::{Facts, Task, blocks, set};

/// Reads an event of the client.
pub(in super::super) fn asked(document: Json<'_>, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Chat);
    events(document, |name, event| match name {
        "sessionStart" => {
            if let Some(configuration) = event.member("inferenceConfiguration") {
                facts.parameters.take_all(configuration);
            }
        }
        "promptStart" => {
            if event.member("audioOutputConfiguration").is_some() {
                facts.parameters.output = Some(OutputType::Speech);
            }
            if let Some(content) = &mut facts.content
                && let Some(tools) = event.at(&["toolConfiguration", "tools"])
            {
                let budget = &mut content.asked;
                let _broken = tools.items(|tool| content.tools.extend(blocks::tool(tool, budget)));
            }
        }
        "toolResult" => {
            if let Some(content) = &mut facts.content
                && content.asked.envelope()
            {
                // Which call it answers was said when it began.
                let response = parse_arguments(content.asked.value(event.member("content")));
                content.input.push(Message {
                    role: "tool".to_owned(),
                    parts: vec![Part::ToolResult { id: None, response }],
                });
            }
        }
        "textInput" => {
            if let Some(content) = &mut facts.content
                && content.asked.envelope()
            {
                let role = event.member("role").and_then(Json::text);
                let text = content.asked.text(event.member("content"));
                content.input.push(Message::text(
                    &role.map_or_else(user, |role| role.to_ascii_lowercase()),
                    text,
                ));
            }
        }
        _ => {}
    })
}

/// Reads an event of the model.
pub(in super::super) fn answered(document: Json<'_>, facts: &mut Facts) -> Result<(), Malformed> {
    events(document, |name, event| match name {
        // What the model says, and what it heard the user say.
        "textOutput" => {
            let heard = event.member("role").and_then(Json::text).as_deref() == Some("USER");
            facts.spoke |= !heard;
            if let Some(content) = &mut facts.content
                && content.answered.envelope()
            {
                let text = content.answered.text(event.member("content"));
                if heard {
                    content.input.push(Message::text("user", text));
                } else {
                    content.output.push(Message::text("assistant", text));
                }
            }
        }
        "audioOutput" => facts.spoke = true,
        "toolUse" => {
            facts.spoke = true;
            let id = event.member("toolUseId").and_then(Json::text);
            let name = event.member("toolName").and_then(Json::text);
            if let Some(content) = &mut facts.content
                && content.answered.envelope()
            {
                content.output.push(Message {
                    role: "assistant".to_owned(),
                    parts: vec![Part::ToolCall {
                        id: id.clone(),
                        name: name.clone().unwrap_or_default(),
                        arguments: parse_arguments(content.answered.value(event.member("content"))),
                    }],
                });
            }
            facts.tool_call(id, name);
        }
        // Every piece of the answer ends with one; the last says how it ended.
        "contentEnd" => {
            if let Some(wire) = event.member("stopReason").and_then(Json::text) {
                facts.stop_reasons = vec![StopReason { wire }];
            }
        }
        "usageEvent" => {
            set(
                &mut facts.usage.input,
                event.member("totalInputTokens").and_then(Json::count),
            );
            set(
                &mut facts.usage.output,
                event.member("totalOutputTokens").and_then(Json::count),
            );
        }
        "completionEnd" => facts.ended = true,
        _ => {}
    })
}

fn user() -> String {
    "user".to_owned()
}

fn events(document: Json<'_>, each: impl FnMut(&str, Json<'_>)) -> Result<(), Malformed> {
    document.member("event").ok_or(Malformed)?.members(each)
}
