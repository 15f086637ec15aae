//! Where addresses stand in the data of a file, as a loader would leave them there.
//!
//! A file that can be loaded anywhere keeps its addresses in relocations: a list of places with their values (`RELA`), or a
//! bitmap of places that hold their values themselves (`RELR`), both from the generic ABI's chapter on dynamic linking. In a
//! file that is loaded at one place they are plain words.

use std::collections::HashMap;
use std::os::unix::fs::FileExt;

use object::elf::{DT_NULL, DT_RELA, DT_RELASZ, DT_RELR, DT_RELRSZ, R_AARCH64_RELATIVE, R_X86_64_RELATIVE};

use super::image::{Image, Machine, Stretch};

/// Bytes of an address.
const WORD: u64 = 8;
/// Bytes of an `Elf64_Rela`: place, type, value.
const RELA: usize = 24;
/// Places that one `RELR` bitmap stands for.
const BITMAP: u64 = 63;
/// A dynamic table has a few dozen entries.
const MAX_DYNAMIC: usize = 4096;
/// Large programs have some hundred thousand.
const MAX_PLACES: u64 = 1 << 24;
/// Bytes read at once; a multiple of both sizes of entry.
const BLOCK: u64 = 3 << 18;

/// An address in data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pointer {
    /// Where it stands.
    pub(super) place: u64,
    /// Where it leads.
    pub(super) value: u64,
}

/// Every pointer to a wanted address; none at all when there are more than `limit`.
pub(super) fn to(
    image: &Image<'_>,
    limit: usize,
    mut is_wanted: impl FnMut(u64) -> bool,
) -> Option<Vec<Pointer>> {
    let mut found = Vec::new();
    each(image, &mut |pointer| {
        if is_wanted(pointer.value) {
            found.push(pointer);
        }
        (found.len() <= limit).then_some(())
    })?;
    Some(found)
}

/// What stands at these places, as far as they hold pointers.
pub(super) fn at(image: &Image<'_>, places: &[u64]) -> HashMap<u64, u64> {
    let mut wanted = places.to_vec();
    wanted.sort_unstable();
    let mut found = HashMap::new();
    if image.is_fixed {
        for place in wanted {
            if let Ok(bytes) = image.bytes_at(place, WORD).try_into() {
                found.insert(place, u64::from_le_bytes(bytes));
            }
        }
        return found;
    }
    each(image, &mut |Pointer { place, value }| {
        if wanted.binary_search(&place).is_ok() {
            found.insert(place, value);
        }
        Some(())
    });
    found
}

/// Goes through all pointers until `look` gives `None`, which it then returns.
fn each(image: &Image<'_>, look: &mut impl FnMut(Pointer) -> Option<()>) -> Option<()> {
    if image.is_fixed {
        return image
            .data()
            .into_iter()
            .try_for_each(|stretch| words(image, stretch, look));
    }
    let table = Table::read(image);
    if let Some(list) = table.list {
        relocations(image, list, look)?;
    }
    if let Some(bitmaps) = table.bitmaps {
        packed(image, bitmaps, look)?;
    }
    Some(())
}

/// Every aligned word.
fn words(image: &Image<'_>, stretch: Stretch, look: &mut impl FnMut(Pointer) -> Option<()>) -> Option<()> {
    let skip = stretch
        .address
        .next_multiple_of(WORD)
        .checked_sub(stretch.address)?;
    let aligned = Stretch {
        address: stretch.address.checked_add(skip)?,
        offset: stretch.offset.checked_add(skip)?,
        size: stretch.size.saturating_sub(skip),
    };
    blocks(image, aligned, &mut |address, block| {
        let (words, _) = block.as_chunks::<8>();
        words.iter().zip(0_u64..).try_for_each(|(word, index)| {
            look(Pointer {
                place: address.wrapping_add(WORD * index),
                value: u64::from_le_bytes(*word),
            })
        })
    })
}

/// `Elf64_Rela` entries that say "the base of the file plus this value".
fn relocations(image: &Image<'_>, list: Stretch, look: &mut impl FnMut(Pointer) -> Option<()>) -> Option<()> {
    let relative = u64::from(match image.machine {
        Machine::X86_64 => R_X86_64_RELATIVE,
        Machine::Aarch64 => R_AARCH64_RELATIVE,
    });
    blocks(image, list, &mut |_, block| {
        let (entries, _) = block.as_chunks::<RELA>();
        entries.iter().try_for_each(|entry| {
            let (words, _) = entry.as_chunks::<8>();
            match words {
                [place, kind, value] if u64::from_le_bytes(*kind) == relative => look(Pointer {
                    place: u64::from_le_bytes(*place),
                    value: u64::from_le_bytes(*value),
                }),
                _ => Some(()),
            }
        })
    })
}

