//! Is a process traced, and if not, why: one verdict a process that a person can read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::discover::{Attachment, AttachmentState};
use super::files::{FileIdentity, Files, Outcome};
use super::followed::all_pids;
use super::resolve::{Resolved, Unresolved};
use super::{maps, process};

/// How one process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The process.
    pub pid: u32,
    /// Its executable; empty when that cannot be told.
    pub executable: String,
    /// Its command line.
    pub command_line: Vec<String>,
    /// Every file with TLS in it that it has mapped.
    pub libraries: Vec<LibraryCoverage>,
    /// A rule or its pod leaves it alone.
    pub left_alone: bool,
}

/// How one TLS library in a process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryCoverage {
    /// The file as the process sees it.
    pub path: PathBuf,
    /// Where it stands.
    pub status: LibraryStatus,
}

/// Where a TLS library stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibraryStatus {
    /// Probes are on it.
    Traced {
        /// What was found in the file.
        resolved: Arc<Resolved>,
        /// How many probes it has.
        probes: usize,
    },
    /// Probes can be put on it, and none are.
    Traceable(Arc<Resolved>),
    /// Putting probes on it failed.
    Failed {
        /// What was found in the file.
        resolved: Arc<Resolved>,
        /// What went wrong.
        reason: String,
    },
    /// No probes can be put on it.
    NotTraceable(Unresolved),
}

/// The verdict in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// At least one library has its probes.
    Traced,
    /// At least one library could be traced and none is.
    Traceable,
    /// It has TLS and none of it can be traced.
    NotTraceable,
    /// It has TLS, and a rule or its pod leaves it alone.
    LeftAlone,
    /// It has no TLS that geophone knows.
    NoTls,
}

impl Verdict {
    /// Every verdict, the best first.
    pub const ALL: [Verdict; 5] = [
        Verdict::Traced,
        Verdict::Traceable,
        Verdict::NotTraceable,
        Verdict::LeftAlone,
        Verdict::NoTls,
    ];

    /// As metrics spell it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Traced => "traced",
            Verdict::Traceable => "traceable",
            Verdict::NotTraceable => "not_traceable",
            Verdict::LeftAlone => "left_alone",
            Verdict::NoTls => "no_tls",
        }
    }
}

impl Coverage {
    /// How the process stands as a whole.
    pub fn verdict(&self) -> Verdict {
        if self.left_alone && !self.libraries.is_empty() {
            return Verdict::LeftAlone;
        }
        self.libraries
            .iter()
            .map(|library| match library.status {
                LibraryStatus::Traced { .. } => Verdict::Traced,
                LibraryStatus::Traceable(_) => Verdict::Traceable,
                LibraryStatus::Failed { .. } | LibraryStatus::NotTraceable(_) => Verdict::NotTraceable,
            })
            .min()
            .unwrap_or(Verdict::NoTls)
    }
}

/// How many processes stand how: for whom a list would be too long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Processes with probes, by library; one with two libraries counts for both.
    pub traced: BTreeMap<&'static str, u64>,
    /// Processes of which nothing is traced, by what is in the way.
    pub not_traced: BTreeMap<&'static str, u64>,
}

impl Figures {
    /// Counts.
    pub fn of(processes: &[Coverage]) -> Self {
        let mut figures = Self::default();
        for process in processes {
            if process.left_alone {
                continue;
            }
            let is_traced = process.verdict() == Verdict::Traced;
            let mut traced = BTreeSet::new();
            let mut reasons = BTreeSet::new();
            for library in &process.libraries {
                match &library.status {
                    LibraryStatus::Traced { resolved, .. } => {
                        traced.extend(resolved.libraries.iter().map(|library| library.name));
                    }
                    LibraryStatus::Traceable(_) => {
                        reasons.insert("probes not in place");
                    }
                    LibraryStatus::Failed { .. } => {
                        reasons.insert("probes refused by the kernel");
                    }
                    LibraryStatus::NotTraceable(reason) => {
                        reasons.insert(reason.kind());
                    }
                }
            }
            for library in traced {
                *figures.traced.entry(library).or_default() += 1;
            }
            for reason in reasons.into_iter().filter(|_| !is_traced) {
                *figures.not_traced.entry(reason).or_default() += 1;
            }
        }
        figures
    }
}

impl fmt::Display for LibraryCoverage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let resolved = match &self.status {
            LibraryStatus::Traced { resolved, probes } => {
                write!(formatter, "traced: {resolved} in {path}, {probes} probes")?;
                resolved
            }
            LibraryStatus::Traceable(resolved) => {
                let probes = resolved.points().count();
                write!(formatter, "can be traced: {resolved} in {path}, {probes} probes")?;
                resolved
            }
            LibraryStatus::Failed { resolved, reason } => {
                write!(formatter, "not traced: {resolved} in {path}: {reason}")?;
                resolved
            }
            LibraryStatus::NotTraceable(reason) => {
                return write!(formatter, "not traced: {path}: {reason}");
            }
        };
        for reason in &resolved.refused {
            write!(formatter, "; not traced in the same file: {reason}")?;
        }
        Ok(())
    }
}

