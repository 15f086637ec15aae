//! Who a process is, as an OpenTelemetry resource.
//!
//! What the process says of itself (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`) goes before what we see from
//! outside. A resource is made of [`crate::event::Process`] and [`crate::event::Host`] alone, so that a replay describes a
//! process just as the live run did. What an API server says of pods (`kubernetes/`) goes into `Process` for that.

mod container;
mod environment;
mod image;
#[cfg(feature = "k8s")]
pub mod kubernetes;
mod pod;
mod resource;
mod service;

pub use container::may_be_pod;
pub use resource::{Resource, ResourceAttribute, Resources};

#[cfg(test)]
mod tests;
