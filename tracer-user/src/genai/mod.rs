//! OpenTelemetry `gen_ai` telemetry made of Bedrock calls.

pub mod span;
