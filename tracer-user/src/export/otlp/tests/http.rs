//! Over HTTP.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message as _;

use super::backend::{Answer, Backend, Received};
use super::{PATIENCE, open, problem, process, send, settings, span};
use crate::counters::Counter;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    format!("http://{address}")
}

#[test]
fn spans_of_two_processes_arrive_under_two_resources() {
    let backend = Backend::start(|_, _| Answer::ok());
    let base = backend.url("/api/my_org/");
    let headers = "Authorization=Basic%20dXNlcjpwYXNz,stream-name=agents";
    let mut outlets = open(settings(&[(ENDPOINT, &base), (HEADERS, headers)]));
    let (worker, api) = (process(1, "worker"), process(2, "api"));
    outlets.span(span(&worker, 1));
    outlets.span(span(&api, 2));
    outlets.span(span(&worker, 3));
    let report = outlets.shutdown(PATIENCE);
    assert_eq!((report.exported, report.problems.len()), (3, 0), "{report:?}");

    let received = backend.rest();
    let mut services: Vec<_> = received.iter().flat_map(Received::services).collect();
    services.sort();
    assert_eq!(services, [("api".to_owned(), 1), ("worker".to_owned(), 2)]);
    for request in &received {
        assert_eq!(request.path, "/api/my_org/v1/traces");
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(request.header("authorization"), Some("Basic dXNlcjpwYXNz"));
        assert_eq!(request.header("stream-name"), Some("agents"));
        assert!(
            request
                .header("user-agent")
                .is_some_and(|agent| agent.starts_with("geophone/"))
        );
    }
}

#[test]
fn a_span_arrives_as_it_was_made() {
    let backend = Backend::start(|_, _| Answer::ok());
    let report = send(settings(&[(ENDPOINT, &backend.url(""))]), 1, PATIENCE);
    assert_eq!(report.exported, 1);
    let request = backend.next();
    let scope = &request.body.resource_spans[0].scope_spans[0];
    assert_eq!(
        scope.scope.as_ref().map(|scope| scope.name.as_str()),
        Some("geophone")
    );
    let sent = &scope.spans[0];
    assert_eq!(sent.trace_id, [1; 16]);
    assert_eq!(sent.span_id, [1; 8]);
    assert_eq!(sent.start_time_unix_nano, 1_763_683_200_123_456_789);
    assert_eq!(sent.end_time_unix_nano, 1_763_683_200_965_456_789);
    assert_eq!(sent.attributes[0].key, "gen_ai.usage.input_tokens");
}

