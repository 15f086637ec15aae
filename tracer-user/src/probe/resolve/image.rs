//! A 64-bit ELF file, read piece by piece: only what a question needs is fetched, since some executables are hundreds of
//! megabytes and every file on the host that is mapped as code comes through here.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use memchr::memmem;
use object::LittleEndian;
use object::elf::{
    EM_386, EM_AARCH64, EM_ARM, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, NT_GNU_BUILD_ID, PF_W, PF_X,
    PT_DYNAMIC, PT_GNU_EH_FRAME, PT_LOAD, ProgramHeader64, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_DYNSYM,
    SHT_PROGBITS, SHT_SYMTAB, STT_FUNC, SectionHeader64, Sym64,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};
use object::read::{ReadCache, ReadRef};

use super::Unresolved;

type Endian = LittleEndian;
type Data<'data> = &'data ReadCache<&'data File>;

/// No symbol table of a real library comes near this; a file that claims one is not read.
const MAX_SECTION: u64 = 256 << 20;
/// Likewise for the number of sections.
const MAX_SECTIONS: usize = 1 << 16;
/// Linux runs no file with more: their headers must fit into 64 KiB (`load_elf_phdrs` in `fs/binfmt_elf.c`).
const MAX_SEGMENTS: usize = (64 << 10) / 56;
/// Names that one question finds in a symbol table.
const MAX_NAMES: usize = 1 << 16;
/// Texts are searched in windows of this size.
const WINDOW: usize = 1 << 20;
/// What one window repeats of the one before, so that a text at the border is seen whole.
const OVERLAP: usize = 256;

/// Processor of a file that geophone can look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    X86_64,
    Aarch64,
}

impl Machine {
    /// This host's.
    fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Machine::X86_64),
            "aarch64" => Some(Machine::Aarch64),
            _ => None,
        }
    }
}

/// A function as a symbol table names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Function {
    /// Virtual address of its first instruction.
    pub(super) address: u64,
    /// Length in bytes, 0 when the table does not tell.
    pub(super) size: u64,
}

/// A stretch of a file and the address it is loaded at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// An opened ELF file whose headers make sense.
pub(super) struct Image<'data> {
    pub(super) file: &'data File,
    /// Addresses in the file are final: it is loaded at one place only, and needs no relocation for that.
    pub(super) is_fixed: bool,
    data: Data<'data>,
    segments: &'data [ProgramHeader64<Endian>],
    sections: SectionTable<'data, FileHeader64<Endian>, Data<'data>>,
    pub(super) machine: Machine,
}

impl<'data> Image<'data> {
    /// Reads the headers of a program or shared library for this host's processor.
    pub(super) fn parse(file: &'data File, data: Data<'data>) -> Result<Self, Unresolved> {
        let identification: &[u8] = data
            .read_bytes_at(0, 20)
            .map_err(|()| Unresolved::Malformed("shorter than an ELF header".to_owned()))?;
        if !identification.starts_with(b"\x7fELF") {
            return Err(Unresolved::Malformed("no ELF mark at its start".to_owned()));
        }
        if let Some(other) = other_processor(identification) {
            return Err(Unresolved::Architecture(other));
        }
        let header = FileHeader64::<Endian>::parse(data).map_err(malformed)?;
        let machine = match header.e_machine(LittleEndian) {
            EM_X86_64 => Machine::X86_64,
            EM_AARCH64 => Machine::Aarch64,
            other => return Err(Unresolved::Architecture(format!("ELF machine {other}"))),
        };
        if Machine::host() != Some(machine) {
            return Err(Unresolved::Architecture(format!("{machine:?}")));
        }
        if !matches!(header.e_type(LittleEndian), ET_DYN | ET_EXEC) {
            return Err(Unresolved::Malformed(
                "neither a program nor a shared library".to_owned(),
            ));
        }
        let sections = header.shnum(LittleEndian, data).map_err(malformed)?;
        let segments = header.phnum(LittleEndian, data).map_err(malformed)?;
        if sections > MAX_SECTIONS || segments > MAX_SEGMENTS {
            return Err(Unresolved::Malformed("too many headers".to_owned()));
        }
        Ok(Self {
            file,
            is_fixed: header.e_type(LittleEndian) == ET_EXEC,
            data,
            segments: header.program_headers(LittleEndian, data).map_err(malformed)?,
            sections: header.sections(LittleEndian, data).map_err(malformed)?,
            machine,
        })
    }

