//! What geophone tells of itself to those who keep it running.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tracer_tests::environment::{can_trace, geophone, python};
use tracer_tests::program::{DEADLINE, Program};

/// Between two questions: nothing tells when the answer changes, and the machine has other work.
const PACE: Duration = Duration::from_millis(50);

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

/// Traces one process; the connection is one that was made while all was well.
fn attach(pid: u32) -> Result<(Program, Asker)> {
    let mut command = Command::new(geophone()?);
    command.args(["attach", "--format", "otlp-json", "--prometheus", "127.0.0.1:0"]);
    command.args(["--pid", &pid.to_string()]);
    let agent = Program::start("geophone", &mut command)?;
    let line = agent.wait_for_stderr("metrics are at")?;
    let address = line.split('/').nth(2).context("no address")?.to_owned();
    agent.wait_for_stderr("geophone: tracing")?;
    Ok((agent, Asker::connect(&address)?))
}

/// A client of HTTP/1.1 that keeps its connection.
struct Asker(BufReader<TcpStream>);

impl Asker {
    fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Status and body.
    fn get(&mut self, path: &str) -> Result<(u16, String)> {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line.split(' ').nth(1).context("no status")?.parse()?;
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, String::from_utf8(body)?))
    }

    /// Asks until this is the answer.
    fn get_until(&mut self, path: &str, wanted: impl Fn(u16, &str) -> bool) -> Result<String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let (status, body) = self.get(path)?;
            if wanted(status, &body) {
                return Ok(body);
            }
            ensure!(Instant::now() < deadline, "still {status} {body}");
            std::thread::sleep(PACE);
        }
    }
}

#[test]
fn an_agent_is_alive_and_ready_and_says_which_it_is() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let mut traced = process_that_loads_tls_later()?;
    let (_agent, mut asker) = attach(traced.pid())?;
    let body = asker.get_until("/healthz", |status, body| {
        status == 200 && body.contains("turned")
    })?;
    assert!(body.starts_with("alive: the tracing loop turned "), "{body}");
    let body = asker.get_until("/readyz", |status, _| status == 200)?;
    assert_eq!(
        body,
        "ready: no process has TLS that can be traced, probes follow once one has\n"
    );

    load_tls(&mut traced)?;
    asker.get_until("/readyz", |status, body| {
        status == 200 && body.ends_with(" probes are in place\n")
    })?;

    let (status, metrics) = asker.get("/metrics")?;
    assert_eq!(status, 200);
    let build = metrics
        .lines()
        .find(|line| line.starts_with("geophone_build_info{"))
        .with_context(|| format!("no build:\n{metrics}"))?;
    let version = format!("geophone_version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(build.contains(&version) && build.ends_with("} 1"), "{build}");
    Ok(())
}

/// A tracer that runs out of open files at the wrong moment: no call would be seen, and nothing else tells.
#[test]
fn an_agent_whose_probes_are_refused_is_alive_and_not_ready() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let mut traced = process_that_loads_tls_later()?;
    let (agent, mut asker) = attach(traced.pid())?;
    asker.get_until("/readyz", |status, _| status == 200)?;

    let before = leave_free_files(agent.pid(), 3)?;
    load_tls(&mut traced)?;
    let body = asker.get_until("/readyz", |status, _| status == 503)?;
    assert!(
        body.starts_with("not ready: no probe is in place although 1 process could be traced (")
            && body.contains("Too many open files")
            && body.ends_with("`geophone doctor` says what is in the way\n"),
        "{body}"
    );
    let (status, body) = asker.get("/healthz")?;
    assert_eq!(status, 200, "{body}");

    prlimit(process(agent.pid())?, Resource::Nofile, before)?;
    let body = asker.get_until("/readyz", |status, _| status == 200)?;
    assert!(body.ends_with(" probes are in place\n"), "{body}");
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
