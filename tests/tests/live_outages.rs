//! Backends that go away and come back, or take connections and nothing else, while calls go on.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::calls::{CLAUDE, Call};
use tracer_tests::client::{Client, Kind};
use tracer_tests::collector::{Collector, Protocol, Told};
use tracer_tests::environment::{can_trace, geophone};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::tls::Identity;
use tracer_tests::fake::{FakeBedrock, Operation, Options, Served};
use tracer_tests::harness::{Agent, match_spans};
use tracer_tests::program::{DEADLINE, Signal};
use tracer_tests::span::Span;

/// A traced client, and the geophone that sends its spans to this address.
struct Tracing {
    fake: FakeBedrock,
    client: Client,
    agent: Agent,
}

impl Tracing {
    fn start(endpoint: &str, protocol: Protocol, variables: &[(&str, &str)]) -> Result<Self> {
        let fake = FakeBedrock::start(&Options::default())?;
        let client = Client::start(Kind::Boto3, &fake)?;
        let mut command = Command::new(geophone()?);
        command.args([
            "attach",
            "--prometheus",
            "127.0.0.1:0",
            "--pid",
            &client.pid().to_string(),
        ]);
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.name())
            .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
            .envs(variables.iter().copied());
        let agent = Agent::start(&mut command)?;
        Ok(Self { fake, client, agent })
    }

    /// Makes calls, which must be as if nobody listened.
    fn call(&mut self, count: usize) -> Result<()> {
        let call = Call::new(Operation::Converse, CLAUDE, &Scenario::default());
        let seen = self.client.make(&vec![call; count], 1)?;
        ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
        Ok(())
    }

    fn served(&self, count: usize) -> Vec<Served> {
        self.fake.log().wait_for(count, DEADLINE)
    }

    /// Waits until geophone has as many spans.
    fn wait_for_spans(&self, count: u32) -> Result<()> {
        let mut asker = self.agent.asker()?;
        asker.wait_for("geophone_spans_total", "", f64::from(count))?;
        Ok(())
    }

    /// Asks geophone to end; what it said.
    fn end(self) -> Result<String> {
        self.client.finish()?;
        let (status, said) = self.agent.end()?;
        assert_eq!(status.code(), Some(0), "{said}");
        Ok(said)
    }
}

/// Lines of the log about the backend and what it is to take.
fn lines<'s>(said: &'s str, what: &str) -> Vec<&'s str> {
    let about = |line: &&str| line.contains("the OTLP backend") && line.contains(what);
    said.lines().filter(about).collect()
}

/// Reads on until so many calls are in the metrics that a collector gets.
fn wait_for_calls(collector: &Collector, count: u64, spans: &mut Vec<Span>) -> Result<()> {
    // Each request has the state of all series: as many points of one time as there are.
    let mut last: Option<u64> = None;
    loop {
        match collector.next()? {
            Told::Metric(point) if point["name"] == "gen_ai.client.operation.duration" => {
                let calls = point["count"].as_u64().context("no count")?;
                ensure!(
                    last.is_none_or(|last| calls >= last),
                    "it went back from {last:?} to {calls}"
                );
                last = Some(calls);
                if calls == count {
                    return Ok(());
                }
                ensure!(calls < count, "{calls} calls are counted, {count} were made");
            }
            Told::Span(span) => spans.push(*span),
            Told::Metric(_) | Told::Request(_) | Told::Log(_) => {}
        }
    }
}

#[test]
fn after_an_outage_every_span_arrives_and_the_metrics_go_on_from_where_they_were() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    for protocol in [Protocol::Http, Protocol::Grpc] {
        outage(protocol).with_context(|| protocol.name())?;
    }
    Ok(())
}

fn outage(protocol: Protocol) -> Result<()> {
    let before = Collector::start(protocol, None, &["--metrics"])?;
    let port = before.port();
    let mut tracing = Tracing::start(&format!("http://127.0.0.1:{port}"), protocol, &[])?;
    tracing.call(2)?;
    let mut spans = before.spans(2)?.0;
    wait_for_calls(&before, 2, &mut spans)?;
    spans.extend(before.finish()?);

    tracing.call(3)?;
    tracing.agent.program().wait_for_stderr("does not take")?;
    tracing.agent.program().wait_for_stderr("does not take")?;
    tracing.call(3)?;
    tracing.wait_for_spans(8)?;

    let after = Collector::start(protocol, None, &["--metrics", "--port", &port.to_string()])?;
    wait_for_calls(&after, 8, &mut spans)?;
    while spans.len() < 8 {
        if let Told::Span(span) = after.next()? {
            spans.push(*span);
        }
    }
    let served = tracing.served(8);
    let said = tracing.end()?;
    spans.extend(after.finish()?);
    match_spans(&spans, &served).with_context(|| format!("geophone said:\n{said}"))?;
    for what in ["spans", "metrics"] {
        let lines = lines(&said, what);
        ensure!(lines.len() == 2, "an outage is two lines, not {lines:#?}");
        assert!(
            lines[0].contains("does not take") && lines[1].contains("again"),
            "{lines:#?}"
        );
    }
    ensure!(!said.contains("spans_dropped"), "{said}");
    Ok(())
}

