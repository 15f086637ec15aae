//! What a running geophone may still do, thread by thread, and that neither its work nor a command of its user lacks anything.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::calls::{CLAUDE, Call};
use tracer_tests::client::{Client, Kind};
use tracer_tests::environment::{can_trace, geophone};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{Agent, match_spans, replay};
use tracer_tests::program::{DEADLINE, Program, Signal};
use tracer_tests::span::from_otlp_json_lines;

/// `nobody` on most systems, and no user of ours.
const ANOTHER_USER: u32 = 65534;

// Numbers of `include/uapi/linux/capability.h`.
const DAC_READ_SEARCH: u64 = 1 << 2;
const KILL: u64 = 1 << 5;
const SYS_PTRACE: u64 = 1 << 19;
const CHECKPOINT_RESTORE: u64 = 1 << 40;
const LOOKING: u64 = SYS_PTRACE | DAC_READ_SEARCH | CHECKPOINT_RESTORE;

/// A field of `proc_pid_status(5)`, of every thread by its name.
fn of_threads(pid: u32, field: &str) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while they are read.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else {
            continue;
        };
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
                .with_context(|| format!("no {name}"))
        };
        found.insert(format!("{} {}", value("Name:")?, value("Pid:")?), value(field)?);
    }
    Ok(found)
}

/// Which capabilities a thread may have.
fn allowed(thread: &str) -> u64 {
    match thread.split(' ').next() {
        Some("geophone" | "look" | "look-ahead") => LOOKING,
        Some("pods") => DAC_READ_SEARCH,
        _ => 0,
    }
}

/// What no thread of a tracing geophone should have, and has. A thread that was just started has not given anything up yet.
fn too_much(pid: u32) -> Result<Vec<String>> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut found = Vec::new();
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            for (thread, mask) in of_threads(pid, set)? {
                let more = u64::from_str_radix(&mask, 16)? & !allowed(&thread);
                if more != 0 {
                    found.push(format!("{thread} has {more:#x} in {set}"));
                }
            }
        }
        for (thread, value) in of_threads(pid, "NoNewPrivs:")? {
            if value != "1" {
                found.push(format!("{thread} may get new ones"));
            }
        }
        if found.is_empty() || Instant::now() > deadline {
            return Ok(found);
        }
    }
}

/// Waits until `/readyz` says so.
fn ready(agent: &Agent) -> Result<()> {
    let said = agent.stderr();
    let address = said
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .with_context(|| format!("nothing is served:\n{said}"))?;
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        if text.starts_with("HTTP/1.1 200 ") {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{text}");
    }
}

/// A library as it is in a container that nobody else may look into: of another user, in a folder of theirs.
fn private_libraries(folder: &Path) -> Result<()> {
    let maps = Command::new("ldconfig").arg("-p").output()?;
    let maps = String::from_utf8(maps.stdout)?;
    for name in ["libssl.so.3", "libcrypto.so.3"] {
        let path = maps
            .lines()
            .filter(|line| line.trim_start().starts_with(name))
            .find_map(|line| line.rsplit_once("=> "));
        let (_, path) = path.with_context(|| format!("there is no {name}"))?;
        let copy = folder.join(name);
        fs::copy(path, &copy)?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600))?;
        chown(&copy, Some(ANOTHER_USER), Some(ANOTHER_USER))?;
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    Ok(chown(folder, Some(ANOTHER_USER), Some(ANOTHER_USER))?)
}

#[test]
fn a_running_geophone_has_given_up_what_it_no_longer_needs_and_traces_what_comes() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut command = Command::new(geophone()?);
    command.args(["run", "-vv", "--format", "otlp-json"]);
    command.args(["--prometheus", "127.0.0.1:0"]);
    // Nobody listens there: the threads that would send are what matters.
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        .env("NO_COLOR", "1");
    let agent = Agent::start(&mut command)?;
    ready(&agent)?;
    let pid = agent.pid();
    let threads = of_threads(pid, "CapEff:")?;
    for name in [
        "geophone",
        "signals",
        "spans-writer",
        "otlp",
        "prometheus",
        "look",
    ] {
        let is_there = threads.keys().any(|thread| thread.starts_with(name));
        ensure!(is_there, "no thread {name}: {threads:#?}");
    }
    let found = too_much(pid)?;
    ensure!(found.is_empty(), "{found:#?}\n{}", agent.stderr());
    let told = "kept=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE CAP_CHECKPOINT_RESTORE given_up=";
    ensure!(agent.stderr().contains(told), "{}", agent.stderr());

    // A library that was never seen before, closed to others, and gone from its folder once it is loaded.
    let folder = tempfile::tempdir()?;
    private_libraries(folder.path())?;
    let mut command = Kind::Boto3.command(&fake)?;
    command.env("LD_LIBRARY_PATH", folder.path());
    let mut client = Client::run(&mut command)?;
    let pids = [client.pid()];
    let calls = Operation::ALL.map(|operation| Call::new(operation, CLAUDE, &Scenario::default()));
    client.make(&calls, 1)?;
    let served = fake.log().wait_for(calls.len(), DEADLINE);
    let spans = agent.spans_of(&pids, calls.len())?;
    match_spans(&spans, &served).with_context(|| agent.stderr())?;
    client.finish()?;

    // What came up meanwhile has no more than what was there.
    let found = too_much(pid)?;
    ensure!(found.is_empty(), "{found:#?}");
    agent.stop()?;
    Ok(())
}

