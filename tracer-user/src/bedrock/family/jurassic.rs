//! AI21's Jurassic-2: `prompt` in, `completions` with all their tokens out. It does not stream.

use super::super::body::Body;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, set};

const REQUEST: [&str; 7] = [
    "maxTokens",
    "temperature",
    "topP",
    "stopSequences",
    "numResults",
    "presencePenalty",
    "frequencyPenalty",
];
const RESPONSE: [&str; 1] = ["completions"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Completion);
    body.members(&REQUEST, |name, value| match name {
        "prompt" => facts.asked("user", value),
        _ => facts.parameters.take(name, value),
    })
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&RESPONSE, |name, value| match name {
        // A number in the older models, a text in the newer.
        "id" => set(
            &mut facts.response_id,
            value
                .text()
                .or_else(|| value.integer().map(|number| number.to_string())),
        ),
        "completions" => {
            let _broken = value.items(|completion| {
                facts.stop(completion.at(&["finishReason", "reason"]).and_then(Json::text));
                if let Some(text) = completion.at(&["data", "text"]) {
                    facts.answered(text);
                }
            });
        }
        _ => facts.take_bedrocks_own(name, value),
    })
}
