//! Video models: Nova Reel and Luma Ray make films (asked for by `StartAsyncInvoke`), Pegasus of `TwelveLabs` tells of them.

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, set};

const REQUEST: [&str; 4] = ["temperature", "maxOutputTokens", "responseFormat", "inputPrompt"];
const RESPONSE: [&str; 2] = ["finishReason", "id"];

/// What a film is to show: the `modelInput` of Nova Reel or Luma Ray.
pub(super) fn film(input: Json<'_>, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Video);
    input.members(|name, value| match name {
        "prompt" => facts.asked("user", value),
        "videoGenerationConfig" => facts.parameters.take_all(value),
        task if task.ends_with("Params") => {
            if let Some(text) = value.member("text") {
                facts.asked("user", text);
            }
        }
        _ => {}
    })
}

pub(super) fn film_request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    film(Json::new(&body.text()), facts)
}

pub(super) fn film_response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&[], |name, value| facts.take_bedrocks_own(name, value))
}

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Chat);
    body.members(&REQUEST, |name, value| match name {
        "inputPrompt" => facts.asked("user", value),
        _ => facts.parameters.take(name, value),
    })
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&RESPONSE, |name, value| match name {
        "message" => facts.answered(value),
        _ => closing(name, value, facts),
    })
}

pub(super) fn chunk(chunk: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) -> Result<(), Malformed> {
    chunk.members(|name, value| match name {
        "message" => facts.piece(0, value, assembly),
        _ => closing(name, value, facts),
    })
}

fn closing(name: &str, value: Json<'_>, facts: &mut Facts) {
    match name {
        "finishReason" => facts.stop(value.text()),
        "id" => set(&mut facts.response_id, value.text()),
        _ => facts.take_bedrocks_own(name, value),
    }
}
