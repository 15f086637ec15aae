//! Runs the `geophone` binary around real clients and collects what it says, waiting for events alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail, ensure};

use crate::asker::Asker;
use crate::calls::{Call, repertoire};
use crate::client::{Client, Kind, Seen};
use crate::environment::geophone;
use crate::expect;
use crate::fake::{FakeBedrock, Operation, Options, Served};
use crate::program::{DEADLINE, Program, Signal};
use crate::span::{Span, from_otlp_json_lines};

/// What geophone says on standard error once its probes are in place.
const READY: &str = "geophone: tracing";
/// What its log says when programs that are installed have their probes as well.
const LOOKED_AHEAD: &str = "installed programs have their probes";

const CAPTURE: &str = "capture.pcapng";

/// A finished recording: the spans that were live, and the file.
#[derive(Debug)]
pub struct Recording {
    directory: tempfile::TempDir,
    /// The live spans.
    pub spans: Vec<Span>,
    /// What geophone wrote to standard error.
    pub stderr: String,
}

impl Recording {
    /// The capture file.
    pub fn capture(&self) -> PathBuf {
        self.directory.path().join(CAPTURE)
    }

    /// Replays the file and wants exactly the live spans, ids, times and order included.
    pub fn replay_equals_live(&self) -> Result<()> {
        self.replay_with_equals_live(&[])
    }

    /// The same with the options that were given live.
    pub fn replay_with_equals_live(&self, options: &[&str]) -> Result<()> {
        let (replayed, said) = replay_with(&self.capture(), options)?;
        ensure!(
            replayed.len() == self.spans.len(),
            "{} spans live, {} from the file; replay said:\n{}",
            self.spans.len(),
            replayed.len(),
            said
        );
        for (live, replayed) in self.spans.iter().zip(&replayed) {
            ensure!(
                live == replayed,
                "live span\n{live:#?}\nis replayed as\n{replayed:#?}"
            );
        }
        Ok(())
    }

    /// Lets tshark dissect the file: the paths of the HTTP requests and the codes of the responses it finds.
    pub fn dissect(&self) -> Result<(Vec<String>, Vec<u16>)> {
        let output = Command::new("tshark")
            .arg("-r")
            .arg(self.capture())
            .args(["-Y", "http.request || http.response || http2.headers"])
            .args(["-T", "fields"])
            .args(["-e", "http.request.uri", "-e", "http2.headers.path"])
            .args(["-e", "http.response.code", "-e", "http2.headers.status"])
            .output()
            .context("cannot start tshark: run `cargo xtask setup` first")?;
        ensure!(
            output.status.success(),
            "tshark cannot read the file: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let (mut requests, mut responses) = (Vec::new(), Vec::new());
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let (paths, codes) = columns.split_at_checked(2).unwrap_or_default();
            // Several messages in one packet share a row, separated by commas.
            let paths = paths.iter().flat_map(|paths| paths.split(','));
            requests.extend(paths.filter(|path| !path.is_empty()).map(str::to_owned));
            let codes = codes.iter().flat_map(|codes| codes.split(','));
            responses.extend(codes.filter_map(|code| code.parse::<u16>().ok()));
        }
        Ok((requests, responses))
    }

    /// The whole proof on one recording: every response has its span and says what was served, no span is left over,
    /// nothing was lost, the
    /// file replays to the same spans, and tshark finds the same HTTP in it.
    pub fn proves(&self, served: &[Served]) -> Result<()> {
        match_spans(&self.spans, served)?;
        for loss in ["lost_", "holes=", "spans_dropped"] {
            ensure!(
                !self.stderr.contains(loss),
                "something was lost:\n{}",
                self.stderr
            );
        }
        self.replay_equals_live()?;
        let (mut requests, mut responses) = self.dissect()?;
        let mut paths: Vec<&str> = served.iter().map(|served| served.path.as_str()).collect();
        // tshark shows a response of HTTP/1 once it is whole, one of HTTP/2 with its head.
        let whole = served.iter().filter(|served| served.complete || served.http2);
        let mut statuses: Vec<u16> = whole.map(|served| served.status).collect();
        requests.sort();
        responses.sort_unstable();
        paths.sort_unstable();
        statuses.sort_unstable();
        ensure!(
            requests == paths,
            "tshark finds the requests {requests:?}, served were {paths:?}"
        );
        ensure!(
            responses == statuses,
            "tshark finds the responses {responses:?}, served were {statuses:?}"
        );
        Ok(())
    }
}

