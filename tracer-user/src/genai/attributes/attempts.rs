//! Attempts: what several of them cost, and one event for each.

use crate::bedrock::Call;
use crate::bedrock::attempt::Outcome;
use crate::genai::attempts::is_throttled;
use crate::genai::semconv;
use crate::genai::span::{Attribute, Value};

use super::List;
use super::response::seconds;

pub(super) fn add(list: &mut List, call: &Call) {
    let attempts = &call.attempts;
    let throttled = if attempts.is_empty() {
        usize::from(is_throttled(call))
    } else {
        attempts.iter().filter(|attempt| attempt.throttled).count()
    };
    list.count(
        semconv::ATTEMPTS_THROTTLED,
        u64::try_from(throttled).ok().filter(|throttled| *throttled > 0),
    );
    let backoff = delays(attempts).flatten().fold(0, u64::saturating_add);
    list.double(
        semconv::ATTEMPTS_BACKOFF,
        (attempts.len() > 1).then(|| seconds(backoff)),
    );
}

/// The attributes of each attempt's event.
pub(in crate::genai) fn of_attempts(attempts: &[Outcome]) -> impl Iterator<Item = Vec<Attribute>> {
    attempts.iter().zip(delays(attempts)).map(|(attempt, delay)| {
        let Outcome {
            resends,
            start,
            end,
            status,
            error,
            request_id,
            throttled: _,
        } = attempt;
        let mut list = List::default();
        list.count(semconv::HTTP_RESEND_COUNT, Some(*resends));
        list.count(semconv::HTTP_STATUS, status.map(u64::from));
        list.string(semconv::ERROR_TYPE, error.as_ref());
        list.string(semconv::AWS_REQUEST_ID, request_id.as_ref());
        list.push(
            semconv::ATTEMPT_DURATION,
            Some(Value::Double(seconds(end.0.saturating_sub(start.0)))),
        );
        list.double(semconv::ATTEMPT_DELAY, delay.map(seconds));
        list.into_attributes()
    })
}

/// Nanoseconds from the end of the attempt before to the start of each; `None` for the first, and behind one not seen.
fn delays(attempts: &[Outcome]) -> impl Iterator<Item = Option<u64>> {
    let before = attempts.iter().map(Some);
    attempts
        .iter()
        .zip(std::iter::once(None).chain(before))
        .map(|(attempt, before)| {
            let before = before.filter(|before| before.resends.checked_add(1) == Some(attempt.resends))?;
            Some(attempt.start.0.saturating_sub(before.end.0))
        })
}
