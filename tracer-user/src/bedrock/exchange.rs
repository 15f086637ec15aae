//! One call under way: collects what its HTTP events say until it ends.

use crate::counters::Counter;
use crate::event::{ConnectionKey, Monotonic};
use crate::http::{
    BodyPart, Completion, ExchangeNumber, Fields, HoleReason, Phase, RequestHead, ResponseHead, Version,
};
use crate::wire::eventstream::{Broken, BrokenReason, Decoder, Item, Message, MessageKind};

use super::body::{Body, Keep};
use super::call::{Call, Gaps, Guardrail, Timings, Usage};
use super::envelope::Envelopes;
use super::failure::{self, ErrorBody, Failure};
use super::family::{Facts, Task};
use super::headers;
use super::json::{self, Json};
use super::operation::{Operation, Purpose, Service};
use super::parameters::Parameters;
use super::reading::Reading;
use super::route::{Resource, Route};

/// Media type of event-streams.
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// What is known where the request is not.
const UNKNOWN_ROUTE: Route = Route {
    operation: Operation::UnknownRuntimeOperation,
    service: Service::Runtime,
    region: None,
    server: None,
    resource: Resource {
        model: None,
        agent: None,
        session: None,
        knowledge_base: None,
        guardrail: None,
    },
};

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
    /// Its first byte will tell what it is.
    Unknown,
    /// Not looked into.
    Opaque,
}

