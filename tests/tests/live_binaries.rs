//! Programs that come without symbols, and tracers that were there before them, under live probes.

use anyhow::{Result, bail, ensure};
use serde_json::json;
use tracer_tests::calls::{CLAUDE, repertoire, streams};
use tracer_tests::client::Kind;
use tracer_tests::environment::can_trace;
use tracer_tests::expect::partial_findings;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{self, attach_in_the_middle, one_connection, prove};
use tracer_tests::program::{DEADLINE, Program};
use tracer_tests::uv;

#[test]
fn bun_with_a_stripped_boringssl() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove(Kind::Bun, &Options::http2(), &repertoire(), 6)?;
    prove(Kind::Bun, &Options::http2(), &streams(20), 20)?;
    Ok(())
}

#[test]
fn deno_with_a_stripped_rustls() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove(Kind::Deno, &Options::http2(), &repertoire(), 6)?;
    one_connection(&prove(Kind::Deno, &Options::http2(), &streams(100), 100)?)
}

/// `uv publish` posts a file to whatever address it is told. The fake refuses it as Bedrock would: nobody signed it.
#[test]
fn uv_with_a_stripped_rustls() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::http2())?;
    let directory = tempfile::tempdir()?;
    let command = uv::publish(&fake, CLAUDE, directory.path())?;
    let ((status, said), recording) = harness::record_command(&command, |command| {
        let mut program = Program::start("uv", command)?;
        program.close_stdin();
        let status = program.wait()?;
        Ok(((status, program.stderr()), program.stderr()))
    })?;
    ensure!(
        status.code() == Some(2) && said.contains("403 Forbidden"),
        "uv ends as it does without a tracer: {status}\n{said}"
    );
    let served = fake.log().wait_for(1, DEADLINE);
    ensure!(served[0].operation == Some(Operation::InvokeModel), "{served:?}");
    ensure!(
        served[0].error.as_deref() == Some("MissingAuthenticationTokenException"),
        "{served:?}"
    );
    // A package is no prompt, and the span says so.
    let [span] = recording.spans.as_slice() else {
        bail!("one span, not {:?}", recording.spans);
    };
    ensure!(
        span.attributes.get("geophone.incomplete") == Some(&json!(["request_unreadable"])),
        "{span:?}"
    );
    let wrong = partial_findings(span, &served[0]);
    ensure!(wrong.is_empty(), "{wrong:?}");
    recording.replay_equals_live()
}

#[test]
fn attached_to_in_the_middle_of_a_connection() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    for kind in [
        Kind::Bun,
        Kind::Deno,
        Kind::JavaScriptSdk,
        Kind::NodeFetch,
        Kind::Httpx,
    ] {
        attach_in_the_middle(kind)?;
    }
    Ok(())
}
