//! Spans on their way to a backend: received by a collector that shares no code with geophone.

mod tapped;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tracer_tests::calls::{CLAUDE, Call};
use tracer_tests::client::{Client, Kind};
use tracer_tests::collector::{Collector, Protocol, Told};
use tracer_tests::environment::{can_trace, deploy_tool, geophone};
use tracer_tests::fake::scenario::{Failure, Scenario};
use tracer_tests::fake::tls::Identity;
use tracer_tests::fake::{FakeBedrock, Operation, Options, Served, Usage};
use tracer_tests::harness::match_spans;
use tracer_tests::program::{DEADLINE, Program};
use tracer_tests::span::Span;

/// Four answers and a refusal.
fn calls() -> Vec<Call> {
    let refused = Scenario {
        fail: Some(Failure::AccessDenied),
        ..Scenario::default()
    };
    let mut calls = Operation::ALL
        .map(|operation| Call::new(operation, CLAUDE, &Scenario::default()))
        .to_vec();
    calls.push(Call::new(Operation::Converse, CLAUDE, &refused));
    calls
}

/// Runs a client under `geophone exec` with these environment variables; what was served and what geophone said.
fn trace_with(environment: &[(&str, String)]) -> Result<(Vec<Served>, String)> {
    let fake = FakeBedrock::start(&Options::default())?;
    let client = Kind::Boto3.command(&fake)?;
    let mut command = Command::new(geophone()?);
    command
        .args(["exec", "--"])
        .arg(client.get_program())
        .args(client.get_args());
    command.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let mut client = Client::run(&mut command)?;
    let calls = calls();
    client.make(&calls, 1)?;
    let said = client.finish()?;
    Ok((fake.log().wait_for(calls.len(), DEADLINE), said))
}

/// The same without a kernel: what a client did is recorded at the fake and replayed.
fn replay_with(environment: &[(&str, String)]) -> Result<(Vec<Served>, String)> {
    let recording = tapped::record(Kind::Boto3, &calls(), 4, &Options::default())?;
    let mut command = Command::new(geophone()?);
    command.arg("replay").arg(recording.file());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let mut replay = Program::start("geophone replay", &mut command)?;
    replay.succeed()?;
    Ok((recording.served, replay.stderr()))
}

fn endpoint(collector: &Collector, scheme: &str, path: &str) -> String {
    format!("{scheme}://localhost:{}{path}", collector.port())
}

/// How spans come about: [`trace_with`] or [`replay_with`].
type Source = fn(&[(&str, String)]) -> Result<(Vec<Served>, String)>;

fn delivered(
    source: Source,
    protocol: Protocol,
    collector: Collector,
    environment: &[(&str, String)],
) -> Result<(Vec<Value>, Vec<Span>)> {
    let mut all = vec![("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.name().to_owned())];
    all.extend(environment.iter().cloned());
    let (served, said) = source(&all)?;
    let (mut spans, requests) = collector
        .spans(served.len())
        .with_context(|| format!("geophone said:\n{said}"))?;
    spans.extend(collector.finish()?);
    match_spans(&spans, &served)?;
    Ok((requests, spans))
}

#[test]
fn http_with_a_base_path_and_headers() -> Result<()> {
    let collector = Collector::start(
        Protocol::Http,
        None,
        &[
            "--path",
            "/api/default/v1/traces",
            "--header",
            "authorization=Basic cm9vdDpzZWNyZXQ=",
        ],
    )?;
    let environment = [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            endpoint(&collector, "http", "/api/default"),
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "Authorization=Basic%20cm9vdDpzZWNyZXQ=,stream-name=default".to_owned(),
        ),
    ];
    let (requests, spans) = delivered(replay_with, Protocol::Http, collector, &environment)?;
    for request in &requests {
        assert_eq!(request["headers"]["stream-name"], "default");
        assert_eq!(request["headers"]["content-type"], "application/x-protobuf");
    }
    assert!(
        spans
            .iter()
            .all(|span| span.resource["service.name"] == tapped::SERVICE)
    );
    Ok(())
}

#[test]
fn a_traced_process_is_told_of_while_it_runs() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let collector = Collector::start(Protocol::Http, None, &[])?;
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint(&collector, "http", "")),
        ("OTEL_SERVICE_NAME", "rain-agent".to_owned()),
    ];
    let (_, spans) = delivered(trace_with, Protocol::Http, collector, &environment)?;
    assert!(
        spans
            .iter()
            .all(|span| span.resource["service.name"] == "rain-agent")
    );
    Ok(())
}

