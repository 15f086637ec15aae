//! From header blocks to fields.

use super::primitive::{Literal, Malformed, Octets};
use super::statics;
use super::table::{Entry, Name, TABLE_MAX, Table};

/// Longest header block taken, in bytes. Who puts blocks together from frames need not hold more.
pub const BLOCK_MAX: usize = 64 * 1024;

/// Most octets of names and values told of one block. A block of a few bytes may refer to the same long entry again and
/// again; what lies beyond is told as unknown.
pub const LIST_MAX: usize = 1024 * 1024;

/// Most memory one decoder holds between two blocks, in bytes.
pub const HELD_MAX: usize = 512 * 1024;

/// Most room kept for Huffman-coded strings between two blocks, in bytes.
const SCRATCH_KEPT: usize = 8 * 1024;

/// Size of the table before the peer announces another one, RFC 9113 section 6.5.2.
const DEFAULT_TABLE_SIZE: u32 = 4096;

/// One header field, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, in lower case as HTTP/2 has it. `None`: an entry from before we listened, or from a block that was lost.
    pub name: Option<&'a [u8]>,
    /// The value. `None`: as for the name.
    pub value: Option<&'a [u8]>,
    /// The sender wants it never to be put into a table (RFC 7541 section 6.2.3): often a secret.
    pub never_indexed: bool,
}

