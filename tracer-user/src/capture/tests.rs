//! Recordings from life, and what may happen to them before they are replayed.

mod wireshark;

use std::borrow::Cow;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use proptest::prelude::*;

use super::block::MAX_BLOCK;
use super::*;
use crate::event::pod::{Container, Pod, Wishes};
use crate::event::{
    ConnectionKey, Data, Direction, Host, LossReason, Lost, Monotonic, ProbeEvent, Process, ProcessKey,
};

#[test]
fn every_kind_of_event_comes_back_as_it_was() {
    let events = a_short_run();
    assert_eq!(read(&written(&events)), (events, DamageReport::default()));
}

#[test]
fn a_call_longer_than_a_packet_can_be_comes_back_as_several_that_join() {
    let bytes: Vec<u8> = (0..=250).cycle().take(writer::MAX_PAYLOAD + 70_000).collect();
    let whole = Data {
        call_length: bytes.len() as u64,
        bytes: bytes.clone().into(),
        ..data(Direction::Write, 7, b"")
    };
    let (events, damage) = read(&written(&[ProbeEvent::Data(whole)]));
    assert!(damage.is_empty(), "{damage}");
    let mut joined = Vec::new();
    for event in events {
        let ProbeEvent::Data(part) = event else {
            panic!("only data was written: {event:?}")
        };
        assert_eq!(part.stream_offset, 7 + joined.len() as u64);
        assert_eq!(part.call_offset, joined.len() as u64);
        joined.extend_from_slice(&part.bytes);
    }
    assert!(joined == bytes);
}

#[test]
fn a_file_cut_at_any_byte_gives_all_events_before_the_cut() {
    let events = a_short_run();
    let file = written(&events);
    for cut in 0..file.len() {
        let part = file.get(..cut).unwrap_or_default();
        let Ok(reader) = Reader::open(part) else {
            assert!(cut < header_length(), "a file of {cut} bytes was refused");
            continue;
        };
        let (read, damage) = read_from(reader);
        assert_eq!(read, events.get(..read.len()).unwrap_or_default(), "cut at {cut}");
        let whole = cut == header_length() || written(&read).len() == cut;
        assert!(
            whole || is_in_descriptions(cut) || damage.parts() == 1,
            "cut at {cut}: {damage}"
        );
    }
}

#[test]
fn a_flipped_byte_costs_one_event_and_is_named() {
    let events = a_short_run();
    let file = written(&events);
    for place in header_length()..file.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut flipped = file.clone();
            flipped[place] ^= flip;
            let (read, damage) = read(&flipped);
            let missing = events.iter().filter(|event| !read.contains(event)).count();
            assert!(
                missing <= 1,
                "byte {place} ^ {flip:#x}: {missing} events are missing; {damage}"
            );
            assert!(
                read.iter().all(|event| events.contains(event)),
                "byte {place} ^ {flip:#x} invented an event"
            );
            assert!(
                missing == 0 || !damage.is_empty(),
                "byte {place} ^ {flip:#x}: a silent loss"
            );
        }
    }
}

#[test]
fn rubbish_in_the_middle_is_skipped_and_counted() {
    let events = a_short_run();
    let file = written(&events);
    let second = header_length() + written(&events[..1]).len() - written(&[]).len();
    let mut spoiled = file.clone();
    let rubbish = b"\x06\0\0\0\xff\xff\0\0 not a block, though it begins as one".repeat(3);
    spoiled.splice(second..second, rubbish.iter().copied());
    let (read, damage) = read(&spoiled);
    assert_eq!(read, events);
    assert_eq!(
        damage.to_string(),
        format!(
            "1 part not readable as blocks: {} bytes, first at offset {second}",
            rubbish.len()
        )
    );
}

#[test]
fn recordings_put_one_after_the_other_are_read_as_one() {
    let events = a_short_run();
    let file = [written(&events), written(&events)].concat();
    assert_eq!(
        read(&file),
        ([events.clone(), events].concat(), DamageReport::default())
    );
}

