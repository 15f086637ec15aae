//! Scrapes, as Prometheus makes them.

mod deployed;
mod query;
mod scrape;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use super::Prometheus;
use super::exposition::text;
use super::negotiation::Format;
use crate::bedrock::histogram::{Buckets, Histogram};
use crate::enrich::Resources;
use crate::export::metrics::{Collected, requests};
use crate::export::pulse::{Pulse, Standing};
use crate::export::tests::{PATIENCE, process};
use crate::genai::metrics::{Data, Metric, Number, Point, ProcessMetrics, Snapshot};
use crate::genai::span::{Attribute, Value};

fn point<V>(value: V) -> Point<V> {
    Point {
        attributes: vec![Attribute {
            key: "gen_ai.request.model",
            value: Value::String("a \"quoted\"\nmodel".into()),
        }],
        start_unix_ns: 1_763_683_200_000_000_000,
        value,
    }
}

fn metrics() -> Vec<Metric> {
    let mut duration = Histogram::new(Buckets::DURATION);
    for milliseconds in [5, 15, 200_000] {
        duration.record(milliseconds * 1_000_000);
    }
    vec![
        Metric {
            name: "gen_ai.client.operation.duration".into(),
            description: "How long a call took.".into(),
            unit: "s",
            data: Data::Histogram {
                per_unit: 1e9,
                points: vec![point(duration)],
            },
        },
        Metric {
            name: "llm.cost.usd".into(),
            description: "What calls cost by list price.".into(),
            unit: "{USD}",
            data: Data::Counter(vec![point(Number::Double(0.25))]),
        },
        Metric {
            name: "geophone.received".into(),
            description: "Bytes.".into(),
            unit: "By",
            data: Data::Counter(vec![point(Number::Int(7))]),
        },
        Metric {
            name: "geophone.probes".into(),
            description: "Probes in place.".into(),
            unit: "{probe}",
            data: Data::Gauge(vec![point(Number::Int(12))]),
        },
    ]
}

fn collected(pids: &[u32]) -> Collected {
    let processes = pids.iter().map(|pid| ProcessMetrics {
        process: process(*pid, "worker"),
        metrics: metrics(),
    });
    let snapshot = Snapshot {
        time_unix_ns: 1_763_683_260_000_000_000,
        processes: processes.collect(),
    };
    Collected::new(snapshot, None, &mut Resources::default())
}

