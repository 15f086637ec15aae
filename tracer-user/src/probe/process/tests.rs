//! Describing processes that run, that are gone, and that others are taken for.

use std::process::{Command, Stdio};

use super::*;

fn key_of(pid: u32) -> ProcessKey {
    let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second();
    // Within the tick, as the kernel's exact start would be.
    let start_ns = Stat::read(pid).unwrap().start_ticks * tick_ns + tick_ns / 3;
    ProcessKey { pid, start_ns }
}

#[test]
fn a_running_process_is_described_with_what_names_its_service() {
    let mut child = Command::new("sleep")
        .arg("60")
        .env("OTEL_SERVICE_NAME", "billing")
        .env("AWS_SECRET_ACCESS_KEY", "never read")
        .spawn()
        .unwrap();
    let key = key_of(child.id());
    let mut processes = Processes::default();
    // A child between fork and exec is still a copy of this process.
    let process = loop {
        let process = processes.refresh(key);
        if process.command_line.first().is_some_and(|first| first == "sleep") {
            break process;
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(process.key, key);
    assert_eq!(process.parent_pid, std::process::id());
    assert!(process.executable.starts_with('/'), "{}", process.executable);
    assert_eq!(process.command_line, ["sleep", "60"]);
    assert_eq!(
        process.environment,
        [("OTEL_SERVICE_NAME".to_owned(), "billing".to_owned())]
    );
    assert_eq!(processes.describe(key), process, "remembered though it is gone");
}

#[test]
fn a_process_with_the_pid_of_another_is_not_taken_for_it() {
    let mut processes = Processes::default();
    let own = key_of(std::process::id());
    processes.read(own.pid);
    let other = ProcessKey {
        start_ns: own.start_ns + 1_000_000_000,
        ..own
    };
    assert_eq!(processes.describe(other).executable, "");
    assert_ne!(processes.describe(own).executable, "");
}

#[test]
fn a_child_that_was_gone_too_soon_is_as_its_parent() {
    let mut processes = Processes::default();
    let own = std::process::id();
    processes.read(own);
    let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    processes.forked(pid, own);
    let described = processes.describe(ProcessKey { pid, start_ns: 5 });
    assert_eq!(described.parent_pid, own);
    assert_ne!(described.executable, "");
}

#[test]
fn a_program_that_was_gone_before_it_could_be_read_is_named_by_its_first_mapping() {
    let mut processes = Processes::default();
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    processes.forked(pid, std::process::id());
    processes.executed(pid);
    processes.mapped(pid, Path::new("/usr/bin/true"));
    processes.mapped(pid, Path::new("/usr/lib/libc.so.6"));
    let described = processes.describe(ProcessKey { pid, start_ns: 5 });
    assert_eq!(described.executable, "/usr/bin/true");
}

#[test]
fn a_name_with_parentheses_does_not_shift_the_fields() {
    let line = "7 (a) R (b) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 10 20";
    assert_eq!(
        Stat::parse(line),
        Some(Stat {
            parent_pid: 3,
            start_ticks: 98765
        })
    );
    assert_eq!(Stat::parse("7 (cut"), None);
}

#[test]
fn the_cgroup_of_a_container_wins_over_the_root() {
    assert_eq!(
        telling_cgroup("0::/kubepods.slice/pod1/cri-abc.scope\n"),
        "/kubepods.slice/pod1/cri-abc.scope"
    );
    assert_eq!(
        telling_cgroup("12:pids:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n"),
        "/docker/abc"
    );
    assert_eq!(telling_cgroup("0::/\n"), "/");
    assert_eq!(telling_cgroup(""), "");
}

#[test]
fn a_container_that_only_version_1_shows_is_told() {
    let id = "9f2c7c1de9a1b3f0c4e5d6a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f7081";
    let hybrid = format!(
        "11:memory:/kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796/{id}\n\
         1:name=systemd:/kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796/{id}\n\
         0::/system.slice/containerd.service\n"
    );
    assert!(telling_cgroup(&hybrid).ends_with(id));
}

#[test]
fn a_program_that_was_gone_before_it_could_be_read_keeps_its_control_group() {
    let mut processes = Processes::default();
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    processes.executed(pid);
    processes.mapped(pid, Path::new("/usr/bin/cat"));
    drop(child.stdin.take());
    child.wait().unwrap();
    let described = processes.describe(ProcessKey { pid, start_ns: 5 });
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(described.cgroup, telling_cgroup(&own));
    assert_eq!(described.executable, "/usr/bin/cat");
}
