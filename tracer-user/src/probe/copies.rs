//! Remembers what was found in a file by its content, for copies of it with other names and inodes.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::files::Outcome;
use super::resolve::fingerprint::{self, Fingerprint};

/// Files remembered; more of them and all are forgotten.
const MAX_COPIES: usize = 4096;
/// Smaller files are searched in less time than it takes to recognise them.
const SMALL: u64 = 256 << 10;

/// What was found, by content; for all threads that look into files.
#[derive(Debug, Default)]
pub(super) struct Copies {
    known: Mutex<HashMap<Fingerprint, Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    outcome: Outcome,
    /// Of the instructions that probes lie on.
    code: Option<[u8; 32]>,
}

impl Copies {
    /// What is in a file: known from a copy of it, else found by `look`.
    pub(super) fn outcome(&self, file: &File, look: impl FnOnce() -> Outcome) -> Outcome {
        let is_small = file.metadata().is_ok_and(|metadata| metadata.len() < SMALL);
        let fingerprint = if is_small { None } else { Fingerprint::of(file) };
        let Some(fingerprint) = fingerprint else {
            return look();
        };
        let known = self.known().get(&fingerprint).cloned();
        if let Some(known) = known
            && known.code == code(file, &known.outcome)
        {
            return known.outcome;
        }
        let outcome = look();
        let found = Known {
            code: code(file, &outcome),
            outcome: outcome.clone(),
        };
        let mut known = self.known();
        if known.len() >= MAX_COPIES {
            known.clear();
        }
        known.insert(fingerprint, found);
        outcome
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Fingerprint, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn code(file: &File, outcome: &Outcome) -> Option<[u8; 32]> {
    match outcome {
        Outcome::Tls(resolved) => fingerprint::code(file, resolved),
        Outcome::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::Arc;

    use super::*;
    use crate::probe::resolve;
    use crate::probe::resolve::tests::system_libssl;

    fn found(path: &Path) -> Outcome {
        let file = File::open(path).unwrap();
        Outcome::Tls(Arc::new(resolve::resolve(&file, &|_| None).unwrap()))
    }

    /// What the copies know of a file; `None` when they had to look.
    fn known(copies: &Copies, path: &Path) -> Option<Outcome> {
        let mut has_looked = false;
        let outcome = copies.outcome(&File::open(path).unwrap(), || {
            has_looked = true;
            found(path)
        });
        (!has_looked).then_some(outcome)
    }

    /// Copies of the system's libssl in a folder of their own.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn copy(&self, name: &str, damage: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
            let mut bytes = fs::read(system_libssl()).unwrap();
            damage(&mut bytes);
            let path = self.0.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        }

        fn without_build_id(&self, name: &str) -> PathBuf {
            let path = self.0.path().join(name);
            let status = Command::new("objcopy")
                .args(["--remove-section", ".note.gnu.build-id"])
                .arg(system_libssl())
                .arg(&path)
                .status();
            assert!(status.expect("objcopy runs").success());
            path
        }
    }

    fn first_point(path: &Path) -> usize {
        let Outcome::Tls(resolved) = found(path) else {
            panic!("it has TLS");
        };
        usize::try_from(resolved.points().next().unwrap().offset).unwrap()
    }

    #[test]
    fn the_same_program_in_another_container_is_not_searched_again() {
        let (folder, copies) = (Folder::new(), Copies::default());
        let (one, other) = (folder.copy("one", |_| ()), folder.copy("other", |_| ()));
        assert_eq!(known(&copies, &one), None);
        assert_eq!(known(&copies, &other), Some(found(&one)));
    }

    #[test]
    fn a_patched_program_under_the_old_build_id_is_searched_again() {
        let (folder, copies) = (Folder::new(), Copies::default());
        let original = folder.copy("original", |_| ());
        assert_eq!(known(&copies, &original), None);
        let place = first_point(&original);
        let patched = folder.copy("patched", |bytes| bytes[place + 8] ^= 1);
        assert_eq!(known(&copies, &patched), None, "other code under a probe");
        let longer = folder.copy("longer", |bytes| bytes.push(0));
        assert_eq!(known(&copies, &longer), None, "another size");
        // `p_memsz` of the first segment.
        let moved = folder.copy("moved", |bytes| bytes[64 + 40] ^= 1);
        assert_eq!(known(&copies, &moved), None, "other bounds of a segment");
    }

    #[test]
    fn without_a_build_id_the_constants_tell_programs_apart() {
        let (folder, copies) = (Folder::new(), Copies::default());
        let original = folder.without_build_id("original");
        assert_eq!(known(&copies, &original), None);
        let copy = folder.0.path().join("copy");
        fs::copy(&original, &copy).unwrap();
        assert!(known(&copies, &copy).is_some());
        let mut bytes = fs::read(&original).unwrap();
        let constants = resolve::tests::place_of_constants(&original);
        bytes[constants + 8] ^= 1;
        fs::write(&copy, bytes).unwrap();
        assert_eq!(known(&copies, &copy), None);
    }

    #[test]
    fn what_is_no_program_is_looked_at_each_time_and_never_remembered() {
        let folder = Folder::new();
        let copies = Copies::default();
        let text = folder.0.path().join("text");
        fs::write(&text, vec![b'x'; 1 << 20]).unwrap();
        for _ in 0..2 {
            let outcome = copies.outcome(&File::open(&text).unwrap(), || {
                Outcome::Other(resolve::Unresolved::NoTls)
            });
            assert_eq!(outcome, Outcome::Other(resolve::Unresolved::NoTls));
        }
        assert!(copies.known().is_empty());
    }
}
