//! Details of calls on their way to a backend.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::backend::{Answer, Backend, Received};
use super::{PATIENCE, beside_grpc, problem, process, span};
use crate::counters::Counter;
use crate::export::logs::tests::{check, detailed};
use crate::export::{Format, LogSettings, OtlpSettings, OutletSettings, Outlets, Report, Signal};

/// Sends a span with details and one without, to one backend for both signals or for one of them.
fn send(signals: &[Signal], variables: &[(&str, &str)], patience: Duration) -> Report {
    let settings = |signal| {
        let settings = OtlpSettings::from_environment(signal, |name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        });
        let settings = settings.expect("these settings are fine");
        signals.contains(&signal).then_some(settings)
    };
    let mut outlets = Outlets::open(OutletSettings {
        format: Format::None,
        otlp: settings(Signal::Traces),
        logs: LogSettings {
            otlp: settings(Signal::Logs),
            written: false,
        },
        ..OutletSettings::default()
    })
    .expect("these outlets can be opened");
    let process = process(4242, "worker");
    outlets.span(detailed(&process, 7));
    outlets.span(span(&process, 8));
    outlets.shutdown(patience)
}

/// Names of the events of all spans in a request.
fn events(request: &Received) -> Vec<&str> {
    let scopes = request
        .body
        .resource_spans
        .iter()
        .flat_map(|spans| &spans.scope_spans);
    let events = scopes
        .flat_map(|scope| &scope.spans)
        .flat_map(|span| &span.events);
    events.map(|event| event.name.as_str()).collect()
}

#[test]
fn details_arrive_over_http_as_log_records_and_not_on_the_span_as_well() {
    let backend = Backend::start(|_, _| Answer::ok());
    let url = backend.url("/base");
    let report = send(
        &[Signal::Traces, Signal::Logs],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "x-key=secret"),
            ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "gzip"),
        ],
        PATIENCE,
    );
    assert!(report.problems.is_empty(), "{report:?}");
    assert_eq!(report.exported, 2, "spans, and nothing twice");
    let (logs, traces): (Vec<_>, Vec<_>) = backend
        .rest()
        .into_iter()
        .partition(|request| request.path == "/base/v1/logs");
    let [logs] = logs.as_slice() else {
        panic!("one request with log records: {logs:?}");
    };
    assert_eq!(logs.header("x-key"), Some("secret"));
    assert_eq!(logs.header("content-encoding"), Some("gzip"));
    assert_eq!(logs.header("content-type"), Some("application/x-protobuf"));
    check(&logs.logs());
    assert_eq!(traces.iter().map(Received::spans).sum::<usize>(), 2);
    assert_eq!(traces.iter().flat_map(events).count(), 0);
}

#[test]
fn without_a_backend_for_logs_details_stay_on_the_span() {
    let backend = Backend::start(|_, _| Answer::ok());
    let url = backend.url("");
    let report = send(
        &[Signal::Traces],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)],
        PATIENCE,
    );
    assert!(report.problems.is_empty(), "{report:?}");
    let requests = backend.rest();
    assert!(requests.iter().all(|request| request.path == "/v1/traces"));
    assert_eq!(
        requests.iter().flat_map(events).collect::<Vec<_>>(),
        ["gen_ai.client.inference.operation.details"]
    );
}

#[test]
fn log_records_are_sent_again_until_they_arrive() {
    let backend = Backend::start(|number, _| match number {
        0 => Answer::HangUp,
        1 => Answer::status(503),
        _ => Answer::ok(),
    });
    let url = backend.url("");
    let report = send(
        &[Signal::Logs],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)],
        PATIENCE,
    );
    assert!(report.problems.is_empty(), "{report:?}");
    let requests = backend.rest();
    assert_eq!(requests.len(), 3);
    check(&requests[2].logs());
}

#[test]
fn a_backend_for_traces_alone_is_named_with_the_remedy() {
    let backend = Backend::start(|_, request| match request.path.as_str() {
        "/v1/traces" => Answer::ok(),
        _ => Answer::status(404),
    });
    let url = backend.url("");
    let report = send(
        &[Signal::Traces, Signal::Logs],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)],
        PATIENCE,
    );
    assert_eq!(report.exported, 2, "spans arrive all the same");
    assert_eq!(report.counters.get(Counter::LogsDroppedExport), 1);
    assert_eq!(report.counters.get(Counter::SpansDroppedExport), 0);
    let problem = problem(&report);
    assert!(
        problem.starts_with("1 log record was refused")
            && problem.contains("/v1/logs")
            && problem.contains("OTEL_LOGS_EXPORTER=none"),
        "{problem}"
    );
}

#[test]
fn what_a_backend_takes_only_in_part_is_counted() {
    let answer = ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: 1,
            error_message: "too old".to_owned(),
        }),
    };
    let backend = Backend::start(move |_, _| Answer::Status(200, Vec::new(), answer.clone().encode_to_vec()));
    let url = backend.url("");
    let report = send(
        &[Signal::Logs],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)],
        PATIENCE,
    );
    assert_eq!(report.counters.get(Counter::LogsDroppedExport), 1);
    assert!(problem(&report).contains("too old"), "{report:?}");
}

/// Takes log records over gRPC, or refuses them.
struct Service {
    sender: Sender<(MetadataMap, ExportLogsServiceRequest)>,
    refusal: Option<Status>,
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.sender
            .send((metadata, message))
            .map_err(|_| Status::internal("the test is over"))?;
        match &self.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(Response::new(ExportLogsServiceResponse::default())),
        }
    }
}

/// Sends log records to a server for gRPC. What it got, and the report.
fn send_by_grpc(refusal: Option<Status>) -> (Vec<(MetadataMap, ExportLogsServiceRequest)>, Report) {
    let (sender, received) = channel();
    let service =
        LogsServiceServer::new(Service { sender, refusal }).accept_compressed(CompressionEncoding::Gzip);
    let report = beside_grpc(Server::builder().add_service(service), |address| {
        let endpoint = format!("http://{address}");
        let variables = [
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", "organization=default"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ];
        send(&[Signal::Logs], &variables, PATIENCE)
    });
    (received.try_iter().collect(), report)
}

#[test]
fn details_arrive_over_grpc_as_log_records() {
    let (received, report) = send_by_grpc(None);
    assert!(report.problems.is_empty(), "{report:?}");
    let [(metadata, request)] = received.as_slice() else {
        panic!("one request: {received:?}");
    };
    assert_eq!(
        metadata.get("organization").map(MetadataValue::as_bytes),
        Some(&b"default"[..])
    );
    check(request);
}

#[test]
fn a_backend_without_logs_over_grpc_is_named_with_the_remedy() {
    let (received, report) = send_by_grpc(Some(Status::unimplemented("unknown service")));
    assert_eq!(received.len(), 1, "it is not sent again");
    assert_eq!(report.counters.get(Counter::LogsDroppedExport), 1);
    let problem = problem(&report);
    assert!(
        problem.contains("unknown service") && problem.contains("OTEL_LOGS_EXPORTER=none"),
        "{problem}"
    );
}
