//! Processes that say more than geophone takes in, and a neighbour that does not.

use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::json;
use tracer_tests::calls::{CLAUDE, Call, NOVA};
use tracer_tests::client::{Client, Kind};
use tracer_tests::environment::{can_trace, geophone};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options, Served};
use tracer_tests::harness::{Agent, is_of, match_spans};
use tracer_tests::program::{DEADLINE, Signal};

/// Calls of each loud client; one of them alone is a quarter of the ring.
const LOUD_CALLS: usize = 6;
/// Calls of the quiet one.
const QUIET_CALLS: usize = 8;

#[test]
fn a_client_has_all_its_spans_while_three_others_flood_the_ring() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut loud = (0..3)
        .map(|_| Client::start(Kind::Boto3, &fake))
        .collect::<Result<Vec<_>>>()?;
    let mut quiet = Client::start(Kind::Boto3, &fake)?;
    let loud_pids: Vec<u32> = loud.iter().map(Client::pid).collect();
    let quiet_pid = quiet.pid();

    let mut command = Command::new(geophone()?);
    command.args(["attach", "--format", "otlp-json", "--prometheus", "127.0.0.1:0"]);
    command.args(["--ring-size", "4194304", "--pid", &quiet_pid.to_string()]);
    for pid in &loud_pids {
        command.args(["--pid", &pid.to_string()]);
    }
    let agent = Agent::start(&mut command)?;
    let mut asker = agent.asker()?;

    // However fast or slow this machine is: nothing is read until everything is said.
    agent.program().signal(Signal::STOP)?;
    let prompt = Call::new(Operation::InvokeModel, NOVA, &Scenario::default()).with_prompt_bytes(1_000_000);
    let prompts = vec![prompt; LOUD_CALLS];
    for client in &mut loud {
        client.send(&prompts, &json!({"threads": 2}))?;
    }
    for client in &mut loud {
        let seen = client.collect(LOUD_CALLS)?;
        ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    }
    let calls = [Operation::Converse, Operation::ConverseStream]
        .map(|operation| Call::new(operation, CLAUDE, &Scenario::default()));
    let calls: Vec<Call> = calls.into_iter().cycle().take(QUIET_CALLS).collect();
    let seen = quiet.make(&calls, 1)?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    agent.program().signal(Signal::CONT)?;

    let told = agent.spans_of(&[quiet_pid], QUIET_CALLS)?;
    asker.wait_for("geophone_lost_records_total", "process_share", 1.0)?;
    for client in loud.into_iter().chain([quiet]) {
        client.finish()?;
    }
    let mut served = fake
        .log()
        .wait_for(loud_pids.len() * LOUD_CALLS + QUIET_CALLS, DEADLINE);
    served.retain(|served: &Served| {
        seen.iter()
            .any(|seen| seen.request_id.as_ref() == Some(&served.request_id))
    });
    let said = agent.stderr();
    let spans = agent.ended()?;
    match_spans(&told, &served)?;
    ensure!(!spans.iter().any(|span| is_of(span, &[quiet_pid])), "{spans:#?}");
    let warned_of =
        |pid: u32| said.contains(&format!("process {pid} (")) && said.contains("fills the ring buffer");
    ensure!(loud_pids.iter().any(|pid| warned_of(*pid)), "{said}");
    ensure!(!warned_of(quiet_pid), "{said}");
    Ok(())
}
