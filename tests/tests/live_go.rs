//! Go's crypto/tls under live probes: goroutines change threads, and stacks move.

use anyhow::{Context as _, Result, ensure};
use tracer_tests::calls::{Call, NOVA, repertoire, streams};
use tracer_tests::client::{Client, Http, Kind};
use tracer_tests::environment::can_trace;
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{Agent, attach_in_the_middle, match_spans, one_connection, prove};
use tracer_tests::program::DEADLINE;

fn every_build(http: Http, options: &Options) -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    for stripped in [false, true] {
        let kind = Kind::Go { stripped, http };
        prove(kind, options, &repertoire(), 6).with_context(|| format!("{kind:?}"))?;
        let served = prove(kind, options, &streams(100), 100).with_context(|| format!("{kind:?}"))?;
        if http == Http::Two {
            one_connection(&served)?;
        }
    }
    Ok(())
}

#[test]
fn over_http1() -> Result<()> {
    every_build(Http::One, &Options::default())
}

#[test]
fn over_http2() -> Result<()> {
    every_build(Http::Two, &Options::http2())
}

#[test]
fn attached_to_in_the_middle_of_a_connection() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    for http in [Http::One, Http::Two] {
        for stripped in [false, true] {
            attach_in_the_middle(Kind::Go { stripped, http })?;
        }
    }
    Ok(())
}

/// Many goroutines at once, so that they change threads and their stacks grow and move while probes are hit.
#[test]
fn ten_thousand_calls_and_no_crash() -> Result<()> {
    // So few at once that all fit into the ring buffer, should the tracer have no processor for a while.
    const ROUNDS: usize = 20;
    const CALLS: usize = 500;
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::http2())?;
    let kind = Kind::Go {
        stripped: true,
        http: Http::Two,
    };
    let mut client = Client::start(kind, &fake)?;
    let agent = Agent::attach(&[client.pid()])?;
    let call = Call::new(Operation::Converse, NOVA, &Scenario::default());
    let calls = vec![call; CALLS];
    let mut spans = Vec::new();
    for _ in 0..ROUNDS {
        let seen = client.make(&calls, 100)?;
        ensure!(seen.iter().all(|seen| seen.error.is_none()), "a call failed");
        spans.extend(agent.spans_of(&[client.pid()], CALLS)?);
    }
    client.finish()?;
    let served = fake.log().wait_for(ROUNDS * CALLS, DEADLINE);
    spans.extend(agent.ended()?);
    match_spans(&spans, &served)
}
