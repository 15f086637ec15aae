//! Plays one exchange to `Calls`, event by event.

use crate::counters::{Counter, Counters};
use crate::event::{ConnectionKey, Monotonic, ProcessKey, Verdict};
use crate::http::{
    BodyPart, Completion, ExchangeNumber, Fields, HttpEvent, HttpSink as _, RequestHead, ResponseHead,
    Version,
};

use super::super::{Call, Calls, Output, Settings};

pub(crate) const CONNECTION: ConnectionKey = ConnectionKey {
    process: ProcessKey { pid: 42, start_ns: 1 },
    address: 0x1000,
    generation: 0,
};

pub(crate) const EVENTSTREAM: (&str, &str) = ("Content-Type", "application/vnd.amazon.eventstream");

/// One exchange after the other on one connection; every event is a millisecond after the one before.
pub(crate) struct Play {
    calls: Calls,
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    number: u64,
    time: u64,
    verdicts: Vec<(ConnectionKey, Verdict)>,
    counters: Counters,
    done: Vec<Call>,
    ended: bool,
    version: Version,
}

impl Play {
    pub(crate) fn new(method: &'static str, target: &str) -> Self {
        Self {
            calls: Calls::new(Settings::default()),
            method,
            target: target.to_owned(),
            headers: vec![("Host".into(), "bedrock-runtime.us-east-1.amazonaws.com".into())],
            number: 0,
            time: 0,
            verdicts: Vec::new(),
            counters: Counters::default(),
            done: Vec::new(),
            ended: false,
            version: Version::Http11,
        }
    }

    pub(crate) fn converse() -> Self {
        Self::new("POST", "/model/amazon.nova-lite-v1%3A0/converse")
    }

    pub(crate) fn converse_stream() -> Self {
        Self::new("POST", "/model/amazon.nova-lite-v1%3A0/converse-stream")
    }

    pub(crate) fn invoke(model: &str) -> Self {
        Self::new("POST", &format!("/model/{model}/invoke"))
    }

    pub(crate) fn invoke_stream(model: &str) -> Self {
        Self::new("POST", &format!("/model/{model}/invoke-with-response-stream"))
    }

    /// A `POST` to another host than the runtime's.
    pub(crate) fn on(host: &str, path: &str) -> Self {
        let mut play = Self::new("POST", path);
        play.headers = vec![("Host".into(), host.into())];
        play
    }

    pub(crate) fn foreign() -> Self {
        let mut play = Self::new("POST", "/v1/things");
        play.headers = vec![("Host".into(), "api.example".into())];
        play
    }

