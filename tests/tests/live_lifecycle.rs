//! Processes, libraries and tracers that come and go.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tracer_tests::calls::{CLAUDE, Call, NOVA};
use tracer_tests::client::{Build, Client, Http, Kind, Provider};
use tracer_tests::curl;
use tracer_tests::environment::{can_trace, geophone};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{self, Agent, exec, is_of, match_partly, match_spans};
use tracer_tests::program::{DEADLINE, Program};
use tracer_tests::span::{Span, from_otlp_json_lines};

/// Stands in the prompts of a process that must not be traced.
const CANARY: &str = "canary-of-the-process-that-nobody-asked-for";

fn one_of_each() -> Vec<Call> {
    Operation::ALL
        .map(|operation| Call::new(operation, CLAUDE, &Scenario::default()))
        .to_vec()
}

#[test]
fn a_child_process_is_followed() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let calls = one_of_each();
    let ((parent, child), recording) = harness::record(Kind::Boto3, &fake, |client| {
        client.make(&calls, 1)?;
        let (child, seen) = client.make_in_child(&calls)?;
        ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
        Ok((client.pid(), child))
    })?;
    recording.proves(&fake.log().wait_for(2 * calls.len(), DEADLINE))?;
    for pid in [parent, child] {
        let count = recording.spans.iter().filter(|span| is_of(span, &[pid])).count();
        assert_eq!(count, calls.len(), "spans of process {pid}");
    }
    Ok(())
}

/// A shell starts the client: a fork and an exec lie between the command and the calls.
fn started_by_a_shell(kind: Kind) -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let client = kind.command(&fake)?;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#""$@"; exit $?"#, "sh"])
        .arg(client.get_program())
        .args(client.get_args());
    let calls = one_of_each();
    let (pid, recording) = harness::record_command(&shell, |command| {
        let mut client = Client::run(command)?;
        client.make(&calls, 1)?;
        let pid = client.pid();
        Ok((pid, client.finish()?))
    })?;
    recording.proves(&fake.log().wait_for(calls.len(), DEADLINE))?;
    assert!(recording.spans.iter().all(|span| is_of(span, &[pid])));
    Ok(())
}

#[test]
fn a_client_that_a_shell_starts_is_followed() -> Result<()> {
    started_by_a_shell(Kind::Boto3)
}

/// node brings its own TLS; the probes are on it before anything is started, so its first call is seen however busy the host.
#[test]
fn a_program_with_tls_inside_that_a_shell_starts_is_followed() -> Result<()> {
    started_by_a_shell(Kind::Node)
}

#[test]
fn a_running_process_is_attached_to_and_goes_on_afterwards() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let calls = one_of_each();
    client.make(&calls, 1)?;
    let before = fake.log().wait_for(calls.len(), DEADLINE).len();

    // The connection in its pool is joined late: it was in use before the probes came.
    let agent = Agent::attach(&[client.pid()])?;
    client.make(&calls, 1)?;
    let served = fake.log().wait_for(before + calls.len(), DEADLINE);
    let mut spans = agent.spans_of(&[client.pid()], calls.len())?;
    spans.extend(agent.stop()?);
    match_spans(&spans, &served[before..])?;

    let after = client.make(&calls, 1)?;
    ensure!(after.iter().all(|seen| seen.error.is_none()), "{after:?}");
    client.finish()?;
    Ok(())
}

/// As a package upgrade does it: the new file takes the name, the running process keeps the old one.
#[test]
fn a_library_upgraded_under_a_running_process() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let prefix = tempfile::tempdir()?;
    for library in ["libssl.so.3", "libcrypto.so.3"] {
        std::fs::copy(system_library(library)?, prefix.path().join(library))?;
    }
    let start = || -> Result<Client> {
        let mut command = Kind::Boto3.command(&fake)?;
        command.env("LD_LIBRARY_PATH", prefix.path());
        Client::run(&mut command)
    };
    let mut old = start()?;
    let staged = prefix.path().join("libssl.so.3.new");
    std::fs::copy(system_library("libssl.so.3")?, &staged)?;
    std::fs::rename(&staged, prefix.path().join("libssl.so.3"))?;
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", old.pid()))?;
    ensure!(
        maps.lines().any(|line| line.contains("libssl.so.3 (deleted)")),
        "the old process must hold the deleted file:\n{maps}"
    );
    let mut new = start()?;

    let pids = [old.pid(), new.pid()];
    let calls = one_of_each();
    let (_, recording) = harness::record_processes(&pids, || {
        old.make(&calls, 1)?;
        new.make(&calls, 1)?;
        old.finish()?;
        new.finish()
    })?;
    recording.proves(&fake.log().wait_for(2 * calls.len(), DEADLINE))?;
    for pid in pids {
        let count = recording.spans.iter().filter(|span| is_of(span, &[pid])).count();
        assert_eq!(count, calls.len(), "spans of process {pid}");
    }
    Ok(())
}