    /// Looks up functions by name, in the order of `names`. What is not exported may stand in the local symbol table; a
    /// program may export some of a library's functions and keep the others.
    pub(super) fn functions<const N: usize>(&self, names: [&str; N]) -> [Option<Function>; N] {
        let mut found = [None; N];
        for table in [SHT_DYNSYM, SHT_SYMTAB] {
            if found.iter().any(Option::is_none) {
                let here = self.functions_in(table, names);
                for (slot, function) in found.iter_mut().zip(here) {
                    *slot = slot.or(function);
                }
            }
        }
        found
    }

    /// Functions with one of these words in their names, of both symbol tables.
    pub(super) fn functions_naming(&self, words: &[&[u8]]) -> Vec<(&'data [u8], Function)> {
        let mut found = Vec::new();
        for kind in [SHT_SYMTAB, SHT_DYNSYM] {
            self.functions_naming_in(kind, words, &mut found);
        }
        found
    }

    fn functions_naming_in(&self, kind: u32, words: &[&[u8]], found: &mut Vec<(&'data [u8], Function)>) {
        let Some((table, strings)) = self.symbol_table(kind) else {
            return;
        };
        // Names by their places in the strings: symbols are read only where there are any.
        let mut names: HashMap<u32, &'data [u8]> = HashMap::new();
        for word in words {
            // One name may have the word many times.
            let mut done = 0;
            for place in memmem::find_iter(strings, word) {
                if place < done {
                    continue;
                }
                let (before, behind) = strings.split_at_checked(place).unwrap_or_default();
                let start = memchr::memrchr(0, before).map_or(0, |end| end + 1);
                done = place + memchr::memchr(0, behind).unwrap_or(behind.len());
                if let (Ok(key), Some(name)) = (u32::try_from(start), strings.get(start..done)) {
                    names.insert(key, name);
                }
                if names.len() > MAX_NAMES {
                    return;
                }
            }
        }
        if names.is_empty() {
            return;
        }
        for symbol in self.symbols(table) {
            if let (Some(name), Some(function)) = (names.get(&symbol.st_name(LittleEndian)), defined(symbol))
            {
                found.push((name, function));
            }
        }
    }

    /// A symbol table and its strings.
    fn symbol_table(&self, kind: u32) -> Option<(&'data SectionHeader64<Endian>, &'data [u8])> {
        let table = self
            .sections
            .iter()
            .find(|section| section.sh_type(LittleEndian) == kind)?;
        let link = usize::try_from(table.sh_link(LittleEndian)).ok()?;
        let strings = self.sections.section(object::SectionIndex(link)).ok()?;
        Some((table, self.bytes_of(strings)?))
    }

    fn symbols(&self, table: &SectionHeader64<Endian>) -> &'data [Sym64<Endian>] {
        self.bytes_of(table)
            .and_then(|bytes| object::slice_from_all_bytes::<Sym64<Endian>>(bytes).ok())
            .unwrap_or_default()
    }

    fn functions_in<const N: usize>(&self, kind: u32, names: [&str; N]) -> [Option<Function>; N] {
        let mut found = [None; N];
        let Some((table, strings)) = self.symbol_table(kind) else {
            return found;
        };
        // Most files name none of them: one search through the strings spares reading the symbols. A name may be the tail
        // of a longer one, which linkers share.
        let places: [Vec<u32>; N] = names.map(|name| {
            let mut needle = name.as_bytes().to_vec();
            needle.push(0);
            memmem::find_iter(strings, &needle)
                .filter_map(|place| u32::try_from(place).ok())
                .collect()
        });
        if places.iter().all(Vec::is_empty) {
            return found;
        }
        for symbol in self.symbols(table) {
            let Some(function) = defined(symbol) else { continue };
            let name = symbol.st_name(LittleEndian);
            for (slot, places) in found.iter_mut().zip(&places) {
                if slot.is_none() && places.binary_search(&name).is_ok() {
                    *slot = Some(function);
                }
            }
        }
        found
    }

