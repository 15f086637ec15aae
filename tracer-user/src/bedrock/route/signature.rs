//! The credential scope of an AWS signature: region and service, which stay readable when key and signature are blanked.

/// What the scope says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    /// `None` when the request is signed for several regions (`SigV4A`).
    pub(super) region: Option<String>,
    /// Signed for `bedrock`, `bedrock-agentcore` or `bedrock-mantle`.
    pub(super) bedrock: bool,
}

/// Reads `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …`, or `SigV4A`, which leaves out the region.
pub(super) fn scope(authorization: &str) -> Option<Scope> {
    let (scheme, rest) = authorization.split_once(' ')?;
    let with_region = match scheme {
        "AWS4-HMAC-SHA256" => true,
        "AWS4-ECDSA-P256-SHA256" => false,
        _ => return None,
    };
    let credential = rest
        .split(',')
        .find_map(|part| part.trim().strip_prefix("Credential="))?;
    let mut parts = credential.rsplit('/');
    if parts.next()? != "aws4_request" {
        return None;
    }
    let bedrock = matches!(parts.next()?, "bedrock" | "bedrock-agentcore" | "bedrock-mantle");
    let region = with_region
        .then(|| parts.next())
        .flatten()
        .filter(|region| {
            region.len() <= 64
                && region
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
        .map(str::to_owned);
    Some(Scope { region, bedrock })
}
