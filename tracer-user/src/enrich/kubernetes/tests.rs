//! A node's day, against an API server that speaks real HTTP.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::Pods;
use crate::counters::Counter;
use crate::event::pod::Pod;
use crate::event::{Monotonic, ProbeEvent, Process, ProcessKey};
use api_server::{ApiServer, namespace};

mod api_server;

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_mins(1);

/// A UID and a container id that end with a number.
fn uid(number: u8) -> String {
    format!("2c48913c-b29f-11e7-9350-0209681477{number:02x}")
}

fn container(number: u8) -> String {
    format!("{}{number:02x}", "9f".repeat(31))
}

fn pod(name: &str, number: u8) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "agents", "uid": uid(number), "resourceVersion": "100"},
        "spec": {"nodeName": "node-3", "containers": [{"name": "app", "image": "chat:1"}]},
        "status": {"containerStatuses": [
            {"name": "app", "containerID": format!("containerd://{}", container(number))}
        ]}
    })
}

fn process(number: u8) -> Arc<Process> {
    let (pod, container) = (uid(number).replace('-', "_"), container(number));
    Arc::new(Process {
        key: ProcessKey {
            pid: 4000 + u32::from(number),
            start_ns: 7,
        },
        parent_pid: 1,
        executable: "/usr/bin/chat".to_owned(),
        command_line: vec!["chat".to_owned()],
        environment: Vec::new(),
        cgroup: format!("/kubepods.slice/kubepods-pod{pod}.slice/cri-containerd-{container}.scope"),
        pod: None,
        withheld: crate::event::pod::Wishes::default(),
    })
}

fn watch(server: &ApiServer) -> Pods {
    let pods = Pods::at("node-3", server.config()).unwrap();
    assert!(pods.wait(PATIENCE), "no list came");
    pods
}

/// Name of the pod that a process is told to be in.
fn named(pods: &mut Pods, number: u8) -> Option<String> {
    let ProbeEvent::Process(process) = pods.tell(ProbeEvent::Process(process(number))) else {
        panic!("another event came back")
    };
    process.pod.as_ref().map(|pod| pod.name.clone())
}

fn wait_for(pods: &Pods, number: u8) {
    let found = pods.shared.wait(PATIENCE, |directory| {
        directory.find(Some(&container(number)), None).is_some()
    });
    assert!(found, "pod {number} was not told of");
}

#[test]
fn a_process_gets_its_pod_from_the_list_and_a_later_one_from_the_watch() {
    let server = ApiServer::with(vec![pod("chat-1", 1)]);
    let mut pods = watch(&server);
    assert_eq!(named(&mut pods, 1).as_deref(), Some("chat-1"));
    assert_eq!(named(&mut pods, 2), None, "its pod is not known yet");
    assert!(pods.news().is_empty(), "nothing changed since both were told");

    let query = server.watches(1);
    assert_eq!(query["fieldSelector"], "spec.nodeName=node-3");
    assert_eq!(query["resourceVersion"], "100");
    assert_eq!(query["allowWatchBookmarks"], "true");
    let line = json!({"type": "ADDED", "object": pod("chat-2", 2)}).to_string() + "\n";
    let (start, end) = line.split_at(line.len() / 2);
    server.say(start);
    server.say(end);
    wait_for(&pods, 2);
    let news = pods.news();
    let names: Vec<_> = news
        .iter()
        .map(|process| (process.key.pid, process.pod.as_ref().unwrap().name.as_str()))
        .collect();
    assert_eq!(names, [(4002, "chat-2")]);
    assert!(pods.news().is_empty(), "once is enough");
}

#[test]
fn a_process_that_has_ended_is_no_news_any_more() {
    let server = ApiServer::with(Vec::new());
    let mut pods = watch(&server);
    assert_eq!(named(&mut pods, 1), None);
    pods.tell(ProbeEvent::ProcessExit {
        process: process(1).key,
        time: Monotonic(1),
    });
    server.watches(1);
    server.say(&(json!({"type": "ADDED", "object": pod("chat-1", 1)}).to_string() + "\n"));
    wait_for(&pods, 1);
    assert!(pods.news().is_empty());
}

