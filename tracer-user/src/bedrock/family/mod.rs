//! Body families: each vendor's models speak in bodies of their own through `InvokeModel`; Converse speaks one for all.
//!
//! A family is told by the model id, or, behind an opaque ARN, by the body. Every family reads into the same [`Facts`].

pub(super) mod anthropic;
pub mod beside;
mod blocks;
mod chat;
mod cohere;
pub(super) mod compatible;
mod completions;
pub(super) mod converse;
mod embedding;
mod identity;
mod image;
mod jurassic;
mod llama;
mod mistral;
mod nova;
mod other;
mod ranking;
mod responses;
pub(super) mod speech;
mod titan;
mod video;

use super::agent::Agent;
use beside::Job;

use super::assembly::Assembly;
use super::billing::Billing;
use super::body::Body;
use super::call::{MAX_STOP_REASONS, MAX_TOOL_CALLS, ToolCall, Usage};
use super::content::{Content, Message};
use super::failure::ErrorBody;
use super::guardrail::Guardrail;
use super::json::{Json, Malformed};
use super::parameters::Parameters;
use super::session::Session;
use super::stop::StopReason;

/// What bodies say, whatever their shape.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// Inference parameters.
    pub parameters: Parameters,
    /// What the model is asked for.
    pub task: Option<Task>,
    /// Model asked for in the body.
    pub asked_model: Option<String>,
    /// Whether the body asks for a stream.
    pub asked_stream: Option<bool>,
    /// Why each choice ended.
    pub stop_reasons: Vec<StopReason>,
    /// Numbers of the choices that ended in a stream which has several, in the order of their reasons.
    pub stopped: Vec<u64>,
    /// Id of the answer.
    pub response_id: Option<String>,
    /// Model that answered.
    pub response_model: Option<String>,
    /// Tools the model asks for.
    pub tool_calls: Vec<ToolCall>,
    /// Tokens that a request would be.
    pub counted_tokens: Option<u64>,
    /// A job that runs by itself.
    pub job: Job,
    /// The guardrail.
    pub guardrail: Guardrail,
    /// Time Bedrock says it took.
    pub server_latency_ms: Option<u64>,
    /// Token counts of the body itself.
    pub usage: Usage,
    /// Token counts that Bedrock adds to the last chunk of a stream.
    pub metrics: Usage,
    /// What decides the price beside them.
    pub billing: Billing,
    /// An error within the body: code and message.
    pub error: Option<(String, Option<String>)>,
    /// Some of the answer proper has come.
    pub spoke: bool,
    /// The event that ends an answer has come.
    pub ended: bool,
    /// What a hosted agent says and did.
    pub agent: Agent,
    /// Session that a body names.
    pub session: Option<Session>,
    /// Prompt and answer, if they are wanted.
    pub content: Option<Content>,
}

impl Facts {
    fn stop(&mut self, reason: Option<String>) {
        if let Some(wire) = reason
            && self.stop_reasons.len() < MAX_STOP_REASONS
        {
            self.stop_reasons.push(StopReason { wire });
        }
    }

    /// The same of one of several choices, which may end in any order.
    fn stop_choice(&mut self, choice: u64, reason: Option<String>) {
        let Some(wire) = reason else { return };
        match self.stopped.binary_search(&choice) {
            Err(place) if self.stop_reasons.len() < MAX_STOP_REASONS && place <= self.stop_reasons.len() => {
                self.stopped.insert(place, choice);
                self.stop_reasons.insert(place, StopReason { wire });
            }
            // It was told already, or there is no room.
            Ok(_) | Err(_) => {}
        }
    }

    fn tool_call(&mut self, id: Option<String>, name: Option<String>) {
        if self.tool_calls.len() < MAX_TOOL_CALLS {
            self.tool_calls.push(ToolCall { id, name });
        }
    }

