//! geophone: a zero-code tracer for Amazon Bedrock.
//!
//! ```text
//!  live:   ring buffer ─ probe/ ─┐
//!                                ├─ ProbeEvent ─ scrub/ ─┬─ conn/ ─ wire/ ─ http.rs ─ bedrock/ ─ genai/ ─ enrich/ ─ export/
//!  file:   pcapng ──── capture/ ─┘                       └─ capture/ (recording)
//! ```
//!
//! A stage names types of the stages before it, never of one after it. From `conn/` to `genai/` is the core: no IO, no
//! clock, no thread; [`pipeline::Pipeline`] is all of it as one value. `docs/architecture.md` is the map.

pub mod counters;
pub mod event;
pub mod rights;

pub mod select;

pub mod hpack;

pub mod capture;
pub mod probe;
pub mod scrub;

pub mod conn;
pub mod wire;

pub mod http;

pub mod bedrock;
pub mod genai;

pub mod pipeline;

pub mod enrich;
pub mod export;
pub mod top;

pub mod cli;
