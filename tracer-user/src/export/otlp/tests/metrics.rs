//! Metrics on their way to a backend.

use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data as Kind;

use tonic::codec::CompressionEncoding;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::backend::{Answer, Backend, Received};
use super::{PATIENCE, beside_grpc, process};
use crate::bedrock::histogram::{Buckets, Histogram};
use crate::counters::Counter;
use crate::export::{Format, Health, MetricSettings, OtlpSettings, OutletSettings, Outlets, Report, Signal};
use crate::genai::metrics::{Data, Metric, Number, Point, ProcessMetrics, Snapshot};
use crate::genai::span::{Attribute, Value};

const TIME: u64 = 1_763_683_260_000_000_000;

fn snapshot(tokens: u64) -> Snapshot {
    let point = |value| Point {
        attributes: vec![Attribute {
            key: "gen_ai.token.type",
            value: Value::String("input".into()),
        }],
        start_unix_ns: TIME - 60_000_000_000,
        value,
    };
    let mut usage = Histogram::new(Buckets::TOKENS);
    usage.record(tokens);
    let metrics = vec![
        Metric {
            name: "gen_ai.client.token.usage".into(),
            description: "Tokens.".into(),
            unit: "{token}",
            data: Data::Histogram {
                per_unit: 1.0,
                points: vec![point(usage)],
            },
        },
        Metric {
            name: "llm.cost.usd".into(),
            description: "Cost.".into(),
            unit: "{USD}",
            data: Data::Counter(vec![Point {
                attributes: Vec::new(),
                start_unix_ns: TIME - 60_000_000_000,
                value: Number::Double(0.5),
            }]),
        },
    ];
    Snapshot {
        time_unix_ns: TIME,
        processes: vec![ProcessMetrics {
            process: process(1, "worker"),
            metrics,
        }],
    }
}

fn open(variables: &[(&str, &str)], interval: Duration) -> Outlets {
    let settings = OtlpSettings::from_environment(Signal::Metrics, |name| {
        let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
        Some((*value).to_owned())
    })
    .expect("these settings are fine");
    Outlets::open(OutletSettings {
        format: Format::None,
        metrics: MetricSettings {
            otlp: Some((settings, interval)),
            ..MetricSettings::default()
        },
        ..OutletSettings::default()
    })
    .expect("these outlets can be opened")
}

const NEVER: Duration = Duration::from_hours(1);

/// Tells metrics once, at the end.
fn send(variables: &[(&str, &str)], patience: Duration) -> Report {
    let mut outlets = open(variables, NEVER);
    outlets.last_metrics(snapshot(250), None);
    outlets.shutdown(patience)
}

fn check(request: &ExportMetricsServiceRequest) {
    let resource = &request.resource_metrics[0];
    let scope = &resource.scope_metrics[0];
    assert_eq!(
        scope.scope.as_ref().map(|scope| scope.name.as_str()),
        Some("geophone")
    );
    let [usage, cost] = scope.metrics.as_slice() else {
        panic!("two metrics: {scope:?}");
    };
    assert_eq!(
        (usage.name.as_str(), usage.unit.as_str()),
        ("gen_ai.client.token.usage", "{token}")
    );
    let Some(Kind::Histogram(histogram)) = &usage.data else {
        panic!("a histogram: {usage:?}");
    };
    assert_eq!(histogram.aggregation_temporality, 2, "cumulative");
    let point = &histogram.data_points[0];
    assert_eq!(
        (point.count, point.sum, point.min, point.max),
        (1, Some(250.0), Some(250.0), Some(250.0))
    );
    assert_eq!(point.explicit_bounds.len() + 1, point.bucket_counts.len());
    assert_eq!(point.bucket_counts[4], 1, "above 64, and not above 256");
    assert_eq!(
        (point.start_time_unix_nano, point.time_unix_nano),
        (TIME - 60_000_000_000, TIME)
    );
    let Some(Kind::Sum(sum)) = &cost.data else {
        panic!("a sum: {cost:?}");
    };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
}

#[test]
fn metrics_arrive_over_http_as_they_were_counted() {
    let backend = Backend::start(|_, _| Answer::ok());
    let url = backend.url("/base");
    let report = send(
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-key=secret"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip"),
        ],
        PATIENCE,
    );
    assert!(report.problems.is_empty(), "{report:?}");
    let request = backend.next();
    assert_eq!(request.path, "/base/v1/metrics");
    assert_eq!(request.header("x-key"), Some("secret"));
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    check(&request.metrics());
}

