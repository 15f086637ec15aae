//! What was said, where it was asked for.

use crate::genai::{content, semconv};

use super::{List, Subject};

pub(super) fn add(list: &mut List, subject: Subject<'_>) {
    let Some(said) = &subject.call.content else {
        return;
    };
    let rendered = content::render(said, subject.finish_reasons);
    list.string(semconv::INPUT_MESSAGES, rendered.input);
    list.string(semconv::OUTPUT_MESSAGES, rendered.output);
    list.string(semconv::SYSTEM_INSTRUCTIONS, rendered.system);
    list.string(semconv::TOOL_DEFINITIONS, rendered.tools);
    list.truth(semconv::CONTENT_CUT, said.cut().then_some(true));
}
