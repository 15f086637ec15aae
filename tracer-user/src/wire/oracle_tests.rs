//! hyper is the judge: its client and server talk, we listen in between, and must have heard what they said.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_ENCODING, EXPECT, HeaderMap, HeaderValue, TRAILER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};

use super::tests::Scene;
use crate::conn::Connections;
use crate::counters::Counters;
use crate::event::{ConnectionKey, Direction};
use crate::http::{BodyPart, Completion, ExchangeNumber, HttpEvent, HttpSink};
use crate::wire::Conversation;

/// An exchange, by either account.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Exchange {
    method: String,
    target: String,
    /// The header field `x-test` of the request.
    mark: String,
    sent: Vec<u8>,
    status: u16,
    received: Vec<u8>,
    complete: bool,
}

/// What we heard.
#[derive(Debug, Default)]
struct Heard(BTreeMap<ExchangeNumber, Exchange>);

impl HttpSink for Heard {
    fn http(&mut self, _: ConnectionKey, number: ExchangeNumber, event: HttpEvent<'_>) {
        let exchange = self.0.entry(number).or_default();
        match event {
            HttpEvent::Request { head, .. } => {
                head.method.clone_into(&mut exchange.method);
                head.target.clone_into(&mut exchange.target);
                head.fields
                    .get("X-Test")
                    .unwrap_or_default()
                    .clone_into(&mut exchange.mark);
            }
            HttpEvent::RequestBody { part, .. } => append(&mut exchange.sent, &part),
            HttpEvent::RequestEnd { .. } => {}
            HttpEvent::Response { head, .. } => exchange.status = head.status,
            HttpEvent::ResponseBody { part, .. } => append(&mut exchange.received, &part),
            HttpEvent::End { completion, .. } => exchange.complete = completion == Completion::Complete,
        }
    }

    fn unpaired(&mut self, _: ConnectionKey) {}

    fn foreign(&mut self, _: ConnectionKey) {
        panic!("this is HTTP/1");
    }

    fn gone(&mut self, _: ConnectionKey) {}
}

fn append(body: &mut Vec<u8>, part: &BodyPart<'_>) {
    match part {
        BodyPart::Bytes(bytes) => body.extend_from_slice(bytes),
        BodyPart::Hole(hole) => panic!("nothing is missing, and yet: {hole:?}"),
    }
}

/// Listens at the client's end: a read or write is a call.
struct Tap {
    stream: DuplexStream,
    scene: Arc<Mutex<Scene>>,
}

