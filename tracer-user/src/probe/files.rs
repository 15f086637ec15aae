//! Files that processes run code from: opened through the process, told apart, looked into once.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::copies::Copies;
use super::patience::is_shortage;
use super::resolve::{self, Resolved, Unresolved};
use super::watch::MappedFile;

/// Files remembered. When there are more, everything is forgotten and looked at again as it is met.
const MAX_FILES: usize = 65_536;

/// `OVERLAYFS_SUPER_MAGIC`, `include/uapi/linux/magic.h`.
const OVERLAYFS: u64 = 0x794c_7630;

/// Which file, however it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// `st_dev`; 0 on overlayfs, where each container has a device of its own over the same file of an image layer.
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
    /// Stands in for the device on overlayfs: copies of one file on two disks differ in it. 0 elsewhere, since it changes
    /// when a file is replaced and thereby unlinked.
    changed_ns: i128,
}

impl FileIdentity {
    fn new(file: &File, metadata: &Metadata) -> Self {
        let is_overlay = rustix::fs::fstatfs(file)
            .is_ok_and(|system| u64::try_from(system.f_type).is_ok_and(|kind| kind == OVERLAYFS));
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            device: if is_overlay { 0 } else { metadata.dev() },
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: if is_overlay {
                nanoseconds(metadata.ctime(), metadata.ctime_nsec())
            } else {
                0
            },
        }
    }
}

/// What a file turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A TLS library with known attach points.
    Tls(Arc<Resolved>),
    /// Nothing to attach to.
    Other(Unresolved),
}

/// A file with TLS in it, held open so that it can be attached to whatever happens to its name.
#[derive(Debug)]
pub struct Target {
    /// Which file.
    pub identity: FileIdentity,
    /// Its path as the process that maps it sees it.
    pub path: PathBuf,
    /// Where the probes go.
    pub resolved: Arc<Resolved>,
    file: File,
}

impl Target {
    /// A path that leads to the file also when it lies in another mount namespace or has no name any more. Valid as long
    /// as this value lives.
    pub fn attach_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// A file, looked into.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) identity: FileIdentity,
    pub(super) outcome: Outcome,
    file: File,
    path: PathBuf,
}

impl Looked {
    /// Where it was found.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file as something to attach to, if it has TLS in it.
    pub(super) fn into_target(self) -> Option<Target> {
        let Outcome::Tls(resolved) = self.outcome else {
            return None;
        };
        Some(Target {
            identity: self.identity,
            path: self.path,
            resolved,
            file: self.file,
        })
    }
}

/// A file that nobody has looked into yet.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) identity: FileIdentity,
    file: File,
    path: PathBuf,
    /// Where the libraries beside it are.
    folder: PathBuf,
}

impl Unknown {
    /// Looks into it, which takes its time with a large one. For any thread: should it fail over a file that somebody made
    /// for that, nothing else is lost.
    pub(super) fn look(self, copies: &Copies) -> Looked {
        let Self {
            identity,
            file,
            path,
            folder,
        } = self;
        let look = || match resolve::resolve(&file, &|name| open_sibling(&folder, name)) {
            Ok(resolved) => Outcome::Tls(Arc::new(resolved)),
            Err(reason) => Outcome::Other(reason),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| copies.outcome(&file, look))).unwrap_or_else(|_| {
            tracing::error!(path = %path.display(), "looking into a file failed");
            Outcome::Other(Unresolved::Malformed(
                "it defeats those who look into it".to_owned(),
            ))
        });
        Looked {
            identity,
            outcome,
            file,
            path,
        }
    }
}

/// A file, opened.
#[derive(Debug)]
pub(super) enum Opened {
    /// What is in it is known.
    Known(Looked),
    /// It has to be looked into.
    Unknown(Unknown),
}

impl Opened {
    pub(super) fn identity(&self) -> FileIdentity {
        match self {
            Opened::Known(looked) => looked.identity,
            Opened::Unknown(unknown) => unknown.identity,
        }
    }
}

/// Remembers which files have TLS in them.
#[derive(Debug)]
pub(super) struct Files {
    outcomes: HashMap<FileIdentity, Outcome>,
    copies: Arc<Copies>,
    /// Reasons that took a search through the whole file.
    explained: HashMap<FileIdentity, Unresolved>,
    /// Spares opening files that are mapped again and again: device, inode and generation as the kernel reports them.
    mapped: HashMap<((u32, u32), u64, u64), FileIdentity>,
}

impl Files {
    pub(super) fn new(copies: Arc<Copies>) -> Self {
        Self {
            outcomes: HashMap::new(),
            copies,
            explained: HashMap::new(),
            mapped: HashMap::new(),
        }
    }

    /// What is known about a mapped file without opening it. Only mappings with a generation can be trusted that far.
    pub(super) fn known(&self, mapped: &MappedFile) -> Option<(FileIdentity, &Outcome)> {
        if mapped.generation == 0 {
            return None;
        }
        let key = (mapped.device, mapped.inode, mapped.generation);
        let identity = *self.mapped.get(&key)?;
        Some((identity, self.outcomes.get(&identity)?))
    }

