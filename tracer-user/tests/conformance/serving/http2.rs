//! HTTP/2: the h2 crate's client and server talk, and the client's end of the connection is listened to.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::http::{Request, Response, Uri};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tracer_user::event::Direction;

use super::Passed;
use crate::recording::{Message, Recording};

/// Bytes of a DATA frame: a length that shares no boundary with frames of an event-stream or pieces.
const DATA: usize = 1_499;

/// Both sides know what they say.
const VALID: &str = "a recorded exchange is one of HTTP/2 too";

pub(super) fn serve(recording: &Recording) -> Passed {
    let heard = Arc::new(Mutex::new(Passed::new()));
    let (client, server) = tokio::io::duplex(1 << 16);
    let client = Tap {
        stream: client,
        heard: Arc::clone(&heard),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without a driver");
    runtime.block_on(async {
        tokio::select! {
            () = ask(client, recording) => {}
            () = answer(server, recording) => panic!("the server leaves first"),
        }
    });
    std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The client: it is done when it has read the whole answer.
async fn ask(stream: Tap, recording: &Recording) {
    let (client, connection) = h2::client::handshake(stream).await.expect(VALID);
    let call = async {
        let mut client = client.ready().await.expect(VALID);
        let uri = Uri::builder()
            .scheme("https")
            .authority(recording.host.as_str())
            .path_and_query(recording.path.as_str())
            .build()
            .expect(VALID);
        let request = Request::builder().method(recording.method.as_str()).uri(uri);
        let request =
            fields(&recording.request).fold(request, |request, (name, value)| request.header(name, value));
        let request = request.body(()).expect(VALID);
        let body = &recording.request.body;
        let (response, stream) = client.send_request(request, body.is_empty()).expect(VALID);
        send(stream, body);
        let mut body = response.await.expect(VALID).into_body();
        while let Some(data) = body.data().await {
            let length = data.expect(VALID).len();
            body.flow_control().release_capacity(length).expect(VALID);
        }
    };
    tokio::select! {
        () = call => {}
        ended = connection => ended.expect(VALID),
    }
}

/// The server, which goes on until nobody listens.
async fn answer(stream: DuplexStream, recording: &Recording) {
    let mut connection = h2::server::handshake(stream).await.expect(VALID);
    while let Some(request) = connection.accept().await {
        let (mut request, mut respond) = request.expect(VALID);
        let body = request.body_mut();
        let mut heard = 0;
        while heard < recording.request.body.len() {
            // The connection itself must be driven for the body to come.
            tokio::select! {
                data = body.data() => {
                    let length = data.expect("all of the body").expect(VALID).len();
                    body.flow_control().release_capacity(length).expect(VALID);
                    heard += length;
                }
                another = connection.accept() => assert!(another.is_none(), "one request alone"),
            }
        }
        let response = Response::builder().status(recording.status);
        let response = fields(&recording.response)
            .fold(response, |response, (name, value)| response.header(name, value));
        let response = response.body(()).expect(VALID);
        let body = &recording.response.body;
        let stream = respond.send_response(response, body.is_empty()).expect(VALID);
        send(stream, body);
    }
}

fn send(mut stream: h2::SendStream<Bytes>, body: &[u8]) {
    let last = body.chunks(DATA).len();
    for (number, data) in body.chunks(DATA).enumerate() {
        let data = Bytes::copy_from_slice(data);
        stream.send_data(data, number + 1 == last).expect(VALID);
    }
}

fn fields(message: &Message) -> impl Iterator<Item = (&str, &str)> {
    message
        .fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
}

/// Listens at the client's end.
struct Tap {
    stream: DuplexStream,
    heard: Arc<Mutex<Passed>>,
}

impl Tap {
    fn hear(&self, direction: Direction, bytes: &[u8]) {
        if !bytes.is_empty() {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push((direction, bytes.to_vec()));
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
