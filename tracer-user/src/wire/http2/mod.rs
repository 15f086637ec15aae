//! HTTP/2 (RFC 9113) as somebody hears it who stands beside client and server and can ask neither.
//!
//! Each direction is read on its own ([`frames`]), with a header table of its own ([`crate::hpack`]); [`streams`] holds the
//! exchanges under way. A passive reader may come late or miss bytes: then frames are found again at the start of a call,
//! and of the header table only what was said since is known. What is not known stays unknown: a stream whose path cannot
//! be told is an exchange without a request.

mod frames;
mod head;
mod streams;
#[cfg(test)]
mod tests;

use self::frames::{Block, Frames, Input, Step};
use self::head::Head;
use self::streams::{Side, Stream, Streams};
use super::encoding;
use super::http1::{Context, codings};
use crate::conn::{Ending, Piece};
use crate::counters::{Counter, Counters};
use crate::event::{Direction, Monotonic};
use crate::hpack::Decoder;
use crate::hpack::frame::{SETTINGS_HEADER_TABLE_SIZE, SETTINGS_MAX_FRAME_SIZE};
use crate::http::{BodyPart, Completion, Hole, HoleReason, HttpEvent, HttpSink};

/// One connection of a client.
#[derive(Debug)]
pub(super) struct Http2 {
    requests: Half,
    responses: Half,
    streams: Streams,
}

/// One direction.
#[derive(Debug)]
struct Half {
    frames: Frames,
    fields: Decoder,
    /// Some bytes of it were not seen.
    has_gaps: bool,
}

impl Http2 {
    /// From its first byte. `unpaired`: only one direction of it will come.
    pub(super) fn new(first_exchange: u64, unpaired: bool) -> Self {
        Self {
            requests: Half {
                has_gaps: unpaired,
                ..Half::new(Frames::of_client())
            },
            responses: Half::new(Frames::of_server()),
            streams: Streams::starting_at(first_exchange),
        }
    }

    /// Somewhere in the middle.
    pub(super) fn joined_late(first_exchange: u64) -> Self {
        Self {
            requests: Half::joined_late(),
            responses: Half::joined_late(),
            streams: Streams::starting_at(first_exchange),
        }
    }

    /// Memory held beyond this value.
    pub(super) fn held(&self) -> usize {
        self.requests.held() + self.responses.held() + self.streams.held()
    }

    /// Takes the next bytes of one direction.
    pub(super) fn bytes(&mut self, piece: Piece<'_>, context: &mut Context<'_, impl HttpSink>) {
        self.take(piece.direction, Input::bytes(piece), context);
    }

    /// The next bytes of one direction are missing.
    pub(super) fn gap(
        &mut self,
        direction: Direction,
        length: u64,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        self.take(direction, Input::gap(length, time), context);
    }

    /// Nothing came for long: what is under way is given up.
    pub(super) fn silent(&mut self, time: Monotonic, context: &mut Context<'_, impl HttpSink>) {
        self.end_all(time, context, |stream| stream.completion(Completion::TimedOut));
    }

    /// The connection is over.
    pub(super) fn end(&mut self, ending: Ending, time: Monotonic, context: &mut Context<'_, impl HttpSink>) {
        let has_gaps = self.responses.has_gaps;
        self.end_all(time, context, |stream| {
            stream.completion(match ending {
                Ending::Closed | Ending::ProcessExited if has_gaps => Completion::Desynchronised,
                Ending::Closed | Ending::ProcessExited => Completion::Closed,
                Ending::Evicted => Completion::Evicted,
                Ending::TracingStopped => Completion::TracingStopped,
            })
        });
    }

    fn take(&mut self, direction: Direction, mut input: Input<'_>, context: &mut Context<'_, impl HttpSink>) {
        while let Some(step) = self.half(direction).frames.next(&mut input, context.counters) {
            self.step(direction, step, input.time, context);
        }
    }

    fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Write => &mut self.requests,
            Direction::Read => &mut self.responses,
        }
    }

    fn step(
        &mut self,
        direction: Direction,
        step: Step<'_>,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        match step {
            Step::Block(block) => self.block(direction, &block, time, context),
            Step::BlockTooLong { stream, end_stream } => {
                self.half(direction).lose_fields(context.counters);
                if end_stream {
                    self.end_side(direction, stream, time, context);
                }
            }
            Step::Data { stream, bytes } => {
                self.part(direction, stream, BodyPart::Bytes(bytes), time, context);
            }
            Step::Hole { stream, length } => self.part(direction, stream, lost(Some(length)), time, context),
            Step::EndStream { stream } => self.end_side(direction, stream, time, context),
            Step::Reset { stream } => self.end_stream(stream, time, context, |stream| {
                stream.completion(Completion::Closed)
            }),
            Step::GoAway { last } => {
                // The server's word on what it will not answer; a client's says nothing of its own streams.
                if direction == Direction::Read {
                    for stream in self.streams.under_way() {
                        if stream > last {
                            self.end_stream(stream, time, context, |stream| {
                                stream.completion(Completion::Closed)
                            });
                        }
                    }
                }
            }
            Step::Settings(settings) => self.settings(direction, &settings),
            Step::Lost => {
                let half = self.half(direction);
                half.has_gaps = true;
                half.lose_fields(context.counters);
                for stream in self.streams.under_way() {
                    self.part(direction, stream, lost(None), time, context);
                }
            }
        }
    }

    /// What one side announces holds for what the other one sends.
    fn settings(&mut self, direction: Direction, settings: &[(u16, u32)]) {
        let half = self.half(match direction {
            Direction::Read => Direction::Write,
            Direction::Write => Direction::Read,
        });
        for (identifier, value) in settings {
            match *identifier {
                SETTINGS_HEADER_TABLE_SIZE => half.fields.limit(*value),
                SETTINGS_MAX_FRAME_SIZE => half.frames.set_largest(*value),
                _ => {}
            }
        }
    }

    fn block(
        &mut self,
        direction: Direction,
        block: &Block,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        let half = self.half(direction);
        let was_whole = !half.fields.is_desynchronised();
        let (head, outcome) = Head::read(&mut half.fields, &block.bytes);
        if outcome.is_err() && was_whole {
            context.counters.add(Counter::HpackDesynchronised, 1);
        }
        if block.promised {
            return;
        }
        let (stream, end_stream) = (block.stream, block.end_stream);
        match direction {
            Direction::Write => self.request_head(&head, block, context),
            Direction::Read => self.response_head(head, block, context),
        }
        if end_stream {
            self.end_side(direction, stream, time, context);
        }
    }

    fn request_head(&mut self, head: &Head, block: &Block, context: &mut Context<'_, impl HttpSink>) {
        let Block {
            stream, time, thread, ..
        } = *block;
        // Fields behind the body are of no interest; nor is what comes of a stream that was reset.
        if self.streams.get(stream).is_some() || self.streams.has_ended(stream) {
            return;
        }
        self.make_room(time, context);
        let decoder = encoding::Decoder::new(codings(head.fields()));
        let number = self.streams.begin(stream, Side::Body(Box::new(decoder)));
        if let Some(head) = head.request() {
            context.tell(number, HttpEvent::Request { head, time, thread });
        }
    }

    fn response_head(&mut self, head: Head, block: &Block, context: &mut Context<'_, impl HttpSink>) {
        let Block { stream, time, .. } = *block;
        if head.status().is_some_and(|status| (100..200).contains(&status)) || self.streams.has_ended(stream)
        {
            return;
        }
        if self.streams.get(stream).is_none() {
            // Its request passed before we came, or in a hole.
            if !self.requests.has_gaps {
                return;
            }
            self.make_room(time, context);
            self.streams.begin(stream, Side::Ended);
        }
        let Some(under_way) = self.streams.get(stream) else {
            return;
        };
        if !matches!(under_way.response, Side::Awaited) {
            return;
        }
        let decoder = encoding::Decoder::new(codings(head.fields()));
        under_way.response = Side::Body(Box::new(decoder));
        let number = under_way.number;
        if let Some(head) = head.response() {
            context.tell(number, HttpEvent::Response { head, time });
        }
    }

    fn part(
        &mut self,
        direction: Direction,
        stream: u32,
        part: BodyPart<'_>,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        let Some(Stream {
            number,
            request,
            response,
        }) = self.streams.get(stream)
        else {
            if let BodyPart::Bytes(bytes) = part {
                context
                    .counters
                    .add(Counter::UnsynchronisedBytes, bytes.len() as u64);
            }
            return;
        };
        let side = match direction {
            Direction::Write => request,
            Direction::Read => response,
        };
        let Side::Body(decoder) = side else { return };
        let (sink, connection, number) = (&mut *context.sink, context.connection, *number);
        decoder.push(part, context.counters, &mut |part| {
            sink.http(connection, number, body_event(direction, part, time));
        });
    }

    /// One side of a stream has said everything.
    fn end_side(
        &mut self,
        direction: Direction,
        stream: u32,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        let Some(under_way) = self.streams.get(stream) else {
            return;
        };
        finish_body(under_way, direction, time, context);
        let number = under_way.number;
        match direction {
            Direction::Write => {
                if !under_way.request.is_ended() {
                    under_way.request = Side::Ended;
                    context.tell(number, HttpEvent::RequestEnd { time });
                }
            }
            Direction::Read => under_way.response = Side::Ended,
        }
        // Where bytes of the request were missed its end may have been among them.
        if under_way.response.is_ended() && (under_way.request.is_ended() || self.requests.has_gaps) {
            self.end_stream(stream, time, context, |_| Completion::Complete);
        }
    }

    fn end_stream(
        &mut self,
        stream: u32,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
        completion: impl FnOnce(&Stream) -> Completion,
    ) {
        let Some(under_way) = self.streams.get(stream) else {
            return;
        };
        for direction in [Direction::Write, Direction::Read] {
            finish_body(under_way, direction, time, context);
        }
        if let Some(ended) = self.streams.remove(stream) {
            context.end(ended.number, completion(&ended), time);
        }
    }

    fn end_all(
        &mut self,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
        completion: impl Fn(&Stream) -> Completion,
    ) {
        for stream in self.streams.under_way() {
            self.end_stream(stream, time, context, &completion);
        }
    }

    fn make_room(&mut self, time: Monotonic, context: &mut Context<'_, impl HttpSink>) {
        if self.streams.is_full()
            && let Some(oldest) = self.streams.under_way().first()
        {
            self.end_stream(*oldest, time, context, |stream| {
                stream.completion(Completion::Evicted)
            });
        }
    }
}

