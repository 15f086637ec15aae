//! The instruments: name, unit, and which attributes they have.

use crate::genai::semconv;

/// One metric, without its points.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instrument {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) description: &'static str,
    /// Whether points are apart by what failed.
    pub(super) by_error: bool,
}

const SECONDS: &str = "s";
const TOKENS: &str = "{token}";

const fn instrument(
    name: &'static str,
    unit: &'static str,
    by_error: bool,
    description: &'static str,
) -> Instrument {
    Instrument {
        name,
        unit,
        description,
        by_error,
    }
}

pub(super) const TOKEN_USAGE: Instrument = instrument(
    semconv::METRIC_TOKEN_USAGE,
    TOKENS,
    false,
    "Input and output tokens of a call.",
);
pub(super) const OPERATION_DURATION: Instrument = instrument(
    semconv::METRIC_OPERATION_DURATION,
    SECONDS,
    true,
    "How long a call took.",
);
pub(super) const OPERATION_FIRST_CHUNK: Instrument = instrument(
    semconv::METRIC_OPERATION_FIRST_CHUNK,
    SECONDS,
    false,
    "From the request to the first piece of a streamed answer.",
);
pub(super) const OPERATION_CHUNK: Instrument = instrument(
    semconv::METRIC_OPERATION_CHUNK,
    SECONDS,
    false,
    "From one piece of a streamed answer to the next.",
);
pub(super) const INFERENCE_DURATION: Instrument = instrument(
    semconv::METRIC_INFERENCE_DURATION,
    SECONDS,
    true,
    "How long a call for inference took.",
);
pub(super) const INFERENCE_FIRST_CHUNK: Instrument = instrument(
    semconv::METRIC_INFERENCE_FIRST_CHUNK,
    SECONDS,
    false,
    OPERATION_FIRST_CHUNK.description,
);
pub(super) const INFERENCE_CHUNK: Instrument = instrument(
    semconv::METRIC_INFERENCE_CHUNK,
    SECONDS,
    false,
    OPERATION_CHUNK.description,
);
pub(super) const INFERENCE_INPUT: Instrument = instrument(
    semconv::METRIC_INFERENCE_INPUT,
    TOKENS,
    false,
    "Input tokens, cached ones among them.",
);
pub(super) const INFERENCE_OUTPUT: Instrument =
    instrument(semconv::METRIC_INFERENCE_OUTPUT, TOKENS, false, "Output tokens.");
pub(super) const INFERENCE_CACHE_READ: Instrument = instrument(
    semconv::METRIC_INFERENCE_CACHE_READ,
    TOKENS,
    false,
    "Input tokens read from a cache.",
);
pub(super) const INFERENCE_CACHE_WRITE: Instrument = instrument(
    semconv::METRIC_INFERENCE_CACHE_WRITE,
    TOKENS,
    false,
    "Input tokens written to a cache.",
);
pub(super) const INFERENCE_REASONING: Instrument = instrument(
    semconv::METRIC_INFERENCE_REASONING,
    TOKENS,
    false,
    "Output tokens spent on reasoning.",
);
pub(super) const INFERENCE_CALL_INPUT: Instrument = instrument(
    semconv::METRIC_INFERENCE_CALL_INPUT,
    TOKENS,
    true,
    "Input tokens of a call, cached ones among them.",
);
pub(super) const INFERENCE_CALL_OUTPUT: Instrument = instrument(
    semconv::METRIC_INFERENCE_CALL_OUTPUT,
    TOKENS,
    true,
    "Output tokens of a call.",
);
pub(super) const EMBEDDINGS_DURATION: Instrument = instrument(
    semconv::METRIC_EMBEDDINGS_DURATION,
    SECONDS,
    true,
    "How long a call for embeddings took.",
);
pub(super) const EMBEDDINGS_CALL_INPUT: Instrument = instrument(
    semconv::METRIC_EMBEDDINGS_CALL_INPUT,
    TOKENS,
    true,
    "Input tokens of a call for embeddings.",
);
pub(super) const COST: Instrument = instrument(
    semconv::METRIC_COST,
    "{USD}",
    false,
    "What calls cost by list price.",
);
pub(super) const UNPRICED: Instrument = instrument(
    semconv::METRIC_UNPRICED,
    "{call}",
    false,
    "Calls without a known price, by the reason.",
);
