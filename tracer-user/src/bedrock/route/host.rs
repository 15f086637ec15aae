//! Hosts of Bedrock: which service and region a name stands for.

use crate::bedrock::operation::Service;

/// Longest DNS name.
const MAX_NAME: usize = 253;

/// Ends of AWS's host names (the partitions of botocore's `endpoints.json`, dual-stack included).
const SUFFIXES: [&str; 10] = [
    ".amazonaws.com",
    ".api.aws",
    ".amazonaws.com.cn",
    ".api.amazonwebservices.com.cn",
    ".amazonaws.eu",
    ".api.amazonwebservices.eu",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
];

/// A server as the client named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Host name or address, without brackets.
    pub address: String,
    /// Port; 443 unless told otherwise, since what is heard went through TLS.
    pub port: u16,
}

impl Server {
    /// Reads an authority (`host[:port]`, RFC 9110 section 7.2).
    pub fn parse(authority: &str) -> Option<Self> {
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, rest.strip_prefix(':'))
            }
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let host = host.trim_end_matches('.');
        let plausible =
            !host.is_empty() && host.len() <= MAX_NAME && host.bytes().all(|byte| byte.is_ascii_graphic());
        let port = match port {
            None | Some("") => 443,
            Some(port) => port.parse().ok()?,
        };
        plausible.then(|| Self {
            address: host.to_ascii_lowercase(),
            port,
        })
    }
}

/// Data or management.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plane {
    Data(Service),
    Control,
}

/// What a host of AWS stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) plane: Plane,
    pub(super) region: Option<String>,
}

impl Endpoint {
    /// Reads a lower-case host name: `SERVICE[-fips].REGION.SUFFIX`, with labels before it for `PrivateLink` endpoints and
    /// gateways; `None` if it is not Bedrock's.
    pub(super) fn of(host: &str) -> Option<Self> {
        let name = SUFFIXES.iter().find_map(|suffix| host.strip_suffix(suffix))?;
        let mut labels = name.split('.');
        let plane = labels.find_map(|label| {
            let service = label.strip_suffix("-fips").unwrap_or(label);
            Some(match service {
                "bedrock-runtime" => Plane::Data(Service::Runtime),
                "bedrock-agent-runtime" => Plane::Data(Service::AgentRuntime),
                "bedrock-agentcore" => Plane::Data(Service::AgentCore),
                "bedrock-mantle" => Plane::Data(Service::Mantle),
                "bedrock" => Plane::Control,
                _ if service.starts_with("bedrock-") => Plane::Control,
                _ => return None,
            })
        })?;
        let region = labels.next().map(str::to_owned);
        Some(Self { plane, region })
    }
}

/// Whether a name is that of a data-plane endpoint.
pub(crate) fn is_data_plane(name: &str) -> bool {
    Endpoint::of(&name.trim_end_matches('.').to_ascii_lowercase())
        .is_some_and(|endpoint| matches!(endpoint.plane, Plane::Data(_)))
}
