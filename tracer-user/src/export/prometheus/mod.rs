//! Serving metrics to Prometheus at `/metrics`, and signs of life to whoever keeps geophone running: `/healthz`, `/readyz`.

mod exposition;
mod negotiation;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::OpenError;
use super::metrics::Collector;
use super::pulse::{Answer, Pulse};
use crate::rights::{self, Rights};
use negotiation::Format;

/// Most connections served at once. Prometheus keeps one, a kubelet opens one for each question. Whoever else reaches the
/// port may open more and say nothing: the oldest goes then, so that signs of life can always be had.
const CONNECTIONS_MAX: usize = 128;

/// Longest head of a request, and the memory of a connection.
const HEAD_MAX: usize = 16 * 1024;

/// How long a client may take for the head of a request, and a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);

/// The server; it ends with this value.
#[derive(Debug)]
pub(super) struct Prometheus {
    address: SocketAddr,
    _running: oneshot::Sender<Infallible>,
}

impl Prometheus {
    /// Listens, and starts the thread.
    pub(super) fn open(address: SocketAddr, collector: Collector, pulse: Pulse) -> Result<Self, OpenError> {
        let cannot = |source| OpenError::Prometheus { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(OpenError::Thread)?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)
        };
        let listener = match listener {
            Ok(listener) => listener,
            Err(source) => {
                runtime.shutdown_background();
                return Err(cannot(source));
            }
        };
        let (running, stopped) = oneshot::channel();
        rights::spawn("prometheus", Rights::NONE, move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, collector, pulse) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        })
        .map_err(OpenError::Thread)?;
        tracing::info!("metrics are served on http://{address}/metrics");
        Ok(Self {
            address,
            _running: running,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, collector: Collector, pulse: Pulse) {
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, as a rule: it may pass.
                tracing::debug!(%error, "a connection for metrics could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        connections.retain(|connection| !connection.is_finished());
        if connections.len() >= CONNECTIONS_MAX
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        let (collector, pulse) = (collector.clone(), pulse.clone());
        let connection = tokio::spawn(async move {
            let service = service_fn(|request| answer(request, collector.clone(), pulse.clone()));
            // A client that goes away in the middle is its own business.
            hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(HEAD_MAX)
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
        connections.push_back(connection.abort_handle());
    }
}

async fn answer(
    request: Request<Incoming>,
    collector: Collector,
    pulse: Pulse,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "this is read with GET\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    let response = match request.uri().path() {
        "/metrics" => metrics(&request, &collector).await,
        "/healthz" => sign_of_life(pulse.is_alive(Instant::now())),
        "/readyz" => sign_of_life(pulse.is_ready(Instant::now())),
        _ => plain(
            StatusCode::NOT_FOUND,
            "metrics are at /metrics, signs of life at /healthz and /readyz\n",
        ),
    };
    Ok(response)
}

async fn metrics(request: &Request<Incoming>, collector: &Collector) -> Response<Full<Bytes>> {
    let accept = request.headers().get_all(ACCEPT).iter();
    let accept: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
    let format = Format::of(&accept.join(","));
    let Some(collected) = collector.collect().await else {
        return plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "geophone is starting, ending, or very busy\n",
        );
    };
    let mut response = Response::new(Full::from(exposition::text(&collected, format)));
    let content_type = HeaderValue::from_static(format.content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Status 200 or 503, by which orchestrators go, and a sentence for people.
fn sign_of_life(answer: Answer) -> Response<Full<Bytes>> {
    let (status, sentence) = match answer {
        Answer::Yes(sentence) => (StatusCode::OK, sentence),
        Answer::No(sentence) => (StatusCode::SERVICE_UNAVAILABLE, sentence),
    };
    plain(status, format!("{sentence}\n"))
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