    /// A text of the request, if it is wanted.
    fn asked(&mut self, role: &str, value: Json<'_>) {
        if self.content.is_some() {
            self.asked_text(role, &value.string().unwrap_or_default());
        }
    }

    /// The same, unescaped already.
    fn asked_text(&mut self, role: &str, text: &str) {
        if let Some(content) = &mut self.content
            && content.asked.envelope()
        {
            let text = content.asked.cut_to_fit(text);
            content.input.push(Message::text(role, text));
        }
    }

    /// The whole text of one choice.
    fn answered(&mut self, value: Json<'_>) {
        self.spoke = true;
        if let Some(content) = &mut self.content
            && content.answered.envelope()
        {
            let text = content.answered.text(Some(value));
            content.output.push(Message::text("assistant", text));
        }
    }

    /// The whole text of one choice, in which the model may have thought aloud.
    fn answered_with_thoughts(&mut self, value: Json<'_>) {
        self.answered(value);
        if let Some(content) = &mut self.content {
            let last = content.output.pop();
            content.output.extend(last.map(Message::with_thoughts_told));
        }
    }

    /// A piece of the text of one choice.
    fn piece(&mut self, choice: u64, value: Json<'_>, assembly: &mut Assembly) {
        let text = value.string().unwrap_or_default();
        self.spoke |= !text.is_empty();
        assembly.choice(choice);
        assembly.text(0, &text);
    }

    /// A code and a message within an answer.
    fn fail(&mut self, error: ErrorBody) {
        let ErrorBody { code, message } = error;
        self.error = Some((code.unwrap_or_else(|| "error".to_owned()), message));
    }

    /// Members that Bedrock itself adds to bodies of any family.
    fn take_bedrocks_own(&mut self, name: &str, value: Json<'_>) {
        match name {
            "amazon-bedrock-invocationMetrics" => {
                // They come with the last chunk.
                self.ended = true;
                let metrics = &mut self.metrics;
                let latency = &mut self.server_latency_ms;
                let _broken = value.members(|name, value| match name {
                    "inputTokenCount" => set(&mut metrics.input, value.count()),
                    "outputTokenCount" => set(&mut metrics.output, value.count()),
                    "cacheReadInputTokenCount" => set(&mut metrics.cache_read, value.count()),
                    "cacheWriteInputTokenCount" => set(&mut metrics.cache_write, value.count()),
                    "invocationLatency" => set(latency, value.count()),
                    _ => {}
                });
            }
            "amazon-bedrock-guardrailAction" => {
                self.guardrail.intervened = value.text().map(|action| action == "INTERVENED");
            }
            "amazon-bedrock-trace" => {
                if let Some(trace) = value.member("guardrail") {
                    let told = self.guardrail.intervened;
                    self.guardrail.take_trace(trace);
                    self.guardrail.intervened = told.or(self.guardrail.intervened);
                }
            }
            _ => {}
        }
    }
}

/// A value of the wrong type takes nothing away.
fn set<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}

/// What a model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// A conversation.
    Chat,
    /// A text is carried on.
    Completion,
    /// Vectors for texts or images.
    Embedding,
    /// Documents are put in order.
    Ranking,
    /// An image.
    Image,
    /// A film.
    Video,
}

/// Shape of the bodies of `InvokeModel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Claude: messages, and the older prompt and completion.
    Anthropic,
    /// Amazon Nova's models of understanding.
    Nova,
    /// Amazon Titan Text.
    TitanText,
    /// Meta's Llama.
    Llama,
    /// Mistral's prompt and outputs.
    Mistral,
    /// `OpenAI`'s messages and choices.
    Chat,
    /// `OpenAI`'s older prompt and choices.
    Completions,
    /// Cohere's prompt and generations.
    Command,
    /// Cohere's message and text.
    CommandR,
    /// AI21's prompt and completions.
    Jurassic,
    /// Vectors of any vendor.
    Embedding,
    /// An order of documents.
    Ranking,
    /// Images of any vendor.
    Image,
    /// Films.
    Video,
    /// Films told in text.
    Pegasus,
    /// Any other: what is common to most bodies, headers and Bedrock's own metrics.
    Other,
}

