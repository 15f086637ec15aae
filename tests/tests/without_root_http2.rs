//! HTTP/2 behind the probes, proved without a kernel: real clients encode it, the fake taps its own plaintext, and
//! `geophone replay` must say of it what was served.

mod tapped;

use anyhow::{Context, Result, ensure};
use tracer_tests::calls::{CLAUDE, Call, NOVA, TITAN};
use tracer_tests::client::{Build, Http, Kind, Provider};
use tracer_tests::fake::scenario::{Answer, Failure, Scenario, Stop};
use tracer_tests::fake::{Operation, Options};
use tracer_tests::harness::{match_spans, replay};

const HYPER: Kind = Kind::Hyper(Provider::Ring, Build::Release, Http::Two);
const GO: Kind = Kind::Go {
    stripped: false,
    http: Http::Two,
};

fn replay_tells_what_was_served(kind: Kind, calls: &[Call], threads: usize) -> Result<()> {
    let recording = tapped::record(kind, calls, threads, &Options::http2())?;
    ensure!(recording.served.iter().all(|served| served.http2), "not HTTP/2");
    let (spans, said) = replay(&recording.file())?;
    match_spans(&spans, &recording.served).with_context(|| format!("{kind:?}; replay said:\n{said}"))
}

fn repertoire() -> Vec<Call> {
    let plain = Scenario::default();
    let scenarios = [
        Scenario {
            chunks: 40,
            size: 90_000,
            ragged: Some(5),
            stop: Some(Stop::MaxTokens),
            ..plain.clone()
        },
        Scenario {
            fail: Some(Failure::Validation),
            ..plain.clone()
        },
        Scenario {
            trailers: true,
            ..plain.clone()
        },
    ];
    let tool = Scenario {
        answer: Answer::Tool,
        ..plain
    };
    let mut calls = Vec::new();
    for operation in Operation::ALL {
        for scenario in &scenarios {
            calls.extend([CLAUDE, NOVA, TITAN].map(|model| Call::new(operation, model, scenario)));
        }
        calls.extend([CLAUDE, NOVA].map(|model| Call::new(operation, model, &tool).with_tools()));
    }
    calls
}

#[test]
fn a_connection_for_every_call_that_the_client_leaves_at_once() -> Result<()> {
    replay_tells_what_was_served(Kind::JavaScriptSdk, &repertoire(), 4)
}

#[test]
fn calls_that_share_a_connection() -> Result<()> {
    for kind in [
        HYPER,
        GO,
        Kind::Httpx,
        Kind::RustSdk { stripped: false },
        Kind::Deno,
    ] {
        replay_tells_what_was_served(kind, &repertoire(), 4)?;
    }
    Ok(())
}

#[test]
fn two_hundred_streams_on_one_connection() -> Result<()> {
    const STREAMS: u32 = 200;
    let scenario = Scenario {
        together: STREAMS,
        chunks: 12,
        size: 20_000,
        ..Scenario::default()
    };
    let calls: Vec<Call> = [
        Operation::ConverseStream,
        Operation::InvokeModelWithResponseStream,
    ]
    .into_iter()
    .cycle()
    .take(STREAMS as usize)
    .map(|operation| Call::new(operation, CLAUDE, &scenario))
    .collect();
    for kind in [HYPER, GO] {
        replay_tells_what_was_served(kind, &calls, calls.len())?;
    }
    Ok(())
}

#[test]
fn a_connection_that_the_server_leaves() -> Result<()> {
    let leave = Scenario {
        leave: true,
        chunks: 10,
        ..Scenario::default()
    };
    let calls = Operation::ALL.map(|operation| Call::new(operation, CLAUDE, &leave));
    for kind in [GO, Kind::RustSdk { stripped: false }] {
        replay_tells_what_was_served(kind, &calls, 1)?;
    }
    Ok(())
}

#[test]
fn a_stream_that_the_server_resets() -> Result<()> {
    let cut = Scenario {
        cut: true,
        after: 2,
        ..Scenario::default()
    };
    let calls = [
        Operation::ConverseStream,
        Operation::InvokeModelWithResponseStream,
    ]
    .map(|operation| Call::new(operation, CLAUDE, &cut));
    for kind in [HYPER, GO] {
        replay_tells_what_was_served(kind, &calls, 1)?;
    }
    Ok(())
}

#[test]
fn a_stream_that_the_client_resets() -> Result<()> {
    let slow = Scenario {
        chunks: 500,
        delay_ms: 5,
        ..Scenario::default()
    };
    let given_up = Call::new(Operation::ConverseStream, NOVA, &slow).taking(4);
    let other = Call::new(Operation::Converse, NOVA, &Scenario::default());
    for kind in [HYPER, GO] {
        let calls = [given_up.clone(), other.clone()];
        let recording = tapped::record(kind, &calls, 1, &Options::http2())?;
        let (spans, said) = replay(&recording.file())?;
        let (cut, whole): (Vec<_>, Vec<_>) = recording.served.iter().partition(|served| !served.complete);
        ensure!((cut.len(), whole.len()) == (1, 1), "{:?}", recording.served);
        ensure!(spans.len() == 2, "{kind:?}: {spans:?}; {said}");
        let span = spans
            .iter()
            .find(|span| span.text("aws.request_id") == Some(&cut[0].request_id))
            .context("the stream that was given up has a span")?;
        ensure!(
            span.attributes.contains_key("geophone.incomplete"),
            "{kind:?}: {span:?}"
        );
        ensure!(
            span.message.is_empty(),
            "leaving is not a failure of the service: {span:?}"
        );
        let others: Vec<_> = spans.iter().filter(|other| *other != span).cloned().collect();
        match_spans(&others, &whole.into_iter().cloned().collect::<Vec<_>>())?;
    }
    Ok(())
}