    /// Sends the request to another host.
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.headers.retain(|(name, _)| name != "Host");
        self.headers.push(("Host".into(), host.to_owned()));
        self
    }

    pub(crate) fn over_http2(mut self) -> Self {
        self.version = Version::Http2;
        self
    }

    pub(crate) fn unpaired(mut self) -> Self {
        self.calls.unpaired(CONNECTION);
        self
    }

    pub(crate) fn with_content(self) -> Self {
        self.with(Calls::new(Settings {
            content: true,
            ..Settings::default()
        }))
    }

    pub(crate) fn with(mut self, calls: Calls) -> Self {
        self.calls = calls;
        self
    }

    pub(crate) fn header(&mut self, name: &str, value: &str) -> &mut Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same again, as the next exchange.
    pub(crate) fn again(&mut self) -> &mut Self {
        self.number += 1;
        self.ended = false;
        self
    }

    pub(crate) fn request(&mut self, body: &str) -> &mut Self {
        self.request_parts(&[BodyPart::Bytes(body.as_bytes())])
    }

    pub(crate) fn request_parts(&mut self, parts: &[BodyPart<'_>]) -> &mut Self {
        let time = self.tick();
        self.begin_at(CONNECTION, ExchangeNumber(self.number), time);
        for part in parts {
            let time = self.tick();
            self.event(HttpEvent::RequestBody {
                part: part.clone(),
                time,
            });
        }
        let time = self.tick();
        self.event(HttpEvent::RequestEnd { time });
        self
    }

    pub(crate) fn begin_at(&mut self, connection: ConnectionKey, number: ExchangeNumber, time: Monotonic) {
        let mut fields = Fields::default();
        for (name, value) in &self.headers {
            fields.push(name.as_str(), value.as_bytes());
        }
        self.calls.http(
            connection,
            number,
            HttpEvent::Request {
                head: RequestHead {
                    method: self.method,
                    target: &self.target,
                    version: self.version,
                    fields,
                },
                time,
                thread: 7,
            },
        );
        self.collect();
    }

    pub(crate) fn response(&mut self, status: u16, headers: &[(&str, &str)]) -> &mut Self {
        let mut fields = Fields::default();
        for (name, value) in headers {
            fields.push(*name, value.as_bytes());
        }
        let head = ResponseHead {
            status,
            version: Version::Http11,
            fields,
        };
        let time = self.tick();
        self.event(HttpEvent::Response { head, time });
        self
    }

    /// A response whose header fields are not known.
    pub(crate) fn partial_response(&mut self, status: u16) -> &mut Self {
        let mut fields = Fields::default();
        fields.set_partial();
        let head = ResponseHead {
            status,
            version: Version::Http2,
            fields,
        };
        let time = self.tick();
        self.event(HttpEvent::Response { head, time });
        self
    }

    pub(crate) fn answer(&mut self, body: &str) -> &mut Self {
        self.part(&BodyPart::Bytes(body.as_bytes()))
    }

    pub(crate) fn part(&mut self, part: &BodyPart<'_>) -> &mut Self {
        let time = self.tick();
        self.event(HttpEvent::ResponseBody {
            part: part.clone(),
            time,
        });
        self
    }

    pub(crate) fn end(&mut self, completion: Completion) -> &mut Self {
        let time = self.tick();
        self.event(HttpEvent::End { completion, time });
        self.ended = true;
        self
    }

    /// The call that came out last; ends the exchange if nothing did yet.
    pub(crate) fn call(&mut self) -> Call {
        if !self.ended {
            self.end(Completion::Complete);
        }
        self.done.pop().expect("the exchange is a call of Bedrock")
    }

    pub(crate) fn calls_so_far(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.done)
    }

    pub(crate) fn verdicts(&self) -> &[(ConnectionKey, Verdict)] {
        &self.verdicts
    }

    pub(crate) fn counted(&self, counter: Counter) -> u64 {
        self.counters.get(counter)
    }

    /// What comes next comes so many milliseconds after the beginning.
    pub(crate) fn at(&mut self, milliseconds: u64) -> &mut Self {
        self.time = milliseconds.saturating_sub(1) * 1_000_000;
        self
    }

    fn event(&mut self, event: HttpEvent<'_>) {
        self.calls.http(CONNECTION, ExchangeNumber(self.number), event);
        self.collect();
    }

    fn collect(&mut self) {
        for output in self.calls.outputs() {
            match output {
                Output::Begun(_) => {}
                Output::Call(call) => self.done.push(*call),
                Output::Verdict(connection, verdict) => self.verdicts.push((connection, verdict)),
                Output::Count(counter, count) => self.counters.add(counter, count),
            }
        }
    }

    fn tick(&mut self) -> Monotonic {
        self.time += 1_000_000;
        Monotonic(self.time)
    }
}

/// A frame with its message type, its own type and a payload.
pub(crate) fn frame(message_type: &str, name: &str, payload: &str) -> Vec<u8> {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    let name_header = match message_type {
        "exception" => ":exception-type",
        "error" => ":error-code",
        _ => ":event-type",
    };
    let text = |text: &str| HeaderValue::String(text.to_owned().into());
    let message = Message::new(payload.to_owned().into_bytes())
        .add_header(Header::new(name_header, text(name)))
        .add_header(Header::new(":message-type", text(message_type)));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("the message can be written");
    bytes
}

/// A frame with a chunk of a family's body, padded as Bedrock does.
pub(crate) fn chunk(inner: &str) -> Vec<u8> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.encode(inner);
    frame(
        "event",
        "chunk",
        &format!(r#"{{"bytes":"{bytes}","p":"abcdefgh"}}"#),
    )
}
