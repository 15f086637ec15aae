//! Puts the answer to a request together, in the words of its operation and body family.

mod anthropic;
mod chat;
mod converse;
mod nova;
mod titan;

use bytes::Bytes;
use serde_json::{Value, json};

use super::body::{Fact, Step};
use super::family::{Family, anthropic_name};
use super::frames::{FrameEncoder, corrupt};
use super::request::ModelCall;
use super::scenario::{Answer, Scenario, Stop};
use super::served::{Operation, Usage};

/// What the model says, before any body family words it.
#[derive(Debug)]
struct Reply {
    /// Text, delta by delta.
    deltas: Vec<String>,
    tool_call: Option<ToolCall>,
    stop: Stop,
    usage: Usage,
    /// Milliseconds that the service says it took, where it says so.
    latency_ms: Option<u64>,
    /// `msg_bdrk_…` or `chatcmpl-…`, for the families that have such a thing.
    message_id: String,
    /// Model name inside the body.
    model_name: String,
}

#[derive(Debug)]
struct ToolCall {
    id: String,
    name: String,
    input: Value,
}

/// A response body and the header fields that go with it.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) content_type: &'static str,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) steps: Vec<Step>,
}

/// Milliseconds that the fake claims a model took.
const LATENCY_MS: u64 = 321;

/// Answers a valid request.
pub(super) fn render(call: &ModelCall, request_id: &str) -> Rendered {
    let reply = Reply::to(call, request_id);
    let mut rendered = match call.operation {
        Operation::Converse => whole(&reply, &converse::body(&reply), &[], converse::stop(reply.stop)),
        Operation::InvokeModel if call.family == Family::TitanEmbeddings => {
            titan::embedded(reply.usage.input, call.prompt_characters)
        }
        Operation::InvokeModel => {
            let fields = invoke_fields(&reply.usage);
            let (body, stop) = match call.family {
                Family::Anthropic => (anthropic::body(&reply), anthropic::stop(reply.stop)),
                Family::Nova => (nova::body(&reply), converse::stop(reply.stop)),
                Family::Titan => (titan::body(&reply), titan::stop(reply.stop)),
                Family::OpenAi => (chat::body(&reply), chat::stop(reply.stop)),
                Family::TitanEmbeddings => unreachable!("it is answered above"),
            };
            let rendered = whole(&reply, &body, &fields, stop);
            if call.family == Family::Anthropic {
                identified(rendered, &reply)
            } else {
                rendered
            }
        }
        Operation::ConverseStream => {
            let mut stream = Stream::new(call);
            converse::stream(&reply, &mut stream);
            stream.rendered(Vec::new())
        }
        Operation::InvokeModelWithResponseStream => {
            let mut stream = Stream::new(call);
            match call.family {
                Family::Anthropic => anthropic::stream(&reply, &mut stream),
                Family::Nova => nova::stream(&reply, &mut stream),
                Family::Titan => titan::stream(&reply, &mut stream),
                Family::OpenAi => chat::stream(&reply, &mut stream),
                Family::TitanEmbeddings => unreachable!("its streams are refused"),
            }
            stream.rendered(vec![(
                "x-amzn-bedrock-content-type",
                "application/json".to_owned(),
            )])
        }
        Operation::ChatCompletions if call.streams => {
            let mut stream = Stream::new(call);
            chat::stream(&reply, &mut stream);
            stream.rendered(Vec::new())
        }
        Operation::Messages if call.streams => {
            let mut stream = Stream::new(call);
            anthropic::stream(&reply, &mut stream);
            stream.rendered(Vec::new())
        }
        Operation::ChatCompletions => identified(
            whole(&reply, &chat::body(&reply), &[], chat::stop(reply.stop)),
            &reply,
        ),
        Operation::Messages => {
            let body = anthropic::body(&reply);
            identified(whole(&reply, &body, &[], anthropic::stop(reply.stop)), &reply)
        }
        Operation::InvokeModelWithBidirectionalStream => {
            unreachable!("its request is answered while it comes")
        }
    };
    if !call.streams {
        rendered.steps.splice(0..0, on_the_way(&call.scenario));
    }
    rendered
}