#[test]
fn what_is_no_recording_is_refused_with_what_it_is() {
    let mut newer = written(&[]);
    let version = newer
        .windows(8)
        .position(|bytes| bytes == b"format 2")
        .expect("the version is in the header");
    newer[version + 7] = b'9';
    let cases: [(&[u8], &str); 7] = [
        (b"", "the file is empty"),
        (b"\xd4\xc3\xb2\xa1\x02\0\x04\0", "old pcap format"),
        (b"\x1f\x8b\x08\0\0\0", "compressed with gzip"),
        (b"GET / HTTP/1.1\r\n\r\n", "not a pcapng file"),
        (b"\x0a\x0d\x0d\x0a\x1c\0\0\0", "damaged or cut off"),
        (foreign_header(), "written by Dumpcap 4.2.2"),
        (&newer, "capture format 9; this geophone reads formats 1 to 2"),
    ];
    for (file, message) in cases {
        let error = Reader::open(file).map(|_| ()).expect_err(message);
        assert!(error.to_string().contains(message), "{error}, not {message}");
        assert!(!error.remedy().is_empty());
    }
}

#[test]
fn packets_of_others_beside_ours_are_left_out_and_named() {
    let mut file = written(&a_short_run());
    file.extend_from_slice(foreign_header());
    let foreign_packet = [6_u32, 36, 0, 0, 0, 4, 4, 0xdead_beef, 36]
        .map(u32::to_le_bytes)
        .concat();
    file.extend_from_slice(&foreign_packet);
    let (read, damage) = read(&file);
    assert_eq!(read, a_short_run());
    assert!(
        damage
            .to_string()
            .starts_with("1 part not written by geophone: 36 bytes"),
        "{damage}"
    );
}

#[test]
fn a_false_length_costs_no_memory() {
    let mut file = written(&a_short_run());
    let start = file.len();
    file.extend_from_slice(&6_u32.to_le_bytes());
    file.extend_from_slice(&MAX_BLOCK.to_le_bytes());
    file.extend_from_slice(&[0; 100]);
    let (read, damage) = read(&file);
    assert_eq!(read, a_short_run());
    assert_eq!(
        damage.to_string(),
        format!("1 part cut off at the end of the file: 108 bytes, first at offset {start}")
    );
}

#[test]
fn the_fuzz_entry_takes_whole_and_broken_files() {
    let file = written(&a_short_run());
    fuzz(&file);
    fuzz(&[]);
    for place in (0..file.len()).step_by(17) {
        let mut broken = file.clone();
        broken[place] = broken[place].wrapping_add(3);
        fuzz(&broken);
        fuzz(broken.get(..place).unwrap_or_default());
    }
}

#[test]
fn a_recording_is_for_its_owner_only_and_replaces_an_open_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("run.pcapng");
    std::fs::write(&path, "an old file").expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let mut recording = Recording::create(&path).expect("a recording");
    for event in a_short_run() {
        recording.event(&event).expect("room on the disk");
    }
    recording.flush().expect("room on the disk");
    let metadata = std::fs::metadata(&path).expect("a file");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let reader = Reader::open(std::fs::File::open(&path).expect("a file")).expect("a recording");
    assert_eq!(read_from(reader), (a_short_run(), DamageReport::default()));
}

#[test]
fn a_recording_does_not_follow_a_link_or_replace_a_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/etc/passwd", &link).expect("a link");
    for (path, what) in [
        (link.as_path(), "a symbolic link"),
        (folder.path(), "a directory"),
    ] {
        let error = Recording::create(path).map(|_| ()).expect_err(what);
        assert!(error.to_string().ends_with(what), "{error}");
    }
}

proptest! {
    #[test]
    fn any_events_come_back_as_they_were(events in prop::collection::vec(any_event(), 0..12)) {
        prop_assert_eq!(read(&written(&events)), (events, DamageReport::default()));
    }

    #[test]
    fn any_bytes_after_a_header_are_read_to_their_end(tail in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut file = written(&a_short_run());
        file.extend_from_slice(&tail);
        fuzz(&file);
        let (read, _) = read(&file);
        let whole = a_short_run();
        prop_assert_eq!(read.get(..whole.len()), Some(whole.as_slice()));
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz(&bytes);
    }
}

