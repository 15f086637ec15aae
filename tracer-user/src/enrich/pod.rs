//! What is told of the pod that a process runs in.
//!
//! Names and order of precedence: "Populating resource attributes in Kubernetes" of the semantic conventions
//! (`docs/non-normative/k8s-attributes.md`). Labels such as `app.kubernetes.io/name` are not asked: the page wants an opt-in
//! for that, since who set them may not have meant telemetry.

use super::image::Image;
use crate::event::pod::{Container, Pod, Workload, WorkloadKind};
use crate::genai::span::Value;

// Names of the OpenTelemetry semantic conventions for resources, v1.41.
const CONTAINER_IMAGE_NAME: &str = "container.image.name";
const CONTAINER_IMAGE_TAGS: &str = "container.image.tags";
const CONTAINER_NAME: &str = "k8s.container.name";
const NAMESPACE_NAME: &str = "k8s.namespace.name";
const NODE_NAME: &str = "k8s.node.name";
const POD_NAME: &str = "k8s.pod.name";
const POD_UID: &str = "k8s.pod.uid";
const SERVICE_INSTANCE_ID: &str = "service.instance.id";
const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_VERSION: &str = "service.version";

/// The kinds that lend a service their name, the first found goes.
const NAMING_KINDS: [WorkloadKind; 6] = [
    WorkloadKind::Deployment,
    WorkloadKind::ReplicaSet,
    WorkloadKind::StatefulSet,
    WorkloadKind::DaemonSet,
    WorkloadKind::CronJob,
    WorkloadKind::Job,
];

/// The attributes of a pod, those that its annotations set last: they go before what is computed.
pub(super) fn attributes(pod: &Pod) -> Vec<(String, Value)> {
    let Pod {
        namespace,
        name,
        uid,
        node,
        workloads,
        container,
        attributes: annotated,
        wishes: _,
        labels: _,
        awaits_namespace: _,
    } = pod;
    let mut attributes = Vec::new();
    let mut text = |key: &str, value: &str| {
        if !value.is_empty() {
            attributes.push((key.to_owned(), Value::String(value.to_owned().into())));
        }
    };
    text(NAMESPACE_NAME, namespace);
    text(POD_NAME, name);
    text(POD_UID, uid);
    text(NODE_NAME, node);
    for Workload { kind, name } in workloads {
        text(workload_key(*kind), name);
    }
    text(SERVICE_NAMESPACE, namespace);
    if let Some(Container {
        name: container,
        image,
    }) = container
    {
        text(CONTAINER_NAME, container);
        text(SERVICE_INSTANCE_ID, &format!("{namespace}.{name}.{container}"));
        let image = Image::parse(image);
        text(CONTAINER_IMAGE_NAME, image.name);
        text(SERVICE_VERSION, &image.version());
        if let Some(tag) = image.tag {
            let tags = Value::Strings(vec![tag.to_owned()]);
            attributes.push((CONTAINER_IMAGE_TAGS.to_owned(), tags));
        }
    }
    attributes.extend(
        annotated
            .iter()
            .map(|(key, value)| (key.clone(), Value::String(value.clone().into()))),
    );
    attributes
}

/// Name of the service that a pod belongs to.
pub(super) fn service_name(pod: &Pod) -> Option<&str> {
    let annotated = pod
        .attributes
        .iter()
        .find(|(key, _)| key == SERVICE_NAME)
        .map(|(_, name)| name.as_str());
    let mut of_workload = NAMING_KINDS.into_iter().filter_map(|kind| {
        let workload = pod.workloads.iter().find(|workload| workload.kind == kind)?;
        Some(workload.name.as_str())
    });
    let container = pod.container.as_ref().map(|container| container.name.as_str());
    annotated
        .into_iter()
        .chain(of_workload.next())
        .chain([pod.name.as_str()])
        .chain(container)
        .find(|name| !name.is_empty())
}

fn workload_key(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Deployment => "k8s.deployment.name",
        WorkloadKind::ReplicaSet => "k8s.replicaset.name",
        WorkloadKind::StatefulSet => "k8s.statefulset.name",
        WorkloadKind::DaemonSet => "k8s.daemonset.name",
        WorkloadKind::Job => "k8s.job.name",
        WorkloadKind::CronJob => "k8s.cronjob.name",
        WorkloadKind::ReplicationController => "k8s.replicationcontroller.name",
    }
}