    /// Opens a mapped file through its process.
    pub(super) fn open_mapping(&mut self, mapped: &MappedFile) -> io::Result<Opened> {
        let file = open_mapped(mapped)?;
        let folder = mapped.path.parent().unwrap_or(Path::new("/"));
        let root = PathBuf::from(format!("/proc/{}/root", mapped.pid));
        let opened = self.opened(file, &mapped.path, under(&root, folder))?;
        if mapped.generation != 0 {
            let key = (mapped.device, mapped.inode, mapped.generation);
            self.mapped.insert(key, opened.identity());
        }
        Ok(opened)
    }

    /// Opens a file of this mount namespace.
    pub(super) fn open_path(&mut self, path: &Path) -> io::Result<Opened> {
        let path = path.canonicalize()?;
        let (file, folder) = open_with_folder(&path)?;
        self.opened(file, &path, folder)
    }

    /// Opens a mapped file through its process and looks into it.
    pub(super) fn look_at_mapping(&mut self, mapped: &MappedFile) -> io::Result<Looked> {
        match self.open_mapping(mapped)? {
            Opened::Known(looked) => Ok(looked),
            Opened::Unknown(unknown) => {
                let looked = unknown.look(&self.copies);
                self.learn(&looked);
                Ok(looked)
            }
        }
    }

    /// Remembers what is in a file.
    pub(super) fn learn(&mut self, looked: &Looked) {
        self.outcomes.insert(looked.identity, looked.outcome.clone());
    }

    fn opened(&mut self, file: File, path: &Path, folder: PathBuf) -> io::Result<Opened> {
        let metadata = file.metadata()?;
        let identity = FileIdentity::new(&file, &metadata);
        if self.outcomes.len() >= MAX_FILES {
            *self = Self::new(Arc::clone(&self.copies));
        }
        let path = path.to_owned();
        Ok(match self.outcomes.get(&identity) {
            Some(outcome) => Opened::Known(Looked {
                identity,
                outcome: outcome.clone(),
                file,
                path,
            }),
            None => Opened::Unknown(Unknown {
                identity,
                file,
                path,
                folder,
            }),
        })
    }

    /// Why a file has nothing to attach to, found by searching through it.
    pub(super) fn explain(&mut self, looked: &Looked) -> Unresolved {
        self.explained
            .entry(looked.identity)
            .or_insert_with(|| resolve::explain(&looked.file))
            .clone()
    }
}

/// Opens the very file behind a mapping: through the mapping itself, which works for deleted files and in other mount
/// namespaces; else by its path under the process's root, or under ours if the process is gone, when that is still the
/// same inode.
fn open_mapped(mapped: &MappedFile) -> io::Result<File> {
    let MappedFile {
        pid,
        start,
        end,
        inode,
        path,
        ..
    } = mapped;
    let ways = [
        PathBuf::from(format!("/proc/{pid}/map_files/{start:x}-{end:x}")),
        under(Path::new(&format!("/proc/{pid}/root")), path),
        path.clone(),
    ];
    for way in ways {
        match open(&way, Some(*inode)) {
            Ok(file) => return Ok(file),
            // That says nothing of the file.
            Err(error) if is_shortage(&error) => return Err(error),
            Err(_) => {}
        }
    }
    Err(io::Error::other(
        "the process is gone, or another file has its name by now",
    ))
}

/// An absolute path below another root.
fn under(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Opens a file of this mount namespace, and names the folder that its siblings are in.
pub(super) fn open_with_folder(path: &Path) -> io::Result<(File, PathBuf)> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    Ok((open(path, None)?, folder.to_owned()))
}

/// A name out of a foreign file must not lead anywhere else.
pub(super) fn open_sibling(folder: &Path, name: &str) -> Option<File> {
    if name.contains('/') {
        return None;
    }
    open(&folder.join(name), None).ok()
}

/// Opens a regular file to read. Paths come from foreign processes: what they lead to is looked at before it is opened,
/// since opening a device can wait for it or set it going.
fn open(path: &Path, inode: Option<u64>) -> io::Result<File> {
    let place = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)?;
    let metadata = place.metadata()?;
    if !metadata.is_file() || inode.is_some_and(|inode| inode != metadata.ino()) {
        return Err(io::Error::other("not the file that was looked for"));
    }
    File::open(format!("/proc/self/fd/{}", place.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_or_a_pipe_under_the_name_of_a_library_is_not_opened() {
        assert!(open(Path::new("/dev/null"), None).is_err());
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("libssl.so.3");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        // Opening a pipe that nobody writes to would wait for ever.
        assert!(open(&pipe, None).is_err());
    }

    #[test]
    fn another_file_under_the_name_of_a_mapped_one_is_not_taken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libssl.so.3");
        std::fs::write(&path, "one").unwrap();
        let first = std::fs::metadata(&path).unwrap().ino();
        assert!(open(&path, Some(first)).is_ok());
        let other = folder.path().join("other");
        std::fs::write(&other, "two").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(open(&path, Some(first)).is_err());
    }
}
