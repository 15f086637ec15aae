//! Pods and namespaces as the API server sends them, and what is kept of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::core::{ApiResource, GroupVersionKind, NotUsed, Object, ObjectMeta};
use serde::Deserialize;

use crate::event::pod::{Container, Pod, Wishes, Workload, WorkloadKind};

/// Annotations with this prefix are attributes of the resource.
const ATTRIBUTE_PREFIX: &str = "resource.opentelemetry.io/";

/// Whether the pod, or every pod of the namespace, is traced at all.
const TRACE: &str = "geophone.dev/trace";

/// Whether prompts and completions of the pod, or of every pod of the namespace, may be kept.
const CONTENT: &str = "geophone.dev/content";

/// The UID by which the kubelet names the control group of a static pod.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// What a Deployment adds to the name of its `ReplicaSet`.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Most labels, and most attributes taken from annotations, and the longest value: pods are not ours to trust.
const ATTRIBUTES_MAX: usize = 128;
const VALUE_LENGTH_MAX: usize = 4096;

/// Most containers of one pod.
const CONTAINERS_MAX: usize = 256;

/// Digits of the minutes since 1970, which a `CronJob` adds to the names of its Jobs.
const SCHEDULE_DIGITS: usize = 8;

/// A pod on the wire, without what nobody asks here: environments and volumes never enter memory as values.
pub(super) type PodObject = Object<PodSpec, PodStatus>;

/// `spec`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    node_name: Option<String>,
    containers: Option<Vec<ContainerSpec>>,
    init_containers: Option<Vec<ContainerSpec>>,
    ephemeral_containers: Option<Vec<ContainerSpec>>,
}

/// `spec.containers[]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerSpec {
    name: String,
    image: Option<String>,
}

/// `status`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodStatus {
    #[serde(rename = "containerStatuses")]
    containers: Option<Vec<ContainerStatus>>,
    #[serde(rename = "initContainerStatuses")]
    init_containers: Option<Vec<ContainerStatus>>,
    #[serde(rename = "ephemeralContainerStatuses")]
    ephemeral_containers: Option<Vec<ContainerStatus>>,
}

/// `status.containerStatuses[]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    name: String,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    last_state: Option<LastState>,
}

/// `status.containerStatuses[].lastState`: the container before its restart, whose spans may still be under way.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LastState {
    terminated: Option<Terminated>,
}

/// `status.containerStatuses[].lastState.terminated`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Terminated {
    #[serde(rename = "containerID")]
    container_id: Option<String>,
}

/// Where pods are found: `/api/v1/pods`.
pub(super) fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"))
}

/// A namespace on the wire: its metadata alone, whatever else comes or does not.
pub(super) type NamespaceObject = Object<Option<NotUsed>, NotUsed>;

/// Where namespaces are found: `/api/v1/namespaces`.
pub(super) fn namespace_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"))
}

/// Name and wishes of a namespace; `None` for an object without a name, which no API server sends.
pub(super) fn namespace(object: NamespaceObject) -> Option<(String, Wishes)> {
    let wishes = wishes(&object.metadata.annotations.unwrap_or_default());
    Some((object.metadata.name?, wishes))
}

/// What is kept of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// UIDs by which control groups may name it: its own, and that of a static pod's manifest.
    pub(super) uids: Vec<String>,
    /// The pod as a process knows it whose container is not told yet: with a container only where there is but one.
    pub(super) pod: Arc<Pod>,
    /// The pod as the processes of each container know it, by the container's id.
    pub(super) containers: Vec<(String, Arc<Pod>)>,
}

impl Entry {
    /// Takes what is needed; `None` for an object without a UID, which no API server sends.
    pub(super) fn of(object: PodObject) -> Option<Self> {
        let Object {
            types: _,
            metadata,
            spec,
            status,
        } = object;
        let uid = metadata.uid.clone()?;
        let annotations = metadata.annotations.clone().unwrap_or_default();
        let mut uids = vec![uid.clone()];
        uids.extend(annotations.get(CONFIG_HASH).cloned());
        let pod = Pod {
            uid,
            node: spec.node_name.clone().unwrap_or_default(),
            workloads: workloads(&metadata),
            attributes: attributes(&annotations),
            wishes: wishes(&annotations),
            labels: labels(&metadata),
            awaits_namespace: false,
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            container: None,
        };
        let specified = specified(spec);
        let with = |container: &Container| Pod {
            container: Some(container.clone()),
            ..pod.clone()
        };
        let mut containers = Vec::new();
        for (name, id) in status.into_iter().flat_map(identified) {
            let container = specified.iter().find(|container| container.name == name);
            let container = container.cloned().unwrap_or(Container {
                name,
                image: String::new(),
            });
            containers.push((id, Arc::new(with(&container))));
        }
        let pod = match specified.as_slice() {
            [only] => with(only),
            _ => pod,
        };
        Some(Self {
            uids,
            pod: Arc::new(pod),
            containers,
        })
    }
}

