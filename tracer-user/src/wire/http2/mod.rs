//! HTTP/2 (RFC 9113) as somebody hears it who stands beside client and server and can ask neither.
//!
//! Each direction is read on its own ([`frames`]), with a header table of its own ([`crate::hpack`]); [`streams`] holds the
//! exchanges under way. A passive reader may come late or miss bytes: then frames are found again at the start of a call,
//! and of the header table only what was said since is known. What is not known stays unknown: a stream whose path cannot
//! be told is an exchange without a request, one whose answer was met in the middle begins with a hole.

mod frames;
mod head;
#[cfg(test)]
mod loss_tests;
mod step;
mod streams;
#[cfg(test)]
mod tests;

use self::frames::Frames;
use self::head::Head;
use self::step::{Block, Input, Step};
use self::streams::{Progress, Stream, Streams};
use super::encoding::Decoder;
use super::http1::{Context, codings};
use crate::conn::{Ending, Piece};
use crate::counters::{Counter, Counters};
use crate::event::{Direction, Monotonic};
use crate::hpack;
use crate::hpack::frame::SETTINGS_HEADER_TABLE_SIZE;
use crate::http::{
    BodyPart, Completion, ExchangeNumber, Hole, HoleReason, HttpEvent, HttpSink, RequestHead, Version,
};

/// How often streams are looked at for silence.
const SWEEP_NS: u64 = 10 * 1_000_000_000;

/// One connection of a client.
#[derive(Debug)]
pub(super) struct Http2 {
    requests: Half,
    responses: Half,
    streams: Streams,
    /// Its beginning was not seen, so which side is the client's is yet to be shown.
    is_late: bool,
    is_server: bool,
    next_sweep: Monotonic,
}