/// Reads the header blocks of one direction of a connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// Entries inserted so far; what an index beyond them refers to does not exist. `None`: nobody knows.
    inserted: Option<u64>,
    /// Largest table size that the peer may have announced, where that is known.
    limit: Option<u32>,
    scratch: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// From the first byte of a connection on: the table is empty.
    pub fn new() -> Self {
        Self {
            table: Table::new(DEFAULT_TABLE_SIZE),
            inserted: Some(0),
            limit: None,
            scratch: Vec::new(),
        }
    }

    /// In the middle of a connection: what the table holds, and how much, is unknown.
    pub fn joined_late() -> Self {
        let mut decoder = Self::new();
        decoder.lose();
        decoder
    }

    /// The peer, who receives these header blocks, announced `SETTINGS_HEADER_TABLE_SIZE`. The table changes only when the
    /// sender says so in a header block; this tells how far it may. Without it the sender is believed, since the other
    /// direction of the connection may not have been heard.
    pub fn limit(&mut self, octets: u32) {
        self.limit = Some(self.limit.unwrap_or(DEFAULT_TABLE_SIZE).max(octets));
    }

    /// Reads one complete header block and tells its fields in their order. When it turns out to be malformed, the fields
    /// before that place have been told, and the table is unknown from then on.
    pub fn decode(&mut self, block: &[u8], each: &mut impl FnMut(Field<'_>)) -> Result<(), Malformed> {
        let outcome = self.fields(block, each);
        if outcome.is_err() {
            self.lose();
        }
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = Vec::new();
        }
        outcome
    }

    /// A header block was missed or cut: what the table held is unknown. Entries inserted from here on are known again,
    /// since an index counts from the newest one back.
    pub fn lose(&mut self) {
        self.table.clear();
        self.table.resize(TABLE_MAX);
        self.inserted = None;
    }

    /// Whether anything may be unknown: it joined late, or lost a block. Stays so.
    pub fn is_desynchronised(&self) -> bool {
        self.inserted.is_none()
    }

    /// Bytes of memory, at most [`HELD_MAX`].
    pub fn held(&self) -> usize {
        self.table.held() + self.scratch.capacity()
    }

    fn fields(&mut self, block: &[u8], each: &mut impl FnMut(Field<'_>)) -> Result<(), Malformed> {
        if block.len() > BLOCK_MAX {
            return Err(Malformed::TooLong);
        }
        let mut octets = Octets(block);
        let mut told = 0;
        let mut tell = |field: Field<'_>| {
            told += field.name.map_or(0, <[u8]>::len) + field.value.map_or(0, <[u8]>::len);
            each(if told <= LIST_MAX {
                field
            } else {
                Field {
                    name: None,
                    value: None,
                    ..field
                }
            });
        };
        // The five representations of RFC 7541 section 6. Size updates may stand at the beginning only.
        while octets.first().is_some_and(|first| first >> 5 == 0b001) {
            let size = octets.integer(5)?;
            if self.limit.is_some_and(|limit| size > limit) && !self.is_desynchronised() {
                return Err(Malformed::SizeUpdate);
            }
            self.table.resize(size);
        }
        while let Some(first) = octets.first() {
            match first {
                0x80.. => {
                    let index = octets.integer(7)?;
                    let (name, value) = self.entry(index)?;
                    tell(Field {
                        name,
                        value,
                        never_indexed: false,
                    });
                }
                0x40.. => self.literal(&mut octets, 6, Indexing::Incremental, &mut tell)?,
                0x20.. => return Err(Malformed::SizeUpdate),
                0x10.. => self.literal(&mut octets, 4, Indexing::Never, &mut tell)?,
                _ => self.literal(&mut octets, 4, Indexing::Without, &mut tell)?,
            }
        }
        Ok(())
    }

    fn literal(
        &mut self,
        octets: &mut Octets<'_>,
        prefix: u32,
        indexing: Indexing,
        tell: &mut impl FnMut(Field<'_>),
    ) -> Result<(), Malformed> {
        let index = octets.integer(prefix)?;
        self.scratch.clear();
        let literal_name = if index == 0 { Some(octets.literal()?) } else { None };
        let literal_value = octets.literal()?;
        // A plain string is taken from where it stands, a coded one is spelled out.
        if let Some(name) = literal_name {
            name.spell(&mut self.scratch)?;
        }
        let split = self.scratch.len();
        literal_value.spell(&mut self.scratch)?;
        let (spelled_name, spelled_value) = self.scratch.split_at_checked(split).unwrap_or_default();
        let value = literal_value.plain().unwrap_or(spelled_value);
        let name = match literal_name {
            Some(name) => Some(name.plain().unwrap_or(spelled_name)),
            None => self.entry(index)?.0,
        };
        tell(Field {
            name,
            value: Some(value),
            never_indexed: matches!(indexing, Indexing::Never),
        });
        if matches!(indexing, Indexing::Incremental) {
            let name = match (literal_name, statics::get(index)) {
                (Some(name), _) => Name::Literal(name.plain().unwrap_or(spelled_name)),
                (None, Some((name, _))) => Name::Literal(name),
                (None, None) => Name::Of((index as usize).saturating_sub(statics::LENGTH + 1)),
            };
            self.table.insert(name, value, excess(literal_value, value));
            self.inserted = self.inserted.map(|count| count + 1);
        }
        Ok(())
    }

    /// Name and value of an index, RFC 7541 section 2.3.3.
    fn entry(&self, index: u32) -> Result<Entry<'_>, Malformed> {
        if let Some((name, value)) = statics::get(index) {
            return Ok((Some(name), Some(value)));
        }
        let age = (index as usize)
            .checked_sub(statics::LENGTH + 1)
            .ok_or(Malformed::Index)?;
        if self.inserted.is_some_and(|count| age as u64 >= count) {
            return Err(Malformed::Index);
        }
        Ok(self.table.get(age))
    }
}

/// What becomes of a literal field, RFC 7541 section 6.2.
#[derive(Debug, Clone, Copy)]
enum Indexing {
    Incremental,
    Without,
    Never,
}

/// By how many octets a value may be longer than it was for the encoder. What was blanked in a Huffman-coded string reads as
/// zeros up to its end, as many as fit; a longest code of 30 bits took the room of six.
fn excess(literal: Literal<'_>, value: &[u8]) -> usize {
    if !literal.huffman {
        return 0;
    }
    let zeros = value.iter().rev().take_while(|octet| **octet == b'0').count();
    zeros - zeros / 6
}
