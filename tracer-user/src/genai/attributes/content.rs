//! What was said, where it was asked for.

use serde_json::Value;

use crate::genai::content::Documents;
use crate::genai::semconv;

use super::{List, Subject};

pub(super) fn add(list: &mut List, subject: Subject<'_>) {
    let wanted = subject.options.capture.on_spans();
    if let Some(documents) = subject.documents.filter(|_| wanted) {
        add_documents(list, documents);
    }
}

/// What was said, on a span or an event.
pub(in crate::genai) fn add_documents(list: &mut List, documents: &Documents) {
    list.string(semconv::INPUT_MESSAGES, text(documents.input.as_ref()));
    list.string(semconv::OUTPUT_MESSAGES, text(documents.output.as_ref()));
    list.string(semconv::SYSTEM_INSTRUCTIONS, text(documents.system.as_ref()));
    list.string(semconv::TOOL_DEFINITIONS, text(documents.tools.as_ref()));
    list.truth(semconv::CONTENT_CUT, documents.cut.then_some(true));
}

/// Attributes of spans cannot be structured: the JSON text.
fn text(document: Option<&Value>) -> Option<String> {
    document.map(Value::to_string)
}
