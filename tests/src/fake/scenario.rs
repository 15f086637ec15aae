//! What a request asks the fake to do, written into the prompt as `@fake(key=value, …)`.
//!
//! The last message of the prompt is the one place that boto3, aiobotocore, node and curl can all fill, for every body
//! family. A prompt without a marker gets a plain answer. A marker that does not read is a `ValidationException`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One row of the fake's repertoire. Every field has a default; a marker names only what differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the marker")]
pub struct Scenario {
    /// What the model says.
    pub answer: Answer,
    /// Text deltas in a stream; words in a plain answer.
    pub chunks: u32,
    /// At least so many bytes of answer text.
    pub size: usize,
    /// Pause before the response head.
    pub first_ms: u64,
    /// Pause between two text deltas of a stream.
    pub delay_ms: u64,
    /// Why the model stopped, instead of what the answer implies.
    pub stop: Option<Stop>,
    /// Refuse with this error instead of answering…
    pub fail: Option<Failure>,
    /// …on so many attempts of one call (`amz-sdk-request: attempt=N`), then answer.
    pub failures: u32,
    /// After `after` deltas, end the stream with this exception.
    pub exception: Option<Failure>,
    /// After `after` deltas, send a frame whose checksum is wrong.
    pub corrupt: bool,
    /// After `after` deltas, end the response incomplete: `RST_STREAM` over HTTP/2, the end of the connection over HTTP/1.
    pub cut: bool,
    /// After `after` deltas (a whole answer: before its body), wait until so many responses have come this far.
    pub together: u32,
    /// After `after` deltas (a whole answer: before its body), say that the connection takes no further requests: GOAWAY.
    /// Requests under way are answered to their end. HTTP/2 only.
    pub leave: bool,
    /// End the response with trailers; HTTP/2 only.
    pub trailers: bool,
    /// How many deltas come before `exception`, `corrupt`, `cut`, `together` or `leave`.
    pub after: u32,
    /// Compress the body, and say so.
    pub gzip: bool,
    /// How the length of a body that is not a stream is told.
    pub framing: Framing,
    /// Write TLS records of random sizes, drawn from this seed, so that nothing aligns.
    pub ragged: Option<u64>,
    /// Tokens read from the prompt cache.
    pub cache_read: Option<u64>,
    /// Tokens written to the prompt cache.
    pub cache_write: Option<u64>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            answer: Answer::Text,
            chunks: 3,
            size: 0,
            first_ms: 0,
            delay_ms: 0,
            stop: None,
            fail: None,
            failures: u32::MAX,
            exception: None,
            corrupt: false,
            cut: false,
            together: 0,
            leave: false,
            trailers: false,
            after: 1,
            gzip: false,
            framing: Framing::Length,
            ragged: None,
            cache_read: None,
            cache_write: None,
        }
    }
}

/// What the model says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Text.
    Text,
    /// Text, then a call of the first tool that the request offers.
    Tool,
}

/// How a body that is not a stream says where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// `Content-Length`.
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Why the model stopped; spelled on the wire as the body family spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// It had said everything.
    EndTurn,
    /// It wants a tool to be run.
    ToolUse,
    /// The token limit was reached.
    MaxTokens,
    /// A stop sequence came.
    StopSequence,
    /// The content was filtered.
    ContentFiltered,
    /// A guardrail stepped in.
    GuardrailIntervened,
}

/// An error of Bedrock, before the answer (with an HTTP status) or in the middle of a stream (as an exception frame).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// `ValidationException`, 400.
    Validation,
    /// `AccessDeniedException`, 403.
    AccessDenied,
    /// `ResourceNotFoundException`, 404.
    ResourceNotFound,
    /// `ModelTimeoutException`, 408.
    ModelTimeout,
    /// `ModelErrorException`, 424; in a stream `modelStreamErrorException`.
    ModelError,
    /// `ThrottlingException`, 429.
    Throttling,
    /// `InternalServerException`, 500.
    Internal,
    /// `ServiceUnavailableException`, 503.
    Unavailable,
}

const MARKER: &str = "@fake(";

impl Scenario {
    /// Reads the marker out of a prompt; the error says what does not read.
    pub fn from_prompt(prompt: &str) -> Result<Self, String> {
        let Some((_, rest)) = prompt.split_once(MARKER) else {
            return Ok(Self::default());
        };
        let (inside, _) = rest
            .split_once(')')
            .ok_or_else(|| format!("the marker {MARKER}…) is not closed"))?;
        let fields: Map<String, Value> = inside
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| match entry.split_once('=') {
                Some((key, value)) => (key.trim().to_owned(), scalar(value.trim())),
                None => (entry.to_owned(), Value::Bool(true)),
            })
            .collect();
        serde_json::from_value(Value::Object(fields))
            .map_err(|error| format!("the marker {MARKER}{inside}) does not read: {error}"))
    }

    /// The marker that asks for this scenario: [`Scenario::from_prompt`] reads it back.
    pub fn marker(&self) -> String {
        let plain = serde_json::to_value(Self::default()).unwrap_or_default();
        let Ok(Value::Object(fields)) = serde_json::to_value(self) else {
            return String::new();
        };
        let entries: Vec<String> = fields
            .iter()
            .filter(|(key, value)| plain.get(key.as_str()) != Some(value))
            .map(|(key, value)| match value {
                Value::String(text) => format!("{key}={text}"),
                other => format!("{key}={other}"),
            })
            .collect();
        format!("{MARKER}{})", entries.join(", "))
    }
}

fn scalar(text: &str) -> Value {
    text.parse::<u64>()
        .map(Value::from)
        .or_else(|_| text.parse::<bool>().map(Value::from))
        .unwrap_or_else(|_| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_without_marker_asks_for_a_plain_answer() {
        assert_eq!(Scenario::from_prompt("What is granite?"), Ok(Scenario::default()));
    }

    #[test]
    fn a_marker_is_read_back_as_it_was_written() {
        let scenario = Scenario {
            answer: Answer::Tool,
            chunks: 50,
            exception: Some(Failure::Throttling),
            ragged: Some(7),
            gzip: true,
            ..Scenario::default()
        };
        let prompt = format!("Weather? {} Thank you.", scenario.marker());
        assert_eq!(Scenario::from_prompt(&prompt), Ok(scenario));
    }

    #[test]
    fn a_misspelt_marker_is_refused_by_name() {
        let error = Scenario::from_prompt("@fake(chunk=5)").expect_err("unknown key");
        assert!(error.contains("unknown field `chunk`"), "{error}");
    }
}
