//! Metrics with the resources they belong to.

use std::sync::Arc;

use crate::enrich::{Resource, Resources};
use crate::genai::metrics::{Metric, Snapshot};

/// Metrics with the resources they belong to.
#[derive(Debug)]
pub(in crate::export) struct Collected {
    /// As of when, ns since the Unix epoch.
    pub(in crate::export) time_unix_ns: u64,
    /// Metrics by resource.
    pub(in crate::export) groups: Vec<Group>,
}

/// The metrics of one resource.
#[derive(Debug)]
pub(in crate::export) struct Group {
    pub(in crate::export) resource: Arc<Resource>,
    pub(in crate::export) metrics: Vec<Metric>,
}

impl Collected {
    /// Metrics of processes, and of geophone itself where it has any.
    pub(in crate::export) fn new(
        snapshot: Snapshot,
        own: Option<(Arc<Resource>, Vec<Metric>)>,
        resources: &mut Resources,
    ) -> Self {
        let Snapshot {
            time_unix_ns,
            processes,
        } = snapshot;
        let processes = processes.into_iter().map(|process| Group {
            resource: resources.of(&process.process),
            metrics: process.metrics,
        });
        let own = own.map(|(resource, metrics)| Group { resource, metrics });
        Self {
            time_unix_ns,
            groups: processes
                .chain(own)
                .filter(|group| !group.metrics.is_empty())
                .collect(),
        }
    }
}