    /// Where in the file an address of executable code lies.
    pub(super) fn code_offset(&self, address: u64) -> Option<u64> {
        self.segments
            .iter()
            .filter(|segment| segment.p_flags(LittleEndian) & PF_X != 0)
            .find_map(|segment| self.offset_in(segment, address))
            .map(|(offset, _)| offset)
    }

    /// Where in the file an address lies, and how many bytes follow there.
    pub(super) fn offset(&self, address: u64) -> Option<(u64, u64)> {
        self.segments
            .iter()
            .find_map(|segment| self.offset_in(segment, address))
    }

    /// Place in the file of an address, and how many bytes of the segment follow from there. A segment can claim more than
    /// the file has.
    fn offset_in(&self, segment: &ProgramHeader64<Endian>, address: u64) -> Option<(u64, u64)> {
        if segment.p_type(LittleEndian) != PT_LOAD {
            return None;
        }
        let into = address.checked_sub(segment.p_vaddr(LittleEndian))?;
        let offset = segment.p_offset(LittleEndian).checked_add(into)?;
        let in_segment = segment.p_filesz(LittleEndian).checked_sub(into)?;
        let in_file = self.data.len().ok()?.checked_sub(offset)?;
        let left = in_segment.min(in_file);
        (left > 0).then_some((offset, left))
    }

