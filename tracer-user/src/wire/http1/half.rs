//! One direction of an HTTP/1 connection: heads and bodies one after the other, and the way back after a hole.

use std::borrow::Cow;

use super::super::sniff::{self, SNIFFED_MAX, Start};
use super::body::{BodyStep, Framing};
use super::head;
use crate::counters::{Counter, Counters};
use crate::event::Monotonic;

/// Most bytes of one head, the first line included. AWS allows 8 to 64 KiB.
pub(super) const HEAD_MAX: usize = 128 * 1024;

/// Bytes of one call, or missing bytes, that are taken in step by step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    /// What is left of the bytes.
    pub(super) bytes: &'a [u8],
    /// Missing bytes before them.
    pub(super) missing: u64,
    /// `bytes` are the first of a call.
    pub(super) call_start: bool,
    /// Nothing was taken yet.
    pub(super) fresh: bool,
    pub(super) thread: u32,
    pub(super) time: Monotonic,
}

/// What a direction does next.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A whole head; [`Half::expect`] must say what follows it.
    Head(WholeHead<'a>),
    /// Content of the body.
    Body(&'a [u8]),
    /// Missing content of the body.
    Hole(Option<u64>),
    /// The body is complete.
    BodyEnd,
    /// Where messages begin and end is not known any more; the rest of the call is passed over.
    Lost,
    /// A hole holds the beginning of the next message.
    HeadLost,
}

/// All bytes of a head.
#[derive(Debug)]
pub(super) struct WholeHead<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// When the first of them passed.
    pub(super) time: Monotonic,
    pub(super) thread: u32,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Half {
    state: State,
    /// First bytes of the call in hand, while a head is looked for beside a body whose end is hidden by a hole.
    beside: Option<PartialHead>,
}

#[derive(Debug)]
enum State {
    /// Between messages or within a head.
    Head(PartialHead),
    Body(Framing),
    /// Waits for a call that begins with a message.
    Seek,
    /// What comes is not HTTP any more.
    Tunnel,
}

#[derive(Debug, Default)]
struct PartialHead {
    bytes: Vec<u8>,
    /// How many of them are known to hold no end of the head.
    scanned: usize,
    time: Monotonic,
    thread: u32,
}

impl Half {
    /// At the start of a message.
    pub(super) fn new() -> Self {
        Self {
            state: State::Head(PartialHead::default()),
            beside: None,
        }
    }

    /// Somewhere in the middle of a connection.
    pub(super) fn joined_late() -> Self {
        Self {
            state: State::Seek,
            beside: None,
        }
    }

    /// Says what follows the head that was just given.
    pub(super) fn expect(&mut self, body: Framing) {
        self.state = State::Body(body);
    }

    /// Says that a message follows, whatever was expected.
    pub(super) fn expect_head(&mut self) {
        self.state = State::Head(PartialHead::default());
    }

    /// Says that this is no HTTP; the rest of the call is passed over.
    pub(super) fn lose(&mut self, input: &mut Input<'_>, counters: &mut Counters) {
        self.state = State::Seek;
        pass_over(input, counters);
    }

    /// Forgets where it is.
    pub(super) fn forget(&mut self) {
        self.state = State::Seek;
    }

    /// Says that nothing more of this is HTTP.
    pub(super) fn tunnel(&mut self) {
        self.state = State::Tunnel;
    }

    /// Whether a hole or broken bytes hide where messages begin and end.
    pub(super) fn is_lost(&self) -> bool {
        match &self.state {
            State::Seek => true,
            State::Body(framing) => framing.is_searching(),
            State::Head(_) | State::Tunnel => false,
        }
    }

    /// Whether a body is under way that only the end of the connection ends.
    pub(super) fn is_until_close(&self) -> bool {
        matches!(self.state, State::Body(Framing::UntilClose))
    }

    /// Memory held beyond this value.
    pub(super) fn held(&self) -> usize {
        let head = match &self.state {
            State::Head(head) => head.bytes.capacity(),
            State::Body(_) | State::Seek | State::Tunnel => 0,
        };
        head + self.beside.as_ref().map_or(0, |head| head.bytes.capacity())
    }

    /// Takes what it can from the front of the input; none when the input is used up.
    pub(super) fn next<'a>(&mut self, input: &mut Input<'a>, counters: &mut Counters) -> Option<Step<'a>> {
        loop {
            match &mut self.state {
                State::Tunnel => {
                    input.missing = 0;
                    input.bytes = &[];
                    return None;
                }
                State::Seek => {
                    input.missing = 0;
                    if !input.call_start || input.bytes.is_empty() {
                        pass_over(input, counters);
                        return None;
                    }
                    self.expect_head();
                }
                State::Head(head) => {
                    if input.missing > 0 {
                        input.missing = 0;
                        self.state = State::Seek;
                        return Some(Step::HeadLost);
                    }
                    match head.next(input) {
                        HeadStep::Hungry => return None,
                        HeadStep::Whole(whole) => return Some(Step::Head(whole)),
                        HeadStep::Broken => {
                            counters.add(Counter::UnsynchronisedBytes, head.bytes.len() as u64);
                            self.lose(input, counters);
                            return Some(Step::Lost);
                        }
                    }
                }
                State::Body(_) if std::mem::take(&mut input.fresh) => self.look_for_head(input),
                State::Body(framing) => {
                    let step = if input.missing > 0 {
                        framing.skip(&mut input.missing)
                    } else {
                        let step = framing.next(&mut input.bytes);
                        if !matches!(step, BodyStep::End) {
                            input.call_start = false;
                        }
                        step
                    };
                    match step {
                        BodyStep::Bytes(bytes) => return Some(Step::Body(bytes)),
                        BodyStep::Hole(length) => return Some(Step::Hole(length)),
                        BodyStep::Hungry if input.bytes.is_empty() => return None,
                        BodyStep::Hungry => {}
                        BodyStep::End => {
                            self.expect_head();
                            return Some(Step::BodyEnd);
                        }
                        BodyStep::Broken => {
                            self.lose(input, counters);
                            return Some(Step::Lost);
                        }
                    }
                }
            }
        }
    }

    /// While the way back into a body is searched for, a call may begin with the next message instead. When it does, the
    /// body is given up for it.
    fn look_for_head(&mut self, input: &mut Input<'_>) {
        if input.missing > 0 || !self.is_lost() {
            self.beside = None;
            return;
        }
        if input.call_start {
            self.beside = Some(PartialHead::begin(input));
        }
        let Some(head) = &mut self.beside else {
            return;
        };
        let known = head.bytes.len();
        let room = SNIFFED_MAX.saturating_sub(known);
        head.bytes
            .extend_from_slice(input.bytes.get(..room).unwrap_or(input.bytes));
        match sniff::start(&head.bytes) {
            Start::Undecided => {}
            Start::Request | Start::Response => {
                // What earlier pieces brought is kept here; this piece is still in the input.
                head.bytes.truncate(known);
                self.state = State::Head(self.beside.take().unwrap_or_default());
            }
            Start::Other | Start::Http2Client | Start::Http2Server => self.beside = None,
        }
    }
}

