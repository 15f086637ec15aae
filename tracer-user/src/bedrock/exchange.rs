//! One call under way: collects what its HTTP events say until it ends.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::counters::Counter;
use crate::event::{ConnectionKey, Monotonic};
use crate::http::{
    BodyPart, Completion, ExchangeNumber, Fields, HoleReason, Phase, RequestHead, ResponseHead,
};
use crate::wire::eventstream::{Broken, BrokenReason, Decoder, Item, Message, MessageKind};

use super::assembly::Assembly;
use super::body::{Body, Keep};
use super::call::{Attempt, Call, Gaps, Guardrail, Timings, TraceHeaders, Usage};
use super::calls::phase;
use super::content::Content;
use super::failure::{self, ErrorBody, Failure};
use super::family::{Facts, Family, Task, converse};
use super::json::{self, Json};
use super::operation::{Operation, Purpose};
use super::parameters::Parameters;
use super::route::Route;

/// Longest header value taken over. `tracestate` may have 512 bytes and more (W3C Trace Context, section 3.3.1.5).
const MAX_HEADER: usize = 2048;

/// How a body of the operation is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Converse and its stream.
    Converse,
    /// A family's own body.
    Family,
    /// Not looked into.
    Opaque,
}

/// What becomes of the response body.
#[derive(Debug)]
enum Answer {
    /// No response yet.
    Waiting,
    /// A document, read at its end.
    Document(Body),
    /// The body of a failed response.
    Error(Body),
    /// Frames, read as they come.
    Frames(Box<Decoder>),
    /// Not looked into.
    Opaque,
}

/// One call under way.
#[derive(Debug)]
pub(super) struct Exchange {
    call: Call,
    shape: Shape,
    family: Option<Family>,
    facts: Facts,
    request: Body,
    request_read: bool,
    answer: Answer,
    assembly: Assembly,
    headers: Usage,
    frames_broken: u64,
    bodies_unreadable: u64,
    beyond_cap: u64,
}

impl Exchange {
    pub(super) fn new(
        connection: ConnectionKey,
        exchange: ExchangeNumber,
        route: Route,
        head: &RequestHead<'_>,
        time: Monotonic,
        thread: u32,
        content: bool,
    ) -> Self {
        let shape = match route.operation {
            Operation::Converse | Operation::ConverseStream => Shape::Converse,
            Operation::InvokeModel | Operation::InvokeModelWithResponseStream => Shape::Family,
            _ => Shape::Opaque,
        };
        let keep = if content { Keep::Content } else { Keep::Facts };
        let fields = &head.fields;
        let mut facts = Facts {
            content: (content && shape != Shape::Opaque).then(Content::default),
            ..Facts::default()
        };
        facts.guardrail.id = route
            .resource
            .guardrail
            .clone()
            .or_else(|| header(fields, "x-amzn-bedrock-guardrailidentifier"));
        facts.guardrail.version = header(fields, "x-amzn-bedrock-guardrailversion");
        let model = route.resource.model.as_deref();
        Self {
            family: model.and_then(Family::of_model),
            shape,
            facts,
            request: Body::new(keep),
            request_read: shape == Shape::Opaque,
            answer: Answer::Waiting,
            assembly: Assembly::new(content),
            headers: Usage::default(),
            frames_broken: 0,
            bodies_unreadable: 0,
            beyond_cap: 0,
            call: Call {
                connection,
                exchange,
                thread,
                task: match route.operation.purpose() {
                    Purpose::Model => model.and_then(Task::of_model),
                    _ => None,
                },
                streaming: route.operation.streams(),
                trace: TraceHeaders {
                    traceparent: header(fields, "traceparent"),
                    tracestate: tracestate(fields),
                    amazon: header(fields, "x-amzn-trace-id"),
                },
                attempt: attempt(fields),
                session: header(fields, "x-amzn-bedrock-agentcore-runtime-session-id")
                    .or_else(|| route.resource.session.clone()),
                route,
                parameters: Parameters::default(),
                usage: Usage::default(),
                stop_reasons: Vec::new(),
                response_id: None,
                response_model: None,
                tool_calls: Vec::new(),
                guardrail: Guardrail::default(),
                status: None,
                failure: None,
                request_id: None,
                server_latency_ms: None,
                timings: Timings {
                    request: time,
                    request_end: None,
                    response: None,
                    first_chunk: None,
                    end: time,
                },
                completion: Completion::Complete,
                gaps: Gaps::default(),
                content: None,
            },
        }
    }

    /// When the request began.
    pub(super) fn begun(&self) -> Monotonic {
        self.call.timings.request
    }

