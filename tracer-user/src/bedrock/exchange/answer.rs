//! The answer of a call as it comes: a document read at its end, or frames read one by one.

use crate::event::Monotonic;
use crate::http::{BodyPart, Completion, HoleReason, ResponseHead};
use crate::wire::eventstream::{Broken, BrokenReason, Decoder, Item, Message, MessageKind};
use crate::wire::sse;

use super::super::agent;
use super::super::body::{Body, Keep};
use super::super::failure::{self, ErrorBody, Failure};
use super::super::headers;
use super::super::json::{self, Json, Malformed};
use super::super::operation::Operation;
use super::super::reading::Reading;
use super::super::session::Session;
use super::Exchange;

/// Media type of event-streams.
pub(super) const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Media type of server-sent events.
const SERVER_SENT_EVENTS: &str = "text/event-stream";

/// What becomes of the response body.
#[derive(Debug)]
pub(super) enum Answer {
    /// No response yet.
    Waiting,
    /// A document, read at its end.
    Document(Body),
    /// The body of a failed response.
    Error(Body),
    /// Frames, read as they come.
    Frames(Box<Decoder>),
    /// Server-sent events, read as they come.
    Lines(Box<sse::Reader>),
    /// Its first byte will tell what it is.
    Unknown,
    /// Not looked into.
    Opaque,
}

impl Exchange {
    pub(in super::super) fn response(&mut self, head: &ResponseHead<'_>, time: Monotonic) {
        let fields = &head.fields;
        let call = &mut self.call;
        call.status = Some(head.status);
        call.timings.response = Some(time);
        call.gaps.headers_unknown |= fields.is_partial();
        call.request_id = headers::request_id(fields);
        agent::answered(fields, &mut self.reading.facts.agent.facts);
        Session::prefer(&mut call.session, headers::session_told(fields));
        self.headers = headers::usage(fields);
        let billing = &mut self.reading.facts.billing;
        headers::billing_told(fields, billing);
        if headers::tells_tier(fields) {
            self.tier = billing.tier;
        }
        self.reading.facts.server_latency_ms = headers::count(fields, "x-amzn-bedrock-invocation-latency");
        self.reading.facts.response_model = headers::value(fields, "x-amzn-bedrock-model-id");

        let content_type = fields
            .get("content-type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let looks_into_bodies = self.reading.looks_into_bodies();
        let frames = content_type.starts_with(EVENT_STREAM);
        let lines = content_type.starts_with(SERVER_SENT_EVENTS);
        call.streaming |= frames || lines || self.reading.facts.asked_stream == Some(true);
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
        } else if frames {
            Answer::Frames(Box::default())
        } else if lines && looks_into_bodies {
            Answer::Lines(Box::default())
        } else if content_type.is_empty() {
            self.undeclared()
        } else if looks_into_bodies {
            Answer::Document(Body::new(self.keep))
        } else {
            Answer::Opaque
        };
    }

    /// What an answer is whose head does not say it.
    fn undeclared(&self) -> Answer {
        if !self.reading.looks_into_bodies() {
            return Answer::Opaque;
        }
        match (self.reading.answers_in_lines(), self.call.streaming) {
            (true, true) => Answer::Lines(Box::default()),
            // Whether a stream was asked for is said at the end of the request, which may have been missed.
            (true, false) => Answer::Unknown,
            (false, true) => Answer::Frames(Box::default()),
            (false, false) => Answer::Document(Body::new(self.keep)),
        }
    }

