//! Programs that carry TLS in themselves, where they are installed: so that their very first run is traced.
//!
//! Looked at are the folders of `PATH` and the usual places of tools, of every user that has a home. The limits keep it from
//! reading through a whole disk; what lies beyond them is found when it is run.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::copies::Copies;
use super::files::{FileIdentity, Files, Looked, Opened, Outcome};
use super::prescan::search_path;
use super::resolve::{Resolved, Unresolved};
use super::workers::Done;

/// Files looked into in one round.
const MAX_FILES: usize = 2048;
/// Of all of them together.
const MAX_BYTES: u64 = 8 << 30;
/// After this long a round ends.
const MAX_TIME: Duration = Duration::from_mins(1);
/// Programs that get probes before they run. A probe keeps its file, and the file system that it is on, in use.
pub const MAX_ATTACHED: usize = 64;
/// No program with a TLS library in it is smaller.
const SMALLEST: u64 = 1 << 20;
/// A larger one is left until it runs.
const LARGEST: u64 = 1 << 30;
/// Folders that one pattern can mean.
const MAX_FOLDERS: usize = 256;
/// Files of one folder.
const MAX_ENTRIES: usize = 8192;

/// Below each home; `*` stands for any one name.
const OF_USERS: [&str; 13] = [
    ".local/bin",
    ".local/share/claude/versions",
    ".bun/bin",
    ".deno/bin",
    ".cargo/bin",
    "go/bin",
    "bin",
    ".nvm/versions/node/*/bin",
    ".volta/tools/image/node/*/bin",
    ".local/share/uv/python/*/bin",
    ".local/share/uv/python/*/lib",
    ".nvm/versions/node/*/lib/node_modules/**",
    ".npm-global/lib/node_modules/**",
];

/// Of the system, beside the folders of `PATH`.
const OF_SYSTEM: [&str; 7] = [
    "/usr/local/bin",
    "/opt/*/bin",
    "/opt/*",
    "/usr/lib/node_modules/**",
    "/usr/local/lib/node_modules/**",
    "/usr/bin",
    "/usr/sbin",
];

/// File systems that are slow, or that a look can wake up: `include/uapi/linux/magic.h`.
const REMOTE: [u64; 9] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xfe53_4d42, // SMB2
    0xff53_4d42, // CIFS
    0x6573_5546, // FUSE
    0x0102_1997, // 9P
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x0187,      // autofs
];

/// What earlier rounds found.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<FileIdentity, bool>);

/// What looking at everything that is installed gives, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Programs that were looked into.
    pub looked_into: usize,
    /// There are more, beyond the bounds.
    pub is_cut: bool,
    /// Those with TLS in them.
    pub with_tls: Vec<(PathBuf, Arc<Resolved>)>,
    /// Those with TLS that cannot be traced.
    pub refused: Vec<(PathBuf, Unresolved)>,
}

/// Looks at everything that is installed, as `run` does in the background.
pub fn installed() -> Installed {
    let begin = Instant::now();
    let copies = Arc::default();
    let mut files = Files::new(Arc::clone(&copies));
    let mut installed = Installed {
        looked_into: 0,
        is_cut: false,
        with_tls: Vec::new(),
        refused: Vec::new(),
    };
    let mut bytes = 0;
    for (path, size) in candidates() {
        bytes += size;
        if bytes > MAX_BYTES || begin.elapsed() > MAX_TIME {
            installed.is_cut = true;
            break;
        }
        let Ok(Opened::Unknown(unknown)) = files.open_path(&path) else {
            continue;
        };
        let looked = unknown.look(&copies);
        files.learn(&looked);
        installed.looked_into += 1;
        match looked.outcome {
            Outcome::Tls(resolved) => installed.with_tls.push((path, resolved)),
            Outcome::Other(reason @ (Unresolved::Refused { .. } | Unresolved::NoSymbols { .. })) => {
                installed.refused.push((path, reason));
            }
            Outcome::Other(_) => {}
        }
    }
    installed
}

