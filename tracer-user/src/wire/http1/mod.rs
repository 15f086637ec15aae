//! HTTP/1 (RFC 9112) as somebody hears it who stands beside client and server and can ask neither.
//!
//! Each direction is read on its own ([`half`]): what is lost in one does not break the other. [`Http1`] joins them:
//! responses answer requests in order ([`exchange`]). Where the recipient would refuse a message the passive reader ends
//! the exchange and looks for the next message at the start of a later call.

mod body;
mod chunked;
mod exchange;
mod half;
mod head;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

use self::body::Framing;
use self::exchange::{Exchange, Exchanges, Response};
use self::half::{Half, Input, Step, WholeHead};
use self::head::Method;
pub(super) use self::head::codings;
use super::encoding::Decoder;
use crate::conn::{Ending, Piece};
use crate::counters::{Counter, Counters};
use crate::event::{ConnectionKey, Direction, Monotonic};
use crate::http::{BodyPart, Completion, ExchangeNumber, Hole, HoleReason, HttpEvent, HttpSink, Phase};

/// Where to tell what was found.
pub(super) struct Context<'c, Sink> {
    pub(super) connection: ConnectionKey,
    pub(super) sink: &'c mut Sink,
    pub(super) counters: &'c mut Counters,
}

/// How a connection was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// From its first byte, or between two exchanges.
    AtRequest,
    /// With a response whose request was not seen.
    AtResponse,
}

/// One connection of a client.
#[derive(Debug)]
pub(super) struct Http1 {
    requests: Half,
    responses: Half,
    exchanges: Exchanges,
    request_body: Option<Body>,
    response_body: Option<Body>,
    /// Requests may have been missed since the last one that was seen.
    requests_missed: bool,
    /// The same of responses.
    responses_missed: Option<Missed>,
    heads: u64,
    tunnel: bool,
}

/// What a hole in the responses hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missed {
    /// The end of a response, and perhaps more of them.
    End,
    /// The beginning of one.
    Beginning,
}

/// A body under way.
#[derive(Debug)]
struct Body {
    exchange: ExchangeNumber,
    decoder: Decoder,
}

impl Http1 {
    pub(super) fn new(met: Met, first_exchange: u64) -> Self {
        Self {
            requests: match met {
                Met::AtRequest => Half::new(),
                Met::AtResponse => Half::joined_late(),
            },
            responses: Half::new(),
            exchanges: Exchanges::starting_at(first_exchange),
            request_body: None,
            response_body: None,
            requests_missed: false,
            responses_missed: None,
            heads: 0,
            tunnel: false,
        }
    }

    /// Whether a message of HTTP/1 was understood yet.
    pub(super) fn has_spoken(&self) -> bool {
        self.heads > 0
    }

    /// Whether where messages begin is unknown in either direction.
    pub(super) fn is_lost(&self) -> bool {
        self.requests.is_lost() || self.responses.is_lost()
    }

    /// Whether the connection has left HTTP.
    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// Memory held beyond this value.
    pub(super) fn held(&self) -> usize {
        let body = |body: &Option<Body>| body.as_ref().map_or(0, |body| body.decoder.held());
        self.requests.held() + self.responses.held() + body(&self.request_body) + body(&self.response_body)
    }

    /// Takes the next bytes of one direction.
    pub(super) fn bytes(&mut self, piece: Piece<'_>, context: &mut Context<'_, impl HttpSink>) {
        let Piece {
            direction,
            bytes,
            call_start,
            call_length: _,
            thread,
            time,
        } = piece;
        let input = Input {
            bytes,
            missing: 0,
            call_start,
            fresh: true,
            thread,
            time,
        };
        self.take(direction, input, context);
    }

    /// The next bytes of one direction are missing.
    pub(super) fn gap(
        &mut self,
        direction: Direction,
        length: u64,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        let input = Input {
            bytes: &[],
            missing: length,
            call_start: false,
            fresh: true,
            thread: 0,
            time,
        };
        self.take(direction, input, context);
    }

