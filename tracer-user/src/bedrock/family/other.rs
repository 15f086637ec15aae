//! Bodies of no known family: the spellings that most vendors share. Token counts come from headers and Bedrock's metrics.

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, set};

const REQUEST: [&str; 14] = [
    "max_tokens",
    "max_gen_len",
    "maxTokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "topP",
    "top_k",
    "p",
    "k",
    "stop",
    "stop_sequences",
    "stopSequences",
    "seed",
];

const RESPONSE: [&str; 4] = ["stop_reason", "finish_reason", "finishReason", "usage"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let mut task = None;
    let end = body.members(&REQUEST, |name, value| match name {
        "prompt" => {
            task = task.or(Some(Task::Completion));
            facts.asked("user", value);
        }
        "inputText" => facts.asked("user", value),
        "messages" | "message" => task = Some(Task::Chat),
        _ => facts.parameters.take(name, value),
    });
    facts.task = task;
    end
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&RESPONSE, |name, value| match name {
        "text" | "output" => facts.answered(value),
        _ => closing(name, value, facts),
    })
}

pub(super) fn chunk(chunk: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) -> Result<(), Malformed> {
    facts.spoke = true;
    chunk.members(|name, value| match name {
        "text" | "output" => facts.piece(0, value, assembly),
        _ => closing(name, value, facts),
    })
}

fn closing(name: &str, value: Json<'_>, facts: &mut Facts) {
    match name {
        "stop_reason" | "finish_reason" | "stopReason" | "finishReason" => facts.stop(value.text()),
        "id" | "response_id" => set(&mut facts.response_id, value.text()),
        "model" => set(&mut facts.response_model, value.text()),
        "inputTextTokenCount" => set(&mut facts.usage.input, value.count()),
        "usage" => super::chat::usage(value, &mut facts.usage),
        _ => facts.take_bedrocks_own(name, value),
    }
}