/// Looks at these programs; gives the files that are to have probes.
pub(super) fn look(
    seen: &mut Seen,
    copies: &Arc<Copies>,
    programs: Vec<(PathBuf, u64)>,
    mut each: impl FnMut(Done) -> bool,
) -> HashSet<FileIdentity> {
    let begin = Instant::now();
    let mut files = Files::new(Arc::clone(copies));
    let mut before = std::mem::take(&mut seen.0);
    let mut expected = HashSet::new();
    let mut bytes = 0;
    for (path, size) in programs {
        bytes += size;
        if bytes > MAX_BYTES || begin.elapsed() > MAX_TIME {
            tracing::debug!(path = %path.display(), "programs from here on are looked at when they run");
            break;
        }
        let Ok(opened) = files.open_path(&path) else {
            continue;
        };
        let identity = opened.identity();
        let has_tls = if let Some(has_tls) = before.remove(&identity) {
            has_tls
        } else {
            let looked = match opened {
                Opened::Known(looked) => looked,
                Opened::Unknown(unknown) => unknown.look(copies),
            };
            files.learn(&looked);
            let has_tls = matches!(looked.outcome, Outcome::Tls(_));
            if has_tls && !each(done(looked, expected.len())) {
                return expected;
            }
            has_tls
        };
        seen.0.insert(identity, has_tls);
        if has_tls && expected.len() < MAX_ATTACHED {
            expected.insert(identity);
        }
    }
    expected
}

fn done(looked: Looked, expected: usize) -> Done {
    if expected < MAX_ATTACHED {
        Done::Expected(looked)
    } else {
        Done::Known(looked)
    }
}

/// Programs that a script of an npm package may start: those for this platform, of the `node_modules` that it lies in.
pub(super) fn started_by(script: &Path) -> Vec<PathBuf> {
    const MAX_PROGRAMS: usize = 16;
    let mut found: Vec<PathBuf> = script
        .ancestors()
        .filter(|folder| folder.ends_with("node_modules"))
        .flat_map(packages)
        .flat_map(|folder| entries(&folder))
        .filter(|path| path.metadata().is_ok_and(|metadata| is_program(&metadata)))
        .collect();
    found.truncate(MAX_PROGRAMS);
    found
}

/// Programs that are worth a look, each once, with their sizes; tools of users first.
pub(super) fn candidates() -> Vec<(PathBuf, u64)> {
    let mut known = HashSet::new();
    let mut found = Vec::new();
    for folder in folders() {
        let mut here: Vec<(PathBuf, Metadata)> = entries(&folder)
            .into_iter()
            .filter_map(|path| Some((path.canonicalize().ok()?, path.metadata().ok()?)))
            .filter(|(_, metadata)| is_program(metadata))
            .collect();
        // A slow one keeps nobody waiting that is done in no time.
        here.sort_by_key(|(_, metadata)| metadata.size());
        for (path, metadata) in here {
            if known.insert((metadata.dev(), metadata.ino())) {
                found.push((path, metadata.size()));
            }
            if found.len() >= MAX_FILES {
                return found;
            }
        }
    }
    found
}

fn is_program(metadata: &Metadata) -> bool {
    const EXECUTABLE: u32 = 0o111;
    metadata.is_file()
        && metadata.permissions().mode() & EXECUTABLE != 0
        && (SMALLEST..=LARGEST).contains(&metadata.size())
}

/// Places of users, then those of the system.
fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for home in homes() {
        for place in OF_USERS {
            expand(&home, place, &mut folders);
        }
    }
    folders.extend(std::env::split_paths(&search_path()));
    for place in OF_SYSTEM {
        expand(Path::new("/"), place.trim_start_matches('/'), &mut folders);
    }
    let mut known = HashSet::new();
    folders
        .into_iter()
        .filter(|folder| folder.is_absolute())
        .filter_map(|folder| folder.canonicalize().ok())
        .filter(|folder| known.insert(folder.clone()) && is_local(folder))
        .collect()
}

