//! What must not leave, looked for in everything that geophone writes, sends, serves, shows and says, at once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tracer_tests::calls::{CLAUDE, Call, NOVA};
use tracer_tests::client::{Client, Kind};
use tracer_tests::environment::{can_trace, geophone};
use tracer_tests::fake::scenario::{Answer, Failure, Scenario};
use tracer_tests::fake::tap::{Happened, Tap};
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::program::{DEADLINE, Program, Signal};
use tracer_tests::terminal::Terminal;
use tracer_user::capture::{Item, Reader, Recording};
use tracer_user::event::ProbeEvent;
use tracer_user::event::pod::{Pod, Wishes};

/// Said in each prompt.
const CANARY: &str = "canary-in-the-prompt";

/// Said by the models: in the text, and as the argument of a tool.
const ANSWERED: [&str; 2] = ["Granite", "Zürich"];

/// The client's session token, as it stands in its requests.
const SESSION_TOKEN: &str = "YSBzZXNzaW9uIHRva2Vu";

/// How geophone shows its backend who it is.
const BACKEND_TOKEN: &str = "for-the-backend-alone";

/// Everything that came out of geophone, by where.
type Sinks = BTreeMap<&'static str, String>;

const FILE: &str = "file of spans";
const BACKEND: &str = "OTLP backend";
const SCRAPE: &str = "Prometheus";
const LOG: &str = "log";

/// A backend that keeps what it gets as it came: paths, header fields and bodies.
struct Backend {
    port: u16,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Backend {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        // Ends with the test's process; a connection ends with geophone.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || serve(&stream, &kept));
            }
        });
        Ok(Self { port, received })
    }

    fn received(&self) -> String {
        let bytes = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Takes requests with a length until the client goes.
fn serve(stream: &TcpStream, kept: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut request, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let field = line.to_ascii_lowercase();
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            request.extend_from_slice(line.as_bytes());
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        request.extend_from_slice(&body);
        kept.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(&request);
        let mut answer = stream;
        answer.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n",
        )?;
    }
}

/// Every operation, answered with a text and a tool, and refused with a message.
fn calls() -> Vec<Call> {
    let tool = Scenario {
        answer: Answer::Tool,
        ..Scenario::default()
    };
    let refused = Scenario {
        fail: Some(Failure::AccessDenied),
        ..Scenario::default()
    };
    let answered = Operation::ALL.map(|operation| Call::new(operation, CLAUDE, &tool).with_tools());
    let refused = Operation::ALL.map(|operation| Call::new(operation, NOVA, &refused));
    let mut calls = [answered, refused].concat();
    for call in &mut calls {
        call.prompt.push_str(CANARY);
    }
    calls
}

/// A command of geophone that has every sink that it may have, and says all that it can say.
fn with_sinks(words: &[&str], format: &str, spans: &Path, backend: &Backend) -> Result<Command> {
    let mut command = Command::new(geophone()?);
    command
        .args(words)
        .args(["-vvv", "--metrics", "--format", format, "--output"])
        .arg(spans);
    let endpoint = format!("http://127.0.0.1:{}", backend.port);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env(
        "OTEL_EXPORTER_OTLP_HEADERS",
        format!("authorization={BACKEND_TOKEN}"),
    );
    Ok(command)
}

/// Records a client while all sinks are on, and reads them. The recording is at `capture`.
fn recorded(capture: &Path, format: &str, options: &[&str]) -> Result<Sinks> {
    let directory = tempfile::tempdir()?;
    let spans = directory.path().join("spans");
    let backend = Backend::start()?;
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let tap = Tap::default();
    let fake = FakeBedrock::start(&Options {
        tap: Some(tap.clone()),
        ..Options::default()
    })?;
    let client = Kind::Boto3.command(&fake)?;
    let mut command = with_sinks(&["record"], format, &spans, &backend)?;
    command.arg("--recording").arg(capture);
    command.args(["--prometheus", &port.to_string()]).args(options);
    command
        .arg("--")
        .arg(client.get_program())
        .args(client.get_args());
    command.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut client = Client::run(&mut command)?;
    let calls = calls();
    client.make(&calls, 1)?;
    fake.log().wait_for(calls.len(), DEADLINE);
    let sent = sent(&tap);
    ensure!(
        sent.contains(SESSION_TOKEN) && has_signature(&sent),
        "the client sent no credentials that could be found"
    );
    let scrape = scrape_of(port, calls.len())?;
    let log = client.finish()?;
    Ok(BTreeMap::from([
        (FILE, fs::read_to_string(&spans)?),
        (BACKEND, backend.received()),
        (SCRAPE, scrape),
        (LOG, log),
    ]))
}

