//! `Call`: one Bedrock call as a plain value, with everything a span may say about it.

use crate::event::{ConnectionKey, Monotonic};
use crate::http::{Completion, ExchangeNumber};

use super::agent::{AgentFacts, AgentStep};
use super::attempt::{Attempt, Outcome};
use super::billing::Billing;
use super::content::Content;
use super::failure::Failure;
use super::family::Task;
use super::family::beside::Job;
use super::guardrail::Guardrail;
use super::pace::Pace;
use super::parameters::Parameters;
use super::route::Route;
use super::session::Session;
use super::stop::StopReason;

/// Most tool calls kept of one answer.
pub const MAX_TOOL_CALLS: usize = 256;

/// Most stop reasons kept of one answer.
pub const MAX_STOP_REASONS: usize = 64;

/// One call, finished or given up.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Connection it went over.
    pub connection: ConnectionKey,
    /// Which exchange of that connection.
    pub exchange: ExchangeNumber,
    /// Thread that wrote the request.
    pub thread: u32,
    /// Operation, server, region and what the path names.
    pub route: Route,
    /// What the body asks for; `None` where the operation tells it.
    pub task: Option<Task>,
    /// Whether the answer was asked for, or came, as a stream.
    pub streaming: bool,
    /// Trace headers as sent.
    pub trace: TraceHeaders,
    /// Which attempt of the SDK's call this is.
    pub attempt: Attempt,
    /// All attempts that were seen, in order, where there was more than this one: the call is then told as a whole.
    pub attempts: Vec<Outcome>,
    /// Inference parameters.
    pub parameters: Parameters,
    /// Token counts.
    pub usage: Usage,
    /// What decides the price beside them.
    pub billing: Billing,
    /// Why each choice ended, in order.
    pub stop_reasons: Vec<StopReason>,
    /// Id of the answer, given by the model's body.
    pub response_id: Option<String>,
    /// Model that answered, where the answer says so.
    pub response_model: Option<String>,
    /// Tools the model asks to be called.
    pub tool_calls: Vec<ToolCall>,
    /// The first call of the loop that it is proven to belong to, where loops are asked for.
    pub tool_loop: Option<Origin>,
    /// Results of tools that the request carries, if they were asked for.
    pub tool_results: Vec<ToolResult>,
    /// Tokens that a request would be, where that was asked.
    pub counted_tokens: Option<u64>,
    /// A job that runs by itself.
    pub job: Job,
    /// Guardrail that was asked for and what it did.
    pub guardrail: Guardrail,
    /// What it says about a hosted agent.
    pub agent: AgentFacts,
    /// What the agent did to answer, as its trace tells it. A step stands behind the one that it was part of.
    pub steps: Vec<AgentStep>,
    /// Session it belongs to.
    pub session: Option<Session>,
    /// HTTP status; `None` if no answer came.
    pub status: Option<u16>,
    /// Why the call failed.
    pub failure: Option<Failure>,
    /// `x-amzn-RequestId`.
    pub request_id: Option<String>,
    /// Time that Bedrock says it took, in milliseconds.
    pub server_latency_ms: Option<u64>,
    /// When what passed.
    pub timings: Timings,
    /// How the pieces of a streamed answer followed each other.
    pub pace: Pace,
    /// How the exchange ended.
    pub completion: Completion,
    /// Why some of it is missing.
    pub gaps: Gaps,
    /// Prompt and answer, if they were asked for.
    pub content: Option<Content>,
}

/// The exchange that something larger began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Connection it went over.
    pub connection: ConnectionKey,
    /// Which exchange of that connection.
    pub exchange: ExchangeNumber,
    /// Its trace headers.
    pub trace: TraceHeaders,
}

/// Trace headers as they were sent, not judged yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceHeaders {
    /// W3C `traceparent`.
    pub traceparent: Option<String>,
    /// W3C `tracestate`, several lines joined.
    pub tracestate: Option<String>,
    /// `X-Amzn-Trace-Id`.
    pub amazon: Option<String>,
}

