//! One direction of an HTTP/2 connection: frames one after the other, and the way back after a hole.

use crate::conn::Piece;
use crate::counters::{Counter, Counters};
use crate::event::Monotonic;
use crate::hpack::BLOCK_MAX;
use crate::hpack::frame::{self, DEFAULT_MAX_FRAME_SIZE, FrameHeader, Kind, PREFACE};

/// The length field has 24 bits; what a receiver allows is its own affair while we are in step.
const LARGEST: u32 = (1 << 24) - 1;

/// Longest payload that is put together beside those of header blocks: more settings than there are.
const SMALL_MAX: u32 = 4096;

/// Octets of padding length and priority before a header block, and of the padding behind it.
const AROUND_BLOCK: usize = 1 + 5 + 255;

/// Bytes of one call, or missing bytes, that are taken in step by step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    missing: u64,
    call_start: bool,
    thread: u32,
    pub(super) time: Monotonic,
}

impl<'a> Input<'a> {
    pub(super) fn bytes(piece: Piece<'a>) -> Self {
        let Piece {
            direction: _,
            bytes,
            call_start,
            thread,
            time,
        } = piece;
        Self {
            bytes,
            missing: 0,
            call_start,
            thread,
            time,
        }
    }

    pub(super) fn gap(length: u64, time: Monotonic) -> Self {
        Self {
            bytes: &[],
            missing: length,
            call_start: false,
            thread: 0,
            time,
        }
    }
}

/// What a direction says next.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A complete header block.
    Block(Block),
    /// A header block that is too long to be read.
    BlockTooLong { stream: u32, end_stream: bool },
    /// Content of a body.
    Data { stream: u32, bytes: &'a [u8] },
    /// Missing content of a body.
    Hole { stream: u32, length: u64 },
    /// The sender says nothing more on a stream.
    EndStream { stream: u32 },
    /// `RST_STREAM`
    Reset { stream: u32 },
    /// GOAWAY: streams beyond this one are not answered.
    GoAway { last: u32 },
    /// One setting.
    Settings(Vec<(u16, u32)>),
    /// Where frames begin is not known any more: whatever was under way may have gone on and ended.
    Lost,
}

