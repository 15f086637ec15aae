//! `pclntab`, the table in which Go's runtime looks up functions: their names and where each begins.
//!
//! The form is that of Go 1.18 and 1.20 (`runtime/symtab.go`, `cmd/link/internal/ld/pcln.go`): a header, names, and a list of
//! starts relative to that of all code. Where the code starts stands in the module's data (`moduledata.text`), which begins with
//! the address of the table; the header has it as well, up to Go 1.25.

use memchr::memmem;

use super::super::image::{Image, Stretch};
use super::super::pointers;

/// Sections that hold the table, by the way a program was linked.
const SECTIONS: [&str; 3] = [".gopclntab", ".data.rel.ro.gopclntab", ".lrodata.gopclntab"];
/// What every Go program has a section of, with what Go and modules it was built from.
pub(super) const BUILD_INFORMATION: &str = ".go.buildinfo";

/// First word of the table: since Go 1.18, and since 1.20.
const MAGICS: [u32; 2] = [0xffff_fff0, 0xffff_fff1];
/// The same before that, with another form: 1.2 and 1.16.
const OLD_MAGICS: [u32; 2] = [0xffff_fffb, 0xffff_fffa];
/// What follows the first byte of the word on x86-64: two zeros, instructions of one byte, addresses of eight.
const REST_OF_MAGIC: [u8; 7] = [0xff, 0xff, 0xff, 0, 0, 1, 8];
const HEADER: u64 = 72;
/// The largest programs have some 500,000.
const MAX_FUNCTIONS: u64 = 1 << 22;
/// Places where a table seems to be.
const MAX_CANDIDATES: usize = 64;

// Places in `moduledata`.
const MINIMUM: u64 = 160;
const MAXIMUM: u64 = 168;
const TEXT: u64 = 176;

/// A function of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) start: u64,
    /// Where the next one begins.
    pub(super) end: u64,
}

/// The table, found and in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    address: u64,
    /// Start of all code.
    text: u64,
    functions: u64,
    /// Offsets in the table.
    names: u64,
    names_end: u64,
    starts: u64,
}

/// Whether it makes sense to look for the table.
pub(super) fn is_go(image: &Image<'_>) -> bool {
    !image.has_sections()
        || SECTIONS
            .iter()
            .chain(&[BUILD_INFORMATION, ".note.go.buildid"])
            .any(|name| image.has_section(name))
}

impl Table {
    /// Finds it, by its section or by its first word; `None` where there is none.
    pub(super) fn find(image: &Image<'_>) -> Result<Option<Self>, String> {
        let by_section = SECTIONS
            .iter()
            .find_map(|name| image.place_of_section(name))
            .map(|place| place.address);
        let candidates = match by_section {
            Some(address) => vec![address],
            None => image
                .data()
                .into_iter()
                .flat_map(|stretch| by_magic(image, stretch))
                .collect(),
        };
        let mut reason = None;
        for address in candidates {
            match Self::at(image, address) {
                Ok(table) => return Ok(Some(table)),
                Err(why) => reason = Some(why),
            }
        }
        match (by_section, reason) {
            (Some(_), Some(reason)) => Err(reason),
            // By its first word alone it may be something else.
            _ => Ok(None),
        }
    }

    fn at(image: &Image<'_>, address: u64) -> Result<Self, String> {
        let header = image.bytes_at(address, HEADER);
        let (words, _) = header.as_chunks::<8>();
        let [first, functions, _, _, names, names_end, _, _, starts] = words else {
            return Err("its function table is cut off".to_owned());
        };
        let word = u64::from_le_bytes;
        let magic = u32::try_from(word(*first) & 0xffff_ffff).unwrap_or(0);
        if OLD_MAGICS.contains(&magic) {
            return Err("its function table has the form of before Go 1.18, which is not known".to_owned());
        }
        if !MAGICS.contains(&magic) || !first.ends_with(&[0, 0, 1, 8]) {
            return Err("its function table has a form that is not known yet".to_owned());
        }
        let mut table = Self {
            address,
            text: 0,
            functions: word(*functions),
            names: word(*names),
            names_end: word(*names_end),
            starts: word(*starts),
        };
        if table.functions == 0 || table.functions > MAX_FUNCTIONS || table.names >= table.names_end {
            return Err("its function table is damaged".to_owned());
        }
        table.text = table.start_of_code(image)?;
        Ok(table)
    }

