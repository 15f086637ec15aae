//! Processes as they are met, and what is told of them.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Resource, Resources};
use crate::event::pod::{Container, Pod, Workload, WorkloadKind};
use crate::event::{Host, Process, ProcessKey};
use crate::genai::span::Value;

fn worker() -> Process {
    let text = |text: &str| text.to_owned();
    Process {
        key: ProcessKey {
            pid: 4242,
            start_ns: 99,
        },
        parent_pid: 4000,
        executable: text("/usr/bin/python3.13"),
        command_line: vec![
            text("python3"),
            text("/srv/chat/worker.py"),
            text("--api-key=sk-secret"),
        ],
        environment: Vec::new(),
        cgroup: text("/system.slice/chat.service"),
        pod: None,
        withheld: crate::event::pod::Wishes::default(),
    }
}

fn host(name: &str) -> Host {
    Host {
        boot_id: "b".to_owned(),
        name: name.to_owned(),
        wall_offset_ns: 0,
    }
}

fn set(process: &mut Process, name: &str, value: &str) {
    process.environment.push((name.to_owned(), value.to_owned()));
}

fn text<'a>(resource: &'a Resource, key: &str) -> Option<&'a str> {
    match resource.get(key)? {
        Value::String(text) => Some(text),
        other => panic!("{key} is {other:?}"),
    }
}

#[test]
fn a_python_worker_is_described() {
    let resource = Resource::of(&worker(), Some(&host("node-3")));
    let lines: Vec<String> = resource
        .attributes
        .iter()
        .filter(|attribute| attribute.key != "telemetry.distro.version")
        .map(|attribute| match &attribute.value {
            Value::String(text) => format!("{}={text}", attribute.key),
            other => format!("{}={other:?}", attribute.key),
        })
        .collect();
    assert_eq!(
        lines,
        [
            "host.name=node-3",
            "os.type=linux",
            "process.command=python3",
            "process.executable.name=python3.13",
            "process.executable.path=/usr/bin/python3.13",
            "process.parent_pid=Int(4000)",
            "process.pid=Int(4242)",
            "service.name=worker",
            "telemetry.distro.name=geophone",
        ]
    );
}

#[test]
fn arguments_are_never_told() {
    let resource = Resource::of(&worker(), None);
    assert!(!format!("{resource:?}").contains("secret"));
    let mut retitled = worker();
    retitled.command_line = vec!["postgres: writer secret@host".to_owned()];
    assert!(!format!("{:?}", Resource::of(&retitled, None)).contains("secret"));
}

#[test]
fn the_name_that_a_process_gives_itself_goes_first() {
    let mut process = worker();
    set(
        &mut process,
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=chat,service.version=2",
    );
    assert_eq!(Resource::of(&process, None).service_name, "chat");
    set(&mut process, "OTEL_SERVICE_NAME", "chat-api");
    let resource = Resource::of(&process, None);
    assert_eq!(resource.service_name, "chat-api");
    assert_eq!(text(&resource, "service.name"), Some("chat-api"));
    assert_eq!(text(&resource, "service.version"), Some("2"));
}

#[test]
fn what_a_process_says_of_itself_goes_before_what_we_see() {
    let mut process = worker();
    set(
        &mut process,
        "OTEL_RESOURCE_ATTRIBUTES",
        "host.name=my-node,service.name=",
    );
    let resource = Resource::of(&process, Some(&host("node-3")));
    assert_eq!(text(&resource, "host.name"), Some("my-node"));
    assert_eq!(resource.service_name, "worker", "an empty name is none");
}

#[test]
fn a_process_in_a_pod_says_so() {
    let id = "a".repeat(64);
    let mut process = worker();
    process.cgroup = format!(
        "/kubepods.slice/kubepods-pod2c48913c_b29f_11e7_9350_020968147796.slice/cri-containerd-{id}.scope"
    );
    let resource = Resource::of(&process, None);
    assert_eq!(text(&resource, "container.id"), Some(id.as_str()));
    assert_eq!(
        text(&resource, "k8s.pod.uid"),
        Some("2c48913c-b29f-11e7-9350-020968147796")
    );
}

fn pod() -> Pod {
    let text = |text: &str| text.to_owned();
    let workload = |kind, name| Workload {
        kind,
        name: text(name),
    };
    Pod {
        namespace: text("agents"),
        name: text("chat-7d9f4-x2x7c"),
        uid: text("2c48913c-b29f-11e7-9350-020968147796"),
        node: text("node-3"),
        workloads: vec![
            workload(WorkloadKind::ReplicaSet, "chat-7d9f4"),
            workload(WorkloadKind::Deployment, "chat"),
        ],
        container: Some(Container {
            name: text("app"),
            image: text("registry.local:5000/chat:1.4"),
        }),
        ..Pod::default()
    }
}

