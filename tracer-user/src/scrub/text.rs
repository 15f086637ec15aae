//! Finds the credentials in one direction of a connection, byte by byte where it must and line by line where it can.

use std::ops::Range;

use super::secrets::RESPONSE_START;
use super::value::{Field, Step, Taken, Target, Value, Word};
use crate::hpack::frame::PREFACE;

const PREFACE_LENGTH: usize = PREFACE.len();

/// Where in the text of HTTP/1 the next byte stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    place: Place,
    /// Between the first line of a message and its empty line.
    in_head: bool,
    /// The messages are responses.
    responses: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the first bytes of a line or a call.
    Begin(Begin),
    /// In the middle of a line.
    Line(Otherwise),
    /// A secret header name was read; its colon may follow.
    Name(Field),
    /// In the value of a secret header.
    Value(Value),
    /// At the line after such a value, which may continue it (`obs-fold`, RFC 9112 section 5.2).
    Fold(Value),
    /// In a request target.
    Target(Target),
    /// In the preface of HTTP/2, of which so many bytes were there.
    Preface(usize),
    /// Behind it.
    Http2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begin {
    /// What was read of it.
    word: Word,
    /// How much of that was there when the next call began: what follows may be a message of its own.
    before_call: u8,
    /// What it is if it does not begin with anything special.
    otherwise: Otherwise,
    /// It follows a line end, not only the beginning of a call.
    line_start: bool,
}

/// What a line is that does not begin with anything special.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    /// Text that may stay.
    Open,
    /// After a hole: perhaps the rest of a credential, up to the end of the line or a byte that no header can hold.
    Tail,
    /// Not HTTP so far as is known: hidden up to a call that begins like a message.
    Unidentified,
}

impl Text {
    /// Before the first byte that is seen.
    pub(super) fn new() -> Self {
        Self {
            place: Place::Line(Otherwise::Unidentified),
            in_head: false,
            responses: false,
        }
    }

    /// The preface of HTTP/2 is complete: what follows is none of ours.
    pub(super) fn is_http2(&self) -> bool {
        self.place == Place::Http2
    }

    /// Nothing that is known was seen, or what was seen is over.
    pub(super) fn is_unidentified(&self) -> bool {
        matches!(
            self.place,
            Place::Line(Otherwise::Unidentified)
                | Place::Begin(Begin {
                    otherwise: Otherwise::Unidentified,
                    ..
                })
        )
    }

    /// Bytes are missing here; `within_call`: all of them are of the call whose bytes came before.
    pub(super) fn hole(&mut self, within_call: bool) {
        let otherwise = match self.place {
            Place::Http2 => return,
            Place::Preface(_)
            | Place::Line(Otherwise::Unidentified)
            | Place::Begin(Begin {
                otherwise: Otherwise::Unidentified,
                ..
            }) => Otherwise::Unidentified,
            // The body goes on, and what follows holds what we are here for. Only a client that sends requests ahead of their
            // responses would begin another one in the same call.
            Place::Line(Otherwise::Open)
            | Place::Begin(Begin {
                otherwise: Otherwise::Open,
                word: Word::EMPTY,
                ..
            }) if !self.in_head && (self.responses || within_call) => Otherwise::Open,
            _ => {
                self.in_head = true;
                Otherwise::Tail
            }
        };
        self.place = Place::Line(otherwise);
    }

    /// Reads on, and puts into `hidden` which of `bytes` must not be seen. Gives how many of them may be handed on at all:
    /// all, unless this turns out to be HTTP/2 after so many.
    pub(super) fn read(&mut self, bytes: &[u8], call_start: bool, hidden: &mut Vec<Range<usize>>) -> usize {
        let mut at = 0;
        match &mut self.place {
            Place::Begin(begin) if call_start && begin.before_call == 0 => {
                begin.before_call = begin.word.len();
            }
            Place::Line(otherwise) if call_start => {
                self.place = Place::Begin(Begin {
                    otherwise: *otherwise,
                    ..Begin::CALL
                });
            }
            _ => {}
        }
        while let Some(&byte) = bytes.get(at) {
            let rest = bytes.get(at..).unwrap_or_default();
            let length = match self.place {
                Place::Begin(begin) => self.begin(begin, byte, call_start && at == 0),
                Place::Line(otherwise) => self.line(otherwise, rest, at, hidden),
                Place::Name(field) => self.name(field, byte),
                Place::Value(value) => self.value(value, rest, at, hidden),
                Place::Fold(value) => {
                    self.place = match byte {
                        b' ' | b'\t' => Place::Value(value),
                        _ => Place::BEGIN,
                    };
                    0
                }
                Place::Target(target) => self.target(target, rest, at, hidden),
                Place::Preface(seen) => {
                    let expected = PREFACE.get(seen) == Some(&byte);
                    self.place = match seen + 1 {
                        _ if !expected => Place::Line(Otherwise::Unidentified),
                        PREFACE_LENGTH => Place::Http2,
                        seen => Place::Preface(seen),
                    };
                    usize::from(expected)
                }
                Place::Http2 => return at,
            };
            at += length;
        }
        bytes.len()
    }

