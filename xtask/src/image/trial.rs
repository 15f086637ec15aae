//! The image run as the pod runs it, beside two boto3 programs: one on the host, one in a container of another image.

use std::fmt::{Display, Formatter};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::engine::Engine;
use super::{CLIENT, IMAGE};
use crate::command::root;
use crate::fake::Fake;

/// How often it is started; the middle of the times is told.
const STARTS: usize = 5;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at `/readyz`.
const PAUSE: Duration = Duration::from_millis(2);

/// What the pod of the manifests has.
const POD: [&str; 5] = [
    "--pid=host",
    "--read-only",
    "--security-opt=no-new-privileges",
    "--cap-drop=ALL",
    "--cap-add=BPF,PERFMON,SYS_PTRACE,DAC_READ_SEARCH,CHECKPOINT_RESTORE",
];

/// What came of it.
pub(super) struct Trial {
    /// From the command to `/readyz` with 200.
    with_engine: Duration,
    /// From the start of the process to the same.
    process: Duration,
    /// What `/readyz` said.
    ready: String,
    stop: Duration,
    container: String,
}

impl Display for Trial {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(
            formatter,
            "  ready           {:.2} s after its process started, {:.2} s after the command ({}; the middle of {STARTS})",
            self.process.as_secs_f64(),
            self.with_engine.as_secs_f64(),
            self.ready,
        )?;
        writeln!(
            formatter,
            "  ends            {:.2} s after SIGTERM",
            self.stop.as_secs_f64()
        )?;
        write!(
            formatter,
            "  traced          a call of a program on this host, and one in container {:.12}",
            self.container
        )
    }
}

/// Starts everything, has each program make one call, and wants the spans.
pub(super) fn run_it(engine: &Engine, python: &Path) -> Result<Trial> {
    let fake = Fake::start()?;
    let facts = fake.facts();
    let mut on_host = Command::new(python);
    on_host
        .arg(root().join("tests/clients/boto3_client.py"))
        .args([&facts.endpoint, &facts.ca]);
    let name = format!("geophone-client-{}", std::process::id());
    let mut contained = engine.command(&["run", "--rm", "--interactive", "--network=host", "--name", &name]);
    contained
        .arg(format!("--volume={}:/ca.pem:ro", facts.ca))
        .args(["--env=AWS_EC2_METADATA_DISABLED=true", CLIENT])
        .args([&facts.endpoint, "/ca.pem"]);
    let mut clients = [
        Application::start(on_host.env("AWS_EC2_METADATA_DISABLED", "true"))?,
        Application::start(&mut contained)?,
    ];
    let container = engine.inspect(&name, ".Id")?;

    let mut starts = Vec::new();
    for _ in 1..STARTS {
        let agent = Agent::start(engine)?;
        starts.push((agent.with_engine, agent.process));
        agent.stop()?;
    }
    let mut agent = Agent::start(engine)?;
    starts.push((agent.with_engine, agent.process));
    let [host, contained] = &mut clients;
    for (client, id) in [(host, None), (contained, Some(&container))] {
        let request = client.call()?;
        let resource = agent.resource_of(&request)?;
        let told = resource
            .iter()
            .find(|attribute| attribute["key"] == "container.id");
        let told = told.and_then(|attribute| attribute["value"]["stringValue"].as_str());
        ensure!(
            told == id.map(String::as_str),
            "container.id is {told:?}, not {id:?}"
        );
    }
    let ready = agent.ready.trim().to_owned();
    let stop = agent.stop()?;
    for client in clients {
        client.end()?;
    }
    let middle = |mut times: Vec<Duration>| {
        times.sort();
        times[STARTS / 2]
    };
    Ok(Trial {
        with_engine: middle(starts.iter().map(|start| start.0).collect()),
        process: middle(starts.iter().map(|start| start.1).collect()),
        ready,
        stop,
        container,
    })
}

