//! OpenTelemetry `gen_ai` telemetry made of Bedrock calls.
//!
//! [`Spans`] turns a call into a span of its process. Names are spelled in [`semconv`] only; `docs/signals.md` explains each.

pub mod attempts;
mod attributes;
mod capture;
mod content;
mod control;
mod convention;
pub mod cost;
mod details;
mod failure;
mod ids;
pub mod metrics;
mod operation;
mod options;
mod redaction;
pub mod semconv;
pub mod span;
mod span_builder;
mod spans;
mod steps;
pub mod tool_loop;

#[cfg(test)]
mod tests;

pub use capture::Capture;
pub use content::{ContentLimit, ContentLimitError};
pub use convention::Convention;
pub use options::Options;
pub use redaction::{Redaction, RuleError};
pub use span_builder::span_of;
pub use spans::Spans;
