//! Everything behind the probes, proved without a kernel: the fake taps its own plaintext, which becomes a recording, and
//! `geophone replay` must say of it what was served.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result};
use tracer_tests::calls::{CLAUDE, Call, NOVA, TITAN};
use tracer_tests::client::{Client, Kind};
use tracer_tests::fake::scenario::{Answer, Failure, Framing, Scenario, Stop};
use tracer_tests::fake::tap::{Happened, Tap, Tapped};
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{match_spans, replay};
use tracer_tests::program::DEADLINE;
use tracer_user::capture::Writer;
use tracer_user::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, Process, ProcessKey};

const CLIENT: ProcessKey = ProcessKey {
    pid: 4711,
    start_ns: 1,
};

/// The file that probes in the client would have given. The monotonic clock of this host began at `boot`.
fn record(tapped: &[Tapped], file: File) -> Result<()> {
    let boot = tapped.first().context("something passed")?.unix_ns - 1_000_000_000;
    let mut writer = Writer::new(file)?;
    writer.event(&ProbeEvent::Host(Host {
        boot_id: "7f1c9a52-9f0b-4a65-8a3f-0c9d5d0a4b11".to_owned(),
        name: "quarry".to_owned(),
        wall_offset_ns: i64::try_from(boot)?,
    }))?;
    writer.event(&ProbeEvent::Process(Arc::new(Process {
        key: CLIENT,
        parent_pid: 1,
        executable: "/usr/bin/client".to_owned(),
        command_line: vec!["client".to_owned()],
        environment: Vec::new(),
        cgroup: "/".to_owned(),
    })))?;
    let mut offsets = BTreeMap::new();
    for Tapped {
        connection,
        unix_ns,
        what,
    } in tapped
    {
        let connection = ConnectionKey {
            process: CLIENT,
            address: 0x1000 * (connection + 1),
            generation: 1,
        };
        let time = Monotonic(unix_ns - boot);
        let (direction, bytes) = match what {
            Happened::Opened => {
                writer.event(&ProbeEvent::Open { connection, time })?;
                continue;
            }
            Happened::Closed => {
                writer.event(&ProbeEvent::Close { connection, time })?;
                continue;
            }
            Happened::Sent(bytes) => (Direction::Write, bytes),
            Happened::Received(bytes) => (Direction::Read, bytes),
        };
        let offset = offsets.entry((connection, direction)).or_insert(0);
        writer.event(&ProbeEvent::Data(Data {
            connection,
            direction,
            thread: CLIENT.pid,
            time,
            stream_offset: *offset,
            call_length: bytes.len() as u64,
            call_offset: 0,
            joined_late: false,
            bytes: bytes.as_slice().into(),
        }))?;
        *offset += bytes.len() as u64;
    }
    writer.flush()?;
    Ok(())
}

fn replay_tells_what_was_served(kind: Kind, calls: &[Call], responses: usize) -> Result<()> {
    let tap = Tap::default();
    let fake = FakeBedrock::start(&Options {
        tap: Some(tap.clone()),
        ..Options::default()
    })?;
    let mut client = Client::start(kind, &fake)?;
    client.make(calls, 4)?;
    client.finish()?;
    let served = fake.log().wait_for(responses, DEADLINE);
    drop(fake);
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("tapped.pcapng");
    record(&tap.all(), File::create(&file)?)?;
    let (spans, said) = replay(&file)?;
    match_spans(&spans, &served).with_context(|| format!("replay said:\n{said}"))
}

fn answers() -> Vec<Scenario> {
    let plain = Scenario::default();
    vec![
        plain.clone(),
        Scenario {
            chunks: 40,
            size: 90_000,
            framing: Framing::Chunked,
            ragged: Some(5),
            stop: Some(Stop::MaxTokens),
            ..plain.clone()
        },
        Scenario {
            cache_read: Some(500),
            cache_write: Some(0),
            stop: Some(Stop::StopSequence),
            ..plain.clone()
        },
        Scenario {
            stop: Some(Stop::ContentFiltered),
            ..plain.clone()
        },
        Scenario {
            fail: Some(Failure::Validation),
            ..plain
        },
    ]
}

#[test]
fn every_answer_of_every_family() -> Result<()> {
    let mut calls = Vec::new();
    for scenario in answers() {
        for operation in Operation::ALL {
            calls.extend([CLAUDE, NOVA, TITAN].map(|model| Call::new(operation, model, &scenario)));
        }
    }
    let tool = Scenario {
        answer: Answer::Tool,
        ..Scenario::default()
    };
    for operation in Operation::ALL {
        calls.extend([CLAUDE, NOVA].map(|model| Call::new(operation, model, &tool).with_tools()));
    }
    for kind in [Kind::Boto3, Kind::Aiobotocore, Kind::Node] {
        replay_tells_what_was_served(kind, &calls, calls.len()).with_context(|| format!("{kind:?}"))?;
    }
    Ok(())
}

#[test]
fn compressed_answers_and_remote_parents() -> Result<()> {
    let compressed = Scenario {
        gzip: true,
        ragged: Some(9),
        ..Scenario::default()
    };
    let calls: Vec<Call> = Operation::ALL
        .into_iter()
        .flat_map(|operation| {
            let call = Call::new(operation, CLAUDE, &compressed);
            [
                call.clone().with_header(
                    "traceparent",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                ),
                call.with_header(
                    "X-Amzn-Trace-Id",
                    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
                ),
            ]
        })
        .collect();
    replay_tells_what_was_served(Kind::Node, &calls, calls.len())
}

#[test]
fn streams_that_fail_or_are_cut() -> Result<()> {
    let mut calls = Vec::new();
    for operation in [
        Operation::ConverseStream,
        Operation::InvokeModelWithResponseStream,
    ] {
        for failure in [
            Failure::Throttling,
            Failure::Validation,
            Failure::ModelError,
            Failure::Internal,
            Failure::Unavailable,
        ] {
            let failing = Scenario {
                exception: Some(failure),
                after: 2,
                ..Scenario::default()
            };
            calls.push(Call::new(operation, NOVA, &failing));
        }
        let cut = Scenario {
            cut: true,
            after: 2,
            ..Scenario::default()
        };
        calls.push(Call::new(operation, CLAUDE, &cut));
    }
    replay_tells_what_was_served(Kind::Boto3, &calls, calls.len())
}
