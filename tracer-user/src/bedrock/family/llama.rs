//! Meta's Llama: `prompt` in, `generation` out, and in a stream a piece of `generation` in each chunk.

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, set};

const REQUEST: [&str; 3] = ["max_gen_len", "temperature", "top_p"];
const RESPONSE: [&str; 3] = ["prompt_token_count", "generation_token_count", "stop_reason"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Completion);
    body.members(&REQUEST, |name, value| match name {
        "prompt" => facts.asked("user", value),
        _ => facts.parameters.take(name, value),
    })
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&RESPONSE, |name, value| match name {
        "generation" => facts.answered(value),
        _ => counts(name, value, facts),
    })
}

pub(super) fn chunk(chunk: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) -> Result<(), Malformed> {
    chunk.members(|name, value| match name {
        "generation" => facts.piece(0, value, assembly),
        _ => counts(name, value, facts),
    })
}

/// The first chunk of a stream alone counts the prompt; the count of the answer runs.
fn counts(name: &str, value: Json<'_>, facts: &mut Facts) {
    match name {
        "prompt_token_count" => set(&mut facts.usage.input, value.count()),
        "generation_token_count" => set(&mut facts.usage.output, value.count()),
        "stop_reason" => facts.stop(value.text()),
        _ => facts.take_bedrocks_own(name, value),
    }
}