/// Spans of `geophone replay FILE`, and what it said on standard error.
pub fn replay(file: &Path) -> Result<(Vec<Span>, String)> {
    replay_with(file, &[])
}

/// The same with more options.
pub fn replay_with(file: &Path, options: &[&str]) -> Result<(Vec<Span>, String)> {
    let mut command = Command::new(geophone()?);
    command
        .args(["replay", "--format", "otlp-json"])
        .args(options)
        .arg(file);
    let mut replay = Program::start("geophone replay", &mut command)?;
    replay.close_stdin();
    let spans = from_otlp_json_lines(&replay.remaining_lines()?.join("\n"))?;
    replay.succeed()?;
    Ok((spans, replay.stderr()))
}

/// Wants one span for every call, value by value, and no other: attempts of one call are one.
pub fn match_spans(spans: &[Span], all: &[Served]) -> Result<()> {
    let mut findings = Vec::new();
    let is_same = |one: &Served, other: &Served| {
        let name = |served: &Served| (served.invocation_id.clone(), served.counted_request);
        name(one) != (None, None) && name(one) == name(other)
    };
    let mut calls = 0;
    for served in all {
        let attempts = || all.iter().filter(|other| is_same(other, served));
        if attempts().any(|other| other.attempt > served.attempt) {
            continue;
        }
        calls += 1;
        let mut earlier: Vec<&Served> = attempts()
            .filter(|other| other.attempt < served.attempt)
            .collect();
        earlier.sort_by_key(|other| other.attempt);
        let about: Vec<&Span> = spans
            .iter()
            .filter(|span| span.text("aws.request_id") == Some(&served.request_id))
            .collect();
        match about.as_slice() {
            [span] => findings.extend(
                expect::findings(span, &earlier, served)
                    .into_iter()
                    .map(|finding| format!("{} {}: {finding}", served.request_id, span.name)),
            ),
            several => findings.push(format!("{} spans for {}", several.len(), served.told())),
        }
    }
    if spans.len() != calls {
        findings.push(format!("{} spans for {calls} calls", spans.len()));
    }
    judge(&findings)
}

/// Fails with the first of the findings and their number, if there are any.
fn judge(findings: &[String]) -> Result<()> {
    const SHOWN: usize = 5;
    if let Some(first) = findings.chunks(SHOWN).next() {
        bail!("{} findings:\n  {}", findings.len(), first.join("\n  "));
    }
    Ok(())
}

/// Runs a client under `geophone record -- CLIENT`, which also writes the live spans, and lets `work` use it.
pub fn record<T>(
    kind: Kind,
    fake: &FakeBedrock,
    work: impl FnOnce(&mut Client) -> Result<T>,
) -> Result<(T, Recording)> {
    record_with(&[], kind, fake, work)
}

/// The same with more options for `geophone record`.
pub fn record_with<T>(
    options: &[&str],
    kind: Kind,
    fake: &FakeBedrock,
    work: impl FnOnce(&mut Client) -> Result<T>,
) -> Result<(T, Recording)> {
    record_command_with(options, &kind.command(fake)?, |command| {
        let mut client = Client::run(command)?;
        let worked = work(&mut client)?;
        Ok((worked, client.finish()?))
    })
}

/// The whole proof on one client: it makes the calls, so many at a time, under `geophone record`, and each gets its answer,
/// its span, and the same span from the file.
pub fn prove(kind: Kind, options: &Options, calls: &[Call], threads: usize) -> Result<Vec<Served>> {
    let fake = FakeBedrock::start(options)?;
    let (seen, recording) = record(kind, &fake, |client| client.make(calls, threads))?;
    unharmed(kind, calls, &seen)?;
    let served = fake.log().wait_for(calls.len(), DEADLINE);
    ensure!(
        served
            .iter()
            .all(|served| served.http2 == (options.http2 && kind.speaks_http2())),
        "{kind:?} spoke another HTTP than it should"
    );
    recording
        .proves(&served)
        .with_context(|| format!("{kind:?}; geophone said:\n{}", recording.stderr))?;
    Ok(served)
}

/// Wants every call to have been answered.
fn unharmed(kind: Kind, calls: &[Call], seen: &[Seen]) -> Result<()> {
    for (call, seen) in calls.iter().zip(seen) {
        ensure!(seen.error.is_none(), "{kind:?} is harmed: {call:?}: {seen:?}");
    }
    Ok(())
}

