//! Tells copies of one file, without reading through them: the same program in another container is not searched again.
//!
//! A build id alone does not do: it may be missing, and who patches a program rarely changes it. So the size of the file, all
//! its headers (which bound its code) and the build id count together; without a build id also the first constants. Where
//! probes would go, [`code`] of the copy has to be the same as well.

use std::fs::File;
use std::os::unix::fs::FileExt;

use object::read::ReadCache;
use sha2::{Digest, Sha256};

use super::Resolved;
use super::image::Image;

/// The start of a file: the ELF header, and in practice all program headers and notes.
const START: usize = 4096;
/// How much of the constants stands in for a build id.
const CONSTANTS: u64 = 1 << 16;
/// Longest instructions have 15 bytes; a probe lies on one.
const CODE: usize = 32;

/// What copies have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    size: u64,
    digest: [u8; 32],
}

impl Fingerprint {
    /// Of a file that can be looked into; there is no point in remembering others.
    pub fn of(file: &File) -> Option<Self> {
        let size = file.metadata().ok()?.len();
        let cache = ReadCache::new(file);
        let image = Image::parse(file, &cache).ok()?;
        let mut hash = Sha256::new();
        hash.update(read(file, 0, START)?);
        image.each_header(&mut |header| hash.update(header));
        match image.build_id() {
            Some(id) => hash.update(id),
            None => {
                for stretch in image.constants() {
                    hash.update(image.bytes_at(stretch.address, stretch.size.min(CONSTANTS)));
                }
            }
        }
        Some(Self {
            size,
            digest: hash.finalize().into(),
        })
    }
}

/// A digest of the instructions that probes would lie on.
pub fn code(file: &File, resolved: &Resolved) -> Option<[u8; 32]> {
    let mut hash = Sha256::new();
    for point in resolved.points() {
        hash.update(read(file, point.offset, CODE)?);
    }
    Some(hash.finalize().into())
}

/// Up to `length` bytes at a place, fewer at the end of the file.
fn read(file: &File, offset: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read_at(rest, offset.checked_add(filled as u64)?).ok()? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Some(bytes)
}
