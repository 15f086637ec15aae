//! Calls and the sessions they belong to.

use super::Play;
use crate::bedrock::session::{Session, SessionSource};
use crate::bedrock::{Calls, Settings};

const ANSWER: &str = r#"{"output": {}, "stopReason": "end_turn"}"#;

fn told(play: &mut Play, response: &[(&str, &str)]) -> Option<(String, SessionSource)> {
    let session = play.response(200, response).answer(ANSWER).call().session;
    session.map(|Session { id, source }| (id, source))
}

#[test]
fn the_sources_of_a_session_in_order() {
    let mut play = Play::new("POST", "/agents/A/agentAliases/L/sessions/of-path/text");
    play.header("baggage", "user.id=u,session.id=of%20baggage;p=1");
    assert_eq!(
        told(
            play.request("{}"),
            &[("x-amz-bedrock-agent-session-id", "of-response")]
        ),
        Some(("of-response".into(), SessionSource::Response))
    );
    assert_eq!(
        told(play.again().request("{}"), &[]),
        Some(("of-path".into(), SessionSource::Path))
    );
    play.header("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "of-request");
    assert_eq!(
        told(play.again().request("{}"), &[]),
        Some(("of-request".into(), SessionSource::Request))
    );
}

#[test]
fn what_the_caller_says_of_the_call_goes_before_its_baggage() {
    let mut play = Play::converse();
    play.header("baggage", "session.id=of-baggage");
    assert_eq!(
        told(play.request("{}"), &[]),
        Some(("of-baggage".into(), SessionSource::Baggage))
    );
    let body = r#"{"requestMetadata": {"tenant": "t", "sessionId": "of-metadata"}}"#;
    assert_eq!(
        told(play.again().request(body), &[]),
        Some(("of-metadata".into(), SessionSource::Metadata))
    );
}

#[test]
fn a_header_that_the_user_named_is_read_in_the_order_of_naming() {
    let named = |names: &[&str]| Settings {
        session_headers: names.iter().map(|name| name.parse().expect("a name")).collect(),
        ..Settings::default()
    };
    let mut play = Play::converse().with(Calls::new(named(&["x-chat", "X-Session"])));
    play.header("x-session", "s").header("baggage", "session.id=b");
    assert_eq!(
        told(play.request("{}"), &[]),
        Some(("s".into(), SessionSource::NamedHeader))
    );
    play.header("x-chat", "c");
    assert_eq!(
        told(play.again().request("{}"), &[]),
        Some(("c".into(), SessionSource::NamedHeader))
    );
}

#[test]
fn the_metadata_of_invoke_model_comes_in_a_header() {
    let mut play = Play::invoke("amazon.titan-text-lite-v1");
    play.header("X-Amzn-Bedrock-Request-Metadata", r#"{"conversation_id":"c-1"}"#);
    assert_eq!(
        told(play.request("{}"), &[]),
        Some(("c-1".into(), SessionSource::Metadata))
    );
}

#[test]
fn a_call_without_a_session_has_none() {
    let mut play = Play::converse();
    play.header("baggage", "user.id=u")
        .header("x-session-id", "not named");
    assert_eq!(
        told(play.request(r#"{"requestMetadata": {"userId": "u"}}"#), &[]),
        None
    );
}