/// Homes that are there, as `/etc/passwd` has them.
fn homes() -> Vec<PathBuf> {
    let text = fs::read("/etc/passwd").unwrap_or_default();
    let mut homes: Vec<PathBuf> = text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b':').nth(5))
        .map(|home| PathBuf::from(OsStr::from_bytes(home)))
        .filter(|home| home.is_absolute() && home.parent().is_some())
        .collect();
    homes.sort();
    homes.dedup();
    homes.truncate(MAX_FOLDERS);
    homes
}

/// Folders that a pattern stands for. `**` at its end stands for what [`packages`] gives.
fn expand(base: &Path, pattern: &str, found: &mut Vec<PathBuf>) {
    let mut folders = vec![base.to_owned()];
    for part in pattern.split('/') {
        folders = match part {
            "*" => folders.iter().flat_map(|folder| subfolders(folder)).collect(),
            "**" => folders.iter().flat_map(|folder| packages(folder)).collect(),
            name => folders.iter().map(|folder| folder.join(name)).collect(),
        };
        folders.truncate(MAX_FOLDERS);
    }
    found.extend(folders.into_iter().filter(|folder| folder.is_dir()));
}

/// Folders with programs in a `node_modules`: packages for one platform (`@oven/bun-linux-x64`), which other packages start.
pub(super) fn packages(node_modules: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for package in with_scopes(node_modules) {
        if is_of_this_platform(&package) {
            found.extend(below(&package));
        } else {
            let nested = with_scopes(&package.join("node_modules"));
            found.extend(
                nested
                    .iter()
                    .filter(|nested| is_of_this_platform(nested))
                    .flat_map(|nested| below(nested)),
            );
        }
        if found.len() > MAX_FOLDERS {
            break;
        }
    }
    found
}

/// Packages of a `node_modules`, those in scopes as well.
fn with_scopes(node_modules: &Path) -> Vec<PathBuf> {
    subfolders(node_modules)
        .into_iter()
        .flat_map(|folder| {
            let is_scope = folder
                .file_name()
                .is_some_and(|name| name.as_bytes().starts_with(b"@"));
            if is_scope {
                subfolders(&folder)
            } else {
                vec![folder]
            }
        })
        .collect()
}

/// `bun-linux-x64`, `linux-x64-glibc`, `codex-linux-arm64`.
fn is_of_this_platform(package: &Path) -> bool {
    let processor = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x64"
    };
    package
        .file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|name| name.contains("linux") && name.contains(processor))
}

