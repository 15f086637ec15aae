//! Where inside a header value or a request target a credential stands, byte by byte.

use super::secrets::{
    AUTHORIZATION_FIELDS, CREDENTIAL_PARAMETER, FIELDS, MESSAGE_STARTS, PARAMETERS, SCHEMES, SIGV4,
    SIGV4_CREDENTIAL, SIGV4_SIGNATURE, SIGV4_SIGNED_HEADERS, SIGV4A,
};
use crate::hpack::frame::PREFACE;

/// What a byte leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<S> {
    /// Where the next byte stands, or this one if it was not taken.
    pub(super) next: S,
    pub(super) taken: Taken,
}

/// What becomes of a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is to be looked at again in the next state.
    Not,
    Seen,
    Hidden,
}

/// A header field with a credential in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// An authentication scheme, then the credential.
    Authorization,
    /// Nothing else.
    Opaque,
}

/// Where in the value of such a field a byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
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

/// Where in a request target a byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
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

impl Value {
    /// Takes one byte. Line ends are none of a value's business.
    pub(super) fn step(self, byte: u8) -> Step<Self> {
        let blank = byte == b' ' || byte == b'\t';
        let (next, taken) = match self {
            Value::Before(_) if blank => (self, Taken::Seen),
            Value::Before(Field::Authorization) => (Value::Scheme(Word::EMPTY), Taken::Not),
            Value::Before(Field::Opaque) => (Value::Opaque, Taken::Not),
            Value::Scheme(word) if blank => {
                let sigv4 = word.is(SIGV4) || word.is(SIGV4A);
                let next = if sigv4 {
                    Value::Parameter(Word::EMPTY)
                } else {
                    Value::Opaque
                };
                (next, Taken::Seen)
            }
            Value::Scheme(word) => match word.with(byte) {
                Some(word) if SCHEMES.iter().any(|scheme| word.begins(scheme)) => {
                    (Value::Scheme(word), Taken::Seen)
                }
                _ => (Value::Opaque, Taken::Not),
            },
            Value::Parameter(word) if blank && word.is_empty() => (self, Taken::Seen),
            Value::Parameter(word) => match word.with(byte) {
                Some(word) if word.is(SIGV4_CREDENTIAL) => (Value::AccessKey, Taken::Seen),
                Some(word) if word.is(SIGV4_SIGNED_HEADERS) => (Value::Readable, Taken::Seen),
                Some(word) if word.is(SIGV4_SIGNATURE) => (Value::OpaqueParameter, Taken::Seen),
                Some(word)
                    if [SIGV4_CREDENTIAL, SIGV4_SIGNED_HEADERS, SIGV4_SIGNATURE]
                        .iter()
                        .any(|parameter| word.begins(parameter)) =>
                {
                    (Value::Parameter(word), Taken::Seen)
                }
                _ => (Value::OpaqueParameter, Taken::Not),
            },
            Value::AccessKey if byte == b'/' => (Value::Readable, Taken::Not),
            Value::AccessKey | Value::OpaqueParameter | Value::Readable if byte == b',' => {
                (Value::Parameter(Word::EMPTY), Taken::Seen)
            }
            Value::Readable if byte.is_ascii_alphanumeric() || b"/-_;".contains(&byte) => (self, Taken::Seen),
            Value::Readable => (Value::OpaqueParameter, Taken::Not),
            Value::AccessKey | Value::OpaqueParameter | Value::Opaque => (self, Taken::Hidden),
        };
        Step { next, taken }
    }
}

impl Target {
    /// Takes one byte. What ends a target is none of its business.
    pub(super) fn step(self, byte: u8) -> Step<Self> {
        let (next, taken) = match self {
            Target::Path if byte != b'?' => (self, Taken::Seen),
            Target::Path => (Target::Parameter(Word::EMPTY), Taken::Seen),
            _ if byte == b'&' => (Target::Parameter(Word::EMPTY), Taken::Seen),
            Target::Parameter(word) => match word.with(byte) {
                Some(word) if PARAMETERS.iter().any(|parameter| word.is(parameter)) => {
                    (Target::Opaque, Taken::Seen)
                }
                Some(word) if word.is(CREDENTIAL_PARAMETER) => (Target::AccessKey, Taken::Seen),
                Some(word)
                    if word.begins(CREDENTIAL_PARAMETER)
                        || PARAMETERS.iter().any(|parameter| word.begins(parameter)) =>
                {
                    (Target::Parameter(word), Taken::Seen)
                }
                _ => (Target::Readable, Taken::Not),
            },
            Target::AccessKey if byte == b'/' || byte == b'%' => (Target::Readable, Taken::Not),
            Target::AccessKey | Target::Opaque => (self, Taken::Hidden),
            Target::Readable => (self, Taken::Seen),
        };
        Step { next, taken }
    }
}

/// The first bytes of something, kept as long as they are the beginning of a word that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    bytes: [u8; WORD_MAX],
    length: u8,
}

/// No word that is looked for is longer.
const WORD_MAX: usize = 31;

impl Word {
    pub(super) const EMPTY: Word = Word {
        bytes: [0; WORD_MAX],
        length: 0,
    };

    /// These bytes, unless they are too many.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        bytes.iter().try_fold(Word::EMPTY, |word, &byte| word.with(byte))
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> u8 {
        self.length
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The word with one more byte, unless it is too long to be one.
    pub(super) fn with(mut self, byte: u8) -> Option<Self> {
        *self.bytes.get_mut(usize::from(self.length))? = byte;
        self.length += 1;
        Some(self)
    }

    /// The word without its first bytes.
    pub(super) fn after(&self, length: u8) -> Self {
        let bytes = self.as_bytes().get(usize::from(length)..).unwrap_or_default();
        Word::of(bytes).unwrap_or(Word::EMPTY)
    }

    /// Whether `whole` begins with it; case does not matter.
    pub(super) fn begins(&self, whole: &str) -> bool {
        let length = usize::from(self.length);
        whole
            .as_bytes()
            .get(..length)
            .is_some_and(|start| start.eq_ignore_ascii_case(self.as_bytes()))
    }

    /// Whether it is this word; case does not matter.
    pub(super) fn is(&self, whole: &str) -> bool {
        whole.as_bytes().eq_ignore_ascii_case(self.as_bytes())
    }

    /// Methods and versions are told apart by case.
    pub(super) fn is_message_start(&self) -> bool {
        MESSAGE_STARTS
            .iter()
            .any(|start| start.as_bytes() == self.as_bytes())
    }

    pub(super) fn begins_message(&self) -> bool {
        MESSAGE_STARTS
            .iter()
            .any(|start| start.as_bytes().starts_with(self.as_bytes()))
    }

    pub(super) fn begins_preface(&self) -> bool {
        PREFACE.starts_with(self.as_bytes())
    }

    pub(super) fn begins_field(&self) -> bool {
        FIELDS
            .iter()
            .chain(&AUTHORIZATION_FIELDS)
            .any(|field| self.begins(field))
    }

    pub(super) fn field(&self) -> Option<Field> {
        if AUTHORIZATION_FIELDS.iter().any(|field| self.is(field)) {
            Some(Field::Authorization)
        } else if FIELDS.iter().any(|field| self.is(field)) {
            Some(Field::Opaque)
        } else {
            None
        }
    }
}
