//! Writes down the plaintext that passes the fake, as probes in the client would see it. This gives recordings without
//! a kernel, so that everything behind the probes can be proved where nobody is root.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body::unix_ns;

/// Something that happened on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tapped {
    /// Counts the connections of the fake, as in [`Served`](super::Served).
    pub connection: u64,
    /// When, ns since the Unix epoch.
    pub unix_ns: u64,
    /// What.
    pub what: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// The connection was made.
    Opened,
    /// The client sent plaintext.
    Sent(Vec<u8>),
    /// The client was sent plaintext.
    Received(Vec<u8>),
    /// The connection is gone.
    Closed,
}

/// Everything that passed so far, in order.
#[derive(Debug, Clone, Default)]
pub struct Tap(Arc<(Mutex<Vec<Tapped>>, Condvar)>);

impl Tap {
    /// What passed so far.
    pub fn all(&self) -> Vec<Tapped> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a client has sent this text in one piece; whether it did before the time was over.
    pub fn wait_for_sent(&self, text: &str, patience: Duration) -> bool {
        let (passed, news) = &*self.0;
        let is_sent = |tapped: &Tapped| match &tapped.what {
            Happened::Sent(bytes) => String::from_utf8_lossy(bytes).contains(text),
            Happened::Opened | Happened::Received(_) | Happened::Closed => false,
        };
        let passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = news.wait_timeout_while(passed, patience, |passed| !passed.iter().any(is_sent));
        let (passed, _timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        passed.iter().any(is_sent)
    }

    fn note(&self, connection: u64, what: Happened) {
        let unix_ns = unix_ns();
        let (passed, news) = &*self.0;
        passed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Tapped {
                connection,
                unix_ns,
                what,
            });
        news.notify_all();
    }
}

/// A stream that is tapped, if there is a tap.
#[derive(Debug)]
pub(super) struct TappedStream<S> {
    inner: S,
    tap: Option<(Tap, u64)>,
}

impl<S> TappedStream<S> {
    pub(super) fn new(inner: S, tap: Option<Tap>, connection: u64) -> Self {
        let stream = Self {
            inner,
            tap: tap.map(|tap| (tap, connection)),
        };
        stream.note(|| Happened::Opened);
        stream
    }

    fn note(&self, what: impl FnOnce() -> Happened) {
        if let Some((tap, connection)) = &self.tap {
            tap.note(*connection, what());
        }
    }
}

impl<S> Drop for TappedStream<S> {
    fn drop(&mut self) {
        self.note(|| Happened::Closed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TappedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if let Some(bytes @ [_, ..]) = buffer.filled().get(before..) {
            self.note(|| Happened::Sent(bytes.to_vec()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TappedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        if let Some(bytes @ [_, ..]) = bytes.get(..written) {
            self.note(|| Happened::Received(bytes.to_vec()));
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
