//! `geophone top` on a terminal of its own: what stands on the screen, and that the terminal is given back.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use rustix::pty::OpenptFlags;
use rustix::termios::{Termios, Winsize};
use tracer_user::capture::Recording;
use tracer_user::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, Process, ProcessKey};

/// Long enough for a loaded machine, short enough for a test that fails.
const PATIENCE: Duration = Duration::from_mins(1);

const LINES: NonZero<u16> = NonZero::new(24).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(100).unwrap();

#[test]
fn a_recording_is_looked_at_and_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = recording(folder.path());
    let mut terminal = Terminal::start(&[Path::new("top"), &file]);
    terminal.wait_until("both calls", |text| {
        text.contains("read to its end") && text.contains("2 rows")
    });
    assert!(terminal.screen.screen().alternate_screen());
    let shown = terminal.text();
    for expected in [
        "0 in flight  2 calls  1 error  1 throttled  3 in  1 out",
        "[1 Calls]",
        "worker",
        "amazon.nova-lite-v1:0",
        "ThrottlingException",
    ] {
        assert!(shown.contains(expected), "{expected:?} is missing in\n{shown}");
    }

    terminal.press("/throttled\r");
    terminal.wait_until("one row", |text| {
        text.contains("filter: throttled · 1 row") && !text.contains("/throttled")
    });
    terminal.press("\r");
    terminal.wait_until("the call", |text| {
        text.contains("geophone.") || text.contains("gen_ai.")
    });
    assert!(
        terminal.text().contains("Too many requests"),
        "{}",
        terminal.text()
    );

    terminal.press("2");
    terminal.wait_until("the models", |text| text.contains("[2 Models]"));
    terminal.press("q");
    let left = terminal.left();
    assert_eq!(left.code(), Some(0));
    let text = terminal.text();
    assert!(text.contains("geophone: 2 spans from 1 connection"), "{text}");
}

#[test]
fn control_c_and_sigterm_give_the_terminal_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = recording(folder.path());
    for signal in [None, Some(Signal::TERM), Some(Signal::HUP)] {
        let mut terminal = Terminal::start(&[Path::new("top"), &file]);
        terminal.wait_until("the recording", |text| text.contains("read to its end"));
        match signal {
            None => terminal.press("\u{3}"),
            Some(signal) => {
                rustix::process::kill_process(Pid::from_child(&terminal.child), signal).expect("it runs");
            }
        }
        assert_eq!(terminal.left().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_geophone"))
        .arg("top")
        .arg(recording(folder.path()))
        .stdin(Stdio::null())
        .output()
        .expect("geophone runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        said,
        "error: cannot show a screen\n  why: standard output is not a terminal\n  \
         try: start it in a terminal; `geophone run`, `attach` and `replay` write into pipes and files\n"
    );
}

#[test]
fn a_file_that_is_no_recording_is_told_before_the_screen_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "nothing of the kind").expect("room on the disk");
    let mut terminal = Terminal::start(&[Path::new("top"), &file]);
    assert_eq!(terminal.left().code(), Some(1));
    let text = terminal.text();
    assert!(text.contains("error: cannot replay"), "{text}");
    assert!(text.contains("try: "), "{text}");
}

/// A pseudo terminal with geophone on it, and what a terminal would show.
struct Terminal {
    child: Child,
    /// Keys go in here.
    keys: File,
    /// Held, so that the settings of the terminal can be read when geophone is gone.
    line: OwnedFd,
    before: Termios,
    screen: vt100::Parser,
    output: Receiver<Vec<u8>>,
}

