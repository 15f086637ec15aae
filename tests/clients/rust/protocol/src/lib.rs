//! How the test harness talks to a client program: `tests/clients/protocol.py` describes the lines.

pub mod frames;

use std::collections::VecDeque;
use std::future::Future;
use std::io::{BufRead as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

/// One call that the program is asked to make.
#[derive(Debug, Clone)]
pub struct Call {
    /// Index in its batch.
    pub id: u64,
    /// `Converse`, `InvokeModel`, …
    pub operation: String,
    /// Model id, not encoded.
    pub model: String,
    /// JSON body of the request.
    pub body: Value,
    /// Further header fields, for clients without an SDK.
    pub headers: Vec<(String, String)>,
    /// Stop reading a stream after so many events.
    pub take: Option<u64>,
}

/// What the program saw of one call: a line of the answer.
#[derive(Debug)]
pub struct Seen(Map<String, Value>);

impl Seen {
    /// Nothing seen yet.
    pub fn of(call: &Call) -> Self {
        let mut fields = Map::new();
        fields.insert("id".to_owned(), call.id.into());
        fields.insert("events".to_owned(), 0.into());
        fields.insert("text".to_owned(), "".into());
        Self(fields)
    }

    /// Sets a field.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Sets a field unless there is nothing to say.
    pub fn set_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// More answer text.
    pub fn text(&mut self, more: &str) {
        let text = self.0.get("text").and_then(Value::as_str).unwrap_or_default();
        let text = format!("{text}{more}");
        self.set("text", text);
    }

    /// One more event of the stream; how many there were.
    pub fn event(&mut self) -> u64 {
        let events = self.0.get("events").and_then(Value::as_u64).unwrap_or(0) + 1;
        self.set("events", events);
        events
    }

    /// An event's JSON, whichever operation and body family it is of.
    pub fn inner(&mut self, event: &Value) {
        for pointer in ["/contentBlockDelta/delta/text", "/delta/text", "/outputText"] {
            if let Some(text) = event.pointer(pointer).and_then(Value::as_str) {
                self.text(text);
            }
        }
        for pointer in [
            "/messageStop/stopReason",
            "/delta/stop_reason",
            "/completionReason",
        ] {
            if let Some(reason) = event.pointer(pointer).and_then(Value::as_str) {
                self.set("stop_reason", reason);
            }
        }
        self.set_some("usage", event.pointer("/metadata/usage").cloned());
        self.set_some("metrics", event.get("amazon-bedrock-invocationMetrics").cloned());
    }

    /// What went wrong.
    pub fn error(&mut self, kind: &str, message: &str) {
        self.set("error", kind);
        self.set("message", message);
    }
}

/// Last segment of the path of an operation.
pub fn path_segment(operation: &str) -> &'static str {
    match operation {
        "Converse" => "converse",
        "ConverseStream" => "converse-stream",
        "InvokeModel" => "invoke",
        "InvokeModelWithResponseStream" => "invoke-with-response-stream",
        other => panic!("{other} is no operation of this client"),
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// Reads batches from standard input until it closes; `make` makes one call, so many at a time as the batch says.
pub fn serve<Making>(
    runtime: &tokio::runtime::Runtime,
    make: impl Fn(Call) -> Making + Clone + Send + Sync + 'static,
) where
    Making: Future<Output = Seen> + Send,
{
    say(&json!({"ready": std::process::id()}));
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input reads");
        let batch: Value = serde_json::from_str(&line).expect("a batch is JSON");
        let calls: VecDeque<Call> = batch["calls"]
            .as_array()
            .into_iter()
            .flatten()
            .map(read)
            .collect();
        let waiting = Arc::new(Mutex::new(calls));
        runtime.block_on(async {
            let threads = batch["threads"].as_u64().unwrap_or(1);
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    let (waiting, make) = (Arc::clone(&waiting), make.clone());
                    tokio::spawn(async move {
                        while let Some(call) = next(&waiting) {
                            say(&Value::Object(make(call).await.0));
                        }
                    })
                })
                .collect();
            for worker in workers {
                worker.await.expect("no call panics");
            }
        });
        say(&json!({"done": true}));
    }
}

fn next(waiting: &Mutex<VecDeque<Call>>) -> Option<Call> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn say(value: &Value) {
    let mut line = value.to_string();
    line.push('\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line.as_bytes()).expect("the harness listens");
    stdout.flush().expect("the harness listens");
}

fn read(call: &Value) -> Call {
    let text = |name: &str| call[name].as_str().expect("a text").to_owned();
    Call {
        id: call["id"].as_u64().expect("a number"),
        operation: text("operation"),
        model: text("model"),
        body: call["body"].clone(),
        headers: call["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
            .collect(),
        take: call["take"].as_u64(),
    }
}