    /// Nothing came for long: what is under way is given up.
    pub(super) fn silent(&mut self, time: Monotonic, context: &mut Context<'_, impl HttpSink>) {
        self.end_all(time, context, |exchange| {
            exchange.completion(Completion::TimedOut)
        });
        if !self.tunnel {
            self.requests.forget();
            self.responses.forget();
        }
    }

    /// The connection is over.
    pub(super) fn end(&mut self, ending: Ending, time: Monotonic, context: &mut Context<'_, impl HttpSink>) {
        let until_close = self.responses.is_until_close() && ending == Ending::Closed;
        let lost = self.responses.is_lost();
        let answering = self.response_body.as_ref().map(|body| body.exchange);
        self.end_all(time, context, |exchange| {
            if until_close && answering == Some(exchange.number) {
                return Completion::Complete;
            }
            exchange.completion(match ending {
                Ending::Closed | Ending::ProcessExited if lost => Completion::Desynchronised,
                Ending::Closed | Ending::ProcessExited => Completion::Closed,
                Ending::Evicted => Completion::Evicted,
                Ending::TracingStopped => Completion::TracingStopped,
            })
        });
    }

    fn take(&mut self, direction: Direction, mut input: Input<'_>, context: &mut Context<'_, impl HttpSink>) {
        let input = &mut input;
        match direction {
            Direction::Write => {
                while let Some(step) = self.requests.next(input, context.counters) {
                    self.request(step, input, context);
                }
            }
            Direction::Read => {
                while let Some(step) = self.responses.next(input, context.counters) {
                    self.response(step, input, context);
                }
            }
        }
    }

    fn request(&mut self, step: Step<'_>, input: &mut Input<'_>, context: &mut Context<'_, impl HttpSink>) {
        let time = input.time;
        match step {
            Step::Head(head) => self.request_head(head, input, context),
            Step::Body(bytes) => self.request_part(BodyPart::Bytes(bytes), time, context),
            Step::Hole(length) => {
                self.requests_missed |= self.requests.is_lost();
                self.request_part(lost(length), time, context);
            }
            Step::BodyEnd => {
                let Some(body) = self.finish_body(Direction::Write, time, context) else {
                    return;
                };
                if let Some(exchange) = self.exchanges.get(body) {
                    exchange.requested = true;
                    let answered = exchange.responded().is_some();
                    context.tell(body, HttpEvent::RequestEnd { time });
                    if answered {
                        self.end_exchange(body, Completion::Complete, time, context);
                    }
                }
            }
            Step::Lost | Step::HeadLost => {
                self.requests_missed = true;
                self.request_part(lost(None), time, context);
                self.give_up_request(time, context);
            }
        }
    }

    fn request_head(
        &mut self,
        whole: WholeHead<'_>,
        input: &mut Input<'_>,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        let WholeHead { bytes, time, thread } = whole;
        let bytes = head::unfold(bytes);
        let Some(request) = head::request(&bytes) else {
            context
                .counters
                .add(Counter::UnsynchronisedBytes, bytes.len() as u64);
            self.requests.lose(input, context.counters);
            return;
        };
        self.heads += 1;
        // A head that was found while the end of the body before was hidden ends that body.
        self.give_up_request(time, context);
        if self.responses.is_lost() || self.exchanges.is_full() {
            // A client sends the next request when it has the response. Where that was lost nothing more comes of it.
            let full = self.exchanges.is_full();
            self.end_all(time, context, |exchange| {
                exchange.completion(if full {
                    Completion::Evicted
                } else {
                    Completion::Desynchronised
                })
            });
            self.responses.forget();
            self.responses_missed = None;
        }

        let number = self.exchanges.begin(request.method);
        if let Some(exchange) = self.exchanges.get(number) {
            exchange.expects_continue = request.expects_continue;
            exchange.follows_hole = std::mem::take(&mut self.requests_missed);
        }
        let decoder = Decoder::new(codings(&request.head.fields));
        let head = request.head;
        context.tell(number, HttpEvent::Request { head, time, thread });
        if let Some(framing) = request.framing {
            self.requests.expect(framing);
            self.request_body = Some(Body {
                exchange: number,
                decoder,
            });
        } else {
            self.requests.lose(input, context.counters);
            self.end_exchange(number, Completion::Desynchronised(Phase::Request), time, context);
        }
    }