#[test]
fn requests_are_compressed_when_asked() {
    let backend = Backend::start(|_, _| Answer::ok());
    let url = backend.url("");
    let report = send(
        settings(&[(ENDPOINT, &url), ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")]),
        3,
        PATIENCE,
    );
    assert_eq!(report.exported, 3);
    let request = backend.next();
    assert_eq!(
        (request.header("content-encoding"), request.spans()),
        (Some("gzip"), 3)
    );
}

#[test]
fn spans_are_sent_while_tracing_goes_on() {
    let backend = Backend::start(|_, _| Answer::ok());
    let mut outlets = open(settings(&[(ENDPOINT, &backend.url(""))]));
    outlets.span(span(&process(1, "worker"), 1));
    assert_eq!(backend.next().spans(), 1, "without waiting for the end");
    assert_eq!(outlets.shutdown(PATIENCE).exported, 1);
}

#[test]
fn a_backend_that_is_busy_at_first_gets_every_span_once() {
    let backend = Backend::start(|number, _| match number {
        0 => Answer::Status(503, vec![("retry-after", "0".to_owned())], b"warming up".to_vec()),
        1 => Answer::HangUp,
        2 => Answer::status(429),
        _ => Answer::ok(),
    });
    let report = send(settings(&[(ENDPOINT, &backend.url(""))]), 20, PATIENCE);
    assert_eq!((report.exported, report.problems.len()), (20, 0), "{report:?}");
    let requests = backend.rest();
    assert_eq!(
        requests.iter().map(Received::spans).collect::<Vec<_>>(),
        [20, 20, 20, 20]
    );
}

#[test]
fn a_backend_that_asks_for_patience_is_left_alone_so_long() {
    let backend = Backend::start(|number, _| match number {
        0 => Answer::Status(503, vec![("retry-after", "1".to_owned())], Vec::new()),
        _ => Answer::ok(),
    });
    let mut outlets = open(settings(&[(ENDPOINT, &backend.url(""))]));
    outlets.span(span(&process(1, "worker"), 1));
    backend.next();
    let refused = Instant::now();
    backend.next();
    assert!(
        refused.elapsed() >= Duration::from_millis(900),
        "{:?}",
        refused.elapsed()
    );
    assert_eq!(outlets.shutdown(PATIENCE).exported, 1);
}

#[test]
fn a_dead_backend_costs_its_spans_and_says_how_many() {
    let started = Instant::now();
    let address = nobody();
    let report = send(settings(&[(ENDPOINT, &address)]), 7, Duration::from_secs(1));
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(report.exported, 0);
    assert_eq!(report.counters.get(Counter::SpansDroppedExport), 7);
    let problem = problem(&report);
    assert!(problem.starts_with("7 spans were not sent to"), "{problem}");
    assert!(
        problem.contains(&address) && problem.contains("Connection refused"),
        "{problem}"
    );
}

#[test]
fn a_backend_that_never_answers_does_not_hold_up_tracing() {
    const SPANS: u64 = 20_000;
    let backend = Backend::start(|_, _| Answer::Silence);
    let url = backend.url("");
    let mut outlets = open(settings(&[(ENDPOINT, &url)]));
    let worker = process(1, "worker");
    outlets.span(span(&worker, 1));
    backend.next();
    let started = Instant::now();
    for _ in 1..SPANS {
        outlets.span(span(&worker, 2));
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let dropped = outlets.counters().get(Counter::SpansDroppedQueueFull);
    assert_eq!(dropped, SPANS - 8_192, "all but what the queue holds");
    let report = outlets.shutdown(Duration::from_millis(100));
    assert_eq!(report.counters.get(Counter::SpansDroppedQueueFull), dropped);
    assert_eq!(report.counters.get(Counter::SpansDroppedExport), 8_192);
    assert_eq!(report.problems.len(), 2, "{report:?}");
}

#[test]
fn a_request_that_takes_too_long_is_given_up_and_sent_again() {
    let backend = Backend::start(|number, _| {
        if number == 0 {
            Answer::Silence
        } else {
            Answer::ok()
        }
    });
    let url = backend.url("");
    let report = send(
        settings(&[(ENDPOINT, &url), ("OTEL_EXPORTER_OTLP_TIMEOUT", "200")]),
        2,
        PATIENCE,
    );
    assert_eq!((report.exported, report.problems.len()), (2, 0), "{report:?}");
}

#[test]
fn a_refusal_is_told_with_its_remedy_and_without_secrets() {
    for (status, body, remedy) in [
        (404, "", "/v1/traces is added to OTEL_EXPORTER_OTLP_ENDPOINT"),
        (
            401,
            "bad key sk-live-12345",
            "credentials in OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (403, "", "credentials in OTEL_EXPORTER_OTLP_HEADERS"),
        (400, "broken", "400 Bad Request (broken)"),
        (415, "", "OTLP receiver"),
        (500, "oops", "500 Internal Server Error (oops)"),
    ] {
        let backend = Backend::start(move |_, _| Answer::Status(status, Vec::new(), body.into()));
        let url = backend.url("");
        let report = send(
            settings(&[(ENDPOINT, &url), (HEADERS, "x-key=sk-live-12345")]),
            4,
            PATIENCE,
        );
        assert_eq!(report.counters.get(Counter::SpansDroppedExport), 4, "{report:?}");
        let problem = problem(&report);
        assert!(
            problem.starts_with("4 spans were refused by http://127.0.0.1"),
            "{problem}"
        );
        assert!(problem.contains(remedy), "{problem}");
        assert!(!problem.contains("12345"), "{problem}");
        assert_eq!(backend.rest().len(), 1, "a refusal is final");
    }
}

#[test]
fn a_backend_that_moved_is_told_with_its_new_address() {
    let backend = Backend::start(|_, _| {
        Answer::Status(
            308,
            vec![("location", "https://new.example/v1/traces".to_owned())],
            Vec::new(),
        )
    });
    let report = send(settings(&[(ENDPOINT, &backend.url(""))]), 1, PATIENCE);
    assert!(
        problem(&report).contains("it moved to https://new.example/v1/traces"),
        "{report:?}"
    );
}

#[test]
fn spans_that_a_backend_took_only_in_part_are_counted() {
    let backend = Backend::start(|_, _| {
        let answer = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 2,
                error_message: "too old".to_owned(),
            }),
        };
        Answer::Status(200, Vec::new(), answer.encode_to_vec())
    });
    let report = send(settings(&[(ENDPOINT, &backend.url(""))]), 5, PATIENCE);
    assert_eq!(
        (report.exported, report.counters.get(Counter::SpansDroppedExport)),
        (3, 2)
    );
    assert!(problem(&report).contains("too old"), "{report:?}");
}

#[test]
fn what_is_too_large_is_sent_in_halves() {
    let backend = Backend::start(|_, received| {
        if received.spans() > 3 {
            Answer::status(413)
        } else {
            Answer::ok()
        }
    });
    let report = send(settings(&[(ENDPOINT, &backend.url(""))]), 20, PATIENCE);
    assert_eq!((report.exported, report.problems.len()), (20, 0), "{report:?}");

    let strict = Backend::start(|_, _| Answer::status(413));
    let report = send(settings(&[(ENDPOINT, &strict.url(""))]), 3, PATIENCE);
    assert_eq!(report.counters.get(Counter::SpansDroppedExport), 3);
    assert!(problem(&report).contains("for a single span"), "{report:?}");
}

#[test]
fn one_process_with_bad_spans_does_not_cost_another_its_own() {
    let backend = Backend::start(|_, received| {
        if received.services().iter().any(|(name, _)| name == "bad") {
            Answer::status(400)
        } else {
            Answer::ok()
        }
    });
    let mut outlets = open(settings(&[(ENDPOINT, &backend.url(""))]));
    let (bad, good) = (process(1, "bad"), process(2, "good"));
    for number in 1..=10 {
        outlets.span(span(&bad, number));
        outlets.span(span(&good, number));
    }
    let report = outlets.shutdown(PATIENCE);
    assert_eq!(
        (report.exported, report.counters.get(Counter::SpansDroppedExport)),
        (10, 10),
        "{report:?}"
    );
}
