//! Listens, speaks TLS and HTTP, and hands every request to the repertoire.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use super::answer::{Rendered, render};
use super::body::{Fact, ScriptBody, Shared, Step, unix_ns};
use super::error::Refusal;
use super::hosted::Hosted;
use super::meeting::Meeting;
use super::ragged::{Ragged, Raggedness};
use super::request::{ModelCall, is_signed, route};
use super::scenario::{Framing, Scenario};
use super::served::{Operation, Parameters, Served, ServedLog};
use super::speech;
use super::tap::{Tap, TappedStream};
use super::tls::Identity;

/// Which TLS versions the fake speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum TlsVersions {
    /// TLS 1.2 and 1.3, as the client likes.
    #[default]
    Both,
    /// TLS 1.2 only.
    #[value(name = "1.2")]
    Tls12,
    /// TLS 1.3 only.
    #[value(name = "1.3")]
    Tls13,
}

/// How the fake is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// TLS versions.
    pub tls: TlsVersions,
    /// Offer HTTP/2 by ALPN, beside HTTP/1.1.
    pub http2: bool,
    /// No TLS: HTTP/1.1, or HTTP/2 for clients that begin with it (RFC 9113, section 3.3).
    pub plain: bool,
    /// Writes down the plaintext.
    pub tap: Option<Tap>,
}

impl Options {
    /// HTTP/2 for clients that can.
    pub fn http2() -> Self {
        Self {
            http2: true,
            ..Self::default()
        }
    }
}

/// A running fake; stops when dropped.
#[derive(Debug)]
pub struct FakeBedrock {
    address: SocketAddr,
    scheme: &'static str,
    identity: Identity,
    log: ServedLog,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Largest request body that is read; the service's own limit is 25 MB.
const MOST_REQUEST_BYTES: usize = 64 << 20;

impl FakeBedrock {
    /// Starts a fake on a free port of the loopback interface, on a thread of its own.
    pub fn start(options: &Options) -> Result<Self> {
        let identity = Identity::new()?;
        let versions: &[&rustls::SupportedProtocolVersion] = match options.tls {
            TlsVersions::Both => &[&rustls::version::TLS12, &rustls::version::TLS13],
            TlsVersions::Tls12 => &[&rustls::version::TLS12],
            TlsVersions::Tls13 => &[&rustls::version::TLS13],
        };
        let alpn: &[&str] = if options.http2 {
            &["h2", "http/1.1"]
        } else {
            &["http/1.1"]
        };
        let config = identity.server_config(versions, alpn)?;
        let acceptor = (!options.plain).then(|| TlsAcceptor::from(config));
        let log = ServedLog::default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("fake-bedrock")
            .enable_all()
            .build()
            .context("cannot start the runtime of the fake")?;
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .context("cannot listen on the loopback interface")?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let (served, tap) = (log.clone(), options.tap.clone());
        let thread = std::thread::Builder::new()
            .name("fake-bedrock".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(listener, acceptor, served, tap) => {}
                        _ = stopped => {}
                    }
                });
                runtime.shutdown_background();
            })?;
        Ok(Self {
            address,
            scheme: if options.plain { "http" } else { "https" },
            identity,
            log,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Endpoint for clients, by name, so that they send SNI.
    pub fn endpoint(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    /// PEM file of the authority that clients must trust.
    pub fn authority(&self) -> PathBuf {
        self.identity.authority()
    }

    /// What was served.
    pub fn log(&self) -> &ServedLog {
        &self.log
    }
}

impl Drop for FakeBedrock {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Fails only when the server thread is gone already.
            let _gone = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic in the server has been printed by the thread itself.
            let _panicked = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, log: ServedLog, tap: Option<Tap>) {
    let ids = Arc::new(RequestIds::new());
    let meeting = Meeting::default();
    for connection in 0.. {
        // Running out of descriptors ends a connection attempt, not the fake.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let (acceptor, tap, ids) = (acceptor.clone(), tap.clone(), Arc::clone(&ids));
        let shared = Shared {
            meeting: meeting.clone(),
            leave: Arc::new(Notify::new()),
            log: log.clone(),
        };
        tokio::spawn(async move {
            let served = async {
                stream.set_nodelay(true)?;
                let (stream, end) = with_end(stream)?;
                let served = match acceptor {
                    Some(acceptor) => {
                        let stream = acceptor.accept(stream).await?;
                        serve(
                            TappedStream::new(stream, tap, connection),
                            connection,
                            shared,
                            ids,
                        )
                        .await
                    }
                    None => {
                        serve(
                            TappedStream::new(stream, tap, connection),
                            connection,
                            shared,
                            ids,
                        )
                        .await
                    }
                };
                hear_out(end).await;
                served
            };
            if let Err(error) = served.await {
                tracing::debug!("connection {connection}: {error:#}");
            }
        });
    }
}

/// The connection, and a second handle on it that outlives the first.
fn with_end(stream: TcpStream) -> Result<(TcpStream, TcpStream)> {
    let stream = stream.into_std()?;
    let end = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, TcpStream::from_std(end)?))
}