#[test]
fn a_process_outside_of_containers_is_left_as_it_is() {
    let server = ApiServer::with(vec![pod("chat-1", 1)]);
    let mut pods = watch(&server);
    let mut outside = Process::clone(&process(1));
    outside.cgroup = "/system.slice/chat.service".to_owned();
    let outside = Arc::new(outside);
    let told = pods.tell(ProbeEvent::Process(Arc::clone(&outside)));
    assert_eq!(told, ProbeEvent::Process(outside));
}

#[test]
fn the_watch_goes_on_from_the_last_bookmark() {
    let server = ApiServer::with(vec![pod("chat-1", 1)]);
    let _pods = watch(&server);
    server.watches(1);
    let bookmark = json!({"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1",
        "metadata": {"resourceVersion": "512", "creationTimestamp": null},
        "spec": {"containers": null}, "status": {}}});
    server.say(&(bookmark.to_string() + "\n"));
    server.hang_up();
    assert_eq!(server.watches(2)["resourceVersion"], "512");
    assert_eq!(server.lists().len(), 1, "no second list was needed");
}

#[test]
fn a_version_that_expired_brings_a_new_list_and_the_dead_are_remembered() {
    let server = ApiServer::with(vec![pod("chat-1", 1)]);
    let mut pods = watch(&server);
    server.watches(1);
    server.set_pods(vec![pod("chat-2", 2)]);
    let expired = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "message": "too old resource version: 100 (512)", "reason": "Expired", "code": 410}});
    server.say(&(expired.to_string() + "\n"));
    wait_for(&pods, 2);
    assert_eq!(server.lists().len(), 2);
    assert_eq!(named(&mut pods, 2).as_deref(), Some("chat-2"));
    assert_eq!(
        named(&mut pods, 1).as_deref(),
        Some("chat-1"),
        "its last spans may still come"
    );
    assert_eq!(
        pods.counters().get(Counter::PodWatchFailures),
        0,
        "this is how watches are"
    );
}

#[test]
fn an_outage_leaves_what_was_known_and_the_watch_comes_back() {
    let mut server = ApiServer::with(vec![pod("chat-1", 1)]);
    let mut pods = watch(&server);
    server.watches(1);
    server.go_away();
    let noticed = pods.shared.wait(PATIENCE, |directory| {
        directory.counters().get(Counter::PodWatchFailures) > 0
    });
    assert!(noticed);
    assert_eq!(named(&mut pods, 1).as_deref(), Some("chat-1"));

    server.come_back();
    server.watches(2);
    server.say(&(json!({"type": "MODIFIED", "object": pod("chat-2", 2)}).to_string() + "\n"));
    wait_for(&pods, 2);
    assert_eq!(named(&mut pods, 1).as_deref(), Some("chat-1"));
}

/// The pod that a process is told to be in.
fn told(pods: &mut Pods, number: u8) -> Arc<Pod> {
    let ProbeEvent::Process(process) = pods.tell(ProbeEvent::Process(process(number))) else {
        panic!("another event came back")
    };
    process.pod.clone().expect("the pod is known")
}

#[test]
fn a_namespace_speaks_for_its_pods_and_takes_back_its_word_in_time() {
    let server = ApiServer::with(vec![pod("chat-1", 1)]);
    server.set_namespaces(vec![namespace(
        "agents",
        &json!({"geophone.dev/content": "false"}),
    )]);
    let mut pods = watch(&server);
    let pod = told(&mut pods, 1);
    assert!(pod.wishes.without_content && !pod.wishes.untraced && !pod.awaits_namespace);

    assert!(!server.namespace_watches(1).contains_key("fieldSelector"));
    let changed = namespace("agents", &json!({"geophone.dev/trace": "no"}));
    server.say_of_namespaces(&(json!({"type": "MODIFIED", "object": changed}).to_string() + "\n"));
    let found = pods.shared.wait(PATIENCE, |directory| {
        let pod = directory.find(Some(&container(1)), None);
        pod.is_some_and(|pod| pod.wishes.untraced)
    });
    assert!(found);
    let news = pods.news();
    let wishes = news.first().unwrap().pod.as_ref().unwrap().wishes;
    assert!(wishes.untraced && !wishes.without_content);
}

