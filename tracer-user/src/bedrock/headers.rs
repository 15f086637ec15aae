//! What header fields say about a call.

use crate::http::Fields;

use super::baggage;
use super::billing::Billing;
use super::call::{TraceHeaders, Usage};
use super::json::Json;
use super::route::Route;
use super::session::{Session, SessionHeader, SessionSource};

/// Longest value taken over. `tracestate` may have 512 bytes and more (W3C Trace Context, section 3.3.1.5).
const MAX_VALUE: usize = 2048;

/// Longest request metadata in a header (`RequestMetadataJson` of the service model).
const MAX_METADATA: usize = 8500;

/// Tier of service, asked for and given.
const TIER: &str = "x-amzn-bedrock-service-tier";

/// A header's value, if there is one and it is not absurdly long.
pub(super) fn value(fields: &Fields<'_>, name: &str) -> Option<String> {
    fields
        .get(name)
        .filter(|value| !value.is_empty() && value.len() <= MAX_VALUE)
        .map(str::to_owned)
}

/// The first of several headers that is there.
pub(super) fn first(fields: &Fields<'_>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| value(fields, name))
}

/// A header's value, if it is a count.
pub(super) fn count(fields: &Fields<'_>, name: &str) -> Option<u64> {
    fields.get(name).and_then(|text| Json::new(text).count())
}

/// Trace headers as sent.
pub(super) fn trace(fields: &Fields<'_>) -> TraceHeaders {
    // All lines of the state are one (W3C Trace Context, section 3.3.1.1).
    let state = fields.values("tracestate").collect::<Vec<_>>().join(",");
    TraceHeaders {
        traceparent: value(fields, "traceparent"),
        tracestate: (!state.is_empty() && state.len() <= MAX_VALUE).then_some(state),
        amazon: value(fields, "x-amzn-trace-id"),
    }
}

/// Token counts in the head of an `InvokeModel` response.
pub(super) fn usage(fields: &Fields<'_>) -> Usage {
    Usage {
        input: count(fields, "x-amzn-bedrock-input-token-count"),
        output: count(fields, "x-amzn-bedrock-output-token-count"),
        cache_read: count(fields, "x-amzn-bedrock-cache-read-input-token-count"),
        cache_write: count(fields, "x-amzn-bedrock-cache-write-input-token-count"),
        ..Usage::default()
    }
}

/// What the head of a request says about the price.
pub(super) fn billing(fields: &Fields<'_>) -> Billing {
    let mut billing = Billing::default();
    billing_told(fields, &mut billing);
    billing
}

/// What the head of a response says about it, which goes before what was asked for.
pub(super) fn billing_told(fields: &Fields<'_>, billing: &mut Billing) {
    billing.take_tier(fields.get(TIER));
    billing.take_latency(fields.get("x-amzn-bedrock-performanceconfig-latency"));
}

/// Whether the head names a tier of service.
pub(super) fn tells_tier(fields: &Fields<'_>) -> bool {
    fields.get(TIER).is_some()
}

/// Request id, by the names of Bedrock and of the compatible endpoints.
pub(super) fn request_id(fields: &Fields<'_>) -> Option<String> {
    first(
        fields,
        &[
            "x-amzn-requestid",
            "x-amzn-request-id",
            "x-request-id",
            "request-id",
        ],
    )
}

/// Headers by which `AgentCore` tells sessions, in requests and in responses.
const AGENTCORE_SESSIONS: [&str; 3] = [
    "x-amzn-bedrock-agentcore-runtime-session-id",
    "x-amzn-code-interpreter-session-id",
    "x-amzn-browser-session-id",
];

/// Session that the head of a request tells. `named`: headers that the user named.
pub(super) fn session_asked(fields: &Fields<'_>, route: &Route, named: &[SessionHeader]) -> Option<Session> {
    let agentcore = first(fields, &AGENTCORE_SESSIONS);
    let path = route.resource.session.clone();
    let header = named.iter().find_map(|header| value(fields, header.name()));
    let metadata = fields
        .get("x-amzn-bedrock-request-metadata")
        .filter(|text| text.len() <= MAX_METADATA);
    let baggage = baggage::member(fields.values("baggage"), "session.id");
    let session = |id: Option<String>, source| id.and_then(|id| Session::new(id, source));
    session(agentcore, SessionSource::Request)
        .or_else(|| session(path, SessionSource::Path))
        .or_else(|| session(header, SessionSource::NamedHeader))
        .or_else(|| metadata.and_then(|text| Session::of_metadata(Json::new(text))))
        .or_else(|| session(baggage, SessionSource::Baggage))
}

/// Session that the head of a response tells.
pub(super) fn session_told(fields: &Fields<'_>) -> Option<Session> {
    let agents = [
        "x-amz-bedrock-agent-session-id",
        "x-amzn-bedrock-knowledge-base-session-id",
    ];
    first(fields, &agents)
        .or_else(|| first(fields, &AGENTCORE_SESSIONS))
        .and_then(|id| Session::new(id, SessionSource::Response))
}
