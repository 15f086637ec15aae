//! A 64-bit ELF file, read piece by piece: only what a question needs is fetched, since some executables are hundreds of
//! megabytes and every file on the host that is mapped as code comes through here.

use std::fmt::Write;
use std::fs::File;
use std::os::unix::fs::FileExt;

use memchr::memmem;
use object::LittleEndian;
use object::elf::{
    EM_386, EM_AARCH64, EM_ARM, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, NT_GNU_BUILD_ID, PF_X, PT_LOAD,
    ProgramHeader64, SHT_DYNSYM, SHT_SYMTAB, STT_FUNC, SectionHeader64, Sym64,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};
use object::read::{ReadCache, ReadRef};

use super::Unresolved;

type Endian = LittleEndian;
type Data<'data> = &'data ReadCache<&'data File>;

/// No symbol table of a real library comes near this; a file that claims one is not read.
const MAX_SECTION: u64 = 256 << 20;
/// Likewise for the number of sections and segments.
const MAX_HEADERS: usize = 1 << 16;
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

/// An opened ELF file whose headers make sense.
pub(super) struct Image<'data> {
    file: &'data File,
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
        if sections.max(segments) > MAX_HEADERS {
            return Err(Unresolved::Malformed("too many headers".to_owned()));
        }
        Ok(Self {
            file,
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

    fn functions_in<const N: usize>(&self, kind: u32, names: [&str; N]) -> [Option<Function>; N] {
        let mut found = [None; N];
        let Some(table) = self
            .sections
            .iter()
            .find(|section| section.sh_type(LittleEndian) == kind)
        else {
            return found;
        };
        let Some(strings) = usize::try_from(table.sh_link(LittleEndian))
            .ok()
            .and_then(|link| self.sections.section(object::SectionIndex(link)).ok())
            .and_then(|section| self.bytes_of(section))
        else {
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
        let Some(symbols) = self
            .bytes_of(table)
            .and_then(|bytes| object::slice_from_all_bytes::<Sym64<Endian>>(bytes).ok())
        else {
            return found;
        };
        for symbol in symbols {
            let address = symbol.st_value(LittleEndian);
            let defines_code = address != 0
                && symbol.st_shndx(LittleEndian) != object::elf::SHN_UNDEF
                && symbol.st_type() == STT_FUNC;
            if !defines_code {
                continue;
            }
            let name = symbol.st_name(LittleEndian);
            for (slot, places) in found.iter_mut().zip(&places) {
                if slot.is_none() && places.contains(&name) {
                    *slot = Some(Function {
                        address,
                        size: symbol.st_size(LittleEndian),
                    });
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
            .find_map(|segment| offset_in(segment, address))
            .map(|(offset, _)| offset)
    }

    /// Up to `length` bytes at an address, fewer at the end of a segment, none for an address without a place in the file.
    pub(super) fn bytes_at(&self, address: u64, length: u64) -> &'data [u8] {
        self.segments
            .iter()
            .find_map(|segment| offset_in(segment, address))
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
        let (_, section) = self.sections.section_by_name(LittleEndian, section.as_bytes())?;
        let (mut offset, size) = section.file_range(LittleEndian)?;
        let end = offset.checked_add(size)?;
        let mut window = vec![0; WINDOW];
        while offset < end {
            let wanted = usize::try_from(end - offset).map_or(WINDOW, |left| left.min(WINDOW));
            let read = self.file.read_at(window.get_mut(..wanted)?, offset).ok()?;
            if let Some(found) = look(window.get(..read)?) {
                return Some(found);
            }
            if read <= OVERLAP {
                return None;
            }
            offset += (read - OVERLAP) as u64;
        }
        None
    }

    /// Whether a symbol table or string table of this name holds this text.
    pub(super) fn mentions(&self, section: &str, text: &[u8]) -> bool {
        self.search(section, |window| memmem::find(window, text))
            .is_some()
    }

    /// Whether the file has a section of this name.
    pub(super) fn has_section(&self, name: &str) -> bool {
        self.sections
            .section_by_name(LittleEndian, name.as_bytes())
            .is_some()
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

/// Place in the file of an address, and how many bytes of the segment follow from there.
fn offset_in(segment: &ProgramHeader64<Endian>, address: u64) -> Option<(u64, u64)> {
    if segment.p_type(LittleEndian) != PT_LOAD {
        return None;
    }
    let into = address.checked_sub(segment.p_vaddr(LittleEndian))?;
    let left = segment.p_filesz(LittleEndian).checked_sub(into)?;
    let offset = segment.p_offset(LittleEndian).checked_add(into)?;
    (left > 0).then_some((offset, left))
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
