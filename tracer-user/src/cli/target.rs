//! What is traced live.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::gate;

/// Whom the probes are set on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// Every process.
    Host,
    /// Running processes and their later children.
    Processes(Vec<u32>),
    /// A command that is not running yet.
    Command {
        /// Name and arguments.
        words: &'a [OsString],
        /// The file that the name stands for.
        program: PathBuf,
    },
}

impl<'a> Target<'a> {
    /// Processes that must be running.
    pub(super) fn processes(pids: &[u32]) -> Result<Self, Failure> {
        let mut known = Vec::new();
        for &pid in pids {
            check_process(pid)?;
            if !known.contains(&pid) {
                known.push(pid);
            }
        }
        Ok(Self::Processes(known))
    }

    /// A command that must be there to be run.
    pub(super) fn command(words: &'a [OsString]) -> Result<Self, Failure> {
        let program = gate::find(words.first().map(OsString::as_os_str).unwrap_or_default())?;
        Ok(Self::Command { words, program })
    }
}

fn check_process(pid: u32) -> Result<(), Failure> {
    let what = || format!("cannot trace process {pid}");
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        let why = "there is no process with this id";
        return Err(Failure::new(
            what(),
            why,
            "it may have ended: `pgrep -a NAME` tells who is running",
        ));
    };
    // /proc knows threads by their ids as well.
    let group = field(&status, "Tgid:")
        .and_then(|id| id.parse().ok())
        .unwrap_or(pid);
    if group != pid {
        let why = format!("{pid} is a thread of process {group}");
        return Err(Failure::new(what(), why, format!("use --pid {group}")));
    }
    if field(&status, "State:").is_some_and(|state| state.starts_with(['Z', 'X'])) {
        return Err(Failure::new(
            what(),
            "it has ended already",
            "start it again and trace the new process",
        ));
    }
    Ok(())
}

/// Whether a process still runs: not gone and no zombie. One that cannot be looked at is taken to run.
pub(super) fn is_running(pid: u32) -> bool {
    match std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")) {
        Ok(status) => !field(&status, "State:").is_some_and(|state| state.starts_with(['Z', 'X'])),
        // A process may go while it is read: ESRCH.
        Err(error) => {
            error.kind() != io::ErrorKind::NotFound
                && rustix::io::Errno::from_io_error(&error) != Some(rustix::io::Errno::SRCH)
        }
    }
}

/// A field of `proc_pid_status(5)`.
fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}