#[test]
fn the_traces_endpoint_is_taken_as_it_is() -> Result<()> {
    let collector = Collector::start(Protocol::Http, None, &["--path", "/somewhere/else"])?;
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1".to_owned()),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            endpoint(&collector, "http", "/somewhere/else"),
        ),
        ("OTEL_METRICS_EXPORTER", "none".to_owned()),
    ];
    delivered(replay_with, Protocol::Http, collector, &environment)?;
    Ok(())
}

#[test]
fn metrics_add_up_to_what_was_served() -> Result<()> {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let collector = Collector::start(protocol, None, &["--metrics"])?;
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint(&collector, "http", "")),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.name().to_owned()),
        ];
        let (served, said) = replay_with(&environment)?;
        let points = collector.finish_with_metrics()?;
        let of = |name: &'static str| points.iter().filter(move |point| point["name"] == name);
        ensure!(
            points
                .iter()
                .all(|point| point["resource"]["service.name"] == tapped::SERVICE),
            "a point of another service: {points:#?}"
        );
        for (kind, count) in [
            (
                "input",
                (|usage| Some(usage.input + cached(usage))) as fn(&Usage) -> Option<u64>,
            ),
            ("output", |usage| usage.output),
        ] {
            let told = of("gen_ai.client.token.usage")
                .filter(|point| point["attributes"]["gen_ai.token.type"] == kind)
                .filter_map(|point| point["sum"].as_f64());
            let sent = served.iter().filter_map(|served| count(served.usage.as_ref()?));
            #[expect(clippy::cast_precision_loss, reason = "some thousand tokens")]
            let sent = sent.sum::<u64>() as f64;
            let told: f64 = told.sum();
            ensure!(
                (told - sent).abs() < 0.5,
                "{kind}: {told} told, {sent} sent; {said}"
            );
        }
        let durations = of("gen_ai.client.operation.duration");
        let (failed, fine): (Vec<_>, Vec<_>) =
            durations.partition(|point| point["attributes"].get("error.type").is_some());
        let count = |points: &[&Value]| {
            points
                .iter()
                .filter_map(|point| point["count"].as_u64())
                .sum::<u64>()
        };
        let refused = served.iter().filter(|served| served.error.is_some()).count();
        assert_eq!(count(&failed), refused as u64);
        assert_eq!(count(&fine), (served.len() - refused) as u64);
    }
    Ok(())
}

fn cached(usage: &Usage) -> u64 {
    usage.cache_read.unwrap_or(0) + usage.cache_write.unwrap_or(0)
}

#[test]
fn what_was_said_arrives_as_log_records_beside_the_spans() -> Result<()> {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let collector = Collector::start(protocol, None, &["--logs"])?;
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint(&collector, "http", "")),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.name().to_owned()),
            (
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
                "EVENT_ONLY".to_owned(),
            ),
        ];
        let (served, said) = replay_with(&environment)?;
        let (spans, records) = collector.finish_with_logs()?;
        ensure!(
            records.len() == served.len() && spans.len() == served.len(),
            "{} served, {} spans, {records:#?}; {said}",
            served.len(),
            spans.len()
        );
        for served in &served {
            let record = records
                .iter()
                .find(|record| record["attributes"]["aws.request_id"] == served.request_id.as_str())
                .context("a call without a record")?;
            assert_eq!(record["event"], "gen_ai.client.inference.operation.details");
            assert_eq!(record["severity"], 5);
            assert_eq!(record["resource"]["service.name"], tapped::SERVICE);
            let attributes = &record["attributes"];
            assert_eq!(attributes["gen_ai.input.messages"][0]["role"], "user");
            let answer = &attributes["gen_ai.output.messages"];
            if served.error.is_none() {
                assert_eq!(answer[0]["parts"][0]["content"], served.text.as_str());
            } else {
                assert!(answer.is_null(), "{answer}");
            }
            let span = spans
                .iter()
                .find(|span| record["span_id"] == span.span_id.as_str())
                .context("a record of no span")?;
            assert_eq!(record["trace_id"], span.trace_id.as_str());
            assert!(span.events.is_empty(), "it is told once: {span:?}");
            assert_eq!(span.text("gen_ai.input.messages"), None);
        }
    }
    Ok(())
}

