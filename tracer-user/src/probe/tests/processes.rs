//! Whole processes with the system's OpenSSL: who is followed, who is not, and what is told of them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::coverage::{Coverage, Verdict};
use super::super::{Error, Options, Scope, Tracer};
use super::{PATIENCE, collect, is_root, joined, pieces};
use crate::event::{Direction, ProbeEvent, ProcessKey};
use crate::select::{Rules, SelectionSettings};

/// A client and a server that talk through memory, once a line comes on standard input; a line on standard output tells
/// that the library is there. No certificate is needed: the cipher suite does without.
const TALK: &str = r#"
import ssl, sys
print("ready", flush=True)
sys.stdin.readline()
def context(purpose):
    made = ssl.SSLContext(purpose)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers("AECDH:@SECLEVEL=0")
    return made
up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
server = context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(up, down, server_side=True)
client = context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(down, up, server_hostname="bedrock.test")
waiting = {client, server}
while waiting:
    for side in list(waiting):
        try:
            side.do_handshake()
            waiting.discard(side)
        except ssl.SSLWantReadError:
            pass
client.write(b"question of " + sys.argv[1].encode())
server.read()
server.write(b"answer")
client.read()
"#;

/// Python with the library mapped: one that appears after a tracer has looked at the process is probed a moment later.
fn python(name: &str) -> Child {
    let mut child = Command::new("python3")
        .args(["-c", TALK, name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tests need python3 with its ssl module");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn go(child: &mut Child) {
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
}

/// Until a process has ended.
fn until_exit(pid: u32) -> impl FnMut(&ProbeEvent<'_>) -> bool {
    move |event| matches!(event, ProbeEvent::ProcessExit { process, .. } if process.pid == pid)
}

/// Everything that a process wrote on its connections, joined by connection in the order they were opened.
fn said_by(events: &[ProbeEvent<'static>], process: ProcessKey) -> Vec<Vec<u8>> {
    events
        .iter()
        .filter_map(|event| match event {
            ProbeEvent::Open { connection, .. } if connection.process == process => Some(connection.address),
            _ => None,
        })
        .map(|address| joined(&pieces(events, address, Direction::Write)))
        .collect()
}

fn processes(events: &[ProbeEvent<'static>]) -> Vec<ProcessKey> {
    let mut keys: Vec<ProcessKey> = events
        .iter()
        .filter_map(|event| match event {
            ProbeEvent::Process(process) => Some(process.key),
            _ => None,
        })
        .collect();
    keys.dedup();
    keys
}

#[test]
fn of_two_programs_only_the_one_in_scope_is_seen() {
    if !is_root() {
        return;
    }
    let (mut followed, mut other) = (python("followed"), python("other"));
    let scope = Scope::Processes(vec![followed.id()]);
    let mut tracer = Tracer::start(Options::new(scope)).unwrap();
    go(&mut other);
    assert!(other.wait().unwrap().success());
    go(&mut followed);
    let events = collect(&mut tracer, until_exit(followed.id()));
    assert!(followed.wait().unwrap().success());

    let seen = processes(&events);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].pid, followed.id());
    let said = said_by(&events, seen[0]);
    assert!(said.contains(&b"question of followed".to_vec()), "{said:?}");
    assert!(said.contains(&b"answer".to_vec()), "{said:?}");
    let named = events
        .iter()
        .any(|event| matches!(event, ProbeEvent::ServerName { name, .. } if name == "bedrock.test"));
    assert!(named);
}

#[test]
fn who_is_left_alone_by_its_command_line_gets_no_probes_until_other_rules_hold() {
    if !is_root() {
        return;
    }
    let mut bystander = python("bystander");
    let rules = Rules::new(&SelectionSettings {
        skip: vec!["command=* bystander".parse().unwrap()],
        ..SelectionSettings::default()
    });
    let mut tracer = Tracer::start(Options {
        rules: Arc::new(rules.unwrap()),
        ..Options::new(Scope::Processes(vec![bystander.id()]))
    })
    .unwrap();
    assert_eq!(tracer.probes(), 0, "nobody else uses the library here");
    let verdicts: Vec<Verdict> = tracer.coverage().iter().map(Coverage::verdict).collect();
    assert_eq!(verdicts, [Verdict::LeftAlone]);

    tracer.choose(Arc::default());
    let deadline = Instant::now() + PATIENCE;
    while tracer.probes() == 0 {
        assert!(Instant::now() < deadline, "no probes came");
        tracer.poll(Duration::from_millis(100), &mut |_| {}).unwrap();
    }
    go(&mut bystander);
    let events = collect(&mut tracer, until_exit(bystander.id()));
    assert!(bystander.wait().unwrap().success());
    let seen = processes(&events);
    let said = said_by(&events, seen[0]);
    assert!(said.contains(&b"question of bystander".to_vec()), "{said:?}");
}

#[test]
fn children_are_followed_through_fork_and_exec() {
    if !is_root() {
        return;
    }
    // The shell waits, then makes a child that runs another program.
    let mut shell = Command::new("sh")
        .args([
            "-c",
            "read line; echo go | python3 -c \"$1\" grandchild; exit 3",
            "sh",
            TALK,
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let scope = Scope::Processes(vec![shell.id()]);
    let mut tracer = Tracer::start(Options::new(scope)).unwrap();
    tracer.prepare_command("python3".as_ref());
    go(&mut shell);
    let events = collect(&mut tracer, until_exit(shell.id()));
    assert_eq!(shell.wait().unwrap().code(), Some(3));

    let child = *processes(&events).first().expect("the child used TLS");
    assert_ne!(child.pid, shell.id());
    assert!(said_by(&events, child).contains(&b"question of grandchild".to_vec()));
    let facts = events.iter().find_map(|event| match event {
        ProbeEvent::Process(process) if process.key == child => Some(process),
        _ => None,
    });
    let facts = facts.unwrap();
    assert_eq!(facts.parent_pid, shell.id());
    assert!(facts.command_line.contains(&"grandchild".to_owned()), "{facts:?}");
    let ends = events
        .iter()
        .filter(|event| matches!(event, ProbeEvent::ProcessExit { process, .. } if *process == child));
    assert_eq!(ends.count(), 1);
}

#[test]
fn a_process_can_be_added_later() {
    if !is_root() {
        return;
    }
    let mut child = python("late");
    let mut tracer = Tracer::start(Options::new(Scope::Processes(Vec::new()))).unwrap();
    tracer.trace_process(child.id()).unwrap();
    go(&mut child);
    let events = collect(&mut tracer, until_exit(child.id()));
    assert!(child.wait().unwrap().success());
    assert!(said_by(&events, processes(&events)[0]).contains(&b"question of late".to_vec()));
    assert!(matches!(
        tracer.trace_process(u32::MAX >> 1),
        Err(Error::NoProcess(_))
    ));
}

#[test]
fn nothing_happening_ends_a_poll_in_time_and_makes_ticks() {
    if !is_root() {
        return;
    }
    let mut tracer = Tracer::start(Options::new(Scope::Processes(Vec::new()))).unwrap();
    let events = collect(&mut tracer, |event| matches!(event, ProbeEvent::Tick(_)));
    assert!(
        matches!(events.as_slice(), [ProbeEvent::Host(_), ProbeEvent::Tick(_)]),
        "{events:?}"
    );
    assert_eq!(tracer.poll(Duration::ZERO, &mut |_| {}).unwrap(), 0);
}