impl Tap {
    fn hear(&self, direction: Direction, bytes: &[u8]) {
        if !bytes.is_empty() {
            let mut scene = self.scene.lock().unwrap_or_else(PoisonError::into_inner);
            scene.call(direction, bytes);
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.hear(Direction::Read, &buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.hear(Direction::Write, &bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

type Body = BoxBody<Bytes, Infallible>;

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// A body of unknown length, in chunks, with a trailer.
fn chunked(bytes: &Bytes) -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checked", HeaderValue::from_static("yes"));
    let frames: Vec<Frame<Bytes>> = bytes
        .chunks(5000)
        .map(|chunk| Frame::data(Bytes::copy_from_slice(chunk)))
        .chain([Frame::trailers(trailers)])
        .collect();
    BodyExt::boxed(Frames(frames.into_iter()))
}

struct Frames(std::vec::IntoIter<Frame<Bytes>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

/// Echoes the body in the way the path names, and notes each exchange as the server saw it.
async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Exchange>>>,
) -> Result<Response<Body>, hyper::Error> {
    let (head, body) = request.into_parts();
    let mark = head
        .headers
        .get("x-test")
        .map(|mark| mark.to_str().unwrap_or("?"));
    let mut exchange = Exchange {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        mark: mark.unwrap_or_default().to_owned(),
        sent: body.collect().await?.to_bytes().to_vec(),
        status: 200,
        received: Vec::new(),
        complete: true,
    };
    let bytes = Bytes::from(exchange.sent.clone());
    let response = Response::builder();
    let response = match head.uri.path() {
        "/chunked" => response.header(TRAILER, "x-checked").body(chunked(&bytes)),
        "/gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&bytes).expect("a Vec takes all");
            let coded = Bytes::from(encoder.finish().expect("a Vec takes all"));
            response.header(CONTENT_ENCODING, "gzip").body(chunked(&coded))
        }
        "/nothing" => {
            exchange.status = 204;
            response.status(StatusCode::NO_CONTENT).body(full(""))
        }
        _ => response.body(full(bytes.clone())),
    };
    if head.method != Method::HEAD && exchange.status == 200 {
        exchange.received = bytes.to_vec();
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    Ok(response.expect("these parts make a response"))
}

/// The same conversation by the listener's account and by the server's.
struct Accounts {
    scene: Arc<Mutex<Scene>>,
    seen: Arc<Mutex<Vec<Exchange>>>,
}

/// A server of hyper and the client's end of the connection to it.
fn connection(buffer: usize) -> (Tap, Accounts) {
    let (client, server) = tokio::io::duplex(buffer);
    let scene = Arc::new(Mutex::new(Scene::new()));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        let service = service_fn(move |request| answer(request, Arc::clone(&noted)));
        hyper::server::conn::http1::Builder::new()
            .pipeline_flush(true)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(server), service)
            .await
    });
    let tap = Tap {
        stream: client,
        scene: Arc::clone(&scene),
    };
    (tap, Accounts { scene, seen })
}

impl Accounts {
    fn exchanges(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn assert_equal(&self) {
        let scene = self.scene.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connections: Connections<Conversation> = Connections::default();
        let (mut heard, mut counters) = (Heard::default(), Counters::default());
        for event in &scene.events {
            connections.push(event, &mut heard, &mut counters);
        }
        let heard: Vec<Exchange> = heard.0.into_values().collect();
        assert_eq!(heard.len(), seen.len());
        for (ours, theirs) in heard.iter().zip(seen.iter()) {
            let told = |exchange: &Exchange| {
                let Exchange {
                    method,
                    target,
                    mark,
                    sent,
                    status,
                    received,
                    complete,
                } = exchange;
                format!(
                    "{method} {target} {mark} {status} {complete} {} {}",
                    sent.len(),
                    received.len()
                )
            };
            assert_eq!(told(ours), told(theirs));
            assert!(ours == theirs, "the bodies differ: {}", told(ours));
        }
    }
}

#[tokio::test]
async fn what_hyper_says_on_one_connection_is_heard() {
    for buffer in [100, 16 * 1024, 1 << 20] {
        let (tap, accounts) = connection(buffer);
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(tap))
            .await
            .expect("in-memory streams connect");
        let driver = tokio::spawn(driver);
        let small = Bytes::from_static(b"{\"a\": \"b\"}");
        let large: Bytes = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        for (number, (method, path, body, expect)) in [
            (Method::POST, "/length", full(small.clone()), false),
            (Method::POST, "/chunked", full(large.clone()), false),
            (Method::POST, "/gzip", chunked(&large), false),
            (Method::GET, "/nothing", Empty::new().boxed(), false),
            (Method::HEAD, "/length", full(small.clone()), false),
            (Method::POST, "/length", full(large.clone()), true),
            (Method::PUT, "/chunked?q=1", chunked(&small), true),
            (Method::DELETE, "/", Empty::new().boxed(), false),
        ]
        .into_iter()
        .enumerate()
        {
            let mut request = Request::builder()
                .method(method)
                .uri(path)
                .header("X-Test", number);
            if expect {
                request = request.header(EXPECT, "100-continue");
            }
            let request = request.body(body).expect("these parts make a request");
            let response = sender.send_request(request).await.expect("the server answers");
            response.into_body().collect().await.expect("the body is whole");
        }
        drop(sender);
        driver
            .await
            .expect("the driver does not panic")
            .expect("the connection ends well");
        assert_eq!(accounts.exchanges(), 8);
        accounts.assert_equal();
    }
}

#[tokio::test]
async fn a_body_of_8_megabytes_is_heard_whole() {
    let (tap, accounts) = connection(64 * 1024);
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(tap))
        .await
        .expect("in-memory streams connect");
    let driver = tokio::spawn(driver);
    let request = Request::post("/length").header("X-Test", "large");
    let body: Bytes = (0..2_000_000_u32).flat_map(u32::to_be_bytes).collect();
    let request = request.body(full(body)).expect("these parts make a request");
    let response = sender.send_request(request).await.expect("the server answers");
    response.into_body().collect().await.expect("the body is whole");
    drop(sender);
    driver
        .await
        .expect("the driver does not panic")
        .expect("the connection ends well");
    accounts.assert_equal();
}

#[tokio::test]
async fn pipelined_requests_get_what_hyper_answers() {
    let (mut tap, accounts) = connection(1 << 20);
    let requests = "GET /length HTTP/1.1\r\nHost: h\r\nX-Test: 1\r\n\r\n\
         POST /chunked HTTP/1.1\r\nHost: h\r\nX-Test: 2\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: t\r\n\r\n\
         HEAD /length HTTP/1.1\r\nHost: h\r\nX-Test: 3\r\n\r\n\
         POST /length HTTP/1.1\r\nHost: h\r\nX-Test: 4\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlast";
    for part in requests.as_bytes().chunks(70) {
        tap.write_all(part).await.expect("the stream takes it");
    }
    let mut answers = Vec::new();
    tap.read_to_end(&mut answers).await.expect("the server closes");
    assert!(answers.ends_with(b"last"));
    assert_eq!(accounts.exchanges(), 4);
    accounts.assert_equal();
}
