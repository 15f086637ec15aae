//! Reads the bodies of one call, by the shape that its operation and its model's family give them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::event::Monotonic;

use super::agent;
use super::assembly::Assembly;
use super::body::Body;
use super::content::Content;
use super::family::compatible::Dialect;
use super::family::{Facts, Family, beside, converse, speech};
use super::json::{self, Json, Malformed};
use super::operation::Operation;

/// How the bodies of an operation are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Converse and its stream.
    Converse,
    /// A family's own body.
    Family,
    /// Events of a conversation by voice, on both sides.
    Speech,
    /// Hosted agents and what belongs to them.
    Agent(Operation),
    /// Another vendor's way of speaking.
    Compatible(Dialect),
    /// A guardrail asked by itself.
    Guardrail,
    /// Tokens counted.
    Count,
    /// A job that runs by itself.
    Job,
    /// Not looked into.
    Opaque,
}

/// The bodies of one call, as far as they came.
#[derive(Debug)]
pub(super) struct Reading {
    shape: Shape,
    /// By the model's id.
    family: Option<Family>,
    /// By the bodies, where the id does not tell.
    guess: Option<Family>,
    /// A chunk of the answer has told it.
    answer_told: bool,
    pub(super) facts: Facts,
    assembly: Assembly,
}

impl Reading {
    /// Nothing read yet. `content`: keep what is said.
    pub(super) fn new(operation: Operation, model: Option<&str>, content: bool) -> Self {
        let shape = match operation {
            Operation::Converse | Operation::ConverseStream => Shape::Converse,
            Operation::InvokeModel | Operation::InvokeModelWithResponseStream => Shape::Family,
            Operation::InvokeModelWithBidirectionalStream => Shape::Speech,
            Operation::ChatCompletions => Shape::Compatible(Dialect::ChatCompletions),
            Operation::Responses => Shape::Compatible(Dialect::Responses),
            Operation::Messages => Shape::Compatible(Dialect::Messages),
            Operation::ApplyGuardrail | Operation::InvokeGuardrailChecks => Shape::Guardrail,
            Operation::CountTokens | Operation::MessagesCountTokens => Shape::Count,
            Operation::StartAsyncInvoke | Operation::GetAsyncInvoke => Shape::Job,
            operation if agent::reads(operation) => Shape::Agent(operation),
            _ => Shape::Opaque,
        };
        let content = content && shape != Shape::Opaque;
        Self {
            shape,
            family: model.and_then(Family::of_model),
            guess: None,
            answer_told: false,
            facts: Facts {
                content: content.then(Content::default),
                ..Facts::default()
            },
            assembly: Assembly::new(content),
        }
    }

    /// Whether bodies are looked into.
    pub(super) fn looks_into_bodies(&self) -> bool {
        self.shape != Shape::Opaque
    }

    /// Bytes of text kept.
    pub(super) fn held(&self) -> usize {
        self.assembly.held() + self.facts.agent.held()
    }

    /// Whether the body's own token counts go before Bedrock's metrics.
    pub(super) fn counts_better_than_metrics(&self) -> bool {
        self.shape == Shape::Compatible(Dialect::Messages)
            || self
                .known_family()
                .is_some_and(Family::counts_better_than_metrics)
    }

    /// Whether a stream of this shape ends with an event of its own, and it did not come.
    pub(super) fn lacks_stop_event(&self) -> bool {
        let due = matches!(self.shape, Shape::Converse | Shape::Speech | Shape::Compatible(_))
            || matches!(self.shape, Shape::Agent(operation) if agent::tells_the_end(operation))
            || self.known_family().is_some_and(Family::tells_the_end);
        // A guardrail that steps in leaves out the rest.
        let over = self.facts.ended || self.facts.guardrail.intervened == Some(true);
        due && !over && self.facts.stop_reasons.is_empty()
    }

    /// Reads a request body.
    pub(super) fn request(&mut self, body: &Body) -> Result<(), Malformed> {
        match self.shape {
            Shape::Converse => converse::request(body, &mut self.facts),
            Shape::Family => self.family_of(body).request(body, &mut self.facts),
            Shape::Agent(operation) => agent::request(operation, body, &mut self.facts),
            Shape::Compatible(dialect) => dialect.request(body, &mut self.facts),
            Shape::Guardrail => beside::guardrail_request(body, &mut self.facts),
            Shape::Count => beside::count_request(body, &mut self.facts),
            Shape::Job => beside::job_request(body, &mut self.facts),
            Shape::Speech | Shape::Opaque => Ok(()),
        }
    }

    /// Whether the request is an event-stream as well.
    pub(super) fn asks_in_events(&self) -> bool {
        self.shape == Shape::Speech
    }

