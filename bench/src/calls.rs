//! What one TLS call costs the traced process: with no probe, with an empty pair of probes, with a bare copy to a ring
//! buffer, and with geophone on a connection that it ignores and on one that it wants.

use std::io::{BufRead as _, BufReader, Write as _};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::maps::RingBuf;
use aya::programs::UProbe;
use aya::programs::uprobe::UProbeScope;

use crate::Setup;
use crate::agent::Agent;
use crate::report::{Report, Target, median};

const SECTION: &str = "one TLS call in the traced process";

/// Sizes of a call: a streamed event, a small answer, a full TLS record.
const SIZES: [u32; 3] = [200, 4096, 16384];

/// A round fits into the ring buffers, so that no reader has to keep up and no call is cheap by being dropped.
const BYTES_A_ROUND: u32 = 6 << 20;
const CALLS_A_ROUND_MOST: u32 = 4000;

/// Function of the stand-in that carries the data.
const PROBED: &str = "SSL_write";

/// Adds the cost of a call in every state and the ratios that were promised.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<()> {
    for size in SIZES {
        let rounds = if setup.quick { 5 } else { 25 };
        let bare = Standin::start(setup, "/health", size)?.rounds(rounds)?;
        let (empty, copy) = measure_programs(setup, size, rounds)?;
        let ignored = measure_geophone(setup, "/health", size, rounds)?;
        let wanted = measure_geophone(setup, "/model/amazon.nova-micro-v1%3A0/converse", size, rounds)?;

        report.add(SECTION, format!("{size} B, no probe"), bare, "ns");
        report.add(SECTION, format!("{size} B, empty pair of probes"), empty, "ns");
        report.add(
            SECTION,
            format!("{size} B, bare copy to a ring buffer"),
            copy,
            "ns",
        );
        report.add(SECTION, format!("{size} B, geophone, ignored"), ignored, "ns");
        report.add(SECTION, format!("{size} B, geophone, wanted"), wanted, "ns");
        report.add_against(
            SECTION,
            format!("{size} B, ignored / empty pair"),
            ignored / empty,
            "×",
            Target::AtMost(1.1),
        );
        let name = format!("{size} B, wanted / bare copy");
        if size == 16384 {
            report.add_against(SECTION, name, wanted / copy, "×", Target::AtMost(1.5));
        } else {
            report.add(SECTION, name, wanted / copy, "×");
        }
    }
    Ok(())
}

/// The stand-in, waiting for rounds.
struct Standin {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pid: NonZeroU32,
}

impl Standin {
    fn start(setup: &Setup, target: &str, size: u32) -> Result<Self> {
        let calls = (BYTES_A_ROUND / size).min(CALLS_A_ROUND_MOST);
        let mut child = Command::new(&setup.standin)
            .args([target, &size.to_string(), &calls.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", setup.standin.display()))?;
        let input = child.stdin.take().context("the stand-in has no input")?;
        let mut output = BufReader::new(child.stdout.take().context("the stand-in has no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let pid = line.trim().parse().context("the stand-in did not say its pid")?;
        Ok(Self {
            child,
            input,
            output,
            pid,
        })
    }

    /// Nanoseconds a call, the median of so many rounds after one to warm up.
    fn rounds(&mut self, count: u32) -> Result<f64> {
        let mut costs = Vec::new();
        for round in 0..=count {
            self.input.write_all(b"\n")?;
            let mut line = String::new();
            self.output.read_line(&mut line)?;
            let cost = line
                .trim()
                .parse::<f64>()
                .context("the stand-in did not say a time")?;
            if round > 0 {
                costs.push(cost);
            }
        }
        Ok(median(costs))
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        // It is ours, and has nothing to lose.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The empty pair and the bare copy.
fn measure_programs(setup: &Setup, size: u32, rounds: u32) -> Result<(f64, f64)> {
    let mut standin = Standin::start(setup, "/health", size)?;
    let empty = {
        let mut programs = Ebpf::load_file(&setup.programs)
            .context("cannot load the benchmark's programs; it needs root")?;
        attach(&mut programs, "empty_entry", &setup.standin, standin.pid)?;
        attach(&mut programs, "empty_return", &setup.standin, standin.pid)?;
        standin.rounds(rounds)?
    };
    let mut programs = Ebpf::load_file(&setup.programs)?;
    attach(&mut programs, "copy_entry", &setup.standin, standin.pid)?;
    attach(&mut programs, "copy_return", &setup.standin, standin.pid)?;
    let mut ring = RingBuf::try_from(
        programs
            .take_map("RING")
            .context("the benchmark has no ring buffer")?,
    )?;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) {
                while ring.next().is_some() {}
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let copy = standin.rounds(rounds);
    stop.store(true, Ordering::Relaxed);
    reader
        .join()
        .ok()
        .context("the reader of the ring buffer failed")?;
    Ok((empty, copy?))
}

fn attach(programs: &mut Ebpf, name: &str, target: &Path, pid: NonZeroU32) -> Result<()> {
    let program: &mut UProbe = programs
        .program_mut(name)
        .with_context(|| format!("the benchmark has no program {name}"))?
        .try_into()?;
    program.load()?;
    program.attach(PROBED, target, UProbeScope::OneProcess(pid))?;
    Ok(())
}

fn measure_geophone(setup: &Setup, target: &str, size: u32, rounds: u32) -> Result<f64> {
    let mut standin = Standin::start(setup, target, size)?;
    let agent = Agent::attach(&setup.geophone, &[standin.pid.get()])?;
    let cost = standin.rounds(rounds)?;
    let outcome = agent.stop()?;
    ensure!(
        outcome.lost == 0,
        "{} records were dropped: what is dropped costs too little",
        outcome.lost
    );
    Ok(cost)
}
