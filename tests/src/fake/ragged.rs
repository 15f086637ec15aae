//! A writer that cuts what passes through it into pieces of random size. Over TLS every piece becomes a record of its own,
//! so that records align neither with HTTP chunks nor with event-stream frames, as on the real wire.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Largest piece.
const MOST: u64 = 700;

/// State of the generator, shared with the request handler, which seeds it; 0 lets everything through whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Raggedness(Arc<AtomicU64>);

impl Raggedness {
    pub(super) fn set(&self, seed: Option<u64>) {
        // An odd multiplier never maps a seed to the state that means "whole".
        let state = seed.map_or(0, |seed| (seed | 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        self.0.store(state, Ordering::Relaxed);
    }

    /// Size of the next piece, none for all of it (xorshift64, Marsaglia 2003).
    fn next(&self) -> Option<usize> {
        let mut state = self.0.load(Ordering::Relaxed);
        if state == 0 {
            return None;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.store(state, Ordering::Relaxed);
        usize::try_from(state % MOST + 1).ok()
    }
}

/// The cutting writer around a TLS stream.
#[derive(Debug)]
pub(super) struct Ragged<S> {
    inner: S,
    raggedness: Raggedness,
    /// The last piece has not gone out yet.
    unflushed: bool,
}

impl<S> Ragged<S> {
    pub(super) fn new(inner: S, raggedness: Raggedness) -> Self {
        Self {
            inner,
            raggedness,
            unflushed: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ragged<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ragged<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unflushed {
            ready!(Pin::new(&mut self.inner).poll_flush(context))?;
            self.unflushed = false;
        }
        let Some(most) = self.raggedness.next() else {
            return Pin::new(&mut self.inner).poll_write(context, bytes);
        };
        let piece = bytes.get(..most).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, piece))?;
        self.unflushed = true;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
