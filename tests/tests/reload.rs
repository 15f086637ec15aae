//! SIGHUP on a tracer at work: the file is read again, and the next call shows it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::json;
use tracer_tests::calls::{CLAUDE, Call};
use tracer_tests::client::{Client, Kind};
use tracer_tests::environment::{can_trace, geophone, python};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::tap::Tap;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::manager::Manager;
use tracer_tests::program::{DEADLINE, Program, Signal};
use tracer_tests::span::{Span, from_otlp_json_lines};

/// Stands in every prompt of these clients.
const SAID: &str = "What hums below?";

/// A tracer with a file of settings, under a service manager.
struct Traced {
    directory: tempfile::TempDir,
    manager: Manager,
    agent: Program,
}

impl Traced {
    fn attach(pids: &[u32], settings: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let manager = Manager::start()?;
        let file = directory.path().join("geophone.toml");
        fs::write(&file, settings)?;
        let mut command = Command::new(geophone()?);
        command
            .args(["attach", "--format", "otlp-json", "--config"])
            .arg(&file);
        for pid in pids {
            command.args(["--pid", &pid.to_string()]);
        }
        command.env("NOTIFY_SOCKET", manager.path());
        let agent = Program::start("geophone", &mut command)?;
        manager.hear("READY=1")?;
        Ok(Self {
            directory,
            manager,
            agent,
        })
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("geophone.toml")
    }

    /// Has other settings read, and waits until that is over; what the service manager is told then.
    fn reload(&self, settings: &str) -> Result<String> {
        fs::write(self.file(), settings)?;
        self.agent.signal(Signal::HUP)?;
        let told = self.manager.hear("RELOADING=1\n")?;
        ensure!(told.contains("MONOTONIC_USEC="), "{told}");
        self.manager.hear("READY=1\n")
    }

    /// The next span.
    fn span(&self) -> Result<Span> {
        loop {
            let line = self.agent.line()?.unwrap_or_default();
            ensure!(!line.is_empty(), "geophone ended:\n{}", self.agent.stderr());
            if let Some(span) = from_otlp_json_lines(&line)?.pop() {
                return Ok(span);
            }
        }
    }
}

fn call(scenario: &Scenario) -> Call {
    Call::new(Operation::ConverseStream, CLAUDE, scenario)
}

fn one_call(client: &mut Client) -> Result<()> {
    let seen = client.make(&[call(&Scenario::default())], 1)?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    Ok(())
}

#[test]
fn the_next_call_shows_what_the_file_says_now() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let mut traced = Traced::attach(&[client.pid()], "")?;
    one_call(&mut client)?;
    let span = traced.span()?;
    ensure!(!format!("{span:?}").contains(SAID), "{span:?}");

    let with_content =
        "[content]\ncapture = \"span\"\n[redaction]\npatterns = ['hums']\n[log]\nfilter = \"info\"\n";
    traced.reload(with_content)?;
    let file = traced.file();
    traced.agent.wait_for_stderr(&format!(
        "`content.capture` is now \"span\" ({}:2)",
        file.display()
    ))?;
    one_call(&mut client)?;
    let said = format!("{:?}", traced.span()?);
    ensure!(
        said.contains("What [redacted:pattern] below?") && !said.contains(SAID),
        "{said}"
    );

    // What cannot change is named, and what can changes all the same.
    let more = format!("{with_content}[spans]\nsemconv = \"latest\"\n[metrics]\nprometheus = 0\n");
    traced.reload(&more)?;
    traced
        .agent
        .wait_for_stderr("`metrics.prometheus` changed, takes effect at the next start")?;
    let cached = Scenario {
        cache_write: Some(7),
        ..Scenario::default()
    };
    client.make(&[call(&cached)], 1)?;
    let span = traced.span()?;
    let name = "gen_ai.usage.cache_write.input_tokens";
    ensure!(span.attributes.contains_key(name), "{span:?}");

    // A broken file takes nothing away.
    let told = traced.reload("[content]\ncaptrue = \"none\"\n")?;
    ensure!(told.contains("the settings could not be read again"), "{told}");
    traced.agent.wait_for_stderr("the settings stay as they were")?;
    traced.agent.wait_for_stderr("did you mean `content.capture`?")?;
    fs::remove_file(traced.file())?;
    traced.agent.signal(Signal::HUP)?;
    traced.manager.hear("READY=1\n")?;
    traced.agent.wait_for_stderr("No such file or directory")?;
    one_call(&mut client)?;
    let said = format!("{:?}", traced.span()?);
    ensure!(said.contains("[redacted:pattern] below?"), "{said}");

    client.finish()?;
    traced.agent.succeed()
}

/// A stream is held in its middle while content is turned off: nothing that was said in it leaves.
#[test]
fn content_that_is_turned_off_stays_back_of_a_stream_under_way() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let tap = Tap::default();
    let fake = FakeBedrock::start(&Options {
        tap: Some(tap.clone()),
        ..Options::default()
    })?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let mut other = Client::start(Kind::Boto3, &fake)?;
    let capturing = "[content]\ncapture = \"span\"\n";
    let mut traced = Traced::attach(&[client.pid(), other.pid()], capturing)?;
    one_call(&mut client)?;
    let said = format!("{:?}", traced.span()?);
    ensure!(said.contains(SAID), "{said}");

    let held = Scenario {
        together: 2,
        after: 1,
        ..Scenario::default()
    };
    client.send(&[call(&held)], &json!({"threads": 1}))?;
    ensure!(tap.wait_for_sent("together", DEADLINE), "the request never came");
    // What happened later has been told, so the request was seen.
    one_call(&mut other)?;
    let said = format!("{:?}", traced.span()?);
    ensure!(said.contains(SAID), "{said}");

    traced.reload("")?;
    other.make(&[call(&held)], 1)?;
    client.collect(1)?;
    for _ in 0..2 {
        let said = format!("{:?}", traced.span()?);
        ensure!(
            !said.contains(SAID) && !said.contains("gen_ai.output.messages"),
            "{said}"
        );
    }
    client.finish()?;
    other.finish()?;
    traced.agent.succeed()
}

/// Runs a command as the first of a terminal, and hangs that up once the command says that it traces; tells its exit code.
const HANGS_UP: &str = "
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b''
while b'tracing' not in said:
    said += os.read(terminal, 4096)
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
";

/// The same signal, but nobody is there any more to read anything.
#[test]
fn a_terminal_that_hangs_up_ends_it() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let client = Client::start(Kind::Boto3, &fake)?;
    let directory = tempfile::tempdir()?;
    let mut command = Command::new(python()?);
    command.args(["-c", HANGS_UP]).arg(geophone()?);
    command.args(["attach", "--pid", &client.pid().to_string()]);
    command.arg("--output").arg(directory.path().join("spans"));
    let mut terminal = Program::start("terminal", &mut command)?;
    assert_eq!(terminal.line()?.as_deref(), Some("0"), "{}", terminal.stderr());
    terminal.succeed()?;
    client.finish()?;
    Ok(())
}
