//! Recordings without a kernel: the fake taps its own plaintext, which is written as probes in the client would have seen it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use tracer_tests::calls::Call;
use tracer_tests::client::{Client, Kind};
use tracer_tests::fake::tap::{Happened, Tap, Tapped};
use tracer_tests::fake::{FakeBedrock, Options, Served};
use tracer_tests::program::DEADLINE;
use tracer_user::capture::Writer;
use tracer_user::event::{ConnectionKey, Data, Direction, Host, Monotonic, ProbeEvent, Process, ProcessKey};

/// Name of the service that the recorded process says it is.
pub(crate) const SERVICE: &str = "weather-agent";

/// A recording and what was served while it was made.
#[derive(Debug)]
pub(crate) struct Recording {
    directory: tempfile::TempDir,
    pub(crate) served: Vec<Served>,
}

impl Recording {
    /// The capture file.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("tapped.pcapng")
    }
}

/// Lets a client make calls that get one response each, so many at a time, and records them.
pub(crate) fn record(kind: Kind, calls: &[Call], threads: usize, options: &Options) -> Result<Recording> {
    let tap = Tap::default();
    let fake = FakeBedrock::start(&Options {
        tap: Some(tap.clone()),
        ..options.clone()
    })?;
    let mut client = Client::start(kind, &fake)?;
    client.make(calls, threads)?;
    client.finish()?;
    let served = fake.log().wait_for(calls.len(), DEADLINE);
    // Connections are closed when the fake is gone.
    drop(fake);
    let recording = Recording {
        directory: tempfile::tempdir()?,
        served,
    };
    write(&tap.all(), File::create(recording.file())?)?;
    Ok(recording)
}

const CLIENT: ProcessKey = ProcessKey {
    pid: 4711,
    start_ns: 1,
};

/// The file that probes in the client would have given. The monotonic clock of this host began at `boot`.
fn write(tapped: &[Tapped], file: File) -> Result<()> {
    let boot = tapped.first().context("something passed")?.unix_ns - 1_000_000_000;
    let mut writer = Writer::new(file)?;
    writer.event(&ProbeEvent::Host(Host {
        boot_id: "7f1c9a52-9f0b-4a65-8a3f-0c9d5d0a4b11".to_owned(),
        name: "quarry".to_owned(),
        wall_offset_ns: i64::try_from(boot)?,
    }))?;
    writer.event(&ProbeEvent::Process(Arc::new(Process {
        key: CLIENT,
        parent_pid: 1,
        executable: "/usr/bin/client".to_owned(),
        command_line: vec!["client".to_owned()],
        environment: vec![("OTEL_SERVICE_NAME".to_owned(), SERVICE.to_owned())],
        cgroup: "/".to_owned(),
        pod: None,
        withheld: tracer_user::event::pod::Wishes::default(),
    })))?;
    let mut offsets = BTreeMap::new();
    for Tapped {
        connection,
        unix_ns,
        what,
    } in tapped
    {
        let connection = ConnectionKey {
            process: CLIENT,
            address: 0x1000 * (connection + 1),
            generation: 1,
        };
        let time = Monotonic(unix_ns - boot);
        let (direction, bytes) = match what {
            Happened::Opened => {
                writer.event(&ProbeEvent::Open { connection, time })?;
                continue;
            }
            Happened::Closed => {
                writer.event(&ProbeEvent::Close { connection, time })?;
                continue;
            }
            Happened::Sent(bytes) => (Direction::Write, bytes),
            Happened::Received(bytes) => (Direction::Read, bytes),
        };
        let offset = offsets.entry((connection, direction)).or_insert(0);
        writer.event(&ProbeEvent::Data(Data {
            connection,
            direction,
            thread: CLIENT.pid,
            time,
            stream_offset: *offset,
            call_length: bytes.len() as u64,
            call_offset: 0,
            joined_late: false,
            unpaired: false,
            bytes: bytes.as_slice().into(),
        }))?;
        *offset += bytes.len() as u64;
    }
    writer.flush()?;
    Ok(())
}