    /// Up to `length` bytes at an address, fewer at the end of a segment, none for an address without a place in the file.
    pub(super) fn bytes_at(&self, address: u64, length: u64) -> &'data [u8] {
        self.offset(address)
            .and_then(|(offset, left)| {
                let end = self.data.len().ok()?;
                let length = length.min(left).min(end.checked_sub(offset)?);
                self.data.read_bytes_at(offset, length).ok()
            })
            .unwrap_or_default()
    }

    /// The contents of a section.
    pub(super) fn section(&self, name: &str) -> Option<&'data [u8]> {
        let (_, section) = self.sections.section_by_name(LittleEndian, name.as_bytes())?;
        self.bytes_of(section)
    }

    /// Goes through a section of any size window by window until `look` finds something.
    ///
    /// What touches the end of a window may be cut there; it comes again, whole, in the next one.
    pub(super) fn search<T>(&self, section: &str, mut look: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        self.windows(self.place_of_section(section)?, |_, window| look(window))
    }

    /// Goes through a stretch window by window, each with its address, until `look` finds something.
    ///
    /// The file is read, never mapped: who truncates a mapped file kills those that look at it. What touches the end of a
    /// window may be cut there; what is no longer than [`OVERLAP`] comes again, whole, in the next one.
    pub(super) fn windows<T>(
        &self,
        stretch: Stretch,
        mut look: impl FnMut(u64, &[u8]) -> Option<T>,
    ) -> Option<T> {
        let Stretch {
            address,
            mut offset,
            size,
        } = stretch;
        let begin = offset;
        let end = offset.checked_add(size)?;
        let mut window = vec![0; usize::try_from(size).map_or(WINDOW, |size| size.min(WINDOW))];
        while offset < end {
            let wanted = usize::try_from(end - offset).map_or(WINDOW, |left| left.min(WINDOW));
            let read = self.file.read_at(window.get_mut(..wanted)?, offset).ok()?;
            if let Some(found) = look(address.checked_add(offset - begin)?, window.get(..read)?) {
                return Some(found);
            }
            if read <= OVERLAP {
                return None;
            }
            offset += (read - OVERLAP) as u64;
        }
        None
    }

    /// Where constants may be: everything loaded that is neither code nor writable nor for unwinding. Without section
    /// headers, every segment that is not writable, with code in it or not.
    pub(super) fn constants(&self) -> Vec<Stretch> {
        let wanted = |section: &&SectionHeader64<Endian>| {
            let flags = section.sh_flags(LittleEndian);
            let name = self
                .sections
                .section_name(LittleEndian, section)
                .unwrap_or_default();
            section.sh_type(LittleEndian) == SHT_PROGBITS
                && flags & u64::from(SHF_ALLOC) != 0
                && flags & u64::from(SHF_EXECINSTR | SHF_WRITE) == 0
                && !name.starts_with(b".eh_frame")
                && name != b".gcc_except_table"
        };
        let sections: Vec<Stretch> = self
            .sections
            .iter()
            .filter(wanted)
            .map(|section| Stretch {
                address: section.sh_addr(LittleEndian),
                offset: section.sh_offset(LittleEndian),
                size: section.sh_size(LittleEndian),
            })
            .collect();
        if sections.is_empty() {
            self.loaded(|flags| flags & PF_W == 0)
        } else {
            self.within_reason(sections)
        }
    }

    /// Where code is: sections of it, or without section headers the segments.
    pub(super) fn code(&self) -> Vec<Stretch> {
        let sections: Vec<Stretch> = self
            .sections
            .iter()
            .filter(|section| {
                section.sh_type(LittleEndian) == SHT_PROGBITS
                    && section.sh_flags(LittleEndian) & u64::from(SHF_EXECINSTR) != 0
            })
            .map(|section| Stretch {
                address: section.sh_addr(LittleEndian),
                offset: section.sh_offset(LittleEndian),
                size: section.sh_size(LittleEndian),
            })
            .collect();
        if sections.is_empty() {
            self.loaded(|flags| flags & PF_X != 0)
        } else {
            self.within_reason(sections)
        }
    }

    /// Starts of functions, and of parts that a compiler has moved away from theirs, that the unwinder's index has within a
    /// range of addresses (`.eh_frame_hdr` of the Linux Standard Base, in the form that all linkers write).
    pub(super) fn unwinding_starts(&self, within: Range<u64>) -> Vec<u64> {
        /// Version, `pcrel|sdata4`, `udata4`, `datarel|sdata4`.
        const FORM: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
        const HEADER: u64 = 12;
        const ENTRY: u64 = 8;
        let Some(index) = self
            .segments
            .iter()
            .find(|segment| segment.p_type(LittleEndian) == PT_GNU_EH_FRAME)
            .map(stretch_of)
        else {
            return Vec::new();
        };
        let header = self.bytes_at(index.address, HEADER);
        let count = header
            .get(8..)
            .filter(|_| header.starts_with(&FORM))
            .and_then(|count| count.first_chunk::<4>())
            .map_or(0, |count| u64::from(u32::from_le_bytes(*count)));
        let size = count.saturating_mul(ENTRY).min(index.size.saturating_sub(HEADER));
        let table = self.bytes_at(index.address.saturating_add(HEADER), size.min(MAX_SECTION));
        let (entries, _) = table.as_chunks::<8>();
        let start = |entry: &[u8; 8]| {
            let [a, b, c, d, ..] = *entry;
            index
                .address
                .wrapping_add_signed(i64::from(i32::from_le_bytes([a, b, c, d])))
        };
        let first = entries.partition_point(|entry| start(entry) < within.start);
        let found = entries.get(first..).unwrap_or_default().iter().map(start);
        found.take_while(|start| within.contains(start)).collect()
    }

    /// Headers can name the same bytes again and again; nobody reads through much more than the whole file.
    fn within_reason(&self, mut stretches: Vec<Stretch>) -> Vec<Stretch> {
        let end = self.data.len().unwrap_or(0);
        let mut left = end.saturating_mul(2);
        stretches.retain_mut(|stretch| {
            stretch.size = stretch.size.min(end.saturating_sub(stretch.offset));
            let fits = stretch.size <= left;
            left -= if fits { stretch.size } else { 0 };
            fits
        });
        stretches
    }

    /// Segments that are not code: all that can hold the addresses of functions.
    pub(super) fn data(&self) -> Vec<Stretch> {
        self.loaded(|flags| flags & PF_X == 0)
    }

    /// The table that tells a loader what to do with the file.
    pub(super) fn dynamic_table(&self) -> Option<Stretch> {
        self.segments
            .iter()
            .find(|segment| segment.p_type(LittleEndian) == PT_DYNAMIC)
            .map(stretch_of)
    }

    fn loaded(&self, wanted: impl Fn(u32) -> bool) -> Vec<Stretch> {
        let segments = self.segments.iter().filter(|segment| {
            segment.p_type(LittleEndian) == PT_LOAD && wanted(segment.p_flags(LittleEndian))
        });
        self.within_reason(segments.map(stretch_of).collect())
    }

    /// Whether the file has a section of this name.
    pub(super) fn has_section(&self, name: &str) -> bool {
        self.sections
            .section_by_name(LittleEndian, name.as_bytes())
            .is_some()
    }

    /// Whether there are section headers at all: they are not needed to run.
    pub(super) fn has_sections(&self) -> bool {
        !self.sections.is_empty()
    }

    /// Where a section lies.
    pub(super) fn place_of_section(&self, name: &str) -> Option<Stretch> {
        let (_, section) = self.sections.section_by_name(LittleEndian, name.as_bytes())?;
        let (offset, size) = section.file_range(LittleEndian)?;
        Some(Stretch {
            address: section.sh_addr(LittleEndian),
            offset,
            size,
        })
    }

    /// Hands over the program headers and the section headers.
    pub(super) fn each_header(&self, each: &mut dyn FnMut(&[u8])) {
        for segment in self.segments {
            each(object::pod::bytes_of(segment));
        }
        for section in self.sections.iter() {
            each(object::pod::bytes_of(section));
        }
    }

    /// The GNU build id in hexadecimal.
    pub(super) fn build_id(&self) -> Option<String> {
        let note = self.section(".note.gnu.build-id")?;
        // Elf64_Nhdr {namesz 4, descsz, type}, name "GNU\0", then the id.
        let (header, id) = note.split_at_checked(16)?;
        let kind = u32::from_le_bytes(header.get(8..12)?.try_into().ok()?);
        let length = u32::from_le_bytes(header.get(4..8)?.try_into().ok()?);
        if kind != NT_GNU_BUILD_ID || header.get(12..) != Some(b"GNU\0") {
            return None;
        }
        let id = id.get(..usize::try_from(length).ok()?)?;
        let mut text = String::with_capacity(2 * id.len());
        for byte in id {
            write!(text, "{byte:02x}").ok()?;
        }
        Some(text)
    }

    fn bytes_of(&self, section: &SectionHeader64<Endian>) -> Option<&'data [u8]> {
        if section.sh_size(LittleEndian) > MAX_SECTION {
            return None;
        }
        section.data(LittleEndian, self.data).ok()
    }
}

