//! Who a process is, as an OpenTelemetry resource.
//!
//! What the process says of itself (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`) goes before what we see from
//! outside. Nothing here reads the machine: all comes from [`crate::event::Process`] and [`crate::event::Host`], so that
//! a replay describes a process just as the live run did.

mod container;
mod environment;
mod resource;
mod service;

pub use resource::{Resource, ResourceAttribute, Resources};

#[cfg(test)]
mod tests;
