//! What makes a call an error, and why its answer ended.

use crate::bedrock::Call;
use crate::bedrock::call::Gaps;
use crate::bedrock::family::Task;
use crate::bedrock::operation::Purpose;
use crate::bedrock::stop::{Finish, StopReason};
use crate::http::{Completion, Phase};

use super::semconv::{error, finish};

/// What failed.
pub(super) struct Failed {
    /// `error.type`.
    pub(super) kind: String,
    /// Description of the status.
    pub(super) description: String,
}

/// What failed, if anything did.
pub(super) fn failed(call: &Call) -> Option<Failed> {
    if let Some(failure) = &call.failure {
        return Some(Failed {
            kind: failure.code.clone(),
            description: failure.message.clone().unwrap_or_default(),
        });
    }
    if call.agent.tool.as_ref().is_some_and(|tool| tool.failed) {
        return Some(Failed {
            kind: error::TOOL_ERROR.into(),
            description: "the tool says that it failed".into(),
        });
    }
    // Where only one direction is seen, a response may well have come.
    if call.status.is_none()
        && !call.gaps.unpaired
        && matches!(
            call.completion,
            Completion::Closed(Phase::Request | Phase::Waiting)
        )
    {
        return Some(Failed {
            kind: error::CONNECTION_CLOSED.into(),
            description: "the connection was closed before a response came".into(),
        });
    }
    (call.completion == Completion::Complete && stream_was_cut(call)).then(|| Failed {
        kind: error::STREAM_TRUNCATED.into(),
        description: "the response ended without the event that ends an answer".into(),
    })
}

/// The stream is known to have ended early: nothing of it was missed here.
fn stream_was_cut(call: &Call) -> bool {
    let Gaps {
        no_stop_event,
        response_hole,
        undecodable,
        frames_broken,
        response_unreadable,
        beyond_cap,
        unpaired: _,
        headers_unknown: _,
        request_unseen: _,
        attempts_unseen: _,
        request_hole: _,
        request_unreadable: _,
    } = call.gaps;
    let missed = response_hole || undecodable || frames_broken || response_unreadable || beyond_cap;
    let over = matches!(call.completion, Completion::Complete | Completion::Closed(_));
    no_stop_event && over && !missed
}

/// Why each choice ended. Where a reason was due and none came, the convention says `error`.
pub(super) fn finish_reasons(call: &Call) -> Vec<String> {
    let mapped = mapped(&call.stop_reasons);
    if !mapped.is_empty() {
        return mapped;
    }
    let generates = matches!(call.route.operation.purpose(), Purpose::Chat | Purpose::Model)
        && !matches!(call.task, Some(Task::Embedding | Task::Ranking));
    if !generates {
        Vec::new()
    } else if call.guardrail.intervened == Some(true) {
        vec![finish::CONTENT_FILTER.into()]
    } else if call.failure.is_some() || stream_was_cut(call) {
        vec![finish::ERROR.into()]
    } else {
        Vec::new()
    }
}

/// Stop reasons in the convention's words.
pub(super) fn mapped(reasons: &[StopReason]) -> Vec<String> {
    reasons.iter().map(finish_reason).collect()
}

fn finish_reason(reason: &StopReason) -> String {
    match reason.finish() {
        Finish::Stop => finish::STOP.into(),
        Finish::Length => finish::LENGTH.into(),
        Finish::ToolCall => finish::TOOL_CALL.into(),
        Finish::ContentFilter => finish::CONTENT_FILTER.into(),
        Finish::Error => finish::ERROR.into(),
        Finish::Other(word) => word.to_owned(),
    }
}
