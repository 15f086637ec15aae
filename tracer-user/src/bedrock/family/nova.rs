//! Amazon Nova: Converse's blocks in a body of their own, and in a stream Converse's events as members of each chunk.

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, converse};

const REQUEST: [&str; 4] = ["inferenceConfig", "reasoningConfig", "toolConfig", "system"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Chat);
    body.members(&REQUEST, |name, value| match name {
        "inferenceConfig" => facts.parameters.take_all(value),
        "reasoningConfig" => facts.parameters.take(name, value),
        _ => converse::content_of_request(name, value, facts),
    })
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    converse::response(body, facts)
}

pub(super) fn chunk(chunk: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) -> Result<(), Malformed> {
    let mut end = Ok(());
    chunk.members(|name, value| {
        facts.take_bedrocks_own(name, value);
        if value.is_object() {
            end = end.and(converse::event(name, value, facts, assembly));
        }
    })?;
    end
}
