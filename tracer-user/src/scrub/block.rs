//! Blanks the credentials in header blocks of HTTP/2, octet by octet, in place.
//!
//! HPACK packs fields into octets (RFC 7541), and names into references to a table. So this follows the table, but remembers
//! of each name only what class it is of. An octet that goes out is as long as the one that came in, so a blanked string has
//! to stay a valid one of the same length:
//!
//! - in a plain string every secret octet becomes `*`;
//! - in a Huffman-coded string everything from the first secret symbol on becomes zeros (the symbol `0` is five zero bits),
//!   with up to four ones of padding. Such a string may read longer than it was;
//! - of the access key id in an AWS signature, behind which the scope has to stay readable, every symbol becomes the first one
//!   whose code is as long and shares the bits that went out with the octet before. This leaves the lengths of the codes and
//!   some of their first bits. An access key id says who signs; what it takes to sign, the secret key, is never sent.
//!
//! Whether a symbol is secret is known when it is complete. Its bits in the octet before have gone out by then: of the first
//! symbol of a credential without a scheme that may be a few bits.

use std::collections::VecDeque;

use super::BLANK;
use super::coded::{Bits, Secret, Symbol};
use super::value::{Field, Target, Value, Word};
use crate::hpack::primitive::CONTINUATION_MAX;
use crate::hpack::statics;

/// Most table entries remembered: as many as fit into the largest table that [`Decoder`](crate::hpack::Decoder) keeps to.
const CLASSES_MAX: usize = 64 * 1024 / ENTRY_MIN;

/// Least size of a table entry, RFC 7541 section 4.1.
const ENTRY_MIN: usize = 32;

/// The header blocks of one direction.
#[derive(Debug)]
pub(super) struct Block {
    place: Place,
    /// Classes of the names in the dynamic table, newest first.
    classes: VecDeque<Class>,
    /// Most entries that the table can have.
    entries_max: usize,
}

/// What a name says about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    /// Blanked whole: a credential, or a name that is not known.
    Secret,
    Authorization,
    Path,
}

/// Where in a header block the next octet stands.
#[derive(Debug)]
enum Place {
    /// At the beginning of a field.
    Field,
    /// In the later octets of an integer.
    Integer {
        of: Integer,
        value: u32,
        octets: u32,
    },
    /// At the length of a string.
    Length(Text),
    Name(Name),
    Value(Reading),
    /// Nobody can tell any more.
    Broken,
}

/// What an integer is.
#[derive(Debug, Clone, Copy)]
enum Integer {
    /// The index of a whole field.
    Index,
    TableSize,
    /// The index of a name, or 0.
    NameIndex {
        inserted: bool,
    },
    Length {
        text: Text,
        coded: bool,
    },
}

/// What a string is.
#[derive(Debug, Clone, Copy)]
enum Text {
    Name { inserted: bool },
    Value { class: Class, inserted: bool },
}

#[derive(Debug)]
struct Name {
    inserted: bool,
    left: u32,
    coded: Option<Bits>,
    /// The name so far, unless it is too long to be special.
    word: Option<Word>,
}

#[derive(Debug)]
struct Reading {
    class: Class,
    inserted: bool,
    left: u32,
    coded: Option<Bits>,
    secret: Secret,
}

impl Block {
    /// Before the first block that is seen.
    pub(super) fn new() -> Self {
        Self {
            place: Place::Field,
            classes: VecDeque::new(),
            entries_max: 4096 / ENTRY_MIN,
        }
    }

    /// A header block begins.
    pub(super) fn begin(&mut self) {
        self.place = Place::Field;
    }

    /// A header block ends.
    pub(super) fn end(&mut self) {
        if !matches!(self.place, Place::Field) {
            self.lose();
        }
    }

    /// Octets of a header block were missed.
    pub(super) fn lose(&mut self) {
        self.place = Place::Broken;
        self.classes.clear();
        self.entries_max = CLASSES_MAX;
    }

    /// Takes an octet, gives the one to hand on.
    pub(super) fn pass(&mut self, octet: u8) -> u8 {
        match &mut self.place {
            Place::Field => {
                let (of, prefix) = match octet {
                    0x80.. => (Integer::Index, 7),
                    0x40.. => (Integer::NameIndex { inserted: true }, 6),
                    0x20.. => (Integer::TableSize, 5),
                    _ => (Integer::NameIndex { inserted: false }, 4),
                };
                self.integer(of, octet, prefix);
                octet
            }
            Place::Integer { of, value, octets } => {
                *value += u32::from(octet & 0x7f) << (7 * *octets);
                *octets += 1;
                if octet & 0x80 == 0 {
                    let (of, value) = (*of, *value);
                    self.number(of, value);
                } else if *octets == CONTINUATION_MAX {
                    self.lose();
                }
                octet
            }
            Place::Length(text) => {
                let text = *text;
                let coded = octet & 0x80 != 0;
                self.integer(Integer::Length { text, coded }, octet, 7);
                octet
            }
            Place::Name(name) => {
                let whole = name.pass(octet);
                let (left, inserted) = (name.left, name.inserted);
                let class = name.word.map_or(Class::Plain, |word| Class::of(&word));
                if !whole {
                    self.lose();
                } else if left == 0 {
                    self.place = Place::Length(Text::Value { class, inserted });
                }
                octet
            }
            Place::Value(reading) => {
                let passed = reading.pass(octet);
                let (class, inserted, left) = (reading.class, reading.inserted, reading.left);
                match passed {
                    None => self.lose(),
                    Some(_) if left == 0 => self.value_ends(class, inserted),
                    Some(_) => {}
                }
                passed.unwrap_or(octet)
            }
            Place::Broken => BLANK,
        }
    }

