//! Finds the credentials in one direction of a connection, byte by byte where it must and line by line where it can.

use std::ops::Range;

use super::secrets::{
    AUTHORIZATION_FIELDS, CREDENTIAL_PARAMETER, FIELDS, HTTP2_PREFACE, MESSAGE_STARTS, PARAMETERS,
    RESPONSE_START, SCHEMES, SIGV4, SIGV4_CREDENTIAL, SIGV4_SIGNATURE, SIGV4_SIGNED_HEADERS, SIGV4A,
};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Authorization,
    Opaque,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    /// White space before the value.
    Before(Field),
    /// The authentication scheme.
    Scheme(Word),
    /// The name of a parameter of an AWS signature.
    Parameter(Word),
    /// The access key id of an AWS signature.
    AccessKey,
    /// A credential scope or a list of header names, which stay.
    Readable,
    /// Hidden up to the next parameter.
    OpaqueParameter,
    /// Hidden to the end.
    Opaque,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Before the query.
    Path,
    /// The name of a query parameter.
    Parameter(Word),
    /// A value that stays.
    Readable,
    /// The access key id at the beginning of a credential.
    AccessKey,
    /// A value that is hidden.
    Opaque,
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

    /// The connection speaks HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self.place, Place::Preface(_) | Place::Http2)
    }

    /// Bytes are missing here; `within_call`: all of them are of the call whose bytes came before.
    pub(super) fn hole(&mut self, within_call: bool) {
        let otherwise = match self.place {
            Place::Http2 => return,
            Place::Preface(_) => {
                self.place = Place::Http2;
                return;
            }
            Place::Line(Otherwise::Unidentified)
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
    /// all, unless this turns out to be HTTP/2.
    pub(super) fn read(&mut self, bytes: &[u8], call_start: bool, hidden: &mut Vec<Range<usize>>) -> usize {
        let mut at = 0;
        match &mut self.place {
            Place::Begin(begin) if call_start && begin.before_call == 0 => {
                begin.before_call = begin.word.length;
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
                    self.place = match HTTP2_PREFACE.as_bytes().get(seen) {
                        Some(&expected) if expected == byte => Place::Preface(seen + 1),
                        _ => Place::Http2,
                    };
                    usize::from(self.place != Place::Http2)
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
                (Place::Preface(usize::from(word.length)), 1)
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
        let blank = byte == b' ' || byte == b'\t';
        let (next, length) = match value {
            _ if byte == b'\r' => (value, 1),
            Value::Before(field) if blank => (Value::Before(field), 1),
            Value::Before(Field::Authorization) => (Value::Scheme(Word::EMPTY), 0),
            Value::Before(Field::Opaque) => (Value::Opaque, 0),
            Value::Scheme(word) if blank => {
                let sigv4 = word.is(SIGV4) || word.is(SIGV4A);
                (
                    if sigv4 {
                        Value::Parameter(Word::EMPTY)
                    } else {
                        Value::Opaque
                    },
                    1,
                )
            }
            Value::Scheme(word) => match word.with(byte) {
                Some(word) if SCHEMES.iter().any(|scheme| word.begins(scheme)) => (Value::Scheme(word), 1),
                _ => (Value::Opaque, 0),
            },
            Value::Parameter(word) if blank && word.is_empty() => (value, 1),
            Value::Parameter(word) => match word.with(byte) {
                Some(word) if word.is(SIGV4_CREDENTIAL) => (Value::AccessKey, 1),
                Some(word) if word.is(SIGV4_SIGNED_HEADERS) => (Value::Readable, 1),
                Some(word) if word.is(SIGV4_SIGNATURE) => (Value::OpaqueParameter, 1),
                Some(word)
                    if [SIGV4_CREDENTIAL, SIGV4_SIGNED_HEADERS, SIGV4_SIGNATURE]
                        .iter()
                        .any(|parameter| word.begins(parameter)) =>
                {
                    (Value::Parameter(word), 1)
                }
                _ => (Value::OpaqueParameter, 0),
            },
            Value::AccessKey if byte == b'/' => (Value::Readable, 0),
            Value::AccessKey | Value::OpaqueParameter | Value::Readable if byte == b',' => {
                (Value::Parameter(Word::EMPTY), 1)
            }
            Value::Readable if byte.is_ascii_alphanumeric() || b"/-_;".contains(&byte) => (value, 1),
            Value::Readable => (Value::OpaqueParameter, 0),
            Value::AccessKey | Value::OpaqueParameter => {
                hide(hidden, at..at + 1);
                (value, 1)
            }
            Value::Opaque => {
                let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                hide(hidden, at..at + length);
                (value, length)
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
        let (next, length) = match target {
            Target::Path => match memchr::memchr3(b'?', b' ', b'\n', rest) {
                Some(end) if rest.get(end) == Some(&b'?') => (Target::Parameter(Word::EMPTY), end + 1),
                Some(end) => (target, end),
                None => (target, rest.len()),
            },
            _ if byte == b'&' => (Target::Parameter(Word::EMPTY), 1),
            Target::Parameter(word) => match word.with(byte) {
                Some(word) if PARAMETERS.iter().any(|parameter| word.is(parameter)) => (Target::Opaque, 1),
                Some(word) if word.is(CREDENTIAL_PARAMETER) => (Target::AccessKey, 1),
                Some(word)
                    if word.begins(CREDENTIAL_PARAMETER)
                        || PARAMETERS.iter().any(|parameter| word.begins(parameter)) =>
                {
                    (Target::Parameter(word), 1)
                }
                _ => (Target::Readable, 0),
            },
            Target::AccessKey if byte == b'/' || byte == b'%' => (Target::Readable, 0),
            Target::AccessKey | Target::Opaque => {
                hide(hidden, at..at + 1);
                (target, 1)
            }
            Target::Readable => (
                target,
                memchr::memchr3(b'&', b' ', b'\n', rest).unwrap_or(rest.len()),
            ),
        };
        self.place = Place::Target(next);
        length
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

/// Adds a range, joined to the one before where they touch.
fn hide(hidden: &mut Vec<Range<usize>>, range: Range<usize>) {
    match hidden.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ if range.is_empty() => {}
        _ => hidden.push(range),
    }
}

/// The first bytes of something, kept as long as they are the beginning of a word that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word {
    bytes: [u8; WORD_MAX],
    length: u8,
}

/// No word that is looked for is longer.
const WORD_MAX: usize = 31;

impl Word {
    const EMPTY: Word = Word {
        bytes: [0; WORD_MAX],
        length: 0,
    };

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The word with one more byte, unless it is too long to be one.
    fn with(mut self, byte: u8) -> Option<Self> {
        *self.bytes.get_mut(usize::from(self.length))? = byte;
        self.length += 1;
        Some(self)
    }

    /// The word without its first bytes.
    fn after(&self, length: u8) -> Self {
        let bytes = self.as_bytes().get(usize::from(length)..).unwrap_or_default();
        bytes
            .iter()
            .try_fold(Word::EMPTY, |word, &byte| word.with(byte))
            .unwrap_or(Word::EMPTY)
    }

    /// Whether `whole` begins with it; case does not matter.
    fn begins(&self, whole: &str) -> bool {
        let length = usize::from(self.length);
        whole
            .as_bytes()
            .get(..length)
            .is_some_and(|start| start.eq_ignore_ascii_case(self.as_bytes()))
    }

    /// Whether it is this word; case does not matter.
    fn is(&self, whole: &str) -> bool {
        whole.as_bytes().eq_ignore_ascii_case(self.as_bytes())
    }

    /// Methods and versions are told apart by case.
    fn is_message_start(&self) -> bool {
        MESSAGE_STARTS
            .iter()
            .any(|start| start.as_bytes() == self.as_bytes())
    }

    fn begins_message(&self) -> bool {
        MESSAGE_STARTS
            .iter()
            .any(|start| start.as_bytes().starts_with(self.as_bytes()))
    }

    fn begins_preface(&self) -> bool {
        HTTP2_PREFACE.as_bytes().starts_with(self.as_bytes())
    }

    fn begins_field(&self) -> bool {
        FIELDS
            .iter()
            .chain(&AUTHORIZATION_FIELDS)
            .any(|field| self.begins(field))
    }

    fn field(&self) -> Option<Field> {
        if AUTHORIZATION_FIELDS.iter().any(|field| self.is(field)) {
            Some(Field::Authorization)
        } else if FIELDS.iter().any(|field| self.is(field)) {
            Some(Field::Opaque)
        } else {
            None
        }
    }
}
