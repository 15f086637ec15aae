//! The endpoints that speak as other vendors' do: `OpenAI`'s Chat Completions and Responses, Anthropic's Messages. Model and
//! streaming are asked for in the body, and a stream is one of server-sent events.

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::failure::ErrorBody;
use super::super::json::{self, Json, Malformed};
use super::super::session::{Session, SessionSource};
use super::{Facts, anthropic, chat, responses, set};

/// Members of a request that all of them have.
const REQUEST: [&str; 6] = [
    "model",
    "stream",
    "service_tier",
    "metadata",
    "conversation",
    "amazon-bedrock-guardrailConfig",
];

/// Which vendor's way of speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bedrock) enum Dialect {
    /// `OpenAI`'s Chat Completions.
    ChatCompletions,
    /// `OpenAI`'s Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

impl Dialect {
    /// Reads a request body.
    pub(in crate::bedrock) fn request(self, body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
        let envelope = body.members(&REQUEST, |name, value| match name {
            "model" => set(&mut facts.asked_model, value.text()),
            "stream" => set(&mut facts.asked_stream, value.truth()),
            "service_tier" => facts.billing.take_tier(value.text().as_deref()),
            "metadata" => Session::prefer(&mut facts.session, Session::of_metadata(value)),
            "conversation" => {
                let id = value.text().or_else(|| value.member("id").and_then(Json::text));
                let session = id.and_then(|id| Session::new(id, SessionSource::Body));
                Session::prefer(&mut facts.session, session);
            }
            "amazon-bedrock-guardrailConfig" => facts.guardrail.take_config(value),
            _ => {}
        });
        let own = match self {
            Dialect::ChatCompletions => chat::request(body, facts),
            Dialect::Responses => responses::request(body, facts),
            Dialect::Messages => anthropic::request(body, facts),
        };
        envelope.and(own)
    }

    /// Reads a response body that came in one piece.
    pub(in crate::bedrock) fn response(self, body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
        match self {
            Dialect::ChatCompletions => chat::response(body, facts),
            Dialect::Responses => responses::response(body, facts),
            Dialect::Messages => anthropic::response(body, facts),
        }
    }

    /// Reads the data of one server-sent event. Its kind is said in the data again, where there is one.
    pub(in crate::bedrock) fn event(
        self,
        data: &[u8],
        facts: &mut Facts,
        assembly: &mut Assembly,
    ) -> Result<(), Malformed> {
        if self == Dialect::ChatCompletions && data.trim_ascii() == b"[DONE]" {
            facts.ended = true;
            return Ok(());
        }
        let text = json::text(data);
        let event = Json::new(&text);
        if event.member("error").is_some_and(Json::is_object) {
            facts.fail(ErrorBody::read(data));
            return Ok(());
        }
        match self {
            Dialect::ChatCompletions => chat::chunk(event, facts, assembly),
            Dialect::Responses => responses::event(event, facts, assembly),
            Dialect::Messages => anthropic::chunk(event, facts, assembly),
        }
    }
}