fn written(events: &[ProbeEvent<'_>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("memory takes all");
    for event in events {
        writer.event(event).expect("memory takes all");
    }
    writer.into_inner()
}

fn read(file: &[u8]) -> (Vec<ProbeEvent<'static>>, DamageReport) {
    read_from(Reader::open(file).expect("a recording"))
}

fn read_from(mut reader: Reader<impl std::io::Read>) -> (Vec<ProbeEvent<'static>>, DamageReport) {
    let (mut events, mut damage) = (Vec::new(), DamageReport::default());
    while let Some(item) = reader.read().expect("memory and plain files can be read") {
        match item {
            Item::Event(event) => events.push(event.into_owned()),
            Item::Damaged(part) => damage.add(part),
            Item::Description => {}
        }
    }
    (events, damage)
}

/// Length of the section header, which must be whole.
fn header_length() -> usize {
    let file = written(&[]);
    let length: [u8; 4] = file[4..8].try_into().expect("four bytes");
    u32::from_le_bytes(length) as usize
}

/// Whether a file of this length ends at a boundary within what precedes the events.
fn is_in_descriptions(cut: usize) -> bool {
    let file = written(&[]);
    let mut end = header_length();
    while end < file.len() {
        let length: [u8; 4] = file[end + 4..end + 8].try_into().expect("four bytes");
        end += u32::from_le_bytes(length) as usize;
        if end == cut {
            return true;
        }
    }
    false
}

/// Section header as `dumpcap` writes it.
fn foreign_header() -> &'static [u8] {
    b"\x0a\x0d\x0d\x0a\x34\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\
      \x04\0\x0d\0Dumpcap 4.2.2\0\0\0\0\0\0\0\x34\0\0\0"
}

const PROCESS: ProcessKey = ProcessKey {
    pid: 812,
    start_ns: 5_530_000_000,
};
const CONNECTION: ConnectionKey = ConnectionKey {
    process: PROCESS,
    address: 0x55d0_1234_5678,
    generation: 1,
};

fn data(direction: Direction, stream_offset: u64, bytes: &'static [u8]) -> Data<'static> {
    Data {
        connection: CONNECTION,
        direction,
        thread: 813,
        time: Monotonic(2_000),
        stream_offset,
        call_length: bytes.len() as u64,
        call_offset: 0,
        joined_late: false,
        unpaired: false,
        bytes: Cow::Borrowed(bytes),
    }
}

fn pod() -> Pod {
    Pod {
        namespace: "agents".to_owned(),
        container: Some(Container::default()),
        attributes: vec![("service.name".to_owned(), "chat".to_owned())],
        wishes: Wishes {
            untraced: false,
            without_content: true,
        },
        ..Pod::default()
    }
}

/// A call, its answer with a hole of 1000 bytes in a second body, and everything around it.
fn a_short_run() -> Vec<ProbeEvent<'static>> {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n";
    vec![
        ProbeEvent::Host(Host {
            boot_id: "3f0d6f5e-8c1c-4f5b-9d44-0f3f8a3c1b2a".to_owned(),
            name: "worker-7".to_owned(),
            wall_offset_ns: 1_700_000_000_000_000_000,
        }),
        ProbeEvent::Process(Arc::new(Process {
            key: PROCESS,
            parent_pid: 1,
            executable: "/usr/bin/python3.13".to_owned(),
            command_line: vec![
                "python3".to_owned(),
                "app \"quoted\" \u{1f980}\n.py".to_owned(),
                String::new(),
            ],
            environment: vec![("OTEL_SERVICE_NAME".to_owned(), "checkout".to_owned())],
            cgroup: "/system.slice/docker-0123.scope".to_owned(),
            pod: Some(Arc::new(pod())),
            withheld: Wishes::default(),
        })),
        ProbeEvent::Open {
            connection: CONNECTION,
            time: Monotonic(1_000),
        },
        ProbeEvent::ServerName {
            connection: CONNECTION,
            name: "bedrock-runtime.us-east-1.amazonaws.com".into(),
            time: Monotonic(1_500),
        },
        ProbeEvent::Data(Data {
            time: Monotonic(3_000),
            ..data(
                Direction::Write,
                0,
                b"POST /model/m/converse HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}",
            )
        }),
        ProbeEvent::Data(data(Direction::Read, 0, answer)),
        ProbeEvent::Lost(Lost {
            reason: LossReason::RingFull,
            process: None,
            records: 3,
            bytes: 1000,
            time: Monotonic(5_000),
        }),
        ProbeEvent::Data(Data {
            joined_late: true,
            unpaired: true,
            call_offset: 4,
            call_length: 9,
            ..data(Direction::Read, answer.len() as u64 + 1000, b"after")
        }),
        ProbeEvent::Tick(Monotonic(6_000)),
        ProbeEvent::Close {
            connection: CONNECTION,
            time: Monotonic(7_000),
        },
        ProbeEvent::ProcessExit {
            process: PROCESS,
            time: Monotonic(8_000),
        },
    ]
}

