//! Pods as `kubectl get --raw` shows them.

use serde_json::{Value, json};

use super::{Entry, PodObject, namespace};
use crate::event::pod::{Container, WorkloadKind};

fn entry(pod: Value) -> Entry {
    let object: PodObject = serde_json::from_value(pod).unwrap();
    Entry::of(object).unwrap()
}

fn chat() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "chat-7d9f4c-x2x7c",
            "namespace": "agents",
            "uid": "2c48913c-b29f-11e7-9350-020968147796",
            "labels": {"app": "chat", "pod-template-hash": "7d9f4c"},
            "annotations": {
                "resource.opentelemetry.io/service.version": "2026.11",
                "geophone.dev/content": "false",
                "kubernetes.io/psp": "restricted"
            },
            "ownerReferences": [
                {"apiVersion": "example.com/v1", "kind": "Team", "name": "a-team", "uid": "t"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "chat-7d9f4c", "uid": "r", "controller": true}
            ]
        },
        "spec": {
            "nodeName": "node-3",
            "containers": [
                {"name": "app", "image": "chat:1.4", "env": [{"name": "API_KEY", "value": "sk-secret"}]},
                {"name": "proxy", "image": "envoy:1.31"}
            ],
            "initContainers": [{"name": "migrate", "image": "chat:1.4"}]
        },
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {"name": "app", "containerID": "containerd://aaaa", "restartCount": 1,
                 "lastState": {"terminated": {"exitCode": 137, "containerID": "containerd://bbbb"}}},
                {"name": "proxy", "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}
            ],
            "initContainerStatuses": [{"name": "migrate", "containerID": "cri-o://cccc"}]
        }
    })
}

#[test]
fn a_pod_of_a_deployment_is_taken_apart() {
    let entry = entry(chat());
    assert_eq!(entry.pod.namespace, "agents");
    assert_eq!(entry.pod.name, "chat-7d9f4c-x2x7c");
    assert_eq!(entry.pod.node, "node-3");
    assert_eq!(entry.pod.container, None, "two may be meant");
    let workloads: Vec<_> = entry
        .pod
        .workloads
        .iter()
        .map(|workload| (workload.kind, workload.name.as_str()))
        .collect();
    assert_eq!(
        workloads,
        [
            (WorkloadKind::ReplicaSet, "chat-7d9f4c"),
            (WorkloadKind::Deployment, "chat"),
        ]
    );
    assert_eq!(
        entry.pod.attributes,
        [("service.version".to_owned(), "2026.11".to_owned())]
    );
    assert_eq!(entry.pod.labels["app"], "chat", "for rules");
    assert!(entry.pod.wishes.without_content);
    assert!(!entry.pod.wishes.untraced);
}

#[test]
fn containers_are_known_by_id_also_the_one_before_a_restart() {
    let entry = entry(chat());
    let containers: Vec<_> = entry
        .containers
        .iter()
        .map(|(id, pod)| (id.as_str(), pod.container.clone().unwrap()))
        .collect();
    let container = |name: &str| Container {
        name: name.to_owned(),
        image: "chat:1.4".to_owned(),
    };
    assert_eq!(
        containers,
        [
            ("aaaa", container("app")),
            ("bbbb", container("app")),
            ("cccc", container("migrate")),
        ]
    );
}

#[test]
fn what_a_pod_keeps_secret_is_never_kept() {
    assert!(!format!("{:?}", entry(chat())).contains("secret"));
}

#[test]
fn the_only_container_is_known_before_its_id_is() {
    let mut pod = chat();
    pod["spec"] = json!({"nodeName": "node-3", "containers": [{"name": "app", "image": "chat:1.4"}]});
    pod["status"] = json!({"phase": "Pending", "containerStatuses": null});
    let container = entry(pod).pod.container.clone().unwrap();
    assert_eq!(container.name, "app");
}

#[test]
fn a_static_pod_is_also_known_by_the_hash_of_its_manifest() {
    let mut pod = chat();
    pod["metadata"]["annotations"]["kubernetes.io/config.hash"] = json!("4ef6c2f2ad1ff8b3a2ab9a3c1ab5ed34");
    assert_eq!(
        entry(pod).uids,
        [
            "2c48913c-b29f-11e7-9350-020968147796",
            "4ef6c2f2ad1ff8b3a2ab9a3c1ab5ed34"
        ]
    );
}

