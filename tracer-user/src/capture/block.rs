//! Cuts a file into pcapng blocks, and finds the next one where it is damaged.
//!
//! A block is its type, its length, a body and its length again. The buffer grows only as far as bytes really come, so a
//! false length costs no memory, and never beyond twice [`MAX_BLOCK`].

use std::io::{self, Read};
use std::ops::Range;

use super::damage::{Damage, DamageReason};

/// Cuts the bytes of `R` into blocks.
#[derive(Debug)]
pub(super) struct Blocks<R> {
    source: R,
    buffer: Vec<u8>,
    /// Part of the buffer that is not consumed.
    filled: Range<usize>,
    /// Place in the file of the first byte that is not consumed.
    position: u64,
    /// The source has no more.
    exhausted: bool,
    /// Byte order of the section.
    big_endian: bool,
}

/// What comes next in the file.
#[derive(Debug)]
pub(super) enum Next {
    /// A whole block; its bytes are at [`Blocks::bytes`] until the next call.
    Block(Place),
    /// Something that is no block was skipped.
    Skipped(Damage),
    /// The file is at its end.
    End,
}

/// Where a block is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    buffer: Range<usize>,
    /// Place in the file.
    pub(super) offset: u64,
}

impl Place {
    /// Length of the block.
    pub(super) fn length(&self) -> u64 {
        self.buffer.len() as u64
    }
}

