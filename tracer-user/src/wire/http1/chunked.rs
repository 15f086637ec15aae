//! `Transfer-Encoding: chunked` (RFC 9112 §7.1), read beside the receiver and across holes.
//!
//! Chunk boundaries are told by the bytes before them, so a hole that crosses one hides the next. Then any line that can be
//! a chunk size is tried, and is believed once its chunk ends as it must. Streamed answers tell their token counts at
//! the very end, so it is worth finding the way back.

use memchr::memchr;

use super::body::{BodyStep, skip_content, take_content};

/// Most bytes of extensions and trailers in one body; more is an attack on whoever keeps them.
const OVERHEAD_MAX: usize = 64 * 1024;

/// Most digits of a chunk size: 16 fill 64 bits.
const DIGITS_MAX: u8 = 16;

/// Most digits of a chunk size found by searching: no chunk of 4 GiB is believed.
const DIGITS_MAX_SEARCHING: u8 = 8;

/// Reads one chunked body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunks {
    state: State,
    /// The chunk in hand was found by searching and has not proven itself by its end.
    tentative: bool,
    overhead: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    SizeLineFeed { value: u64 },
    Data { remaining: u64 },
    DataEnd,
    DataLineFeed,
    TrailerStart,
    TrailerField,
    LastLineFeed,
    Search,
    SearchLineFeed,
    Ended,
}

impl Chunks {
    /// At the first chunk size.
    pub(super) fn new() -> Self {
        Self {
            state: SIZE,
            tentative: false,
            overhead: 0,
        }
    }

    pub(super) fn is_searching(&self) -> bool {
        matches!(self.state, State::Search | State::SearchLineFeed)
            || self.tentative && matches!(self.state, State::Size { .. } | State::SizeLineFeed { .. })
    }

    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> BodyStep<'a> {
        loop {
            if let State::Data { remaining } = &mut self.state {
                if *remaining > 0 {
                    return take_content(input, Some(remaining));
                }
                self.state = State::DataEnd;
            }
            match self.state {
                State::Ended => return BodyStep::End,
                State::Search => pass_to(input, b'\r'),
                State::Extension { .. } | State::TrailerField => self.pass_line(input),
                _ => {}
            }
            if self.overhead > OVERHEAD_MAX {
                return BodyStep::Broken;
            }
            let Some((byte, rest)) = input.split_first() else {
                return BodyStep::Hungry;
            };
            *input = rest;
            match self.after(*byte) {
                Some(state) => self.state = state,
                None if self.tentative => {
                    // Not a chunk after all. This byte may begin the line that is.
                    let was_delivering = matches!(self.state, State::DataEnd | State::DataLineFeed);
                    self.search();
                    if *byte == b'\r' {
                        self.state = State::SearchLineFeed;
                    }
                    if was_delivering {
                        return BodyStep::Hole(None);
                    }
                }
                None => return BodyStep::Broken,
            }
        }
    }

    pub(super) fn skip(&mut self, missing: &mut u64) -> BodyStep<'static> {
        match &mut self.state {
            State::Ended => BodyStep::End,
            State::Data { remaining } if *remaining > 0 => {
                BodyStep::Hole(Some(skip_content(remaining, missing)))
            }
            // Still within the line between two chunks: it is two bytes long and says nothing.
            State::Data { .. } | State::DataEnd if *missing == 2 && !self.tentative => {
                *missing = 0;
                self.state = SIZE;
                BodyStep::Hungry
            }
            _ => {
                *missing = 0;
                let told = self.is_searching();
                self.search();
                if told {
                    BodyStep::Hungry
                } else {
                    BodyStep::Hole(None)
                }
            }
        }
    }

    fn search(&mut self) {
        self.state = State::Search;
        self.tentative = true;
    }

    /// The state after one byte of framing; none when the byte cannot stand there.
    fn after(&mut self, byte: u8) -> Option<State> {
        let strict = self.tentative;
        match (self.state, byte) {
            (State::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                let most = if strict { DIGITS_MAX_SEARCHING } else { DIGITS_MAX };
                let digit = char::from(byte).to_digit(16)?;
                (digits < most).then_some(State::Size {
                    value: value << 4 | u64::from(digit),
                    digits: digits + 1,
                })
            }
            (State::Size { digits: 0, .. }, _) => None,
            (State::Size { value, .. }, b'\r') => Some(State::SizeLineFeed { value }),
            (State::Size { value, .. }, b'\n') if !strict => Some(first_of(value)),
            (State::Size { value, .. }, b';' | b' ' | b'\t') if !strict => Some(State::Extension { value }),
            (State::SizeLineFeed { value } | State::Extension { value }, b'\n') => Some(first_of(value)),
            (State::DataEnd, b'\r') => Some(State::DataLineFeed),
            (State::DataEnd, b'\n') if !strict => Some(SIZE),
            (State::DataLineFeed, b'\n') => {
                self.tentative = false;
                Some(SIZE)
            }
            (State::TrailerStart, b'\r') => Some(State::LastLineFeed),
            (State::TrailerStart, b'\n') if !strict => Some(State::Ended),
            (State::TrailerStart, _) if !strict => Some(State::TrailerField),
            (State::TrailerField, b'\n') => Some(State::TrailerStart),
            (State::LastLineFeed, b'\n') => Some(State::Ended),
            (State::Search, _) => Some(State::SearchLineFeed),
            (State::SearchLineFeed, b'\n') => Some(SIZE),
            _ => None,
        }
    }

    /// Moves to the line feed that ends an extension or a trailer field.
    fn pass_line(&mut self, input: &mut &[u8]) {
        let before = input.len();
        pass_to(input, b'\n');
        self.overhead = self.overhead.saturating_add(before - input.len());
    }
}

fn pass_to(input: &mut &[u8], byte: u8) {
    let length = memchr(byte, input).unwrap_or(input.len());
    *input = input.get(length..).unwrap_or_default();
}

/// At the first digit of a chunk size.
const SIZE: State = State::Size { value: 0, digits: 0 };

/// What follows a chunk size.
fn first_of(size: u64) -> State {
    if size == 0 {
        State::TrailerStart
    } else {
        State::Data { remaining: size }
    }
}
