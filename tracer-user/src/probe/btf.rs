//! Offsets of structure members in the running kernel, from `/sys/kernel/btf/vmlinux`.
//!
//! Format: `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h` of the kernel. Only structures, unions and their
//! members are looked at, and only as far as needed; everything else is stepped over.

use std::io;

use thiserror::Error;

/// Where the kernel keeps its own types (`CONFIG_DEBUG_INFO_BTF`).
pub const KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// `BTF_MAGIC`
const MAGIC: u16 = 0xeb9f;
/// `sizeof(struct btf_header)` without what later versions add.
const HEADER: usize = 24;
/// `sizeof(struct btf_type)`
const TYPE: usize = 12;
/// `sizeof(struct btf_member)`
const MEMBER: usize = 12;
/// Structures within structures that are followed; the kernel has two or three.
const DEPTH: u32 = 8;

/// Why an offset cannot be told.
#[derive(Debug, Error)]
pub enum Error {
    /// The file is not there or cannot be read.
    #[error(
        "cannot read the kernel's type information ({KERNEL}): {0}; geophone needs a kernel built with CONFIG_DEBUG_INFO_BTF=y"
    )]
    Unreadable(#[from] io::Error),
    /// The file is not BTF or is damaged.
    #[error("the kernel's type information ({KERNEL}) is damaged: {0}")]
    Malformed(&'static str),
    /// The kernel has no such member.
    #[error("this kernel's `struct {structure}` has no member `{member}`, which geophone reads")]
    NoMember {
        /// Name of the structure.
        structure: &'static str,
        /// Name of the member.
        member: &'static str,
    },
}

/// The types of a kernel.
#[derive(Debug)]
pub struct Btf<'a> {
    strings: &'a [u8],
    types: &'a [u8],
    /// Place of each type in `types`; type ids count from 1.
    places: Vec<u32>,
}

/// `struct btf_type` with what follows it.
struct Type<'a> {
    name: u32,
    kind: Kind,
    /// Whether the upper bits of a member's offset are the size of a bit field.
    bit_fields: bool,
    members: &'a [u8],
}

#[derive(PartialEq, Eq)]
enum Kind {
    Composite,
    Other,
}

impl<'a> Btf<'a> {
    /// Takes the file apart as far as to know where each type is.
    pub fn parse(file: &'a [u8]) -> Result<Self, Error> {
        let damaged = Error::Malformed("its header is cut short or wrong");
        let (Some(MAGIC), Some(header)) = (u16_at(file, 0), u32_at(file, 4)) else {
            return Err(damaged);
        };
        let section = |offset: usize, length: usize| -> Option<&'a [u8]> {
            let start = (header as usize).checked_add(u32_at(file, offset)? as usize)?;
            file.get(start..start.checked_add(u32_at(file, length)? as usize)?)
        };
        let (Some(types), Some(strings)) = (section(8, 12), section(16, HEADER - 4)) else {
            return Err(damaged);
        };
        let mut places = Vec::with_capacity(types.len() / 32);
        let mut place = 0;
        while place < types.len() {
            let length = length_at(types, place).ok_or(Error::Malformed("a type is cut short or unknown"))?;
            places.push(u32::try_from(place).map_err(|_| Error::Malformed("it is too large"))?);
            place += length;
        }
        Ok(Self {
            strings,
            types,
            places,
        })
    }

    /// Byte offset of a member, also of one within an anonymous structure.
    pub fn offset(&self, structure: &'static str, member: &'static str) -> Result<u32, Error> {
        self.places
            .iter()
            .filter_map(|place| self.type_at(*place))
            .filter(|candidate| candidate.kind == Kind::Composite && self.is_named(candidate.name, structure))
            .find_map(|candidate| self.member(&candidate, member, DEPTH))
            .ok_or(Error::NoMember { structure, member })
    }

    fn member(&self, of: &Type<'_>, wanted: &str, depth: u32) -> Option<u32> {
        of.members.chunks_exact(MEMBER).find_map(|member| {
            let (name, id, offset) = (u32_at(member, 0)?, u32_at(member, 4)?, u32_at(member, 8)?);
            let bits = if of.bit_fields {
                offset & 0x00ff_ffff
            } else {
                offset
            };
            if self.is_named(name, wanted) {
                return Some(bits / 8);
            }
            if !self.is_named(name, "") || depth == 0 {
                return None;
            }
            let inner = self.type_at(*self.places.get((id as usize).checked_sub(1)?)?)?;
            (inner.kind == Kind::Composite)
                .then(|| self.member(&inner, wanted, depth - 1))
                .flatten()
                .map(|offset| bits / 8 + offset)
        })
    }

    fn type_at(&self, place: u32) -> Option<Type<'a>> {
        let place = place as usize;
        let bytes = self
            .types
            .get(place..place.checked_add(length_at(self.types, place)?)?)?;
        let info = u32_at(bytes, 4)?;
        Some(Type {
            name: u32_at(bytes, 0)?,
            kind: match kind(info) {
                4 | 5 => Kind::Composite,
                _ => Kind::Other,
            },
            bit_fields: info >> 31 == 1,
            members: bytes.get(TYPE..)?,
        })
    }

    fn is_named(&self, name: u32, wanted: &str) -> bool {
        self.strings
            .get(name as usize..)
            .and_then(|rest| rest.get(..=wanted.len()))
            .is_some_and(|text| text.split_last() == Some((&0, wanted.as_bytes())))
    }
}

