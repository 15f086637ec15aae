//! Processes that flood the ring buffer, while nobody reads it: what they leave to others, and who is told to be at fault.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::super::{Options, Scope, Tracer};
use super::{collect, is_root};
use crate::event::{Direction, LossReason, ProbeEvent};

/// A TLS client whose words nobody reads. Once a line comes on standard input it says the same thing again and again.
const SHOUT: &str = r#"
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
client = context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(down, up)
waiting = {client, server}
while waiting:
    for side in list(waiting):
        try:
            side.do_handshake()
            waiting.discard(side)
        except ssl.SSLWantReadError:
            pass
size, times = int(sys.argv[1]), int(sys.argv[2])
words = b"POST /model/m/invoke HTTP/1.1\r\n\r\n".ljust(size, b".")
for _ in range(times):
    client.write(words)
    up.read()
"#;

/// Small, so that it is full at once.
const RING: u32 = 4 << 20;
/// Bytes of a loud word, and how many of them are more than the ring holds.
const LOUD: (usize, usize) = (16_000, 300);
/// A quiet one holds little: 110 kB with its headers.
const QUIET: (usize, usize) = (900, 100);

/// A program that waits for [`go`].
struct Shouter {
    child: Child,
    words: (usize, usize),
}

impl Shouter {
    fn start((size, times): (usize, usize)) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", SHOUT, &size.to_string(), &times.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests need python3 with its ssl module");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        Self {
            child,
            words: (size, times),
        }
    }

    /// Lets it say what it has to say.
    fn shout(&mut self) {
        self.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    fn bytes(&self) -> usize {
        self.words.0 * self.words.1
    }

    /// How much of it was handed over, if that is without a hole.
    fn whole(&self, events: &[ProbeEvent<'static>]) -> Option<usize> {
        let written: Vec<_> = self.written(events);
        let is_whole = written.iter().try_fold(0, |end, (offset, length)| {
            (*offset == end).then_some(end + length)
        });
        is_whole.map(|end| usize::try_from(end).unwrap())
    }

    /// What was handed over of it: place and length.
    fn written(&self, events: &[ProbeEvent<'static>]) -> Vec<(u64, u64)> {
        events
            .iter()
            .filter_map(|event| match event {
                ProbeEvent::Data(data)
                    if data.connection.process.pid == self.child.id()
                        && data.direction == Direction::Write
                        && data.bytes.starts_with(b"POST") =>
                {
                    Some((data.stream_offset, data.bytes.len() as u64))
                }
                _ => None,
            })
            .collect()
    }
}

fn tracer(shouters: &[&[Shouter]]) -> Tracer {
    let pids = shouters.iter().copied().flatten().map(|one| one.child.id());
    Tracer::start(Options {
        ring_bytes: RING,
        ..Options::new(Scope::Processes(pids.collect()))
    })
    .unwrap()
}

/// What was left out, by process, of all that was read up to the next tick.
fn left_out(tracer: &mut Tracer) -> (Vec<ProbeEvent<'static>>, BTreeMap<u32, u64>) {
    let events = collect(tracer, |event| matches!(event, ProbeEvent::Tick(_)));
    let mut left_out = BTreeMap::new();
    for event in &events {
        if let ProbeEvent::Lost(lost) = event {
            assert_eq!(lost.reason, LossReason::ProcessShare, "{lost:?}");
            *left_out.entry(lost.process.unwrap().pid).or_default() += lost.bytes;
        }
    }
    (events, left_out)
}

#[test]
fn a_quiet_process_is_heard_in_full_beside_three_that_flood_the_ring() {
    if !is_root() {
        return;
    }
    let mut loud: Vec<Shouter> = (0..3).map(|_| Shouter::start(LOUD)).collect();
    let mut quiet = [Shouter::start(QUIET)];
    let mut tracer = tracer(&[&loud, &quiet]);
    loud.iter_mut().for_each(Shouter::shout);
    quiet[0].shout();

    let (events, left_out) = left_out(&mut tracer);
    assert_eq!(quiet[0].whole(&events), Some(quiet[0].bytes()));
    for loud in &loud {
        let seen: u64 = loud.written(&events).iter().map(|(_, length)| length).sum();
        assert_eq!(
            left_out.get(&loud.child.id()).copied().unwrap_or_default() + seen,
            loud.bytes() as u64,
            "every byte was handed over or counted"
        );
    }
    assert_eq!(left_out.len(), loud.len(), "the quiet one is not among them");
}

#[test]
fn who_is_alone_has_more_than_half_of_the_ring_and_all_of_it_anew_once_it_is_read() {
    if !is_root() {
        return;
    }
    let mut first = [Shouter::start(LOUD)];
    let mut second = [Shouter::start((LOUD.0, 140))];
    let mut tracer = tracer(&[&first, &second]);
    first[0].shout();
    let (events, left_out_first) = left_out(&mut tracer);
    let seen: u64 = first[0].written(&events).iter().map(|(_, length)| length).sum();
    assert!(seen > u64::from(RING) / 2, "{seen}");
    assert_eq!(left_out_first.len(), 1);

    second[0].shout();
    let (events, left_out_second) = left_out(&mut tracer);
    assert_eq!(second[0].whole(&events), Some(second[0].bytes()));
    assert_eq!(left_out_second.len(), 0);
}

#[test]
fn many_processes_of_one_control_group_have_no_more_than_its_share() {
    if !is_root() {
        return;
    }
    let Some(group) = ControlGroup::new() else {
        eprintln!("NOT RUN: no control groups of version 2 are mounted");
        return;
    };
    let mut loud: Vec<Shouter> = (0..12).map(|_| Shouter::start(LOUD)).collect();
    for loud in &loud {
        group.take(loud.child.id());
    }
    // Twelve groups of their own would leave of the ring 3/7 twelve times over: not a record.
    let mut quiet = [Shouter::start(QUIET)];
    let mut tracer = tracer(&[&loud, &quiet]);
    loud.iter_mut().for_each(Shouter::shout);
    quiet[0].shout();

    let (events, left_out) = left_out(&mut tracer);
    assert_eq!(quiet[0].whole(&events), Some(quiet[0].bytes()));
    assert_eq!(left_out.len(), loud.len());
}

/// A control group of its own, gone in the end.
struct ControlGroup(PathBuf);

impl ControlGroup {
    fn new() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let root = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields.get(2) == Some(&"cgroup2"))?;
        let path = Path::new(root[1]).join(format!("geophone-shares-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Some(Self(path))
    }

    fn take(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).ok();
    }
}
