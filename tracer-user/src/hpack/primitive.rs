//! Integers and strings of HPACK (RFC 7541 section 5), and what can be wrong with a header block.

use super::huffman;

/// Why a header block cannot be read. What the dynamic table holds is unknown from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The block ends inside a field.
    #[error("the header block ends inside a field")]
    Truncated,
    /// An integer has more octets or a greater value than any length or index needs.
    #[error("an integer in the header block is too large")]
    Integer,
    /// Index 0, or an index to which nothing was ever inserted.
    #[error("the header block refers to a table entry that does not exist")]
    Index,
    /// A string holds the symbol for its own end, or more than seven bits of padding, or padding that is not all ones.
    #[error("a Huffman-coded string in the header block is broken")]
    Huffman,
    /// A dynamic table size update behind a field, or beyond what the peer announced.
    #[error("the header block changes the table size where or how it must not")]
    SizeUpdate,
    /// Longer than [`BLOCK_MAX`](super::BLOCK_MAX).
    #[error("the header block is longer than {} bytes", super::BLOCK_MAX)]
    TooLong,
}

/// Longest integer taken, in octets behind the prefix.
pub(crate) const CONTINUATION_MAX: u32 = 4;

/// What is left of a header block.
#[derive(Debug)]
pub(super) struct Octets<'a>(pub(super) &'a [u8]);

/// A string literal as it stands in the block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Literal<'a> {
    pub(super) octets: &'a [u8],
    pub(super) huffman: bool,
}

impl<'a> Octets<'a> {
    pub(super) fn first(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// An integer whose prefix is the low `bits` of the next octet, RFC 7541 section 5.1.
    pub(super) fn integer(&mut self, bits: u32) -> Result<u32, Malformed> {
        let mask = u8::MAX >> (8 - bits);
        let (&first, rest) = self.0.split_first().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        let mut value = u32::from(first & mask);
        if first & mask < mask {
            return Ok(value);
        }
        for position in 0..CONTINUATION_MAX {
            let (&octet, rest) = self.0.split_first().ok_or(Malformed::Truncated)?;
            self.0 = rest;
            // At most 2^28 + 2^8: no overflow.
            value += u32::from(octet & 0x7f) << (7 * position);
            if octet & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Integer)
    }

    /// A string literal, RFC 7541 section 5.2.
    pub(super) fn literal(&mut self) -> Result<Literal<'a>, Malformed> {
        let huffman = self.first().is_some_and(|octet| octet & 0x80 != 0);
        let length = self.integer(7)? as usize;
        let (octets, rest) = self.0.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(Literal { octets, huffman })
    }
}

impl<'a> Literal<'a> {
    /// The string as it stands, unless it is coded.
    pub(super) fn plain(self) -> Option<&'a [u8]> {
        (!self.huffman).then_some(self.octets)
    }

    /// Appends the string if it is coded.
    pub(super) fn spell(self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        if !self.huffman {
            return Ok(());
        }
        huffman::decode(self.octets, out).map_err(|huffman::Broken| Malformed::Huffman)
    }
}