    /// Reads one event of a request.
    pub(super) fn request_event(&mut self, event_type: &str, payload: &[u8]) -> Result<(), Malformed> {
        if self.shape != Shape::Speech || event_type != "chunk" {
            return Ok(());
        }
        let inner = chunk_bytes(Json::new(&json::text(payload)))?;
        speech::asked(Json::new(&json::text(&inner)), &mut self.facts)
    }

    /// Reads a response body that came in one piece.
    pub(super) fn response(&mut self, body: &Body) -> Result<(), Malformed> {
        match self.shape {
            Shape::Converse => converse::response(body, &mut self.facts),
            Shape::Family => self.family_of(body).response(body, &mut self.facts),
            Shape::Compatible(dialect) => dialect.response(body, &mut self.facts),
            Shape::Guardrail => beside::guardrail_response(body, &mut self.facts),
            Shape::Count => beside::count_response(body, &mut self.facts),
            Shape::Job => beside::job_response(body, &mut self.facts),
            Shape::Agent(operation) => agent::response(operation, body, &mut self.facts),
            Shape::Speech | Shape::Opaque => Ok(()),
        }
    }

    /// Reads one event of a stream, which came at `time`.
    pub(super) fn event(
        &mut self,
        event_type: &str,
        payload: &[u8],
        time: Monotonic,
    ) -> Result<(), Malformed> {
        let text = json::text(payload);
        let payload = Json::new(&text);
        match self.shape {
            Shape::Converse => converse::event(event_type, payload, &mut self.facts, &mut self.assembly),
            Shape::Family if event_type == "chunk" => self.chunk(payload),
            Shape::Speech if event_type == "chunk" => {
                speech::answered(Json::new(&json::text(&chunk_bytes(payload)?)), &mut self.facts)
            }
            Shape::Agent(operation) => agent::event(
                operation,
                event_type,
                payload,
                time,
                &mut self.facts,
                &mut self.assembly,
            ),
            Shape::Family
            | Shape::Speech
            | Shape::Compatible(_)
            | Shape::Guardrail
            | Shape::Count
            | Shape::Job => Ok(()),
            Shape::Opaque => {
                self.facts.spoke |= matches!(
                    event_type,
                    "chunk" | "output" | "responseEvent" | "contentBlockDelta" | "flowOutputEvent"
                );
                Ok(())
            }
        }
    }

    /// Whether a stream is one of server-sent events, and not of AWS's.
    pub(super) fn answers_in_lines(&self) -> bool {
        matches!(self.shape, Shape::Compatible(_))
            || matches!(self.shape, Shape::Agent(operation) if agent::answers_in_lines(operation))
    }

    /// Reads one server-sent event.
    pub(super) fn server_sent(&mut self, data: &[u8]) -> Result<(), Malformed> {
        match self.shape {
            Shape::Compatible(dialect) => dialect.event(data, &mut self.facts, &mut self.assembly),
            Shape::Agent(operation) => {
                agent::server_sent(operation, Json::new(&json::text(data)), &mut self.facts);
                Ok(())
            }
            Shape::Converse
            | Shape::Family
            | Shape::Speech
            | Shape::Guardrail
            | Shape::Count
            | Shape::Job
            | Shape::Opaque => Ok(()),
        }
    }

    /// Everything that was read. Whether some of a streamed answer did not fit comes beside it.
    pub(super) fn finish(mut self) -> (Facts, bool) {
        let beyond_cap = self.assembly.beyond_cap();
        converse::finish_stream(self.assembly, &mut self.facts);
        (self.facts, beyond_cap)
    }

    /// A chunk of `InvokeModelWithResponseStream`: a family's own JSON in base64.
    fn chunk(&mut self, payload: Json<'_>) -> Result<(), Malformed> {
        let inner = chunk_bytes(payload)?;
        let text = json::text(&inner);
        let chunk = Json::new(&text);
        // Behind an opaque ARN the first chunks may not tell yet.
        if self.family.is_none() && !self.answer_told {
            let told = Family::of_body(chunk);
            self.answer_told = told.is_some();
            self.guess = told.or(self.guess);
        }
        self.known_family()
            .unwrap_or(Family::Other)
            .chunk(chunk, &mut self.facts, &mut self.assembly)
    }

    /// The family, by the body where the model's id does not tell. The answer corrects what the request led to believe:
    /// several families are asked in one way.
    fn family_of(&mut self, body: &Body) -> Family {
        if self.family.is_none() {
            self.guess = Family::of_body(Json::new(&body.text())).or(self.guess);
        }
        self.known_family().unwrap_or(Family::Other)
    }

    fn known_family(&self) -> Option<Family> {
        self.family.or(self.guess)
    }
}

/// What is in a chunk: a model's own JSON in base64.
fn chunk_bytes(payload: Json<'_>) -> Result<Vec<u8>, Malformed> {
    payload
        .member("bytes")
        .and_then(Json::string)
        .and_then(|text| STANDARD.decode(text.as_bytes()).ok())
        .ok_or(Malformed)
}