fn specified(spec: PodSpec) -> Vec<Container> {
    let PodSpec {
        node_name: _,
        containers,
        init_containers,
        ephemeral_containers,
    } = spec;
    [containers, init_containers, ephemeral_containers]
        .into_iter()
        .flatten()
        .flatten()
        .take(CONTAINERS_MAX)
        .map(|ContainerSpec { name, image }| Container {
            name,
            image: image.unwrap_or_default(),
        })
        .collect()
}

/// Name and id of every container that has run, those before a restart included.
fn identified(status: PodStatus) -> Vec<(String, String)> {
    let PodStatus {
        containers,
        init_containers,
        ephemeral_containers,
    } = status;
    let mut identified = Vec::new();
    let statuses = [containers, init_containers, ephemeral_containers];
    for status in statuses.into_iter().flatten().flatten().take(CONTAINERS_MAX) {
        let ContainerStatus {
            name,
            container_id,
            last_state,
        } = status;
        let before = last_state
            .and_then(|state| state.terminated)
            .and_then(|terminated| terminated.container_id);
        for reference in [container_id, before].into_iter().flatten() {
            // `containerd://9f2c…`: the runtime stands before the id.
            let id = reference.rsplit("//").next().unwrap_or_default();
            if !id.is_empty() {
                identified.push((name.clone(), id.to_owned()));
            }
        }
    }
    identified
}

/// The controller of the pod, and the controller behind that one where the names prove it.
fn workloads(metadata: &ObjectMeta) -> Vec<Workload> {
    let owner = metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true));
    let Some(owner) = owner else {
        return Vec::new();
    };
    let group = owner.api_version.split('/').next().unwrap_or_default();
    let kind = match (group, owner.kind.as_str()) {
        ("apps", "ReplicaSet") => WorkloadKind::ReplicaSet,
        ("apps", "StatefulSet") => WorkloadKind::StatefulSet,
        ("apps", "DaemonSet") => WorkloadKind::DaemonSet,
        ("batch", "Job") => WorkloadKind::Job,
        ("v1", "ReplicationController") => WorkloadKind::ReplicationController,
        _ => return Vec::new(),
    };
    let behind = match kind {
        WorkloadKind::ReplicaSet => {
            deployment(metadata, &owner.name).map(|name| (WorkloadKind::Deployment, name))
        }
        WorkloadKind::Job => cron_job(&owner.name).map(|name| (WorkloadKind::CronJob, name)),
        _ => None,
    };
    let mut workloads = vec![Workload {
        kind,
        name: owner.name.clone(),
    }];
    workloads.extend(behind.map(|(kind, name)| Workload {
        kind,
        name: name.to_owned(),
    }));
    workloads
}

/// A Deployment's `ReplicaSet` is called after it and the hash that its pods carry as a label.
fn deployment<'a>(metadata: &ObjectMeta, replica_set: &'a str) -> Option<&'a str> {
    let hash = metadata.labels.as_ref()?.get(TEMPLATE_HASH)?;
    let name = replica_set.strip_suffix(hash.as_str())?.strip_suffix('-')?;
    (!name.is_empty()).then_some(name)
}

/// A `CronJob`'s Job is called after it and the minute it was due.
fn cron_job(job: &str) -> Option<&str> {
    let (name, minute) = job.rsplit_once('-')?;
    let is_minute = minute.len() == SCHEDULE_DIGITS && minute.bytes().all(|byte| byte.is_ascii_digit());
    (is_minute && !name.is_empty()).then_some(name)
}

fn attributes(annotations: &BTreeMap<String, String>) -> Vec<(String, String)> {
    annotations
        .iter()
        .filter_map(|(key, value)| {
            let key = key.strip_prefix(ATTRIBUTE_PREFIX)?;
            (!key.is_empty() && value.len() <= VALUE_LENGTH_MAX).then(|| (key.to_owned(), value.clone()))
        })
        .take(ATTRIBUTES_MAX)
        .collect()
}

fn labels(metadata: &ObjectMeta) -> BTreeMap<String, String> {
    let labels = metadata.labels.iter().flatten().take(ATTRIBUTES_MAX);
    labels
        .filter(|(_, value)| value.len() <= VALUE_LENGTH_MAX)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Anything but `true` takes away: who wrote `no` or misspelt `false` did not mean yes.
fn wishes(annotations: &BTreeMap<String, String>) -> Wishes {
    let refuses = |name: &str| {
        annotations
            .get(name)
            .is_some_and(|value| !value.trim().eq_ignore_ascii_case("true"))
    };
    Wishes {
        untraced: refuses(TRACE),
        without_content: refuses(CONTENT),
    }
}

#[cfg(test)]
mod tests;
