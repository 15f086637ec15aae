//! Mistral's older models: `prompt` in, a list of `outputs` out. The newer ones speak as [`super::chat`] does.

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::json::{Json, Malformed};
use super::{Facts, Task};

const REQUEST: [&str; 5] = ["max_tokens", "temperature", "top_p", "top_k", "stop"];
const RESPONSE: [&str; 1] = ["outputs"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Completion);
    body.members(&REQUEST, |name, value| match name {
        "prompt" => facts.asked("user", value),
        _ => facts.parameters.take(name, value),
    })
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&RESPONSE, |name, value| match name {
        "outputs" => {
            let _broken = value.items(|output| {
                facts.stop(output.member("stop_reason").and_then(Json::text));
                if let Some(text) = output.member("text") {
                    facts.answered(text);
                }
            });
        }
        _ => facts.take_bedrocks_own(name, value),
    })
}

pub(super) fn chunk(chunk: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) -> Result<(), Malformed> {
    chunk.members(|name, value| match name {
        "outputs" => {
            let mut choice = 0;
            let _broken = value.items(|output| {
                facts.stop_choice(choice, output.member("stop_reason").and_then(Json::text));
                if let Some(text) = output.member("text") {
                    facts.piece(choice, text, assembly);
                }
                choice += 1;
            });
        }
        _ => facts.take_bedrocks_own(name, value),
    })
}