/// Token counts as the wire gives them. Bedrock's `input` leaves out what was read from or written to a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Input tokens without cached ones.
    pub input: Option<u64>,
    /// Output tokens.
    pub output: Option<u64>,
    /// Input tokens read from a cache.
    pub cache_read: Option<u64>,
    /// Input tokens written to a cache.
    pub cache_write: Option<u64>,
    /// Of those, the ones kept for an hour and not for five minutes.
    pub cache_write_1h: Option<u64>,
    /// Of the output tokens, those spent on reasoning.
    pub reasoning: Option<u64>,
    /// Whether `input` holds the cached tokens already, as in `OpenAI`'s bodies.
    pub input_is_total: bool,
}

impl Usage {
    /// Fills what is unknown here from another source.
    #[must_use]
    pub fn or(self, other: Usage) -> Usage {
        // Two sources that count in different ways must not be added up.
        let mixed =
            self.input.is_some() && other.input.is_some() && self.input_is_total != other.input_is_total;
        let cache = |own: Option<u64>, others: Option<u64>| if mixed { own } else { own.or(others) };
        Usage {
            input: self.input.or(other.input),
            output: self.output.or(other.output),
            cache_read: cache(self.cache_read, other.cache_read),
            cache_write: cache(self.cache_write, other.cache_write),
            cache_write_1h: cache(self.cache_write_1h, other.cache_write_1h),
            reasoning: self.reasoning.or(other.reasoning),
            input_is_total: if self.input.is_some() {
                self.input_is_total
            } else {
                other.input_is_total
            },
        }
    }

    /// Input tokens without cached ones.
    pub fn input_without_cache(self) -> Option<u64> {
        let input = self.input?;
        if !self.input_is_total {
            return Some(input);
        }
        Some(
            input
                .saturating_sub(self.cache_read.unwrap_or(0))
                .saturating_sub(self.cache_write.unwrap_or(0)),
        )
    }

    /// All input tokens, cached ones among them.
    pub fn input_with_cache(self) -> Option<u64> {
        let input = self.input?;
        if self.input_is_total {
            return Some(input);
        }
        Some(
            input
                .saturating_add(self.cache_read.unwrap_or(0))
                .saturating_add(self.cache_write.unwrap_or(0)),
        )
    }
}

/// The result of a tool, sent to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResult {
    /// Id of the call that asked for it.
    pub id: String,
    /// The caller says that the tool failed.
    pub failed: bool,
}

/// A tool the model asks to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Id that the result is to carry.
    pub id: Option<String>,
    /// Name of the tool.
    pub name: Option<String>,
}

/// When what passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// First byte of the request.
    pub request: Monotonic,
    /// Last byte of the request.
    pub request_end: Option<Monotonic>,
    /// First byte of the response.
    pub response: Option<Monotonic>,
    /// First piece of the answer in a stream.
    pub first_chunk: Option<Monotonic>,
    /// Last byte of the response, or when the call was given up.
    pub end: Monotonic,
}

/// Why some of a call is missing from what is told about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a reason of its own and any of them may hold together"
)]
pub struct Gaps {
    /// The request was not seen, or its head was not understood: operation, model and start are not known from it.
    pub request_unseen: bool,
    /// Some header fields could not be understood.
    pub headers_unknown: bool,
    /// Attempts before this one were not seen, or are told on their own.
    pub attempts_unseen: bool,
    /// The other direction of the connection could not be found.
    pub unpaired: bool,
    /// Bytes of the request were not seen.
    pub request_hole: bool,
    /// Bytes of the response were not seen.
    pub response_hole: bool,
    /// A body's content coding could not be undone.
    pub undecodable: bool,
    /// Frames of the event-stream were broken.
    pub frames_broken: bool,
    /// The request body was not what its operation asks for.
    pub request_unreadable: bool,
    /// The response body was not what its operation gives.
    pub response_unreadable: bool,
    /// A body was larger than what is looked into.
    pub beyond_cap: bool,
    /// The stream came to its end without the event that ends an answer.
    pub no_stop_event: bool,
}
