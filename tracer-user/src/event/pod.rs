//! What a Kubernetes API server says of the pod that a process runs in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A pod and one of its containers, as far as telemetry speaks of them. What is not known is empty.
///
/// Part of the events, so that a recording knows the pods of its processes. It is written as it stands here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `spec.nodeName`.
    pub node: String,
    /// What the pod belongs to, the nearest first: a `ReplicaSet`, then its `Deployment`.
    pub workloads: Vec<Workload>,
    /// The container that the process runs in; `None` until the API server knows its id.
    pub container: Option<Container>,
    /// Attributes that annotations set (`resource.opentelemetry.io/NAME`).
    pub attributes: Vec<(String, String)>,
    /// What the pod or its namespace does not want.
    pub wishes: Wishes,
    /// `metadata.labels`, for rules alone: no outlet tells them and no recording has them.
    #[serde(skip)]
    pub labels: BTreeMap<String, String>,
    /// Its namespace was not told of yet, so that nobody knows what that wishes.
    #[serde(skip)]
    pub awaits_namespace: bool,
}

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// `spec.containers[].name`.
    pub name: String,
    /// Image as the pod's specification names it, tag or digest included.
    pub image: String,
}

/// What made a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
}

/// Kinds that OpenTelemetry has a name for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadKind {
    /// `apps/v1 Deployment`.
    Deployment,
    /// `apps/v1 ReplicaSet`.
    ReplicaSet,
    /// `apps/v1 StatefulSet`.
    StatefulSet,
    /// `apps/v1 DaemonSet`.
    DaemonSet,
    /// `batch/v1 Job`.
    Job,
    /// `batch/v1 CronJob`.
    CronJob,
    /// `v1 ReplicationController`.
    ReplicationController,
}

/// What is to be left out, as a pod, its namespace or a rule of the operator says. It can only take away from what geophone
/// was told to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// No telemetry at all.
    pub untraced: bool,
    /// No prompts and completions.
    pub without_content: bool,
}

impl Wishes {
    /// What either of two keeps back.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            untraced: self.untraced || other.untraced,
            without_content: self.without_content || other.without_content,
        }
    }
}
