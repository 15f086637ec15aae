//! What counts as a credential: the one list.

/// Header fields whose whole value is blanked. Compared without regard to case.
pub(super) const FIELDS: [&str; 19] = [
    "api-key",
    "cookie",
    "openai-api-key",
    "sec-websocket-protocol", // AgentCore takes a bearer token here
    "set-cookie",
    "workloadaccesstoken", // AgentCore hands it to the runtime
    "x-access-token",
    "x-amz-access-token",
    "x-amz-s3session-token",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amzn-oidc-accesstoken",
    "x-amzn-oidc-data",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-goog-api-key",
    "x-vault-token",
    "x-xsrf-token",
];

/// Header fields that begin with an authentication scheme, RFC 9110 section 11.6.2.
pub(super) const AUTHORIZATION_FIELDS: [&str; 3] = [
    "authorization",
    "proxy-authorization",
    "x-forwarded-authorization",
];

/// Whether a header field of that name is blanked, in whole or in part.
pub fn is_credential(name: &str) -> bool {
    FIELDS
        .iter()
        .chain(&AUTHORIZATION_FIELDS)
        .any(|field| name.eq_ignore_ascii_case(field))
}

/// Authentication schemes that may stay readable. What follows the scheme is blanked, for an unknown scheme everything.
pub(super) const SCHEMES: [&str; 7] = ["apikey", SIGV4, SIGV4A, "basic", "bearer", "digest", "negotiate"];

/// AWS Signature Version 4: the scope in `Credential` and `SignedHeaders` stay, they are how Bedrock is recognised.
pub(super) const SIGV4: &str = "aws4-hmac-sha256";

/// AWS Signature Version 4A, with the same parameters.
pub(super) const SIGV4A: &str = "aws4-ecdsa-p256-sha256";

/// Parameter of an AWS signature: `ACCESS-KEY-ID/date/region/service/aws4_request`.
pub(super) const SIGV4_CREDENTIAL: &str = "credential=";

/// Parameter of an AWS signature: names of headers.
pub(super) const SIGV4_SIGNED_HEADERS: &str = "signedheaders=";

/// Parameter of an AWS signature that is blanked.
pub(super) const SIGV4_SIGNATURE: &str = "signature=";

/// Query parameters of a request target whose value is blanked ("presigned URLs").
pub(super) const PARAMETERS: [&str; 3] = [
    "x-amz-s3session-token=",
    "x-amz-security-token=",
    "x-amz-signature=",
];

/// Query parameter whose value begins with the access key id; the scope after it stays.
pub(super) const CREDENTIAL_PARAMETER: &str = "x-amz-credential=";

/// What an HTTP/1 message of a client or a server begins with. RFC 9110 section 9.3, RFC 5789.
pub(super) const MESSAGE_STARTS: [&str; 10] = [
    "CONNECT ",
    "DELETE ",
    "GET ",
    "HEAD ",
    RESPONSE_START,
    "OPTIONS ",
    "PATCH ",
    "POST ",
    "PUT ",
    "TRACE ",
];

/// What an HTTP/1 response begins with.
pub(super) const RESPONSE_START: &str = "HTTP/1.";
