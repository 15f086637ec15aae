//! The boto3 program whose CPU time is measured, and the CPU time of any process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::Setup;
use tracer_tests::environment::client_file;
use tracer_tests::fake::FakeBedrock;

/// What the program is asked to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// `converse` or `stream`.
    pub(crate) operation: &'static str,
    /// Calls of each thread in a round.
    pub(crate) calls: u32,
    /// Threads.
    pub(crate) threads: u32,
    /// Milliseconds between two deltas of a stream.
    pub(crate) delay: u32,
    /// Whether OpenTelemetry's instrumentation runs in the program.
    pub(crate) instrument: bool,
}

/// The program, warm and waiting.
#[derive(Debug)]
pub(crate) struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Its pid.
    pub(crate) pid: u32,
}

#[derive(Debug, Deserialize)]
struct Ready {
    pid: u32,
}

#[derive(Debug, Deserialize)]
struct Round {
    cpu_seconds: f64,
    failures: Vec<String>,
}

impl Client {
    /// Starts the program and waits until it has made its first calls.
    pub(crate) fn start(setup: &Setup, fake: &FakeBedrock, work: Work) -> Result<Self> {
        let mut command = Command::new(&setup.python);
        command
            .arg(client_file("bench_boto3.py"))
            .args(["--endpoint", &fake.endpoint()])
            .arg("--ca")
            .arg(fake.authority())
            .args(["--operation", work.operation])
            .args(["--calls", &work.calls.to_string()])
            .args(["--threads", &work.threads.to_string()])
            .args(["--delay", &work.delay.to_string()]);
        if work.instrument {
            command.arg("--instrument");
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", setup.python.display()))?;
        let input = child.stdin.take().context("the client has no input")?;
        let mut output = BufReader::new(child.stdout.take().context("the client has no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let Ready { pid } = serde_json::from_str(&line).context("the client failed before its first call")?;
        Ok(Self {
            child,
            input,
            output,
            pid,
        })
    }

    /// Lets the program begin a round.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.input.write_all(b"\n").context("the client is gone")
    }

    /// Waits for the end of the round; gives the CPU seconds it took.
    pub(crate) fn end(&mut self) -> Result<f64> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let Round {
            cpu_seconds,
            failures,
        } = serde_json::from_str(&line).context("the client died")?;
        if let Some(failure) = failures.first() {
            bail!("a call of the client failed: {failure}");
        }
        Ok(cpu_seconds)
    }

    /// A whole round.
    pub(crate) fn round(&mut self) -> Result<f64> {
        self.begin()?;
        self.end()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It is ours, and has nothing to lose.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// User and system CPU seconds of a process so far (`proc(5)`, `/proc/PID/stat` fields 14 and 15).
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat
        .rsplit_once(')')
        .context("no process name in /proc/PID/stat")?;
    let fields: Vec<i64> = rest
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    // After the name comes the state, which is no number, then field 4.
    let user = fields.get(10).context("no user time in /proc/PID/stat")?;
    let system = fields.get(11).context("no system time in /proc/PID/stat")?;
    let ticks = rustix::param::clock_ticks_per_second();
    Ok((user + system) as f64 / ticks as f64)
}

/// The most memory a process had so far, in MiB (`VmHWM`).
pub(crate) fn peak_memory(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1024.0)
}