impl Reply {
    fn to(call: &ModelCall, request_id: &str) -> Self {
        let scenario = &call.scenario;
        let deltas = deltas(scenario.chunks, scenario.size);
        let compact: String = request_id.chars().filter(|c| *c != '-').collect();
        let tool_call = match scenario.answer {
            Answer::Text => None,
            Answer::Tool => call.tools.first().map(|name| ToolCall {
                id: format!("tooluse_{}", compact.get(..22).unwrap_or(&compact)),
                name: name.clone(),
                input: json!({"city": "Zürich", "days": 3}),
            }),
        };
        let implied = if tool_call.is_some() {
            Stop::ToolUse
        } else {
            Stop::EndTurn
        };
        let caches = call.family != Family::Titan;
        // Nova's own body tells its cache counts always, the others when there is something to tell.
        let latency = !call.operation.is_compatible();
        let own_body = !matches!(call.operation, Operation::Converse | Operation::ConverseStream);
        let unused = (call.family == Family::Nova && own_body).then_some(0);
        Self {
            usage: Usage {
                input: 8 + call.prompt_characters / 4,
                output: Some(2 * deltas.len() as u64 + if tool_call.is_some() { 11 } else { 0 }),
                cache_read: scenario.cache_read.or(unused).filter(|_| caches),
                cache_write: scenario
                    .cache_write
                    .or(unused)
                    .filter(|_| caches && call.family != Family::OpenAi),
            },
            latency_ms: latency.then_some(LATENCY_MS),
            deltas,
            tool_call,
            stop: scenario.stop.unwrap_or(implied),
            message_id: match call.family {
                Family::OpenAi => format!("chatcmpl-{compact}"),
                _ => format!("msg_bdrk_{compact}"),
            },
            model_name: match call.family {
                Family::OpenAi => call.model.clone(),
                _ => anthropic_name(&call.model),
            },
        }
    }

    fn text(&self) -> String {
        self.deltas.concat()
    }

    fn identity(&self) -> Fact {
        Fact::Identity {
            id: self.message_id.clone(),
            model: self.model_name.clone(),
        }
    }
}

/// Text in pieces, some of which cut words and none of which is plain ASCII throughout.
fn deltas(count: u32, size: usize) -> Vec<String> {
    const WORDS: [&str; 8] = [
        "Granite ",
        "is hört",
        "bar; ",
        "bed",
        "rock ",
        "hums 🪨 ",
        "at ",
        "night. ",
    ];
    let each = size.div_ceil(count.max(1) as usize);
    WORDS
        .iter()
        .cycle()
        .take(count as usize)
        .map(|word| word.repeat(each.div_ceil(word.len()).max(1)))
        .collect()
}

/// What happens to the connection while a response is under way.
fn on_the_way(scenario: &Scenario) -> impl Iterator<Item = Step> {
    let meet = (scenario.together > 0).then_some(Step::Meet(scenario.together));
    meet.into_iter().chain(scenario.leave.then_some(Step::Leave))
}

/// A body that is not a stream.
fn whole(reply: &Reply, body: &Value, fields: &[(&'static str, String)], stop: &str) -> Rendered {
    let mut facts = vec![
        Fact::Content(reply.text()),
        Fact::Stop(stop.to_owned()),
        Fact::Usage(reply.usage),
    ];
    facts.extend(reply.latency_ms.map(Fact::Latency));
    facts.extend(tool_fact(reply));
    Rendered {
        content_type: "application/json",
        fields: fields.to_vec(),
        steps: vec![Step::Write {
            bytes: body.to_string().into(),
            facts,
        }],
    }
}

/// The same answer, which says who it is.
fn identified(mut rendered: Rendered, reply: &Reply) -> Rendered {
    if let Some(Step::Write { facts, .. }) = rendered.steps.first_mut() {
        facts.push(reply.identity());
    }
    rendered
}

fn tool_fact(reply: &Reply) -> Option<Fact> {
    reply.tool_call.as_ref().map(|tool| Fact::ToolCall {
        name: tool.name.clone(),
        id: tool.id.clone(),
    })
}

/// Header fields that carry the usage of an InvokeModel call.
fn invoke_fields(usage: &Usage) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("x-amzn-bedrock-invocation-latency", LATENCY_MS.to_string()),
        ("x-amzn-bedrock-input-token-count", usage.input.to_string()),
        (
            "x-amzn-bedrock-output-token-count",
            usage.output.unwrap_or(0).to_string(),
        ),
    ];
    if let Some(read) = usage.cache_read {
        fields.push(("x-amzn-bedrock-cache-read-input-token-count", read.to_string()));
    }
    if let Some(write) = usage.cache_write {
        fields.push(("x-amzn-bedrock-cache-write-input-token-count", write.to_string()));
    }
    fields
}

/// `amazon-bedrock-invocationMetrics` beside the last event of an InvokeModel stream.
fn invocation_metrics(usage: &Usage) -> Value {
    let mut metrics = json!({
        "inputTokenCount": usage.input,
        "outputTokenCount": usage.output,
        "invocationLatency": LATENCY_MS,
        "firstByteLatency": LATENCY_MS / 3,
    });
    if let Some(read) = usage.cache_read {
        metrics["cacheReadInputTokenCount"] = read.into();
    }
    if let Some(write) = usage.cache_write {
        metrics["cacheWriteInputTokenCount"] = write.into();
    }
    metrics
}

/// A tool's input as models stream it: JSON text in pieces that are not JSON.
fn input_pieces(input: &Value) -> Vec<String> {
    let text = input.to_string();
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(6).map(|piece| piece.iter().collect()).collect()
}