/// Lines without those of `target_info`, whose labels hold what the test process runs in.
fn lines(text: &str) -> String {
    text.lines()
        .filter(|line| !line.starts_with("target_info{"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_text_format() {
    let text = text(&collected(&[7]), Format::Text);
    insta::assert_snapshot!(lines(&text));
    let target = text.lines().find(|line| line.starts_with("target_info{"));
    let target = target.expect("the process is told");
    assert!(
        target.starts_with("target_info{service_name=\"worker\",process_pid=\"7\","),
        "{target}"
    );
    assert!(target.ends_with("} 1"), "{target}");
}

#[test]
fn openmetrics() {
    let text = text(&collected(&[7]), Format::OpenMetrics);
    insta::assert_snapshot!(lines(&text));
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn no_two_lines_have_the_same_labels() {
    let text = text(&collected(&[7, 7, 8]), Format::Text);
    assert!(text.contains("geophone_received_bytes_total{service_name=\"worker\",process_pid=\"7\",gen_ai_request_model=\"a \\\"quoted\\\"\\nmodel\"} 14\n"), "{text}");
    let mut names: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' ').map(|(name, _)| name))
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// A request, and the answer to it as it comes.
fn fetch(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket of ours");
    write!(stream, "{request}\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn a_scrape_gets_what_the_tracing_thread_knows_now() {
    let (collector, mut requests) = requests();
    let server = Prometheus::open(([127, 0, 0, 1], 0).into(), collector, Pulse::default()).expect("a port");
    let address = server.address();
    let scraper = thread::spawn(move || {
        let accept = "Accept: application/openmetrics-text;version=1.0.0";
        [
            fetch(address, "GET /metrics HTTP/1.1"),
            fetch(address, &format!("GET /metrics HTTP/1.1\r\n{accept}")),
            fetch(address, "GET /secrets HTTP/1.1"),
            fetch(address, "POST /metrics HTTP/1.1\r\nContent-Length: 0"),
        ]
    });
    let everything = Arc::new(collected(&[7]));
    while !scraper.is_finished() {
        if requests.any() {
            requests.answer(&everything);
        }
        thread::yield_now();
    }
    let [text, open, missing, post] = scraper.join().expect("nobody panics");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    assert!(
        text.contains("\nllm_cost_usd_total{service_name=\"worker\""),
        "{text}"
    );
    assert!(
        open.contains("content-type: application/openmetrics-text"),
        "{open}"
    );
    assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
}

#[test]
fn signs_of_life_need_nobody_to_answer() {
    // The tracing thread does not come to answer: it has left its signs.
    let (collector, _requests) = requests();
    let pulse = Pulse::default();
    let server = Prometheus::open(([127, 0, 0, 1], 0).into(), collector, pulse.clone()).expect("a port");
    let get = |path: &str| fetch(server.address(), &format!("GET {path} HTTP/1.1"));

    let answer = get("/healthz");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = get("/readyz");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nnot ready: probes are being put in place\n"),
        "{answer}"
    );

    pulse.turned();
    pulse.stands(Standing::Probes(12));
    let answer = get("/healthz");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("\r\n\r\nalive: the tracing loop turned"),
        "{answer}"
    );
    let answer = get("/readyz?verbose");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nready: 12 probes are in place\n"),
        "{answer}"
    );
    assert!(answer.contains("cache-control: no-store"), "{answer}");

    let head = fetch(server.address(), "HEAD /healthz HTTP/1.1");
    assert!(
        head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let post = fetch(server.address(), "POST /healthz HTTP/1.1\r\nContent-Length: 0");
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
}

/// Somebody opens a thousand connections and says nothing, or never gets to the end of what it says.
#[test]
fn a_crowd_that_says_nothing_keeps_nobody_from_the_signs_of_life() {
    let (collector, _requests) = requests();
    let server = Prometheus::open(([127, 0, 0, 1], 0).into(), collector, Pulse::default()).expect("a port");
    let mut crowd = Vec::new();
    for number in 0..1_000 {
        let mut stream = TcpStream::connect(server.address()).expect("it listens");
        if number % 2 == 0 {
            // The oldest are closed meanwhile.
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost:").ok();
        }
        crowd.push(stream);
        if number % 250 == 249 {
            let answer = fetch(server.address(), "GET /healthz HTTP/1.1");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
}

#[test]
fn a_head_without_end_is_refused() {
    let (collector, _requests) = requests();
    let server = Prometheus::open(([127, 0, 0, 1], 0).into(), collector, Pulse::default()).expect("a port");
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket of ours");
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nX: ")
        .expect("it is sent");
    let mut sent = 0;
    // It stops reading long before the end.
    while sent < 1 << 26 && stream.write_all(&[b'x'; 4096]).is_ok() {
        sent += 4096;
    }
    assert!(sent < 1 << 26, "it took {sent} bytes");
    let answer = fetch(server.address(), "GET /healthz HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// One line with a label of Prometheus's own, and it would take none of the others either.
#[test]
fn a_process_cannot_spoil_a_scrape_by_how_it_calls_its_attributes() {
    let mut hostile = (*process(7, "worker")).clone();
    hostile.environment = vec![(
        "OTEL_RESOURCE_ATTRIBUTES".to_owned(),
        "__name__=up,__address__=x,..=y,9=z,a-b=1,a.b=2,service-name=s".to_owned(),
    )];
    let snapshot = Snapshot {
        time_unix_ns: 1_763_683_260_000_000_000,
        processes: vec![ProcessMetrics {
            process: Arc::new(hostile),
            metrics: metrics(),
        }],
    };
    let text = text(
        &Collected::new(snapshot, None, &mut Resources::default()),
        Format::Text,
    );
    let target = text.lines().find(|line| line.starts_with("target_info{"));
    let target = target.expect("the process is told");
    for (label, count) in [
        ("key__name__=\"up\"", 1),
        ("key__address__=\"x\"", 1),
        ("key__=\"y\"", 1),
        ("_9=\"z\"", 1),
        ("a_b=", 1),
        ("service_name=", 1),
        ("{__", 0),
        (",__", 0),
    ] {
        assert_eq!(target.matches(label).count(), count, "{label} in {target}");
    }
}

#[test]
fn a_port_that_is_taken_is_told_with_the_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it is bound");
    let (collector, _requests) = requests();
    let error = Prometheus::open(address, collector, Pulse::default())
        .expect_err("it is taken")
        .to_string();
    assert!(
        error.contains(&address.to_string()) && error.contains("--prometheus"),
        "{error}"
    );
}