/// What the client said, as it left it.
fn sent(tap: &Tap) -> String {
    let happened = tap.all().into_iter();
    let said = happened.filter_map(|tapped| match tapped.what {
        Happened::Sent(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Happened::Opened | Happened::Received(_) | Happened::Closed => None,
    });
    said.collect()
}

/// What Prometheus gets once so many calls are told.
fn scrape_of(port: u16, calls: usize) -> Result<String> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let told: u64 = text
            .lines()
            .filter(|line| line.starts_with("gen_ai_client_operation_duration_seconds_count{"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum();
        if told == calls as u64 {
            return Ok(text);
        }
        ensure!(Instant::now() < deadline, "{told} calls told:\n{text}");
    }
}

/// Replays a recording with all sinks that a replay has.
fn replayed(file: &Path, format: &str, options: &[&str]) -> Result<Sinks> {
    let directory = tempfile::tempdir()?;
    let spans = directory.path().join("spans");
    let backend = Backend::start()?;
    let mut command = with_sinks(&["replay"], format, &spans, &backend)?;
    command.args(options).arg(file);
    let mut replay = Program::start("geophone replay", &mut command)?;
    replay.succeed()?;
    Ok(BTreeMap::from([
        (FILE, fs::read_to_string(&spans)?),
        (BACKEND, backend.received()),
        (LOG, replay.stderr()),
    ]))
}

/// What the log says while a recording goes to a backend over gRPC, whose client has much to say.
fn log_over_grpc(file: &Path) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let backend = Backend::start()?;
    let spans = directory.path().join("spans");
    let mut command = with_sinks(&["replay"], "otlp-json", &spans, &backend)?;
    command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    command.arg("--content=both").arg(file);
    let mut replay = Program::start("geophone replay", &mut command)?;
    // The backend understands nothing, which is no failure of a replay.
    replay.succeed()?;
    let log = replay.stderr();
    ensure!(
        log.contains("frame=Headers"),
        "no request was sent, or the log is not the whole one"
    );
    Ok(log)
}

/// Wants every sink to have been in use, and no credential in any.
fn have_no_credentials(sinks: &Sinks) {
    for (sink, text) in sinks {
        let sign_of_life = if *sink == LOG { "geophone" } else { "claude" };
        assert!(text.contains(sign_of_life), "nothing came out at: {sink}\n{text}");
        assert!(!text.contains(SESSION_TOKEN), "the session token is in: {sink}");
        assert!(!has_signature(text), "a signature is in: {sink}");
        assert_eq!(
            text.contains(BACKEND_TOKEN),
            *sink == BACKEND,
            "the backend's token: {sink}"
        );
    }
}

fn has_signature(text: &str) -> bool {
    let mut after = text.split("Signature=").skip(1);
    after.any(|rest| rest.starts_with(|letter: char| letter.is_ascii_hexdigit()))
}

fn have_none_of(words: &[&str], sinks: &Sinks, wanted: &[&str]) {
    for sink in wanted {
        for word in words {
            assert!(
                !sinks[sink].contains(word),
                "{word} is in: {sink}\n{}",
                sinks[sink]
            );
        }
    }
}

fn everything_said() -> Vec<&'static str> {
    [&[CANARY], ANSWERED.as_slice()].concat()
}

/// The same recording of a process in a pod that keeps its content to itself.
fn of_a_discreet_pod(capture: &Path, copy: &Path) -> Result<()> {
    let mut recording = Recording::create(copy)?;
    let mut reader = Reader::open(File::open(capture)?)?;
    while let Some(item) = reader.read()? {
        let event = match item {
            Item::Event(ProbeEvent::Process(process)) => {
                let wishes = Wishes {
                    without_content: true,
                    ..Wishes::default()
                };
                let pod = Pod {
                    name: "discreet".to_owned(),
                    wishes,
                    ..Pod::default()
                };
                let mut process = process.as_ref().clone();
                process.pod = Some(Arc::new(pod));
                ProbeEvent::Process(Arc::new(process))
            }
            Item::Event(other) => other,
            Item::Description => continue,
            Item::Damaged(damage) => bail!("{damage:?}"),
        };
        recording.event(&event)?;
    }
    recording.flush()?;
    Ok(())
}

/// What the screen of `geophone top` shows: the list, and the details of a call.
fn shown(capture: &Path) -> Result<String> {
    let mut terminal = Terminal::start(&[Path::new("top"), capture])?;
    terminal.wait_until("the calls", |text| text.contains("read to its end"))?;
    let mut shown = terminal.text();
    terminal.press("\r")?;
    terminal.wait_until("a call", |text| text.contains("gen_ai.request.model"))?;
    shown.push_str(&terminal.text());
    terminal.press("q")?;
    Ok(shown)
}

/// What a geophone leaves behind that is ended by a signal while it holds content.
struct Crash {
    log: String,
    dumped: bool,
    /// What stands in the folder that it ran in.
    files: Vec<Vec<u8>>,
}