/// Where the dynamic linker finds a library.
fn system_library(name: &str) -> Result<String> {
    let output = Command::new("ldconfig").arg("-p").output()?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| {
            let (file, path) = line.trim().split_once(" => ")?;
            file.starts_with(name).then(|| path.to_owned())
        })
        .with_context(|| format!("no {name} on this system"))
}

/// One of each way to find and probe a TLS library.
#[test]
fn a_killed_tracer_leaves_the_client_unharmed() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    for (kind, options) in [
        (Kind::Boto3, Options::default()),
        (Kind::Bun, Options::default()),
        (
            Kind::Go {
                stripped: true,
                http: Http::One,
            },
            Options::default(),
        ),
        (
            Kind::Hyper(Provider::Ring, Build::Release, Http::Two),
            Options::http2(),
        ),
        (
            Kind::Hyper(Provider::AwsLc, Build::FatStripped, Http::Two),
            Options::http2(),
        ),
    ] {
        killed_in_the_middle(kind, &options).with_context(|| format!("{kind:?}"))?;
    }
    Ok(())
}

fn killed_in_the_middle(kind: Kind, options: &Options) -> Result<()> {
    let fake = FakeBedrock::start(options)?;
    let mut client = Client::start(kind, &fake)?;
    let agent = Agent::attach(&[client.pid()])?;
    let quick = Call::new(Operation::Converse, NOVA, &Scenario::default());
    let slow = Call::new(
        Operation::ConverseStream,
        NOVA,
        &Scenario {
            chunks: 40,
            delay_ms: 50,
            ..Scenario::default()
        },
    );
    let mut calls = vec![quick];
    calls.extend(std::iter::repeat_n(slow, 8));
    client.send(&calls, &json!({"threads": calls.len()}))?;
    agent.spans_of(&[client.pid()], 1)?;
    agent.kill()?;

    let seen = client.collect(calls.len())?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    // Nothing stays behind that a second tracer would trip over.
    let before = fake.log().wait_for(calls.len(), DEADLINE).len();
    let next = Agent::attach(&[client.pid()])?;
    let calls = one_of_each();
    let seen = client.make(&calls, 1)?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    let served = fake.log().wait_for(before + calls.len(), DEADLINE);
    let mut spans = next.spans_of(&[client.pid()], calls.len())?;
    client.finish()?;
    spans.extend(next.ended()?);
    if kind.multiplexes() {
        // The connection has been going on since before the second one came.
        match_partly(&spans, &served[before..], kind.refers_to_paths())
    } else {
        match_spans(&spans, &served[before..])
    }
}

#[test]
fn a_killed_recorder_leaves_a_file_that_replays() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("killed.pcapng");
    let mut command = Command::new(geophone()?);
    command
        .args(["record", "--format", "otlp-json", "--output", "-", "-o"])
        .arg(&file);
    command.args(["--pid", &client.pid().to_string()]);
    let recorder = Agent::start(&mut command)?;
    let calls = one_of_each();
    client.make(&calls, 1)?;
    let live = recorder.spans_of(&[client.pid()], calls.len())?;
    // The file is written out behind the spans; a call that follows pushes it along.
    client.make(&calls, 1)?;
    recorder.spans_of(&[client.pid()], calls.len())?;
    recorder.kill()?;
    client.finish()?;
    let (replayed, _) = harness::replay(&file)?;
    for span in &live {
        ensure!(replayed.contains(span), "{span:#?} is not in the file");
    }
    Ok(())
}

