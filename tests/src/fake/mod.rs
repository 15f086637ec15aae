//! A fake Amazon Bedrock: real TLS, real HTTP, real event-stream frames, and an answer that is a function of the request.
//!
//! Which answer is asked for in the prompt itself ([`scenario`]), so that every client can ask, whatever it is written in.
//! Frames are encoded by `aws-smithy-eventstream`, never by code of geophone: the fake is an oracle.

mod answer;
mod body;
mod error;
mod family;
mod frames;
mod hosted;
mod meeting;
mod ragged;
mod request;
pub mod scenario;
mod served;
mod server;
mod speech;
pub mod tap;
pub mod tls;

pub use hosted::script;
pub use served::{Operation, Parameters, Served, ServedLog, Usage};
pub use server::{FakeBedrock, Options, TlsVersions};
