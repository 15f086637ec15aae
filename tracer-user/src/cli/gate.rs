//! A process that waits for the tracer before it becomes the user's command.
//!
//! The parent starts its own binary as `geophone __gate --parent PID -- CMD…`. That stops itself; the parent sees it stopped, sets the
//! tracer on its pid and lets it go on; it then replaces itself by CMD. So CMD has the pid, the parent and the open files
//! it would have had, and the probes are there before its first instruction.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::failure::Failure;

/// Name of the hidden subcommand.
pub(super) const NAME: &str = "__gate";

/// A command behind its gate, or released from it.
#[derive(Debug)]
pub(super) struct Gated {
    child: Child,
    pid: Pid,
    program: PathBuf,
}

impl Gated {
    /// Starts the gate and waits until it stands.
    pub(super) fn start(command: &[OsString], program: PathBuf) -> Result<Self, Failure> {
        let failed = |why: io::Error| {
            Failure::new(
                "cannot start the command",
                why,
                "check the limits on processes (ulimit -u, pids.max)",
            )
        };
        let child = Command::new("/proc/self/exe")
            .args([NAME, "--parent", &std::process::id().to_string(), "--"])
            .args(command)
            .spawn()
            .map_err(failed)?;
        let pid = Pid::from_child(&child);
        // NOWAIT leaves the exit status of a gate that failed to `Child`.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        loop {
            match rustix::process::waitid(WaitId::Pid(pid), options) {
                Ok(_) => return Ok(Self { child, pid, program }),
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
    }

    /// Process id, the same before and after the gate.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file that the command runs.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Lets the command begin.
    pub(super) fn release(&self) {
        // It can only fail when the gate is gone, which `try_wait` tells.
        rustix::process::kill_process(self.pid, Signal::CONT).ok();
    }

    /// Process id, to send signals to.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// The exit status once the command has ended.
    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the command to end.
    pub(super) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Ends a gate that is not to be opened: the command never ran.
    pub(super) fn abandon(mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The gate itself: stops, and once continued becomes the command. Returns only when it cannot.
pub(super) fn wait_then_become(parent: i32, command: &[OsString]) -> Failure {
    // Should the parent die before it opens the gate, nobody would.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).ok();
    if rustix::process::getppid().map(Pid::as_raw_pid) != Some(parent) {
        return Failure::new("cannot run the command", "geophone is gone", "start it again");
    }
    rustix::process::kill_process(rustix::process::getpid(), Signal::STOP).ok();
    rustix::process::set_parent_process_death_signal(None).ok();
    let Some((program, arguments)) = command.split_first() else {
        return Failure::new(
            "cannot run nothing",
            "no command was given",
            "name one after `--`",
        );
    };
    let error = Command::new(program).args(arguments).exec();
    cannot_run(program, &error)
}

/// The file that would be run, found as execvp(3) does; a failure that says why when there is none.
pub(super) fn find(program: &OsStr) -> Result<PathBuf, Failure> {
    if program.as_bytes().contains(&b'/') {
        return runnable(Path::new(program)).map_err(|error| cannot_run(program, &error));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    let mut reason = io::Error::from(io::ErrorKind::NotFound);
    for folder in std::env::split_paths(&path) {
        match runnable(&folder.join(program)) {
            Ok(file) => return Ok(file),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => reason = error,
            Err(_) => {}
        }
    }
    Err(cannot_run(program, &reason))
}

fn runnable(file: &Path) -> io::Result<PathBuf> {
    if !std::fs::metadata(file)?.is_file() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK)?;
    Ok(file.to_owned())
}

fn cannot_run(program: &OsStr, error: &io::Error) -> Failure {
    let what = format!("cannot run {}", program.display());
    match error.kind() {
        io::ErrorKind::NotFound => {
            let why = "there is no such command";
            Failure::new(what, why, "check the spelling and PATH, or give its whole path")
                .with_exit_code(NOT_FOUND)
        }
        io::ErrorKind::PermissionDenied => {
            let remedy = "check that it is a program, not a folder, and executable (chmod +x)";
            Failure::new(what, "permission denied", remedy).with_exit_code(CANNOT_RUN)
        }
        _ => {
            let remedy = "check that it is a program for this machine, or a script that begins with `#!`";
            Failure::new(what, error, remedy).with_exit_code(CANNOT_RUN)
        }
    }
}

/// Exit codes of shells (POSIX XCU 2.8.2) for a command that cannot be run, and for one that is not there.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;