#[test]
fn what_does_not_fit_during_an_outage_is_counted_and_the_newest_arrives() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    // Free a moment ago, so that nobody listens yet.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let mut tracing = Tracing::start(&endpoint, Protocol::Http, &[("OTEL_BSP_MAX_QUEUE_SIZE", "4")])?;
    tracing.call(4)?;
    tracing.agent.program().wait_for_stderr("does not take spans")?;
    tracing.call(8)?;
    tracing.wait_for_spans(12)?;
    let mut asker = tracing.agent.asker()?;
    let dropped = asker.wait_for("geophone_spans_dropped_total", "queue_full", 8.0)?;
    assert!((dropped - 8.0).abs() < 0.5, "{dropped}");
    assert!(asker.metric("geophone_queue_length", "otlp\"")? < 4.5);
    let collector = Collector::start(Protocol::Http, None, &["--port", &port.to_string()])?;
    let (spans, _) = collector.spans(4)?;
    match_spans(&spans, &tracing.served(12)[8..])?;
    let said = tracing.end()?;
    ensure!(said.contains("spans_dropped_queue_full=8"), "{said}");
    let lines = lines(&said, "spans");
    ensure!(
        lines.len() == 2 && lines[1].contains("8 spans were lost meanwhile"),
        "{lines:#?}"
    );
    Ok(())
}

#[test]
fn a_backend_that_never_answers_is_told_of_and_holds_nobody_up() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", silent.local_addr()?);
    let mut tracing = Tracing::start(
        &endpoint,
        Protocol::Http,
        &[("OTEL_EXPORTER_OTLP_TIMEOUT", "300")],
    )?;
    tracing.call(2)?;
    let line = tracing.agent.program().wait_for_stderr("does not take spans")?;
    ensure!(line.contains("it did not answer in time"), "{line}");
    tracing.call(2)?;
    tracing.wait_for_spans(4)?;
    let (status, body) = tracing.agent.asker()?.get("/healthz")?;
    assert_eq!(status, 200, "{body}");
    tracing.agent.program().signal(Signal::TERM)?;
    let said = tracing.end()?;
    ensure!(
        said.contains("4 spans were not sent to") && said.contains("spans_dropped_export=4"),
        "{said}"
    );
    Ok(())
}

/// Answers every request with what a function does, on a thread of its own, as long as the test runs.
fn answering(answer: impl Fn(TcpStream) + Send + 'static) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    Ok(endpoint)
}

/// Reads a request to its end.
fn hear(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    stream.read_exact(&mut vec![0; length])
}

#[test]
fn refusals_are_final_and_what_breaks_off_is_tried_again() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    // A status, whether the spans are refused at once, and what is said of it.
    for (answer, is_final, told) in [
        (
            Some("400 Bad Request"),
            true,
            "refuses spans: it answered 400 Bad Request",
        ),
        (
            Some("413 Payload Too Large"),
            true,
            "for a single span; raise the limit of the backend",
        ),
        (
            Some("503 Service Unavailable"),
            false,
            "does not take spans: it answered 503",
        ),
        // The connection is cut in the middle of the request's answer.
        (None, false, "does not take spans: the request failed"),
    ] {
        let endpoint = answering(move |mut stream| {
            if hear(&mut stream).is_ok()
                && let Some(status) = answer
            {
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                // A client that has gone needs no answer.
                stream.write_all(head.as_bytes()).ok();
            }
        })?;
        let mut tracing = Tracing::start(
            &endpoint,
            Protocol::Http,
            &[("OTEL_METRICS_EXPORTER", "prometheus")],
        )?;
        tracing.call(1)?;
        tracing.agent.program().wait_for_stderr(told)?;
        let mut asker = tracing.agent.asker()?;
        if is_final {
            asker.wait_for("geophone_spans_dropped_total", "export", 1.0)?;
        } else {
            assert!(asker.metric("geophone_spans_dropped_total", "")? < 0.5);
            asker.wait_for("geophone_queue_length", "otlp\"", 1.0)?;
        }
        tracing.call(1)?;
        // Killed at the end of the round: what becomes of the rest is told elsewhere.
        tracing.client.finish()?;
        tracing.agent.kill()?;
    }
    Ok(())
}

#[test]
fn a_backend_with_a_wrong_certificate_gets_nothing_and_the_remedy_is_told() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let (server, trusted) = (Identity::new()?, Identity::new()?);
    let (certificate, key) = server.server_files();
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let collector = Collector::start(protocol, Some((&certificate, &key)), &[])?;
        let endpoint = format!("https://localhost:{}", collector.port());
        let authority = trusted.authority().display().to_string();
        let mut tracing = Tracing::start(
            &endpoint,
            protocol,
            &[
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.as_str()),
                ("OTEL_METRICS_EXPORTER", "prometheus"),
            ],
        )?;
        tracing.call(1)?;
        let line = tracing.agent.program().wait_for_stderr("does not take spans")?;
        ensure!(
            line.contains("certificate") && line.contains("OTEL_EXPORTER_OTLP_CERTIFICATE"),
            "{}: {line}",
            protocol.name()
        );
        tracing.wait_for_spans(1)?;
        let said = tracing.end()?;
        ensure!(said.contains("spans_dropped_export=1"), "{said}");
        let told: Vec<Value> = collector.finish_with_metrics()?;
        assert_eq!(told, Vec::<Value>::new());
    }
    Ok(())
}