/// One direction.
#[derive(Debug)]
struct Half {
    frames: Frames,
    fields: hpack::Decoder,
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
            is_late: false,
            is_server: false,
            next_sweep: Monotonic(0),
        }
    }

    /// From the first byte of the client's side, though bytes of the server's may have been missed.
    pub(super) fn from_preface(first_exchange: u64) -> Self {
        Self {
            responses: Half::joined_late(),
            ..Self::new(first_exchange, false)
        }
    }

    /// Somewhere in the middle.
    pub(super) fn joined_late(first_exchange: u64) -> Self {
        Self {
            requests: Half::joined_late(),
            responses: Half::joined_late(),
            is_late: true,
            ..Self::new(first_exchange, false)
        }
    }

    /// Memory held beyond this value.
    pub(super) fn held(&self) -> usize {
        self.requests.held() + self.responses.held() + self.streams.held()
    }

    /// Whether anything in it was HTTP/2 for sure.
    pub(super) fn is_proven(&self) -> bool {
        self.requests.frames.is_proven() || self.responses.frames.is_proven()
    }

    /// Whether where frames begin is unknown in both directions.
    pub(super) fn is_lost(&self) -> bool {
        self.requests.frames.is_lost() && self.responses.frames.is_lost()
    }

    /// Whether the process turned out to be the server.
    pub(super) fn is_server(&self) -> bool {
        self.is_server
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
        self.end_all(time, context, |stream| match ending {
            Ending::Closed | Ending::ProcessExited => stream.closed(),
            Ending::Evicted => stream.completion(Completion::Evicted),
            Ending::TracingStopped => stream.completion(Completion::TracingStopped),
        });
    }

    fn take(&mut self, direction: Direction, mut input: Input<'_>, context: &mut Context<'_, impl HttpSink>) {
        let time = input.time;
        if time >= self.next_sweep {
            self.next_sweep = Monotonic(time.0.saturating_add(SWEEP_NS));
            self.expire(time, context);
        }
        while let Some(step) = self.half(direction).frames.next(&mut input, context.counters) {
            self.step(direction, step, time, context);
            if self.is_server {
                return self.end_all(time, context, |stream| {
                    stream.completion(Completion::Desynchronised)
                });
            }
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
            Step::Data { stream, bytes } => {
                self.part(direction, stream, BodyPart::Bytes(bytes), time, context);
            }
            Step::Hole { stream, length } => self.part(direction, stream, lost(length), time, context),
            Step::EndStream { stream } => self.end_side(direction, stream, time, context),
            Step::Reset { stream } => self.end_stream(stream, time, context, Stream::closed),
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
            Step::Settings(settings) => {
                // What one side announces holds for what the other one sends.
                let fields = &mut self.half(opposite(direction)).fields;
                for (_, size) in settings
                    .iter()
                    .filter(|(identifier, _)| *identifier == SETTINGS_HEADER_TABLE_SIZE)
                {
                    fields.limit(*size);
                }
            }
            Step::Lost => self.lost(direction, time, context),
        }
    }

    /// Frames were missed: any stream may have gone on, and ended.
    fn lost(&mut self, direction: Direction, time: Monotonic, context: &mut Context<'_, impl HttpSink>) {
        let half = self.half(direction);
        half.has_gaps = true;
        half.lose_fields(context.counters);
        for stream in self.streams.under_way() {
            self.part(direction, stream, lost(None), time, context);
            let is_over = self.streams.hear(stream, time, |stream| {
                let side = stream.side(direction);
                side.is_cut = !side.is_ended();
                stream.response.is_ended() && stream.request.is_cut
            });
            if is_over == Some(true) {
                self.end_stream(stream, time, context, |_| Completion::Complete);
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
        let head = if let Some(bytes) = &block.bytes {
            let was_whole = !half.fields.is_desynchronised();
            let (head, outcome) = Head::read(&mut half.fields, bytes);
            if outcome.is_err() && was_whole {
                context.counters.add(Counter::HpackDesynchronised, 1);
            }
            head
        } else {
            half.lose_fields(context.counters);
            Head::unknown()
        };
        // Streams that a server opens are refused by every client of ours.
        if block.promised || block.stream.is_multiple_of(2) {
            return;
        }
        let is_of_other_side = match direction {
            Direction::Write => head.status.is_some(),
            Direction::Read => head.method.is_some() || head.path.is_some(),
        };
        if self.is_late && is_of_other_side {
            self.is_server = true;
            return;
        }
        match direction {
            Direction::Write => self.request_head(head, block, context),
            Direction::Read => self.response_head(head, block, context),
        }
        if block.end_stream {
            self.end_side(direction, block.stream, time, context);
        }
    }

    fn request_head(&mut self, head: Head, block: &Block, context: &mut Context<'_, impl HttpSink>) {
        let Block {
            stream, time, thread, ..
        } = *block;
        // Fields behind the body are of no interest; nor is what comes of a stream that was reset.
        if self.streams.contains(stream) || self.streams.has_ended(stream) {
            return;
        }
        let Head {
            method, path, fields, ..
        } = head;
        let body = Progress::Body(Box::new(Decoder::new(codings(&fields))));
        let number = self.begin(stream, body, time, context);
        if let (Some(method), Some(target)) = (&method, &path) {
            let head = RequestHead {
                method,
                target,
                version: Version::Http2,
                fields,
            };
            context.tell(number, HttpEvent::Request { head, time, thread });
        }
    }

    fn response_head(&mut self, head: Head, block: &Block, context: &mut Context<'_, impl HttpSink>) {
        let Block { stream, time, .. } = *block;
        if head.is_interim() || self.streams.has_ended(stream) {
            return;
        }
        if !self.streams.contains(stream) {
            // Its request passed before we came, or in a hole.
            if !self.requests.has_gaps {
                return;
            }
            self.begin(stream, Progress::Ended, time, context);
        }
        let is_final = head.status.is_some();
        let number = self.streams.hear(stream, time, |under_way| {
            let side = &mut under_way.response;
            side.is_cut = false;
            let is_head = match side.progress {
                Progress::Awaited => true,
                // Fields behind the body have no status.
                Progress::HeadUnknown(_) => is_final,
                Progress::Body(_) | Progress::Ended => false,
            };
            if is_head {
                let decoder = Box::new(Decoder::new(codings(&head.fields)));
                side.progress = if is_final {
                    Progress::Body(decoder)
                } else {
                    Progress::HeadUnknown(decoder)
                };
            }
            is_head.then_some(under_way.number)
        });
        if let (Some(Some(number)), Some(head)) = (number, head.response()) {
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
        let is_bytes = matches!(part, BodyPart::Bytes(_));
        if is_bytes && direction == Direction::Read && !self.streams.contains(stream) {
            self.meet_in_the_middle(stream, time, context);
        }
        let (sink, connection, counters) = (&mut *context.sink, context.connection, &mut *context.counters);
        let length = match part {
            BodyPart::Bytes(bytes) => bytes.len() as u64,
            BodyPart::Hole(_) => 0,
        };
        let taken = self.streams.hear(stream, time, |under_way| {
            let number = under_way.number;
            let side = under_way.side(direction);
            let mut give = |part: BodyPart<'_>| {
                sink.http(connection, number, body_event(direction, part, time));
            };
            side.progress = match std::mem::replace(&mut side.progress, Progress::Ended) {
                // Its head was missed, so its coding is not known; answers of Bedrock have none.
                Progress::Awaited if is_bytes && side.is_cut => {
                    give(lost(None));
                    Progress::Body(Box::new(Decoder::new(std::iter::empty())))
                }
                Progress::HeadUnknown(decoder) => Progress::Body(decoder),
                progress => progress,
            };
            let Some(decoder) = side.decoder() else {
                return false;
            };
            decoder.push(part, counters, &mut give);
            // Whatever was missed, the end was not there.
            side.is_cut &= !is_bytes;
            true
        });
        if taken != Some(true) {
            context.counters.add(Counter::UnsynchronisedBytes, length);
        }
    }

    /// An answer of which neither the request nor the beginning was seen.
    fn meet_in_the_middle(&mut self, stream: u32, time: Monotonic, context: &mut Context<'_, impl HttpSink>) {
        let may_be = self.requests.has_gaps && self.responses.has_gaps && !stream.is_multiple_of(2);
        if may_be && !self.streams.has_ended(stream) {
            self.begin(stream, Progress::Ended, time, context);
            self.streams
                .hear(stream, time, |stream| stream.response.is_cut = true);
        }
    }

    /// One side of a stream has said everything.
    fn end_side(
        &mut self,
        direction: Direction,
        stream: u32,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) {
        let is_over = self.streams.hear(stream, time, |under_way| {
            finish_body(under_way, direction, time, context);
            let side = under_way.side(direction);
            side.is_cut = false;
            let was_ended = std::mem::replace(&mut side.progress, Progress::Ended);
            if direction == Direction::Write && !matches!(was_ended, Progress::Ended) {
                context.tell(under_way.number, HttpEvent::RequestEnd { time });
            }
            // Where bytes of the request were missed its end may have been among them.
            under_way.response.is_ended() && (under_way.request.is_ended() || under_way.request.is_cut)
        });
        if is_over == Some(true) {
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
        self.streams.hear(stream, time, |under_way| {
            for direction in [Direction::Write, Direction::Read] {
                finish_body(under_way, direction, time, context);
            }
        });
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

    /// Streams that nothing was heard of for too long come to an end.
    fn expire(&mut self, now: Monotonic, context: &mut Context<'_, impl HttpSink>) {
        for (stream, completion, end) in self.streams.expired(now) {
            self.end_stream(stream, end, context, |_| completion);
        }
    }

    fn begin(
        &mut self,
        stream: u32,
        request: Progress,
        time: Monotonic,
        context: &mut Context<'_, impl HttpSink>,
    ) -> ExchangeNumber {
        if self.streams.is_full()
            && let Some(oldest) = self.streams.under_way().first()
        {
            self.end_stream(*oldest, time, context, |stream| {
                stream.completion(Completion::Evicted)
            });
        }
        let number = self.streams.begin(stream, request, time);
        // Its answer may come and go before frames are found again.
        if self.responses.frames.is_lost() {
            self.streams
                .hear(stream, time, |stream| stream.response.is_cut = true);
        }
        number
    }
}

impl Half {
    fn new(frames: Frames) -> Self {
        Self {
            frames,
            fields: hpack::Decoder::new(),
            has_gaps: false,
        }
    }

    fn joined_late() -> Self {
        Self {
            frames: Frames::joined_late(),
            fields: hpack::Decoder::joined_late(),
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
    let (sink, connection) = (&mut *context.sink, context.connection);
    if let Some(decoder) = stream.side(direction).decoder() {
        decoder.finish(context.counters, &mut |part| {
            sink.http(connection, number, body_event(direction, part, time));
        });
    }
}

fn body_event(direction: Direction, part: BodyPart<'_>, time: Monotonic) -> HttpEvent<'_> {
    match direction {
        Direction::Write => HttpEvent::RequestBody { part, time },
        Direction::Read => HttpEvent::ResponseBody { part, time },
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Read => Direction::Write,
        Direction::Write => Direction::Read,
    }
}

fn lost(length: Option<u64>) -> BodyPart<'static> {
    BodyPart::Hole(Hole {
        length,
        reason: HoleReason::Lost,
    })
}
