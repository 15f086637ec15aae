//! Minutes under one tracer, in which processes of many kinds start, stream, end and are killed: nothing may be missing, and
//! nothing may be left behind.
//!
//! The tracer is attached to this process and follows its children, so it sees nobody else's. Time goes by in rounds; at the end
//! of each every process but a few idle ones has ended, every span is held against what was served, and the tracer must
//! hold no more than after the first minute. The idle ones, one of each kind, are there so that libraries stay in use.

mod crowd;
mod judge;
mod readings;
mod report;
mod service;
mod tracer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::Client;
use crate::fake::Served;
use crate::span::Span;
use crowd::{Crowd, Fate, KINDS, Life};
use judge::{Judgement, judge};
pub use report::Report;
use report::Round;
use service::Service;
use tracer::Tracer;

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The binary under test.
    pub geophone: PathBuf,
    /// The server that the clients call, `fake-bedrock`.
    pub fake: PathBuf,
    /// About how long the rounds take together.
    pub time: Duration,
    /// How many rounds that time has; at least two.
    pub rounds: u32,
    /// Processes at a time.
    pub processes: usize,
    /// Streams that a process makes.
    pub streams: usize,
    /// Milliseconds between two deltas of a stream.
    pub pace_ms: u64,
}

/// New processes are started for this part of a round; in the rest those that live come to their end.
const STARTING: (u32, u32) = (2, 3);

/// Does it, and tells `say` how it goes.
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<Report> {
    // For as long as this is held the kernel measures how long programs run. It may be too old for that.
    let _measured = aya::sys::enable_stats(aya::sys::Stats::RunTime).ok();
    let service = Service::start(&plan.fake)?;
    let mut tracer = Tracer::attach(&plan.geophone)?;
    let crowd = Crowd::new(plan, service.facts())?;
    let idle = prepare(&crowd, &tracer)?;
    service.served(0)?;
    let first = tracer.settle(None)?;
    let mut report = Report::new(first);
    say(&Report::head());
    for _ in 0..plan.rounds.max(2) {
        let round = one_round(plan, &crowd, &service, &mut tracer, &report)?;
        say(&round.line(&report));
        for finding in round.findings() {
            say(&format!("      {finding}"));
        }
        report.rounds.push(round);
    }
    for client in idle {
        client.finish()?;
    }
    report.last = Some(tracer.settle(None)?);
    report.ended(tracer.stop()?);
    Ok(report)
}

/// Lets one client of each kind call until its calls are seen, since the first of a kind is looked into while it runs.
fn prepare(crowd: &Crowd<'_>, tracer: &Tracer) -> Result<Vec<Client>> {
    KINDS
        .into_iter()
        .map(|kind| {
            let mut client = crowd.idle(kind)?;
            let deadline = Instant::now() + crate::program::DEADLINE;
            loop {
                client.make(&[crowd::first_call()], 1)?;
                if tracer.has_seen(client.pid())? {
                    return Ok(client);
                }
                anyhow::ensure!(Instant::now() < deadline, "no call of {kind:?} is ever seen");
            }
        })
        .collect()
}

fn one_round(
    plan: &Plan,
    crowd: &Crowd<'_>,
    service: &Service,
    tracer: &mut Tracer,
    report: &Report,
) -> Result<Round> {
    let length = plan.time / plan.rounds.max(2);
    let begin = Instant::now();
    let before = tracer.reading()?;
    let (part, of) = STARTING;
    let lives = crowd.live_until(begin + length * part / of)?;
    let calls = lives.iter().map(|life| life.calls).sum();
    let served: Vec<Served> = service.served(calls)?;
    let mut spans: Vec<Span> = tracer.spans(served.len())?;
    let reading = tracer.settle(Some(&report.first))?;
    // After that nothing more may come.
    spans.extend(tracer.spans(0)?);
    let Judgement {
        mut findings,
        served,
        cut,
    } = judge(&lives, &served, spans, std::process::id());
    findings.extend(report.left_behind(&reading));
    let fated = |fate: Fate| lives.iter().filter(|life: &&Life| life.fate == fate).count();
    Ok(Round {
        seconds: begin.elapsed().as_secs_f64(),
        processes: lives.len(),
        killed: fated(Fate::Killed),
        brief: fated(Fate::Brief),
        streams: served,
        cut,
        cpu_seconds: reading.cpu_seconds - before.cpu_seconds,
        kernel_seconds: reading.kernel_seconds - before.kernel_seconds,
        reading,
        findings,
    })
}
