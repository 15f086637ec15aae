//! Traced processes and a geophone that stand still for a while, and a ring that is too small.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, kill_process};
use serde_json::json;
use tracer_tests::calls::{CLAUDE, Call, NOVA};
use tracer_tests::client::{Client, Kind};
use tracer_tests::environment::{can_trace, geophone};
use tracer_tests::expect::partial_findings;
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options, Served};
use tracer_tests::harness::{self, Agent, is_of, match_spans};
use tracer_tests::program::{DEADLINE, Signal};
use tracer_tests::span::Span;

/// The smallest ring that geophone takes.
const TINY: &str = "65536";

/// Traces these processes and serves its metrics.
fn attach(pids: &[u32], options: &[&str]) -> Result<Agent> {
    let mut command = Command::new(geophone()?);
    command.args(["attach", "--format", "otlp-json", "--prometheus", "127.0.0.1:0"]);
    command.args(options);
    for pid in pids {
        command.args(["--pid", &pid.to_string()]);
    }
    Agent::start(&mut command)
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("no process has this id")?;
    Ok(kill_process(pid, signal)?)
}

fn converse() -> Call {
    Call::new(Operation::Converse, CLAUDE, &Scenario::default())
}

/// Wants every span to be of a call that was served, to say nothing wrong of it, and to say so where something is missing.
fn says_nothing_wrong(spans: &[Span], served: &[Served]) -> Result<()> {
    for span in spans {
        let findings = served.iter().map(|served| partial_findings(span, served));
        let best = findings.min_by_key(Vec::len).context("nothing was served")?;
        ensure!(best.is_empty(), "{best:?}: {span:#?}");
    }
    Ok(())
}

/// geophone is stopped while a process talks on, and the ring holds little: what was lost then is marked and counted, and
/// what comes after it is whole.
fn overflow(kind: Kind, options: &Options) -> Result<()> {
    let fake = FakeBedrock::start(options)?;
    let mut client = Client::start(kind, &fake)?;
    // Its connection begins after the loss.
    let mut late = Client::start(kind, &fake)?;
    let pids = [client.pid(), late.pid()];
    let agent = attach(&pids, &["--ring-size", TINY])?;
    let mut asker = agent.asker()?;
    client.make(&[converse()], 1)?;
    let first = fake.log().wait_for(1, DEADLINE);
    match_spans(&agent.spans_of(&pids[..1], 1)?, &first)?;
    assert!(asker.metric("geophone_lost_records_total", "process_share")? < 1.0);

    agent.program().signal(Signal::STOP)?;
    let long = Scenario {
        size: 300_000,
        chunks: 50,
        ..Scenario::default()
    };
    let calls = [
        Call::new(Operation::ConverseStream, CLAUDE, &long),
        Call::new(Operation::InvokeModel, NOVA, &long).with_prompt_bytes(200_000),
        converse(),
    ];
    let seen = client.make(&calls, 1)?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    agent.program().signal(Signal::CONT)?;
    asker.wait_for("geophone_lost_records_total", "process_share", 1.0)?;

    // On the connection with the hole, then on one that has none.
    let seen = client.make(&[converse(), converse()], 1)?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    late.make(&[converse(), converse()], 1)?;
    client.finish()?;
    late.finish()?;
    let served = fake.log().wait_for(8, DEADLINE);
    let said = agent.stderr();
    let spans = agent.ended()?;
    let (late, holed): (Vec<Span>, Vec<Span>) = spans.into_iter().partition(|span| is_of(span, &pids[1..]));
    match_spans(&late, &served[6..]).with_context(|| format!("geophone said:\n{said}"))?;
    says_nothing_wrong(&holed, &served[1..6])?;
    let whole = |served: &&Served| {
        let id = served.request_id.as_str();
        let is_whole = |span: &&Span| !span.attributes.contains_key("geophone.incomplete");
        let mut about = holed
            .iter()
            .filter(|span| span.text("aws.request_id") == Some(id));
        about.any(|span| is_whole(&span))
    };
    ensure!(
        !served[1..3].iter().any(|served| whole(&served)),
        "the ring cannot have held these: {holed:#?}"
    );
    if !kind.speaks_http2() {
        // Over HTTP/2 fields are told by reference to what may have been lost.
        ensure!(served[4..6].iter().all(|served| whole(&served)), "{holed:#?}");
    }
    Ok(())
}

#[test]
fn a_ring_that_overflows_costs_what_did_not_fit_and_nothing_later() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    overflow(Kind::Boto3, &Options::default())
}

#[test]
fn the_same_over_http2() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    overflow(Kind::Httpx, &Options::http2())
}