/// A client program of the tests, talked to as `tests/clients/protocol.py` describes.
struct Application {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Application {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let mut client = Self { child, input, output };
        client
            .line()
            .with_context(|| format!("{command:?} is not ready"))?;
        Ok(client)
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("not a line of the protocol: {line:?}"))
    }

    /// Makes one call and tells its request id.
    fn call(&mut self) -> Result<String> {
        let call = json!({
            "id": 0,
            "operation": "Converse",
            "model": "us.amazon.nova-micro-v1:0",
            "body": {"messages": [{"role": "user", "content": [{"text": "Is it raining?"}]}]}
        });
        writeln!(self.input, "{}", json!({"calls": [call]}))?;
        let seen = self.line()?;
        self.line()?;
        ensure!(seen["status"] == 200, "the call failed: {seen}");
        Ok(seen["request_id"].as_str().context("no request id")?.to_owned())
    }

    fn end(mut self) -> Result<()> {
        drop(self.input);
        let status = self.child.wait()?;
        ensure!(status.success(), "a client ended with {status}");
        Ok(())
    }
}

/// geophone in its container.
struct Agent<'a> {
    engine: &'a Engine,
    name: String,
    child: Child,
    spans: BufReader<ChildStdout>,
    with_engine: Duration,
    process: Duration,
    ready: String,
}

impl<'a> Agent<'a> {
    /// Starts it and waits until it is ready.
    fn start(engine: &'a Engine) -> Result<Self> {
        // Free at this moment; whoever takes it in between makes the start fail, and says so.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let name = format!("geophone-{}", address.port());
        let started = Instant::now();
        let mut command = engine.command(&["run", "--rm", "--network=host", "--name", &name]);
        command
            .args(POD)
            .args([IMAGE, "run", &format!("--prometheus={address}")]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let spans = BufReader::new(child.stdout.take().context("no output")?);
        let ready = loop {
            match readiness(address) {
                Ok((200, said)) => break said,
                Ok(_) | Err(_) => sleep(PAUSE),
            }
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("geophone ended with {status}");
            }
            ensure!(started.elapsed() < PATIENCE, "geophone is not ready");
        };
        let with_engine = started.elapsed();
        let process = age(&engine.inspect(&name, ".State.Pid")?, started, with_engine)?;
        Ok(Self {
            engine,
            name,
            child,
            spans,
            with_engine,
            process,
            ready,
        })
    }

    /// The resource of the span of a request; spans of others are passed over.
    fn resource_of(&mut self, request: &str) -> Result<Vec<Value>> {
        let quoted = format!("\"{request}\"");
        loop {
            let mut line = String::new();
            self.spans.read_line(&mut line)?;
            ensure!(!line.is_empty(), "geophone ended without a span of {request}");
            if !line.contains(&quoted) {
                continue;
            }
            let told: Value = serde_json::from_str(&line)?;
            for resource in told["resourceSpans"].as_array().into_iter().flatten() {
                if resource["scopeSpans"].to_string().contains(&quoted) {
                    let attributes = resource["resource"]["attributes"].as_array();
                    return attributes.cloned().context("a resource without attributes");
                }
            }
        }
    }

    /// Ends it as a kubelet does; how long that took.
    fn stop(mut self) -> Result<Duration> {
        let started = Instant::now();
        let mut stop = self.engine.command(&["kill", "--signal=TERM", &self.name]);
        stop.stdout(Stdio::null()).status()?;
        let mut rest = String::new();
        self.spans.read_to_string(&mut rest)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "geophone ended with {status}");
        Ok(started.elapsed())
    }
}

/// How old the process was when it was ready: it says when it started by the clock that runs since boot, in hundredths of a
/// second (`proc_pid_stat(5)`, field 22).
fn age(pid: &str, started: Instant, until_ready: Duration) -> Result<Duration> {
    const START_TIME: usize = 19;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("not a line of /proc/PID/stat")?;
    let ticks: u64 = fields
        .split(' ')
        .nth(START_TIME)
        .context("no start time")?
        .parse()?;
    let now = Duration::try_from(clock_gettime(ClockId::Boottime))?;
    let age = now.saturating_sub(Duration::from_millis(ticks * 10));
    Ok(age.saturating_sub(started.elapsed().saturating_sub(until_ready)))
}

/// Status and sentence of `/readyz`.
fn readiness(address: SocketAddr) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}
