//! Much at once, and much in one call.

use anyhow::{Result, ensure};
use serde_json::json;
use tracer_tests::calls::{CLAUDE, Call, NOVA};
use tracer_tests::client::{Client, Kind};
use tracer_tests::environment::can_trace;
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness;
use tracer_tests::program::DEADLINE;

/// Length of the long prompt.
const SIZE: usize = 5_000_000;

/// Streams of each of the processes.
const EACH: usize = 50;

#[test]
fn a_prompt_of_five_megabytes() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    for kind in [Kind::Boto3, Kind::Aiobotocore, Kind::Node] {
        let fake = FakeBedrock::start(&Options::default())?;
        let calls = [
            Call::new(Operation::Converse, CLAUDE, &Scenario::default()).with_prompt_bytes(SIZE),
            Call::new(
                Operation::InvokeModelWithResponseStream,
                NOVA,
                &Scenario::default(),
            )
            .with_prompt_bytes(SIZE),
        ];
        let (seen, recording) = harness::record(kind, &fake, |client| client.make(&calls, 1))?;
        ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
        let served = fake.log().wait_for(calls.len(), DEADLINE);
        ensure!(served.iter().all(|served| served.request_bytes > SIZE));
        recording.proves(&served)?;
    }
    Ok(())
}

#[test]
fn an_answer_of_two_megabytes() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let scenario = Scenario {
        size: 2_000_000,
        chunks: 100,
        ..Scenario::default()
    };
    let calls = Operation::ALL.map(|operation| Call::new(operation, CLAUDE, &scenario));
    let (_, recording) = harness::record(Kind::Boto3, &fake, |client| client.make(&calls, 1))?;
    recording.proves(&fake.log().wait_for(calls.len(), DEADLINE))
}

#[test]
fn two_hundred_streams_at_once_from_four_processes() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let kinds = [Kind::Boto3, Kind::Aiobotocore, Kind::Node, Kind::Boto3];
    let mut clients = kinds
        .iter()
        .map(|kind| Client::start(*kind, &fake))
        .collect::<Result<Vec<_>>>()?;
    let pids: Vec<u32> = clients.iter().map(Client::pid).collect();
    // None goes on before all of them are under way, so each has a connection of its own.
    let together = u32::try_from(kinds.len() * EACH)?;
    let scenario = Scenario {
        chunks: 25,
        delay_ms: 10,
        size: 10_000,
        together,
        ..Scenario::default()
    };
    let calls: Vec<Call> = (0..EACH)
        .map(|index| {
            let operation = [
                Operation::ConverseStream,
                Operation::InvokeModelWithResponseStream,
            ][index % 2];
            Call::new(operation, CLAUDE, &scenario)
        })
        .collect();
    let (seen, recording) = harness::record_processes(&pids, || {
        for client in &mut clients {
            client.send(&calls, &json!({"threads": EACH}))?;
        }
        let mut seen = Vec::new();
        for client in &mut clients {
            seen.extend(client.collect(EACH)?);
        }
        for client in clients {
            client.finish()?;
        }
        Ok(seen)
    })?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    let served = fake.log().wait_for(kinds.len() * EACH, DEADLINE);
    let connections: std::collections::BTreeSet<u64> =
        served.iter().map(|served| served.connection).collect();
    assert_eq!(connections.len(), served.len(), "they were at once");
    recording.proves(&served)?;
    for pid in pids {
        let count = recording
            .spans
            .iter()
            .filter(|span| harness::is_of(span, &[pid]))
            .count();
        assert_eq!(count, EACH, "spans of process {pid}");
    }
    Ok(())
}