/// One call under way.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The call as far as heads and times tell it; the rest is put in at the end.
    call: Call,
    keep: Keep,
    /// What was seen is Bedrock's for sure.
    is_certain: bool,
    /// When the answer began to be told, or was asked for, is not known.
    first_chunk_missed: bool,
    /// `None` once it is read, or if it is not looked into.
    request: Option<Body>,
    /// For requests that are event-streams.
    envelopes: Option<Box<Envelopes>>,
    answer: Answer,
    reading: Reading,
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
        let keep = if content { Keep::Content } else { Keep::Facts };
        let fields = &head.fields;
        let model = route.resource.model.as_deref();
        let mut reading = Reading::new(route.operation, model, content);
        reading.facts.guardrail = Guardrail {
            id: route
                .resource
                .guardrail
                .clone()
                .or_else(|| headers::value(fields, "x-amzn-bedrock-guardrailidentifier")),
            version: headers::value(fields, "x-amzn-bedrock-guardrailversion"),
            intervened: None,
        };
        Self {
            keep,
            is_certain: true,
            first_chunk_missed: false,
            request: (reading.looks_into_bodies() && !reading.asks_in_events()).then(|| Body::new(keep)),
            envelopes: reading.asks_in_events().then(Box::default),
            answer: Answer::Waiting,
            reading,
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
                trace: headers::trace(fields),
                attempt: headers::attempt(fields),
                session: headers::value(fields, "x-amzn-bedrock-agentcore-runtime-session-id")
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
                gaps: Gaps {
                    headers_unknown: fields.is_partial(),
                    ..Gaps::default()
                },
                content: None,
            },
        }
    }

    /// A call of which only the response is there, if that may be Bedrock's.
    pub(super) fn of_response(
        connection: ConnectionKey,
        exchange: ExchangeNumber,
        head: &ResponseHead<'_>,
        time: Monotonic,
        content: bool,
    ) -> Option<Self> {
        let fields = &head.fields;
        let says_so = fields
            .iter()
            .any(|(name, _)| name.to_ascii_lowercase().starts_with("x-amzn-bedrock-"));
        let may_be = match fields.get("content-type") {
            Some(kind) => kind.to_ascii_lowercase().starts_with(EVENT_STREAM),
            // The body will tell.
            None => fields.is_partial(),
        };
        if !says_so && !may_be {
            return None;
        }
        let mut route = UNKNOWN_ROUTE;
        if fields.get("x-amzn-bedrock-agent-session-id").is_some() {
            route.operation = Operation::InvokeAgent;
            route.service = Operation::InvokeAgent.service();
        }
        let mut this = Self::unseen(connection, exchange, route, head.version, time, content);
        this.is_certain = says_so;
        Some(this)
    }

    /// A call of which neither the request nor the head of the response is there: if its events are Bedrock's, it is one.
    pub(super) fn of_body(
        connection: ConnectionKey,
        exchange: ExchangeNumber,
        time: Monotonic,
        content: bool,
    ) -> Self {
        let mut this = Self::unseen(connection, exchange, UNKNOWN_ROUTE, Version::Http2, time, content);
        this.call.gaps.headers_unknown = true;
        this.call.streaming = true;
        this.answer = Answer::Frames(Box::default());
        this
    }

    fn unseen(
        connection: ConnectionKey,
        exchange: ExchangeNumber,
        route: Route,
        version: Version,
        time: Monotonic,
        content: bool,
    ) -> Self {
        let head = RequestHead {
            method: "",
            target: "",
            version,
            fields: Fields::default(),
        };
        let mut this = Self::new(connection, exchange, route, &head, time, 0, content);
        this.call.gaps.request_unseen = true;
        this.is_certain = false;
        this.first_chunk_missed = true;
        this
    }

    /// Only one direction of the connection is seen.
    pub(super) fn set_unpaired(&mut self) {
        self.call.gaps.unpaired = true;
    }

    /// Whether it is a call to Bedrock for sure. What has no request may turn out to be one, or not.
    pub(super) fn is_certain(&self) -> bool {
        self.is_certain
    }

    /// The body of an answer of which nothing else is known. What Converse answers has members that together nothing else has.
    fn recognise_document(&mut self, body: Json<'_>) {
        let is_converse = ["output", "stopReason", "usage", "metrics"]
            .iter()
            .all(|name| body.member(name).is_some_and(|member| !member.is_null()));
        if is_converse {
            self.take_for(Operation::Converse);
        }
    }

    /// The first event of a stream without a request tells what was asked.
    fn recognise_event(&mut self, event_type: &str) {
        let operation = match event_type {
            "chunk" => Operation::InvokeModelWithResponseStream,
            "messageStart" | "contentBlockStart" | "contentBlockDelta" | "contentBlockStop"
            | "messageStop" | "metadata" => Operation::ConverseStream,
            _ => return,
        };
        self.take_for(operation);
    }

    fn take_for(&mut self, operation: Operation) {
        self.is_certain = true;
        self.call.route.operation = operation;
        let Facts {
            server_latency_ms,
            response_model,
            ..
        } = std::mem::take(&mut self.reading.facts);
        self.reading = Reading::new(operation, None, self.keep == Keep::Content);
        self.reading.facts.server_latency_ms = server_latency_ms;
        self.reading.facts.response_model = response_model;
    }

    /// When the request began.
    pub(super) fn begun(&self) -> Monotonic {
        self.call.timings.request
    }

    /// How far it has come.
    pub(super) fn phase(&self) -> Phase {
        let Timings {
            request_end,
            response,
            ..
        } = self.call.timings;
        match (request_end, response) {
            (_, Some(_)) => Phase::Response,
            (Some(_), None) => Phase::Waiting,
            (None, None) => Phase::Request,
        }
    }

    /// Bytes of bodies kept.
    pub(super) fn held(&self) -> usize {
        let answer = match &self.answer {
            Answer::Document(body) | Answer::Error(body) => body.len(),
            Answer::Frames(decoder) => decoder.buffered(),
            Answer::Waiting | Answer::Unknown | Answer::Opaque => 0,
        };
        let envelopes = self.envelopes.as_ref().map_or(0, |envelopes| envelopes.held());
        envelopes + self.request.as_ref().map_or(0, Body::len) + self.reading.held() + answer
    }

    pub(super) fn request_body(&mut self, part: &BodyPart<'_>, budget: usize) {
        if let BodyPart::Hole(hole) = part {
            self.call.gaps.request_hole |= hole.reason != HoleReason::Undecodable;
            self.call.gaps.undecodable |= hole.reason == HoleReason::Undecodable;
        }
        if let Some(body) = &mut self.request {
            body.push(part, budget);
        }
        if let Some(envelopes) = &mut self.envelopes {
            let reading = &mut self.reading;
            let mut unreadable = false;
            envelopes.push(part, &mut |message| {
                if let MessageKind::Event { event_type } = message.kind() {
                    unreadable |= reading.request_event(event_type, message.payload).is_err();
                }
            });
            self.call.gaps.request_unreadable |= unreadable;
            self.call.gaps.frames_broken |= envelopes.broken() > 0;
        }
    }

    pub(super) fn request_end(&mut self, time: Monotonic) {
        self.call.timings.request_end = Some(time);
        self.read_request();
    }

    pub(super) fn response(&mut self, head: &ResponseHead<'_>, time: Monotonic) {
        let fields = &head.fields;
        let call = &mut self.call;
        call.status = Some(head.status);
        call.timings.response = Some(time);
        call.gaps.headers_unknown |= fields.is_partial();
        call.request_id = headers::request_id(fields);
        if let Some(session) = headers::session(fields) {
            call.session = Some(session);
        }
        self.headers = headers::usage(fields);
        self.reading.facts.server_latency_ms = headers::count(fields, "x-amzn-bedrock-invocation-latency");
        self.reading.facts.response_model = headers::value(fields, "x-amzn-bedrock-model-id");

        let content_type = fields
            .get("content-type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let looks_into_bodies = self.reading.looks_into_bodies();
        let frames = content_type.starts_with(EVENT_STREAM);
        call.streaming |= frames || content_type.starts_with("text/event-stream");
        self.answer = if head.status >= 400 {
            let code = fields.get("x-amzn-errortype").and_then(failure::code);
            call.failure = Some(Failure {
                code: code.unwrap_or_default(),
                message: None,
                in_stream: None,
            });
            Answer::Error(Body::new(Keep::Facts))
        } else if call.gaps.request_unseen && content_type.is_empty() {
            Answer::Unknown
        } else if frames || (content_type.is_empty() && looks_into_bodies && call.streaming) {
            Answer::Frames(Box::default())
        } else if looks_into_bodies {
            Answer::Document(Body::new(self.keep))
        } else {
            Answer::Opaque
        };
    }

    pub(super) fn response_body(&mut self, part: &BodyPart<'_>, time: Monotonic, budget: usize) {
        if let BodyPart::Hole(hole) = part {
            self.call.gaps.response_hole |= hole.reason != HoleReason::Undecodable;
            self.first_chunk_missed |= self.call.timings.first_chunk.is_none();
            self.call.gaps.undecodable |= hole.reason == HoleReason::Undecodable;
        }
        // Taken out for as long as its frames are read into the rest of the exchange.
        let mut answer = std::mem::replace(&mut self.answer, Answer::Opaque);
        // The head of the response was missed.
        if matches!(answer, Answer::Waiting) {
            self.call.gaps.headers_unknown = true;
            answer = match (self.reading.looks_into_bodies(), self.call.streaming) {
                (true, true) => Answer::Frames(Box::default()),
                (true, false) => Answer::Document(Body::new(self.keep)),
                (false, _) => Answer::Opaque,
            };
        }
        if let (Answer::Unknown, BodyPart::Bytes([first, ..])) = (&answer, part) {
            // An event-stream begins with the length of its first message, which is below 16 MiB; JSON with a character.
            answer = if *first == 0 {
                self.call.streaming = true;
                Answer::Frames(Box::default())
            } else {
                Answer::Document(Body::new(self.keep))
            };
        }
        match &mut answer {
            Answer::Document(body) | Answer::Error(body) => body.push(part, budget),
            Answer::Frames(decoder) => {
                let mut each = |item: Item<'_>| self.item(&item, time);
                match part {
                    BodyPart::Bytes(bytes) => decoder.feed(bytes, &mut each),
                    BodyPart::Hole(hole) => {
                        // The length of what cannot be decoded is that of the coded bytes.
                        let length = hole.length.filter(|_| hole.reason != HoleReason::Undecodable);
                        decoder.hole(length, &mut each);
                    }
                }
            }
            Answer::Waiting | Answer::Unknown | Answer::Opaque => {}
        }
        self.answer = answer;
    }

    /// Nothing more comes. Nothing comes out of what is not a call to Bedrock.
    pub(super) fn finish(
        mut self,
        completion: Completion,
        time: Monotonic,
        count: &mut dyn FnMut(Counter, u64),
    ) -> Option<Call> {
        self.read_request();
        match std::mem::replace(&mut self.answer, Answer::Opaque) {
            Answer::Waiting | Answer::Unknown | Answer::Opaque => {}
            Answer::Document(body) => {
                if !self.is_certain {
                    self.recognise_document(Json::new(&body.text()));
                }
                self.read_response(&body, completion);
            }
            Answer::Error(body) => self.read_error(&body),
            Answer::Frames(mut decoder) => {
                decoder.finish(&mut |item| self.item(&item, time));
                self.call.gaps.no_stop_event = self.call.failure.is_none() && self.reading.lacks_stop_event();
            }
        }
        self.is_certain.then(|| self.settle(completion, time, count))
    }

    /// Reads the request body, once, and lets go of it.
    fn read_request(&mut self) {
        let Some(body) = self.request.take().filter(|body| !body.is_empty()) else {
            return;
        };
        self.beyond_cap += body.beyond_cap();
        let whole = body.holes().is_empty() && body.beyond_cap() == 0;
        if self.reading.request(&body).is_err() && whole {
            self.call.gaps.request_unreadable = true;
            self.bodies_unreadable += 1;
        }
    }

    fn read_response(&mut self, body: &Body, completion: Completion) {
        self.beyond_cap += body.beyond_cap();
        let whole = completion == Completion::Complete && body.holes().is_empty() && body.beyond_cap() == 0;
        if self.reading.response(body).is_err() && whole {
            self.response_unreadable();
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

    fn response_unreadable(&mut self) {
        self.call.gaps.response_unreadable = true;
        self.bodies_unreadable += 1;
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
                if self.call.gaps.request_unseen
                    && self.call.route.operation == Operation::UnknownRuntimeOperation
                {
                    self.recognise_event(event_type);
                }
                if self.reading.event(event_type, message.payload).is_err() {
                    self.response_unreadable();
                }
                if self.reading.facts.spoke && !self.first_chunk_missed {
                    self.call.timings.first_chunk.get_or_insert(time);
                }
                if let Some((code, message)) = self.reading.facts.error.take() {
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

    /// Puts the pieces into the call.
    fn settle(self, completion: Completion, time: Monotonic, count: &mut dyn FnMut(Counter, u64)) -> Call {
        let Self {
            mut call,
            keep: _,
            is_certain: _,
            first_chunk_missed: _,
            envelopes: _,
            request: _,
            answer: _,
            reading,
            headers,
            frames_broken,
            bodies_unreadable,
            beyond_cap,
        } = self;
        let body_counts_first = reading.counts_better_than_metrics();
        let (facts, answer_beyond_cap) = reading.finish();
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
        call.usage = headers.or(if body_counts_first {
            usage.or(metrics)
        } else {
            metrics.or(usage)
        });
        call.gaps.beyond_cap |= beyond_cap > 0 || answer_beyond_cap;
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
