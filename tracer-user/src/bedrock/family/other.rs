//! Bodies of no known family: the spellings that most vendors share. Token counts come from headers and Bedrock's metrics.

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, set};

const REQUEST: [&str; 15] = [
    "parameters",
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
        "inputText" => facts.asked("user", value),
        // `inputs` and `parameters` are what Hugging Face's servers take, as endpoints of the marketplace do.
        "prompt" | "inputs" => {
            task = task.or(Some(Task::Completion));
            facts.asked("user", value);
        }
        "parameters" => facts.parameters.take_all(value),
        "messages" | "message" => task = Some(Task::Chat),
        _ => facts.parameters.take(name, value),
    });
    facts.task = task;
    end
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let text = body.text();
    let answer = Json::new(&text);
    if answer.is_array() {
        return answer.items(|choice| {
            let _broken = choice.members(|name, value| whole(name, value, facts));
        });
    }
    body.members(&RESPONSE, |name, value| whole(name, value, facts))
}

fn whole(name: &str, value: Json<'_>, facts: &mut Facts) {
    match name {
        "text" | "output" | "generated_text" => facts.answered(value),
        "details" => {
            facts.stop(value.member("finish_reason").and_then(Json::text));
            set(
                &mut facts.usage.output,
                value.member("generated_tokens").and_then(Json::count),
            );
        }
        _ => closing(name, value, facts),
    }
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
