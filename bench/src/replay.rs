//! How fast a recording goes through the whole pipeline, on one core.

use std::borrow::Cow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use tracer_user::capture::Recording;
use tracer_user::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, Process, ProcessKey};

use crate::Setup;
use crate::report::{Report, Target, median};

const SECTION: &str = "replay of a recording on one core";

/// A record of the kernel side carries at most so much.
const RECORD: usize = 16 << 10;

/// Adds MB/s of plaintext, content off and on.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<()> {
    let file = setup.scratch.join("bench-replay.pcapng");
    let exchanges = if setup.quick { 1_500 } else { 6_000 };
    let plaintext = record(&file, exchanges)?;
    report.add(
        SECTION,
        "plaintext in the recording",
        plaintext as f64 / 1e6,
        "MB",
    );
    for (label, content) in [("content off", false), ("content on", true)] {
        let mut speeds = Vec::new();
        for _ in 0..3 {
            let seconds = replay(setup, &file, content, exchanges)?;
            speeds.push(plaintext as f64 / 1e6 / seconds);
        }
        report.add_against(SECTION, label, median(speeds), "MB/s", Target::AtLeast(500.0));
    }
    std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
}

/// Seconds that one replay took; its spans are counted afterwards.
fn replay(setup: &Setup, file: &Path, content: bool, exchanges: usize) -> Result<f64> {
    let spans = setup.scratch.join("bench-replay.jsonl");
    let mut command = Command::new("taskset");
    command
        .args(["--cpu-list", "0"])
        .arg(&setup.geophone)
        .arg("replay")
        .arg(file)
        .args(["--format", "otlp-json", "--output"])
        .arg(&spans);
    if content {
        command.arg("--content");
    }
    let start = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("cannot start taskset")?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(
        output.status.success(),
        "replay ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let written = std::fs::read_to_string(&spans)?;
    let found = written.matches("\"spanId\"").count();
    std::fs::remove_file(&spans)?;
    ensure!(found == exchanges, "replay gave {found} spans of {exchanges}");
    Ok(seconds)
}

/// Records calls as they come in an agent's life: the conversation is sent again with every call and outweighs the answers.
fn record(file: &Path, exchanges: usize) -> Result<u64> {
    let process = ProcessKey {
        pid: 4242,
        start_ns: 1_000_000_000,
    };
    let mut recording = Recording::create(file)?;
    recording.event(&ProbeEvent::Host(Host {
        boot_id: "0b5f2c1e-57d1-4c0e-9d0a-0e4b8f6a1c11".into(),
        name: "bench".into(),
        wall_offset_ns: 1_700_000_000_000_000_000,
    }))?;
    recording.event(&ProbeEvent::Process(Arc::new(Process {
        key: process,
        parent_pid: 1,
        executable: "/usr/bin/python3.11".into(),
        command_line: vec!["python3".into(), "agent.py".into()],
        environment: Vec::new(),
        cgroup: "/".into(),
    })))?;
    let connection = ConnectionKey {
        process,
        address: 0x5581_0000_1000,
        generation: 1,
    };
    let mut stream = Stream {
        recording,
        connection,
        time: 2_000_000_000,
        offsets: [0, 0],
        plaintext: 0,
    };
    stream.recording.event(&ProbeEvent::Open {
        connection,
        time: Monotonic(stream.time),
    })?;
    for exchange in 0..exchanges {
        let streamed = exchange % 2 == 1;
        let prompt = "A geophone turns the movement of the ground into a voltage, \\\"quietly\\\". "
            .repeat(200 + exchange % 7 * 250);
        let body = format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":[{{\"text\":\"{prompt}\"}}]}}],\"inferenceConfig\":{{\"maxTokens\":512}}}}"
        );
        let operation = if streamed { "converse-stream" } else { "converse" };
        let head = format!(
            "POST /model/us.amazon.nova-micro-v1%3A0/{operation} HTTP/1.1\r\nHost: bedrock-runtime.us-east-1.amazonaws.com\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.pass(Direction::Write, head.as_bytes())?;
        stream.pass(Direction::Write, body.as_bytes())?;
        if streamed {
            stream.pass(
                Direction::Read,
                b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\nTransfer-Encoding: chunked\r\n\r\n",
            )?;
            for (kind, payload) in events() {
                let frame = frame(kind, &payload)?;
                let mut chunk = format!("{:x}\r\n", frame.len()).into_bytes();
                chunk.extend_from_slice(&frame);
                chunk.extend_from_slice(b"\r\n");
                stream.pass(Direction::Read, &chunk)?;
            }
            stream.pass(Direction::Read, b"0\r\n\r\n")?;
        } else {
            let answer = "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"Bedrock moves.\"}]}},\
                 \"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":900,\"outputTokens\":4,\"totalTokens\":904},\
                 \"metrics\":{\"latencyMs\":321}}";
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            );
            stream.pass(Direction::Read, head.as_bytes())?;
            stream.pass(Direction::Read, answer.as_bytes())?;
        }
    }
    stream.recording.flush()?;
    Ok(stream.plaintext)
}

/// One connection on its way into the recording.
struct Stream {
    recording: Recording,
    connection: ConnectionKey,
    time: u64,
    offsets: [u64; 2],
    plaintext: u64,
}

impl Stream {
    fn pass(&mut self, direction: Direction, call: &[u8]) -> Result<()> {
        self.time += 50_000;
        for (index, piece) in call.chunks(RECORD).enumerate() {
            let [read, write] = &mut self.offsets;
            let offset = match direction {
                Direction::Read => read,
                Direction::Write => write,
            };
            self.recording.event(&ProbeEvent::Data(Data {
                connection: self.connection,
                direction,
                thread: 4242,
                time: Monotonic(self.time),
                stream_offset: *offset,
                call_length: call.len() as u64,
                call_offset: (index * RECORD) as u64,
                joined_late: false,
                unpaired: false,
                bytes: Cow::Borrowed(piece),
            }))?;
            *offset += piece.len() as u64;
            self.plaintext += piece.len() as u64;
        }
        Ok(())
    }
}

/// Fifty events of one stream.
fn events() -> Vec<(&'static str, String)> {
    let mut events = vec![(
        "messageStart",
        "{\"p\":\"abcdefgh\",\"role\":\"assistant\"}".to_owned(),
    )];
    events.extend((0..46).map(|_| {
        let delta =
            "{\"contentBlockIndex\":0,\"delta\":{\"text\":\" and another word\"},\"p\":\"abcdefghijklmnop\"}";
        ("contentBlockDelta", delta.to_owned())
    }));
    events.push((
        "contentBlockStop",
        "{\"contentBlockIndex\":0,\"p\":\"abc\"}".to_owned(),
    ));
    events.push((
        "messageStop",
        "{\"p\":\"abcdef\",\"stopReason\":\"end_turn\"}".to_owned(),
    ));
    events.push((
        "metadata",
        "{\"metrics\":{\"latencyMs\":700},\"p\":\"ab\",\"usage\":{\"inputTokens\":900,\"outputTokens\":46,\"totalTokens\":946}}"
            .to_owned(),
    ));
    events
}

fn frame(kind: &'static str, payload: &str) -> Result<Vec<u8>> {
    let message = Message::new(payload.as_bytes().to_vec())
        .add_header(Header::new(":event-type", HeaderValue::String(kind.into())))
        .add_header(Header::new(
            ":content-type",
            HeaderValue::String("application/json".into()),
        ))
        .add_header(Header::new(":message-type", HeaderValue::String("event".into())));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).context("cannot encode a frame")?;
    Ok(bytes)
}