fn any_event() -> impl Strategy<Value = ProbeEvent<'static>> {
    let time = || any::<u64>().prop_map(Monotonic);
    prop_oneof![
        (".*", ".*", any::<i64>()).prop_map(|(boot_id, name, wall_offset_ns)| {
            ProbeEvent::Host(Host {
                boot_id,
                name,
                wall_offset_ns,
            })
        }),
        any_process().prop_map(|process| ProbeEvent::Process(Arc::new(process))),
        (any_process_key(), time()).prop_map(|(process, time)| ProbeEvent::ProcessExit { process, time }),
        (any_connection(), time()).prop_map(|(connection, time)| ProbeEvent::Open { connection, time }),
        (any_connection(), time()).prop_map(|(connection, time)| ProbeEvent::Close { connection, time }),
        (any_connection(), ".*", time()).prop_map(|(connection, name, time)| {
            ProbeEvent::ServerName {
                connection,
                name: Cow::Owned(name),
                time,
            }
        }),
        any_data().prop_map(ProbeEvent::Data),
        any_lost().prop_map(ProbeEvent::Lost),
        time().prop_map(ProbeEvent::Tick),
    ]
}

fn any_lost() -> impl Strategy<Value = Lost> {
    let process = prop::option::of(any_process_key());
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    (any_reason(), process, numbers).prop_map(|(reason, process, (records, bytes, time))| Lost {
        reason,
        process,
        records,
        bytes,
        time: Monotonic(time),
    })
}

fn any_process_key() -> impl Strategy<Value = ProcessKey> {
    (any::<u32>(), any::<u64>()).prop_map(|(pid, start_ns)| ProcessKey { pid, start_ns })
}

fn any_connection() -> impl Strategy<Value = ConnectionKey> {
    (any_process_key(), any::<u64>(), any::<u32>()).prop_map(|(process, address, generation)| ConnectionKey {
        process,
        address,
        generation,
    })
}

fn any_process() -> impl Strategy<Value = Process> {
    let environment = prop::collection::vec((".*", ".*"), 0..3);
    (
        any_process_key(),
        any::<u32>(),
        ".*",
        prop::collection::vec(".*", 0..4),
        environment,
        ".*",
    )
        .prop_map(
            |(key, parent_pid, executable, command_line, environment, cgroup)| Process {
                key,
                parent_pid,
                executable,
                command_line,
                environment,
                cgroup,
                pod: None,
                withheld: Wishes::default(),
            },
        )
}

fn any_data() -> impl Strategy<Value = Data<'static>> {
    let direction = prop_oneof![Just(Direction::Read), Just(Direction::Write)];
    let numbers = (
        any::<u32>(),
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
        any::<bool>(),
        any::<bool>(),
    );
    (
        any_connection(),
        direction,
        numbers,
        prop::collection::vec(any::<u8>(), 0..200),
    )
        .prop_map(
            |(
                connection,
                direction,
                (thread, time, stream_offset, call_length, call_offset, joined_late, unpaired),
                bytes,
            )| Data {
                connection,
                direction,
                thread,
                time: Monotonic(time),
                stream_offset,
                call_length,
                call_offset,
                joined_late,
                unpaired,
                bytes: Cow::Owned(bytes),
            },
        )
}

fn any_reason() -> impl Strategy<Value = LossReason> {
    prop_oneof![
        Just(LossReason::RingFull),
        Just(LossReason::ReadFault),
        Just(LossReason::CallCap),
        Just(LossReason::MapFull),
        Just(LossReason::Unseen),
        Just(LossReason::ProcessShare),
    ]
}