/// The folder and those below it, as deep as `vendor/x86_64-unknown-linux-musl/bin`.
fn below(folder: &Path) -> Vec<PathBuf> {
    const DEPTH: usize = 3;
    let mut all = vec![folder.to_owned()];
    let mut last = all.clone();
    for _ in 0..DEPTH {
        last = last.iter().flat_map(|folder| subfolders(folder)).collect();
        all.extend(last.iter().cloned());
        if all.len() > MAX_FOLDERS {
            break;
        }
    }
    all
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = entries(folder).into_iter().filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.truncate(MAX_FOLDERS);
    folders
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .take(MAX_ENTRIES)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

fn is_local(folder: &Path) -> bool {
    rustix::fs::statfs(folder)
        .ok()
        .and_then(|system| u64::try_from(system.f_type).ok())
        .is_some_and(|kind| !REMOTE.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::super::resolve::tests::system_libssl;
    use super::*;

    fn make(folder: &Path, name: &str, mode: u32, size: u64) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(&path).unwrap().set_len(size).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_star_stands_for_one_folder() {
        let home = tempfile::tempdir().unwrap();
        for version in ["v20.1.0", "v22.4.1"] {
            make(
                home.path(),
                &format!(".nvm/versions/node/{version}/bin/node"),
                0o755,
                1,
            );
        }
        let mut found = Vec::new();
        expand(home.path(), ".nvm/versions/node/*/bin", &mut found);
        let names = ["v20.1.0", "v22.4.1"]
            .map(|version| home.path().join(".nvm/versions/node").join(version).join("bin"));
        assert_eq!(found, names);
        expand(home.path(), ".deno/bin", &mut found);
        assert_eq!(found.len(), 2, "what is not there is no place");
    }

    #[test]
    fn packages_for_this_platform_are_found_beside_those_that_start_them_and_below() {
        let folder = tempfile::tempdir().unwrap();
        let processor = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "x64"
        };
        let programs = [
            format!("@oven/bun-linux-{processor}/bin/bun"),
            format!("@openai/codex-linux-{processor}/vendor/musl/bin/codex"),
            format!(
                "@anthropic-ai/claude-code/node_modules/@anthropic-ai/claude-code-linux-{processor}/claude"
            ),
        ];
        for program in &programs {
            make(folder.path(), program, 0o755, 1);
        }
        for other in ["@oven/bun-darwin-x64/bin/bun", "typescript/bin/tsc"] {
            make(folder.path(), other, 0o755, 1);
        }
        let found = packages(folder.path());
        for program in &programs {
            let place = folder.path().join(program);
            assert!(
                found.contains(&place.parent().unwrap().to_owned()),
                "{program}: {found:?}"
            );
        }
        let text = format!("{found:?}");
        assert!(!text.contains("darwin") && !text.contains("typescript"), "{text}");
    }

    #[test]
    fn what_is_small_or_cannot_be_run_is_no_program_with_tls() {
        let folder = tempfile::tempdir().unwrap();
        let is = |name, mode, size| is_program(&make(folder.path(), name, mode, size).metadata().unwrap());
        assert!(is("tool", 0o755, SMALLEST));
        assert!(!is("script", 0o755, SMALLEST - 1));
        assert!(!is("archive", 0o644, SMALLEST));
        assert!(!is("disk", 0o755, LARGEST + 1));
    }

    /// What a round told, and what it expects.
    fn round(seen: &mut Seen, copies: &Arc<Copies>, programs: &[PathBuf]) -> (usize, usize) {
        let programs = programs.iter().map(|path| (path.clone(), 1)).collect();
        let mut told = 0;
        let expected = look(seen, copies, programs, |done| {
            assert!(matches!(done, Done::Expected(_)), "{done:?}");
            told += 1;
            true
        });
        (told, expected.len())
    }

    #[test]
    fn a_program_is_told_once_and_expected_as_long_as_it_is_installed() {
        let folder = tempfile::tempdir().unwrap();
        let (program, text) = (folder.path().join("program"), folder.path().join("text"));
        fs::copy(system_libssl(), &program).unwrap();
        fs::write(&text, "no program").unwrap();
        let (mut seen, copies) = (Seen::default(), Arc::default());
        let programs = [program.clone(), text];
        assert_eq!(round(&mut seen, &copies, &programs), (1, 1));
        assert_eq!(round(&mut seen, &copies, &programs), (0, 1));
        fs::remove_file(&program).unwrap();
        assert_eq!(round(&mut seen, &copies, &programs), (0, 0));
        fs::copy(system_libssl(), &program).unwrap();
        assert_eq!(round(&mut seen, &copies, &programs), (1, 1), "a new file");
    }

    #[test]
    fn beyond_the_bounds_nothing_is_looked_at_and_no_probes_are_put() {
        let folder = tempfile::tempdir().unwrap();
        let programs: Vec<(PathBuf, u64)> = (0..MAX_ATTACHED + 2)
            .map(|number| {
                let path = folder.path().join(number.to_string());
                fs::copy(system_libssl(), &path).unwrap();
                (path, 1)
            })
            .collect();
        let (mut expected, mut known) = (0, 0);
        let round = look(&mut Seen::default(), &Arc::default(), programs, |done| {
            match done {
                Done::Expected(_) => expected += 1,
                Done::Known(_) => known += 1,
                other => panic!("{other:?}"),
            }
            true
        });
        assert_eq!((expected, known, round.len()), (MAX_ATTACHED, 2, MAX_ATTACHED));

        let too_many = vec![(system_libssl(), MAX_BYTES + 1)];
        assert!(look(&mut Seen::default(), &Arc::default(), too_many, |_| true).is_empty());
    }
}
