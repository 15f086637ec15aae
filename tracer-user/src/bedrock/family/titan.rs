//! Amazon Titan Text: `inputText` in, `results` out.

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::content::Message;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, set};

const REQUEST: [&str; 1] = ["textGenerationConfig"];
const RESPONSE: [&str; 2] = ["inputTextTokenCount", "results"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Completion);
    body.members(&REQUEST, |name, value| match name {
        "textGenerationConfig" => facts.parameters.take_all(value),
        "inputText" => {
            if let Some(content) = &mut facts.content {
                let text = content.asked.text(Some(value));
                content.input.push(Message::text("user", text));
            }
        }
        _ => {}
    })
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&RESPONSE, |name, value| match name {
        "inputTextTokenCount" => set(&mut facts.usage.input, value.count()),
        "embedding" | "embeddingsByType" => facts.task = Some(Task::Embedding),
        "results" => {
            let mut output: Option<u64> = None;
            let _broken = value.items(|result| {
                facts.spoke = true;
                if let Some(tokens) = result.member("tokenCount").and_then(Json::count) {
                    output = Some(output.unwrap_or(0).saturating_add(tokens));
                }
                facts.stop(result.member("completionReason").and_then(Json::text));
                if let Some(content) = &mut facts.content
                    && content.answered.envelope()
                {
                    let text = content.answered.text(result.member("outputText"));
                    content.output.push(Message::text("assistant", text));
                }
            });
            set(&mut facts.usage.output, output);
        }
        _ => facts.take_bedrocks_own(name, value),
    })
}

pub(super) fn chunk(chunk: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) -> Result<(), Malformed> {
    chunk.members(|name, value| match name {
        "outputText" => {
            facts.spoke = true;
            assembly.text(0, &value.string().unwrap_or_default());
        }
        "inputTextTokenCount" => set(&mut facts.usage.input, value.count()),
        "totalOutputTextTokenCount" => set(&mut facts.usage.output, value.count()),
        "completionReason" => facts.stop(value.text()),
        _ => facts.take_bedrocks_own(name, value),
    })
}