    /// One byte of what may be a message start or a secret header name. Takes none if it is neither.
    fn begin(&mut self, begin: Begin, byte: u8, call_start: bool) -> usize {
        let Begin {
            word,
            before_call,
            otherwise,
            line_start,
        } = begin;
        let unidentified = otherwise == Otherwise::Unidentified;
        let open = otherwise == Otherwise::Open;
        let (place, length) = match (byte, word.with(byte)) {
            (b'\r', _) if word.is_empty() => (self.place, 1),
            (b'\n', _) if word.is_empty() => {
                self.in_head &= !line_start;
                (if unidentified { self.place } else { Place::BEGIN }, 1)
            }
            (b':' | b' ' | b'\t', _) if open && word.field().is_some() => {
                (word.field().map_or(self.place, Place::Name), 0)
            }
            (_, Some(word)) if word.is_message_start() => {
                self.in_head = true;
                let response = word.is(RESPONSE_START);
                if unidentified {
                    self.responses = response;
                }
                (
                    if response {
                        Place::Line(Otherwise::Open)
                    } else {
                        Place::Target(Target::Path)
                    },
                    1,
                )
            }
            (b' ', Some(word)) if unidentified && word.begins_preface() => {
                (Place::Preface(usize::from(word.len())), 1)
            }
            (_, Some(word))
                if word.begins_message()
                    || open && word.begins_field()
                    || unidentified && word.begins_preface() =>
            {
                (Place::Begin(Begin { word, ..begin }), 1)
            }
            // Not a word so far; but from the beginning of the call on it may be one.
            _ if before_call > 0 => {
                let word = word.after(before_call);
                (
                    Place::Begin(Begin {
                        word,
                        otherwise,
                        ..Begin::CALL
                    }),
                    0,
                )
            }
            _ if call_start && !word.is_empty() => (
                Place::Begin(Begin {
                    otherwise,
                    ..Begin::CALL
                }),
                0,
            ),
            _ => (Place::Line(otherwise), 0),
        };
        self.place = place;
        length
    }

    fn line(
        &mut self,
        otherwise: Otherwise,
        rest: &[u8],
        at: usize,
        hidden: &mut Vec<Range<usize>>,
    ) -> usize {
        match otherwise {
            Otherwise::Open => match memchr::memchr(b'\n', rest) {
                Some(length) => {
                    self.place = Place::BEGIN;
                    length + 1
                }
                None => rest.len(),
            },
            Otherwise::Tail => {
                let end = rest
                    .iter()
                    .position(|&byte| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r'));
                let length = end.unwrap_or(rest.len());
                hide(hidden, at..at + length);
                match end.and_then(|end| rest.get(end)) {
                    // The next line may still continue the value.
                    Some(b'\n') => self.place = Place::Value(Value::Opaque),
                    Some(_) => self.place = Place::Line(Otherwise::Open),
                    None => {}
                }
                length
            }
            Otherwise::Unidentified => {
                hide(hidden, at..at + rest.len());
                rest.len()
            }
        }
    }

    /// White space is not allowed between a name and its colon, but some servers take it.
    fn name(&mut self, field: Field, byte: u8) -> usize {
        self.place = match byte {
            b' ' | b'\t' => self.place,
            b':' => Place::Value(Value::Before(field)),
            _ => {
                self.place = Place::Line(Otherwise::Open);
                return 0;
            }
        };
        1
    }

    fn value(&mut self, value: Value, rest: &[u8], at: usize, hidden: &mut Vec<Range<usize>>) -> usize {
        let byte = rest.first().copied().unwrap_or_default();
        if byte == b'\n' {
            self.place = Place::Fold(value);
            return 1;
        }
        let (next, length) = match value {
            _ if byte == b'\r' => (value, 1),
            Value::Opaque => {
                let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                hide(hidden, at..at + length);
                (value, length)
            }
            _ => {
                let Step { next, taken } = value.step(byte);
                (next, taken.length(at, hidden))
            }
        };
        self.place = Place::Value(next);
        length
    }

    fn target(&mut self, target: Target, rest: &[u8], at: usize, hidden: &mut Vec<Range<usize>>) -> usize {
        let byte = rest.first().copied().unwrap_or_default();
        if byte == b' ' || byte == b'\n' {
            self.place = Place::Line(Otherwise::Open);
            return 0;
        }
        let length = match target {
            Target::Path => memchr::memchr3(b'?', b' ', b'\n', rest).unwrap_or(rest.len()),
            Target::Readable => memchr::memchr3(b'&', b' ', b'\n', rest).unwrap_or(rest.len()),
            Target::Parameter(_) | Target::AccessKey | Target::Opaque => 0,
        };
        if length > 0 {
            return length;
        }
        let Step { next, taken } = target.step(byte);
        self.place = Place::Target(next);
        taken.length(at, hidden)
    }
}

impl Begin {
    /// At the first byte of a call, in the midst of open text.
    const CALL: Begin = Begin {
        word: Word::EMPTY,
        before_call: 0,
        otherwise: Otherwise::Open,
        line_start: false,
    };
}

impl Place {
    /// At the first byte of a line.
    const BEGIN: Place = Place::Begin(Begin {
        line_start: true,
        ..Begin::CALL
    });
}

impl Taken {
    /// How many bytes that is, and whether they are hidden.
    fn length(self, at: usize, hidden: &mut Vec<Range<usize>>) -> usize {
        match self {
            Taken::Not => 0,
            Taken::Seen => 1,
            Taken::Hidden => {
                hide(hidden, at..at + 1);
                1
            }
        }
    }
}

/// Adds a range, joined to the one before where they touch.
fn hide(hidden: &mut Vec<Range<usize>>, range: Range<usize>) {
    match hidden.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ if range.is_empty() => {}
        _ => hidden.push(range),
    }
}