/// Attaches to a client that has called before and keeps its connections, lets it call on, and wants its spans to be right:
/// all of them where every call is told apart by what passes now, else whatever they say.
pub fn attach_in_the_middle(kind: Kind) -> Result<()> {
    let fake = FakeBedrock::start(&Options::http2())?;
    let calls: Vec<Call> = repertoire().into_iter().filter(|call| !call.tools).collect();
    let mut client = Client::start(kind, &fake)?;
    let before = client.make(&calls, 4)?;
    unharmed(kind, &calls, &before)?;
    let before = fake.log().wait_for(calls.len(), DEADLINE).len();

    let agent = Agent::attach(&[client.pid()])?;
    let seen = client.make(&calls, 4)?;
    unharmed(kind, &calls, &seen)?;
    client.finish()?;
    let served = fake.log().wait_for(before + calls.len(), DEADLINE);
    let served = served.get(before..).context("the calls were served")?;
    let stderr = agent.stderr();
    let spans = agent.ended()?;
    let matched = if kind.multiplexes() {
        match_partly(&spans, served, kind.refers_to_paths())
    } else {
        match_spans(&spans, served)
    };
    matched.with_context(|| format!("{kind:?}, attached to in the middle; geophone said:\n{stderr}"))
}

/// Wants no span that says something wrong of a connection whose beginning nobody heard, and one for every response: what
/// is missing must be said to be. Where not even the path could be understood, an answer of InvokeModel is like any other JSON
/// in the world, and may have no span.
pub fn match_partly(spans: &[Span], served: &[Served], paths_unknown: bool) -> Result<()> {
    let mut findings = Vec::new();
    let mut left: Vec<&Served> = served.iter().collect();
    for span in spans {
        let best = left
            .iter()
            .enumerate()
            .map(|(index, served)| {
                (
                    expect::partial_findings(span, served),
                    index,
                    served.received_unix_ns,
                )
            })
            .min_by_key(|(findings, _, received)| (findings.len(), received.abs_diff(span.start)));
        match best {
            Some((wrong, index, _)) => {
                let served = left.swap_remove(index);
                findings.extend(
                    wrong
                        .into_iter()
                        .map(|wrong| format!("{} {}: {wrong}", served.request_id, span.name)),
                );
            }
            None => findings.push(format!("a span too many: {span:?}")),
        }
    }
    let unlike_any = |served: &Served| paths_unknown && served.operation == Some(Operation::InvokeModel);
    findings.extend(
        left.into_iter()
            .filter(|served| !unlike_any(served))
            .map(|served| format!("no span for {}", served.told())),
    );
    judge(&findings)
}

/// Wants all of it to have been one connection.
pub fn one_connection(served: &[Served]) -> Result<()> {
    let connections: BTreeSet<u64> = served.iter().map(|served| served.connection).collect();
    ensure!(connections.len() == 1, "{} connections", connections.len());
    Ok(())
}

/// Runs any command under `geophone record`. `run` starts what it is given and waits for its end; it gives back what it
/// found and what was said on standard error.
pub fn record_command<T>(
    traced: &Command,
    run: impl FnOnce(&mut Command) -> Result<(T, String)>,
) -> Result<(T, Recording)> {
    record_command_with(&[], traced, run)
}

fn record_command_with<T>(
    options: &[&str],
    traced: &Command,
    run: impl FnOnce(&mut Command) -> Result<(T, String)>,
) -> Result<(T, Recording)> {
    let directory = tempfile::Builder::new().prefix("geophone-test-").tempdir()?;
    let spans = directory.path().join("spans.jsonl");
    let mut command = Command::new(geophone()?);
    command
        .arg("record")
        .arg("-o")
        .arg(directory.path().join(CAPTURE))
        .args(["--format", "otlp-json", "--output"])
        .arg(&spans)
        .args(options);
    append(&mut command, traced);
    let (worked, stderr) = run(&mut command)?;
    let lines = std::fs::read_to_string(&spans)
        .with_context(|| format!("geophone wrote no spans; it said:\n{stderr}"))?;
    let recording = Recording {
        spans: from_otlp_json_lines(&lines)?,
        directory,
        stderr,
    };
    Ok((worked, recording))
}

/// Records running processes while `work` makes them call; ends when they have ended, which `work` must see to.
pub fn record_processes<T>(pids: &[u32], work: impl FnOnce() -> Result<T>) -> Result<(T, Recording)> {
    let directory = tempfile::Builder::new().prefix("geophone-test-").tempdir()?;
    let spans = directory.path().join("spans.jsonl");
    let mut command = Command::new(geophone()?);
    command
        .args(["record", "-o"])
        .arg(directory.path().join(CAPTURE))
        .args(["--format", "otlp-json", "--output"])
        .arg(&spans);
    for pid in pids {
        command.args(["--pid", &pid.to_string()]);
    }
    let mut program = Program::start("geophone record", &mut command)?;
    program.wait_for_stderr(READY)?;
    let worked = work()?;
    program.succeed()?;
    let recording = Recording {
        spans: from_otlp_json_lines(&std::fs::read_to_string(&spans)?)?,
        directory,
        stderr: program.stderr(),
    };
    Ok((worked, recording))
}

