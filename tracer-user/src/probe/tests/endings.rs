//! Processes that are gone: they are named all the same, and nothing in the kernel remembers them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::{Options, Scope, Tracer};
use super::{PATIENCE, collect, is_root};
use crate::event::ProbeEvent;

/// One call with the system's OpenSSL, over memory and without a certificate.
const CALL: &str = r#"
import ssl
def context(purpose):
    made = ssl.SSLContext(purpose)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers("AECDH:@SECLEVEL=0")
    return made
up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
server = context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(up, down, server_side=True)
client = context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(down, up)
for side in (client, server, client, server):
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        pass
client.write(b"question")
"#;

/// Connections over sockets that wait for what never comes, each on a thread of its own, once a line comes on standard input.
const WAIT: &str = r#"
import socket, ssl, sys, threading
def context(purpose):
    made = ssl.SSLContext(purpose)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers("AECDH:@SECLEVEL=0")
    return made
of_client, of_server = context(ssl.PROTOCOL_TLS_CLIENT), context(ssl.PROTOCOL_TLS_SERVER)
clients, servers = [], []
for _ in range(int(sys.argv[1])):
    near, far = socket.socketpair()
    accepting = threading.Thread(target=lambda: servers.append(of_server.wrap_socket(far, server_side=True)))
    accepting.start()
    clients.append(of_client.wrap_socket(near))
    accepting.join()
print("connected", flush=True)
sys.stdin.readline()
for client in clients:
    if sys.argv[2] == "asks":
        client.write(b"question")
    threading.Thread(target=client.read).start()
"#;

const WAITING: u64 = 16;

/// A process with so many connections; `asks`: it writes before it waits.
fn connected(asks: &str) -> Child {
    let mut child = Command::new("python3")
        .args(["-c", WAIT, &WAITING.to_string(), asks])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tests need python3 with its ssl module");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "connected\n");
    child
}

/// Lets the tracer work until what it remembers of a process is as wanted.
fn until(tracer: &mut Tracer, pid: u32, wanted: impl Fn(&BTreeMap<&'static str, u64>) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let tables = tracer.tables_of(pid);
        if wanted(&tables) {
            return;
        }
        assert!(Instant::now() < deadline, "{tables:?}");
        tracer.poll(Duration::from_millis(200), &mut |_| {}).unwrap();
    }
}

#[test]
fn a_process_that_is_gone_before_anybody_looks_says_who_it_was() {
    if !is_root() {
        return;
    }
    let mut shell = Command::new("sh")
        .args([
            "-c",
            "read line; python3 -c \"$1\" \"two words\"; exit 0",
            "sh",
            CALL,
        ])
        .env("OTEL_SERVICE_NAME", "billing")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let scope = Scope::Processes(vec![shell.id()]);
    let mut tracer = Tracer::start(Options::new(scope)).unwrap();
    tracer.prepare_command("python3".as_ref());
    shell.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(shell.wait().unwrap().success());

    let pid = shell.id();
    let events = collect(
        &mut tracer,
        |event| matches!(event, ProbeEvent::ProcessExit { process, .. } if process.pid == pid),
    );
    let told = events.iter().find_map(|event| match event {
        ProbeEvent::Process(process) => Some(process),
        _ => None,
    });
    let told = told.expect("it used TLS");
    assert!(
        told.command_line[0].ends_with("python3"),
        "{}",
        told.command_line[0]
    );
    assert_eq!(told.command_line[1..], ["-c", CALL, "two words"]);
    assert_eq!(told.parent_pid, pid);
    assert!(told.executable.contains("/python3"), "{}", told.executable);
    let named = [("OTEL_SERVICE_NAME".to_owned(), "billing".to_owned())];
    assert_eq!(told.environment, named);
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::"));
    assert_eq!(Some(told.cgroup.as_str()), own);
}

#[test]
fn of_a_process_that_is_killed_in_its_calls_nothing_is_left() {
    if !is_root() {
        return;
    }
    let mut child = connected("asks");
    let pid = child.id();
    let scope = Scope::Processes(vec![pid]);
    let mut tracer = Tracer::start(Options::new(scope)).unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    until(&mut tracer, pid, |tables| {
        tables["kernel_calls"] == WAITING && tables["kernel_connections"] == WAITING
    });
    child.kill().unwrap();
    child.wait().unwrap();
    until(&mut tracer, pid, |tables| {
        tables.values().all(|entries| *entries == 0)
    });
}

/// Where everybody is followed, a process is known to the programs once a call of it has returned.
#[test]
fn of_a_process_that_never_came_to_the_end_of_a_call_nothing_is_left() {
    if !is_root() {
        return;
    }
    let mut child = connected("waits");
    let pid = child.id();
    let mut tracer = Tracer::start(Options::new(Scope::All)).unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    until(&mut tracer, pid, |tables| tables["kernel_calls"] == WAITING);
    child.kill().unwrap();
    child.wait().unwrap();
    until(&mut tracer, pid, |tables| {
        tables.values().all(|entries| *entries == 0)
    });
}