#[test]
fn a_pod_that_the_api_server_knows_is_told_in_full() {
    let mut process = worker();
    process.pod = Some(Arc::new(pod()));
    let resource = Resource::of(&process, Some(&host("node-3")));
    for (key, expected) in [
        ("k8s.namespace.name", "agents"),
        ("k8s.pod.name", "chat-7d9f4-x2x7c"),
        ("k8s.pod.uid", "2c48913c-b29f-11e7-9350-020968147796"),
        ("k8s.node.name", "node-3"),
        ("k8s.replicaset.name", "chat-7d9f4"),
        ("k8s.deployment.name", "chat"),
        ("k8s.container.name", "app"),
        ("container.image.name", "registry.local:5000/chat"),
        ("service.name", "chat"),
        ("service.namespace", "agents"),
        ("service.version", "1.4"),
        ("service.instance.id", "agents.chat-7d9f4-x2x7c.app"),
    ] {
        assert_eq!(text(&resource, key), Some(expected), "{key}");
    }
    assert_eq!(
        resource.get("container.image.tags"),
        Some(&Value::Strings(vec!["1.4".to_owned()]))
    );
}

#[test]
fn a_service_is_named_by_its_process_then_by_annotations_then_by_its_workload() {
    let mut process = worker();
    let mut told = pod();
    let named = |process: &Process| Resource::of(process, None).service_name;

    told.workloads.clear();
    process.pod = Some(Arc::new(told.clone()));
    assert_eq!(named(&process), "chat-7d9f4-x2x7c", "a bare pod");

    told.workloads = vec![Workload {
        kind: WorkloadKind::CronJob,
        name: "nightly".to_owned(),
    }];
    process.pod = Some(Arc::new(told.clone()));
    assert_eq!(named(&process), "nightly");

    told.attributes = vec![("service.name".to_owned(), "digest".to_owned())];
    process.pod = Some(Arc::new(told));
    assert_eq!(named(&process), "digest");

    set(
        &mut process,
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=mine,k8s.pod.name=p",
    );
    let resource = Resource::of(&process, None);
    assert_eq!(resource.service_name, "mine");
    assert_eq!(
        text(&resource, "k8s.pod.name"),
        Some("p"),
        "its own word goes first"
    );
    set(&mut process, "OTEL_SERVICE_NAME", "chat-api");
    assert_eq!(named(&process), "chat-api");
}

#[test]
fn a_pod_that_becomes_known_later_makes_a_new_resource() {
    let mut resources = Resources::default();
    let before = Arc::new(worker());
    assert_eq!(resources.of(&before).service_name, "worker");
    let mut process = worker();
    process.pod = Some(Arc::new(pod()));
    assert_eq!(resources.of(&Arc::new(process)).service_name, "chat");
}

#[test]
fn a_process_that_was_gone_too_soon_still_has_a_name() {
    let process = Process {
        key: worker().key,
        parent_pid: 0,
        executable: String::new(),
        command_line: Vec::new(),
        environment: Vec::new(),
        cgroup: String::new(),
        pod: None,
        withheld: crate::event::pod::Wishes::default(),
    };
    let resource = Resource::of(&process, None);
    assert_eq!(resource.service_name, "unknown_service");
    assert_eq!(resource.get("process.pid"), Some(&Value::Int(4242)));
    assert_eq!(resource.get("process.parent_pid"), None);
    assert_eq!(resource.get("process.command"), None);
}

#[test]
fn a_resource_is_made_once_and_anew_after_execve_or_on_another_host() {
    let mut resources = Resources::default();
    let python = Arc::new(worker());
    let first = resources.of(&python);
    assert!(Arc::ptr_eq(&first, &resources.of(&python)));

    let mut process = worker();
    process.executable = "/usr/bin/agent".to_owned();
    let agent = resources.of(&Arc::new(process));
    assert_eq!(agent.service_name, "agent");

    resources.host(&host("node-4"));
    let moved = resources.of(&python);
    assert_eq!(
        moved.get("host.name"),
        Some(&Value::String(Cow::Borrowed("node-4")))
    );
}

#[test]
fn the_cache_stays_small_on_a_host_that_forks_all_day() {
    let mut resources = Resources::default();
    for pid in 1..5_000 {
        let mut process = worker();
        process.key.pid = pid;
        assert_eq!(resources.of(&Arc::new(process)).pid, pid);
    }
    assert!(resources.known.len() <= super::resource::CACHED_MAX);
}
