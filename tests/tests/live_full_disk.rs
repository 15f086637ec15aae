//! A disk that is full while geophone records or writes spans.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use tracer_tests::calls::{CLAUDE, Call};
use tracer_tests::client::{Client, Kind};
use tracer_tests::collector::{Collector, Protocol};
use tracer_tests::environment::{can_trace, geophone};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{self, Agent, match_spans};
use tracer_tests::program::{DEADLINE, Signal};
use tracer_tests::span::{Span, from_otlp_json_lines};

/// Never has room.
const FULL: &str = "/dev/full";

fn call() -> Call {
    Call::new(Operation::Converse, CLAUDE, &Scenario::default()).with_prompt_bytes(20_000)
}

/// A command that runs in a mount namespace of its own, in which this folder is a disk of 256 KiB.
fn on_a_small_disk(folder: &Path, command: &Command) -> Command {
    let mut inside = Command::new("unshare");
    inside.args(["--mount", "sh", "-c"]);
    inside.arg(r#"mount -t tmpfs -o size=256k none "$1" && shift && exec "$@""#);
    inside.arg("sh").arg(folder);
    inside.arg(command.get_program()).args(command.get_args());
    inside
}

/// `geophone record` of a process, beginning with its options.
fn record(pid: u32, options: &[&str], recording: &Path) -> Result<Command> {
    let mut command = Command::new(geophone()?);
    command.arg("record").args(options).arg("-o").arg(recording);
    command.args(["--pid", &pid.to_string()]);
    Ok(command)
}

fn spans_in(file: &Path) -> Result<Vec<Span>> {
    from_otlp_json_lines(&std::fs::read_to_string(file)?)
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_tracing() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let folder = tempfile::tempdir()?;
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk)?;
    let (file, spans) = (disk.join("recording.pcapng"), folder.path().join("spans.jsonl"));
    let output = spans.display().to_string();
    let command = record(
        client.pid(),
        &["--format", "otlp-json", "--output", &output],
        &file,
    )?;
    let agent = Agent::start(&mut on_a_small_disk(&disk, &command))?;

    let mut calls = 0;
    let deadline = Instant::now() + DEADLINE;
    let ends = format!(
        "the recording {} ends here: No space left on device",
        file.display()
    );
    while !agent.stderr().contains(&ends) {
        ensure!(
            Instant::now() < deadline,
            "the disk never fills: {}",
            agent.stderr()
        );
        client.make(&[call()], 1)?;
        calls += 1;
    }
    // The namespace and its disk end with geophone.
    let kept = folder.path().join("kept.pcapng");
    let inside = format!("/proc/{}/root{}", agent.program().pid(), file.display());
    std::fs::copy(inside, &kept)?;
    client.make(&[call(), call()], 1)?;
    client.finish()?;
    let (status, said) = agent.end()?;
    assert_eq!(status.code(), Some(1), "{said}");
    ensure!(
        said.contains("make room, or choose a file on another disk with -o"),
        "{said}"
    );
    assert_eq!(
        said.matches(&ends).count(),
        2,
        "when it happens and at the end: {said}"
    );

    let live = spans_in(&spans)?;
    match_spans(&live, &fake.log().wait_for(calls + 2, DEADLINE))?;
    let (replayed, told) = harness::replay(&kept)?;
    ensure!(
        !replayed.is_empty() && replayed.len() <= calls,
        "{} spans: {told}",
        replayed.len()
    );
    // The last of them may be cut off with the file.
    for span in &replayed[..replayed.len() - 1] {
        ensure!(live.contains(span), "{span:#?} was not live");
    }
    Ok(())
}

#[test]
fn who_only_records_ends_when_the_disk_is_full() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("recording.pcapng");
    let command = record(client.pid(), &[], &file)?;
    let agent = Agent::start(&mut on_a_small_disk(folder.path(), &command))?;
    // More than the disk holds, in two calls.
    client.make(&[call().with_prompt_bytes(300_000), call()], 1)?;
    let (status, said) = agent.end()?;
    assert_eq!(status.code(), Some(1), "{said}");
    ensure!(
        said.contains(&format!("the recording {} ends here", file.display())),
        "{said}"
    );
    client.make(&[call()], 1)?;
    client.finish()?;
    Ok(())
}

#[test]
fn spans_that_cannot_be_written_are_sent_all_the_same() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let collector = Collector::start(Protocol::Http, None, &[])?;
    let mut command = Command::new(geophone()?);
    command.args(["attach", "--output", FULL, "--pid", &client.pid().to_string()]);
    command.env(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        format!("http://127.0.0.1:{}", collector.port()),
    );
    let agent = Agent::start(&mut command)?;
    client.make(&[call()], 1)?;
    let line = agent
        .program()
        .wait_for_stderr("spans are no longer written to")?;
    ensure!(
        line.contains(FULL) && line.contains("No space left") && line.contains("--output"),
        "{line}"
    );
    client.make(&[call(), call()], 1)?;
    let (spans, _) = collector.spans(3)?;
    match_spans(&spans, &fake.log().wait_for(3, DEADLINE))?;
    agent.program().signal(Signal::TERM)?;
    let (status, said) = agent.end()?;
    assert_eq!(status.code(), Some(1), "{said}");
    ensure!(said.contains("3 spans were not written to /dev/full"), "{said}");
    client.finish()?;
    Ok(())
}

#[test]
fn a_recording_goes_on_when_spans_cannot_be_written_and_nothing_goes_on_for_nobody() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("recording.pcapng");
    let agent = Agent::start(&mut record(client.pid(), &["--output", FULL], &file)?)?;
    client.make(&[call()], 1)?;
    agent
        .program()
        .wait_for_stderr("spans are no longer written to")?;
    client.make(&[call(), call()], 1)?;

    let mut command = Command::new(geophone()?);
    command.args(["attach", "--output", FULL, "--pid", &client.pid().to_string()]);
    let other = Agent::start(&mut command)?;
    client.make(&[call()], 1)?;
    let (status, said) = other.end()?;
    assert_eq!(status.code(), Some(1), "{said}");

    client.finish()?;
    let (status, said) = agent.end()?;
    assert_eq!(status.code(), Some(1), "{said}");
    let (replayed, _) = harness::replay(&file)?;
    match_spans(&replayed, &fake.log().wait_for(4, DEADLINE))
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    // One that is gone before anything is said, and one that takes the beginning of a recording.
    for (options, reader) in [
        (["attach", "--format", "otlp-json"].as_slice(), "true"),
        (["record", "-o", "-"].as_slice(), "head --bytes=1 >/dev/null"),
    ] {
        let fake = FakeBedrock::start(&Options::default())?;
        let mut client = Client::start(Kind::Boto3, &fake)?;
        let mut command = Command::new("bash");
        let script = format!(r#""$@" | {reader}; exit "${{PIPESTATUS[0]}}""#);
        command.args(["-c", &script, "bash"]);
        command.arg(geophone()?).args(options);
        command.args(["--pid", &client.pid().to_string()]);
        let agent = Agent::start(&mut command)?;
        client.make(&[call(), call()], 1)?;
        let (status, said) = agent.end()?;
        assert_eq!(status.code(), Some(0), "{options:?}: {said}");
        ensure!(!said.contains("rror") && !said.contains("Broken pipe"), "{said}");
        client.finish()?;
    }
    Ok(())
}
