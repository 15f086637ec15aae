//! Over gRPC, against tonic's own server.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::codec::CompressionEncoding;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};

use super::backend::services;
use super::{PATIENCE, open, problem, send, settings};
use crate::counters::Counter;
use crate::export::tests::{process, span};
use crate::export::{OtlpSettings, Report};

type Answer = Result<ExportTraceServiceResponse, Status>;
type Script = Box<dyn FnMut(usize, &ExportTraceServiceRequest) -> Answer + Send>;
type Received = (MetadataMap, ExportTraceServiceRequest);

struct Service {
    script: Mutex<(usize, Script)>,
    sender: Sender<Received>,
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let answer = {
            let mut script = self
                .script
                .lock()
                .map_err(|_| Status::internal("the script panicked"))?;
            let (number, script) = &mut *script;
            *number += 1;
            script(*number - 1, &message)
        };
        self.sender
            .send((metadata, message))
            .map_err(|_| Status::internal("the test is over"))?;
        answer.map(Response::new)
    }
}

pub(super) struct Backend {
    pub(super) address: SocketAddr,
    received: Receiver<Received>,
    _running: tokio::sync::oneshot::Sender<()>,
}

impl Backend {
    fn start(script: impl FnMut(usize, &ExportTraceServiceRequest) -> Answer + Send + 'static) -> Self {
        Self::serve(None, script)
    }

    pub(super) fn serve(
        tls: Option<ServerTlsConfig>,
        script: impl FnMut(usize, &ExportTraceServiceRequest) -> Answer + Send + 'static,
    ) -> Self {
        let (ready, is_ready) = channel();
        let (sender, received) = channel();
        let (running, stopped) = tokio::sync::oneshot::channel::<()>();
        let service = Service {
            script: Mutex::new((0, Box::new(script))),
            sender,
        };
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a port");
                ready
                    .send(incoming.local_addr().expect("it is bound"))
                    .expect("the test waits");
                let mut server = Server::builder();
                if let Some(tls) = tls {
                    server = server.tls_config(tls).expect("our certificate is fine");
                }
                let service = TraceServiceServer::new(service).accept_compressed(CompressionEncoding::Gzip);
                let serving = server.add_service(service).serve_with_incoming(incoming);
                tokio::select! {
                    result = serving => result.expect("it serves"),
                    // The test is over.
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: is_ready.recv_timeout(PATIENCE).expect("the server starts"),
            received,
            _running: running,
        }
    }

    fn settings(&self) -> OtlpSettings {
        grpc(&format!("http://{}", self.address))
    }
}

fn grpc(endpoint: &str) -> OtlpSettings {
    settings(&[
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer sk-live-12345,organization=default",
        ),
    ])
}

pub(super) fn taken() -> ExportTraceServiceResponse {
    ExportTraceServiceResponse::default()
}

fn sent_to(backend: &Backend, spans: u8) -> Report {
    send(backend.settings(), spans, PATIENCE)
}

#[test]
fn spans_arrive_with_their_resource_and_the_metadata() {
    let backend = Backend::start(|_, _| Ok(taken()));
    let report = sent_to(&backend, 3);
    assert_eq!((report.exported, report.problems.len()), (3, 0), "{report:?}");
    let (metadata, request) = backend.received.recv_timeout(PATIENCE).expect("a request");
    assert_eq!(services(&request), [("worker".to_owned(), 3)]);
    let header = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("authorization"), Some("Bearer sk-live-12345"));
    assert_eq!(header("organization"), Some("default"));
}

#[test]
fn requests_are_compressed_when_asked() {
    let backend = Backend::start(|_, _| Ok(taken()));
    let mut settings = backend.settings();
    settings.gzip = true;
    assert_eq!(send(settings, 3, PATIENCE).exported, 3);
    let (metadata, _) = backend.received.recv_timeout(PATIENCE).expect("a request");
    assert_eq!(
        metadata.get("grpc-encoding").map(MetadataValue::as_bytes),
        Some(&b"gzip"[..])
    );
}

/// `google.rpc.Status` with a `RetryInfo` of no time, and one of 1.5 s, as protobuf has them.
const RETRY_AT_ONCE: &[u8] = b"\x1a\x2a\x0a\x28type.googleapis.com/google.rpc.RetryInfo";
const RETRY_LATER: &[u8] = b"\x08\x0e\x1a\x36\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x0a\x0a\x08\x08\x01\x10\x80\xca\xb5\xee\x01";

