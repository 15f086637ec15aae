//! A child process that is talked to line by line. Waiting is for lines with a deadline, never for time to pass.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
pub use rustix::process::Signal;
use rustix::process::{Pid, PidfdFlags, kill_process, pidfd_open};

/// How long anything may take before the test gives up. Generous: the machine may be busy, and only failures wait it out.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    said: Arc<Mutex<String>>,
}

impl Program {
    /// Starts a program with its three streams in our hands.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        let said = Arc::new(Mutex::new(String::new()));
        let stdin = child.stdin.take();
        let stdout = lines(child.stdout.take(), None);
        let stderr = lines(child.stderr.take(), Some(Arc::clone(&said)));
        Ok(Self {
            name: name.to_owned(),
            child,
            stdin,
            stdout,
            stderr,
            said,
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("standard input is closed")?;
        stdin
            .write_all(line.as_bytes())
            .and_then(|()| stdin.write_all(b"\n"))
            .and_then(|()| stdin.flush())
            .map_err(|error| anyhow!("{} does not listen: {error}\n{}", self.name, self.stderr()))
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Next line of its standard output; none when it is closed.
    pub fn line(&self) -> Result<Option<String>> {
        match self.stdout.recv_timeout(DEADLINE) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("{} said nothing for {DEADLINE:?}\n{}", self.name, self.stderr())
            }
        }
    }

    /// Hands over lines of standard output as they come, until one of them is the last that is wanted. `false` where that
    /// one did not come: the program closed its output, or said nothing for [`DEADLINE`].
    pub fn hear(&self, mut is_last: impl FnMut(String) -> Result<bool>) -> Result<bool> {
        while let Ok(line) = self.stdout.recv_timeout(DEADLINE) {
            if is_last(line)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Lines of standard output that have come and were not asked for yet.
    pub fn waiting_lines(&self) -> Vec<String> {
        self.stdout.try_iter().collect()
    }

    /// Lines of standard output until it closes.
    pub fn remaining_lines(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        while let Some(line) = self.line()? {
            lines.push(line);
        }
        Ok(lines)
    }

    /// Waits for a line on standard error that contains a text.
    pub fn wait_for_stderr(&self, text: &str) -> Result<String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.stderr.recv_timeout(left) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(_) => {}
                Err(_) => bail!("{} never said {text:?}; it said:\n{}", self.name, self.stderr()),
            }
        }
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("cannot send a signal to {}", self.name))
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.close_stdin();
        if let Some(status) = self.child.try_wait()? {
            self.hear_the_rest();
            return Ok(status);
        }
        let process = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?;
        let deadline = Timespec::try_from(DEADLINE)?;
        let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&deadline))?;
        if ended == 0 {
            bail!("{} does not end; it said:\n{}", self.name, self.stderr());
        }
        let status = self.child.wait()?;
        self.hear_the_rest();
        Ok(status)
    }

    /// Takes in what stands in the pipe after the end. A child of the program may hold the other end open, so this does not
    /// insist on the pipe being closed.
    fn hear_the_rest(&self) {
        while self.stderr.recv_timeout(Duration::from_secs(2)).is_ok() {}
    }

    /// Waits for its end and wants it to be a success.
    pub fn succeed(&mut self) -> Result<()> {
        let status = self.wait()?;
        if !status.success() {
            bail!("{} ended with {status}; it said:\n{}", self.name, self.stderr());
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may end by itself in between; then there is nothing to kill.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

fn lines(
    stream: Option<impl std::io::Read + Send + 'static>,
    keep: Option<Arc<Mutex<String>>>,
) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(stream) = stream {
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if let Some(keep) = &keep {
                    let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.push_str(&line);
                    kept.push('\n');
                }
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}