impl Family {
    /// Whether the body's own token counts are to be believed before Bedrock's metrics. Claude's last `message_delta` counts
    /// tool calls in full, the metrics of the same stream do not (recorded: 133 against 97).
    pub fn counts_better_than_metrics(self) -> bool {
        matches!(self, Family::Anthropic)
    }

    /// Whether its streams end with an event or a reason.
    pub fn tells_the_end(self) -> bool {
        match self {
            Family::Anthropic
            | Family::Nova
            | Family::TitanText
            | Family::Llama
            | Family::Mistral
            | Family::Chat
            | Family::Completions
            | Family::Command
            | Family::CommandR => true,
            Family::Jurassic
            | Family::Embedding
            | Family::Ranking
            | Family::Image
            | Family::Video
            | Family::Pegasus
            | Family::Other => false,
        }
    }

    /// Reads a request body.
    pub fn request(self, body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
        match self {
            Family::Anthropic => anthropic::request(body, facts),
            Family::Nova => nova::request(body, facts),
            Family::TitanText => titan::request(body, facts),
            Family::Llama => llama::request(body, facts),
            Family::Mistral => mistral::request(body, facts),
            Family::Chat => chat::request(body, facts),
            Family::Completions => completions::request(body, facts),
            Family::Command | Family::CommandR => cohere::request(body, facts),
            Family::Jurassic => jurassic::request(body, facts),
            Family::Embedding => embedding::request(body, facts),
            Family::Ranking => ranking::request(body, facts),
            Family::Image => image::request(body, facts),
            Family::Video => video::film_request(body, facts),
            Family::Pegasus => video::request(body, facts),
            Family::Other => other::request(body, facts),
        }
    }

    /// Reads a response body that came in one piece.
    pub fn response(self, body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
        match self {
            Family::Anthropic => anthropic::response(body, facts),
            Family::Nova => nova::response(body, facts),
            Family::TitanText => titan::response(body, facts),
            Family::Llama => llama::response(body, facts),
            Family::Mistral => mistral::response(body, facts),
            Family::Chat => chat::response(body, facts),
            Family::Completions => completions::response(body, facts),
            Family::Command => cohere::generations(body, facts),
            Family::CommandR => cohere::reply(body, facts),
            Family::Jurassic => jurassic::response(body, facts),
            Family::Embedding => embedding::response(body, facts),
            Family::Ranking => ranking::response(body, facts),
            Family::Image => image::response(body, facts),
            Family::Video => video::film_response(body, facts),
            Family::Pegasus => video::response(body, facts),
            Family::Other => other::response(body, facts),
        }
    }

    /// Reads one chunk of a streamed response.
    pub fn chunk(self, chunk: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) -> Result<(), Malformed> {
        match self {
            Family::Anthropic => anthropic::chunk(chunk, facts, assembly),
            Family::Nova => nova::chunk(chunk, facts, assembly),
            Family::TitanText => titan::chunk(chunk, facts, assembly),
            Family::Llama => llama::chunk(chunk, facts, assembly),
            Family::Mistral => mistral::chunk(chunk, facts, assembly),
            Family::Chat => chat::chunk(chunk, facts, assembly),
            Family::Completions => completions::chunk(chunk, facts, assembly),
            Family::Command => cohere::generation_chunk(chunk, facts, assembly),
            Family::CommandR => cohere::reply_chunk(chunk, facts, assembly),
            Family::Pegasus => video::chunk(chunk, facts, assembly),
            Family::Jurassic
            | Family::Embedding
            | Family::Ranking
            | Family::Image
            | Family::Video
            | Family::Other => other::chunk(chunk, facts, assembly),
        }
    }
}
