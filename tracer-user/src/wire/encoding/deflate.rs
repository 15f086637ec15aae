//! `gzip` (RFC 1952) and `deflate` (RFC 1950, and the bare RFC 1951 that some servers send under that name).

use memchr::memchr;

use super::inflate::Inflate;
use super::{Output, Stop};

/// A stream of gzip members.
#[derive(Debug)]
pub(super) struct Gzip {
    part: Part,
    flags: u8,
    inflate: Inflate,
}

/// Parts of a member, in order (RFC 1952 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Magic number, method, flags, time, extra flags, system: so many bytes were read.
    Fixed(u8),
    ExtraLength(u8, u16),
    Extra(u16),
    Name,
    Comment,
    HeaderChecksum(u8),
    Body,
    /// Checksum and size: so many bytes are left.
    Trailer(u8),
    /// Between members.
    Next,
    /// Padding after the last member.
    Ended,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self {
            part: Part::Fixed(0),
            flags: 0,
            inflate: Inflate::new(false),
        }
    }

    pub(super) fn decode(&mut self, mut input: &[u8], output: Output<'_>) -> Result<(), Stop> {
        while !input.is_empty() {
            match self.part {
                Part::Body => {
                    if self.inflate.decode(&mut input, output)? {
                        self.part = Part::Trailer(TRAILER);
                    }
                }
                Part::Name | Part::Comment => match memchr(0, input) {
                    None => return Ok(()),
                    Some(at) => {
                        input = input.get(at + 1..).unwrap_or_default();
                        self.part = self.after(self.part);
                    }
                },
                Part::Ended => return Ok(()),
                part => {
                    let Some((byte, rest)) = input.split_first() else {
                        return Ok(());
                    };
                    input = rest;
                    self.part = self.byte(part, *byte)?;
                }
            }
        }
        Ok(())
    }

    fn byte(&mut self, part: Part, byte: u8) -> Result<Part, Stop> {
        Ok(match part {
            Part::Fixed(at) => {
                let fits = match at {
                    0 => byte == 0x1f,
                    1 => byte == 0x8b,
                    2 => byte == METHOD_DEFLATE,
                    _ => true,
                };
                if !fits {
                    return Err(Stop::Broken);
                }
                if at == 3 {
                    self.flags = byte;
                }
                if at + 1 < FIXED {
                    Part::Fixed(at + 1)
                } else {
                    self.after(part)
                }
            }
            Part::ExtraLength(0, _) => Part::ExtraLength(1, u16::from(byte)),
            Part::ExtraLength(_, low) => match low | u16::from(byte) << 8 {
                0 => self.after(Part::Extra(0)),
                length => Part::Extra(length),
            },
            Part::Extra(left) if left > 1 => Part::Extra(left - 1),
            Part::HeaderChecksum(0) => Part::HeaderChecksum(1),
            Part::Trailer(left) if left > 1 => Part::Trailer(left - 1),
            Part::Trailer(_) => Part::Next,
            Part::Next if byte == 0x1f => Part::Fixed(1),
            Part::Next | Part::Ended => Part::Ended,
            Part::Extra(_) | Part::HeaderChecksum(_) | Part::Name | Part::Comment | Part::Body => {
                self.after(part)
            }
        })
    }

    /// The part that follows, as the flags tell.
    fn after(&mut self, part: Part) -> Part {
        let order = [
            (FLAG_EXTRA, Part::ExtraLength(0, 0)),
            (FLAG_NAME, Part::Name),
            (FLAG_COMMENT, Part::Comment),
            (FLAG_HEADER_CHECKSUM, Part::HeaderChecksum(0)),
        ];
        let passed = match part {
            Part::Fixed(_) => 0,
            Part::ExtraLength(..) | Part::Extra(_) => 1,
            Part::Name => 2,
            Part::Comment => 3,
            Part::HeaderChecksum(_) | Part::Body | Part::Trailer(_) | Part::Next | Part::Ended => 4,
        };
        let next = order
            .into_iter()
            .skip(passed)
            .find(|(flag, _)| self.flags & flag != 0);
        if let Some((_, part)) = next {
            return part;
        }
        self.inflate = Inflate::new(false);
        Part::Body
    }
}

/// A zlib stream, or bare deflate.
#[derive(Debug)]
pub(super) enum Deflate {
    /// The first two bytes tell which; so much of them was seen.
    Unknown(Option<u8>),
    Known(Inflate),
    Ended,
}

impl Deflate {
    pub(super) fn new() -> Self {
        Deflate::Unknown(None)
    }

    pub(super) fn decode(&mut self, mut input: &[u8], output: Output<'_>) -> Result<(), Stop> {
        if let Deflate::Unknown(first) = self {
            let Some((byte, rest)) = input.split_first() else {
                return Ok(());
            };
            let (first, second) = match *first {
                Some(first) => (first, Some(*byte)),
                None => (*byte, rest.first().copied()),
            };
            let seen_before = matches!(self, Deflate::Unknown(Some(_)));
            let Some(second) = second else {
                *self = Deflate::Unknown(Some(first));
                return Ok(());
            };
            let mut inflate = Inflate::new(is_zlib(first, second));
            if seen_before {
                inflate.decode(&mut &[first][..], output)?;
            }
            *self = Deflate::Known(inflate);
        }
        if let Deflate::Known(inflate) = self
            && inflate.decode(&mut input, output)?
        {
            *self = Deflate::Ended;
        }
        Ok(())
    }
}

/// Whether two bytes are a zlib header: method 8, a window it allows, and the check bits (RFC 1950 §2.2).
fn is_zlib(method: u8, flags: u8) -> bool {
    method & 0x0f == METHOD_DEFLATE
        && method >> 4 <= 7
        && (u16::from(method) << 8 | u16::from(flags)).is_multiple_of(31)
}

/// Bytes before the optional parts of a member's header.
const FIXED: u8 = 10;

/// Bytes after a member's body.
const TRAILER: u8 = 8;

const METHOD_DEFLATE: u8 = 8;
const FLAG_HEADER_CHECKSUM: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