#[test]
fn what_a_pod_asks_does_not_undo_what_its_namespace_asks() {
    let mut willing = pod("chat-1", 1);
    willing["metadata"]["annotations"] =
        json!({"geophone.dev/trace": "true", "geophone.dev/content": "true"});
    let server = ApiServer::with(vec![willing]);
    server.set_namespaces(vec![namespace(
        "agents",
        &json!({"geophone.dev/trace": "false", "geophone.dev/content": "false"}),
    )]);
    let mut pods = watch(&server);
    let wishes = told(&mut pods, 1).wishes;
    assert!(wishes.untraced && wishes.without_content);
}

#[test]
fn who_may_not_list_namespaces_knows_pods_and_not_what_their_namespaces_wish() {
    let server = ApiServer::with(vec![pod("chat-1", 1)]);
    server.refuse_namespaces(Some(StatusCode::FORBIDDEN));
    let mut pods = Pods::at("node-3", server.config()).unwrap();
    wait_for(&pods, 1);
    let refused = pods.shared.wait(PATIENCE, |directory| {
        directory.counters().get(Counter::PodWatchFailures) > 0
    });
    assert!(refused);
    let pod = told(&mut pods, 1);
    assert_eq!(pod.name, "chat-1");
    assert!(pod.awaits_namespace);

    server.refuse_namespaces(None);
    assert!(pods.wait(PATIENCE), "the right was granted");
    let news = pods.news();
    assert!(!news.first().unwrap().pod.as_ref().unwrap().awaits_namespace);
}

#[test]
fn an_outage_leaves_what_namespaces_wished() {
    let mut server = ApiServer::with(vec![pod("chat-1", 1)]);
    server.set_namespaces(vec![namespace("agents", &json!({"geophone.dev/trace": "false"}))]);
    let mut pods = watch(&server);
    server.watches(1);
    server.namespace_watches(1);
    server.go_away();
    let noticed = pods.shared.wait(PATIENCE, |directory| {
        directory.counters().get(Counter::PodWatchFailures) > 0
    });
    assert!(noticed);
    assert!(told(&mut pods, 1).wishes.untraced);
}

#[test]
fn a_service_account_that_may_not_list_is_asked_about_again() {
    let server = ApiServer::with(vec![pod("chat-1", 1)]);
    server.refuse(Some(StatusCode::FORBIDDEN));
    let mut pods = Pods::at("node-3", server.config()).unwrap();
    let refused = pods.shared.wait(PATIENCE, |directory| {
        directory.counters().get(Counter::PodWatchFailures) > 0
    });
    assert!(refused);
    assert_eq!(named(&mut pods, 1), None);

    server.refuse(None);
    assert!(pods.wait(PATIENCE), "the right was granted");
    assert_eq!(pods.news().len(), 1);
}

fn wait_for_failures(pods: &Pods, number: u64) {
    let failed = pods.shared.wait(PATIENCE, |directory| {
        directory.counters().get(Counter::PodWatchFailures) >= number
    });
    assert!(failed, "nothing failed");
}

#[test]
fn a_busy_api_server_is_asked_again() {
    let server = ApiServer::with(vec![pod("chat-1", 1)]);
    server.refuse(Some(StatusCode::TOO_MANY_REQUESTS));
    let pods = Pods::at("node-3", server.config()).unwrap();
    wait_for_failures(&pods, 1);
    server.refuse(None);
    assert!(pods.wait(PATIENCE), "it had time again");
}

/// As a load balancer does that lost the server behind it: it takes connections, and nothing comes.
#[test]
fn an_api_server_that_takes_requests_and_never_answers_counts_as_away() {
    let server = ApiServer::with(vec![pod("chat-1", 1)]);
    server.be_silent(true);
    let mut config = server.config();
    config.read_timeout = Some(Duration::from_millis(200));
    let pods = Pods::at("node-3", config).unwrap();
    wait_for_failures(&pods, 1);
    server.be_silent(false);
    assert!(pods.wait(PATIENCE), "it came back to its senses");
}

