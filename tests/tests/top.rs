//! `geophone top` on a terminal of its own: what stands on the screen, and that the terminal is given back.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use tracer_tests::calls::{CLAUDE, Call};
use tracer_tests::client::{Client, Kind};
use tracer_tests::environment::{can_trace, geophone};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::terminal::Terminal;
use tracer_user::capture::Recording;
use tracer_user::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, Process, ProcessKey};

#[test]
fn a_recording_is_looked_at_and_left() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = recording(folder.path())?;
    let mut terminal = Terminal::start(&[Path::new("top"), &file])?;
    terminal.wait_until("both calls", |text| {
        text.contains("read to its end") && text.contains("2 rows")
    })?;
    assert!(terminal.is_taken());
    let shown = terminal.text();
    for expected in [
        "0 in flight  2 calls  1 error  1 throttled  3 in  1 out",
        "[1 Calls]",
        "worker",
        "amazon.nova-lite-v1:0",
        "Throttling",
    ] {
        assert!(shown.contains(expected), "{expected:?} is missing in\n{shown}");
    }

    terminal.press("/throttled\r")?;
    terminal.wait_until("one row", |text| {
        text.contains("filter: throttled · 1 row") && !text.contains("/throttled")
    })?;
    terminal.press("\r")?;
    terminal.wait_until("the call", |text| text.contains("gen_ai.request.model"))?;
    let shown = terminal.text();
    assert!(shown.contains("throttled: Too many requests"), "{shown}");

    terminal.press("2")?;
    terminal.wait_until("the models", |text| text.contains("[2 Models]"))?;
    terminal.press("q")?;
    assert_eq!(terminal.ended()?.code(), Some(0));
    let text = terminal.text();
    assert!(text.contains("geophone: 2 spans from 1 connection"), "{text}");
    Ok(())
}

#[test]
fn control_c_and_signals_give_the_terminal_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = recording(folder.path())?;
    for signal in [None, Some(Signal::TERM), Some(Signal::HUP)] {
        let mut terminal = Terminal::start(&[Path::new("top"), &file])?;
        terminal.wait_until("the recording", |text| text.contains("read to its end"))?;
        match signal {
            None => terminal.press("\u{3}")?,
            Some(signal) => terminal.signal(signal)?,
        }
        assert_eq!(terminal.ended()?.code(), Some(0), "{signal:?}");
    }
    Ok(())
}

#[test]
fn control_z_stops_it_and_it_goes_on_where_it_was() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = recording(folder.path())?;
    let mut terminal = Terminal::start(&[Path::new("top"), &file])?;
    terminal.wait_until("the recording", |text| text.contains("read to its end"))?;
    terminal.press("2")?;
    terminal.wait_until("the models", |text| text.contains("[2 Models]"))?;
    terminal.press("\u{1a}")?;
    terminal.stopped()?;
    terminal.signal(Signal::CONT)?;
    terminal.wait_until("the models again", |text| text.contains("[2 Models]"))?;
    assert!(terminal.is_taken());

    // Stopped by somebody else it cannot give anything back, but takes it anew when it goes on.
    terminal.signal(Signal::STOP)?;
    terminal.scribble("\u{1b}[2Jwhat a shell said")?;
    terminal.wait_until("a shell", |text| text.contains("what a shell said"))?;
    terminal.signal(Signal::CONT)?;
    terminal.wait_until("the models once more", |text| {
        text.contains("[2 Models]") && !text.contains("shell")
    })?;
    terminal.press("q")?;
    assert_eq!(terminal.ended()?.code(), Some(0));
    Ok(())
}

/// A stream is held up by the fake until another comes as far as it has.
#[test]
fn a_stream_is_seen_in_flight_and_when_it_has_ended() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let mut other = Client::start(Kind::Boto3, &fake)?;
    let pid = client.pid().to_string();
    let mut terminal = Terminal::start(&["top", "--pid", &pid])?;
    let title = format!("geophone top · pid {pid}");
    terminal.wait_until("the screen", |text| {
        text.contains(&title) && text.contains("No call to Bedrock yet.")
    })?;

    let scenario = Scenario {
        chunks: 6,
        together: 2,
        after: 4,
        ..Scenario::default()
    };
    let call = Call::new(Operation::ConverseStream, CLAUDE, &scenario);
    client.send(std::slice::from_ref(&call), &json!({"threads": 1}))?;
    terminal.wait_until("the stream", |text| {
        text.contains("1 in flight") && text.contains('▶') && text.contains("ch/s")
    })?;
    terminal.press("\r")?;
    terminal.wait_until("the stream from near", |text| {
        text.contains("the answer is coming")
    })?;
    terminal.press("\u{1b}")?;

    // Its call is not asked for, and lets the first go on.
    let seen = other.make(std::slice::from_ref(&call), 1)?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    client.collect(1)?;
    terminal.wait_until("its end", |text| {
        text.contains("0 in flight  1 call  0 errors") && text.contains("tok/s")
    })?;
    let shown = terminal.text();
    assert!(shown.contains("claude-3-haiku-20240307-v1:0"), "{shown}");
    terminal.press("q")?;
    assert_eq!(terminal.ended()?.code(), Some(0));

    // Nobody who was traced is harmed.
    let plain = Call::new(Operation::Converse, CLAUDE, &Scenario::default());
    let seen = client.make(&[plain], 1)?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    client.finish()?;
    other.finish()?;
    Ok(())
}

#[test]
fn it_ends_with_its_terminal() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = recording(folder.path())?;
    let mut terminal = Terminal::start(&[Path::new("top"), &file])?;
    terminal.wait_until("both calls", |text| text.contains("2 rows"))?;
    assert_eq!(terminal.hang_up()?.code(), Some(1));
    Ok(())
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let output = Command::new(geophone()?)
        .arg("top")
        .arg(recording(folder.path())?)
        .stdin(Stdio::null())
        .output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: cannot show a screen\n  why: standard output is not a terminal\n  \
         try: start it in a terminal; `geophone run`, `attach` and `replay` write into pipes and files\n"
    );
    Ok(())
}

#[test]
fn a_file_that_is_no_recording_is_told_before_the_screen_is_taken() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "nothing of the kind")?;
    let mut terminal = Terminal::start(&[Path::new("top"), &file])?;
    assert_eq!(terminal.ended()?.code(), Some(1));
    let text = terminal.text();
    assert!(text.contains("error: cannot replay"), "{text}");
    assert!(text.contains("try: "), "{text}");
    Ok(())
}

/// A call and one that was throttled.
fn recording(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("run.pcapng");
    let mut recording = Recording::create(&path)?;
    for event in calls() {
        recording.event(&event)?;
    }
    recording.flush()?;
    Ok(path)
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
            withheld: tracer_user::event::pod::Wishes::default(),
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
