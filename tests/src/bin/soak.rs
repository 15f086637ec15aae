//! Lets processes of many kinds come and go under one tracer for minutes, and says what was missing and what was left behind.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use tracer_tests::environment::can_trace;
use tracer_tests::soak::{Plan, run};

/// A soak of geophone: needs root.
#[derive(Debug, Parser)]
#[command(name = "soak")]
struct Arguments {
    /// The geophone under test.
    #[arg(long)]
    geophone: PathBuf,
    /// The server that clients call.
    #[arg(long)]
    fake: PathBuf,
    /// About how long.
    #[arg(long)]
    seconds: u64,
    /// Processes at a time.
    #[arg(long, default_value_t = 30)]
    processes: usize,
    /// Streams that a process makes.
    #[arg(long, default_value_t = 50)]
    streams: usize,
    /// Milliseconds between two deltas of a stream.
    #[arg(long, default_value_t = 150)]
    pace: u64,
}

/// Time of one round.
const ROUND_SECONDS: u64 = 60;

fn main() -> Result<ExitCode> {
    let Arguments {
        geophone,
        fake,
        seconds,
        processes,
        streams,
        pace,
    } = Arguments::parse();
    if !can_trace() {
        return Ok(ExitCode::FAILURE);
    }
    let plan = Plan {
        geophone,
        fake,
        time: Duration::from_secs(seconds),
        rounds: u32::try_from(seconds / ROUND_SECONDS)?.max(2),
        processes,
        streams,
        pace_ms: pace,
    };
    let report = run(&plan, &mut |line| say(line))?;
    say(&format!("\n{}", report.summary()));
    let findings = report.findings();
    for finding in &findings {
        say(&format!("finding: {finding}"));
    }
    if findings.is_empty() {
        say("nothing is missing, nothing is left behind");
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("geophone said:\n{}", report.said()));
    Ok(ExitCode::FAILURE)
}

fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    // Nothing can be told to someone whose terminal is gone.
    writeln!(stdout, "{line}").ok();
    stdout.flush().ok();
}
