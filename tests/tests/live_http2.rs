//! HTTP/2 over libssl and over the library inside node, under live probes.

use anyhow::{Result, ensure};
use tracer_tests::calls::{CLAUDE, Call, repertoire, streams};
use tracer_tests::client::Kind;
use tracer_tests::curl::{self, Manner};
use tracer_tests::environment::can_trace;
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{self, attach_in_the_middle, one_connection, prove};
use tracer_tests::program::{DEADLINE, Program};

#[test]
fn awss_sdk_for_javascript() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove(Kind::JavaScriptSdk, &Options::http2(), &repertoire(), 6)?;
    Ok(())
}

#[test]
fn twenty_streams_at_once_of_awss_sdk_for_javascript() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove(Kind::JavaScriptSdk, &Options::http2(), &streams(20), 20)?;
    Ok(())
}

#[test]
fn httpx_with_a_hundred_streams_on_one_connection() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove(Kind::Httpx, &Options::http2(), &repertoire(), 6)?;
    one_connection(&prove(Kind::Httpx, &Options::http2(), &streams(100), 100)?)
}

#[test]
fn a_connection_that_the_server_leaves() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let leave = Scenario {
        leave: true,
        trailers: true,
        ..Scenario::default()
    };
    let calls = Operation::ALL.map(|operation| Call::new(operation, CLAUDE, &leave));
    prove(Kind::JavaScriptSdk, &Options::http2(), &calls, 1)?;
    Ok(())
}

#[test]
fn attached_to_in_the_middle_of_a_connection() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    attach_in_the_middle(Kind::JavaScriptSdk)?;
    attach_in_the_middle(Kind::Httpx)
}

fn traced_curl(calls: &[Call], manner: Manner) -> Result<()> {
    let fake = FakeBedrock::start(&Options::http2())?;
    let directory = tempfile::tempdir()?;
    let command = curl::command(&fake, calls, manner, directory.path())?;
    let (printed, recording) = harness::record_command(&command, |command| {
        let mut program = Program::start("curl", command)?;
        program.close_stdin();
        let printed = program.remaining_lines()?;
        program.succeed()?;
        Ok((printed, program.stderr()))
    })?;
    let seen = curl::read(&printed.join("\n"))?;
    ensure!(seen.len() == calls.len(), "{seen:?}");
    let served = fake.log().wait_for(calls.len(), DEADLINE);
    one_connection(&served)?;
    recording.proves(&served)
}

#[test]
fn curl_one_call_after_the_other() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    traced_curl(&repertoire(), Manner::Http2)
}

#[test]
fn curl_with_all_calls_at_once() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    traced_curl(&streams(50), Manner::Http2Parallel)
}