impl Half {
    fn new(frames: Frames) -> Self {
        Self {
            frames,
            fields: Decoder::new(),
            has_gaps: false,
        }
    }

    fn joined_late() -> Self {
        Self {
            frames: Frames::joined_late(),
            fields: Decoder::joined_late(),
            has_gaps: true,
        }
    }

    fn lose_fields(&mut self, counters: &mut Counters) {
        if !self.fields.is_desynchronised() {
            counters.add(Counter::HpackDesynchronised, 1);
        }
        self.fields.lose();
    }

    fn held(&self) -> usize {
        self.frames.held() + self.fields.held()
    }
}

/// Gives what the decoder of a body still holds.
fn finish_body(
    stream: &mut Stream,
    direction: Direction,
    time: Monotonic,
    context: &mut Context<'_, impl HttpSink>,
) {
    let number = stream.number;
    let side = match direction {
        Direction::Write => &mut stream.request,
        Direction::Read => &mut stream.response,
    };
    let Side::Body(decoder) = side else { return };
    let (sink, connection) = (&mut *context.sink, context.connection);
    decoder.finish(context.counters, &mut |part| {
        sink.http(connection, number, body_event(direction, part, time));
    });
}

fn body_event(direction: Direction, part: BodyPart<'_>, time: Monotonic) -> HttpEvent<'_> {
    match direction {
        Direction::Write => HttpEvent::RequestBody { part, time },
        Direction::Read => HttpEvent::ResponseBody { part, time },
    }
}

fn lost(length: Option<u64>) -> BodyPart<'static> {
    BodyPart::Hole(Hole {
        length,
        reason: HoleReason::Lost,
    })
}
