//! Taking records apart, and following processes that really run.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;

fn record(kind: u32, misc: u16, body: &[u8], time: u64) -> Vec<u8> {
    let size = u16::try_from(HEADER_LENGTH + body.len() + TRAILER_LENGTH).unwrap();
    let mut bytes = kind.to_ne_bytes().to_vec();
    bytes.extend(misc.to_ne_bytes());
    bytes.extend(size.to_ne_bytes());
    bytes.extend(body);
    bytes.extend(time.to_ne_bytes());
    bytes
}

fn mapping(protection: u32, path: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(7_u32.to_ne_bytes());
    body.extend(9_u32.to_ne_bytes());
    body.extend(0x1000_u64.to_ne_bytes());
    body.extend(0x2000_u64.to_ne_bytes());
    body.extend(0_u64.to_ne_bytes());
    body.extend(8_u32.to_ne_bytes());
    body.extend(1_u32.to_ne_bytes());
    body.extend(42_u64.to_ne_bytes());
    body.extend(5_u64.to_ne_bytes());
    body.extend(protection.to_ne_bytes());
    body.extend(2_u32.to_ne_bytes());
    body.extend(path);
    body.resize(body.len().next_multiple_of(8), 0);
    body
}

fn read(bytes: &[u8]) -> Vec<TaskEvent> {
    let mut events = Vec::new();
    records(bytes, |_, event| events.push(event));
    events
}

#[test]
fn a_library_mapped_as_code_is_seen_with_its_inode_and_range() {
    let bytes = record(RECORD_MMAP2, 0, &mapping(5, b"/opt/libssl.so.3\0"), 1);
    let TaskEvent::Mapped(mapped) = &read(&bytes)[0] else {
        panic!("a mapping")
    };
    assert_eq!((mapped.pid, mapped.inode, mapped.generation), (7, 42, 5));
    assert_eq!((mapped.start, mapped.end), (0x1000, 0x3000));
    assert_eq!(mapped.path, Path::new("/opt/libssl.so.3"));
}

#[test]
fn data_mappings_threads_and_renames_are_left_out() {
    let mut bytes = record(RECORD_MMAP2, 0, &mapping(1, b"/etc/data\0"), 1);
    let thread: Vec<u8> = [7_u32, 7, 8, 7].iter().flat_map(|id| id.to_ne_bytes()).collect();
    bytes.extend(record(RECORD_FORK, 0, &thread, 2));
    bytes.extend(record(RECORD_EXIT, 0, &thread, 3));
    bytes.extend(record(RECORD_COMM, 0, &thread, 4));
    assert_eq!(read(&bytes), []);
}

#[test]
fn a_full_ring_says_how_many_records_are_missing() {
    let mut body = 3_u64.to_ne_bytes().to_vec();
    body.extend(17_u64.to_ne_bytes());
    assert_eq!(read(&record(RECORD_LOST, 0, &body, 1)), [TaskEvent::Lost(17)]);
}

#[test]
fn a_record_cut_short_counts_as_lost_and_the_ones_before_it_stay() {
    let mut bytes = record(RECORD_COMM, MISC_COMM_EXEC, &7_u64.to_ne_bytes(), 1);
    let whole = bytes.clone();
    bytes.extend(&whole[..whole.len() - 1]);
    assert_eq!(read(&bytes), [TaskEvent::Exec { pid: 7 }, TaskEvent::Lost(1)]);
}

#[test]
fn a_list_of_cores_is_read_with_ranges_and_gaps() {
    assert_eq!(cores("0-2,5,8-9\n"), [0, 1, 2, 5, 8, 9]);
    assert!(cores("").is_empty());
}

proptest! {
    #[test]
    fn any_bytes_give_events_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        records(&bytes, |_, _| {});
    }
}

/// Waits until `found` says yes, woken by the rings and by nothing else.
fn wait_for(watch: &mut Watch, mut found: impl FnMut(&TaskEvent) -> bool) -> Option<Duration> {
    let begin = Instant::now();
    let limit = Duration::from_secs(20);
    while begin.elapsed() < limit {
        let mut hit = false;
        watch.take(|event| hit |= found(&event));
        if hit {
            return Some(begin.elapsed());
        }
        let mut waits: Vec<PollFd<'_>> = watch
            .descriptors()
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .collect();
        let timeout = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        poll(&mut waits, Some(&timeout)).expect("poll");
    }
    None
}

fn start() -> Option<Watch> {
    match Watch::start() {
        Ok(watch) => Some(watch),
        Err(error) => {
            eprintln!("NOT RUN: following processes needs root or CAP_PERFMON: {error}");
            None
        }
    }
}

#[test]
fn a_library_loaded_late_by_a_running_process_wakes_the_reader() {
    let Some(mut watch) = start() else { return };
    let mut child = Command::new("python3")
        .args(["-c", "import sys\nprint('up', flush=True)\nsys.stdin.readline()\nimport ctypes\nctypes.CDLL('libssl.so.3')\nprint('loaded', flush=True)\nsys.stdin.readline()"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let pid = child.id();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "up");
    let mut before = 0;
    watch.take(|event| {
        before += usize::from(matches!(&event, TaskEvent::Mapped(mapped)
            if mapped.pid == pid && mapped.path.to_string_lossy().contains("libssl")));
    });
    assert_eq!(before, 0, "libssl is not loaded yet");

    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"go\n").unwrap();
    let waited = wait_for(&mut watch, |event| {
        matches!(event, TaskEvent::Mapped(mapped)
            if mapped.pid == pid && mapped.path.to_string_lossy().contains("libssl"))
    });
    assert!(waited.is_some(), "the mapping was seen");

    drop(stdin);
    child.wait().unwrap();
    assert!(
        wait_for(&mut watch, |event| *event == TaskEvent::Exit { pid }).is_some(),
        "the exit was seen"
    );
}

#[test]
fn a_child_that_runs_another_program_is_seen_as_fork_then_exec() {
    let Some(mut watch) = start() else { return };
    let mut child = Command::new("sh")
        .args(["-c", "/bin/true & wait"])
        .spawn()
        .expect("sh runs");
    let shell = child.id();
    let mut grandchild = None;
    let mut ran = false;
    let waited = wait_for(&mut watch, |event| {
        match event {
            TaskEvent::Fork { pid, parent } if *parent == shell => grandchild = Some(*pid),
            TaskEvent::Exec { pid } => ran |= grandchild == Some(*pid),
            _ => {}
        }
        ran
    });
    child.wait().unwrap();
    assert!(waited.is_some(), "fork and exec of the grandchild were seen");
}