/// What a command may do and is held to, as it sees it itself.
const WHAT_HOLDS_FOR_ME: &str = "grep -E '^(Cap|NoNewPrivs|Seccomp|Sig(Ign|Blk|Cgt))' /proc/self/status; \
     cat /proc/self/limits /proc/self/oom_score_adj /proc/self/coredump_filter; stat -c %U /proc/self/status; id";

#[test]
fn a_command_has_the_rights_of_its_user() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let alone = Command::new("sh").args(["-c", WHAT_HOLDS_FOR_ME]).output()?;
    let alone = String::from_utf8(alone.stdout)?;
    ensure!(
        alone.contains("CapEff:") && alone.contains("Max core file size"),
        "{alone}"
    );
    let capture = tempfile::tempdir()?;
    let capture = capture.path().join("capture");
    for words in [
        vec!["exec".into()],
        vec!["record".into(), "-o".into(), capture.into_os_string()],
    ] {
        let traced = Command::new(geophone()?)
            .args(words)
            .args(["--", "sh", "-c", WHAT_HOLDS_FOR_ME])
            .output()?;
        assert_eq!(String::from_utf8(traced.stdout)?, alone);
    }
    Ok(())
}

/// A command that is another user's, and says so: as `sudo -u` and containers' runtimes start them.
#[test]
fn a_command_of_another_user_still_gets_its_signals() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let mut command = Command::new(geophone()?);
    let user = ANOTHER_USER.to_string();
    command.args([
        "exec",
        "--",
        "setpriv",
        "--reuid",
        &user,
        "--regid",
        &user,
        "--clear-groups",
    ]);
    command.args([
        "sh",
        "-c",
        "trap 'kill $!; exit 7' TERM; sleep 600 & echo up; wait; exit 1",
    ]);
    let mut program = Program::start("geophone exec", &mut command)?;
    ensure!(program.line()?.as_deref() == Some("up"), "{}", program.stderr());
    let signalling = |masks: &BTreeMap<String, String>| {
        let of_signals = masks.iter().find(|(thread, _)| thread.starts_with("signals"));
        of_signals.and_then(|(_, mask)| u64::from_str_radix(mask, 16).ok())
    };
    let masks = of_threads(program.pid(), "CapEff:")?;
    assert_eq!(signalling(&masks), Some(KILL), "{masks:#?}");
    program.signal(Signal::TERM)?;
    assert_eq!(program.wait()?.code(), Some(7), "{}", program.stderr());
    Ok(())
}

/// Files are opened before the right to do so is given up.
#[test]
fn files_in_folders_of_others_are_written() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
    chown(folder.path(), Some(ANOTHER_USER), Some(ANOTHER_USER))?;
    let (capture, spans) = (folder.path().join("capture"), folder.path().join("spans"));
    let client = Kind::Boto3.command(&fake)?;
    let mut command = Command::new(geophone()?);
    command.args(["record", "--format", "otlp-json", "--recording"]);
    command.arg(&capture).arg("--output").arg(&spans).arg("--");
    command.arg(client.get_program()).args(client.get_args());
    command.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut client = Client::run(&mut command)?;
    let calls = [Call::new(Operation::Converse, CLAUDE, &Scenario::default())];
    client.make(&calls, 1)?;
    client.finish()?;
    let served = fake.log().wait_for(calls.len(), DEADLINE);
    match_spans(&from_otlp_json_lines(&fs::read_to_string(&spans)?)?, &served)?;
    match_spans(&replay(&capture)?.0, &served)
}
