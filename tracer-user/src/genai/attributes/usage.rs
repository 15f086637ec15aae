//! Token counts.

use crate::bedrock::call::Usage;
use crate::genai::{Options, semconv};

use super::{List, Subject};

pub(super) fn add(list: &mut List, subject: Subject<'_>) {
    let Subject { call, options, .. } = subject;
    of(list, call.usage, options);
}

/// Those of any answer of a model.
pub(in crate::genai) fn of(list: &mut List, usage: Usage, options: &Options) {
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
    if options.convention.old_names() {
        list.count(semconv::USAGE_CACHE_CREATION, usage.cache_write);
    }
    if options.convention.new_names() {
        list.count(semconv::USAGE_CACHE_WRITE, usage.cache_write);
    }
    list.count(semconv::USAGE_REASONING, usage.reasoning);
}
