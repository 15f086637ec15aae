//! What was said, where it was asked for.

use crate::genai::{content, semconv};

use super::{List, Subject};

pub(super) fn add(list: &mut List, subject: Subject<'_>) {
    let Subject {
        call,
        options,
        finish_reasons,
        ..
    } = subject;
    let Some(said) = call.content.as_ref().filter(|_| options.capture.on_spans()) else {
        return;
    };
    let rendered = content::render(said, finish_reasons, options.convention);
    list.string(semconv::INPUT_MESSAGES, rendered.input);
    list.string(semconv::OUTPUT_MESSAGES, rendered.output);
    list.string(semconv::SYSTEM_INSTRUCTIONS, rendered.system);
    list.string(semconv::TOOL_DEFINITIONS, rendered.tools);
    list.truth(semconv::CONTENT_CUT, said.cut().then_some(true));
}
