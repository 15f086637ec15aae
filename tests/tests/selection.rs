//! Whom geophone traces and whom it leaves alone, with real clients, two of which look alike but for their command line or
//! the namespace of their pod.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tracer_tests::api_server::{Cluster, NODE, Pod, asks_api_servers, namespace};
use tracer_tests::calls::{CLAUDE, Call, NOVA};
use tracer_tests::client::{Client, Kind};
use tracer_tests::environment::{can_trace, geophone};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{Agent, is_of};
use tracer_tests::manager::Manager;
use tracer_tests::program::{DEADLINE, Signal};
use tracer_tests::span::{Span, from_otlp_json_lines};

/// The model that only those ask who are to be left alone.
const SECRET_MODEL: &str = "nova-lite";

fn spoken() -> Call {
    Call::new(Operation::Converse, CLAUDE, &Scenario::default())
}

fn secret() -> Call {
    Call::new(Operation::Converse, NOVA, &Scenario::default())
}

fn make(client: &mut Client, call: Call) -> Result<()> {
    let seen = client.make(&[call], 1)?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    Ok(())
}

/// A client whose command line ends with a word.
fn client(kind: Kind, fake: &FakeBedrock, word: &str) -> Result<Client> {
    Client::run(kind.command(fake)?.arg(word))
}

/// A tracer of the clients of one fake alone, which says what it may say of them.
fn run(fake: &FakeBedrock) -> Result<Command> {
    let mut run = Command::new(geophone()?);
    run.args([
        "run",
        "--format",
        "otlp-json",
        "--content",
        "--prometheus",
        "127.0.0.1:0",
    ])
    .arg(format!("--only=command=*{}*", fake.authority().display()));
    Ok(run)
}

/// Wants spans of this process, that many, and nothing of anybody else anywhere.
fn tells_of_nobody_but(pid: u32, count: usize, spans: &[Span], told: &[String]) -> Result<()> {
    ensure!(spans.len() == count, "{} spans: {spans:#?}", spans.len());
    for span in spans {
        ensure!(is_of(span, &[pid]), "a span of somebody else: {span:#?}");
    }
    for outlet in told.iter().chain([&format!("{spans:?}")]) {
        ensure!(!outlet.contains(SECRET_MODEL), "it was told:\n{outlet}");
    }
    Ok(())
}

#[test]
fn nothing_of_who_is_left_alone_leaves() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut chat = client(Kind::Boto3, &fake, "--chat")?;
    let mut batch = client(Kind::Boto3, &fake, "--batch")?;
    let skip = ["--skip", "command=* --batch", "--skip", "exe=node"];
    let agent = Agent::start(run(&fake)?.args(skip))?;
    // One comes when tracing is under way, and by its program: its file gets no probes.
    let mut node = client(Kind::Node, &fake, "--chat")?;
    make(&mut batch, secret())?;
    make(&mut node, secret())?;
    make(&mut chat, spoken())?;
    batch.make_in_child(&[secret()])?;
    make(&mut batch, secret())?;
    make(&mut node, secret())?;
    make(&mut chat, spoken())?;
    fake.log().wait_for(7, DEADLINE);

    let pids = [chat.pid(), batch.pid(), node.pid()];
    let spans = agent.spans_of(&pids, 2)?;
    let mut asker = agent.asker()?;
    asker.wait_for("geophone_processes", "left_alone", 2.0)?;
    let (_, metrics) = asker.get("/metrics")?;

    let doctor = Command::new(geophone()?).arg("doctor").args(skip).output()?;
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let (_, left_alone) = doctor
        .split_once("Processes with TLS that are left alone")
        .with_context(|| format!("nobody is left alone:\n{doctor}"))?;
    for (pid, reason) in [
        (batch.pid(), "left alone: --skip (command=* --batch)"),
        (node.pid(), "left alone: --skip (exe=node)"),
    ] {
        let line = left_alone
            .lines()
            .skip_while(|line| !line.trim_start().starts_with(&format!("{pid} ")))
            .nth(1);
        ensure!(line.map(str::trim) == Some(reason), "{pid}: {line:?}\n{doctor}");
    }

    let said = agent.stderr();
    let rest = agent.stop()?;
    tells_of_nobody_but(chat.pid(), 2, &spans, &[metrics, said, format!("{rest:?}")])?;
    ensure!(rest.iter().all(|span| !is_of(span, &pids)), "{rest:#?}");
    for client in [chat, batch, node] {
        client.finish()?;
    }
    Ok(())
}

#[test]
fn rules_that_are_read_again_hold_for_who_runs_already() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut chat = client(Kind::Boto3, &fake, "--chat")?;
    let mut batch = client(Kind::Boto3, &fake, "--batch")?;
    let directory = tempfile::tempdir()?;
    let settings = directory.path().join("geophone.toml");
    let leave_alone = |word: &str| {
        let rule = format!("[[selection.rules]]\ncommand = \"* {word}\"\ntrace = false\n");
        fs::write(&settings, rule)
    };
    leave_alone("--batch")?;
    let manager = Manager::start()?;
    let mut command = run(&fake)?;
    command.arg("--config").arg(&settings);
    command.env("NOTIFY_SOCKET", manager.path());
    let agent = Agent::start(&mut command)?;
    make(&mut batch, secret())?;
    make(&mut chat, spoken())?;
    let pids = [chat.pid(), batch.pid()];
    let first = agent.spans_of(&pids, 1)?;
    tells_of_nobody_but(chat.pid(), 1, &first, &[])?;

    leave_alone("--chat")?;
    agent.program().signal(Signal::HUP)?;
    manager.hear("RELOADING=1\n")?;
    manager.hear("READY=1\n")?;
    make(&mut chat, secret())?;
    make(&mut batch, spoken())?;
    let second = agent.spans_of(&pids, 1)?;
    tells_of_nobody_but(batch.pid(), 1, &second, &[])?;
    let rest = agent.stop()?;
    ensure!(rest.iter().all(|span| !is_of(span, &pids)), "{rest:#?}");
    chat.finish()?;
    batch.finish()?;
    Ok(())
}

