//! Embedding models: Titan, Nova, Cohere, Marengo. What goes in is spelled in many ways, what comes out is not kept.

use super::super::body::Body;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, set};

const REQUEST: [&str; 8] = [
    "dimensions",
    "output_dimension",
    "embeddingConfig",
    "singleEmbeddingParams",
    "segmentedEmbeddingParams",
    "embeddingTypes",
    "embedding_types",
    "input_type",
];
const RESPONSE: [&str; 2] = ["inputTextTokenCount", "id"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Embedding);
    body.members(&REQUEST, |name, value| match name {
        "embeddingConfig" | "singleEmbeddingParams" | "segmentedEmbeddingParams" => {
            facts.parameters.take_all(value);
        }
        _ => facts.parameters.take(name, value),
    })
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Embedding);
    body.members(&RESPONSE, |name, value| match name {
        "inputTextTokenCount" => set(&mut facts.usage.input, value.count()),
        "id" => set(&mut facts.response_id, value.text()),
        "meta" => {
            let tokens = value.at(&["billed_units", "input_tokens"]);
            set(&mut facts.usage.input, tokens.and_then(Json::count));
        }
        _ => facts.take_bedrocks_own(name, value),
    })
}
