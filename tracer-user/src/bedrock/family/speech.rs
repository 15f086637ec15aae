//! `InvokeModelWithBidirectionalStream`: a conversation by voice, in which both sides speak in events as long as it lasts.
//!
//! Nova Sonic wraps every event in `{"event": {NAME: {…}}}`, on either side. Its `usageEvent` counts from the start of the
//! session on, so the last one counts.

use super::super::content::Message;
use super::super::json::{Json, Malformed};
use super::super::stop::StopReason;
use super::{Facts, Task, set};

/// Reads an event of the client.
pub(in super::super) fn asked(document: Json<'_>, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Chat);
    events(document, |name, event| match name {
        "sessionStart" => {
            if let Some(configuration) = event.member("inferenceConfiguration") {
                facts.parameters.take_all(configuration);
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
        "textOutput" => {
            facts.spoke = true;
            if let Some(content) = &mut facts.content
                && content.answered.envelope()
            {
                let text = content.answered.text(event.member("content"));
                content.output.push(Message::text("assistant", text));
            }
        }
        "audioOutput" => facts.spoke = true,
        "toolUse" => {
            facts.spoke = true;
            facts.tool_call(
                event.member("toolUseId").and_then(Json::text),
                event.member("toolName").and_then(Json::text),
            );
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
