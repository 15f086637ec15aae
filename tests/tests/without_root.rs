//! Everything behind the probes, proved without a kernel: the fake taps its own plaintext, which becomes a recording, and
//! `geophone replay` must say of it what was served.

mod tapped;

use anyhow::{Context, Result};
use tracer_tests::calls::{CLAUDE, Call, NOVA, TITAN};
use tracer_tests::client::Kind;
use tracer_tests::fake::Operation;
use tracer_tests::fake::scenario::{Answer, Failure, Framing, Scenario, Stop};
use tracer_tests::harness::{match_spans, replay};

fn replay_tells_what_was_served(kind: Kind, calls: &[Call]) -> Result<()> {
    let recording = tapped::record(kind, calls)?;
    let (spans, said) = replay(&recording.file())?;
    match_spans(&spans, &recording.served).with_context(|| format!("replay said:\n{said}"))
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
        replay_tells_what_was_served(kind, &calls).with_context(|| format!("{kind:?}"))?;
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
    replay_tells_what_was_served(Kind::Node, &calls)
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
    replay_tells_what_was_served(Kind::Boto3, &calls)
}
