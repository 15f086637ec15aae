//! The event of a call's content, for those who want it apart from the span's own attributes.

use crate::bedrock::Call;

use super::attributes::{List, add_documents};
use super::content::Documents;
use super::semconv;
use super::span::SpanEvent;

/// `gen_ai.client.inference.operation.details`, at the end of the call. It goes out as an event of the span, which has the call's
/// other attributes.
pub(super) fn event(
    call: &Call,
    operation: Option<&'static str>,
    finish_reasons: &[String],
    documents: &Documents,
    time_unix_ns: u64,
) -> SpanEvent {
    let mut list = List::default();
    list.text(semconv::OPERATION_NAME, operation);
    list.text(semconv::PROVIDER_NAME, operation.map(|_| semconv::PROVIDER));
    list.string(semconv::REQUEST_MODEL, call.route.resource.model.as_ref());
    list.string(semconv::RESPONSE_ID, call.response_id.as_ref());
    list.strings(semconv::RESPONSE_FINISH_REASONS, finish_reasons.to_vec());
    add_documents(&mut list, documents);
    SpanEvent {
        name: semconv::DETAILS_EVENT,
        time_unix_ns,
        attributes: list.into_attributes(),
    }
}
