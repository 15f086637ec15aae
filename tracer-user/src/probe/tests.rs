//! The programs in the kernel against functions of this test binary, which move what they are told to: every byte, offset
//! and count is known. They need root, and the kernel that geophone needs.

mod beginnings;
mod calls;
mod endings;
mod left_alone;
mod limits;
mod processes;
#[cfg(target_arch = "x86_64")]
mod records;
mod shares;
mod stand_in;

use std::time::{Duration, Instant};

use super::{Options, Scope, Tracer};
use crate::event::{Data, Direction, ProbeEvent};

/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the tests can run here; says so if not.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("NOT RUN: {} needs root to load probes", current_test());
    }
    root
}

fn current_test() -> String {
    std::thread::current().name().unwrap_or("a test").to_owned()
}

/// A tracer that looks at this process.
fn tracer(ring_bytes: u32) -> Tracer {
    let scope = Scope::Processes(vec![std::process::id()]);
    Tracer::start(Options {
        ring_bytes,
        ..Options::new(scope)
    })
    .unwrap()
}

/// Everything that is handed over until `done` says so.
fn collect(tracer: &mut Tracer, mut done: impl FnMut(&ProbeEvent<'_>) -> bool) -> Vec<ProbeEvent<'static>> {
    let deadline = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    let mut ended = false;
    while !ended {
        assert!(Instant::now() < deadline, "nothing came; so far {events:?}");
        tracer
            .poll(Duration::from_secs(1), &mut |event| {
                ended |= done(&event);
                events.push(event.into_owned());
            })
            .unwrap();
    }
    events
}

/// Everything up to the end of the connection at an address.
fn collect_until_freed(tracer: &mut Tracer, address: u64) -> Vec<ProbeEvent<'static>> {
    collect(
        tracer,
        |event| matches!(event, ProbeEvent::Close { connection, .. } if connection.address == address),
    )
}

/// The pieces of one direction of the connection at an address.
fn pieces(events: &[ProbeEvent<'static>], address: u64, direction: Direction) -> Vec<Data<'static>> {
    events
        .iter()
        .filter_map(|event| match event {
            ProbeEvent::Data(data) if data.connection.address == address && data.direction == direction => {
                Some(data.clone())
            }
            _ => None,
        })
        .collect()
}

/// The bytes of pieces that follow each other without a hole.
fn joined(pieces: &[Data<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        assert_eq!(piece.stream_offset, bytes.len() as u64, "no hole");
        bytes.extend_from_slice(&piece.bytes);
    }
    bytes
}