#[test]
fn two_tracers_see_the_same() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let agents = [Agent::attach(&[client.pid()])?, Agent::attach(&[client.pid()])?];
    let calls = one_of_each();
    client.make(&calls, 2)?;
    client.finish()?;
    let served = fake.log().wait_for(calls.len(), DEADLINE);
    for agent in agents {
        match_spans(&agent.ended()?, &served)?;
    }
    Ok(())
}

#[test]
fn a_process_that_was_not_asked_for_never_appears() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut asked_for = Client::start(Kind::Boto3, &fake)?;
    let mut other = Client::start(Kind::Boto3, &fake)?;
    let calls = one_of_each();
    let mut secret = calls.clone();
    for call in &mut secret {
        call.prompt.push_str(CANARY);
    }
    let pid = asked_for.pid();
    let (_, recording) = harness::record_processes(&[pid], || {
        other.make(&secret, 1)?;
        asked_for.make(&calls, 1)?;
        other.make(&secret, 1)?;
        other.finish()?;
        asked_for.finish()
    })?;
    let all = fake.log().wait_for(3 * calls.len(), DEADLINE);
    let own = &all[calls.len()..2 * calls.len()];
    recording.proves(own)?;
    assert!(recording.spans.iter().all(|span| is_of(span, &[pid])));
    let capture = std::fs::read(recording.capture())?;
    assert!(!String::from_utf8_lossy(&capture).contains(CANARY));
    Ok(())
}

#[test]
fn run_finds_processes_that_start_later() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut early = Client::start(Kind::Boto3, &fake)?;
    let agent = Agent::run()?;
    let calls = one_of_each();
    early.make(&calls, 1)?;
    let mut late = Client::start(Kind::Node, &fake)?;
    late.make(&calls, 1)?;
    let pids = [early.pid(), late.pid()];
    early.finish()?;
    late.finish()?;
    let served = fake.log().wait_for(2 * calls.len(), DEADLINE);
    let mut spans = agent.spans_of(&pids, 2 * calls.len())?;
    spans.extend(agent.stop()?.into_iter().filter(|span| is_of(span, &pids)));
    match_spans(&spans, &served)
}

fn run_exec(traced: &Command) -> Result<(Option<i32>, Vec<String>, Vec<Span>)> {
    let directory = tempfile::tempdir()?;
    let spans = directory.path().join("spans.jsonl");
    let mut program = Program::start("geophone exec", &mut exec(traced, &spans)?)?;
    program.close_stdin();
    let lines = program.remaining_lines()?;
    let status = program.wait()?;
    let spans = std::fs::read_to_string(spans).unwrap_or_default();
    Ok((status.code(), lines, from_otlp_json_lines(&spans)?))
}

#[test]
fn exec_ends_as_its_command_ends() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let no_program = directory.path().join("no-program");
    std::fs::write(&no_program, "text")?;
    std::fs::set_permissions(&no_program, std::fs::Permissions::from_mode(0o644))?;
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    };
    for (command, code, output) in [
        (shell("echo said; exit 0"), 0, vec!["said"]),
        (shell("exit 7"), 7, vec![]),
        (shell("kill -TERM $$"), 128 + 15, vec![]),
        (Command::new(&no_program), 126, vec![]),
        (Command::new(directory.path().join("nothing")), 127, vec![]),
    ] {
        let (ended, said, spans) = run_exec(&command)?;
        assert_eq!(ended, Some(code), "{command:?}");
        assert_eq!(said, output, "{command:?}");
        assert_eq!(spans, []);
    }
    Ok(())
}

/// The first TLS byte of a command is seen: there is no time between its start and the probes.
#[test]
fn exec_sees_a_command_that_calls_at_once_and_ends() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let directory = tempfile::tempdir()?;
    let calls = [Call::new(Operation::Converse, CLAUDE, &Scenario::default())];
    let command = curl::command(&fake, &calls, curl::Manner::Http1, directory.path())?;
    for round in 1..=5 {
        let (code, _, spans) = run_exec(&command)?;
        assert_eq!(code, Some(0));
        let served = fake.log().wait_for(round, DEADLINE);
        match_spans(&spans, &served[round - 1..])?;
    }
    Ok(())
}
