//! What the fake served, value by value: the other side of every comparison.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// One request and what was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// `x-amzn-RequestId` of the response.
    pub request_id: String,
    /// Counts the connections of this fake from 0; requests on one keep-alive connection share it.
    pub connection: u64,
    /// Whether the connection speaks HTTP/2.
    pub http2: bool,
    /// Path of the request, as it was sent.
    pub path: String,
    /// Operation, where the path names one.
    pub operation: Option<Operation>,
    /// Model identifier of the path, percent-decoded, or of the body.
    pub model: String,
    /// Whether the answer is a stream.
    pub streamed: bool,
    /// `Host` of the request.
    pub host: String,
    /// Region in the scope of the signature, if the request is signed.
    pub region: Option<String>,
    /// `attempt=N` of `amz-sdk-request`, or one more than `x-stainless-retry-count`; 1 without either.
    pub attempt: u32,
    /// `amz-sdk-invocation-id`, the same on every attempt of one call.
    pub invocation_id: Option<String>,
    /// Digest of path and body, where the SDK counts its attempts and names nothing.
    pub counted_request: Option<u64>,
    /// `traceparent` of the request.
    pub traceparent: Option<String>,
    /// `X-Amzn-Trace-Id` of the request.
    pub amzn_trace_id: Option<String>,
    /// Sampling parameters, as the body spelled them.
    pub parameters: Parameters,
    /// Length of the request body.
    pub request_bytes: usize,
    /// HTTP status.
    pub status: u16,
    /// Type of the error, before or within the stream: `ThrottlingException`.
    pub error: Option<String>,
    /// Text of the error.
    pub error_message: Option<String>,
    /// Tokens as written to the wire, as far as the answer got.
    pub usage: Option<Usage>,
    /// Milliseconds that the service said it took.
    pub latency_ms: Option<u64>,
    /// Why the model stopped, in the spelling of the wire; none when the answer did not get so far.
    pub stop_reason: Option<String>,
    /// Identifier inside the body (`msg_bdrk_…`), where the family has one.
    pub response_id: Option<String>,
    /// Model named inside the body, where the family has one.
    pub response_model: Option<String>,
    /// Answer text as far as it was written.
    pub text: String,
    /// Name and id of the tool call, if the model made one.
    pub tool_call: Option<(String, String)>,
    /// Event-stream frames written whole, broken ones included.
    pub frames: u32,
    /// Everything was written. False when the fake cut the stream, or the client went away.
    pub complete: bool,
    /// Nanoseconds since the Unix epoch when the request head was there.
    pub received_unix_ns: u64,
    /// When the first content was handed to the connection, in a stream.
    pub first_content_unix_ns: Option<u64>,
    /// When the last byte was handed to the connection.
    pub ended_unix_ns: u64,
}

impl Served {
    /// One line that tells which one it is.
    pub fn told(&self) -> String {
        let Self {
            request_id,
            path,
            connection,
            status,
            ..
        } = self;
        format!("{request_id} {path} on connection {connection}, answered {status}")
    }
}

/// What the path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// `POST /model/{id}/converse`
    Converse,
    /// `POST /model/{id}/converse-stream`
    ConverseStream,
    /// `POST /model/{id}/invoke`
    InvokeModel,
    /// `POST /model/{id}/invoke-with-response-stream`
    InvokeModelWithResponseStream,
    /// `POST /model/{id}/invoke-with-bidirectional-stream`
    InvokeModelWithBidirectionalStream,
    /// `POST /openai/v1/chat/completions`, the model in the body
    ChatCompletions,
    /// `POST /anthropic/v1/messages`, the model in the body
    Messages,
}

impl Operation {
    /// Every operation that has one request and one answer: what all clients can call.
    pub const ALL: [Operation; 4] = [
        Operation::Converse,
        Operation::ConverseStream,
        Operation::InvokeModel,
        Operation::InvokeModelWithResponseStream,
    ];

    /// Last segment of the path; all of the path where the body names the model.
    pub fn path_segment(self) -> &'static str {
        match self {
            Operation::ChatCompletions => "/openai/v1/chat/completions",
            Operation::Messages => "/anthropic/v1/messages",
            Operation::Converse => "converse",
            Operation::ConverseStream => "converse-stream",
            Operation::InvokeModel => "invoke",
            Operation::InvokeModelWithResponseStream => "invoke-with-response-stream",
            Operation::InvokeModelWithBidirectionalStream => "invoke-with-bidirectional-stream",
        }
    }

    /// Whether the body of the request names the model, and says whether to stream.
    pub fn is_compatible(self) -> bool {
        matches!(self, Operation::ChatCompletions | Operation::Messages)
    }

    /// Whether the answer is an event stream by definition.
    pub fn streams(self) -> bool {
        matches!(
            self,
            Operation::ConverseStream
                | Operation::InvokeModelWithResponseStream
                | Operation::InvokeModelWithBidirectionalStream
        )
    }
}

/// Sampling parameters of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Most tokens to answer with.
    pub max_tokens: Option<u64>,
    /// Temperature.
    pub temperature: Option<f64>,
    /// Nucleus.
    pub top_p: Option<f64>,
    /// Candidates.
    pub top_k: Option<u64>,
    /// Texts to stop at.
    pub stop_sequences: Vec<String>,
}

/// Tokens as the wire has them: `input` excludes the cached ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt that no cache held.
    pub input: u64,
    /// Tokens of the answer; none when a stream ended before it told.
    pub output: Option<u64>,
    /// Tokens read from the cache, where the body says so.
    pub cache_read: Option<u64>,
    /// Tokens written to the cache, where the body says so.
    pub cache_write: Option<u64>,
}

impl Usage {
    /// `totalTokens` of Converse: all of them.
    pub fn total(&self) -> Option<u64> {
        let input = self.input + self.cache_read.unwrap_or(0) + self.cache_write.unwrap_or(0);
        Some(input + self.output?)
    }
}

/// Everything that was served, in the order the responses ended.
#[derive(Debug, Clone, Default)]
pub struct ServedLog(Arc<(Mutex<Vec<Served>>, Condvar)>);

impl ServedLog {
    pub(super) fn push(&self, served: Served) {
        let (log, changed) = &*self.0;
        log.lock().unwrap_or_else(PoisonError::into_inner).push(served);
        changed.notify_all();
    }

    /// All of it so far.
    pub fn all(&self) -> Vec<Served> {
        let (log, _) = &*self.0;
        log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until more than `count` responses have ended, or the time is over; then all that came after those.
    pub fn wait_beyond(&self, count: usize, within: Duration) -> Vec<Served> {
        let (log, _) = &*self.0;
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let log = self.grown(log, count + 1, within);
        log.get(count..).unwrap_or_default().to_vec()
    }

    /// Waits until at least `count` responses have ended, or the time is over; then all of it.
    pub fn wait_for(&self, count: usize, within: Duration) -> Vec<Served> {
        let (log, _) = &*self.0;
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        self.grown(log, count, within).clone()
    }

    fn grown<'log>(
        &self,
        mut log: MutexGuard<'log, Vec<Served>>,
        count: usize,
        within: Duration,
    ) -> MutexGuard<'log, Vec<Served>> {
        let deadline = Instant::now() + within;
        let (_, changed) = &*self.0;
        while log.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            log = changed
                .wait_timeout(log, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        log
    }
}