    /// As the module's data tell it: the runtime itself goes by them.
    fn start_of_code(&self, image: &Image<'_>) -> Result<u64, String> {
        let list = self.list(image, 1);
        let (Some(first), true) = (start_in(list), list.len() >= ENTRY) else {
            return Err("its function table is cut off".to_owned());
        };
        let modules = pointers::to(image, MAX_CANDIDATES, |value| value == self.address).unwrap_or_default();
        for module in modules {
            let places = [MINIMUM, MAXIMUM, TEXT].map(|into| module.place.wrapping_add(into));
            let found = pointers::at(image, &places);
            let [Some(minimum), Some(maximum), Some(text)] = places.map(|place| found.get(&place).copied())
            else {
                continue;
            };
            let fits = text.checked_add(first) == Some(minimum)
                && minimum < maximum
                && image.code_offset(minimum).is_some()
                && image.code_offset(maximum.wrapping_sub(1)).is_some();
            if fits {
                return Ok(text);
            }
        }
        Err("it is not clear where its code begins".to_owned())
    }

    /// The list of starts, one more than there are functions.
    fn list<'data>(&self, image: &Image<'data>, functions: u64) -> &'data [u8] {
        let place = self.address.wrapping_add(self.starts);
        image.bytes_at(place, (functions + 1) * ENTRY as u64)
    }

    /// Looks up functions by name, in the order of `names`. A name that two functions have is an error.
    pub(super) fn functions<const N: usize>(
        &self,
        image: &Image<'_>,
        names: [&str; N],
    ) -> Result<[Option<Function>; N], String> {
        let mut found = [None; N];
        let texts = image.bytes_at(
            self.address.wrapping_add(self.names),
            self.names_end.saturating_sub(self.names),
        );
        let places = names.map(|name| place_of(texts, name));
        if places.iter().all(Option::is_none) {
            return Ok(found);
        }
        let list = self.list(image, self.functions);
        let (entries, rest) = list.as_chunks::<ENTRY>();
        if u64::try_from(entries.len()).ok() != Some(self.functions + 1) || !rest.is_empty() {
            return Err("its list of functions is cut off".to_owned());
        }
        let described = entries.iter().map(|entry| half(*entry, 4)).max().unwrap_or(0);
        let descriptions = image.bytes_at(
            self.address.wrapping_add(self.starts),
            u64::from(described).saturating_add(DESCRIPTION as u64),
        );
        for pair in entries.windows(2) {
            let [entry, next] = pair else { break };
            let Some(description) = usize::try_from(half(*entry, 4))
                .ok()
                .and_then(|place| descriptions.get(place..)?.first_chunk::<DESCRIPTION>())
            else {
                continue;
            };
            let name = half(*description, 4);
            for ((slot, place), symbol) in found.iter_mut().zip(places).zip(names) {
                if place != Some(name) {
                    continue;
                }
                let function = Function {
                    start: self.text.wrapping_add(u64::from(half(*entry, 0))),
                    end: self.text.wrapping_add(u64::from(half(*next, 0))),
                };
                // A description begins with the start of its function once more.
                if half(*description, 0) != half(*entry, 0) {
                    return Err(format!("its function table contradicts itself about {symbol}"));
                }
                if slot.replace(function).is_some() {
                    return Err(format!("it has two functions {symbol}"));
                }
            }
        }
        Ok(found)
    }
}

/// Start and description of a function, both as offsets.
const ENTRY: usize = 8;
/// The part of `_func` that is read: its start and its name.
const DESCRIPTION: usize = 8;

fn start_in(list: &[u8]) -> Option<u64> {
    list.first_chunk::<ENTRY>()
        .map(|entry| u64::from(half(*entry, 0)))
}

/// The 32-bit number at `place`.
fn half(bytes: [u8; 8], place: usize) -> u32 {
    let word = u64::from_le_bytes(bytes);
    u32::try_from(word >> (8 * place) & 0xffff_ffff).unwrap_or(0)
}

/// Where a name begins among names that each end with a zero.
fn place_of(texts: &[u8], name: &str) -> Option<u32> {
    let wanted = [b"\0", name.as_bytes(), b"\0"].concat();
    let place = memmem::find(texts, &wanted)?;
    u32::try_from(place + 1).ok()
}

fn by_magic(image: &Image<'_>, stretch: Stretch) -> Vec<u64> {
    let finder = memmem::Finder::new(&REST_OF_MAGIC);
    let mut found = Vec::new();
    image.windows(stretch, |address, window| {
        for place in finder.find_iter(window) {
            let begin = address.wrapping_add(place as u64).wrapping_sub(1);
            // A table is aligned to an address.
            if begin.is_multiple_of(8) {
                found.push(begin);
            }
        }
        (found.len() > MAX_CANDIDATES).then_some(())
    });
    found.dedup();
    found
}