    /// How far it has come.
    pub(super) fn phase(&self) -> Phase {
        phase(
            self.call.timings.request_end.is_some(),
            self.call.timings.response.is_some(),
        )
    }

    /// Bytes of bodies kept.
    pub(super) fn held(&self) -> usize {
        let answer = match &self.answer {
            Answer::Document(body) | Answer::Error(body) => body.len(),
            Answer::Frames(decoder) => decoder.buffered(),
            Answer::Waiting | Answer::Opaque => 0,
        };
        self.request.len() + self.assembly.held() + answer
    }

    pub(super) fn request_body(&mut self, part: &BodyPart<'_>, budget: usize) {
        if let BodyPart::Hole(hole) = part {
            self.call.gaps.request_hole |= hole.reason != HoleReason::Undecodable;
            self.call.gaps.undecodable |= hole.reason == HoleReason::Undecodable;
        }
        if !self.request_read {
            self.request.push(part, budget);
        }
    }

    pub(super) fn request_end(&mut self, time: Monotonic) {
        self.call.timings.request_end = Some(time);
        self.read_request();
    }

    /// Reads the request body, once, and lets go of it.
    fn read_request(&mut self) {
        if std::mem::replace(&mut self.request_read, true) {
            return;
        }
        let body = std::mem::replace(&mut self.request, Body::new(Keep::Facts));
        self.beyond_cap += body.beyond_cap();
        if body.is_empty() {
            return;
        }
        let read = match self.shape {
            Shape::Converse => converse::request(&body, &mut self.facts),
            Shape::Family => {
                let family = *self
                    .family
                    .get_or_insert_with(|| Family::of_body(Json::new(&body.text())).unwrap_or(Family::Other));
                family.request(&body, &mut self.facts)
            }
            Shape::Opaque => Ok(()),
        };
        if read.is_err() && body.holes().is_empty() && body.beyond_cap() == 0 {
            self.call.gaps.request_unreadable = true;
            self.bodies_unreadable += 1;
        }
    }

