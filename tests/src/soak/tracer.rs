//! The geophone under test: attached to this process, it follows every child that is started from then on.

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::readings::{Reading, Tables};
use crate::program::{DEADLINE, Program, Signal};
use crate::span::{Span, from_otlp_json_lines};

/// Time between two looks at what is left. There is no event for something that goes away in another process.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// A geophone that runs.
#[derive(Debug)]
pub(super) struct Tracer {
    program: Program,
    /// Where it serves its metrics.
    address: String,
    /// Where it would leave files.
    scratch: tempfile::TempDir,
    /// Processes that prepare the ground: their spans are not judged.
    passed_over: RefCell<Vec<u64>>,
}

/// What was left of it when it had ended.
#[derive(Debug)]
pub(super) struct Remains {
    /// What it said on standard error.
    pub(super) said: String,
    /// Files that it left.
    pub(super) files: Vec<String>,
}

impl Tracer {
    pub(super) fn attach(geophone: &Path) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("geophone-soak-").tempdir()?;
        let mut command = Command::new(geophone.canonicalize().context("no such geophone")?);
        command
            .args(["attach", "--format", "otlp-json", "--prometheus", "127.0.0.1:0"])
            .args(["--pid", &std::process::id().to_string()])
            .env("TMPDIR", scratch.path())
            .current_dir(scratch.path());
        let program = Program::start("geophone", &mut command)?;
        let line = program.wait_for_stderr("metrics are at")?;
        let address = line.split('/').nth(2).context("no address")?.to_owned();
        program.wait_for_stderr("geophone: tracing")?;
        Ok(Self {
            program,
            address,
            scratch,
            passed_over: RefCell::default(),
        })
    }

    /// Waits a moment for a span of this process, whose spans are not judged.
    pub(super) fn has_seen(&self, pid: u32) -> Result<bool> {
        let pid = u64::from(pid);
        self.passed_over.borrow_mut().push(pid);
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            for line in self.program.waiting_lines() {
                let spans = from_otlp_json_lines(&line)?;
                if spans.iter().any(|span| span.pid() == Some(pid)) {
                    return Ok(true);
                }
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until so many more spans have come, or none does any more; then all that came.
    pub(super) fn spans(&self, count: usize) -> Result<Vec<Span>> {
        let passed_over = self.passed_over.borrow();
        let mut spans = Vec::new();
        let take = |line: &str, spans: &mut Vec<Span>| -> Result<usize> {
            let own = from_otlp_json_lines(line)?;
            spans.extend(
                own.into_iter()
                    .filter(|span| span.pid().is_none_or(|pid| !passed_over.contains(&pid))),
            );
            Ok(spans.len())
        };
        if count > 0 {
            self.program.hear(|line| Ok(take(&line, &mut spans)? >= count))?;
        }
        for line in self.program.waiting_lines() {
            take(&line, &mut spans)?;
        }
        Ok(spans)
    }

    /// What it holds now.
    pub(super) fn reading(&self) -> Result<Reading> {
        Reading::take(self.program.pid(), &self.address)
            .with_context(|| format!("geophone said:\n{}", self.program.stderr()))
    }

    /// Waits until the tracer holds no more than it did at first, or, where nothing is to compare with, until that no longer
    /// changes; and not beyond a deadline. Then what it holds.
    pub(super) fn settle(&self, first: Option<&Reading>) -> Result<Reading> {
        let deadline = Instant::now() + DEADLINE / 2;
        let mut before: Option<Tables> = None;
        loop {
            let reading = self.reading()?;
            let is_settled = match first {
                Some(first) => excess(first, &reading).is_empty(),
                None => before.as_ref() == Some(&reading.tables),
            };
            if is_settled || Instant::now() >= deadline {
                return Ok(reading);
            }
            before = Some(reading.tables);
            std::thread::sleep(if first.is_some() { BETWEEN_LOOKS } else { UNCHANGED });
        }
    }

    /// Ends it as systemd would.
    pub(super) fn stop(mut self) -> Result<Remains> {
        self.program.signal(Signal::TERM)?;
        self.program.succeed()?;
        let files = std::fs::read_dir(self.scratch.path())?
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        Ok(Remains {
            said: self.program.stderr(),
            files,
        })
    }
}

/// What did not change for so long is taken to stay as it is: longer than the tracer's own time between two looks.
const UNCHANGED: Duration = Duration::from_secs(6);

/// Tables whose entries stay by intention when a process ends, up to a limit of their own.
const REMEMBERED: [&str; 1] = ["metered_processes"];

/// Everything of which there is more than there was at first.
pub(super) fn excess(first: &Reading, now: &Reading) -> Vec<String> {
    let counts = [
        ("probes", first.probes, now.probes),
        ("objects of BPF", first.kernel_objects, now.kernel_objects),
        ("open files", first.files, now.files),
        ("threads", first.threads, now.threads),
    ];
    let tables = now.tables.iter().map(|(name, entries)| {
        let before = first.tables.get(name).copied().unwrap_or(0);
        (name.as_str(), before, *entries)
    });
    counts
        .into_iter()
        .chain(tables)
        .filter(|(name, before, now)| now > before && !REMEMBERED.contains(name))
        .map(|(name, before, now)| format!("{name}: {now} are left, {before} were there at first"))
        .collect()
}
