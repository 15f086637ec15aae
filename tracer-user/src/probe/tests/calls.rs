//! What the functions of a TLS library do, and what is seen of it.

use super::super::{Links, Options, Scope, Tracer};
use super::{collect_until_freed, is_root, joined, pieces, stand_in, tracer};
use crate::event::{ConnectionKey, Direction, ProbeEvent, Verdict};

#[test]
fn every_shape_of_function_gives_exactly_the_bytes_it_moved() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach(&mut tracer);
    gives_exactly_the_bytes_it_moved(&mut tracer);
}

#[test]
fn a_kernel_without_links_of_many_probes_sees_the_same() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = Tracer::start(Options {
        links: Links::Single,
        ..Options::new(Scope::Processes(vec![std::process::id()]))
    })
    .unwrap();
    stand_in::attach(&mut tracer);
    gives_exactly_the_bytes_it_moved(&mut tracer);
}

fn gives_exactly_the_bytes_it_moved(tracer: &mut Tracer) {
    let ssl = 0x1000;
    let buffer = b"hello world, and what lies behind";
    let mut count = 0;

    stand_in::new(ssl);
    // `int num` leaves the upper half of the register as it was.
    stand_in::read(ssl, buffer.as_ptr(), 11, 5);
    stand_in::read_ex(ssl, buffer.as_ptr().wrapping_add(5), 11, &mut count, 6, 1);
    stand_in::write(ssl, buffer.as_ptr(), 5, 5);
    stand_in::write_internal(ssl, buffer.as_ptr().wrapping_add(5), 6, 0, &mut count, 6);
    stand_in::free(ssl);

    let events = collect_until_freed(tracer, ssl);
    assert!(matches!(events.first(), Some(ProbeEvent::Host(_))));
    let process = events.iter().position(
        |event| matches!(event, ProbeEvent::Process(process) if process.key.pid == std::process::id()),
    );
    let open = events
        .iter()
        .position(|event| matches!(event, ProbeEvent::Open { connection, .. } if connection.address == ssl));
    assert!(process.unwrap() < open.unwrap());
    for direction in [Direction::Read, Direction::Write] {
        let pieces = pieces(&events, ssl, direction);
        assert_eq!(joined(&pieces), b"hello world");
        assert!(pieces.iter().all(|piece| !piece.joined_late));
        assert!(
            pieces
                .iter()
                .all(|piece| piece.call_length == piece.bytes.len() as u64)
        );
        assert_eq!(pieces.len(), 2);
    }
    let process = events.iter().find_map(|event| match event {
        ProbeEvent::Process(process) => Some(process),
        _ => None,
    });
    let started_ticks = process.unwrap().key.start_ns / 10_000_000;
    assert_eq!(
        started_ticks,
        start_ticks(),
        "the start that /proc tells, in full"
    );
}

/// Field 22 of `/proc/self/stat`, in hundredths of a second.
fn start_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(19).unwrap().parse().unwrap()
}

#[test]
fn calls_that_moved_nothing_and_their_repetitions_are_not_seen_twice() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach(&mut tracer);
    let ssl = 0x2000;
    let mut count = 0;

    stand_in::write(ssl, b"again".as_ptr(), 5, -1);
    stand_in::write(ssl, b"again".as_ptr(), 5, -1);
    stand_in::write(ssl, b"again".as_ptr(), 5, 5);
    stand_in::read(ssl, b"nothing".as_ptr(), 7, 0);
    // A failed call may leave any count behind.
    stand_in::read_ex(ssl, b"nothing".as_ptr(), 7, &mut count, 7, 0);
    stand_in::free(ssl);

    let events = collect_until_freed(&mut tracer, ssl);
    let written = pieces(&events, ssl, Direction::Write);
    assert_eq!(joined(&written), b"again");
    assert!(
        written.iter().all(|piece| piece.joined_late),
        "its beginning was not seen"
    );
    assert_eq!(pieces(&events, ssl, Direction::Read), []);
}