/// A stream that stops after its first words until another call of this kind comes.
fn stream_that_waits() -> Call {
    let scenario = Scenario {
        chunks: 20,
        together: 2,
        ..Scenario::default()
    };
    Call::new(Operation::ConverseStream, CLAUDE, &scenario)
}

#[test]
fn a_stopped_geophone_goes_on_where_it_was() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let pids = [client.pid()];
    let agent = attach(&pids, &[])?;
    let mut asker = agent.asker()?;
    // Two streams under way on two connections.
    client.send(&[stream_that_waits()], &json!({"threads": 1}))?;
    asker.wait_for("geophone_connections_recognised_total", "bedrock", 1.0)?;
    agent.program().signal(Signal::STOP)?;
    let mut other = Client::start(Kind::Boto3, &fake)?;
    other.make(&[stream_that_waits()], 1)?;
    let seen = client.collect(1)?;
    ensure!(seen[0].error.is_none(), "{seen:?}");
    let seen = client.make(&[converse(), converse()], 1)?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    agent.program().signal(Signal::CONT)?;
    let (status, body) = asker.get("/healthz")?;
    assert_eq!(status, 200, "{body}");

    let own = |served: &Served| served.connection == 0;
    client.finish()?;
    let served: Vec<Served> = fake.log().wait_for(4, DEADLINE).into_iter().filter(own).collect();
    ensure!(served.len() == 3, "{served:?}");
    match_spans(&agent.ended()?, &served)
}

#[test]
fn a_process_that_is_stopped_in_the_middle_of_a_stream_has_one_whole_span() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let pids = [client.pid()];
    let agent = attach(&pids, &[])?;
    let mut asker = agent.asker()?;
    client.send(&[stream_that_waits()], &json!({"threads": 1}))?;
    asker.wait_for("geophone_connections_recognised_total", "bedrock", 1.0)?;
    signal(client.pid(), Signal::STOP)?;
    let mut other = Client::start(Kind::Boto3, &fake)?;
    other.make(&[stream_that_waits()], 1)?;
    // The answer is written to its end, and lies in the socket while time goes by.
    let served = fake.log().wait_for(2, DEADLINE);
    let events = asker.metric("geophone_events_total", "")?;
    asker.wait_for("geophone_events_total", "", events + 3.0)?;
    assert!(asker.metric("geophone_spans_total", "")? < 1.0);
    signal(client.pid(), Signal::CONT)?;
    let seen = client.collect(1)?;
    ensure!(seen[0].error.is_none(), "{seen:?}");
    client.finish()?;
    let own: Vec<Served> = served
        .into_iter()
        .filter(|served| served.connection == 0)
        .collect();
    match_spans(&agent.ended()?, &own)
}

/// Its clocks are days away from those of the host.
#[test]
fn a_process_in_a_time_namespace_has_the_times_of_the_host() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let client = Kind::Boto3.command(&fake)?;
    let calls = [
        converse(),
        Call::new(Operation::ConverseStream, NOVA, &Scenario::default()),
    ];
    let ((), recording) = harness::record_command(&elsewhere_in_time(&client), |command| {
        let mut client = Client::run(command)?;
        let seen = client.make(&calls, 1)?;
        ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
        Ok(((), client.finish()?))
    })?;
    recording.proves(&fake.log().wait_for(calls.len(), DEADLINE))
}

/// And so has geophone when it is the one whose clocks are shifted.
#[test]
fn a_geophone_in_a_time_namespace_tells_the_times_of_the_host() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let client = Kind::Boto3.command(&fake)?;
    let directory = tempfile::tempdir()?;
    let spans = directory.path().join("spans.jsonl");
    let calls = [
        converse(),
        Call::new(Operation::ConverseStream, NOVA, &Scenario::default()),
    ];
    let mut client = Client::run(&mut elsewhere_in_time(&harness::exec(&client, &spans)?))?;
    client.make(&calls, 1)?;
    client.finish()?;
    let spans = tracer_tests::span::from_otlp_json_lines(&std::fs::read_to_string(&spans)?)?;
    match_spans(&spans, &fake.log().wait_for(calls.len(), DEADLINE))
}

/// The command in a time namespace of its own.
fn elsewhere_in_time(command: &Command) -> Command {
    let mut shifted = Command::new("unshare");
    shifted.args([
        "--time",
        "--monotonic",
        "400000",
        "--boottime",
        "500000",
        "--fork",
    ]);
    shifted.args(["--kill-child", "--"]);
    shifted.arg(command.get_program()).args(command.get_args());
    shifted.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    shifted
}
