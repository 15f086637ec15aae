//! A pod on a node, as far as geophone can tell: a control group of that name, and an API server that knows the pod.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::api_server::{Cluster, NODE, asks_api_servers, namespace};
use tracer_tests::calls::{CLAUDE, Call};
use tracer_tests::cgroup::ControlGroup;
use tracer_tests::client::{Client, Kind};
use tracer_tests::environment::{can_trace, geophone};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::Agent;
use tracer_tests::program::DEADLINE;

const UID: &str = "7b1f0d52-8a44-4c1e-9d0e-2f6f6f3b9a10";
const CONTAINER: &str = "51aa7be3d1c04f6c9b3e8f0a2d4c6e8f90b1a2c3d4e5f60718293a4b5c6d7e8f";

fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "chat-6c5d8f9b7-q2x4z",
            "namespace": "agents",
            "uid": UID,
            "resourceVersion": "1",
            "labels": {"pod-template-hash": "6c5d8f9b7"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "chat-6c5d8f9b7", "uid": "r",
                "controller": true}]
        },
        "spec": {"nodeName": NODE, "containers": [{"name": "app", "image": "chat:1.4"}, {"name": "proxy", "image": "envoy:1"}]},
        "status": {"containerStatuses": [{"name": "app", "containerID": format!("containerd://{CONTAINER}")}]}
    })
}

#[test]
fn spans_of_a_process_in_a_pod_name_the_pod() -> Result<()> {
    if !can_trace() || !asks_api_servers("spans of a pod")? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let fake = FakeBedrock::start(&Options::default())?;
    let group = ControlGroup::new(&format!(
        "kubepods-burstable-pod{}.slice/cri-containerd-{CONTAINER}.scope",
        UID.replace('-', "_")
    ))?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    group.take(client.pid())?;
    let cluster = Cluster {
        pods: vec![pod()],
        namespaces: vec![namespace("agents", &json!({}))],
    };
    let mut run = Command::new(geophone()?);
    run.args(["run", "--format", "otlp-json"])
        .env("NODE_NAME", NODE)
        .env("KUBECONFIG", cluster.serve(directory.path())?);
    let agent = Agent::start(&mut run)?;
    let calls = [Call::new(Operation::Converse, CLAUDE, &Scenario::default())];
    let pid = client.pid();
    client.make(&calls, 1)?;
    fake.log().wait_for(calls.len(), DEADLINE);
    let spans = agent.spans_of(&[pid], calls.len())?;
    client.finish()?;
    let said = agent.stderr();
    agent.stop()?;
    let resource = &spans.first().context("there is a span")?.resource;
    for (key, expected) in [
        ("k8s.namespace.name", "agents"),
        ("k8s.pod.name", "chat-6c5d8f9b7-q2x4z"),
        ("k8s.pod.uid", UID),
        ("k8s.node.name", NODE),
        ("k8s.replicaset.name", "chat-6c5d8f9b7"),
        ("k8s.deployment.name", "chat"),
        ("k8s.container.name", "app"),
        ("container.id", CONTAINER),
        ("container.image.name", "chat"),
        ("service.name", "chat"),
        ("service.version", "1.4"),
    ] {
        let told = resource.get(key).and_then(Value::as_str);
        ensure!(told == Some(expected), "{key} is {told:?}\n{resource:#?}\n{said}");
    }
    Ok(())
}