/// The function that a symbol defines, if it does.
fn defined(symbol: &Sym64<Endian>) -> Option<Function> {
    let address = symbol.st_value(LittleEndian);
    let is_defined = address != 0
        && symbol.st_shndx(LittleEndian) != object::elf::SHN_UNDEF
        && symbol.st_type() == STT_FUNC;
    is_defined.then(|| Function {
        address,
        size: symbol.st_size(LittleEndian),
    })
}

fn stretch_of(segment: &ProgramHeader64<Endian>) -> Stretch {
    Stretch {
        address: segment.p_vaddr(LittleEndian),
        offset: segment.p_offset(LittleEndian),
        size: segment.p_filesz(LittleEndian),
    }
}

/// Names the processor of a file that is not 64-bit little-endian.
fn other_processor(identification: &[u8]) -> Option<String> {
    const CLASS_64: u8 = 2;
    const LITTLE_ENDIAN: u8 = 1;
    let class = *identification.get(4)?;
    let order = *identification.get(5)?;
    if class == CLASS_64 && order == LITTLE_ENDIAN {
        return None;
    }
    if order != LITTLE_ENDIAN {
        return Some("big-endian".to_owned());
    }
    let machine = u16::from_le_bytes(identification.get(18..20)?.try_into().ok()?);
    Some(match machine {
        EM_386 => "32-bit x86".to_owned(),
        EM_ARM => "32-bit Arm".to_owned(),
        EM_X86_64 => "x32".to_owned(),
        other => format!("32-bit, ELF machine {other}"),
    })
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn malformed(error: object::Error) -> Unresolved {
    Unresolved::Malformed(error.to_string())
}