/// How events are told apart.
#[derive(Debug)]
enum Events {
    /// Frames of AWS's event-stream; what is a provider's own goes into `chunk` events.
    Frames(FrameEncoder),
    /// Server-sent events, named where the provider names them.
    Sent { named: bool },
}

/// Builds an event stream; knows when the scenario interrupts it.
#[derive(Debug)]
struct Stream<'a> {
    call: &'a ModelCall,
    events: Events,
    steps: Vec<Step>,
    deltas: u32,
    /// Nothing more is sent.
    over: bool,
}

impl<'a> Stream<'a> {
    fn new(call: &'a ModelCall) -> Self {
        Self {
            call,
            events: match call.operation {
                Operation::ChatCompletions => Events::Sent { named: false },
                Operation::Messages => Events::Sent { named: true },
                _ => Events::Frames(FrameEncoder::default()),
            },
            steps: Vec::new(),
            deltas: 0,
            over: false,
        }
    }

    /// An event that carries no text.
    fn event(&mut self, kind: &str, payload: Value, facts: Vec<Fact>) {
        if self.over {
            return;
        }
        let bytes = self.encode(kind, payload);
        self.write(bytes, facts);
    }

    /// An event of the provider's own that carries no text.
    fn inner(&mut self, inner: &Value, facts: Vec<Fact>) {
        let (kind, payload) = self.wrapped(inner);
        self.event(&kind, payload, facts);
    }

    /// One that carries a text delta.
    fn inner_delta(&mut self, inner: &Value, text: &str) {
        let (kind, payload) = self.wrapped(inner);
        self.delta(&kind, payload, text);
    }

    /// The end of a stream of server-sent events that has a word for it.
    fn done(&mut self) {
        if !self.over {
            self.steps.push(Step::Write {
                bytes: Bytes::from_static(b"data: [DONE]\n\n"),
                facts: Vec::new(),
            });
        }
    }

    fn in_frames(&self) -> bool {
        matches!(self.events, Events::Frames(_))
    }

    fn wrapped(&self, inner: &Value) -> (String, Value) {
        if self.in_frames() {
            ("chunk".to_owned(), anthropic::chunk(inner))
        } else {
            let kind = inner["type"].as_str().unwrap_or_default();
            (kind.to_owned(), inner.clone())
        }
    }

    fn encode(&mut self, kind: &str, payload: Value) -> Bytes {
        match &mut self.events {
            Events::Frames(encoder) => encoder.event(kind, payload),
            Events::Sent { named: true } => format!("event: {kind}\ndata: {payload}\n\n").into(),
            Events::Sent { named: false } => format!("data: {payload}\n\n").into(),
        }
    }

    /// An event that carries a text delta: the scenario may interrupt after it.
    fn delta(&mut self, kind: &str, payload: Value, text: &str) {
        if self.over {
            return;
        }
        let scenario = &self.call.scenario;
        if self.deltas > 0 && scenario.delay_ms > 0 {
            self.steps
                .push(Step::Wait(std::time::Duration::from_millis(scenario.delay_ms)));
        }
        let bytes = self.encode(kind, payload);
        self.write(bytes.clone(), vec![Fact::Content(text.to_owned())]);
        self.deltas += 1;
        if self.deltas != scenario.after {
            return;
        }
        self.steps.extend(on_the_way(scenario));
        if scenario.corrupt {
            self.write(corrupt(&bytes), Vec::new());
        }
        if let Some((member, kind)) = scenario
            .exception
            .and_then(crate::fake::scenario::Failure::in_stream)
        {
            let message = "The model stream was interrupted.";
            let mut payload = json!({"message": message});
            if member == "modelStreamErrorException" {
                payload["originalStatusCode"] = 500.into();
                payload["originalMessage"] = message.into();
            }
            let bytes = match &mut self.events {
                Events::Frames(encoder) => encoder.exception(member, &payload),
                Events::Sent { .. } => {
                    let error = json!({"type": "error", "error": {"type": kind, "message": message}});
                    format!("event: error\ndata: {error}\n\n").into()
                }
            };
            let facts = vec![Fact::Error {
                kind: kind.to_owned(),
                message: message.to_owned(),
            }];
            self.write(bytes, facts);
            self.over = true;
        }
        if scenario.cut {
            self.steps.push(Step::Cut);
            self.over = true;
        }
    }

    fn write(&mut self, bytes: Bytes, mut facts: Vec<Fact>) {
        facts.extend(self.in_frames().then_some(Fact::Frame));
        self.steps.push(Step::Write { bytes, facts });
    }

    fn rendered(self, fields: Vec<(&'static str, String)>) -> Rendered {
        Rendered {
            content_type: if self.in_frames() {
                "application/vnd.amazon.eventstream"
            } else {
                "text/event-stream"
            },
            fields,
            steps: self.steps,
        }
    }
}
