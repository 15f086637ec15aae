//! What was answered: ids, model, why it ended, tools asked for, times.

use crate::genai::semconv;

use super::{List, Subject};

pub(super) fn add(list: &mut List, subject: Subject<'_>) {
    let Subject {
        call, finish_reasons, ..
    } = subject;
    list.string(semconv::RESPONSE_ID, call.response_id.as_ref());
    list.string(semconv::RESPONSE_MODEL, call.response_model.as_ref());
    list.strings(semconv::RESPONSE_FINISH_REASONS, finish_reasons.to_vec());
    list.strings(
        semconv::STOP_REASONS,
        call.stop_reasons
            .iter()
            .map(|reason| reason.wire.clone())
            .collect(),
    );
    if call.streaming {
        list.double(
            semconv::RESPONSE_TIME_TO_FIRST_CHUNK,
            call.timings
                .first_chunk
                .map(|time| seconds(time.0.saturating_sub(call.timings.request.0))),
        );
    }
    list.double(
        semconv::SERVER_DURATION,
        call.server_latency_ms
            .map(|milliseconds| seconds(milliseconds.saturating_mul(1_000_000))),
    );
    list.strings(
        semconv::TOOL_CALL_NAMES,
        call.tool_calls
            .iter()
            .map(|tool| tool.name.clone().unwrap_or_default())
            .collect(),
    );
    list.strings(
        semconv::TOOL_CALL_IDS,
        call.tool_calls
            .iter()
            .map(|tool| tool.id.clone().unwrap_or_default())
            .collect(),
    );
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a duration of seconds needs no more than 53 bits"
)]
pub(super) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