/// Length of a type with all that belongs to it.
fn length_at(types: &[u8], place: usize) -> Option<usize> {
    let info = u32_at(types, place.checked_add(4)?)?;
    let entries = (info & 0xffff) as usize;
    let more = match kind(info) {
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => 4,
        // ARRAY
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => entries * 12,
        // ENUM, FUNC_PROTO
        6 | 13 => entries * 8,
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    };
    Some(TYPE + more)
}

fn kind(info: u32) -> u32 {
    (info >> 24) & 0x1f
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file with `struct task { int pid; struct { u64 a; u32 inner; }; }` at bit offsets 32 and 128.
    fn file() -> Vec<u8> {
        let strings = b"\0task\0pid\0inner\0a\0";
        let mut types: Vec<u32> = vec![0, 1 << 24, 4, 32];
        types.extend([0, 4 << 24 | 2, 16, 16, 1, 0, 10, 1, 64]);
        types.extend([1, 4 << 24 | 2, 32, 6, 1, 32, 0, 2, 128]);
        let types: Vec<u8> = types.into_iter().flat_map(u32::to_ne_bytes).collect();
        let mut file = MAGIC.to_ne_bytes().to_vec();
        file.extend([1, 0]);
        let lengths = [types.len(), strings.len()].map(|length| u32::try_from(length).unwrap());
        for word in [24, 0, lengths[0], lengths[0], lengths[1]] {
            file.extend(word.to_ne_bytes());
        }
        file.extend(types);
        file.extend(strings);
        file
    }

    #[test]
    fn finds_members_also_in_anonymous_structures() {
        let file = file();
        let btf = Btf::parse(&file).unwrap();
        assert_eq!(btf.offset("task", "pid").unwrap(), 4);
        assert_eq!(btf.offset("task", "inner").unwrap(), 24);
        assert!(matches!(
            btf.offset("task", "in"),
            Err(Error::NoMember { member: "in", .. })
        ));
    }

    #[test]
    fn reads_the_running_kernel() {
        let file = std::fs::read(KERNEL).expect("the tests need a kernel with BTF");
        let btf = Btf::parse(&file).unwrap();
        // The two stand next to each other since Linux 2.6.
        let pid = btf.offset("task_struct", "pid").unwrap();
        assert_eq!(btf.offset("task_struct", "tgid").unwrap(), pid + 4);
        assert!(btf.offset("task_struct", "start_boottime").unwrap() > pid);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value(cut in 0usize..200, at in 0usize..200, byte: u8) {
            let mut file = file();
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
            file.truncate(cut);
            if let Ok(btf) = Btf::parse(&file) {
                prop_assert!(btf.offset("task", "absent").is_err());
            }
        }
    }
}
