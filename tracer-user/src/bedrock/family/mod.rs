//! Body families: each vendor's models speak in bodies of their own through `InvokeModel`; Converse speaks one for all.
//!
//! A family is told by the model id, or, behind an opaque ARN, by the body. Every family reads into the same [`Facts`].

pub(super) mod anthropic;
mod blocks;
pub(super) mod converse;
mod nova;
mod other;
pub(super) mod speech;
mod titan;

use super::assembly::Assembly;
use super::body::Body;
use super::call::{Guardrail, MAX_STOP_REASONS, MAX_TOOL_CALLS, ToolCall, Usage};
use super::content::Content;
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
    /// Why each choice ended.
    pub stop_reasons: Vec<StopReason>,
    /// Id of the answer.
    pub response_id: Option<String>,
    /// Model that answered.
    pub response_model: Option<String>,
    /// Tools the model asks for.
    pub tool_calls: Vec<ToolCall>,
    /// The guardrail.
    pub guardrail: Guardrail,
    /// Time Bedrock says it took.
    pub server_latency_ms: Option<u64>,
    /// Token counts of the body itself.
    pub usage: Usage,
    /// Token counts that Bedrock adds to the last chunk of a stream.
    pub metrics: Usage,
    /// An error within the body: code and message.
    pub error: Option<(String, Option<String>)>,
    /// Some of the answer proper has come.
    pub spoke: bool,
    /// The event that ends an answer has come.
    pub ended: bool,
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

    fn tool_call(&mut self, id: Option<String>, name: Option<String>) {
        if self.tool_calls.len() < MAX_TOOL_CALLS {
            self.tool_calls.push(ToolCall { id, name });
        }
    }

    /// Members that Bedrock itself adds to bodies of any family.
    fn take_bedrocks_own(&mut self, name: &str, value: Json<'_>) {
        match name {
            "amazon-bedrock-invocationMetrics" => {
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
    /// Any other: what is common to most bodies, headers and Bedrock's own metrics.
    Other,
}

impl Family {
    /// The family of a model id or ARN; `None` where the id does not tell.
    pub fn of_model(model: &str) -> Option<Self> {
        let name = vendor_name(model)?;
        let (vendor, rest) = name.split_once('.')?;
        Some(match vendor {
            "anthropic" => Family::Anthropic,
            "amazon" if rest.starts_with("titan-text") || rest.starts_with("titan-tg") => Family::TitanText,
            "amazon" if rest.starts_with("nova") && Task::of_model(model).is_none() => Family::Nova,
            _ => Family::Other,
        })
    }

    /// The family of a body, by members that no other family has.
    pub fn of_body(body: Json<'_>) -> Option<Self> {
        let mut family = None;
        let _broken = body.members(|name, value| {
            let found = match name {
                "anthropic_version" | "max_tokens_to_sample" | "completion" | "content_block" => {
                    Family::Anthropic
                }
                "type" => match value.text().as_deref() {
                    Some(
                        "message"
                        | "message_start"
                        | "message_delta"
                        | "message_stop"
                        | "content_block_start"
                        | "content_block_delta"
                        | "content_block_stop",
                    ) => Family::Anthropic,
                    _ => return,
                },
                "schemaVersion" | "inferenceConfig" | "messageStart" | "contentBlockStart"
                | "contentBlockDelta" | "contentBlockStop" | "messageStop" | "metadata" | "stopReason" => {
                    Family::Nova
                }
                "textGenerationConfig" | "outputText" => Family::TitanText,
                "inputTextTokenCount" if family.is_none() => Family::TitanText,
                _ => return,
            };
            family = Some(found);
        });
        family
    }

    /// Whether the body's own token counts are to be believed before Bedrock's metrics. Claude's last `message_delta` counts
    /// tool calls in full, the metrics of the same stream do not (recorded: 133 against 97).
    pub fn counts_better_than_metrics(self) -> bool {
        matches!(self, Family::Anthropic)
    }

    /// Reads a request body.
    pub fn request(self, body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
        match self {
            Family::Anthropic => anthropic::request(body, facts),
            Family::Nova => nova::request(body, facts),
            Family::TitanText => titan::request(body, facts),
            Family::Other => other::request(body, facts),
        }
    }

    /// Reads a response body that came in one piece.
    pub fn response(self, body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
        match self {
            Family::Anthropic => anthropic::response(body, facts),
            Family::Nova => nova::response(body, facts),
            Family::TitanText => titan::response(body, facts),
            Family::Other => other::response(body, facts),
        }
    }

    /// Reads one chunk of a streamed response.
    pub fn chunk(self, chunk: Json<'_>, facts: &mut Facts, assembly: &mut Assembly) -> Result<(), Malformed> {
        match self {
            Family::Anthropic => anthropic::chunk(chunk, facts, assembly),
            Family::Nova => nova::chunk(chunk, facts, assembly),
            Family::TitanText => titan::chunk(chunk, facts, assembly),
            Family::Other => other::chunk(chunk, facts),
        }
    }
}

impl Task {
    /// What a model is for, where its id tells that it is not for text.
    pub fn of_model(model: &str) -> Option<Self> {
        let name = vendor_name(model)?;
        let has = |part: &str| name.contains(part);
        if has("embed") || has("marengo") {
            Some(Task::Embedding)
        } else if has("rerank") {
            Some(Task::Ranking)
        } else if has("titan-image") || has("nova-canvas") || name.starts_with("stability.") {
            Some(Task::Image)
        } else {
            None
        }
    }
}

/// Vendors with models on Bedrock, as model ids begin.
const VENDORS: [&str; 18] = [
    "ai21",
    "amazon",
    "anthropic",
    "cohere",
    "deepseek",
    "google",
    "luma",
    "meta",
    "minimax",
    "mistral",
    "moonshot",
    "nvidia",
    "openai",
    "qwen",
    "stability",
    "twelvelabs",
    "writer",
    "zai",
];

/// The part of a model id or ARN that begins with the vendor: `us.anthropic.claude…` and
/// `arn:aws:bedrock:…:inference-profile/us.anthropic.claude…` are both `anthropic.claude…`.
fn vendor_name(model: &str) -> Option<&str> {
    model.split('/').rev().find_map(|part| {
        let begins_with_vendor = |name: &str| {
            name.split_once('.')
                .is_some_and(|(vendor, _)| VENDORS.contains(&vendor))
        };
        if begins_with_vendor(part) {
            return Some(part);
        }
        let (_region, name) = part.split_once('.')?;
        begins_with_vendor(name).then_some(name)
    })
}