/// `geophone exec` around a command, its spans going to a file.
pub fn exec(traced: &Command, spans: &Path) -> Result<Command> {
    let mut command = Command::new(geophone()?);
    command
        .args(["exec", "--format", "otlp-json", "--output"])
        .arg(spans);
    append(&mut command, traced);
    Ok(command)
}

/// Puts `-- COMMAND` after what is there, with the command's environment.
fn append(command: &mut Command, traced: &Command) {
    command
        .arg("--")
        .arg(traced.get_program())
        .args(traced.get_args());
    for (name, value) in traced.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

/// A geophone that traces beside the clients: `attach` or `run`. It writes spans to its standard output.
#[derive(Debug)]
pub struct Agent {
    program: Program,
}

impl Agent {
    /// Attaches to processes and waits until the probes are in place.
    pub fn attach(pids: &[u32]) -> Result<Self> {
        let mut command = Command::new(geophone()?);
        command.args(["attach", "--format", "otlp-json"]);
        for pid in pids {
            command.args(["--pid", &pid.to_string()]);
        }
        Self::start(&mut command)
    }

    /// Traces every process of the host and waits until the probes are in place.
    pub fn run() -> Result<Self> {
        let mut command = Command::new(geophone()?);
        command.args(["run", "--format", "otlp-json"]);
        Self::start(&mut command)
    }

    /// The same on a host where programs are installed in these folders too; waits until they have been looked at.
    pub fn run_with_programs_in(folders: &[PathBuf]) -> Result<Self> {
        let mut command = Command::new(geophone()?);
        command.args(["run", "--verbose", "--format", "otlp-json"]);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = folders.iter().cloned().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders)?);
        let agent = Self::start(&mut command)?;
        agent.program.wait_for_stderr(LOOKED_AHEAD)?;
        Ok(agent)
    }

    /// Starts a geophone command line that traces and waits until the probes are in place.
    pub fn start(command: &mut Command) -> Result<Self> {
        let program = Program::start("geophone", command)?;
        program.wait_for_stderr(READY)?;
        Ok(Self { program })
    }

    /// Waits for so many spans that belong to one of these processes; those of others are passed over.
    pub fn spans_of(&self, pids: &[u32], count: usize) -> Result<Vec<Span>> {
        let mut spans = Vec::new();
        while spans.len() < count {
            let line = self
                .program
                .line()?
                .with_context(|| format!("geophone ended:\n{}", self.program.stderr()))?;
            spans.extend(
                from_otlp_json_lines(&line)?
                    .into_iter()
                    .filter(|span| is_of(span, pids)),
            );
        }
        Ok(spans)
    }

    /// Stops it by SIGTERM; the spans that had not been read.
    pub fn stop(self) -> Result<Vec<Span>> {
        self.program.signal(Signal::TERM)?;
        self.ended()
    }

    /// Waits until it ends because its targets did; the spans that had not been read.
    pub fn ended(mut self) -> Result<Vec<Span>> {
        let lines = self.program.remaining_lines()?;
        self.program.succeed()?;
        from_otlp_json_lines(&lines.join("\n"))
    }

    /// Waits for its end, whatever it is: how it ended, and what it said on standard error.
    pub fn end(mut self) -> Result<(ExitStatus, String)> {
        let status = self.program.wait()?;
        Ok((status, self.program.stderr()))
    }

    /// Kills it without a chance to tidy up.
    pub fn kill(mut self) -> Result<()> {
        self.program.signal(Signal::KILL)?;
        self.program.wait()?;
        Ok(())
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// What it said on standard error so far.
    pub fn stderr(&self) -> String {
        self.program.stderr()
    }

    /// The process.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Who asks it how it is; for one that was started with `--prometheus`.
    pub fn asker(&self) -> Result<Asker> {
        let said = self.stderr();
        let line = said.lines().find(|line| line.contains("metrics are at"));
        Asker::told_by(line.context("geophone serves no metrics")?)
    }
}

/// Whether a span is about one of these processes.
pub fn is_of(span: &Span, pids: &[u32]) -> bool {
    pids.iter().any(|pid| span.pid() == Some(u64::from(*pid)))
}