enum HeadStep<'a> {
    Hungry,
    Whole(WholeHead<'a>),
    Broken,
}

impl PartialHead {
    fn begin(input: &Input<'_>) -> Self {
        Self {
            bytes: Vec::new(),
            scanned: 0,
            time: input.time,
            thread: input.thread,
        }
    }

    fn next<'a>(&mut self, input: &mut Input<'a>) -> HeadStep<'a> {
        if self.bytes.is_empty() {
            // RFC 9112 §2.2: empty lines before a message are to be ignored.
            let empty = input
                .bytes
                .iter()
                .take_while(|byte| b"\r\n".contains(byte))
                .count();
            input.bytes = input.bytes.get(empty..).unwrap_or_default();
            if input.bytes.is_empty() {
                return HeadStep::Hungry;
            }
            *self = Self::begin(input);
        }
        input.call_start = false;
        if self.bytes.is_empty()
            && let Some(length) = head::length(input.bytes, 0).filter(|length| *length <= HEAD_MAX)
        {
            let (bytes, rest) = input.bytes.split_at(length);
            if is_foreign(bytes) {
                return HeadStep::Broken;
            }
            input.bytes = rest;
            return self.whole(Cow::Borrowed(bytes));
        }

        let known = self.bytes.len();
        let taken = input
            .bytes
            .get(..HEAD_MAX.saturating_sub(known))
            .unwrap_or(input.bytes);
        self.bytes.extend_from_slice(taken);
        if is_foreign(&self.bytes) {
            return self.broken(known);
        }
        match head::length(&self.bytes, self.scanned) {
            Some(length) => {
                input.bytes = input
                    .bytes
                    .get(length.saturating_sub(known)..)
                    .unwrap_or_default();
                self.bytes.truncate(length);
                let bytes = std::mem::take(&mut self.bytes);
                self.whole(Cow::Owned(bytes))
            }
            None if self.bytes.len() >= HEAD_MAX => self.broken(known),
            None => {
                self.scanned = self.bytes.len();
                input.bytes = &[];
                HeadStep::Hungry
            }
        }
    }

    /// Keeps only what earlier pieces brought: the rest is still in the input.
    fn broken<'a>(&mut self, known: usize) -> HeadStep<'a> {
        self.bytes.truncate(known);
        HeadStep::Broken
    }

    fn whole<'a>(&self, bytes: Cow<'a, [u8]>) -> HeadStep<'a> {
        HeadStep::Whole(WholeHead {
            bytes,
            time: self.time,
            thread: self.thread,
        })
    }
}

/// Whether bytes where a message should start are something else.
fn is_foreign(bytes: &[u8]) -> bool {
    !matches!(
        sniff::start(bytes.get(..SNIFFED_MAX).unwrap_or(bytes)),
        Start::Request | Start::Response | Start::Undecided
    )
}

fn pass_over(input: &mut Input<'_>, counters: &mut Counters) {
    counters.add(Counter::UnsynchronisedBytes, input.bytes.len() as u64);
    input.bytes = &[];
}
