//! Why some of the call is not told.

use crate::bedrock::Call;
use crate::bedrock::call::Gaps;
use crate::genai::semconv::{self, incomplete};
use crate::http::Completion;

use super::List;

pub(super) fn add(list: &mut List, call: &Call) {
    list.strings(semconv::INCOMPLETE, reasons(call));
}

fn reasons(call: &Call) -> Vec<String> {
    let Gaps {
        request_unseen,
        unpaired,
        headers_unknown,
        request_hole,
        response_hole,
        undecodable,
        frames_broken,
        request_unreadable,
        response_unreadable,
        beyond_cap,
        no_stop_event,
        attempts_unseen,
    } = call.gaps;
    let completion = match call.completion {
        Completion::Complete => None,
        Completion::Closed(_) => Some(incomplete::CLOSED),
        Completion::Desynchronised(_) => Some(incomplete::DESYNCHRONISED),
        Completion::TimedOut(_) => Some(incomplete::TIMED_OUT),
        Completion::TracingStopped(_) => Some(incomplete::TRACING_STOPPED),
        Completion::Evicted(_) => Some(incomplete::EVICTED),
        Completion::Upgraded => Some(incomplete::UPGRADED),
    };
    [
        (request_unseen, incomplete::REQUEST_UNSEEN),
        (headers_unknown, incomplete::HEADERS_UNKNOWN),
        (unpaired, incomplete::UNPAIRED),
        (request_hole, incomplete::REQUEST_HOLE),
        (response_hole, incomplete::RESPONSE_HOLE),
        (undecodable, incomplete::UNDECODABLE),
        (frames_broken, incomplete::FRAMES_BROKEN),
        (request_unreadable, incomplete::REQUEST_UNREADABLE),
        (response_unreadable, incomplete::RESPONSE_UNREADABLE),
        (beyond_cap, incomplete::BEYOND_CAP),
        (no_stop_event, incomplete::NO_STOP_EVENT),
        (attempts_unseen, incomplete::ATTEMPTS_UNSEEN),
    ]
    .into_iter()
    .filter(|(holds, _)| *holds)
    .map(|(_, reason)| reason)
    .chain(completion)
    .map(str::to_owned)
    .collect()
}
