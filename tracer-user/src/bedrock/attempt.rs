//! Attempts of one logical call, as an SDK repeats what failed.

use sha2::{Digest as _, Sha256};

use crate::event::{ConnectionKey, Monotonic};
use crate::http::{BodyPart, ExchangeNumber, Fields};

use super::headers;

/// Which attempt of a logical call an exchange is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attempt {
    /// `amz-sdk-invocation-id`: the same for all attempts of one call.
    pub invocation_id: Option<String>,
    /// Digest of target and body, where an SDK counts attempts without naming the call; known once the request is whole.
    pub digest: Option<RequestDigest>,
    /// How many attempts came before.
    pub resends: u64,
    /// How many attempts the SDK makes at most, where it says so.
    pub max: Option<u64>,
}

/// SHA-256 of a request's target and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestDigest(pub [u8; 32]);

/// What all attempts of one logical call have in common, within a process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// The SDK names the call.
    Invocation(String),
    /// The SDK counts, and sends the same again.
    Request(RequestDigest),
}

/// An attempt has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Connection it goes over.
    pub connection: ConnectionKey,
    /// Which exchange of that connection.
    pub exchange: ExchangeNumber,
    /// The call that it is an attempt of.
    pub series: Series,
    /// How many attempts came before.
    pub resends: u64,
}

/// What became of one of several attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How many attempts came before.
    pub resends: u64,
    /// First byte of its request.
    pub start: Monotonic,
    /// Last byte of its response, or when it was given up.
    pub end: Monotonic,
    /// HTTP status; `None` if no answer came.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// Request id.
    pub request_id: Option<String>,
    /// Whether it was refused since too much was asked for.
    pub throttled: bool,
}

impl Attempt {
    /// Reads `amz-sdk-request: attempt=2; max=3`, or the counter of the Anthropic and `OpenAI` SDKs.
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let aws = fields.get("amz-sdk-request");
        let number = |name: &str| {
            aws?.split(';')
                .filter_map(|pair| pair.trim().split_once('='))
                .find(|(key, _)| key.trim() == name)
                .and_then(|(_, number)| number.trim().parse::<u64>().ok())
        };
        let resends = number("attempt").map(|attempt| attempt.saturating_sub(1));
        Attempt {
            invocation_id: headers::value(fields, "amz-sdk-invocation-id"),
            digest: None,
            resends: resends.or_else(|| retry_count(fields)).unwrap_or(0),
            max: number("max").filter(|max| *max > 0),
        }
    }

    /// What it has in common with the other attempts, as far as it is known yet.
    pub fn series(&self) -> Option<Series> {
        let named = self.invocation_id.clone().map(Series::Invocation);
        named.or_else(|| self.digest.map(Series::Request))
    }
}

/// Counter of attempts that the Anthropic and `OpenAI` SDKs send from 0 on.
fn retry_count(fields: &Fields<'_>) -> Option<u64> {
    fields.get("x-stainless-retry-count")?.parse().ok()
}

/// Digests a request that is to be recognised when it is sent again.
#[derive(Debug)]
pub(super) struct Digester(Sha256);

impl Digester {
    /// Begins with the target of a request, if its attempts can be told apart only so.
    pub(super) fn of(target: &str, fields: &Fields<'_>) -> Option<Self> {
        let named = fields.get("amz-sdk-invocation-id").is_some();
        (!named && retry_count(fields).is_some()).then(|| {
            let mut hash = Sha256::new();
            hash.update((target.len() as u64).to_be_bytes());
            hash.update(target);
            Self(hash)
        })
    }

    /// Takes more of the body; `None` once some of it is missing.
    pub(super) fn push(mut self, part: &BodyPart<'_>) -> Option<Self> {
        match part {
            BodyPart::Bytes(bytes) => {
                self.0.update(bytes);
                Some(self)
            }
            BodyPart::Hole(_) => None,
        }
    }

    /// The request is whole.
    pub(super) fn finish(self) -> RequestDigest {
        RequestDigest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Attempt {
        let mut fields = Fields::default();
        for (name, value) in headers {
            fields.push(*name, value.as_bytes());
        }
        Attempt::read(&fields)
    }

    #[test]
    fn every_sdk_counts_in_its_own_words() {
        for (headers, resends, max) in [
            (vec![("amz-sdk-request", "attempt=1; max=3")], 0, Some(3)),
            (vec![("amz-sdk-request", "attempt=1")], 0, None),
            (
                vec![("amz-sdk-request", "ttl=20260101T000000Z;max = 5; attempt=3")],
                2,
                Some(5),
            ),
            (vec![("amz-sdk-request", "attempt=x; max=0")], 0, None),
            (vec![("x-stainless-retry-count", "2")], 2, None),
            (vec![], 0, None),
        ] {
            let attempt = read(&headers);
            assert_eq!((attempt.resends, attempt.max), (resends, max), "{headers:?}");
        }
    }

    #[test]
    fn a_request_is_recognised_however_it_is_cut() {
        let mut fields = Fields::default();
        fields.push("x-stainless-retry-count", b"0");
        let digest = |target: &str, parts: &[&str]| {
            let begun = Digester::of(target, &fields)?;
            let whole = parts.iter().try_fold(begun, |digester, part| {
                digester.push(&BodyPart::Bytes(part.as_bytes()))
            })?;
            Some(whole.finish())
        };
        let whole = digest("/v1/messages", &["{\"a\": 1}"]);
        assert!(whole.is_some());
        assert_eq!(whole, digest("/v1/messages", &["{\"a\"", "", ": 1}"]));
        assert_ne!(whole, digest("/v1/message", &["s{\"a\": 1}"]));
        assert_eq!(
            Digester::of("/v1/messages", &Fields::default()).map(Digester::finish),
            None
        );
    }
}