    fn request_part(
        &mut self,
        part: BodyPart<'_>,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        let Some(body) = &mut self.request_body else {
            return;
        };
        let Some(exchange) = self.exchanges.get(body.exchange) else {
            return;
        };
        exchange.has_body = true;
        let (sink, connection, number) = (&mut *context.sink, context.connection, body.exchange);
        body.decoder.push(part, context.counters, &mut |part| {
            sink.http(connection, number, HttpEvent::RequestBody { part, time });
        });
    }

    /// The end of the request under way cannot be found: its exchange goes on without.
    fn give_up_request(&mut self, time: Monotonic, context: &mut Context<'_, impl HttpSink>) {
        let Some(body) = self.finish_body(Direction::Write, time, context) else {
            return;
        };
        if let Some(exchange) = self.exchanges.get(body) {
            exchange.requested = true;
            if let Some(time) = exchange.responded() {
                self.end_exchange(body, Completion::Complete, time, context);
            }
        }
    }

    fn response(&mut self, step: Step<'_>, input: &mut Input<'_>, context: &mut Context<'_, impl HttpSink>) {
        let time = input.time;
        match step {
            Step::Head(head) => self.response_head(head, input, context),
            Step::Body(bytes) => self.response_part(BodyPart::Bytes(bytes), time, context),
            Step::Hole(length) => {
                self.response_part(lost(length), time, context);
                if self.responses.is_lost() {
                    self.responses_missed.get_or_insert(Missed::End);
                    if self.exchanges.waiting().is_some() {
                        // The next request was sent, so this response had ended: what follows belongs to another.
                        self.give_up_response(time, context);
                        self.responses.forget();
                    }
                }
            }
            Step::BodyEnd => {
                if let Some(number) = self.finish_body(Direction::Read, time, context) {
                    self.responded(number, time, context);
                }
            }
            Step::Lost => {
                self.responses_missed.get_or_insert(Missed::End);
                self.give_up_response(time, context);
            }
            Step::HeadLost => self.responses_missed = Some(Missed::Beginning),
        }
    }

    fn response_head(
        &mut self,
        whole: WholeHead<'_>,
        input: &mut Input<'_>,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        let WholeHead { bytes, time, .. } = whole;
        let bytes = head::unfold(bytes);
        let Some(response) = head::response(&bytes) else {
            context
                .counters
                .add(Counter::UnsynchronisedBytes, bytes.len() as u64);
            self.responses.lose(input, context.counters);
            return;
        };
        self.heads += 1;
        // A head that was found while the end of the body before was hidden ends that exchange.
        self.give_up_response(time, context);

        let status = response.head.status;
        if (100..200).contains(&status) && status != SWITCHING_PROTOCOLS {
            self.responses.expect_head();
            return;
        }
        if let Some(missed) = self.responses_missed.take() {
            for number in self.exchanges.unanswered(missed == Missed::Beginning) {
                let exchange = self.exchanges.get(number);
                let phase = exchange.map_or(Phase::Waiting, |exchange| exchange.phase());
                self.end_exchange(number, Completion::Desynchronised(phase), time, context);
            }
        }
        let (number, method) = if let Some(exchange) = self.exchanges.waiting() {
            (exchange.number, exchange.method)
        } else {
            let number = self.exchanges.begin(Method::Other);
            if let Some(exchange) = self.exchanges.get(number) {
                exchange.requested = true;
            }
            (number, Method::Other)
        };
        if let Some(exchange) = self.exchanges.get(number) {
            exchange.response = Response::Begun;
        }
        let decoder = Decoder::new(codings(&response.head.fields));
        let head = response.head;
        context.tell(number, HttpEvent::Response { head, time });

        let success = (200..300).contains(&status);
        if status == SWITCHING_PROTOCOLS || method == Method::Connect && success {
            self.requests.tunnel();
            self.responses.tunnel();
            self.tunnel = true;
            self.end_all(input.time, context, |_| Completion::Upgraded);
            return;
        }
        let bodiless = method == Method::Head || matches!(status, 204 | 304);
        let framing = if bodiless {
            Some(Framing::empty())
        } else {
            response.framing
        };
        if let Some(framing) = framing {
            self.responses.expect(framing);
            self.response_body = Some(Body {
                exchange: number,
                decoder,
            });
        } else {
            self.responses.lose(input, context.counters);
            let completion = Completion::Desynchronised(Phase::Response);
            self.end_exchange(number, completion, input.time, context);
        }
    }

    fn response_part(
        &mut self,
        part: BodyPart<'_>,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        let Some(body) = &mut self.response_body else {
            return;
        };
        let (sink, connection, number) = (&mut *context.sink, context.connection, body.exchange);
        if self.exchanges.get(number).is_none() {
            return;
        }
        body.decoder.push(part, context.counters, &mut |part| {
            sink.http(connection, number, HttpEvent::ResponseBody { part, time });
        });
    }

    /// The response is complete. The exchange is too, unless some of the request is still to come.
    fn responded(
        &mut self,
        number: ExchangeNumber,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        let Some(exchange) = self.exchanges.get(number) else {
            return;
        };
        exchange.response = Response::Complete(time);
        let refused = exchange.expects_continue && !exchange.has_body && !exchange.requested;
        if refused {
            // RFC 9110 §10.1.1: told its request will be refused, the client need not send the body.
            self.request_body = None;
            self.requests.expect_head();
        } else if !exchange.requested && !self.requests.is_lost() {
            return;
        }
        self.end_exchange(number, Completion::Complete, time, context);
    }

    /// The end of the response under way cannot be found: its exchange ends here.
    fn give_up_response(&mut self, time: Monotonic, context: &mut Context<'_, impl HttpSink>) {
        if let Some(number) = self.finish_body(Direction::Read, time, context) {
            self.end_exchange(number, Completion::Desynchronised(Phase::Response), time, context);
        }
    }

    /// Gives what the decoder of a body still holds; tells whose body it was.
    fn finish_body(
        &mut self,
        direction: Direction,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) -> Option<ExchangeNumber> {
        let body = match direction {
            Direction::Write => &mut self.request_body,
            Direction::Read => &mut self.response_body,
        };
        let Body {
            exchange: number,
            mut decoder,
        } = body.take()?;
        if self.exchanges.get(number).is_some() {
            let (sink, connection) = (&mut *context.sink, context.connection);
            decoder.finish(context.counters, &mut |part| {
                let event = match direction {
                    Direction::Write => HttpEvent::RequestBody { part, time },
                    Direction::Read => HttpEvent::ResponseBody { part, time },
                };
                sink.http(connection, number, event);
            });
        }
        Some(number)
    }

    fn end_exchange(
        &mut self,
        number: ExchangeNumber,
        completion: Completion,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        if self.exchanges.remove(number).is_some() {
            context.end(number, completion, time);
        }
    }

    /// Ends every exchange under way.
    fn end_all(
        &mut self,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
        completion: impl Fn(&Exchange) -> Completion,
    ) {
        self.finish_body(Direction::Write, time, context);
        self.finish_body(Direction::Read, time, context);
        for exchange in self.exchanges.take() {
            let time = exchange.responded().unwrap_or(time);
            context.end(exchange.number, completion(&exchange), time);
        }
    }
}

impl<Sink: HttpSink> Context<'_, Sink> {
    pub(super) fn tell(&mut self, exchange: ExchangeNumber, event: HttpEvent<'_>) {
        self.sink.http(self.connection, exchange, event);
    }

    pub(super) fn end(&mut self, exchange: ExchangeNumber, completion: Completion, time: Monotonic) {
        if !matches!(completion, Completion::Complete | Completion::Upgraded) {
            self.counters.add(Counter::ExchangesIncomplete, 1);
        }
        self.tell(exchange, HttpEvent::End { completion, time });
    }
}

fn lost(length: Option<u64>) -> BodyPart<'static> {
    BodyPart::Hole(Hole {
        length,
        reason: HoleReason::Lost,
    })
}

/// `101 Switching Protocols` ends HTTP on the connection (RFC 9110 §7.8).
const SWITCHING_PROTOCOLS: u16 = 101;
