//! `geophone` on a pseudo terminal of its own, and what a terminal would show of it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use rustix::pty::OpenptFlags;
use rustix::termios::{Termios, Winsize};

use crate::environment::geophone;
use crate::program::DEADLINE;

const LINES: NonZero<u16> = NonZero::new(24).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(100).unwrap();

/// A pseudo terminal with geophone on it.
pub struct Terminal {
    child: Child,
    /// Keys go in here.
    keys: File,
    /// Held, so that the settings of the terminal can be read when geophone is gone.
    line: OwnedFd,
    before: Termios,
    screen: vt100::Parser,
    output: Receiver<Vec<u8>>,
}

impl Terminal {
    /// Starts `geophone` with these arguments.
    pub fn start(arguments: &[impl AsRef<OsStr>]) -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let host = rustix::pty::openpt(flags).context("no pseudo terminal")?;
        rustix::pty::grantpt(&host)?;
        rustix::pty::unlockpt(&host)?;
        let name = rustix::pty::ptsname(&host, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line = rustix::fs::open(name, flags, Mode::empty())?;
        let size = Winsize {
            ws_row: LINES.get(),
            ws_col: COLUMNS.get(),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&line, size)?;
        let before = rustix::termios::tcgetattr(&line)?;

        let child = Command::new(geophone()?)
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env_remove("GEOPHONE_LOG")
            // A job of its own, as a shell would start it: it can be stopped without the tests.
            .process_group(0)
            .stdin(line.try_clone()?)
            .stdout(line.try_clone()?)
            .stderr(Stdio::from(line.try_clone()?))
            .spawn()?;
        let keys = File::from(host);
        let mut reader = keys.try_clone()?;
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = reader.read(&mut buffer) {
                let read = buffer.get(..count).unwrap_or_default().to_vec();
                if read.is_empty() || sender.send(read).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            keys,
            line,
            before,
            screen: vt100::Parser::new(LINES, COLUMNS, 0),
            output,
        })
    }

    /// Types keys.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.keys.write_all(keys.as_bytes())?)
    }

    /// Writes on the screen, as another program of the same terminal.
    pub fn scribble(&self, text: &str) -> Result<()> {
        rustix::io::write(&self.line, text.as_bytes())?;
        Ok(())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(rustix::process::kill_process(
            Pid::from_child(&self.child),
            signal,
        )?)
    }

    /// What stands on the screen, line by line.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Whether a program has taken the whole screen.
    pub fn is_taken(&self) -> bool {
        self.screen.screen().alternate_screen()
    }

    /// Waits until the screen shows it.
    pub fn wait_until(&mut self, what: &str, shown: impl Fn(&str) -> bool) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        while !shown(&self.text()) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(error) => bail!("{what} never came ({error}); the screen shows\n{}", self.text()),
            }
        }
        Ok(())
    }

    /// Waits until geophone is stopped as Ctrl-Z does it, and wants the terminal to be as it was.
    pub fn stopped(&mut self) -> Result<()> {
        let child = Pid::from_child(&self.child);
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = rustix::process::waitid(WaitId::Pid(child), options)?;
        ensure!(status.is_some_and(|status| status.stopped()), "it has ended");
        self.is_given_back("stopped")
    }

    /// Waits for the end, and wants the terminal to be as it was.
    pub fn ended(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait()?;
        self.is_given_back("the end")?;
        Ok(status)
    }

    fn is_given_back(&mut self, word: &str) -> Result<()> {
        // What it wrote before its end is still on its way; a line of ours comes after it.
        rustix::io::write(&self.line, format!("\r\n{word}").as_bytes())?;
        self.wait_until(word, |text| text.contains(word))?;
        ensure!(!self.is_taken(), "the screen was not given back");
        ensure!(
            !self.screen.screen().hide_cursor(),
            "the cursor was not given back"
        );
        let (before, after) = (&self.before, rustix::termios::tcgetattr(&self.line)?);
        ensure!(
            format!("{before:?}") == format!("{after:?}"),
            "the line was {before:?} and is {after:?}"
        );
        Ok(())
    }
}

impl Terminal {
    /// Takes the terminal away, as closing its window does, and waits for the end.
    pub fn hang_up(mut self) -> Result<ExitStatus> {
        // The reader holds the terminal too: what is written makes it see that nobody listens.
        self.output = mpsc::channel().1;
        self.keys = File::open("/dev/null")?;
        rustix::io::write(&self.line, b"\r\nthe end")?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