impl Terminal {
    fn start(arguments: &[&Path]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let host = rustix::pty::openpt(flags).expect("a pseudo terminal");
        rustix::pty::grantpt(&host).expect("ours");
        rustix::pty::unlockpt(&host).expect("ours");
        let name = rustix::pty::ptsname(&host, Vec::new()).expect("it has a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line = rustix::fs::open(name, flags, Mode::empty()).expect("its other end");
        let size = Winsize {
            ws_row: LINES.get(),
            ws_col: COLUMNS.get(),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&line, size).expect("a size");
        let before = rustix::termios::tcgetattr(&line).expect("settings");

        let end = || Stdio::from(line.try_clone().expect("a descriptor"));
        let child = Command::new(env!("CARGO_BIN_EXE_geophone"))
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env_remove("GEOPHONE_LOG")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("geophone runs");
        let keys = File::from(host);
        let mut reader = keys.try_clone().expect("a descriptor");
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = reader.read(&mut buffer) {
                if count == 0 || sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keys,
            line,
            before,
            screen: vt100::Parser::new(LINES, COLUMNS, 0),
            output,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it reads keys");
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Waits until the screen shows it.
    fn wait_until(&mut self, what: &str, shown: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !shown(&self.text()) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(error) => panic!("{what} never came ({error}); the screen shows\n{}", self.text()),
            }
        }
    }

    /// Waits for the end, and sees that the terminal is as it was.
    fn left(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("it ends");
        // What it wrote before its end is still on its way; a line of ours comes after it.
        rustix::io::write(&self.line, b"\r\nthe end").expect("the terminal takes it");
        self.wait_until("the end", |text| text.contains("the end"));
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen(), "the screen was not given back");
        assert!(!screen.hide_cursor(), "the cursor was not given back");
        let after = rustix::termios::tcgetattr(&self.line).expect("settings");
        assert_eq!(
            format!("{:?}", self.before),
            format!("{after:?}"),
            "the line is not as it was"
        );
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A call and one that was throttled.
fn recording(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("run.pcapng");
    let mut recording = Recording::create(&path).expect("a recording");
    for event in calls() {
        recording.event(&event).expect("room on the disk");
    }
    recording.flush().expect("room on the disk");
    path
}

fn calls() -> Vec<ProbeEvent<'static>> {
    let process = ProcessKey {
        pid: 812,
        start_ns: 5_530_000_000,
    };
    let connection = ConnectionKey {
        process,
        address: 0x55d0,
        generation: 1,
    };
    let mut events = vec![
        ProbeEvent::Host(Host {
            boot_id: "3f0d6f5e-8c1c-4f5b-9d44-0f3f8a3c1b2a".to_owned(),
            name: "worker-7".to_owned(),
            wall_offset_ns: 1_700_000_000_000_000_000,
        }),
        ProbeEvent::Process(Arc::new(Process {
            key: process,
            parent_pid: 1,
            executable: "/usr/bin/python3.13".to_owned(),
            command_line: vec!["python3".to_owned(), "/srv/worker.py".to_owned()],
            environment: Vec::new(),
            cgroup: String::new(),
            pod: None,
        })),
    ];
    let asked = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
    let request = format!(
        "POST /model/amazon.nova-lite-v1%3A0/converse HTTP/1.1\r\n\
         Host: bedrock-runtime.us-east-1.amazonaws.com\r\nContent-Length: {}\r\n\r\n{asked}",
        asked.len()
    );
    let answered = concat!(
        r#"{"output":{"message":{"role":"assistant","content":[{"text":"ho"}]}},"stopReason":"end_turn","#,
        r#""usage":{"inputTokens":3,"outputTokens":1,"totalTokens":4},"metrics":{"latencyMs":7}}"#
    );
    let refused = r#"{"message":"Too many requests"}"#;
    let answers = [
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answered}",
            answered.len()
        ),
        format!(
            "HTTP/1.1 429 Too Many Requests\r\nx-amzn-ErrorType: ThrottlingException\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{refused}",
            refused.len()
        ),
    ];
    let mut time = 9_000_000_000;
    let mut offsets = [0, 0];
    for answer in answers {
        for (direction, bytes) in [
            (Direction::Write, request.as_bytes()),
            (Direction::Read, answer.as_bytes()),
        ] {
            time += 40_000_000;
            let offset = &mut offsets[usize::from(direction == Direction::Read)];
            events.push(ProbeEvent::Data(Data {
                connection,
                direction,
                thread: 812,
                time: Monotonic(time),
                stream_offset: *offset,
                call_length: bytes.len() as u64,
                call_offset: 0,
                joined_late: false,
                unpaired: false,
                bytes: bytes.to_vec().into(),
            }));
            *offset += bytes.len() as u64;
        }
    }
    events
}
