//! What became of an attempt, and whether an SDK tries again.

use crate::bedrock::Call;
use crate::bedrock::attempt::{Outcome, Series};
use crate::genai::failure::failed;
use crate::http::{Completion, Phase};

/// What an attempt came to.
pub(super) fn outcome(call: &Call) -> Outcome {
    Outcome {
        resends: call.attempt.resends,
        start: call.timings.request,
        end: call.timings.end,
        status: call.status,
        error: failed(call).map(|failed| failed.kind),
        request_id: call.request_id.clone(),
        throttled: is_throttled(call),
    }
}

/// Codes by which AWS services say that too much was asked for (botocore's `retries/standard.py`, smithy's
/// `service-error-classification`).
const THROTTLED: [&str; 14] = [
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];

/// Codes of passing trouble, whatever the status.
const TRANSIENT: [&str; 5] = [
    "InternalError",
    "ModelNotReadyException",
    "RequestTimeout",
    "RequestTimeoutException",
    "RetryableConflictException",
];

/// Whether the call was refused since too much was asked for, before or within its stream.
pub(in crate::genai) fn is_throttled(call: &Call) -> bool {
    call.failure.as_ref().is_some_and(|failure| {
        let code = failure.code.as_str();
        THROTTLED.contains(&code) || (call.status == Some(429) && code != "ModelNotReadyException")
    })
}

/// Whether the SDK may try again: then what was seen is not all of the call yet.
pub(super) fn may_be_followed(call: &Call) -> bool {
    let attempt = &call.attempt;
    if attempt
        .max
        .is_some_and(|max| attempt.resends.saturating_add(1) >= max)
    {
        return false;
    }
    match &call.failure {
        // What a stream has begun to tell is not asked for again.
        Some(failure) if failure.in_stream.is_some() => false,
        Some(failure) => {
            let code = failure.code.as_str();
            let by_status = match (attempt.series(), call.status) {
                (None, _) | (_, None) => false,
                (Some(Series::Invocation(_)), Some(status)) => matches!(status, 429 | 500 | 502 | 503 | 504),
                (Some(Series::Request(_)), Some(status)) => matches!(status, 408 | 409 | 429 | 500..),
            };
            by_status || THROTTLED.contains(&code) || TRANSIENT.contains(&code)
        }
        None => match call.completion {
            Completion::Closed(Phase::Request | Phase::Waiting) => !call.gaps.unpaired,
            Completion::Closed(Phase::Response) => !call.streaming,
            Completion::Complete
            | Completion::Desynchronised(_)
            | Completion::TimedOut(_)
            | Completion::TracingStopped(_)
            | Completion::Evicted(_)
            | Completion::Upgraded => false,
        },
    }
}