/// For every process of this host: could it be traced, and if not, why. For when no tracing is under way.
pub fn survey() -> Vec<Coverage> {
    let mut files = Files::new(Arc::default());
    all_pids()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|pid| of_process(pid, &mut files, &HashMap::new()))
        .collect()
}

/// How one process stands; `None` for a kernel thread or a process that is gone or cannot be read.
pub(super) fn of_process(
    pid: u32,
    files: &mut Files,
    attachments: &HashMap<FileIdentity, Attachment>,
) -> Option<Coverage> {
    let mapped = maps::code_files(pid).ok()?;
    if mapped.is_empty() {
        return None;
    }
    let executable = process::executable(pid).unwrap_or_default();
    let mut libraries = Vec::new();
    for file in &mapped {
        let Ok(looked) = files.look_at_mapping(file) else {
            continue;
        };
        let status = match (&looked.outcome, attachments.get(&looked.identity)) {
            (Outcome::Tls(resolved), Some(attachment)) => match &attachment.state {
                AttachmentState::Attached { probes } => LibraryStatus::Traced {
                    resolved: Arc::clone(resolved),
                    probes: *probes,
                },
                AttachmentState::Failed(reason) => LibraryStatus::Failed {
                    resolved: Arc::clone(resolved),
                    reason: reason.clone(),
                },
                AttachmentState::Offered => LibraryStatus::Traceable(Arc::clone(resolved)),
            },
            (Outcome::Tls(resolved), None) => LibraryStatus::Traceable(Arc::clone(resolved)),
            (Outcome::Other(Unresolved::NoTls), _) => match files.explain(&looked) {
                Unresolved::NoTls => continue,
                reason => LibraryStatus::NotTraceable(reason),
            },
            // A mapped file that is no ELF file is data, or code of an interpreter's own making.
            (Outcome::Other(Unresolved::Malformed(_)), _) => continue,
            // All files of such a process are alike: once is enough.
            (Outcome::Other(Unresolved::Architecture(_)), _) if file.path != Path::new(&executable) => {
                continue;
            }
            (Outcome::Other(reason), _) => LibraryStatus::NotTraceable(reason.clone()),
        };
        libraries.push(LibraryCoverage {
            path: file.path.clone(),
            status,
        });
    }
    Some(Coverage {
        pid,
        command_line: process::command_line(pid).unwrap_or_default(),
        executable,
        libraries,
        left_alone: false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::resolve::{Known, Library};
    use super::*;

    fn process(libraries: Vec<LibraryStatus>) -> Coverage {
        let libraries = libraries.into_iter().map(|status| LibraryCoverage {
            path: PathBuf::from("/opt/program"),
            status,
        });
        Coverage {
            pid: 1,
            executable: String::new(),
            command_line: Vec::new(),
            libraries: libraries.collect(),
            left_alone: false,
        }
    }

    fn traced(names: &[&'static str]) -> LibraryStatus {
        let libraries = names.iter().map(|&name| Library {
            name,
            version: None,
            provider: None,
            resolver: "symbols",
            points: Vec::new(),
        });
        LibraryStatus::Traced {
            resolved: Arc::new(Resolved {
                libraries: libraries.collect(),
                refused: Vec::new(),
                build_id: None,
            }),
            probes: 4,
        }
    }

    #[test]
    fn processes_count_by_library_and_by_what_is_in_the_way() {
        let java = || LibraryStatus::NotTraceable(Unresolved::Unsupported(Known::Java));
        let half = LibraryStatus::NotTraceable(Unresolved::Refused {
            library: "rustls 0.24.0".to_owned(),
            reason: "this version is not known yet".to_owned(),
        });
        let figures = Figures::of(&[
            process(vec![traced(&["OpenSSL"])]),
            process(vec![traced(&["OpenSSL"]), traced(&["rustls", "rustls"])]),
            process(vec![java()]),
            // A native library beside Java's own is traced.
            process(vec![java(), traced(&["s2n-tls"])]),
            process(vec![half]),
            process(vec![]),
        ]);
        let by_library: Vec<_> = figures.traced.into_iter().collect();
        assert_eq!(by_library, [("OpenSSL", 2), ("rustls", 1), ("s2n-tls", 1)]);
        let by_reason: Vec<_> = figures.not_traced.into_iter().collect();
        assert_eq!(
            by_reason,
            [("Java", 1), ("half an anchor, or an unknown version", 1)]
        );
    }
}