/// `Elf64_Relr` entries: an even one is a place, an odd one a bitmap of the 63 places that follow.
fn packed(image: &Image<'_>, bitmaps: Stretch, look: &mut impl FnMut(Pointer) -> Option<()>) -> Option<()> {
    let mut contents = Contents::default();
    let mut next = 0_u64;
    let mut seen = 0_u64;
    let mut one = |place: u64| {
        seen += 1;
        match contents.word(image, place) {
            Some(value) => look(Pointer { place, value }),
            None => Some(()),
        }
        .filter(|()| seen <= MAX_PLACES)
    };
    blocks(image, bitmaps, &mut |_, block| {
        let (entries, _) = block.as_chunks::<8>();
        entries.iter().try_for_each(|entry| {
            let entry = u64::from_le_bytes(*entry);
            if entry & 1 == 0 {
                next = entry.wrapping_add(WORD);
                return one(entry);
            }
            let mut bits = entry >> 1;
            while bits != 0 {
                one(next.wrapping_add(WORD * u64::from(bits.trailing_zeros())))?;
                bits &= bits - 1;
            }
            next = next.wrapping_add(WORD * BITMAP);
            Some(())
        })
    })
}

/// Reads a stretch in blocks, none of which cuts an entry; ends early where the file does.
fn blocks(
    image: &Image<'_>,
    stretch: Stretch,
    look: &mut impl FnMut(u64, &[u8]) -> Option<()>,
) -> Option<()> {
    let mut block = vec![0; usize::try_from(stretch.size.min(BLOCK)).ok()?];
    let mut done = 0;
    while done < stretch.size {
        let wanted = usize::try_from((stretch.size - done).min(BLOCK)).ok()?;
        let Some(block) = block.get_mut(..wanted) else {
            break;
        };
        let offset = stretch.offset.saturating_add(done);
        if image.file.read_exact_at(block, offset).is_err() {
            break;
        }
        look(stretch.address.wrapping_add(done), block)?;
        done += wanted as u64;
    }
    Some(())
}

/// Data read ahead, for words that are asked for in ascending order, as linkers list them.
#[derive(Default)]
pub(super) struct Contents {
    address: u64,
    bytes: Vec<u8>,
    reads: u32,
}

impl Contents {
    const AHEAD: u64 = 1 << 16;
    /// Places in order take one for each 64 KiB of data; who asks for more jumps about.
    const MAX_READS: u32 = 1 << 15;

    /// The word that the file has there, before anything is relocated.
    pub(super) fn word(&mut self, image: &Image<'_>, place: u64) -> Option<u64> {
        if let Some(word) = self.held(place) {
            return Some(word);
        }
        self.reads += 1;
        let (offset, left) = image.offset(place).filter(|_| self.reads <= Self::MAX_READS)?;
        self.address = place;
        self.bytes.resize(usize::try_from(left.min(Self::AHEAD)).ok()?, 0);
        let read = image.file.read_at(&mut self.bytes, offset).ok()?;
        self.bytes.truncate(read);
        self.held(place)
    }

    fn held(&self, place: u64) -> Option<u64> {
        let into = usize::try_from(place.checked_sub(self.address)?).ok()?;
        let (word, _) = self.bytes.get(into..)?.split_first_chunk::<8>()?;
        Some(u64::from_le_bytes(*word))
    }
}

/// What the dynamic table says of relocations.
#[derive(Debug, Default)]
struct Table {
    list: Option<Stretch>,
    bitmaps: Option<Stretch>,
}

impl Table {
    fn read(image: &Image<'_>) -> Self {
        let Some(place) = image.dynamic_table() else {
            return Self::default();
        };
        let entries = image.bytes_at(place.address, place.size.min(16 * MAX_DYNAMIC as u64));
        let (words, _) = entries.as_chunks::<8>();
        let mut values: HashMap<u64, u64> = HashMap::new();
        for pair in words.chunks_exact(2) {
            let [tag, value] = pair else { break };
            let tag = u64::from_le_bytes(*tag);
            if tag == u64::try_from(DT_NULL).unwrap_or(0) {
                break;
            }
            values.insert(tag, u64::from_le_bytes(*value));
        }
        let stretch = |begin: i64, size: i64| {
            let value = |tag: i64| values.get(&u64::try_from(tag).ok()?).copied();
            let address = value(begin)?;
            let (offset, left) = image.offset(address)?;
            Some(Stretch {
                address,
                offset,
                size: value(size)?.min(left),
            })
        };
        Self {
            list: stretch(DT_RELA, DT_RELASZ),
            bitmaps: stretch(DT_RELR, DT_RELRSZ),
        }
    }
}
