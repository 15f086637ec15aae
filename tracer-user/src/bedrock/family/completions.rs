//! A bare `prompt` answered by `choices` of text: `DeepSeek-R1` and imported models (vLLM's and `OpenAI`'s older shape).

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, chat, set};

const REQUEST: [&str; 8] = [
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "n",
    "seed",
    "max_gen_len",
];
const RESPONSE: [&str; 3] = ["usage", "id", "model"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Completion);
    body.members(&REQUEST, |name, value| match name {
        "prompt" => facts.asked("user", value),
        _ => facts.parameters.take(name, value),
    })
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&RESPONSE, |name, value| match name {
        "choices" => {
            let _broken = value.items(|choice| {
                facts.stop(reason(choice));
                if let Some(text) = choice.member("text") {
                    facts.answered_with_thoughts(text);
                }
            });
        }
        _ => common(name, value, facts),
    })
}

pub(super) fn chunk(chunk: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) -> Result<(), Malformed> {
    assembly.thoughts_in_text();
    chunk.members(|name, value| match name {
        "choices" => {
            let _broken = value.items(|choice| {
                let number = choice.member("index").and_then(Json::count).unwrap_or(0);
                facts.stop_choice(number, reason(choice));
                if let Some(text) = choice.member("text") {
                    facts.piece(number, text, assembly);
                }
            });
        }
        _ => common(name, value, facts),
    })
}

fn common(name: &str, value: Json<'_>, facts: &mut Facts) {
    match name {
        "id" => set(&mut facts.response_id, value.text()),
        "model" => set(&mut facts.response_model, value.text()),
        "usage" => chat::usage(value, &mut facts.usage),
        _ => facts.take_bedrocks_own(name, value),
    }
}

/// Why a choice ended; vendors disagree on the name. Where there are both, as vLLM has them, `stop_reason` is the text of the
/// request at which the answer ended.
pub(super) fn reason(choice: Json<'_>) -> Option<String> {
    ["finish_reason", "stop_reason"]
        .iter()
        .find_map(|name| choice.member(name).and_then(Json::text))
}
