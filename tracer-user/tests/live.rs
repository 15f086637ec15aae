//! The `geophone` binary around real commands: exit codes, standard streams, signals. Needs root, as tracing does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal};

#[test]
fn a_command_ends_geophone_with_its_exit_code() {
    if !is_root() {
        return;
    }
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
    ] {
        let output = geophone(&["exec", "--", "sh", "-c", script])
            .output()
            .expect("geophone runs");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{script}: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn standard_streams_are_those_of_the_command() {
    if !is_root() {
        return;
    }
    let mut child = geophone(&["exec", "--", "sh", "-c", "cat; echo warning >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("geophone runs");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"from here\0to there\n")
        .expect("cat reads");
    let output = child.wait_with_output().expect("geophone ends");
    assert_eq!(text(&output.stdout), "from here\0to there\n");
    assert_eq!(
        text(&output.stderr),
        "warning\ngeophone: 0 spans from 0 connections, 0 of them to Bedrock\n"
    );
}

#[test]
fn a_command_sees_no_trace_of_the_gate() {
    if !is_root() {
        return;
    }
    for command in [
        &["ls", "/proc/self/fd"][..],
        &["grep", "-E", "Sig(Blk|Ign|Cgt)", "/proc/self/status"],
        &["env"],
    ] {
        let traced = geophone(&["exec", "--"])
            .args(command)
            .output()
            .expect("geophone runs");
        let direct = quiet(Command::new(command[0]))
            .args(&command[1..])
            .output()
            .expect("it runs");
        assert_eq!(text(&traced.stdout), text(&direct.stdout), "{command:?}");
    }
    let parent = geophone(&["exec", "--", "sh", "-c", "echo $PPID"])
        .stdout(Stdio::piped())
        .spawn();
    let parent = parent.expect("geophone runs");
    let id = parent.id();
    let output = parent.wait_with_output().expect("geophone ends");
    assert_eq!(text(&output.stdout), format!("{id}\n"));
}

#[test]
fn what_is_sent_to_geophone_is_passed_on_but_not_what_a_terminal_sends_to_both() {
    if !is_root() {
        return;
    }
    // `read` is interrupted by the trap; the count shows how often the signal came.
    let script = "trap 'echo TERM; exit 7' TERM; trap 'echo INT; exit 8' INT; echo ready; read line; exit 1";
    for (signal, to_group, said, code) in [
        (Signal::TERM, false, &["TERM\n"][..], 7),
        (Signal::INT, true, &["INT\n"], 8),
        // Nobody can tell that this one went to both, so it may come twice.
        (Signal::TERM, true, &["TERM\n", "TERM\nTERM\n"], 7),
    ] {
        let mut child = heeding_signals(&["exec", "--", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("geophone runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        wait_for("ready\n", &mut stdout);
        let pid = Pid::from_child(&child);
        if to_group {
            rustix::process::kill_process_group(pid, signal).expect("the group is there");
        } else {
            rustix::process::kill_process(pid, signal).expect("geophone is there");
        }
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).expect("UTF-8");
        assert!(said.contains(&rest.as_str()), "{signal:?} {to_group}: {rest}");
        assert_eq!(
            child.wait().expect("it ends").code(),
            Some(code),
            "{signal:?} {to_group}"
        );
    }
}

#[test]
fn a_command_outlives_a_killed_geophone() {
    if !is_root() {
        return;
    }
    let mut child = geophone(&["exec", "--", "sh", "-c", "echo ready; read line; echo $line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("geophone runs");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    wait_for("ready\n", &mut stdout);
    child.kill().expect("geophone is there");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"still here\n")
        .expect("sh reads");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("UTF-8");
    assert_eq!(rest, "still here\n");
    child.wait().expect("it ends");
}

#[test]
fn a_gate_whose_parent_is_gone_never_opens() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let opened = folder.path().join("opened");
    let script = format!(
        "{} __gate --parent $$ -- touch {} & echo $!; read line",
        env!("CARGO_BIN_EXE_geophone"),
        opened.display()
    );
    let mut parent = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs");
    let mut line = String::new();
    BufReader::new(parent.stdout.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("the pid of the gate");
    let gate = Pid::from_raw(line.trim().parse().expect("a pid")).expect("not 0");
    let gate = rustix::process::pidfd_open(gate, PidfdFlags::empty()).expect("the gate is there");
    parent.kill().expect("sh is there");
    parent.wait().expect("it ends");
    let mut ended = [rustix::event::PollFd::new(&gate, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut ended, None).expect("the gate ends");
    assert!(!opened.exists(), "the command ran");
}

#[test]
fn attach_ends_with_its_process_or_by_a_signal_which_leaves_the_process_alone() {
    if !is_root() {
        return;
    }
    let mut target = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("cat runs");
    let pid = target.id().to_string();

    let mut by_signal = attach(&pid);
    rustix::process::kill_process(Pid::from_child(&by_signal), Signal::TERM).expect("geophone is there");
    assert_eq!(by_signal.wait().expect("it ends").code(), Some(0));
    assert_eq!(target.try_wait().expect("a child"), None);

    let mut by_end = attach(&pid);
    drop(target.stdin.take());
    assert!(target.wait().as_ref().is_ok_and(ExitStatus::success));
    assert_eq!(by_end.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_recording_that_cannot_be_made_is_told_before_the_command_begins() {
    if !is_root() {
        return;
    }
    // Every write to it fails as on a full disk.
    let arguments = ["record", "-o", "/dev/full", "--", "echo", "begun"];
    let output = geophone(&arguments).output().expect("geophone runs");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("error: cannot record") && stderr.contains("No space left on device"),
        "{stderr}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_recording_can_be_passed_on_while_it_is_made() {
    if !is_root() {
        return;
    }
    let mut target = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("cat runs");
    let mut recorder = geophone(&["record", "-o", "-", "--pid", &target.id().to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("geophone runs");
    let recording = recorder.stdout.take().expect("a pipe");
    let replay = geophone(&["replay", "-"])
        .stdin(recording)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut stderr = BufReader::new(recorder.stderr.take().expect("a pipe"));
    wait_for(
        "geophone: tracing; Ctrl-C ends, the traced processes go on\n",
        &mut stderr,
    );
    drop(target.stdin.take());
    target.wait().expect("cat ends");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("UTF-8");
    assert_eq!(recorder.wait().expect("it ends").code(), Some(0), "{rest}");
    let replay = replay.and_then(Child::wait_with_output).expect("geophone runs");
    assert_eq!(replay.status.code(), Some(0), "{}", text(&replay.stderr));
}

#[test]
fn a_command_runs_on_when_the_reader_of_its_recording_has_left() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipe = folder.path().join("pipe");
    let owner_only = rustix::fs::Mode::from(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, owner_only, 0).expect("a pipe");
    let pipe_name = pipe.to_str().expect("a temporary folder has a plain name");
    let mut child = geophone(&[
        "record",
        "-o",
        pipe_name,
        "--",
        "sh",
        "-c",
        "read line; echo $line; exit 0",
    ])
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("geophone runs");
    // A reader that takes the first bytes and leaves.
    let mut first = [0; 4];
    std::fs::File::open(&pipe)
        .and_then(|mut reader| reader.read_exact(&mut first))
        .expect("the header");
    assert_eq!(first, [0x0a, 0x0d, 0x0d, 0x0a]);
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"still here\n")
        .expect("sh reads");
    let output = child.wait_with_output().expect("geophone ends");
    assert_eq!(
        (text(&output.stdout).as_str(), output.status.code()),
        ("still here\n", Some(0))
    );
    // As with any other pipe, that is no mistake.
    let told = text(&output.stderr);
    assert!(!told.contains("ends here"), "{told}");
}

/// `geophone attach`, with the probes in place.
fn attach(pid: &str) -> Child {
    let mut child = geophone(&["attach", "--pid", pid])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("geophone runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    wait_for(
        "geophone: tracing; Ctrl-C ends, the traced processes go on\n",
        &mut stderr,
    );
    child.stderr = Some(stderr.into_inner());
    child
}

fn wait_for(wanted: &str, lines: &mut impl std::io::BufRead) {
    let mut line = String::new();
    while line != wanted {
        line.clear();
        assert_ne!(
            lines.read_line(&mut line).expect("UTF-8"),
            0,
            "it ended before it said {wanted:?}"
        );
    }
}

fn geophone(arguments: &[&str]) -> Command {
    let mut command = quiet(Command::new(env!("CARGO_BIN_EXE_geophone")));
    command.args(arguments);
    command
}

/// A background job of a shell ignores Ctrl-C, and so do all its children, the tests too; a shell cannot trap what was
/// ignored when it began.
fn heeding_signals(arguments: &[&str]) -> Command {
    let mut command = quiet(Command::new("env"));
    command
        .args(["--default-signal", env!("CARGO_BIN_EXE_geophone")])
        .args(arguments);
    command
}

/// Out of reach of what the environment of the tests may say.
fn quiet(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") || name == "GEOPHONE_LOG" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("NOT RUN: tracing needs root");
    }
    is_root
}
