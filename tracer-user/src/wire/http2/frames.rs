//! One direction of an HTTP/2 connection: frames one after the other, and the way back after a hole.
//!
//! Behind a hole the first bytes of a call are taken for a frame if they look like one ([`frame::resumes`]), by the same
//! rule as in `scrub/`, which has blanked what that rule leaves in doubt. Until a frame is proven to be one (its kind has a
//! fixed shape, it is as long as its call, or another frame follows it) nothing of it is told: its content is a hole.

use super::step::{Block, Input, Step, fragment};
use crate::counters::{Counter, Counters};
use crate::event::Monotonic;
use crate::hpack::BLOCK_MAX;
use crate::hpack::frame::{self, DEFAULT_MAX_FRAME_SIZE, FrameHeader, Kind, PREFACE};

/// Longest payload that is put together beside those of header blocks: more settings than there are.
const SMALL_MAX: u32 = 4096;

/// Octets of padding length and priority before a header block, and of the padding behind it.
const AROUND_BLOCK: usize = 1 + 5 + 255;

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Frames {
    state: State,
    /// The header of the frame under way, as far as it is there.
    header: Vec<u8>,
    /// When and by which thread its first byte was written.
    began: (Monotonic, u32),
    trust: Trust,
    /// A frame was proven to be one.
    is_proven: bool,
    /// What the frame in doubt would say.
    pending: Option<Pending>,
    /// A header block that goes on in the next frame.
    block: Option<Block>,
}

/// Whether what is read are frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// All went well so far.
    InStep,
    /// A call begins, perhaps with a frame.
    Perhaps,
    /// One that may be a frame has begun: if another follows it, it was.
    AwaitsProof,
}

#[derive(Debug)]
enum Pending {
    Block(Block),
    EndStream(u32),
}

#[derive(Debug)]
enum State {
    /// Octets of the preface that have passed.
    Preface(usize),
    Header,
    /// Length of the padding of a DATA frame.
    PadLength {
        stream: u32,
        left: u32,
        end_stream: bool,
    },
    Data {
        stream: u32,
        left: u32,
        padding: u32,
        end_stream: bool,
    },
    /// A payload that is put together.
    Whole {
        header: FrameHeader,
        payload: Vec<u8>,
    },
    /// A payload that cannot be put together.
    Cut {
        header: FrameHeader,
        left: u32,
    },
    /// A payload that does not matter, though its end may.
    Skip {
        left: u32,
        ends: Option<u32>,
    },
    /// Waits for a call that begins with a frame.
    Seek,
}

impl Frames {
    /// From the first byte of the client's side.
    pub(super) fn of_client() -> Self {
        Self::in_state(State::Preface(0))
    }

    /// From the first byte of the server's side.
    pub(super) fn of_server() -> Self {
        Self::in_state(State::Header)
    }

    /// Somewhere in the middle of a connection.
    pub(super) fn joined_late() -> Self {
        Self::in_state(State::Seek)
    }

    fn in_state(state: State) -> Self {
        Self {
            is_proven: !matches!(state, State::Seek),
            state,
            header: Vec::with_capacity(FrameHeader::LENGTH),
            began: (Monotonic(0), 0),
            trust: Trust::InStep,
            pending: None,
            block: None,
        }
    }