#[test]
fn another_program_in_the_process_is_traced_after_one_that_was_left_alone() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let agent = Agent::start(run(&fake)?.args(["--skip", "command=* --batch"]))?;
    let command = Kind::Boto3.command(&fake)?;
    // The same executable, pid and start; first a program that loads TLS and is left alone, then another.
    let program = "import os, ssl, sys\nos.execv(sys.executable, [sys.executable, *sys.argv[1:-1]])\n";
    let mut twice = Command::new(command.get_program());
    twice
        .args(["-c", program])
        .args(command.get_args())
        .arg("--batch");
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            twice.env(name, value);
        }
    }
    let mut client = Client::run(&mut twice)?;
    make(&mut client, spoken())?;
    let spans = agent.spans_of(&[client.pid()], 1)?;
    tells_of_nobody_but(client.pid(), 1, &spans, &[])?;
    client.finish()?;
    agent.stop()?;
    Ok(())
}

/// A tracer that asks the API server of this cluster.
fn run_in_a_cluster(fake: &FakeBedrock, directory: &Path, cluster: Cluster) -> Result<Command> {
    let mut run = run(fake)?;
    run.env("NODE_NAME", NODE)
        .env("KUBECONFIG", cluster.serve(directory)?);
    Ok(run)
}

#[test]
fn nothing_of_a_namespace_that_is_left_alone_leaves() -> Result<()> {
    if !can_trace() || !asks_api_servers("rules and annotations of namespaces")? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let fake = FakeBedrock::start(&Options::default())?;
    let agents = Pod::new(1, "agents", "chat-1")?;
    let personnel = Pod::new(2, "hr-berlin", "payroll-1")?;
    let quiet = Pod::new(3, "quiet", "notes-1")?;
    let mut clients = Vec::new();
    for pod in [&agents, &personnel, &quiet] {
        let client = client(Kind::Boto3, &fake, "--chat")?;
        pod.group.take(client.pid())?;
        clients.push(client);
    }
    let cluster = Cluster {
        pods: [&agents, &personnel, &quiet].map(Pod::object).into(),
        namespaces: vec![
            namespace("agents", &json!({})),
            namespace("hr-berlin", &json!({})),
            namespace("quiet", &json!({"geophone.dev/trace": "false"})),
        ],
    };
    let mut command = run_in_a_cluster(&fake, directory.path(), cluster)?;
    let agent = Agent::start(command.args(["--skip", "namespace=hr-*"]))?;
    for _ in 0..2 {
        for (client, call) in clients.iter_mut().zip([spoken(), secret(), secret()]) {
            make(client, call)?;
        }
    }
    let pids: Vec<u32> = clients.iter().map(Client::pid).collect();
    let spans = agent.spans_of(&pids, 2)?;
    let (_, metrics) = agent.asker()?.get("/metrics")?;
    let said = agent.stderr();
    let rest = agent.stop()?;
    tells_of_nobody_but(pids[0], 2, &spans, &[metrics, said])?;
    ensure!(rest.iter().all(|span| !is_of(span, &pids)), "{rest:#?}");
    for client in clients {
        client.finish()?;
    }
    Ok(())
}

#[test]
fn a_pod_that_the_api_server_does_not_know_is_left_alone_where_a_rule_may_mean_it() -> Result<()> {
    if !can_trace() || !asks_api_servers("pods that are not known")? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let fake = FakeBedrock::start(&Options::default())?;
    let (known, unknown) = (Pod::new(4, "agents", "chat-1")?, Pod::new(5, "hr", "payroll-1")?);
    let mut known_client = client(Kind::Boto3, &fake, "--chat")?;
    known.group.take(known_client.pid())?;
    let mut unknown_client = client(Kind::Boto3, &fake, "--chat")?;
    unknown.group.take(unknown_client.pid())?;
    let cluster = Cluster {
        pods: vec![known.object()],
        namespaces: vec![namespace("agents", &json!({}))],
    };
    let mut command = run_in_a_cluster(&fake, directory.path(), cluster)?;
    let agent = Agent::start(command.args(["--skip", "namespace=hr"]))?;
    make(&mut unknown_client, secret())?;
    make(&mut known_client, spoken())?;
    let pids = [known_client.pid(), unknown_client.pid()];
    let spans = agent.spans_of(&pids, 1)?;
    // What was held is given up, by name.
    agent
        .asker()?
        .wait_for("geophone_held_events_dropped_total", "", 1.0)?;
    let rest = agent.stop()?;
    tells_of_nobody_but(known_client.pid(), 1, &spans, &[format!("{rest:?}")])?;
    known_client.finish()?;
    unknown_client.finish()?;
    Ok(())
}

#[test]
fn rules_on_pods_that_nobody_tells_of_are_refused() -> Result<()> {
    let output = Command::new(geophone()?)
        .args(["run", "--skip", "namespace=hr"])
        .env_remove("NODE_NAME")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(2), "{:?}\n{said}", output.status);
    ensure!(said.contains("no API server is asked for them"), "{said}");
    ensure!(from_otlp_json_lines(&String::from_utf8(output.stdout)?)?.is_empty());
    Ok(())
}
