//! Token counts.

use crate::bedrock::Call;
use crate::genai::semconv;

use super::List;

pub(super) fn add(list: &mut List, call: &Call) {
    let usage = call.usage;
    let input = usage.input_with_cache();
    list.count(semconv::USAGE_INPUT_TOKENS, input);
    list.count(semconv::USAGE_OUTPUT_TOKENS, usage.output);
    list.count(
        semconv::USAGE_TOTAL,
        input
            .zip(usage.output)
            .map(|(input, output)| input.saturating_add(output)),
    );
    list.count(semconv::USAGE_CACHE_READ, usage.cache_read);
    list.count(semconv::USAGE_CACHE_CREATION, usage.cache_write);
    list.count(semconv::USAGE_REASONING, usage.reasoning);
}