    /// Whether anything of it was a frame for sure.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Whether where frames begin is unknown.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.state, State::Seek)
    }

    /// Memory held beyond this value.
    pub(super) fn held(&self) -> usize {
        let of_block = |block: &Block| block.bytes.as_ref().map_or(0, Vec::capacity);
        let whole = match &self.state {
            State::Whole { payload, .. } => payload.capacity(),
            _ => 0,
        };
        let pending = match &self.pending {
            Some(Pending::Block(block)) => of_block(block),
            Some(Pending::EndStream(_)) | None => 0,
        };
        whole + pending + self.header.capacity() + self.block.as_ref().map_or(0, of_block)
    }

    /// Takes what it can from the front of the input; none when the input is used up.
    pub(super) fn next<'a>(&mut self, input: &mut Input<'a>, counters: &mut Counters) -> Option<Step<'a>> {
        loop {
            if self.trust == Trust::InStep
                && let Some(pending) = self.pending.take()
            {
                return Some(match pending {
                    Pending::Block(block) => Step::Block(block),
                    Pending::EndStream(stream) => Step::EndStream { stream },
                });
            }
            if let Some(step) = self.pass_end() {
                if let Some(step) = self.tell(step) {
                    return Some(step);
                }
                continue;
            }
            if input.missing > 0 {
                if let Some(step) = self.pass_gap(input, counters) {
                    return Some(step);
                }
                continue;
            }
            if input.bytes.is_empty() {
                return None;
            }
            if input.call_start {
                self.call_begins(counters);
            }
            match &mut self.state {
                State::Seek => {
                    pass_over(input.bytes.len(), counters);
                    input.bytes = &[];
                }
                State::Preface(passed) => {
                    let expected = PREFACE.get(*passed..).unwrap_or_default();
                    let alike = expected
                        .iter()
                        .zip(input.bytes)
                        .take_while(|(one, other)| one == other)
                        .count();
                    *passed += input.take(alike).len();
                    if alike == expected.len() {
                        self.state = State::Header;
                    } else if !input.bytes.is_empty() {
                        return Some(self.lose());
                    }
                }
                State::Header => {
                    if let Some(step) = self.header(input, counters) {
                        return Some(step);
                    }
                }
                State::PadLength {
                    stream,
                    left,
                    end_stream,
                } => {
                    let &[padding] = input.take(1) else { return None };
                    let (stream, left, end_stream) = (*stream, left.saturating_sub(1), *end_stream);
                    let padding = u32::from(padding);
                    // RFC 9113 section 6.1: padding as long as the payload or longer is an error.
                    let Some(left) = left.checked_sub(padding) else {
                        return Some(self.lose());
                    };
                    self.state = State::Data {
                        stream,
                        left,
                        padding,
                        end_stream,
                    };
                }
                State::Data { stream, left, .. } => {
                    let stream = *stream;
                    let bytes = input.take(*left as usize);
                    *left = left.saturating_sub(length_of(bytes));
                    return Some(Step::Data { stream, bytes });
                }
                State::Skip { left, .. } => {
                    let passed = length_of(input.take(*left as usize));
                    *left = left.saturating_sub(passed);
                    if self.trust != Trust::InStep {
                        pass_over(passed as usize, counters);
                    }
                }
                State::Cut { left, .. } => {
                    let passed = length_of(input.take(*left as usize));
                    *left = left.saturating_sub(passed);
                }
                State::Whole { header, payload } => {
                    let missing = (header.length as usize).saturating_sub(payload.len());
                    payload.extend_from_slice(input.take(missing));
                }
            }
        }
    }

    /// A frame in doubt tells nothing until it is proven.
    fn tell(&mut self, step: Step<'static>) -> Option<Step<'static>> {
        if self.trust == Trust::InStep {
            return Some(step);
        }
        self.pending = match step {
            Step::Block(block) => Some(Pending::Block(block)),
            Step::EndStream { stream } => Some(Pending::EndStream(stream)),
            step => return Some(step),
        };
        None
    }

    /// Behind a hole a frame is looked for at the beginning of each call; its header does not go across calls.
    fn call_begins(&mut self, counters: &mut Counters) {
        let is_found = matches!(self.state, State::Header) && self.trust == Trust::Perhaps;
        if self.is_lost() || is_found && !self.header.is_empty() {
            pass_over(self.header.len(), counters);
            self.header.clear();
            self.state = State::Header;
            self.trust = Trust::Perhaps;
        }
    }

    /// Goes on behind a payload that is over.
    fn pass_end(&mut self) -> Option<Step<'static>> {
        match &mut self.state {
            State::Data {
                stream,
                left: 0,
                padding,
                end_stream,
            } => {
                let ends = end_stream.then_some(*stream);
                self.state = State::Skip { left: *padding, ends };
                self.pass_end()
            }
            State::Skip { left: 0, ends } => {
                let ends = ends.take();
                self.state = State::Header;
                ends.map(|stream| Step::EndStream { stream })
            }
            State::Cut { header, left: 0 } => {
                let header = *header;
                self.state = State::Header;
                self.cut(header)
            }
            State::Whole { header, payload } if payload.len() >= header.length as usize => {
                let (header, payload) = (*header, std::mem::take(payload));
                self.state = State::Header;
                self.whole(header, &payload)
            }
            _ => None,
        }
    }

    /// Missing bytes: within the payload of one frame they do no harm to others.
    fn pass_gap<'a>(&mut self, input: &mut Input<'_>, counters: &mut Counters) -> Option<Step<'a>> {
        let missing = u32::try_from(input.missing).unwrap_or(u32::MAX);
        if self.trust != Trust::InStep {
            input.missing = 0;
            self.seek(counters);
            return None;
        }
        match &mut self.state {
            State::Data {
                stream,
                left,
                padding,
                ..
            } if missing <= left.saturating_add(*padding) => {
                let content = missing.min(*left);
                *left -= content;
                input.missing -= u64::from(content);
                Some(Step::Hole {
                    stream: *stream,
                    length: Some(content.into()),
                })
            }
            // How much of it is padding is among what is missing.
            State::PadLength {
                stream,
                left,
                end_stream,
            } if missing <= *left => {
                let (stream, left) = (*stream, *left - missing);
                let ends = end_stream.then_some(stream);
                self.state = State::Skip { left, ends };
                input.missing = 0;
                Some(Step::Hole { stream, length: None })
            }
            State::Skip { left, .. } | State::Cut { left, .. } if missing <= *left => {
                *left -= missing;
                input.missing = 0;
                None
            }
            State::Whole { header, payload }
                if missing <= header.length.saturating_sub(length_of(payload)) =>
            {
                let left = header.length.saturating_sub(length_of(payload)) - missing;
                self.state = State::Cut {
                    header: *header,
                    left,
                };
                input.missing = 0;
                None
            }
            State::Seek => {
                input.missing = 0;
                None
            }
            _ => {
                input.missing = 0;
                Some(self.lose())
            }
        }
    }

    fn lose<'a>(&mut self) -> Step<'a> {
        self.state = State::Seek;
        self.trust = Trust::InStep;
        self.header.clear();
        self.pending = None;
        self.block = None;
        Step::Lost
    }

    /// What was found was no frame. That frames were lost has been told before.
    fn seek(&mut self, counters: &mut Counters) {
        pass_over(self.header.len(), counters);
        self.lose();
    }

    fn header<'a>(&mut self, input: &mut Input<'a>, counters: &mut Counters) -> Option<Step<'a>> {
        if self.header.is_empty() {
            self.began = (input.time, input.thread);
        }
        let missing = FrameHeader::LENGTH.saturating_sub(self.header.len());
        self.header.extend_from_slice(input.take(missing));
        if self.trust != Trust::InStep && !frame::resumes(&self.header, DEFAULT_MAX_FRAME_SIZE) {
            self.seek(counters);
            return None;
        }
        let octets = self.header.as_slice().try_into().ok()?;
        let header = FrameHeader::parse(octets);
        self.header.clear();
        let FrameHeader {
            length, kind, stream, ..
        } = header;
        // What scrub/ hides looks like a frame of an unknown kind, and a long one.
        let is_hidden = matches!(kind, Kind::Other(_)) && length > DEFAULT_MAX_FRAME_SIZE;
        // Between the frames of a header block nothing else may stand, RFC 9113 section 6.10.
        let fits = match (&self.block, kind) {
            (Some(block), Kind::Continuation) => block.stream == stream,
            (Some(_), _) => false,
            (None, Kind::Continuation) => self.trust != Trust::InStep,
            (None, _) => true,
        };
        if !fits || is_hidden || !header.is_legal(u32::MAX) {
            return Some(self.lose());
        }
        let is_fixed = !matches!(
            kind,
            Kind::Data | Kind::Headers | Kind::PushPromise | Kind::Continuation | Kind::Other(_)
        );
        let fits_call = u64::from(length) + FrameHeader::LENGTH as u64 == input.call_length;
        self.trust = match self.trust {
            Trust::Perhaps if !is_fixed && !fits_call => Trust::AwaitsProof,
            Trust::Perhaps | Trust::AwaitsProof | Trust::InStep => Trust::InStep,
        };
        self.is_proven |= self.trust == Trust::InStep;
        self.begin(header)
    }

    /// A frame begins.
    fn begin<'a>(&mut self, header: FrameHeader) -> Option<Step<'a>> {
        let FrameHeader {
            length, kind, stream, ..
        } = header;
        let ends = header.has(FrameHeader::END_STREAM).then_some(stream);
        let is_padded = header.has(FrameHeader::PADDED);
        self.state = match kind {
            Kind::Data if self.trust != Trust::InStep => {
                self.state = State::Skip { left: length, ends };
                let length = (!is_padded).then_some(u64::from(length));
                return Some(Step::Hole { stream, length });
            }
            Kind::Data if is_padded => State::PadLength {
                stream,
                left: length,
                end_stream: ends.is_some(),
            },
            Kind::Data => State::Data {
                stream,
                left: length,
                padding: 0,
                end_stream: ends.is_some(),
            },
            // The rest of a block whose beginning was missed.
            Kind::Continuation if self.block.is_none() => State::Skip {
                left: length,
                ends: None,
            },
            Kind::Headers | Kind::PushPromise | Kind::Continuation => {
                let so_far = match &self.block {
                    Some(block) => block.bytes.as_ref().map_or(BLOCK_MAX, Vec::len),
                    None => 0,
                };
                let around = if self.block.is_some() { 0 } else { AROUND_BLOCK };
                if so_far.saturating_add(length as usize) > BLOCK_MAX + around {
                    State::Cut { header, left: length }
                } else {
                    whole(header)
                }
            }
            Kind::Settings | Kind::RstStream | Kind::GoAway if length <= SMALL_MAX => whole(header),
            Kind::Settings
            | Kind::RstStream
            | Kind::GoAway
            | Kind::Priority
            | Kind::Ping
            | Kind::WindowUpdate
            | Kind::Other(_) => State::Skip {
                left: length,
                ends: None,
            },
        };
        None
    }

    /// A payload is complete.
    fn whole(&mut self, header: FrameHeader, payload: &[u8]) -> Option<Step<'static>> {
        match header.kind {
            Kind::Settings => {
                (!header.has(FrameHeader::ACK)).then(|| Step::Settings(frame::settings(payload).collect()))
            }
            Kind::RstStream => Some(Step::Reset {
                stream: header.stream,
            }),
            Kind::GoAway => {
                let last = payload
                    .first_chunk()
                    .map_or(0, |octets| u32::from_be_bytes(*octets));
                Some(Step::GoAway {
                    last: last & (u32::MAX >> 1),
                })
            }
            Kind::Headers | Kind::PushPromise => match fragment(header, payload) {
                Some(fragment) => {
                    let block = self.block_of(header, Some(fragment.to_vec()));
                    self.finish_block(block, header)
                }
                None => Some(self.lose()),
            },
            Kind::Continuation => {
                let mut block = self.block.take()?;
                if let Some(bytes) = &mut block.bytes {
                    bytes.extend_from_slice(payload);
                }
                self.finish_block(block, header)
            }
            Kind::Data | Kind::Priority | Kind::Ping | Kind::WindowUpdate | Kind::Other(_) => None,
        }
    }

    /// A payload is over of which some is missing.
    fn cut(&mut self, header: FrameHeader) -> Option<Step<'static>> {
        match header.kind {
            Kind::Headers | Kind::PushPromise => {
                let block = self.block_of(header, None);
                self.finish_block(block, header)
            }
            Kind::Continuation => {
                let block = self.block.take()?;
                self.finish_block(Block { bytes: None, ..block }, header)
            }
            Kind::RstStream => Some(Step::Reset {
                stream: header.stream,
            }),
            Kind::Settings
            | Kind::GoAway
            | Kind::Data
            | Kind::Priority
            | Kind::Ping
            | Kind::WindowUpdate
            | Kind::Other(_) => None,
        }
    }

    fn block_of(&self, header: FrameHeader, bytes: Option<Vec<u8>>) -> Block {
        let (time, thread) = self.began;
        Block {
            stream: header.stream,
            end_stream: header.kind == Kind::Headers && header.has(FrameHeader::END_STREAM),
            promised: header.kind == Kind::PushPromise,
            bytes,
            time,
            thread,
        }
    }

    fn finish_block(&mut self, block: Block, header: FrameHeader) -> Option<Step<'static>> {
        if header.has(FrameHeader::END_HEADERS) {
            return Some(Step::Block(block));
        }
        self.block = Some(block);
        None
    }
}

fn whole(header: FrameHeader) -> State {
    State::Whole {
        header,
        payload: Vec::new(),
    }
}

fn pass_over(bytes: usize, counters: &mut Counters) {
    counters.add(Counter::UnsynchronisedBytes, bytes as u64);
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
