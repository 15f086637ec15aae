//! What geophone tells of itself to those who keep it running.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tracer_tests::asker::Asker;
use tracer_tests::environment::{can_trace, geophone, python};
use tracer_tests::manager::Manager;
use tracer_tests::program::{Program, Signal};

/// Loads TLS when it is told to, and says so.
const LOADS_TLS_LATER: &str = "
import sys
print('up', flush=True)
sys.stdin.readline()
import ssl
print('loaded', flush=True)
sys.stdin.readline()
";

fn process_that_loads_tls_later() -> Result<Program> {
    let program = Program::start("python", Command::new(python()?).args(["-c", LOADS_TLS_LATER]))?;
    ensure!(program.line()?.as_deref() == Some("up"), "{}", program.stderr());
    Ok(program)
}

fn load_tls(program: &mut Program) -> Result<()> {
    program.tell("")?;
    ensure!(
        program.line()?.as_deref() == Some("loaded"),
        "{}",
        program.stderr()
    );
    Ok(())
}

/// Traces one process, under a service manager; the connection is one that was made while all was well.
fn attach(pid: u32, manager: &Manager) -> Result<(Program, Asker)> {
    let mut command = Command::new(geophone()?);
    command.args(["attach", "--format", "otlp-json", "--prometheus", "127.0.0.1:0"]);
    command.args(["--pid", &pid.to_string()]);
    command.env("NOTIFY_SOCKET", manager.path());
    command.env("WATCHDOG_USEC", "200000").env_remove("WATCHDOG_PID");
    let agent = Program::start("geophone", &mut command)?;
    let line = agent.wait_for_stderr("metrics are at")?;
    Ok((agent, Asker::told_by(&line)?))
}

#[test]
fn an_agent_is_alive_and_ready_and_says_which_it_is() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let mut traced = process_that_loads_tls_later()?;
    let manager = Manager::start()?;
    let (mut agent, mut asker) = attach(traced.pid(), &manager)?;
    let idle = "no process has TLS that can be traced, probes follow once one has\n";
    let told = manager.hear("READY=1")?;
    assert_eq!(told, format!("READY=1\nSTATUS={idle}"));
    let (status, body) = asker.get("/healthz")?;
    assert_eq!(status, 200, "{body}");
    assert!(body.starts_with("alive: the tracing loop turned "), "{body}");
    assert_eq!(asker.get("/readyz")?, (200, format!("ready: {idle}")));

    load_tls(&mut traced)?;
    let told = manager.hear(" probes are in place")?;
    let sentence = told.strip_prefix("STATUS=").context("no status")?;
    assert_eq!(asker.get("/readyz")?, (200, format!("ready: {sentence}")));
    for _ in 0..2 {
        assert_eq!(manager.hear("WATCHDOG=1")?, "WATCHDOG=1\n");
    }

    let (status, metrics) = asker.get("/metrics")?;
    assert_eq!(status, 200);
    let build = metrics
        .lines()
        .find(|line| line.starts_with("geophone_build_info{"))
        .with_context(|| format!("no build:\n{metrics}"))?;
    let version = format!("geophone_version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(build.contains(&version) && build.ends_with("} 1"), "{build}");

    agent.signal(Signal::TERM)?;
    let told = manager.hear("STOPPING=1")?;
    assert_eq!(told, "STOPPING=1\nSTATUS=geophone is ending\n");
    agent.succeed()
}

/// A tracer that runs out of open files at the wrong moment: no call would be seen, and nothing else tells.
#[test]
fn an_agent_whose_probes_are_refused_is_alive_and_not_ready() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let mut traced = process_that_loads_tls_later()?;
    let manager = Manager::start()?;
    let (agent, mut asker) = attach(traced.pid(), &manager)?;
    manager.hear("READY=1")?;

    let before = leave_free_files(agent.pid(), 3)?;
    load_tls(&mut traced)?;
    let told = manager.hear("STATUS=no probe is in place although 1 process could be traced (")?;
    assert!(!told.contains("READY"), "{told}");
    let (status, body) = asker.get("/readyz")?;
    assert_eq!(status, 503, "{body}");
    assert!(
        body.starts_with("not ready: no probe is in place although 1 process could be traced (")
            && body.contains("Too many open files")
            && body.ends_with("`geophone doctor` says what is in the way\n"),
        "{body}"
    );
    let (status, body) = asker.get("/healthz")?;
    assert_eq!(status, 200, "{body}");

    prlimit(process(agent.pid())?, Resource::Nofile, before)?;
    manager.hear(" probes are in place")?;
    let (status, body) = asker.get("/readyz")?;
    assert_eq!(status, 200, "{body}");
    assert!(body.ends_with(" probes are in place\n"), "{body}");
    // However often it was tried.
    agent.wait_for_stderr("a TLS library is traced now")?;
    let said = agent.stderr();
    assert_eq!(said.matches("a TLS library is not traced").count(), 1, "{said}");
    Ok(())
}

/// It cannot even look who is there, and does not take that for nobody.
#[test]
fn an_agent_that_can_open_nothing_is_not_ready_and_recovers() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let mut traced = process_that_loads_tls_later()?;
    let manager = Manager::start()?;
    let (agent, mut asker) = attach(traced.pid(), &manager)?;
    manager.hear("READY=1")?;
    let before = leave_free_files(agent.pid(), 0)?;
    load_tls(&mut traced)?;
    manager.hear("STATUS=no probe is in place, and processes cannot be looked at (Too many open files")?;
    let (status, body) = asker.get("/readyz")?;
    assert_eq!(status, 503, "{body}");
    let (status, body) = asker.get("/healthz")?;
    assert_eq!(status, 200, "{body}");
    agent.wait_for_stderr("cannot look at what processes run: Too many open files")?;

    prlimit(process(agent.pid())?, Resource::Nofile, before)?;
    manager.hear(" probes are in place")?;
    agent.wait_for_stderr("what processes run can be looked at again")?;
    assert_eq!(asker.get("/readyz")?.0, 200);
    Ok(())
}

/// Under `exec` the command is the service, and what it says of itself is not mixed with what geophone would say.
#[test]
fn a_command_tells_its_service_manager_itself() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let manager = Manager::start()?;
    let mut command = Command::new(geophone()?);
    command.args(["exec", "--", "sh", "-c", "echo \"$NOTIFY_SOCKET\""]);
    command.env("NOTIFY_SOCKET", manager.path());
    let mut agent = Program::start("geophone", &mut command)?;
    let line = agent.line()?.context("the command says nothing")?;
    assert_eq!(line, manager.path().to_string_lossy());
    agent.succeed()?;
    assert!(manager.heard_nothing()?);
    Ok(())
}

/// Lets a process open so many more files and no more; tells the limit it had.
fn leave_free_files(pid: u32, free: usize) -> Result<Rlimit> {
    let mut open = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        open.insert(entry?.file_name().to_string_lossy().parse::<u64>()?);
    }
    let limit = (0..)
        .filter(|number| !open.contains(number))
        .nth(free)
        .context("numbers do not end")?;
    let process = process(pid)?;
    let before = rustix::process::getrlimit(Resource::Nofile);
    let less = Rlimit {
        current: Some(limit),
        maximum: before.maximum,
    };
    Ok(prlimit(process, Resource::Nofile, less)?)
}

fn process(pid: u32) -> Result<Option<Pid>> {
    Ok(Pid::from_raw(i32::try_from(pid)?))
}
