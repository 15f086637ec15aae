//! Whether a request is Bedrock's, and which operation it is.
//!
//! Three things tell: the host (`bedrock-runtime.us-east-1.amazonaws.com`), the signature's scope (`…/us-east-1/bedrock/
//! aws4_request`, which survives custom endpoints), and the path, which for most operations no other service has. A gateway
//! may put a prefix before the path.

mod host;
mod signature;

#[cfg(test)]
mod tests;

use percent_encoding::percent_decode_str;

use super::operation::{Entry, Operation, Purpose, Reach, Service, TABLE};
use crate::http::RequestHead;
use host::{Endpoint, Plane};

pub use host::Server;
pub(crate) use host::is_data_plane;

/// Longest model id that the service model allows (`InvokeModelRequest.modelId`).
const MAX_MODEL: usize = 2048;

/// Longest other id taken over from a path.
const MAX_ID: usize = 1024;

/// What a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognition {
    /// An operation that gets a span.
    Call(Box<Route>),
    /// The data plane of Bedrock, but nothing to tell.
    Housekeeping,
    /// Bedrock's management: another host, no inference.
    ControlPlane,
    /// Something else.
    Foreign,
}

/// What host, path and signature say about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which operation.
    pub operation: Operation,
    /// The service, by the host where it tells, else by the operation.
    pub service: Service,
    /// AWS region, by host or signature.
    pub region: Option<String>,
    /// The server asked.
    pub server: Option<Server>,
    /// What the path names.
    pub resource: Resource,
}

/// What a path names, percent-decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    /// Model id or ARN as sent.
    pub model: Option<String>,
    /// Agent id or ARN.
    pub agent: Option<String>,
    /// Alias of an agent or a flow.
    pub alias: Option<String>,
    /// Session of an agent.
    pub session: Option<String>,
    /// Knowledge base.
    pub knowledge_base: Option<String>,
    /// Guardrail id or ARN.
    pub guardrail: Option<String>,
    /// Version of the guardrail.
    pub guardrail_version: Option<String>,
    /// Flow id or ARN.
    pub flow: Option<String>,
    /// Memory.
    pub memory: Option<String>,
}

/// Recognises a request. `server_name` is what the TLS handshake asked for, which helps where the head names no host.
pub fn recognise(head: &RequestHead<'_>, server_name: Option<&str>) -> Recognition {
    let (authority, path) = split_target(head.target);
    let authority = authority
        .or_else(|| head.fields.get(":authority"))
        .or_else(|| head.fields.get("host"))
        .or(server_name);
    let server = authority.and_then(Server::parse);
    let endpoint = server.as_ref().and_then(|server| Endpoint::of(&server.address));
    let scope = head.fields.get("authorization").and_then(signature::scope);
    let signed = scope.as_ref().is_some_and(|scope| scope.bedrock);

    if let Some(Endpoint {
        plane: Plane::Control,
        ..
    }) = endpoint
    {
        return Recognition::ControlPlane;
    }
    let service = endpoint.as_ref().and_then(|endpoint| match endpoint.plane {
        Plane::Data(service) => Some(service),
        Plane::Control => None,
    });
    let certain = service.is_some() || signed;
    let found = find(head.method, path, certain, service.is_none());
    let (operation, mut resource) = match found {
        Some(found) => found,
        None if service == Some(Service::Runtime) && head.method == "POST" => {
            (Operation::UnknownRuntimeOperation, Resource::default())
        }
        None if certain => return Recognition::Housekeeping,
        None => return Recognition::Foreign,
    };
    if operation.purpose() == Purpose::Housekeeping {
        return Recognition::Housekeeping;
    }
    if operation.service() == Service::AgentCore {
        resource.agent = resource.agent.or_else(|| parameter(head.target, "harnessArn"));
        resource.alias = parameter(head.target, "qualifier");
    }
    Recognition::Call(Box::new(Route {
        operation,
        service: service.unwrap_or(operation.service()),
        region: endpoint
            .and_then(|endpoint| endpoint.region)
            .or_else(|| scope.and_then(|scope| scope.region)),
        server,
        resource,
    }))
}

/// Authority and path of a request target: `/path?query`, or the absolute form that goes to proxies.
fn split_target(target: &str) -> (Option<&str>, &str) {
    let rest = ["https://", "http://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let (authority, path) = match rest {
        Some(rest) => rest.find('/').map_or((Some(rest), "/"), |at| {
            (rest.get(..at), rest.get(at..).unwrap_or("/"))
        }),
        None => (None, target),
    };
    let end = path.find(['?', '#']).unwrap_or(path.len());
    (authority, path.get(..end).unwrap_or(path))
}

/// A parameter of the query.
fn parameter(target: &str, name: &str) -> Option<String> {
    let (_, query) = target.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| decode(value, MAX_ID))
}

/// The operation of a path. `certain`: host or signature say that it is Bedrock. `prefix`: the host is not AWS's own, so a
/// gateway may have put something before the path.
fn find(method: &str, path: &str, certain: bool, prefix: bool) -> Option<(Operation, Resource)> {
    let segments: Vec<&str> = path.strip_prefix('/')?.trim_end_matches('/').split('/').collect();
    TABLE
        .iter()
        .filter(|entry| entry.method == method && (certain || entry.reach == Reach::Anywhere))
        .find_map(|entry| Some((entry.operation, matches(entry, &segments, prefix)?)))
}

/// What the path names if it is that of the entry.
fn matches(entry: &Entry, segments: &[&str], prefix: bool) -> Option<Resource> {
    if let Some((before, last)) = entry.path.split_once("/{model}/") {
        let start = segments.iter().position(|segment| *segment == before)?;
        let (end, middle) = segments.get(start + 1..)?.split_last()?;
        let allowed = (start == 0 || prefix) && *end == last && middle.iter().any(|part| !part.is_empty());
        return allowed.then(|| Resource {
            model: decode(&middle.join("/"), MAX_MODEL),
            ..Resource::default()
        });
    }
    let pattern: Vec<&str> = entry.path.split('/').collect();
    let start = segments.len().checked_sub(pattern.len())?;
    if start > 0 && !prefix {
        return None;
    }
    let mut resource = Resource::default();
    for (pattern, segment) in pattern.iter().zip(segments.get(start..)?) {
        let Some(name) = pattern.strip_prefix('{') else {
            if pattern == segment {
                continue;
            }
            return None;
        };
        if segment.is_empty() {
            return None;
        }
        match name {
            "agent}" => resource.agent = decode(segment, MAX_ID),
            "alias}" => resource.alias = decode(segment, MAX_ID),
            "session}" => resource.session = decode(segment, MAX_ID),
            "knowledge_base}" => resource.knowledge_base = decode(segment, MAX_ID),
            "flow}" => resource.flow = decode(segment, MAX_ID),
            "memory}" => resource.memory = decode(segment, MAX_ID),
            "guardrail}" => resource.guardrail = decode(segment, MAX_ID),
            "version}" => resource.guardrail_version = decode(segment, MAX_ID),
            _ => {}
        }
    }
    Some(resource)
}

/// An id as it was meant; `None` if it is longer than any.
fn decode(segment: &str, longest: usize) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8_lossy();
    (text.len() <= longest && !text.is_empty()).then(|| text.into_owned())
}