#[test]
fn silence_is_measured_also_where_nobody_said_how_long_it_may_be() {
    let config = super::watch::patient(kube::Config::new("http://127.0.0.1:1".parse().unwrap()));
    let silence = config.read_timeout.expect("a bound");
    assert!(silence > Duration::from_secs(295), "a quiet watch is no failure");
    assert!(config.reset_reader_on_write);
}

/// Tokens of service accounts live for an hour: the kubelet writes a new one into the file that the pod sees.
#[test]
fn a_token_that_was_exchanged_is_read_anew() {
    let server = ApiServer::with(vec![pod("chat-1", 1)]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first").unwrap();
    server.ask_for("first");
    let mut config = server.config();
    config.auth_info.token_file = Some(file.path().display().to_string());
    let pods = Pods::at("node-3", config).unwrap();
    assert!(pods.wait(PATIENCE), "the first token is good");
    server.watches(1);

    std::fs::write(file.path(), "second").unwrap();
    server.ask_for("second");
    server.hang_up();
    wait_for_failures(&pods, 1);
    // The file is looked at again a minute after it was read.
    server.watches_within(2, PATIENCE * 3);
}

#[test]
fn a_long_list_comes_in_pages() {
    let all: Vec<Value> = (1..=7)
        .map(|number| pod(&format!("chat-{number}"), number))
        .collect();
    let server = ApiServer::with(all);
    server.turn_pages_of(3);
    let mut pods = watch(&server);
    assert_eq!(server.lists().len(), 3);
    for number in 1..=7 {
        assert_eq!(named(&mut pods, number), Some(format!("chat-{number}")));
    }
}

/// The kubelet tells of a pod's containers a moment after they have begun to run.
#[test]
fn a_process_hears_of_its_container_once_the_kubelet_has_told() {
    let unstarted = |status: Value| {
        let mut pod = pod("chat-1", 1);
        pod["spec"]["containers"] =
            json!([{"name": "app", "image": "chat:1"}, {"name": "proxy", "image": "envoy:1"}]);
        pod["status"] = json!({ "containerStatuses": status });
        pod
    };
    let server = ApiServer::with(vec![unstarted(json!([{"name": "app"}, {"name": "proxy"}]))]);
    let mut pods = watch(&server);
    let ProbeEvent::Process(told) = pods.tell(ProbeEvent::Process(process(1))) else {
        panic!("another event came back")
    };
    let told = told.pod.clone().expect("the pod is known by its UID");
    assert_eq!((told.name.as_str(), &told.container), ("chat-1", &None));

    server.watches(1);
    let id = format!("cri-o://{}", container(1));
    let started = unstarted(json!([{"name": "app"}, {"name": "proxy", "containerID": id}]));
    server.say(&(json!({"type": "MODIFIED", "object": started}).to_string() + "\n"));
    wait_for(&pods, 1);
    let news = pods.news();
    let containers: Vec<_> = news
        .iter()
        .filter_map(|process| process.pod.as_ref()?.container.as_ref())
        .map(|container| container.name.as_str())
        .collect();
    assert_eq!(containers, ["proxy"]);
}

/// A pid is given again: another process, in another pod, has nothing of the one before.
#[test]
fn a_pid_that_was_given_again_is_another_process() {
    let server = ApiServer::with(vec![pod("chat-1", 1)]);
    let mut pods = watch(&server);
    assert_eq!(named(&mut pods, 1).as_deref(), Some("chat-1"));
    let mut other = Process::clone(&process(2));
    other.key = ProcessKey {
        start_ns: 99,
        ..process(1).key
    };
    let told = pods.tell(ProbeEvent::Process(Arc::new(other)));
    let ProbeEvent::Process(told) = told else {
        panic!("another event came back")
    };
    assert_eq!(told.pod, None);
}

#[test]
fn an_api_server_behind_tls_can_be_spoken_to() {
    // Nobody listens there: it is about the choice of a provider for TLS, which would panic.
    let config = kube::Config::new("https://127.0.0.1:1".parse().unwrap());
    let pods = Pods::at("node-3", config).unwrap();
    let failed = pods.shared.wait(PATIENCE, |directory| {
        directory.counters().get(Counter::PodWatchFailures) > 0
    });
    assert!(failed);
}
