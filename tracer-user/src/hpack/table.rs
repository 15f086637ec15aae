//! The dynamic table (RFC 7541 section 2.3.2), of which parts may be unknown.

use std::collections::VecDeque;
use std::ops::Range;

/// The largest table that is kept to. Of a larger one the older entries are forgotten: what refers to them is unknown, never
/// wrong.
pub(super) const TABLE_MAX: u32 = 64 * 1024;

/// Most octets of names and values that are held: more than the table has by rights, since a blanked value may be longer
/// than the one that the encoder counts.
const OCTETS_MAX: usize = 2 * TABLE_MAX as usize;

/// What an entry counts beside its name and value, RFC 7541 section 4.1.
const ENTRY_OVERHEAD: u32 = 32;

/// Name and value of an entry, as far as they are known.
pub(super) type Entry<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Names and values, newest last.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Place>,
    /// Names and values one behind the other; the first `forgotten` octets belong to no entry any more.
    octets: Vec<u8>,
    forgotten: usize,
    /// How many octets were there before the first one of `octets`.
    before: u64,
    /// Least size that the entries can have at the encoder.
    size: u32,
    max: u32,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    start: u64,
    /// Length of the name, which may be unknown.
    name: Option<u32>,
    /// Length of the value.
    value: u32,
    /// Least size at the encoder.
    size: u32,
}

/// The name of a new entry.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name<'a> {
    Literal(&'a [u8]),
    /// That of the entry which is so many places older than the newest.
    Of(usize),
}

impl Table {
    pub(super) fn new(max: u32) -> Self {
        Self {
            entries: VecDeque::new(),
            octets: Vec::new(),
            forgotten: 0,
            before: 0,
            size: 0,
            max: max.min(TABLE_MAX),
        }
    }

    /// Name and value of the entry which is `age` places older than the newest, as far as they are known.
    pub(super) fn get(&self, age: usize) -> Entry<'_> {
        let Some(entry) = self.entry(age) else {
            return (None, None);
        };
        let name = entry
            .name
            .and_then(|length| self.octets.get(self.range(entry.start, length)));
        let value_start = entry.start + u64::from(entry.name.unwrap_or(0));
        (name, self.octets.get(self.range(value_start, entry.value)))
    }

    /// Puts an entry before all others. `excess`: by how many octets the value may be longer than it is for the encoder.
    pub(super) fn insert(&mut self, name: Name<'_>, value: &[u8], excess: usize) {
        let held = match name {
            Name::Of(age) => self.entry(age).and_then(|entry| Some((entry.start, entry.name?))),
            Name::Literal(_) => None,
        };
        let name_length = match name {
            Name::Literal(name) => Some(as_u32(name.len())),
            Name::Of(_) => held.map(|(_, length)| length),
        };
        let length = name_length.unwrap_or(0).saturating_add(as_u32(value.len()));
        self.make_room(length as usize);
        let entry = Place {
            start: self.before + self.octets.len() as u64,
            name: name_length,
            value: as_u32(value.len()),
            size: length
                .saturating_sub(as_u32(excess))
                .saturating_add(ENTRY_OVERHEAD),
        };
        // The name may be that of an entry which has to go now, RFC 7541 section 4.4: so it is copied first.
        match (name, held) {
            (Name::Literal(name), _) => self.octets.extend_from_slice(name),
            (Name::Of(_), Some((start, length))) => {
                let range = self.range(start, length);
                if range.end <= self.octets.len() {
                    self.octets.extend_from_within(range);
                }
            }
            (Name::Of(_), None) => {}
        }
        self.octets.extend_from_slice(value);
        self.size = self.size.saturating_add(entry.size);
        self.entries.push_back(entry);
        self.evict();
    }

    /// The encoder changes the size of its table.
    pub(super) fn resize(&mut self, max: u32) {
        self.max = max.min(TABLE_MAX);
        self.evict();
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.max);
    }

    /// Bytes of memory.
    pub(super) fn held(&self) -> usize {
        self.octets.capacity() + self.entries.capacity() * size_of::<Place>()
    }

    fn entry(&self, age: usize) -> Option<Place> {
        let position = self.entries.len().checked_sub(age.checked_add(1)?)?;
        self.entries.get(position).copied()
    }

    fn range(&self, start: u64, length: u32) -> Range<usize> {
        let start = usize::try_from(start.saturating_sub(self.before)).unwrap_or(usize::MAX);
        start..start.saturating_add(length as usize)
    }

    fn evict(&mut self) {
        while self.size > self.max || self.octets.len() - self.forgotten > OCTETS_MAX {
            let Some(Place {
                start,
                name,
                value,
                size,
            }) = self.entries.pop_front()
            else {
                break;
            };
            self.size -= size;
            self.forgotten = self.range(start, name.unwrap_or(0).saturating_add(value)).end;
        }
    }

    /// Moves what is held to the front, if that saves growing.
    fn make_room(&mut self, length: usize) {
        let full = self.octets.len() + length > self.octets.capacity();
        if full && self.forgotten >= self.octets.capacity() / 4 {
            self.octets.drain(..self.forgotten);
            self.before += self.forgotten as u64;
            self.forgotten = 0;
        }
    }
}

fn as_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