#[test]
fn a_count_beyond_the_buffer_is_not_believed() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach(&mut tracer);
    let ssl = 0x3000;
    let mut count = 0;

    stand_in::read_ex(ssl, b"short".as_ptr(), 5, &mut count, 6, 1);
    stand_in::read_ex(ssl, b"short".as_ptr(), 5, &mut count, 5, 1);
    stand_in::free(ssl);

    let events = collect_until_freed(&mut tracer, ssl);
    assert_eq!(joined(&pieces(&events, ssl, Direction::Read)), b"short");
}

#[test]
fn a_write_within_a_read_is_a_call_of_its_own() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach(&mut tracer);
    let ssl = 0x4000;

    stand_in::read_that_writes(ssl, b"reply".as_ptr(), 5, b"ack");
    stand_in::free(ssl);

    let events = collect_until_freed(&mut tracer, ssl);
    assert_eq!(joined(&pieces(&events, ssl, Direction::Write)), b"ack");
    assert_eq!(joined(&pieces(&events, ssl, Direction::Read)), b"reply");
}

#[test]
fn an_object_made_where_another_was_is_another_connection() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach(&mut tracer);
    let ssl = 0x5000;
    let mut keys: Vec<ConnectionKey> = Vec::new();
    for round in [b"one", b"two"] {
        stand_in::new(ssl);
        stand_in::write(ssl, round.as_ptr(), 3, 3);
        stand_in::free(ssl);
        let events = collect_until_freed(&mut tracer, ssl);
        let written = pieces(&events, ssl, Direction::Write);
        assert_eq!(joined(&written), round, "counted from 0 again");
        keys.extend(written.iter().map(|piece| piece.connection));
    }
    assert!(keys[0].generation < keys[1].generation);
}

#[test]
fn an_ignored_connection_says_nothing_more_and_a_wanted_one_everything() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach(&mut tracer);
    let (ignored, wanted) = (0x6000, 0x6100);
    let large = vec![b'x'; 1 << 20];
    let verdicts = tracer.verdicts();
    for ssl in [ignored, wanted] {
        stand_in::new(ssl);
        stand_in::write(ssl, b"first".as_ptr(), 5, 5);
    }
    let mut told = 0;
    super::collect(&mut tracer, |event| {
        if let ProbeEvent::Data(data) = event {
            let verdict = if data.connection.address == ignored {
                Verdict::Ignore
            } else {
                Verdict::Want
            };
            verdicts.set(data.connection, verdict).unwrap();
            told += 1;
        }
        told == 2
    });

    for ssl in [ignored, wanted] {
        stand_in::write(ssl, large.as_ptr(), 1 << 20, 1 << 20);
        stand_in::free(ssl);
    }
    let events = collect_until_freed(&mut tracer, wanted);
    assert_eq!(pieces(&events, ignored, Direction::Write), []);
    let written = pieces(&events, wanted, Direction::Write);
    assert_eq!(written[0].stream_offset, 5);
    assert_eq!(
        written.iter().map(|piece| piece.bytes.len()).sum::<usize>(),
        1 << 20
    );
}

#[test]
fn the_server_name_is_told_and_bedrock_in_it_makes_the_connection_wanted() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    stand_in::attach(&mut tracer);
    let ssl = 0x7000;
    let name = c"Bedrock-Runtime.eu-west-1.amazonaws.com";
    let large = vec![b'x'; 1 << 20];

    stand_in::new(ssl);
    stand_in::control(ssl, 33, 0, c"not a name".as_ptr().cast());
    stand_in::control(ssl, 55, 0, name.as_ptr().cast());
    stand_in::write(ssl, large.as_ptr(), 1 << 20, 1 << 20);
    stand_in::free(ssl);

    let events = collect_until_freed(&mut tracer, ssl);
    let names: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            ProbeEvent::ServerName { name, .. } => Some(name.as_ref()),
            _ => None,
        })
        .collect();
    assert_eq!(names, [name.to_str().unwrap()]);
    assert_eq!(joined(&pieces(&events, ssl, Direction::Write)), large);
}
