//! Agents, knowledge bases and sandboxes that the service hosts: each answers by a fixed script, whatever it is asked.

mod agent;
mod core;
mod knowledge;
pub mod script;
mod time;

use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use serde_json::{Value, json};

use super::answer::Rendered;
use super::body::{Fact, Step};
use super::error::Refusal;
use super::frames::FrameEncoder;

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hosted {
    /// `POST /agents/{agent}/agentAliases/{alias}/sessions/{session}/text`
    InvokeAgent {
        agent: String,
        alias: String,
        session: String,
    },
    /// `POST /knowledgebases/{id}/retrieve`
    Retrieve,
    /// `POST /retrieveAndGenerate`
    RetrieveAndGenerate,
    /// `POST /runtimes/{arn}/invocations`
    InvokeAgentRuntime,
    /// `POST /code-interpreters/{id}/tools/invoke`
    InvokeCodeInterpreter,
}

impl Hosted {
    /// What the path asks for, if it is any of this.
    pub(super) fn of(path: &str) -> Option<Self> {
        let segments: Vec<String> = path
            .split('/')
            .skip(1)
            .map(|segment| {
                percent_encoding::percent_decode_str(segment)
                    .decode_utf8_lossy()
                    .into_owned()
            })
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        Some(match segments.as_slice() {
            [
                "agents",
                agent,
                "agentAliases",
                alias,
                "sessions",
                session,
                "text",
            ] => Self::InvokeAgent {
                agent: (*agent).to_owned(),
                alias: (*alias).to_owned(),
                session: (*session).to_owned(),
            },
            ["knowledgebases", _, "retrieve"] => Self::Retrieve,
            ["retrieveAndGenerate"] => Self::RetrieveAndGenerate,
            ["runtimes", _, "invocations"] => Self::InvokeAgentRuntime,
            ["code-interpreters", _, "tools", "invoke"] => Self::InvokeCodeInterpreter,
            _ => return None,
        })
    }

    /// The answer, and whether it is a stream.
    pub(super) fn answer(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        request_id: &str,
    ) -> Result<(Rendered, bool), Refusal> {
        // What an agent in a runtime is told is its own affair.
        let read = || {
            serde_json::from_slice::<Value>(body)
                .map_err(|_| Refusal::validation("The request body is not JSON."))
        };
        Ok(match self {
            Self::InvokeAgent {
                agent,
                alias,
                session,
            } => (
                agent::answer((agent, alias, session), &read()?, request_id)?,
                true,
            ),
            Self::Retrieve => (knowledge::retrieve(&read()?)?, false),
            Self::RetrieveAndGenerate => (knowledge::generate(&read()?)?, false),
            Self::InvokeAgentRuntime => core::runtime(headers),
            Self::InvokeCodeInterpreter => (core::interpreter(headers, &read()?)?, true),
        })
    }
}

/// A body of JSON.
fn document(body: &Value, text: &str) -> Rendered {
    Rendered {
        content_type: "application/json",
        fields: Vec::new(),
        steps: vec![Step::Write {
            bytes: body.to_string().into(),
            facts: vec![Fact::Content(text.to_owned())],
        }],
    }
}

/// A stream of AWS's frames under way.
#[derive(Debug, Default)]
struct Frames {
    encoder: FrameEncoder,
    steps: Vec<Step>,
}

impl Frames {
    fn event(&mut self, kind: &str, payload: Value, text: &str) {
        let bytes = self.encoder.event(kind, payload);
        let mut facts = vec![Fact::Frame];
        facts.extend((!text.is_empty()).then(|| Fact::Content(text.to_owned())));
        self.steps.push(Step::Write { bytes, facts });
    }

    fn pause(&mut self, milliseconds: u64) {
        self.steps.push(Step::Wait(Duration::from_millis(milliseconds)));
    }

    fn rendered(self, fields: Vec<(&'static str, String)>) -> Rendered {
        Rendered {
            content_type: "application/vnd.amazon.eventstream",
            fields,
            steps: self.steps,
        }
    }
}

/// One server-sent event with a text as JSON.
fn sent(text: &str) -> Step {
    Step::Write {
        bytes: Bytes::from(format!("data: {}\n\n", json!(text))),
        facts: vec![Fact::Content(text.to_owned())],
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
