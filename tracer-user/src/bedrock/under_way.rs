//! `UnderWay`: a call that has not ended, as far as it has come.

use crate::event::{ConnectionKey, Monotonic};
use crate::http::{ExchangeNumber, Phase};

use super::route::Route;

/// A call that has not ended. Borrowed from what is collected of it: looking costs no more than the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay<'a> {
    /// Connection it goes over.
    pub connection: ConnectionKey,
    /// Which exchange of that connection.
    pub exchange: ExchangeNumber,
    /// Operation, server, region and what the path names.
    pub route: &'a Route,
    /// Session it belongs to, as far as heads tell.
    pub session: Option<&'a str>,
    /// Whether the answer was asked for, or comes, as a stream.
    pub streaming: bool,
    /// First byte of the request.
    pub begun: Monotonic,
    /// How far it has come.
    pub phase: Phase,
    /// First piece of the answer in a stream.
    pub first_chunk: Option<Monotonic>,
    /// Pieces of a streamed answer so far.
    pub chunks: u64,
}