fn crash(signal: Signal, details: bool) -> Result<Crash> {
    let (directory, place) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let backend = Backend::start()?;
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let spans = directory.path().join("spans");
    let mut command = with_sinks(&["record"], "otlp-json", &spans, &backend)?;
    command.arg("--recording").arg(directory.path().join("capture"));
    command.args(["--content=both", "--pid", &client.pid().to_string()]);
    command.current_dir(place.path());
    if details {
        command.env("GEOPHONE_CRASH_DETAILS", "1");
    }
    let mut agent = Program::start("geophone", &mut command)?;
    agent.wait_for_stderr("geophone: tracing")?;
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    let process = i32::try_from(agent.pid()).ok().and_then(Pid::from_raw);
    prlimit(process, Resource::Core, unlimited)?;
    client.make(&calls(), 1)?;
    let deadline = Instant::now() + DEADLINE;
    while !backend.received().contains(CANARY) {
        ensure!(
            Instant::now() < deadline,
            "no content came out:\n{}",
            agent.stderr()
        );
    }
    agent.signal(signal)?;
    // Rust's guard of the stack takes the first of these; it steps aside when it finds that the stack is fine.
    let deadline = Instant::now() + DEADLINE;
    if signal == Signal::SEGV {
        while is_caught(agent.pid(), signal)? {
            ensure!(Instant::now() < deadline, "the guard does not step aside");
        }
        agent.signal(signal)?;
    }
    let status = agent.wait()?;
    ensure!(status.signal() == Some(signal.as_raw()), "{status}");
    client.finish()?;
    let mut files = Vec::new();
    for file in fs::read_dir(place.path())? {
        files.push(fs::read(file?.path())?);
    }
    Ok(Crash {
        log: agent.stderr(),
        dumped: status.core_dumped(),
        files,
    })
}

/// Whether a process has a handler for a signal: `SigCgt` of `proc_pid_status(5)`.
fn is_caught(pid: u32, signal: Signal) -> Result<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = u64::from_str_radix(mask.context("no mask")?.trim(), 16)?;
    Ok(mask >> (signal.as_raw() - 1) & 1 == 1)
}

#[test]
fn a_crash_leaves_no_canary_behind() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    for signal in [Signal::ABORT, Signal::SEGV] {
        let Crash { log, dumped, files } = crash(signal, false)?;
        assert!(
            !dumped && files.is_empty(),
            "{signal:?} leaves {} files",
            files.len()
        );
        let sinks = Sinks::from([(LOG, log)]);
        have_no_credentials(&sinks);
        have_none_of(&everything_said(), &sinks, &[LOG]);
    }

    // Asked for, it is there: what is looked for could be found.
    let Crash { dumped, files, .. } = crash(Signal::ABORT, true)?;
    assert!(dumped, "no core was dumped");
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    if !pattern.starts_with(['/', '|']) {
        let holds = |file: &Vec<u8>| String::from_utf8_lossy(file).contains(CANARY);
        assert!(files.iter().any(holds), "it is not in the core");
    }
    Ok(())
}

#[test]
fn no_canary_is_in_any_sink() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let capture: PathBuf = directory.path().join("capture.pcapng");
    let all = [FILE, BACKEND, SCRAPE, LOG];
    for format in ["otlp-json", "pretty"] {
        let sinks = recorded(&capture, format, &[]).context(format)?;
        have_no_credentials(&sinks);
        have_none_of(&everything_said(), &sinks, &all);

        // Plaintext is what a recording is for; credentials are not.
        let held = String::from_utf8_lossy(&fs::read(&capture)?).into_owned();
        assert!(held.contains(CANARY), "the canary did not pass at all");
        assert!(
            !held.contains(SESSION_TOKEN) && !has_signature(&held),
            "a credential is recorded"
        );
        let shown = shown(&capture)?;
        assert!(
            everything_said().iter().all(|word| !shown.contains(word)),
            "{shown}"
        );
    }

    // Asked for, it is there: what is looked for can be found.
    let sinks = recorded(&capture, "otlp-json", &["--content=both"])?;
    have_no_credentials(&sinks);
    for sink in [FILE, BACKEND] {
        for word in everything_said() {
            assert!(sinks[sink].contains(word), "{word} is not in: {sink}");
        }
    }
    have_none_of(&everything_said(), &sinks, &[SCRAPE, LOG]);
    let log = Sinks::from([(LOG, log_over_grpc(&capture)?)]);
    have_no_credentials(&log);
    have_none_of(&everything_said(), &log, &[LOG]);

    // Narrowed by rules, what they name is in none, and the rest is there.
    let rules = [
        "--content=both",
        "--redact-pattern",
        CANARY,
        "--redact-path",
        "$..city",
    ];
    for format in ["otlp-json", "pretty"] {
        let sinks = recorded(&capture, format, &rules).context(format)?;
        have_no_credentials(&sinks);
        have_none_of(&[CANARY, "Zürich"], &sinks, &all);
        assert!(
            sinks[BACKEND].contains("Granite"),
            "what no rule names is not there"
        );
    }

    // Narrowed by the pod, nothing of it is in any.
    let discreet = directory.path().join("discreet.pcapng");
    of_a_discreet_pod(&capture, &discreet)?;
    for format in ["otlp-json", "pretty"] {
        let sinks = replayed(&discreet, format, &["--content=both"])?;
        have_no_credentials(&sinks);
        have_none_of(&everything_said(), &sinks, &[FILE, BACKEND, LOG]);
    }
    Ok(())
}
