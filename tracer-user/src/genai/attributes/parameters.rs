//! Inference parameters of the request.

use crate::bedrock::family::Task;
use crate::bedrock::parameters::{OutputType, Parameters};
use crate::genai::semconv::{self, output};
use crate::genai::span::Value;
use crate::genai::{Convention, Options};

use super::{List, Subject};

pub(super) fn add(list: &mut List, subject: Subject<'_>) {
    let Subject { call, options, .. } = subject;
    of(list, &call.parameters, call.task, options);
}

/// Those of any request for a model.
pub(in crate::genai) fn of(list: &mut List, parameters: &Parameters, task: Option<Task>, options: &Options) {
    let Parameters {
        max_tokens,
        temperature,
        top_p,
        top_k,
        stop_sequences,
        seed,
        choice_count,
        frequency_penalty,
        presence_penalty,
        reasoning_level,
        output,
        dimensions,
        encoding_formats,
    } = parameters;
    list.count(semconv::REQUEST_MAX_TOKENS, *max_tokens);
    list.double(semconv::REQUEST_TEMPERATURE, *temperature);
    list.double(semconv::REQUEST_TOP_P, *top_p);
    // A double until v1.41, a whole number after it.
    match options.convention {
        Convention::V1_41 => list.double(semconv::REQUEST_TOP_K, *top_k),
        Convention::Latest | Convention::Both => list.whole(semconv::REQUEST_TOP_K, *top_k),
    }
    list.strings(semconv::REQUEST_STOP_SEQUENCES, stop_sequences.clone());
    list.push(semconv::REQUEST_SEED, seed.map(Value::Int));
    list.count(
        semconv::REQUEST_CHOICE_COUNT,
        choice_count.filter(|count| *count != 1),
    );
    list.double(semconv::REQUEST_FREQUENCY_PENALTY, *frequency_penalty);
    list.double(semconv::REQUEST_PRESENCE_PENALTY, *presence_penalty);
    list.string(semconv::REQUEST_REASONING_LEVEL, reasoning_level.as_ref());
    list.count(semconv::EMBEDDINGS_DIMENSIONS, *dimensions);
    list.strings(semconv::REQUEST_ENCODING_FORMATS, encoding_formats.clone());
    let output = match (output, task) {
        (Some(OutputType::Text), _) => Some(output::TEXT),
        (Some(OutputType::Json), _) => Some(output::JSON),
        (Some(OutputType::Image), _) | (None, Some(Task::Image)) => Some(output::IMAGE),
        (Some(OutputType::Speech), _) => Some(output::SPEECH),
        (None, _) => None,
    };
    list.text(semconv::OUTPUT_TYPE, output);
}
