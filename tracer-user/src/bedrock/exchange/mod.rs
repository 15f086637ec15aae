//! One call under way: collects what its HTTP events say until it ends.

mod answer;
mod settle;
mod unseen;

use crate::counters::Counter;
use crate::event::{ConnectionKey, Monotonic};
use crate::http::{BodyPart, Completion, ExchangeNumber, HoleReason, Phase, RequestHead};
use crate::wire::eventstream::MessageKind;

use super::agent::{self, AgentFacts};
use super::attempt::{Attempt, Begun, Digester};
use super::billing::{Billing, ServiceTier};
use super::body::{Body, Keep};
use super::call::{Call, Gaps, Timings, Usage};
use super::envelope::Envelopes;
use super::family::Task;
use super::family::beside::Job;
use super::guardrail::Guardrail;
use super::headers;
use super::json::Json;
use super::operation::Purpose;
use super::pace::Pace;
use super::parameters::Parameters;
use super::reading::Reading;
use super::route::Route;
use super::settings::Settings;
use super::tool_results::ToolResults;
use super::under_way::UnderWay;
use answer::Answer;

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
    /// For requests that are told apart from others by what they say.
    digester: Option<Digester>,
    /// If they are asked for, and the request is one document.
    tool_results: Option<ToolResults>,
    /// `None` once it is read, or if it is not looked into.
    request: Option<Body>,
    /// For requests that are event-streams.
    envelopes: Option<Box<Envelopes>>,
    answer: Answer,
    reading: Reading,
    headers: Usage,
    /// Tier of service by the heads, the answer's before the request's.
    tier: Option<ServiceTier>,
    /// Pieces of a streamed answer so far.
    chunks: u64,
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
        settings: &Settings,
    ) -> Self {
        let Settings {
            content,
            session_headers,
            tool_results,
        } = settings;
        let keep = if *content { Keep::Content } else { Keep::Facts };
        let fields = &head.fields;
        let model = route.resource.model.as_deref();
        let mut reading = Reading::new(route.operation, model, *content);
        reading.facts.guardrail = Guardrail {
            id: route
                .resource
                .guardrail
                .clone()
                .or_else(|| headers::value(fields, "x-amzn-bedrock-guardrailidentifier")),
            version: route
                .resource
                .guardrail_version
                .clone()
                .or_else(|| headers::value(fields, "x-amzn-bedrock-guardrailversion")),
            ..Guardrail::default()
        };
        agent::asked(fields, &mut reading.facts.agent.facts);
        reading.facts.billing = headers::billing(fields);
        let tier = reading.facts.billing.tier;
        Self {
            keep,
            is_certain: true,
            first_chunk_missed: false,
            request: (reading.looks_into_bodies() && !reading.asks_in_events()).then(|| Body::new(keep)),
            tool_results: (*tool_results && reading.looks_into_bodies() && !reading.asks_in_events())
                .then(ToolResults::default),
            digester: Digester::of(head.target, fields),
            envelopes: reading.asks_in_events().then(Box::default),
            answer: Answer::Waiting,
            reading,
            headers: Usage::default(),
            tier,
            chunks: 0,
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
                attempt: Attempt::read(fields),
                attempts: Vec::new(),
                session: headers::session_asked(fields, &route, session_headers),
                route,
                parameters: Parameters::default(),
                usage: Usage::default(),
                billing: Billing::default(),
                stop_reasons: Vec::new(),
                response_id: None,
                response_model: None,
                tool_calls: Vec::new(),
                tool_results: Vec::new(),
                tool_loop: None,
                counted_tokens: None,
                job: Job::default(),
                guardrail: Guardrail::default(),
                agent: AgentFacts::default(),
                steps: Vec::new(),
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
                pace: Pace::default(),
                completion: Completion::Complete,
                gaps: Gaps {
                    headers_unknown: fields.is_partial(),
                    ..Gaps::default()
                },
                content: None,
            },
        }
    }

    /// Only one direction of the connection is seen.
    pub(super) fn set_unpaired(&mut self) {
        self.call.gaps.unpaired = true;
    }

    /// Whether it is a call to Bedrock for sure. What has no request may turn out to be one, or not.
    pub(super) fn is_certain(&self) -> bool {
        self.is_certain
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

    /// The attempt that it is, if other attempts can be told to be of the same call.
    pub(super) fn attempt(&self) -> Option<Begun> {
        Some(Begun {
            connection: self.call.connection,
            exchange: self.call.exchange,
            series: self.call.attempt.series()?,
            resends: self.call.attempt.resends,
        })
    }

    /// The call as far as it has come.
    pub(super) fn under_way(&self) -> UnderWay<'_> {
        let Call {
            connection,
            exchange,
            route,
            session,
            streaming,
            timings,
            ..
        } = &self.call;
        UnderWay {
            connection: *connection,
            exchange: *exchange,
            route,
            session: session.as_ref().map(|session| session.id.as_str()),
            streaming: *streaming,
            begun: timings.request,
            phase: self.phase(),
            first_chunk: timings.first_chunk,
            chunks: self.chunks,
        }
    }

    /// Bytes of bodies kept.
    pub(super) fn held(&self) -> usize {
        let answer = match &self.answer {
            Answer::Document(body) | Answer::Error(body) => body.len(),
            Answer::Frames(decoder) => decoder.buffered(),
            Answer::Lines(reader) => reader.buffered(),
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
        self.digester = self.digester.take().and_then(|digester| digester.push(part));
        if let Some(results) = &mut self.tool_results {
            results.push(part);
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

    /// The request is whole. Whether that tells which call it is an attempt of, which its head did not.
    pub(super) fn request_end(&mut self, time: Monotonic) -> bool {
        self.call.timings.request_end = Some(time);
        let digest = self.digester.take().map(Digester::finish);
        self.call.attempt.digest = digest;
        self.read_request();
        digest.is_some()
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
            Answer::Lines(mut reader) => {
                reader.finish(&mut |item| self.line_item(item, time));
                self.call.gaps.no_stop_event = self.call.failure.is_none() && self.reading.lacks_stop_event();
            }
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
}
