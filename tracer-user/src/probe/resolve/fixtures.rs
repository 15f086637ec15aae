//! Real programs, cut down to the bytes that decide: `cargo xtask fixtures` blanks whatever can go without changing what a
//! resolver says, and writes what is left with what it says.
//!
//! A fixture is a zlib stream of little-endian words: the length of the file, then for each stretch that is kept its offset,
//! its length and its bytes. Everything else is zero.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use miniz_oxide::inflate::decompress_to_vec_zlib;
use rustix::fs::MemfdFlags;

use super::{Resolved, Unresolved, resolve};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/probe/resolve/fixtures")
}

/// A fixture in the shape of the program it was cut from.
#[derive(Clone)]
pub(super) struct Fixture {
    length: u64,
    stretches: Vec<(u64, Vec<u8>)>,
}

impl Fixture {
    pub(super) fn read(name: &str) -> Self {
        let packed = fs::read(folder().join(name).with_extension("fixture")).expect("the fixture is there");
        let bytes = decompress_to_vec_zlib(&packed).expect("the fixture is whole");
        let mut rest = bytes.as_slice();
        let length = word(&mut rest);
        let mut stretches = Vec::new();
        while !rest.is_empty() {
            let offset = word(&mut rest);
            let size = usize::try_from(word(&mut rest)).unwrap();
            let (stretch, behind) = rest.split_at(size);
            stretches.push((offset, stretch.to_vec()));
            rest = behind;
        }
        Self { length, stretches }
    }

    /// A file of these bytes.
    pub(super) fn raw(bytes: &[u8]) -> Self {
        Self {
            length: bytes.len() as u64,
            stretches: vec![(0, bytes.to_vec())],
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Writes it as a sparse file in memory.
    pub(super) fn file(&self) -> File {
        let file = File::from(rustix::fs::memfd_create("fixture", MemfdFlags::CLOEXEC).unwrap());
        file.set_len(self.length).unwrap();
        for (offset, bytes) in &self.stretches {
            file.write_all_at(bytes, *offset).unwrap();
        }
        file
    }

    pub(super) fn resolve(&self) -> Result<Resolved, Unresolved> {
        resolve(&self.file(), &|_| None)
    }

    /// Overwrites one of the bytes that were kept, counted round and round.
    pub(super) fn damage(&mut self, place: usize, value: u8) {
        let kept: usize = self.stretches.iter().map(|(_, bytes)| bytes.len()).sum();
        let byte = self
            .stretches
            .iter_mut()
            .flat_map(|(_, bytes)| bytes)
            .nth(place % kept.max(1));
        if let Some(byte) = byte {
            *byte = value;
        }
    }

    /// Overwrites bytes at a place of the file, which must be kept.
    #[cfg(test)]
    pub(super) fn patch(&mut self, offset: u64, bytes: &[u8]) {
        let place = self.stretches.iter_mut().find_map(|(begin, kept)| {
            let into = usize::try_from(offset.checked_sub(*begin)?).ok()?;
            kept.get_mut(into..into + bytes.len())
        });
        place.expect("a place that is kept").copy_from_slice(bytes);
    }

    /// Where bytes stand in the file, each time.
    #[cfg(test)]
    pub(super) fn find(&self, wanted: &[u8]) -> Vec<u64> {
        self.stretches
            .iter()
            .flat_map(|(begin, kept)| {
                memchr::memmem::find_iter(kept, wanted).map(move |place| begin + place as u64)
            })
            .collect()
    }
}

fn word(bytes: &mut &[u8]) -> u64 {
    let (word, rest) = bytes.split_first_chunk::<8>().expect("a whole word");
    *bytes = rest;
    u64::from_le_bytes(*word)
}

/// Names of all fixtures.
pub(super) fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "fixture"))
        .map(|path| {
            path.with_extension("")
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn every_program_resolves_as_it_did_when_it_was_cut() {
    let names = names();
    assert!(!names.is_empty());
    for name in names {
        let expected = fs::read_to_string(folder().join(&name).with_extension("txt")).unwrap();
        match Fixture::read(&name).resolve() {
            Ok(resolved) => assert_eq!(resolved.listing(), expected, "{name}"),
            Err(reason) => panic!("{name}: {reason}"),
        }
    }
}

#[test]
fn the_corpus_stays_small() {
    const ONE: u64 = 100 << 10;
    const ALL: u64 = 1 << 20;
    let sizes: Vec<u64> = names()
        .iter()
        .map(|name| {
            fs::metadata(folder().join(name).with_extension("fixture"))
                .unwrap()
                .len()
        })
        .collect();
    assert!(sizes.iter().all(|size| *size <= ONE), "{sizes:?}");
    assert!(sizes.iter().sum::<u64>() <= ALL, "{sizes:?}");
}
