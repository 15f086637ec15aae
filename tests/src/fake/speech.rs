//! `InvokeModelWithBidirectionalStream`: a conversation with a speech model, answered while the request still comes.
//!
//! Nova Sonic takes `{"event": {"sessionStart": …}}` and its like and answers in the same shape. The fake answers every
//! `textInput` with one `textOutput`, and tells its usage at the end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::body::{Fact, Step};
use super::frames::{Chunk, EnvelopeReader, FrameEncoder};
use super::served::{Parameters, Usage};

/// One conversation.
#[derive(Debug)]
struct Speech {
    encoder: FrameEncoder,
    steps: mpsc::UnboundedSender<Step>,
    usage: Usage,
}

/// Tokens of every turn, in and out.
const TURN: (u64, u64) = (7, 3);

/// Reads the request to its end and answers on the way. The response ends when this does.
pub(super) async fn answer(mut request: Incoming, steps: mpsc::UnboundedSender<Step>) {
    let mut speech = Speech {
        encoder: FrameEncoder::default(),
        steps,
        usage: Usage {
            input: 0,
            output: Some(0),
            cache_read: None,
            cache_write: None,
        },
    };
    let mut envelopes = EnvelopeReader::default();
    while let Some(frame) = request.frame().await {
        let Ok(frame) = frame else {
            speech.send(Step::Cut);
            return;
        };
        let bytes = frame.into_data().unwrap_or_default();
        let chunks = match envelopes.read(&bytes) {
            Ok(chunks) => chunks,
            Err(message) => {
                speech.refuse(&message);
                return;
            }
        };
        speech.note(Fact::Request(bytes.len()));
        for chunk in chunks {
            match chunk {
                Chunk::Event(event) => speech.hear(&event["event"]),
                Chunk::End => return,
            }
        }
    }
    speech.refuse("The stream ended without its signed end.");
}

impl Speech {
    /// Answers one event.
    fn hear(&mut self, event: &Value) {
        if let Some(start) = event.get("sessionStart") {
            let configuration = &start["inferenceConfiguration"];
            self.note(Fact::Asked(Parameters {
                max_tokens: configuration["maxTokens"].as_u64(),
                temperature: configuration["temperature"].as_f64(),
                top_p: configuration["topP"].as_f64(),
                ..Parameters::default()
            }));
            self.say(&json!({"completionStart": {}}), Vec::new());
        } else if let Some(input) = event.get("textInput") {
            let text = format!("You said: {} 🪨", input["content"].as_str().unwrap_or_default());
            self.usage.input += TURN.0;
            self.usage.output = self.usage.output.map(|output| output + TURN.1);
            self.say(
                &json!({"textOutput": {"content": text}}),
                vec![Fact::Content(text)],
            );
        } else if event.get("sessionEnd").is_some() {
            let (usage, end) = (self.usage, "END_TURN");
            let total = json!({
                "totalInputTokens": usage.input,
                "totalOutputTokens": usage.output,
                "totalTokens": usage.total(),
            });
            self.say(
                &json!({"contentEnd": {"stopReason": end}}),
                vec![Fact::Stop(end.to_owned())],
            );
            self.say(&json!({"usageEvent": total}), vec![Fact::Usage(usage)]);
            self.say(&json!({"completionEnd": {"stopReason": end}}), Vec::new());
        }
    }

    fn say(&mut self, event: &Value, mut facts: Vec<Fact>) {
        let bytes = STANDARD.encode(json!({"event": event}).to_string());
        let bytes = self.encoder.event("chunk", json!({"bytes": bytes}));
        facts.push(Fact::Frame);
        self.send(Step::Write { bytes, facts });
    }

    fn refuse(&mut self, message: &str) {
        let bytes = self
            .encoder
            .exception("validationException", &json!({"message": message}));
        let facts = vec![
            Fact::Frame,
            Fact::Error {
                kind: "ValidationException".to_owned(),
                message: message.to_owned(),
            },
        ];
        self.send(Step::Write { bytes, facts });
    }

    fn note(&self, fact: Fact) {
        self.send(Step::Note(fact));
    }

    fn send(&self, step: Step) {
        // Fails when the client has gone and the response with it.
        self.steps.send(step).ok();
    }
}
