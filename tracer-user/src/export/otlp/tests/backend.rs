//! A backend that speaks OTLP over HTTP and does what a test tells it.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_ENCODING;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::export::tests::PATIENCE;

/// What the backend does with a request.
pub(super) enum Answer {
    /// Answers with a status, headers and a body.
    Status(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Closes the connection without a word.
    HangUp,
    /// Never answers.
    Silence,
}

impl Answer {
    pub(super) fn ok() -> Self {
        Self::Status(200, Vec::new(), Vec::new())
    }

    pub(super) fn status(status: u16) -> Self {
        Self::Status(status, Vec::new(), Vec::new())
    }
}

/// A request that came in.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: ExportTraceServiceRequest,
    /// Uncompressed.
    bytes: Vec<u8>,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `service.name` of each resource and how many spans it came with.
    pub(super) fn services(&self) -> Vec<(String, usize)> {
        services(&self.body)
    }

    /// The body of a request with metrics.
    pub(super) fn metrics(&self) -> ExportMetricsServiceRequest {
        ExportMetricsServiceRequest::decode(&self.bytes[..]).expect("a request with metrics")
    }

    /// The body of a request with log records.
    pub(super) fn logs(&self) -> ExportLogsServiceRequest {
        ExportLogsServiceRequest::decode(&self.bytes[..]).expect("a request with log records")
    }

    pub(super) fn spans(&self) -> usize {
        self.services().iter().map(|(_, spans)| spans).sum()
    }
}

/// `service.name` of each resource and how many spans it came with.
pub(super) fn services(request: &ExportTraceServiceRequest) -> Vec<(String, usize)> {
    let resources = request.resource_spans.iter().map(|spans| {
        let attributes = spans.resource.iter().flat_map(|resource| &resource.attributes);
        let name = attributes
            .filter(|attribute| attribute.key == "service.name")
            .find_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
                Value::StringValue(name) => Some(name.clone()),
                _ => None,
            });
        let count = spans.scope_spans.iter().map(|scope| scope.spans.len()).sum();
        (name.unwrap_or_default(), count)
    });
    resources.collect()
}

/// The backend; it ends with this value.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    received: Receiver<Received>,
    _running: oneshot::Sender<()>,
}

type Script = dyn FnMut(usize, &Received) -> Answer + Send;

impl Backend {
    /// A backend that does with its n-th request (counted from zero) what the script says.
    pub(super) fn start(script: impl FnMut(usize, &Received) -> Answer + Send + 'static) -> Self {
        Self::serve(None, script)
    }

    /// The same over TLS.
    pub(super) fn start_tls(
        tls: tokio_rustls::TlsAcceptor,
        script: impl FnMut(usize, &Received) -> Answer + Send + 'static,
    ) -> Self {
        Self::serve(Some(tls), script)
    }

    fn serve(
        tls: Option<tokio_rustls::TlsAcceptor>,
        script: impl FnMut(usize, &Received) -> Answer + Send + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket of ours");
        let address = listener.local_addr().expect("it is bound");
        let (sender, received) = channel();
        let (running, stopped) = oneshot::channel();
        let script: Arc<Mutex<(usize, Box<Script>)>> = Arc::new(Mutex::new((0, Box::new(script))));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                tokio::select! {
                    () = accept(listener, tls, script, sender) => {}
                    // The test is over.
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            received,
            _running: running,
        }
    }

    /// The address as a user would set it.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits for the next request.
    pub(super) fn next(&self) -> Received {
        self.received.recv_timeout(PATIENCE).expect("a request comes")
    }

    /// The next request, if it has come.
    pub(super) fn try_next(&self) -> Option<Received> {
        self.received.try_recv().ok()
    }

    /// The requests that came and were not looked at yet.
    pub(super) fn rest(&self) -> Vec<Received> {
        self.received.try_iter().collect()
    }
}

async fn accept(
    listener: std::net::TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    script: Arc<Mutex<(usize, Box<Script>)>>,
    sender: Sender<Received>,
) {
    let listener = TcpListener::from_std(listener).expect("a socket of ours");
    while let Ok((stream, _)) = listener.accept().await {
        let (script, sender, tls) = (Arc::clone(&script), sender.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => converse(stream, script, sender).await,
                Some(tls) => {
                    // A client that does not trust us goes away; that is a case of its own.
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, script, sender).await;
                    }
                }
            }
        });
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    script: Arc<Mutex<(usize, Box<Script>)>>,
    sender: Sender<Received>,
) {
    let service = service_fn(move |request| answer(request, Arc::clone(&script), sender.clone()));
    // Ends with an error when the script hangs up.
    auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Mutex<(usize, Box<Script>)>>,
    sender: Sender<Received>,
) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let body = if parts.headers.contains_key(CONTENT_ENCODING) {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain)?;
        plain
    } else {
        body.to_vec()
    };
    let path = parts.uri.path();
    let traces = if path.ends_with("/v1/metrics") || path.ends_with("/v1/logs") {
        ExportTraceServiceRequest::default()
    } else {
        ExportTraceServiceRequest::decode(&body[..])?
    };
    let received = Received {
        path: parts.uri.to_string(),
        headers: parts.headers,
        body: traces,
        bytes: body,
    };
    let answer = {
        let mut script = script.lock().map_err(|_| "the script panicked")?;
        let (number, script) = &mut *script;
        let answer = script(*number, &received);
        *number += 1;
        answer
    };
    sender.send(received)?;
    match answer {
        Answer::Status(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::from(body))?)
        }
        Answer::HangUp => Err("the script hangs up".into()),
        Answer::Silence => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}