#[test]
fn a_backend_that_says_when_to_come_again_is_left_alone_so_long() {
    let backend = Backend::start(|number, _| match number {
        0 => Err(Status::with_details(
            Code::Unavailable,
            "busy",
            RETRY_LATER.into(),
        )),
        _ => Ok(taken()),
    });
    let mut outlets = open(backend.settings());
    outlets.span(span(&process(1, "worker"), 1));
    let next = || backend.received.recv_timeout(PATIENCE).expect("a request");
    next();
    let refused = Instant::now();
    next();
    assert!(
        refused.elapsed() >= Duration::from_millis(1400),
        "{:?}",
        refused.elapsed()
    );
    assert_eq!(outlets.shutdown(PATIENCE).exported, 1);
}

#[test]
fn a_backend_that_is_unavailable_at_first_gets_every_span() {
    let backend = Backend::start(|number, _| match number {
        0 => Err(Status::unavailable("warming up")),
        1 => Err(Status::with_details(
            Code::ResourceExhausted,
            "rate limit",
            RETRY_AT_ONCE.into(),
        )),
        _ => Ok(taken()),
    });
    let report = sent_to(&backend, 20);
    assert_eq!((report.exported, report.problems.len()), (20, 0), "{report:?}");
    assert_eq!(backend.received.try_iter().count(), 3);
}

#[test]
fn a_refusal_is_told_with_its_remedy_and_without_secrets() {
    for (code, remedy) in [
        (Code::Unauthenticated, "credentials in OTEL_EXPORTER_OTLP_HEADERS"),
        (
            Code::PermissionDenied,
            "credentials in OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (Code::Unimplemented, "OTLP receiver for gRPC"),
        (Code::InvalidArgument, "InvalidArgument (bad key [redacted])"),
        // Without a word on when there will be room again.
        (Code::ResourceExhausted, "ResourceExhausted (bad key [redacted])"),
    ] {
        let backend = Backend::start(move |_, _| Err(Status::new(code, "bad key sk-live-12345")));
        let report = sent_to(&backend, 4);
        assert_eq!(report.counters.get(Counter::SpansDroppedExport), 4, "{report:?}");
        let problem = problem(&report);
        assert!(
            problem.starts_with("4 spans were refused by http://127.0.0.1"),
            "{problem}"
        );
        assert!(
            problem.contains(remedy) && !problem.contains("12345"),
            "{problem}"
        );
        assert_eq!(backend.received.try_iter().count(), 1, "a refusal is final");
    }
}

#[test]
fn spans_that_a_backend_took_only_in_part_are_counted() {
    let backend = Backend::start(|_, _| {
        Ok(ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 2,
                error_message: "too old".to_owned(),
            }),
        })
    });
    let report = sent_to(&backend, 5);
    assert_eq!(
        (report.exported, report.counters.get(Counter::SpansDroppedExport)),
        (3, 2)
    );
    assert!(problem(&report).contains("too old"), "{report:?}");
}

#[test]
fn what_is_too_large_is_sent_in_halves() {
    let backend = Backend::start(|_, request| {
        let spans: usize = services(request).iter().map(|(_, spans)| spans).sum();
        if spans > 3 {
            // What the collector says, which is written in Go.
            Err(Status::resource_exhausted(
                "grpc: received message larger than max (5000000 vs. 4194304)",
            ))
        } else {
            Ok(taken())
        }
    });
    let report = sent_to(&backend, 20);
    assert_eq!((report.exported, report.problems.len()), (20, 0), "{report:?}");
}

#[test]
fn a_dead_backend_costs_its_spans_and_says_how_many() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("it is bound")
    };
    let report = send(grpc(&format!("http://{address}")), 7, Duration::from_secs(1));
    assert_eq!(report.counters.get(Counter::SpansDroppedExport), 7);
    let problem = problem(&report);
    assert!(problem.starts_with("7 spans were not sent to"), "{problem}");
    assert!(problem.contains("Connection refused"), "{problem}");
}

#[test]
fn a_backend_that_does_not_speak_grpc_is_no_reason_to_hang() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    // A web server of old: whatever it hears, it answers in HTTP/1.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                .ok();
        }
    });
    let report = send(grpc(&format!("http://{address}")), 1, Duration::from_secs(1));
    assert_eq!(report.counters.get(Counter::SpansDroppedExport), 1);
    let problem = problem(&report);
    assert!(problem.starts_with("1 span was not sent to"), "{problem}");
    assert!(problem.contains("the connection broke"), "{problem}");
}
