//! Server, region, RPC, HTTP, and what failed.

use crate::bedrock::operation::Operation;
use crate::genai::semconv;

use super::{List, Subject};

pub(super) fn add(list: &mut List, subject: Subject<'_>) {
    let Subject { call, failed, .. } = subject;
    list.string(semconv::ERROR_TYPE, failed.map(|failed| &failed.kind));
    if let Some(server) = &call.route.server {
        list.string(semconv::SERVER_ADDRESS, Some(&server.address));
        list.count(semconv::SERVER_PORT, Some(server.port.into()));
    }
    list.string(semconv::CLOUD_REGION, call.route.region.as_ref());
    list.string(semconv::AWS_REQUEST_ID, call.request_id.as_ref());
    list.text(semconv::RPC_SYSTEM, Some(semconv::RPC_AWS));
    let asked = call.route.operation;
    let unseen = call.gaps.request_unseen;
    let unknown = unseen && asked == Operation::UnknownRuntimeOperation;
    list.text(
        semconv::RPC_SERVICE,
        (!unknown).then(|| call.route.service.name()),
    );
    // An inline agent answers in the same way.
    let ambiguous = unseen && asked == Operation::InvokeAgent;
    list.text(
        semconv::RPC_METHOD,
        (!unknown && !ambiguous).then(|| asked.name()),
    );
    list.count(semconv::HTTP_STATUS, call.status.map(u64::from));
    list.count(
        semconv::HTTP_RESEND_COUNT,
        Some(call.attempt.resends).filter(|resends| *resends > 0),
    );
}