impl<R: Read> Blocks<R> {
    /// Nothing is read yet.
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            filled: 0..0,
            position: 0,
            exhausted: false,
            big_endian: false,
        }
    }

    /// Bytes that were consumed.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether numbers of this section are big-endian.
    pub(super) fn big_endian(&self) -> bool {
        self.big_endian
    }

    /// Bytes of a block that the latest call of [`Blocks::next`] gave.
    pub(super) fn bytes(&self, place: &Place) -> &[u8] {
        self.buffer.get(place.buffer.clone()).unwrap_or_default()
    }

    /// The first bytes of what is not consumed, up to `count`.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        self.fill(count)?;
        let unread = self.unread();
        Ok(unread.get(..count).unwrap_or(unread))
    }

    /// Consumes one more block, or what stands in the way of the next.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        let fault = match self.check(&AnyType)? {
            Check::Block(length) => return Ok(Next::Block(self.consume(length))),
            Check::NoBlock => DamageReason::Unreadable,
            Check::BeyondEnd => DamageReason::Truncated,
            Check::End => return Ok(Next::End),
        };
        let offset = self.position;
        loop {
            self.skip();
            match self.check(&LandmarkType)? {
                Check::NoBlock | Check::BeyondEnd => {}
                Check::Block(_) => {
                    let bytes = self.position - offset;
                    return Ok(Next::Skipped(Damage {
                        offset,
                        bytes,
                        reason: DamageReason::Unreadable,
                    }));
                }
                Check::End => {
                    let bytes = self.position - offset;
                    return Ok(Next::Skipped(Damage {
                        offset,
                        bytes,
                        reason: fault,
                    }));
                }
            }
        }
    }

    /// Whether a block begins at the first byte that is not consumed.
    fn check(&mut self, types: &impl Types) -> io::Result<Check> {
        self.fill(HEAD)?;
        let Some(head) = self.unread().first_chunk::<HEAD>() else {
            return Ok(if self.filled.is_empty() {
                Check::End
            } else {
                Check::BeyondEnd
            });
        };
        let [t0, t1, t2, t3, l0, l1, l2, l3, b0, b1, b2, b3] = *head;
        let big_endian = match ([t0, t1, t2, t3], [b0, b1, b2, b3]) {
            (SECTION_HEADER, BYTE_ORDER_BIG) => true,
            (SECTION_HEADER, BYTE_ORDER_LITTLE) => false,
            (SECTION_HEADER, _) => return Ok(Check::NoBlock),
            _ => self.big_endian,
        };
        let number = if big_endian {
            u32::from_be_bytes
        } else {
            u32::from_le_bytes
        };
        let length = number([l0, l1, l2, l3]);
        if !types.include(number([t0, t1, t2, t3])) || !length.is_multiple_of(4) {
            return Ok(Check::NoBlock);
        }
        if !(SHORTEST_BLOCK..=MAX_BLOCK).contains(&length) {
            return Ok(Check::NoBlock);
        }
        self.fill(length as usize)?;
        let Some(block) = self.unread().get(..length as usize) else {
            return Ok(Check::BeyondEnd);
        };
        if block.last_chunk::<4>().is_none_or(|last| number(*last) != length) {
            return Ok(Check::NoBlock);
        }
        self.big_endian = big_endian;
        Ok(Check::Block(length as usize))
    }

    /// Consumes a block.
    fn consume(&mut self, length: usize) -> Place {
        let start = self.filled.start;
        let place = Place {
            buffer: start..start + length,
            offset: self.position,
        };
        self.filled.start += length;
        self.position += length as u64;
        place
    }

    /// Consumes what cannot begin a block: one byte at least, and all up to the next that might.
    fn skip(&mut self) {
        let unread = self.unread();
        let rest = unread.get(1..).unwrap_or_default();
        // First byte of a section header (whatever the byte order) or of an enhanced packet.
        let packet = if self.big_endian { 0x00 } else { 0x06 };
        let skipped = 1 + memchr::memchr2(0x0a, packet, rest).unwrap_or(rest.len());
        let skipped = skipped.min(unread.len());
        self.filled.start += skipped;
        self.position += skipped as u64;
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.filled.clone()).unwrap_or_default()
    }

    /// Reads until `count` bytes are there to be consumed or the source has no more.
    fn fill(&mut self, count: usize) -> io::Result<()> {
        while self.filled.len() < count && !self.exhausted {
            self.make_room(count);
            let Some(space) = self.buffer.get_mut(self.filled.end..) else {
                break;
            };
            match self.source.read(space) {
                Ok(0) => self.exhausted = true,
                Ok(read) => self.filled.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes room for at least one more byte: at the front when most of the buffer is consumed, else by growing.
    fn make_room(&mut self, count: usize) {
        if self.filled.end < self.buffer.len() {
            return;
        }
        // Moving no more than was consumed keeps the moves in proportion to the bytes read.
        if self.filled.start > 0 && self.filled.start >= self.filled.len() {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        } else {
            let larger = (self.buffer.len() * 2)
                .max(FIRST_BUFFER)
                .min(count.max(FIRST_BUFFER) * 2);
            self.buffer
                .resize(larger.max(self.buffer.len() + FIRST_BUFFER), 0);
        }
    }
}

/// What begins at some byte.
enum Check {
    /// A block of this length.
    Block(usize),
    /// Something else.
    NoBlock,
    /// What might be a block that goes beyond the end of the file.
    BeyondEnd,
    /// Nothing.
    End,
}

/// Which block types count.
trait Types {
    fn include(&self, block_type: u32) -> bool;
}

/// Where a block must begin, any type is one.
struct AnyType;

/// Where a block might begin, only those that events depend on: section headers and enhanced packets.
struct LandmarkType;

impl Types for AnyType {
    fn include(&self, _: u32) -> bool {
        true
    }
}

impl Types for LandmarkType {
    fn include(&self, block_type: u32) -> bool {
        matches!(block_type, 0x0a0d_0d0a | 6)
    }
}

/// The same in both byte orders.
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const BYTE_ORDER_LITTLE: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];
const BYTE_ORDER_BIG: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];

/// Type, length and, in a section header, byte order.
const HEAD: usize = 12;
const SHORTEST_BLOCK: u32 = 12;
const FIRST_BUFFER: usize = 256 << 10;

/// A longer block is damage. Room for the largest command line that Linux allows, escaped.
pub(super) const MAX_BLOCK: u32 = 64 << 20;