/// A header block, put together.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    /// It belongs to a promised stream, which nobody wants.
    pub(super) promised: bool,
    pub(super) bytes: Vec<u8>,
    /// When its first byte passed.
    pub(super) time: Monotonic,
    pub(super) thread: u32,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Frames {
    state: State,
    /// The header of the frame under way, as far as it is there.
    header: Vec<u8>,
    /// When and by which thread its first byte was written.
    began: (Monotonic, u32),
    /// The header may yet turn out not to be one: it is the first behind missing bytes.
    is_guess: bool,
    /// A header block that goes on in the next frame.
    block: Option<Block>,
    /// Largest payload that the peer takes.
    largest: u32,
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
    /// A payload that does not matter.
    Skip {
        left: u32,
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
            state,
            header: Vec::with_capacity(FrameHeader::LENGTH),
            began: (Monotonic(0), 0),
            is_guess: false,
            block: None,
            largest: DEFAULT_MAX_FRAME_SIZE,
        }
    }

    /// The peer announced `SETTINGS_MAX_FRAME_SIZE`.
    pub(super) fn set_largest(&mut self, octets: u32) {
        self.largest = self.largest.max(octets.min(LARGEST));
    }

    /// Whether where frames begin is unknown.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.state, State::Seek)
    }

    /// Memory held beyond this value.
    pub(super) fn held(&self) -> usize {
        let whole = match &self.state {
            State::Whole { payload, .. } => payload.capacity(),
            _ => 0,
        };
        whole + self.header.capacity() + self.block.as_ref().map_or(0, |block| block.bytes.capacity())
    }

    /// Takes what it can from the front of the input; none when the input is used up.
    pub(super) fn next<'a>(&mut self, input: &mut Input<'a>, counters: &mut Counters) -> Option<Step<'a>> {
        loop {
            if let Some(step) = self.pass_end() {
                return Some(step);
            }
            if input.missing > 0 {
                if let Some(step) = self.pass_gap(input) {
                    return Some(step);
                }
                continue;
            }
            let has_input = !input.bytes.is_empty();
            match &mut self.state {
                State::Seek => {
                    if !has_input {
                        return None;
                    }
                    if !input.call_start || !frame::resumes(input.bytes, self.largest) {
                        counters.add(Counter::UnsynchronisedBytes, input.bytes.len() as u64);
                        input.bytes = &[];
                        return None;
                    }
                    self.state = State::Header;
                    self.is_guess = true;
                }
                State::Preface(passed) => {
                    let expected = PREFACE.get(*passed..).unwrap_or_default();
                    if expected.is_empty() {
                        self.state = State::Header;
                        continue;
                    }
                    if !has_input {
                        return None;
                    }
                    let alike = expected
                        .iter()
                        .zip(input.bytes)
                        .take_while(|(one, other)| one == other)
                        .count();
                    *passed += take(input, alike).len();
                    if alike < expected.len() && !input.bytes.is_empty() {
                        return Some(self.lose());
                    }
                }
                State::Header => {
                    if !has_input {
                        return None;
                    }
                    if let Some(step) = self.header(input, counters) {
                        return Some(step);
                    }
                }
                State::PadLength {
                    stream,
                    left,
                    end_stream,
                } => {
                    let &[padding] = take(input, 1) else { return None };
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
                    let bytes = take(input, *left as usize);
                    if bytes.is_empty() {
                        return None;
                    }
                    *left = left.saturating_sub(length_of(bytes));
                    return Some(Step::Data { stream, bytes });
                }
                State::Skip { left } => {
                    let bytes = take(input, *left as usize);
                    if bytes.is_empty() {
                        return None;
                    }
                    *left = left.saturating_sub(length_of(bytes));
                }
                State::Whole { header, payload } => {
                    let missing = (header.length as usize).saturating_sub(payload.len());
                    payload.extend_from_slice(take(input, missing));
                    if payload.len() < header.length as usize {
                        return None;
                    }
                    let (header, payload) = (*header, std::mem::take(payload));
                    self.state = State::Header;
                    if let Some(step) = self.whole(header, &payload) {
                        return Some(step);
                    }
                }
            }
        }
    }

    /// Goes on behind a payload that is over.
    fn pass_end<'a>(&mut self) -> Option<Step<'a>> {
        if let State::Data {
            stream,
            left: 0,
            padding,
            end_stream,
        } = self.state
        {
            self.state = State::Skip { left: padding };
            if end_stream {
                return Some(Step::EndStream { stream });
            }
        }
        if let State::Skip { left: 0 } = self.state {
            self.state = State::Header;
        }
        None
    }

    /// Missing bytes: within the payload of one frame they do no harm to others.
    fn pass_gap<'a>(&mut self, input: &mut Input<'_>) -> Option<Step<'a>> {
        let missing = u32::try_from(input.missing).unwrap_or(u32::MAX);
        match &mut self.state {
            State::Data { stream, left, .. } if missing <= *left => {
                *left -= missing;
                let length = std::mem::take(&mut input.missing);
                Some(Step::Hole {
                    stream: *stream,
                    length,
                })
            }
            State::Skip { left } if missing <= *left => {
                *left -= missing;
                input.missing = 0;
                None
            }
            _ => {
                input.missing = 0;
                if self.is_lost() {
                    return None;
                }
                Some(self.lose())
            }
        }
    }

    fn lose<'a>(&mut self) -> Step<'a> {
        self.state = State::Seek;
        self.is_guess = false;
        self.header.clear();
        self.block = None;
        Step::Lost
    }

    fn header<'a>(&mut self, input: &mut Input<'a>, counters: &mut Counters) -> Option<Step<'a>> {
        if self.header.is_empty() {
            self.began = (input.time, input.thread);
        }
        let missing = FrameHeader::LENGTH.saturating_sub(self.header.len());
        self.header.extend_from_slice(take(input, missing));
        let octets = self.header.as_slice().try_into().ok()?;
        let header = FrameHeader::parse(octets);
        if std::mem::take(&mut self.is_guess) && !frame::resumes(octets, self.largest) {
            counters.add(Counter::UnsynchronisedBytes, octets.len() as u64);
            self.header.clear();
            self.state = State::Seek;
            return None;
        }
        self.header.clear();
        // Between the frames of a header block nothing else may stand, RFC 9113 section 6.10.
        let fits = match (&self.block, header.kind) {
            (Some(block), Kind::Continuation) => block.stream == header.stream,
            (Some(_), _) | (None, Kind::Continuation) => false,
            (None, _) => true,
        };
        if !fits || !header.is_legal(LARGEST) {
            return Some(self.lose());
        }
        let FrameHeader {
            length, kind, stream, ..
        } = header;
        let end_stream = header.has(FrameHeader::END_STREAM);
        self.state = match kind {
            Kind::Data if header.has(FrameHeader::PADDED) => State::PadLength {
                stream,
                left: length,
                end_stream,
            },
            Kind::Data => State::Data {
                stream,
                left: length,
                padding: 0,
                end_stream,
            },
            Kind::Headers | Kind::PushPromise | Kind::Continuation => {
                let so_far = self.block.as_ref().map_or(0, |block| block.bytes.len());
                if so_far.saturating_add(length as usize) > BLOCK_MAX + AROUND_BLOCK {
                    self.block = None;
                    self.state = State::Skip { left: length };
                    return Some(if header.has(FrameHeader::END_HEADERS) {
                        Step::BlockTooLong {
                            stream,
                            end_stream: end_stream && kind == Kind::Headers,
                        }
                    } else {
                        // Its other frames cannot be told from a stray one.
                        self.lose()
                    });
                }
                whole(header)
            }
            Kind::Settings | Kind::RstStream | Kind::GoAway if length <= SMALL_MAX => whole(header),
            Kind::Settings
            | Kind::RstStream
            | Kind::GoAway
            | Kind::Priority
            | Kind::Ping
            | Kind::WindowUpdate
            | Kind::Other(_) => State::Skip { left: length },
        };
        None
    }

    /// A payload is complete.
    fn whole<'a>(&mut self, header: FrameHeader, payload: &[u8]) -> Option<Step<'a>> {
        let FrameHeader { kind, stream, .. } = header;
        match kind {
            Kind::Settings => {
                (!header.has(FrameHeader::ACK)).then(|| Step::Settings(frame::settings(payload).collect()))
            }
            Kind::RstStream => Some(Step::Reset { stream }),
            Kind::GoAway => {
                let last = payload
                    .first_chunk()
                    .map_or(0, |octets| u32::from_be_bytes(*octets));
                Some(Step::GoAway {
                    last: last & (u32::MAX >> 1),
                })
            }
            Kind::Headers | Kind::PushPromise => {
                let Some(fragment) = fragment(header, payload) else {
                    return Some(self.lose());
                };
                let (time, thread) = self.began;
                let block = Block {
                    stream,
                    end_stream: kind == Kind::Headers && header.has(FrameHeader::END_STREAM),
                    promised: kind == Kind::PushPromise,
                    bytes: fragment.to_vec(),
                    time,
                    thread,
                };
                self.finish_block(block, header)
            }
            Kind::Continuation => {
                let mut block = self.block.take()?;
                block.bytes.extend_from_slice(payload);
                self.finish_block(block, header)
            }
            Kind::Data | Kind::Priority | Kind::Ping | Kind::WindowUpdate | Kind::Other(_) => None,
        }
    }

    fn finish_block<'a>(&mut self, block: Block, header: FrameHeader) -> Option<Step<'a>> {
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

/// The part of a HEADERS or `PUSH_PROMISE` payload that is header block (RFC 9113 sections 6.2 and 6.6).
fn fragment(header: FrameHeader, payload: &[u8]) -> Option<&[u8]> {
    let mut rest = payload;
    let mut padding = 0;
    if header.has(FrameHeader::PADDED) {
        let (&length, after) = rest.split_first()?;
        (padding, rest) = (usize::from(length), after);
    }
    if header.kind == Kind::PushPromise {
        rest = rest.get(4..)?;
    } else if header.has(FrameHeader::PRIORITY) {
        rest = rest.get(5..)?;
    }
    rest.get(..rest.len().checked_sub(padding)?)
}

/// The next bytes of the input, at most so many.
fn take<'a>(input: &mut Input<'a>, most: usize) -> &'a [u8] {
    let (taken, rest) = input.bytes.split_at_checked(most).unwrap_or((input.bytes, &[]));
    input.bytes = rest;
    if !taken.is_empty() {
        input.call_start = false;
    }
    taken
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
