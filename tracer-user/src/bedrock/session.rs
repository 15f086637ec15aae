//! Which session a call belongs to, and who says so.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::json::Json;
use crate::scrub;

/// Longest session id taken over. Bedrock's own have at most 256 characters (`InvokeAgentRuntimeRequest.runtimeSessionId`).
pub const MAX_SESSION: usize = 1024;

/// Most headers that may be named.
pub const MAX_SESSION_HEADERS: usize = 16;

/// A session and where it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id, as it was told.
    pub id: String,
    /// Who told it.
    pub source: SessionSource,
}

/// Where a session was told. Of several that differ the first of this list counts: what the service itself keeps a session
/// by, then what was named to geophone, then what the caller says of this call, then what it says of all it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionSource {
    /// A header of the response: agents, knowledge bases, `AgentCore`.
    Response,
    /// A header of the request to `AgentCore`.
    Request,
    /// The path of a request to an agent.
    Path,
    /// A member of a body that the service reads or writes: `sessionId`, `conversation`.
    Body,
    /// A request header that the user named.
    NamedHeader,
    /// The request's metadata: `requestMetadata` of Converse, its header for `InvokeModel`, `metadata` of `OpenAI`'s bodies.
    Metadata,
    /// `session.id` of the `baggage` header.
    Baggage,
}

impl Session {
    /// A session, unless the id cannot be one.
    pub fn new(id: impl Into<String>, source: SessionSource) -> Option<Self> {
        let id = id.into();
        let fits = !id.trim().is_empty() && id.len() <= MAX_SESSION && !id.contains(char::is_control);
        fits.then_some(Self { id, source })
    }

    /// Of two sessions the one whose source counts more; of the same source the one that was there first.
    pub fn prefer(place: &mut Option<Session>, other: Option<Session>) {
        if let Some(other) = other
            && place.as_ref().is_none_or(|known| other.source < known.source)
        {
            *place = Some(other);
        }
    }

    /// The session that an object of metadata names: a member `session.id`, `sessionId`, `session_id`, …, else one for the
    /// conversation or the thread of messages.
    pub fn of_metadata(metadata: Json<'_>) -> Option<Self> {
        let mut best: Option<(usize, Session)> = None;
        let _broken = metadata.members(|name, value| {
            let key: String = name
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .map(|character| character.to_ascii_lowercase())
                .collect();
            let Some(rank) = METADATA_KEYS.iter().position(|known| *known == key) else {
                return;
            };
            if best.as_ref().is_some_and(|(before, _)| *before <= rank) {
                return;
            }
            let session = value
                .text()
                .and_then(|id| Session::new(id, SessionSource::Metadata));
            best = session.map(|session| (rank, session)).or(best.take());
        });
        best.map(|(_, session)| session)
    }
}

/// Names for a session in metadata, without case and punctuation, the best first.
const METADATA_KEYS: [&str; 5] = [
    "sessionid",
    "conversationid",
    "genaiconversationid",
    "threadid",
    "chatid",
];

/// A request header that holds a session: a valid name, and no credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionHeader(Arc<str>);

impl SessionHeader {
    /// The name in lower case.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// Why a header cannot be asked for its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadSessionHeader {
    /// No header can have that name (RFC 9110, section 5.6.2).
    NotAName,
    /// It holds a credential, which nothing but the scrubber ever sees.
    Credential,
}

impl fmt::Display for BadSessionHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            BadSessionHeader::NotAName => {
                "no header can have that name; give one name without colon or value, such as x-session-id"
            }
            BadSessionHeader::Credential => {
                "this header holds a credential, which geophone blanks before it reads anything; name one that holds a session"
            }
        })
    }
}

impl std::error::Error for BadSessionHeader {}

impl FromStr for SessionHeader {
    type Err = BadSessionHeader;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > 128 || !text.bytes().all(token) {
            return Err(BadSessionHeader::NotAName);
        }
        if scrub::is_credential(text) {
            return Err(BadSessionHeader::Credential);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_names_the_session_in_many_ways() {
        for (metadata, id) in [
            (r#"{"tenant": "a", "sessionId": "s-1"}"#, Some("s-1")),
            (r#"{"session.id": "s-1", "thread_id": "t"}"#, Some("s-1")),
            (r#"{"conversation-id": "c", "Session_ID": "s-1"}"#, Some("s-1")),
            (r#"{"gen_ai.conversation.id": "c"}"#, Some("c")),
            (r#"{"sessionId": "", "threadId": "t"}"#, Some("t")),
            (r#"{"sessionId": {"a": 1}}"#, None),
            (r#"{"user": "u", "sessionIds": "x"}"#, None),
            ("[1", None),
        ] {
            let session = Session::of_metadata(Json::new(metadata));
            assert_eq!(session.map(|session| session.id).as_deref(), id, "{metadata}");
        }
    }

    #[test]
    fn what_cannot_be_an_id_is_none() {
        for id in ["", "  ", "a\u{0}b", "a\nb", &"x".repeat(MAX_SESSION + 1)] {
            assert_eq!(Session::new(id, SessionSource::Path), None, "{id:?}");
        }
    }

    #[test]
    fn the_service_goes_before_the_caller() {
        let mut place = None;
        for source in [
            SessionSource::Baggage,
            SessionSource::Metadata,
            SessionSource::NamedHeader,
        ] {
            Session::prefer(&mut place, Session::new(format!("{source:?}"), source));
        }
        Session::prefer(&mut place, Session::new("second", SessionSource::NamedHeader));
        assert_eq!(
            place.as_ref().map(|session| session.id.as_str()),
            Some("NamedHeader")
        );
        Session::prefer(&mut place, Session::new("aws", SessionSource::Response));
        Session::prefer(&mut place, None);
        Session::prefer(&mut place, Session::new("path", SessionSource::Path));
        assert_eq!(place.map(|session| session.id).as_deref(), Some("aws"));
    }

    #[test]
    fn a_header_of_the_users_choice_is_never_a_credential() {
        let header: SessionHeader = "X-Conversation-Id".parse().expect("a name");
        assert_eq!(header.name(), "x-conversation-id");
        for name in [
            "Authorization",
            "proxy-authorization",
            "Cookie",
            "x-api-key",
            "X-Amz-Security-Token",
        ] {
            assert_eq!(
                name.parse::<SessionHeader>(),
                Err(BadSessionHeader::Credential),
                "{name}"
            );
        }
        for name in ["", "x-session-id: 1", "a b", ":path", "ü"] {
            assert_eq!(
                name.parse::<SessionHeader>(),
                Err(BadSessionHeader::NotAName),
                "{name}"
            );
        }
    }
}