#[test]
fn metrics_are_sent_at_the_interval_with_how_geophone_is() {
    let backend = Backend::start(|_, _| Answer::ok());
    let url = backend.url("");
    let mut outlets = open(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)], Duration::from_millis(1));
    let mut health = Health::default();
    health.counters.add(Counter::LostRingFull, 3);
    let request = loop {
        if let Some(request) = backend.try_next() {
            break request.metrics();
        }
        if outlets.metrics_are_asked_for() {
            outlets.metrics(snapshot(1), Some(&health));
        }
        thread::yield_now();
    };
    let own = &request.resource_metrics[1].scope_metrics[0].metrics;
    let lost = own.iter().find(|metric| metric.name == "geophone.lost_records");
    let Some(Kind::Sum(lost)) = lost.and_then(|metric| metric.data.as_ref()) else {
        panic!("a counter: {own:?}");
    };
    assert_eq!(lost.data_points.len(), 6, "one for each reason");
    outlets.shutdown(PATIENCE);
}

#[test]
fn the_last_metrics_are_sent_again_until_they_arrive() {
    let backend = Backend::start(|number, _| match number {
        0 => Answer::HangUp,
        1 => Answer::status(503),
        _ => Answer::ok(),
    });
    let url = backend.url("");
    let report = send(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)], PATIENCE);
    assert!(report.problems.is_empty(), "{report:?}");
    assert_eq!(report.counters.get(Counter::MetricExportsFailed), 2);
    assert_eq!(backend.rest().len(), 3);
}

#[test]
fn a_backend_for_traces_alone_is_named_with_the_remedy() {
    let backend = Backend::start(|_, _| Answer::status(404));
    let url = backend.url("");
    let report = send(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)], PATIENCE);
    assert_eq!(report.counters.get(Counter::MetricExportsFailed), 1);
    let [problem] = report.problems.as_slice() else {
        panic!("one problem: {report:?}");
    };
    assert!(
        problem.contains("/v1/metrics") && problem.contains("OTEL_METRICS_EXPORTER=none"),
        "{problem}"
    );
    assert_eq!(backend.rest().iter().map(Received::spans).sum::<usize>(), 0);
}

#[test]
fn the_end_does_not_wait_for_a_backend_that_never_answers() {
    let backend = Backend::start(|_, _| Answer::Silence);
    let url = backend.url("");
    let report = send(
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)],
        Duration::from_millis(50),
    );
    assert!(
        report.problems.is_empty() || report.problems[0].contains("metrics"),
        "{report:?}"
    );
}

/// Takes metrics over gRPC, or refuses them.
struct Service {
    sender: Sender<(MetadataMap, ExportMetricsServiceRequest)>,
    refusal: Option<Status>,
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.sender
            .send((metadata, message))
            .map_err(|_| Status::internal("the test is over"))?;
        match &self.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(Response::new(ExportMetricsServiceResponse::default())),
        }
    }
}

/// Sends metrics to a server for gRPC. What it got, and the report.
fn send_by_grpc(refusal: Option<Status>) -> (Vec<(MetadataMap, ExportMetricsServiceRequest)>, Report) {
    let (sender, received) = channel();
    let service =
        MetricsServiceServer::new(Service { sender, refusal }).accept_compressed(CompressionEncoding::Gzip);
    let report = beside_grpc(Server::builder().add_service(service), |address| {
        let endpoint = format!("http://{address}");
        let variables = [
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", "organization=default"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ];
        send(&variables, PATIENCE)
    });
    (received.try_iter().collect(), report)
}

#[test]
fn metrics_arrive_over_grpc_as_they_were_counted() {
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
fn a_refusal_over_grpc_is_told_with_the_remedy() {
    let (received, report) = send_by_grpc(Some(Status::unauthenticated("no such tenant")));
    assert_eq!(received.len(), 1, "it is not sent again");
    assert_eq!(report.counters.get(Counter::MetricExportsFailed), 1);
    assert!(report.problems[0].contains("no such tenant"), "{report:?}");
    assert!(
        report.problems[0].contains("OTEL_EXPORTER_OTLP_HEADERS"),
        "{report:?}"
    );
}
