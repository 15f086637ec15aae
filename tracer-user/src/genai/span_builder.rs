//! From a call to a span.

use std::sync::Arc;

use crate::bedrock::Call;
use crate::event::{Host, Monotonic, Process};

use super::Options;
use super::attributes::{List, Subject, attributes, of_attempts};
use super::content::Documents;
use super::failure::{failed, finish_reasons};
use super::operation::{operation_name, span_name};
use super::span::{Span, SpanEvent, SpanKind, SpanStatus};
use super::{details, ids, semconv};

/// The span of a call.
pub fn span_of(call: &Call, host: &Host, process: Arc<Process>, options: &Options) -> Span {
    let ids::Place {
        trace_id,
        span_id,
        parent,
    } = ids::of_call(&host.boot_id, call);
    let operation = operation_name(call);
    let failed = failed(call);
    let finish_reasons = finish_reasons(call);
    let documents = call
        .content
        .as_ref()
        .filter(|_| options.capture.any())
        .map(|said| Documents::of(said, &finish_reasons, options));
    let attributes = attributes(Subject {
        call,
        options,
        operation,
        failed: failed.as_ref(),
        finish_reasons: &finish_reasons,
        documents: documents.as_ref(),
    });
    let start_unix_ns = wall(host, call.timings.request);
    let end_unix_ns = wall(host, call.timings.end).max(start_unix_ns);
    let details = documents
        .as_ref()
        .filter(|_| options.capture.on_events())
        .map(|said| details::event(call, operation, &finish_reasons, said, end_unix_ns));
    let mut span = Span {
        process,
        trace_id,
        span_id,
        parent,
        name: span_name(call, operation),
        kind: SpanKind::Client,
        start_unix_ns,
        end_unix_ns,
        attributes,
        events: events(call, host).into_iter().chain(details).collect(),
        links: Vec::new(),
        status: failed.map_or(SpanStatus::Unset, |failed| SpanStatus::Error {
            description: failed.description,
        }),
    };
    let redacted = documents.map(|documents| documents.redacted).unwrap_or_default();
    options.redaction.span(&mut span, redacted);
    span
}

/// Wall clock of a monotonic time.
pub(super) fn wall(host: &Host, time: Monotonic) -> u64 {
    time.0.saturating_add_signed(host.wall_offset_ns)
}

/// Each of several attempts, and a failure inside a stream, which happened at a time of its own.
fn events(call: &Call, host: &Host) -> Vec<SpanEvent> {
    let attempts = call
        .attempts
        .iter()
        .zip(of_attempts(&call.attempts))
        .map(|(attempt, attributes)| SpanEvent {
            name: semconv::ATTEMPT_EVENT,
            time_unix_ns: wall(host, attempt.start),
            attributes,
        });
    let exception = call.failure.iter().filter_map(|failure| {
        let time = failure.in_stream?;
        let mut list = List::default();
        list.string(semconv::EXCEPTION_TYPE, Some(&failure.code));
        list.string(semconv::EXCEPTION_MESSAGE, failure.message.as_ref());
        Some(SpanEvent {
            name: semconv::EXCEPTION_EVENT,
            time_unix_ns: wall(host, time),
            attributes: list.into_attributes(),
        })
    });
    attempts.chain(exception).collect()
}
