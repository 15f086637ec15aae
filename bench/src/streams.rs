//! Memory and loss with two hundred streams at once.

use anyhow::Result;

use crate::Setup;
use crate::agent::Agent;
use crate::client::{Client, Work, peak_memory};
use crate::report::{Report, Target};
use tracer_tests::fake::{FakeBedrock, Options};

const SECTION: &str = "200 streams at once from 8 processes";

const PROCESSES: u32 = 8;
const THREADS: u32 = 25;

/// Adds the agent's peak memory, the spans that are missing and the records that were dropped.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<()> {
    let fake = FakeBedrock::start(&Options::default())?;
    let calls = if setup.quick { 1 } else { 4 };
    let work = Work {
        operation: "stream",
        calls,
        threads: THREADS,
        delay: 20,
        instrument: false,
    };
    let mut clients = (0..PROCESSES)
        .map(|_| Client::start(setup, &fake, work))
        .collect::<Result<Vec<_>>>()?;
    let pids: Vec<u32> = clients.iter().map(|client| client.pid).collect();
    let agent = Agent::attach(&setup.geophone, &pids)?;
    for client in &mut clients {
        client.begin()?;
    }
    for client in &mut clients {
        client.end()?;
    }
    let memory = peak_memory(agent.pid())?;
    let outcome = agent.stop()?;

    let expected = f64::from(PROCESSES * THREADS * calls);
    report.add(SECTION, "peak memory of the agent", memory, "MiB");
    report.add(SECTION, "calls made", expected, "");
    report.add_against(
        SECTION,
        "spans missing",
        expected - outcome.spans as f64,
        "",
        Target::AtMost(0.0),
    );
    report.add_against(
        SECTION,
        "records dropped",
        outcome.lost as f64,
        "",
        Target::AtMost(0.0),
    );
    Ok(())
}
