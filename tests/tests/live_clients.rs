//! Every kind of client under live probes: each span is compared value by value with what was served, the recording
//! replays to the same spans, and tshark finds the same HTTP in it.

use anyhow::Result;
use tracer_tests::calls::{CLAUDE, Call, NOVA, TITAN_EMBEDDINGS, claude_repertoire, repertoire};
use tracer_tests::client::Kind;
use tracer_tests::environment::can_trace;
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options, TlsVersions};
use tracer_tests::harness::{attach_in_the_middle, prove};
use tracer_tests::program::{DEADLINE, Program};
use tracer_tests::{curl, harness};

#[test]
fn boto3_one_call_after_the_other() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove(Kind::Boto3, &Options::default(), &repertoire(), 1)?;
    Ok(())
}

#[test]
fn boto3_with_threads_over_a_pool_of_kept_connections() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let calls: Vec<Call> = std::iter::repeat_with(repertoire).take(3).flatten().collect();
    let options = Options {
        tls: TlsVersions::Tls12,
        ..Options::default()
    };
    prove(Kind::Boto3, &options, &calls, 12)?;
    Ok(())
}

#[test]
fn vectors_for_texts() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let calls = ["granite", "gneiss"].map(|rock| {
        let mut call = Call::new(Operation::InvokeModel, TITAN_EMBEDDINGS, &Scenario::default());
        call.prompt.push_str(rock);
        call
    });
    prove(Kind::Boto3, &Options::default(), &calls, 2)?;
    Ok(())
}

#[test]
fn aiobotocore_over_memory_bios() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove(Kind::Aiobotocore, &Options::default(), &repertoire(), 8)?;
    Ok(())
}

#[test]
fn node_with_the_library_inside_its_binary() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let mut calls = repertoire();
    let compressed = Scenario {
        gzip: true,
        chunks: 20,
        ..Scenario::default()
    };
    for operation in Operation::ALL {
        calls.push(Call::new(operation, CLAUDE, &compressed).with_header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ));
        calls.push(Call::new(operation, NOVA, &compressed).with_header(
            "X-Amzn-Trace-Id",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        ));
    }
    prove(Kind::Node, &Options::default(), &calls, 6)?;
    Ok(())
}

#[test]
fn fetch_of_node() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove(Kind::NodeFetch, &Options::http2(), &repertoire(), 6)?;
    Ok(())
}

#[test]
fn fetch_that_is_attached_to_in_the_middle() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    attach_in_the_middle(Kind::NodeFetch)
}

#[test]
fn anthropics_sdk_for_javascript() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove(
        Kind::AnthropicJavaScript,
        &Options::http2(),
        &claude_repertoire(),
        4,
    )?;
    Ok(())
}

#[test]
fn curl_on_one_connection_to_the_name_of_aws() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let directory = tempfile::tempdir()?;
    let calls = repertoire();
    let command = curl::command(&fake, &calls, curl::Manner::Http1, directory.path())?;
    let (printed, recording) = harness::record_command(&command, |command| {
        let mut program = Program::start("curl", command)?;
        program.close_stdin();
        let printed = program.remaining_lines()?;
        program.succeed()?;
        Ok((printed, program.stderr()))
    })?;
    let seen = curl::read(&printed.join("\n"))?;
    assert_eq!(seen.len(), calls.len());
    let served = fake.log().wait_for(calls.len(), DEADLINE);
    recording.proves(&served)
}
