//! How geophone ends when it is asked to: probes first, then what is left, within its time.

use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;
use tracer_tests::calls::{CLAUDE, Call};
use tracer_tests::client::{Client, Kind, Seen};
use tracer_tests::environment::{can_trace, geophone};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::Agent;
use tracer_tests::program::{DEADLINE, Program, Signal};

/// A stream that stops after its first words until another one comes.
fn stream_that_waits() -> Call {
    let scenario = Scenario {
        chunks: 20,
        together: 2,
        ..Scenario::default()
    };
    Call::new(Operation::ConverseStream, CLAUDE, &scenario)
}

/// A client in the middle of a stream, a geophone that has seen it begin, and a backend that takes connections and never
/// answers.
struct InFlight {
    fake: FakeBedrock,
    client: Client,
    agent: Agent,
    _backend: TcpListener,
}

impl InFlight {
    /// `is_sent`: whether spans go to the silent backend, instead of to standard output.
    fn begin(is_sent: bool) -> Result<Self> {
        let fake = FakeBedrock::start(&Options::default())?;
        let mut client = Client::start(Kind::Boto3, &fake)?;
        let backend = TcpListener::bind("127.0.0.1:0")?;
        let mut command = Command::new(geophone()?);
        command.args([
            "attach",
            "--prometheus",
            "127.0.0.1:0",
            "--pid",
            &client.pid().to_string(),
        ]);
        if is_sent {
            let endpoint = format!("http://{}", backend.local_addr()?);
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
            // Prometheus has them.
            command.env("OTEL_METRICS_EXPORTER", "prometheus");
        } else {
            command.args(["--format", "otlp-json"]);
        }
        let agent = Agent::start(&mut command)?;
        client.send(&[stream_that_waits()], &json!({"threads": 1}))?;
        let mut asker = agent.asker()?;
        asker.wait_for("geophone_connections_recognised_total", "bedrock", 1.0)?;
        Ok(Self {
            fake,
            client,
            agent,
            _backend: backend,
        })
    }

    /// Lets the stream go on to its end.
    fn go_on(fake: &FakeBedrock, client: &mut Client) -> Result<Seen> {
        let mut other = Client::start(Kind::Boto3, fake)?;
        other.make(&[stream_that_waits()], 1)?;
        let seen = client.collect(1)?.remove(0);
        ensure!(seen.error.is_none(), "{seen:?}");
        Ok(seen)
    }
}

/// Links of uprobes that a process holds.
fn probes(pid: u32) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // It may be closed by now.
        let text = std::fs::read_to_string(entry?.path()).unwrap_or_default();
        count += usize::from(
            text.contains("link_type:\tuprobe_multi") || text.contains("link_type:\turetprobe_multi"),
        );
    }
    Ok(count)
}

/// Waits until nothing of a process is probed any more, while it still runs.
fn wait_until_unprobed(agent: &Program) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    while probes(agent.pid())? > 0 {
        ensure!(Instant::now() < deadline, "probes stay: {}", agent.stderr());
        std::thread::yield_now();
    }
    Ok(())
}

#[test]
fn a_stream_in_flight_is_told_as_far_as_it_went_and_its_program_goes_on() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let InFlight {
        fake,
        mut client,
        agent,
        _backend,
    } = InFlight::begin(false)?;
    let spans = agent.stop()?;
    ensure!(spans.len() == 1, "{spans:#?}");
    let incomplete = spans[0].attributes["geophone.incomplete"].to_string();
    ensure!(incomplete.contains("tracing_stopped"), "{incomplete}");
    assert_eq!(spans[0].text("gen_ai.request.model"), Some(CLAUDE));
    InFlight::go_on(&fake, &mut client)?;
    client.finish()?;
    Ok(())
}

#[test]
fn probes_go_before_a_silent_backend_is_waited_for_and_a_second_signal_ends_that() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let InFlight {
        fake,
        mut client,
        agent,
        _backend,
    } = InFlight::begin(true)?;
    ensure!(probes(agent.program().pid())? > 0, "no link of probes is found");
    agent.program().signal(Signal::TERM)?;
    wait_until_unprobed(agent.program())?;
    InFlight::go_on(&fake, &mut client)?;
    agent.program().signal(Signal::TERM)?;
    let (status, said) = agent.end()?;
    assert_eq!(status.code(), Some(128 + 15), "{said}");
    client.finish()?;
    Ok(())
}

#[test]
fn a_silent_backend_costs_the_rest_of_the_spans_and_some_seconds() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let InFlight {
        fake,
        mut client,
        agent,
        _backend,
    } = InFlight::begin(true)?;
    agent.program().signal(Signal::TERM)?;
    let (status, said) = agent.end()?;
    assert_eq!(status.code(), Some(0), "{said}");
    ensure!(
        said.contains("1 span was not sent to http://127.0.0.1:") && said.contains("spans_dropped_export=1"),
        "{said}"
    );
    InFlight::go_on(&fake, &mut client)?;
    client.finish()?;
    Ok(())
}