/// Ends a connection as a server should: it says that no more will come, and reads on until the client has ended too. Closed
/// with something unread, it would be reset, and the client would lose what it has not read yet (RFC 9112, section 9.6).
async fn hear_out(mut end: TcpStream) {
    end.shutdown().await.ok();
    let mut unread = [0; 4096];
    while let Ok(1..) = end.read(&mut unread).await {}
}

/// Requests of one HTTP/2 connection that are answered at the same time.
const MOST_STREAMS: u32 = 1000;

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: u64,
    shared: Shared,
    ids: Arc<RequestIds>,
) -> Result<()> {
    let raggedness = Raggedness::default();
    let stream = Ragged::new(stream, raggedness.clone());
    let leave = Arc::clone(&shared.leave);
    let service = service_fn(move |request| {
        let (shared, id, raggedness) = (shared.clone(), ids.next(), raggedness.clone());
        async move { Ok::<_, Infallible>(answer(request, connection, id, &shared, &raggedness).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().title_case_headers(true);
    builder.http2().max_concurrent_streams(MOST_STREAMS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = leave.notified() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    ended.map_err(|error| anyhow::anyhow!(error))
}

async fn answer(
    request: Request<Incoming>,
    connection: u64,
    request_id: String,
    shared: &Shared,
    raggedness: &Raggedness,
) -> Response<ScriptBody> {
    let received_unix_ns = unix_ns();
    let (head, body) = request.into_parts();
    let routed = route(head.uri.path());
    let mut served = Served {
        request_id,
        connection,
        http2: head.version == Version::HTTP_2,
        path: head.uri.path().to_owned(),
        operation: routed.as_ref().map(|(operation, _)| *operation),
        model: routed
            .as_ref()
            .map_or_else(String::new, |(_, model)| model.clone()),
        streamed: routed.as_ref().is_some_and(|(operation, _)| operation.streams()),
        host: text(&head.headers, "host")
            .or_else(|| head.uri.authority().map(ToString::to_string))
            .unwrap_or_default(),
        region: region(&head.headers),
        attempt: attempt(&head.headers),
        invocation_id: text(&head.headers, "amz-sdk-invocation-id"),
        counted_request: None,
        traceparent: text(&head.headers, "traceparent"),
        amzn_trace_id: text(&head.headers, "x-amzn-trace-id"),
        parameters: Parameters::default(),
        request_bytes: 0,
        status: 200,
        error: None,
        error_message: None,
        usage: None,
        latency_ms: None,
        stop_reason: None,
        response_id: None,
        response_model: None,
        text: String::new(),
        tool_call: None,
        frames: 0,
        complete: false,
        received_unix_ns,
        first_content_unix_ns: None,
        ended_unix_ns: received_unix_ns,
    };
    if served.operation == Some(Operation::InvokeModelWithBidirectionalStream) {
        return converse_both_ways(&head, body, served, shared);
    }
    let Ok(body) = Limited::new(body, MOST_REQUEST_BYTES).collect().await else {
        let refusal = Refusal::validation("The request body could not be read.");
        return refuse(refusal, served, shared);
    };
    let body = body.to_bytes();
    served.request_bytes = body.len();
    if served.invocation_id.is_none() && head.headers.contains_key(RETRY_COUNT) {
        let mut hasher = DefaultHasher::new();
        (&served.path, &body).hash(&mut hasher);
        served.counted_request = Some(hasher.finish());
    }

    if let Some(hosted) = Hosted::of(&served.path).filter(|_| is_signed(&head.headers)) {
        return match hosted.answer(&head.headers, &body, &served.request_id) {
            Ok((rendered, streamed)) => {
                served.streamed = streamed;
                respond(rendered, &Scenario::default(), served, shared)
            }
            Err(refusal) => refuse(refusal, served, shared),
        };
    }
    let Some((operation, model)) = routed.filter(|_| head.method == hyper::Method::POST) else {
        return refuse(Refusal::unknown_operation(), served, shared);
    };
    if !is_signed(&head.headers) {
        return refuse(Refusal::unsigned(), served, shared);
    }
    let call = match ModelCall::parse(operation, &model, &body) {
        Ok(call) => call,
        Err(refusal) => return refuse(refusal, served, shared),
    };
    served.parameters = call.parameters.clone();
    served.model.clone_from(&call.model);
    served.streamed = call.streams;
    raggedness.set(call.scenario.ragged);
    if call.scenario.first_ms > 0 {
        tokio::time::sleep(Duration::from_millis(call.scenario.first_ms)).await;
    }
    if let Some(failure) = call.scenario.fail
        && served.attempt <= call.scenario.failures
    {
        return refuse(failure.into(), served, shared);
    }
    if call.scenario.gzip && !accepts_gzip(&head.headers) {
        let refusal = Refusal::validation("The scenario asks for gzip, but the client does not accept it.");
        return refuse(refusal, served, shared);
    }
    let rendered = render(&call, &served.request_id);
    respond(rendered, &call.scenario, served, shared)
}

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Answers a request that is a stream of its own: the response begins at once.
fn converse_both_ways(head: &Parts, body: Incoming, served: Served, shared: &Shared) -> Response<ScriptBody> {
    if head.method != hyper::Method::POST || !served.http2 {
        return refuse(Refusal::unknown_operation(), served, shared);
    }
    if !is_signed(&head.headers) {
        return refuse(Refusal::unsigned(), served, shared);
    }
    if text(&head.headers, "content-type").as_deref() != Some(EVENT_STREAM) {
        let refusal = Refusal::validation("The request is not a stream of events.");
        return refuse(refusal, served, shared);
    }
    if !served.model.contains("amazon.nova-sonic") {
        return refuse(Refusal::unknown_model(), served, shared);
    }
    let (steps, to_come) = mpsc::unbounded_channel();
    tokio::spawn(speech::answer(body, steps));
    response_head(&served)
        .header("content-type", EVENT_STREAM)
        .body(ScriptBody::open_ended(to_come, served, shared))
        .expect("every header of the fake is valid")
}

fn respond(rendered: Rendered, scenario: &Scenario, served: Served, shared: &Shared) -> Response<ScriptBody> {
    let Rendered {
        content_type,
        fields,
        steps,
    } = rendered;
    let mut steps = if scenario.gzip { gzip(steps) } else { steps };
    if scenario.trailers {
        steps.push(Step::Trailers(trailers()));
    }
    let mut response = response_head(&served).header("content-type", content_type);
    if scenario.gzip {
        response = response.header("content-encoding", "gzip");
    }
    if !served.streamed && scenario.framing == Framing::Length {
        response = response.header("content-length", length(&steps));
    }
    for (name, value) in fields {
        response = response.header(name, value);
    }
    response
        .body(ScriptBody::new(steps, served, shared))
        .expect("every header of the fake is valid")
}

fn refuse(refusal: Refusal, mut served: Served, shared: &Shared) -> Response<ScriptBody> {
    let Refusal {
        status,
        kind,
        message,
    } = refusal;
    served.status = status;
    let body = match served.operation {
        Some(Operation::ChatCompletions) => json!({"error": {"message": message, "type": kind}}),
        Some(Operation::Messages) => json!({"type": "error", "error": {"type": kind, "message": message}}),
        _ => json!({"message": message}),
    };
    let bytes: Bytes = body.to_string().into();
    let response = response_head(&served)
        .status(status)
        .header("content-type", "application/json")
        .header("content-length", bytes.len())
        .header(
            "x-amzn-errortype",
            format!("{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"),
        );
    let facts = vec![Fact::Error {
        kind: kind.to_owned(),
        message,
    }];
    response
        .body(ScriptBody::new([Step::Write { bytes, facts }], served, shared))
        .expect("every header of the fake is valid")
}

fn response_head(served: &Served) -> hyper::http::response::Builder {
    Response::builder().header("x-amzn-requestid", &served.request_id)
}

/// Trailers that mean nothing to anybody.
fn trailers() -> HeaderMap {
    let field = HeaderValue::from_static("the end");
    [(HeaderName::from_static("x-fake-trailer"), field)]
        .into_iter()
        .collect()
}

fn length(steps: &[Step]) -> usize {
    steps
        .iter()
        .map(|step| match step {
            Step::Write { bytes, .. } => bytes.len(),
            Step::Note(_) | Step::Wait(_) | Step::Meet(_) | Step::Leave | Step::Trailers(_) | Step::Cut => 0,
        })
        .sum()
}

/// Compresses the whole body as one gzip member, flushed after every write so that a stream still streams.
fn gzip(steps: Vec<Step>) -> Vec<Step> {
    const TO_MEMORY: &str = "compressing into memory does not fail";
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let cut = steps.iter().any(|step| matches!(step, Step::Cut));
    let mut compressed: Vec<Step> = steps
        .into_iter()
        .map(|step| match step {
            Step::Write { bytes, facts } => {
                encoder.write_all(&bytes).expect(TO_MEMORY);
                encoder.flush().expect(TO_MEMORY);
                let bytes = std::mem::take(encoder.get_mut()).into();
                Step::Write { bytes, facts }
            }
            other => other,
        })
        .collect();
    if !cut {
        compressed.push(Step::Write {
            bytes: encoder.finish().expect(TO_MEMORY).into(),
            facts: Vec::new(),
        });
    }
    compressed
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    text(headers, "accept-encoding").is_some_and(|codings| codings.contains("gzip"))
}

/// Region in `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
fn region(headers: &HeaderMap) -> Option<String> {
    let value = text(headers, "authorization")?;
    let (_, scope) = value.split_once("Credential=")?;
    scope.split('/').nth(2).map(str::to_owned)
}

/// How the SDKs of Anthropic and `OpenAI` count, from 0 on.
const RETRY_COUNT: &str = "x-stainless-retry-count";

/// `attempt=N` of `amz-sdk-request`, or one more than the count of other SDKs.
fn attempt(headers: &HeaderMap) -> u32 {
    let of_aws = text(headers, "amz-sdk-request").and_then(|value| {
        value
            .split(';')
            .find_map(|part| part.trim().strip_prefix("attempt=")?.parse().ok())
    });
    let counted = || text(headers, RETRY_COUNT)?.parse::<u32>().ok()?.checked_add(1);
    of_aws.or_else(counted).unwrap_or(1)
}

/// Request ids: unique on this host for good, and in the shape of AWS's.
#[derive(Debug)]
struct RequestIds {
    started: u64,
    count: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            started: since.map_or(0, |since| since.as_secs() << 30 | u64::from(since.subsec_nanos())),
            count: AtomicU64::new(0),
        }
    }

    fn next(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let (started, pid) = (self.started, std::process::id());
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            started >> 32,
            started >> 16 & 0xffff,
            started & 0xffff,
            pid & 0xffff,
            count
        )
    }
}