/// Runs a client under `geophone exec`, and has Prometheus look at it meanwhile.
#[test]
fn prometheus_sees_a_live_run() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let fake = FakeBedrock::start(&Options::default())?;
    let client = Kind::Boto3.command(&fake)?;
    let mut command = Command::new(geophone()?);
    command
        .args(["exec", "--prometheus", &port.to_string(), "--"])
        .arg(client.get_program())
        .args(client.get_args());
    command.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut client = Client::run(&mut command)?;
    let calls = calls();
    client.make(&calls, 1)?;
    let served = fake.log().wait_for(calls.len(), DEADLINE);
    let deadline = Instant::now() + DEADLINE;
    // The last response may still be on its way through the ring buffer.
    let text = loop {
        let text = scrape(port)?;
        let told: u64 = text
            .lines()
            .filter(|line| line.starts_with("gen_ai_client_operation_duration_seconds_count{"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum();
        if told == served.len() as u64 {
            break text;
        }
        ensure!(Instant::now() < deadline, "{told} calls told:\n{text}");
    };
    client.finish()?;
    let has = |start: &str| text.lines().any(|line| line.starts_with(start));
    ensure!(has("target_info{service_name="), "no resource:\n{text}");
    ensure!(
        has("geophone_connections_recognised_total{service_name=\"geophone\""),
        "no health:\n{text}"
    );
    ensure!(
        text.contains("geophone_verdict=\"traced\"} 1\n"),
        "the client is not told as traced:\n{text}"
    );
    is_well_formed(&text)
}

/// Wants an answer to be what Prometheus reads, with names and types as its conventions have them.
fn is_well_formed(answer: &str) -> Result<()> {
    let (_, metrics) = answer.split_once("\r\n\r\n").context("no body")?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("metrics");
    std::fs::write(&file, metrics)?;
    let checked = Command::new(deploy_tool("promtool")?)
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&file)?)
        .output()?;
    let complaints = String::from_utf8_lossy(&checked.stderr);
    ensure!(checked.status.success() && complaints.is_empty(), "{complaints}");
    Ok(())
}

fn scrape(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(answer)
}

#[test]
fn grpc_with_headers() -> Result<()> {
    let collector = Collector::start(Protocol::Grpc, None, &["--header", "organization=default"])?;
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint(&collector, "http", "")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "organization=default".to_owned()),
    ];
    delivered(replay_with, Protocol::Grpc, collector, &environment)?;
    Ok(())
}

#[test]
fn both_protocols_over_tls_of_a_private_authority() -> Result<()> {
    let identity = Identity::new()?;
    let (certificate, key) = identity.server_files();
    let tls: Option<(&Path, &Path)> = Some((&certificate, &key));
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let collector = Collector::start(protocol, tls, &[])?;
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint(&collector, "https", "")),
            (
                "OTEL_EXPORTER_OTLP_CERTIFICATE",
                identity.authority().display().to_string(),
            ),
        ];
        delivered(replay_with, protocol, collector, &environment).with_context(|| protocol.name())?;
    }
    Ok(())
}

#[test]
fn a_backend_that_comes_back_gets_everything() -> Result<()> {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let collector = Collector::start(protocol, None, &["--unavailable", "2"])?;
        let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint(&collector, "http", ""))];
        let (requests, _) =
            delivered(replay_with, protocol, collector, &environment).with_context(|| protocol.name())?;
        assert!(requests.len() >= 3, "{requests:?}");
    }
    Ok(())
}

#[test]
fn a_backend_that_refuses_is_told_of_with_the_number_lost() -> Result<()> {
    let collector = Collector::start(Protocol::Http, None, &["--reject"])?;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint(&collector, "http", ""))];
    let (served, said) = replay_with(&environment)?;
    let Told::Request(request) = collector.next()? else {
        panic!("a span was accepted");
    };
    assert_eq!(request["status"], 400);
    ensure!(
        said.contains("400") && said.contains(&served.len().to_string()),
        "neither status nor number of lost spans is told:\n{said}"
    );
    Ok(())
}

#[test]
fn a_dead_backend_neither_stops_the_client_nor_loses_silently() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    // A port that was free a moment ago: nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let secret = "do-not-print-me";
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://localhost:{port}")),
        ("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization={secret}")),
    ];
    let (served, said) = trace_with(&environment)?;
    ensure!(
        said.contains(&served.len().to_string()),
        "the number of lost spans is not told:\n{said}"
    );
    ensure!(
        said.contains(&format!("localhost:{port}")),
        "the backend is not named:\n{said}"
    );
    ensure!(!said.contains(secret), "a header value is printed:\n{said}");
    Ok(())
}