#[test]
fn a_controller_is_named_only_where_the_names_prove_it() {
    let owned = |api: &str, kind: &str, name: &str| {
        let mut pod = chat();
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": api, "kind": kind, "name": name, "uid": "o", "controller": true}]);
        entry(pod)
            .pod
            .workloads
            .iter()
            .map(|workload| format!("{:?} {}", workload.kind, workload.name))
            .collect::<Vec<_>>()
    };
    assert_eq!(owned("apps/v1", "StatefulSet", "db"), ["StatefulSet db"]);
    assert_eq!(owned("apps/v1", "DaemonSet", "agent"), ["DaemonSet agent"]);
    assert_eq!(
        owned("batch/v1", "Job", "nightly-29373120"),
        ["Job nightly-29373120", "CronJob nightly"]
    );
    assert_eq!(owned("batch/v1", "Job", "migrate-2"), ["Job migrate-2"]);
    assert_eq!(
        owned("apps/v1", "ReplicaSet", "made-by-hand"),
        ["ReplicaSet made-by-hand"],
        "its name does not end with the hash"
    );
    assert_eq!(owned("argoproj.io/v1", "ReplicaSet", "x"), [""; 0]);
}

/// Argo writes the hash into a label of its own: what is behind the `ReplicaSet` is no Deployment.
#[test]
fn a_rollout_of_argo_is_not_taken_for_a_deployment() {
    let mut pod = chat();
    pod["metadata"]["labels"] = json!({"rollouts-pod-template-hash": "7d9f4c"});
    let workloads = entry(pod).pod.workloads.clone();
    let workloads: Vec<_> = workloads
        .iter()
        .map(|workload| (workload.kind, workload.name.as_str()))
        .collect();
    assert_eq!(workloads, [(WorkloadKind::ReplicaSet, "chat-7d9f4c")]);
}

/// `kubectl debug` adds one while the pod runs; a sidecar of Kubernetes 1.29 is an init container that goes on.
#[test]
fn sidecars_and_debuggers_are_containers_too() {
    let mut pod = chat();
    pod["spec"]["ephemeralContainers"] =
        json!([{"name": "debugger", "image": "busybox:1.37", "targetContainerName": "app"}]);
    pod["status"]["ephemeralContainerStatuses"] =
        json!([{"name": "debugger", "containerID": "containerd://dddd"}]);
    pod["spec"]["initContainers"] = json!([{"name": "mesh", "image": "proxy:3", "restartPolicy": "Always"}]);
    pod["status"]["initContainerStatuses"] =
        json!([{"name": "mesh", "containerID": "containerd://eeee", "started": true, "ready": true}]);
    let containers = entry(pod).containers;
    let of = |id: &str| {
        let (_, pod) = containers.iter().find(|(known, _)| known == id)?;
        pod.container
            .as_ref()
            .map(|container| (container.name.as_str(), container.image.as_str()))
    };
    assert_eq!(of("dddd"), Some(("debugger", "busybox:1.37")));
    assert_eq!(of("eeee"), Some(("mesh", "proxy:3")));
}

#[test]
fn anything_but_true_takes_away() {
    for (word, taken_away) in [
        ("true", false),
        (" True ", false),
        ("false", true),
        ("no", true),
        ("flase", true),
        ("", true),
    ] {
        let mut pod = chat();
        pod["metadata"]["annotations"] = json!({"geophone.dev/trace": word});
        assert_eq!(entry(pod).pod.wishes.untraced, taken_away, "{word:?}");
    }
}

#[test]
fn a_namespace_is_its_name_and_what_its_annotations_wish() {
    let told = |object: Value| namespace(serde_json::from_value(object).unwrap()).unwrap();
    let (name, wishes) = told(json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "agents", "annotations": {"geophone.dev/content": "false", "owner": "a-team"}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"}
    }));
    assert_eq!(name, "agents");
    assert!(wishes.without_content && !wishes.untraced);
    let (_, wishes) =
        told(json!({"metadata": {"name": "quiet", "annotations": {"geophone.dev/trace": "false"}}}));
    assert!(wishes.untraced, "nothing but its metadata was sent");
}
