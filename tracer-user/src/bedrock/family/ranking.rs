//! Rerank models of Cohere and Amazon: a query and documents in, their order out. Nothing of it is told but that it was done.

use super::super::body::Body;
use super::super::json::Malformed;
use super::{Facts, Task, set};

const RESPONSE: [&str; 1] = ["id"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Ranking);
    body.members(&[], |_, _| ())
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Ranking);
    body.members(&RESPONSE, |name, value| match name {
        "id" => set(&mut facts.response_id, value.text()),
        _ => facts.take_bedrocks_own(name, value),
    })
}