    pub(super) fn response(&mut self, head: &ResponseHead<'_>, time: Monotonic) {
        let fields = &head.fields;
        let call = &mut self.call;
        call.status = Some(head.status);
        call.timings.response = Some(time);
        call.request_id = [
            "x-amzn-requestid",
            "x-amzn-request-id",
            "x-request-id",
            "request-id",
        ]
        .iter()
        .find_map(|name| header(fields, name));
        if let Some(session) = [
            "x-amz-bedrock-agent-session-id",
            "x-amzn-bedrock-knowledge-base-session-id",
            "x-amzn-bedrock-agentcore-runtime-session-id",
        ]
        .iter()
        .find_map(|name| header(fields, name))
        {
            call.session = Some(session);
        }
        let count = |name: &str| fields.get(name).and_then(|text| Json::new(text).count());
        self.headers = Usage {
            input: count("x-amzn-bedrock-input-token-count"),
            output: count("x-amzn-bedrock-output-token-count"),
            cache_read: count("x-amzn-bedrock-cache-read-input-token-count"),
            cache_write: count("x-amzn-bedrock-cache-write-input-token-count"),
            ..Usage::default()
        };
        self.facts.server_latency_ms = count("x-amzn-bedrock-invocation-latency");
        self.facts.response_model = header(fields, "x-amzn-bedrock-model-id");

        let content_type = fields
            .get("content-type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let frames = content_type.starts_with("application/vnd.amazon.eventstream");
        call.streaming |= frames || content_type.starts_with("text/event-stream");
        self.answer = if head.status >= 400 {
            call.failure = Some(Failure {
                code: fields
                    .get("x-amzn-errortype")
                    .and_then(failure::code_of_header)
                    .unwrap_or_default(),
                message: None,
                in_stream: None,
            });
            Answer::Error(Body::new(Keep::Facts))
        } else if frames || (content_type.is_empty() && self.shape != Shape::Opaque && call.streaming) {
            Answer::Frames(Box::default())
        } else if self.shape == Shape::Opaque {
            Answer::Opaque
        } else {
            let keep = if self.facts.content.is_some() {
                Keep::Content
            } else {
                Keep::Facts
            };
            Answer::Document(Body::new(keep))
        };
    }

    pub(super) fn response_body(&mut self, part: &BodyPart<'_>, time: Monotonic, budget: usize) {
        if let BodyPart::Hole(hole) = part {
            self.call.gaps.response_hole |= hole.reason != HoleReason::Undecodable;
            self.call.gaps.undecodable |= hole.reason == HoleReason::Undecodable;
        }
        match std::mem::replace(&mut self.answer, Answer::Opaque) {
            Answer::Document(mut body) => {
                body.push(part, budget);
                self.answer = Answer::Document(body);
            }
            Answer::Error(mut body) => {
                body.push(part, budget);
                self.answer = Answer::Error(body);
            }
            Answer::Frames(mut decoder) => {
                let mut each = |item: Item<'_>| self.item(&item, time);
                match part {
                    BodyPart::Bytes(bytes) => decoder.feed(bytes, &mut each),
                    BodyPart::Hole(hole) => {
                        // The length of what cannot be decoded is that of the coded bytes.
                        let length = hole.length.filter(|_| hole.reason != HoleReason::Undecodable);
                        decoder.hole(length, &mut each);
                    }
                }
                self.answer = Answer::Frames(decoder);
            }
            other @ (Answer::Waiting | Answer::Opaque) => self.answer = other,
        }
    }

    fn item(&mut self, item: &Item<'_>, time: Monotonic) {
        match item {
            Item::Message(message) => self.message(message, time),
            Item::Broken(Broken { reason, .. }) => match reason {
                BrokenReason::Oversized => self.call.gaps.beyond_cap = true,
                BrokenReason::Hole => self.call.gaps.response_hole = true,
                // The end of the exchange tells of a stream cut short.
                BrokenReason::Truncated => {}
                BrokenReason::PreludeChecksum
                | BrokenReason::Length
                | BrokenReason::MessageChecksum
                | BrokenReason::Headers => {
                    self.frames_broken += 1;
                    self.call.gaps.frames_broken = true;
                }
            },
        }
    }

    fn message(&mut self, message: &Message<'_>, time: Monotonic) {
        match message.kind() {
            MessageKind::Event { event_type } => {
                let text = json::text(message.payload);
                self.event(event_type, Json::new(&text));
                if self.facts.spoke {
                    self.call.timings.first_chunk.get_or_insert(time);
                }
                if let Some((code, message)) = self.facts.error.take() {
                    self.fail(code, message, time);
                }
            }
            MessageKind::Exception { exception_type } => {
                let text = json::text(message.payload);
                let said = Json::new(&text).member("message").and_then(Json::string);
                self.fail(
                    failure::code(exception_type).unwrap_or_else(|| "Exception".into()),
                    said.and_then(|text| failure::message(&text)),
                    time,
                );
            }
            MessageKind::Error { code, message } => self.fail(
                code.and_then(failure::code).unwrap_or_else(|| "Error".into()),
                message.and_then(failure::message),
                time,
            ),
            MessageKind::Unknown => {}
        }
    }

    /// The first failure counts: what follows is its echo.
    fn fail(&mut self, code: String, message: Option<String>, time: Monotonic) {
        self.call.failure.get_or_insert(Failure {
            code,
            message,
            in_stream: Some(time),
        });
    }

    fn event(&mut self, event_type: &str, payload: Json<'_>) {
        let read = match self.shape {
            Shape::Converse => converse::event(event_type, payload, &mut self.facts, &mut self.assembly),
            Shape::Family if event_type == "chunk" => {
                let Some(inner) = payload
                    .member("bytes")
                    .and_then(Json::string)
                    .and_then(|text| STANDARD.decode(text.as_bytes()).ok())
                else {
                    self.unreadable();
                    return;
                };
                let text = json::text(&inner);
                let chunk = Json::new(&text);
                let family = match self.family {
                    Some(family) => family,
                    // Behind an opaque ARN the first chunks may not tell yet.
                    None => match Family::of_body(chunk) {
                        Some(family) => *self.family.insert(family),
                        None => Family::Other,
                    },
                };
                family.chunk(chunk, &mut self.facts, &mut self.assembly)
            }
            Shape::Family => Ok(()),
            Shape::Opaque => {
                self.facts.spoke |= matches!(
                    event_type,
                    "chunk" | "output" | "responseEvent" | "contentBlockDelta" | "flowOutputEvent"
                );
                Ok(())
            }
        };
        if read.is_err() {
            self.unreadable();
        }
    }

    fn unreadable(&mut self) {
        self.call.gaps.response_unreadable = true;
        self.bodies_unreadable += 1;
    }

    /// Nothing more comes.
    pub(super) fn finish(
        mut self,
        completion: Completion,
        time: Monotonic,
        count: &mut dyn FnMut(Counter, u64),
    ) -> Call {
        self.read_request();
        match std::mem::replace(&mut self.answer, Answer::Opaque) {
            Answer::Waiting | Answer::Opaque => {}
            Answer::Document(body) => self.read_response(&body, completion),
            Answer::Error(body) => self.read_error(&body),
            Answer::Frames(mut decoder) => {
                decoder.finish(&mut |item| self.item(&item, time));
                let told = self.facts.ended || !self.facts.stop_reasons.is_empty();
                let expected = self.shape == Shape::Converse
                    || matches!(self.family, Some(Family::Anthropic | Family::Nova));
                self.call.gaps.no_stop_event = expected && !told && self.call.failure.is_none();
            }
        }
        converse::finish_stream(std::mem::take(&mut self.assembly), &mut self.facts);
        self.settle(completion, time, count)
    }

    fn read_response(&mut self, body: &Body, completion: Completion) {
        self.beyond_cap += body.beyond_cap();
        let read = match self.shape {
            Shape::Converse => converse::response(body, &mut self.facts),
            Shape::Family => {
                let family = self
                    .family
                    .or_else(|| Family::of_body(Json::new(&body.text())))
                    .unwrap_or(Family::Other);
                family.response(body, &mut self.facts)
            }
            Shape::Opaque => Ok(()),
        };
        let whole = completion == Completion::Complete && body.holes().is_empty() && body.beyond_cap() == 0;
        if read.is_err() && whole {
            self.unreadable();
        }
    }

    fn read_error(&mut self, body: &Body) {
        let error = ErrorBody::read(body.text().as_bytes());
        let status = self.call.status.unwrap_or_default();
        if let Some(failure) = &mut self.call.failure {
            if failure.code.is_empty() {
                failure.code = error.code.unwrap_or_else(|| status.to_string());
            }
            failure.message = error.message;
        }
    }

    /// Puts the pieces into the call.
    fn settle(self, completion: Completion, time: Monotonic, count: &mut dyn FnMut(Counter, u64)) -> Call {
        let Self {
            mut call,
            shape: _,
            family,
            facts,
            request: _,
            request_read: _,
            answer: _,
            assembly: _,
            headers,
            frames_broken,
            bodies_unreadable,
            beyond_cap,
        } = self;
        let Facts {
            parameters,
            task,
            stop_reasons,
            response_id,
            response_model,
            tool_calls,
            guardrail,
            server_latency_ms,
            usage,
            metrics,
            error: _,
            spoke: _,
            ended: _,
            content,
        } = facts;
        call.parameters = parameters;
        call.task = call.task.or(task);
        call.stop_reasons = stop_reasons;
        call.response_id = response_id;
        call.response_model = response_model;
        call.tool_calls = tool_calls;
        call.guardrail = guardrail;
        call.server_latency_ms = server_latency_ms;
        call.usage = if family.is_some_and(Family::counts_better_than_metrics) {
            headers.or(usage).or(metrics)
        } else {
            headers.or(metrics).or(usage)
        };
        call.gaps.beyond_cap |= beyond_cap > 0;
        call.content = content;
        call.completion = completion;
        call.timings.end = time;
        for (counter, number) in [
            (Counter::FramesBroken, frames_broken),
            (Counter::BodiesUnreadable, bodies_unreadable),
            (Counter::BodyBytesBeyondCap, beyond_cap),
        ] {
            if number > 0 {
                count(counter, number);
            }
        }
        call
    }
}

/// A header's value, if it is not absurdly long.
fn header(fields: &Fields<'_>, name: &str) -> Option<String> {
    fields
        .get(name)
        .filter(|value| !value.is_empty() && value.len() <= MAX_HEADER)
        .map(str::to_owned)
}

/// All lines of `tracestate` as one (W3C Trace Context, section 3.3.1.1).
fn tracestate(fields: &Fields<'_>) -> Option<String> {
    let joined = fields.values("tracestate").collect::<Vec<_>>().join(",");
    (!joined.is_empty() && joined.len() <= MAX_HEADER).then_some(joined)
}

/// `amz-sdk-request: attempt=2; max=3`, or the counter of the Anthropic and `OpenAI` SDKs.
fn attempt(fields: &Fields<'_>) -> Attempt {
    let by_aws = fields.get("amz-sdk-request").and_then(|value| {
        value
            .split(';')
            .find_map(|pair| pair.trim().strip_prefix("attempt="))
            .and_then(|number| number.trim().parse::<u64>().ok())
            .map(|attempt| attempt.saturating_sub(1))
    });
    let by_others = || {
        fields
            .get("x-stainless-retry-count")
            .and_then(|number| number.parse::<u64>().ok())
    };
    Attempt {
        invocation_id: header(fields, "amz-sdk-invocation-id"),
        resends: by_aws.or_else(by_others).unwrap_or(0),
    }
}