    /// The first octet of an integer, RFC 7541 section 5.1.
    fn integer(&mut self, of: Integer, octet: u8, prefix: u32) {
        let mask = u8::MAX >> (8 - prefix);
        let value = u32::from(octet & mask);
        if octet & mask == mask {
            self.place = Place::Integer { of, value, octets: 0 };
        } else {
            self.number(of, value);
        }
    }

    /// An integer is complete.
    fn number(&mut self, of: Integer, value: u32) {
        self.place = match of {
            Integer::Index => Place::Field,
            Integer::TableSize => {
                self.entries_max = CLASSES_MAX.min(value as usize / ENTRY_MIN);
                self.classes.truncate(self.entries_max);
                Place::Field
            }
            Integer::NameIndex { inserted } if value == 0 => Place::Length(Text::Name { inserted }),
            Integer::NameIndex { inserted } => Place::Length(Text::Value {
                class: self.class(value),
                inserted,
            }),
            Integer::Length {
                text: Text::Name { inserted },
                ..
            } if value == 0 => Place::Length(Text::Value {
                class: Class::Plain,
                inserted,
            }),
            Integer::Length {
                text: Text::Name { inserted },
                coded,
            } => Place::Name(Name {
                inserted,
                left: value,
                coded: coded.then(Bits::default),
                word: Some(Word::EMPTY),
            }),
            Integer::Length {
                text: Text::Value { class, inserted },
                ..
            } if value == 0 => {
                return self.value_ends(class, inserted);
            }
            Integer::Length {
                text: Text::Value { class, inserted },
                coded,
            } => Place::Value(Reading::new(class, inserted, value, coded)),
        };
    }

    fn value_ends(&mut self, class: Class, inserted: bool) {
        if inserted {
            self.classes.push_front(class);
            // An index counts from the newest entry back: what each one weighs is not needed.
            self.classes.truncate(self.entries_max);
        }
        self.place = Place::Field;
    }

    /// The class of the name with this index, RFC 7541 section 2.3.3.
    fn class(&self, index: u32) -> Class {
        match statics::get(index) {
            Some((name, _)) => Word::of(name).map_or(Class::Plain, |word| Class::of(&word)),
            None => (index as usize)
                .checked_sub(statics::LENGTH + 1)
                .and_then(|age| self.classes.get(age))
                .copied()
                .unwrap_or(Class::Secret),
        }
    }
}

impl Class {
    fn of(name: &Word) -> Self {
        match name.field() {
            Some(Field::Opaque) => Class::Secret,
            Some(Field::Authorization) => Class::Authorization,
            None if name.is(":path") => Class::Path,
            None => Class::Plain,
        }
    }
}

impl Name {
    /// Takes an octet; `false` if the name cannot be read.
    fn pass(&mut self, octet: u8) -> bool {
        self.left -= 1;
        let Self { coded, word, .. } = self;
        let mut add = |octet| *word = word.and_then(|word| word.with(octet));
        let Some(bits) = coded else {
            add(octet);
            return true;
        };
        bits.add(octet);
        while let Some(Symbol { symbol, .. }) = bits.take() {
            let Ok(octet) = u8::try_from(symbol) else {
                return false;
            };
            add(octet);
        }
        true
    }
}

impl Reading {
    fn new(class: Class, inserted: bool, left: u32, coded: bool) -> Self {
        let secret = match class {
            Class::Plain => Secret::Nothing,
            Class::Secret if coded => Secret::zeros(0, left),
            Class::Secret => Secret::Everything,
            Class::Authorization => Secret::Authorization(Value::Before(Field::Authorization)),
            Class::Path => Secret::Path(Target::Path),
        };
        Self {
            class,
            inserted,
            left,
            coded: coded.then(Bits::default),
            secret,
        }
    }

    /// Takes an octet, gives the one to hand on, or none if the string is broken.
    fn pass(&mut self, octet: u8) -> Option<u8> {
        self.left -= 1;
        match (&mut self.coded, &mut self.secret) {
            (_, Secret::Nothing) => Some(octet),
            (_, Secret::Zeros { ones }) => Some(if self.left == 0 { (1 << *ones) - 1 } else { 0 }),
            (None, secret) => Some(if secret.hides(octet) { BLANK } else { octet }),
            (Some(bits), secret) => bits.pass(octet, self.left, secret),
        }
    }
}
