//! Wire formats: HTTP/1, content codings, event-streams. Parsers that take bytes and yield values, never a socket.

pub mod encoding;
pub mod eventstream;
pub mod http1;