    pub(in super::super) fn response_body(&mut self, part: &BodyPart<'_>, time: Monotonic, budget: usize) {
        if let BodyPart::Hole(hole) = part {
            self.call.gaps.response_hole |= hole.reason != HoleReason::Undecodable;
            self.call.pace.interrupt();
            self.first_chunk_missed |= self.call.timings.first_chunk.is_none();
            self.call.gaps.undecodable |= hole.reason == HoleReason::Undecodable;
        }
        // Taken out for as long as its frames are read into the rest of the exchange.
        let mut answer = std::mem::replace(&mut self.answer, Answer::Opaque);
        // The head of the response was missed.
        if matches!(answer, Answer::Waiting) {
            self.call.gaps.headers_unknown = true;
            self.call.streaming |= self.reading.facts.asked_stream == Some(true);
            answer = self.undeclared();
        }
        if let (Answer::Unknown, BodyPart::Bytes([first, ..])) = (&answer, part) {
            // An event-stream begins with the length of its first message, which is below 16 MiB; JSON with a bracket.
            answer = match first {
                0 => Answer::Frames(Box::default()),
                b'{' => Answer::Document(Body::new(self.keep)),
                _ if self.reading.answers_in_lines() => Answer::Lines(Box::default()),
                _ => Answer::Document(Body::new(self.keep)),
            };
            self.call.streaming |= !matches!(answer, Answer::Document(_));
        }
        // Nor is what follows a hole its first byte.
        if matches!(answer, Answer::Unknown) && matches!(part, BodyPart::Hole(_)) {
            answer = Answer::Document(Body::new(self.keep));
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
            Answer::Lines(reader) => match part {
                BodyPart::Bytes(bytes) => reader.feed(bytes, &mut |item| self.line_item(item, time)),
                BodyPart::Hole(_) => reader.hole(),
            },
            Answer::Waiting | Answer::Unknown | Answer::Opaque => {}
        }
        self.answer = answer;
    }

    pub(super) fn read_response(&mut self, body: &Body, completion: Completion) {
        self.beyond_cap += body.beyond_cap();
        let whole = completion == Completion::Complete && body.holes().is_empty() && body.beyond_cap() == 0;
        if self.reading.response(body).is_err() && whole {
            self.response_unreadable();
        }
        if let Some((code, message)) = self.reading.facts.error.take() {
            self.fail(code, message, None);
        }
    }

    pub(super) fn read_error(&mut self, body: &Body) {
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

    pub(super) fn item(&mut self, item: &Item<'_>, time: Monotonic) {
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

    /// A server-sent event, or what became of it.
    pub(super) fn line_item(&mut self, item: sse::Item<'_>, time: Monotonic) {
        match item {
            sse::Item::Event(event) => self.piece(time, |reading| reading.server_sent(event.data)),
            sse::Item::Broken(reason) => match reason {
                sse::BrokenReason::Oversized => self.call.gaps.beyond_cap = true,
                sse::BrokenReason::Hole => self.call.gaps.response_hole = true,
                // The end of the exchange tells of a stream cut short.
                sse::BrokenReason::Truncated => {}
            },
        }
    }

    /// Reads a piece of a streamed answer.
    fn piece(&mut self, time: Monotonic, read: impl FnOnce(&mut Reading) -> Result<(), Malformed>) {
        let spoke_before = std::mem::take(&mut self.reading.facts.spoke);
        if read(&mut self.reading).is_err() {
            self.response_unreadable();
        }
        if self.reading.facts.spoke {
            self.call.pace.piece(time);
            self.chunks += 1;
            if !self.first_chunk_missed {
                self.call.timings.first_chunk.get_or_insert(time);
            }
        }
        self.reading.facts.spoke |= spoke_before;
        if let Some((code, message)) = self.reading.facts.error.take() {
            self.fail(code, message, Some(time));
        }
    }

    fn message(&mut self, message: &Message<'_>, time: Monotonic) {
        match message.kind() {
            MessageKind::Event { event_type } => {
                if self.call.gaps.request_unseen
                    && self.call.route.operation == Operation::UnknownRuntimeOperation
                {
                    self.recognise_event(event_type, message.payload);
                }
                self.piece(time, |reading| reading.event(event_type, message.payload, time));
            }
            MessageKind::Exception { exception_type } => {
                let text = json::text(message.payload);
                let said = Json::new(&text).member("message").and_then(Json::string);
                self.fail(
                    failure::code(exception_type).unwrap_or_else(|| "Exception".into()),
                    said.and_then(|text| failure::message(&text)),
                    Some(time),
                );
            }
            MessageKind::Error { code, message } => self.fail(
                code.and_then(failure::code).unwrap_or_else(|| "Error".into()),
                message.and_then(failure::message),
                Some(time),
            ),
            MessageKind::Unknown => {}
        }
    }

    /// The first failure counts: what follows is its echo.
    fn fail(&mut self, code: String, message: Option<String>, in_stream: Option<Monotonic>) {
        self.call.failure.get_or_insert(Failure {
            code,
            message,
            in_stream,
        });
    }
}
