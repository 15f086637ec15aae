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

/// How the calls are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Http {
    One,
    Two,
}

/// Adds MB/s of plaintext over either version of HTTP, content off and on.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<()> {
    let file = setup.scratch.join("bench-replay.pcapng");
    let exchanges = if setup.quick { 1_500 } else { 6_000 };
    for http in [Http::One, Http::Two] {
        let plaintext = record(&file, exchanges, http)?;
        let labels = match http {
            Http::One => ["plaintext in the recording", "content off", "content on"],
            Http::Two => [
                "plaintext in the recording, HTTP/2",
                "content off, HTTP/2",
                "content on, HTTP/2",
            ],
        };
        let [size, off, on] = labels;
        report.add(SECTION, size, plaintext as f64 / 1e6, "MB");
        for (label, content) in [(off, false), (on, true)] {
            let mut speeds = Vec::new();
            for _ in 0..3 {
                let seconds = replay(setup, &file, content, exchanges)?;
                speeds.push(plaintext as f64 / 1e6 / seconds);
            }
            report.add_against(SECTION, label, median(speeds), "MB/s", Target::AtLeast(500.0));
        }
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
fn record(file: &Path, exchanges: usize, http: Http) -> Result<u64> {
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
        pod: None,
        withheld: tracer_user::event::pod::Wishes::default(),
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
    if http == Http::Two {
        stream.pass(
            Direction::Write,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        )?;
        stream.pass(Direction::Read, b"\0\0\0\x04\0\0\0\0\0")?;
    }
    for exchange in 0..exchanges {
        let streamed = exchange % 2 == 1;
        let prompt = "A geophone turns the movement of the ground into a voltage, \\\"quietly\\\". "
            .repeat(200 + exchange % 7 * 250);
        let body = format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":[{{\"text\":\"{prompt}\"}}]}}],\"inferenceConfig\":{{\"maxTokens\":512}}}}"
        );
        let operation = if streamed { "converse-stream" } else { "converse" };
        let call = Call {
            path: format!("/model/us.amazon.nova-micro-v1%3A0/{operation}"),
            body: body.into_bytes(),
            answer: if streamed {
                let frames: Result<Vec<_>> = events()
                    .iter()
                    .map(|(kind, payload)| frame(kind, payload))
                    .collect();
                Answer::Events(frames?)
            } else {
                Answer::Document(ANSWER)
            },
        };
        match http {
            Http::One => stream.pass_over_http1(&call)?,
            Http::Two => stream.pass_over_http2(&call, 2 * exchange + 1)?,
        }
    }
    stream.recording.flush()?;
    Ok(stream.plaintext)
}

/// What Converse answers in one piece.
const ANSWER: &str = "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"Bedrock moves.\"}]}},\
     \"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":900,\"outputTokens\":4,\"totalTokens\":904},\
     \"metrics\":{\"latencyMs\":321}}";

/// One call to Bedrock.
struct Call {
    path: String,
    body: Vec<u8>,
    answer: Answer,
}

enum Answer {
    Document(&'static str),
    Events(Vec<Vec<u8>>),
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
    fn pass_over_http1(&mut self, call: &Call) -> Result<()> {
        let Call { path, body, answer } = call;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: bedrock-runtime.us-east-1.amazonaws.com\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.pass(Direction::Write, head.as_bytes())?;
        self.pass(Direction::Write, body)?;
        match answer {
            Answer::Events(frames) => {
                self.pass(
                    Direction::Read,
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\nTransfer-Encoding: chunked\r\n\r\n",
                )?;
                for frame in frames {
                    let mut chunk = format!("{:x}\r\n", frame.len()).into_bytes();
                    chunk.extend_from_slice(frame);
                    chunk.extend_from_slice(b"\r\n");
                    self.pass(Direction::Read, &chunk)?;
                }
                self.pass(Direction::Read, b"0\r\n\r\n")
            }
            Answer::Document(answer) => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    answer.len()
                );
                self.pass(Direction::Read, head.as_bytes())?;
                self.pass(Direction::Read, answer.as_bytes())
            }
        }
    }

    fn pass_over_http2(&mut self, call: &Call, stream: usize) -> Result<()> {
        let Call { path, body, answer } = call;
        let request = block(&[
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "bedrock-runtime.us-east-1.amazonaws.com"),
            (":path", path),
            ("content-type", "application/json"),
        ]);
        self.pass(
            Direction::Write,
            &http2_frame(HEADERS, END_HEADERS, stream, &request),
        )?;
        for piece in body.chunks(RECORD) {
            self.pass(Direction::Write, &http2_frame(DATA, 0, stream, piece))?;
        }
        self.pass(Direction::Write, &http2_frame(DATA, END_STREAM, stream, &[]))?;
        let (kind, pieces): (_, Vec<&[u8]>) = match answer {
            Answer::Events(frames) => (
                "application/vnd.amazon.eventstream",
                frames.iter().map(Vec::as_slice).collect(),
            ),
            Answer::Document(answer) => ("application/json", vec![answer.as_bytes()]),
        };
        let response = block(&[(":status", "200"), ("content-type", kind)]);
        self.pass(
            Direction::Read,
            &http2_frame(HEADERS, END_HEADERS, stream, &response),
        )?;
        for piece in pieces {
            self.pass(Direction::Read, &http2_frame(DATA, 0, stream, piece))?;
        }
        self.pass(Direction::Read, &http2_frame(DATA, END_STREAM, stream, &[]))
    }

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

// RFC 9113 section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn http2_frame(kind: u8, flags: u8, stream: usize, payload: &[u8]) -> Vec<u8> {
    let length = payload.len().to_be_bytes();
    let stream = stream.to_be_bytes();
    let (_, length) = length.split_at(length.len() - 3);
    let (_, stream) = stream.split_at(stream.len() - 4);
    [length, &[kind, flags], stream, payload].concat()
}

/// Literal fields, RFC 7541 section 6.2.2.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap_or(0));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}
