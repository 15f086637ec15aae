//! `ProbeEvent`: the closed alphabet that the core is fed with.
//!
//! Live tracing makes these events from kernel records, replay reads them from a capture file. Everything a span may say
//! comes through here, the wall clock and the identity of processes included, so that a replay repeats the live run to
//! the bit. The core never asks a clock, a file or the kernel.

pub mod pod;
#[cfg(any(test, fuzzing))]
pub mod script;

use std::borrow::Cow;
use std::sync::Arc;

use pod::{Pod, Wishes};

/// Nanoseconds of the kernel's `CLOCK_MONOTONIC`, as `bpf_ktime_get_ns` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(pub u64);

/// One thing that the probes saw, in the order of the ring buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeEvent<'a> {
    /// The host, its boot and its clocks. First event of every live run and of every capture file; sent again when the
    /// wall clock was stepped.
    Host(Host),
    /// Who a process is; precedes the first data of that process. Sent again after `execve`, and when its pod becomes known
    /// or changes.
    Process(Arc<Process>),
    /// The last thread of a process is gone: nothing more comes from it.
    ProcessExit {
        /// Which process ended.
        process: ProcessKey,
        /// When it ended.
        time: Monotonic,
    },
    /// A TLS connection object was created.
    Open {
        /// The new connection.
        connection: ConnectionKey,
        /// When it was created.
        time: Monotonic,
    },
    /// The name the client asked for in the TLS handshake (SNI).
    ServerName {
        /// Connection that asked.
        connection: ConnectionKey,
        /// The name as passed to the library.
        name: Cow<'a, str>,
        /// When it was set.
        time: Monotonic,
    },
    /// Plaintext that passed through a TLS library.
    Data(Data<'a>),
    /// The connection object was freed.
    Close {
        /// The connection that ended.
        connection: ConnectionKey,
        /// When it was freed.
        time: Monotonic,
    },
    /// The kernel side could not hand over records; which bytes are missing shows in the stream offsets.
    Lost(Lost),
    /// Time passes though nothing happens: timeouts fire here.
    Tick(Monotonic),
}

/// The machine that the events come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// `/proc/sys/kernel/random/boot_id`: a monotonic time means something within one boot only.
    pub boot_id: String,
    /// `gethostname(2)`.
    pub name: String,
    /// Wall clock (ns since the Unix epoch) minus the monotonic clock.
    pub wall_offset_ns: i64,
}

/// A process, told apart from later ones that get the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Thread-group id in the host's pid namespace.
    pub pid: u32,
    /// Start of the thread-group leader in ns since boot (`task_struct.start_boottime`).
    pub start_ns: u64,
}

/// Who a process is; enough to describe it as an OpenTelemetry resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Identity.
    pub key: ProcessKey,
    /// Parent pid, 0 when unknown.
    pub parent_pid: u32,
    /// Resolved `/proc/PID/exe`; empty when the process was gone before it could be read.
    pub executable: String,
    /// `/proc/PID/cmdline`, one string an argument. Exported only as far as the resource allows.
    pub command_line: Vec<String>,
    /// The few environment variables that name the service: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`.
    pub environment: Vec<(String, String)>,
    /// The path of `/proc/PID/cgroup` that tells most, from which a container id can be told.
    pub cgroup: String,
    /// The pod that it runs in, once the API server was asked and has answered.
    pub pod: Option<Arc<Pod>>,
    /// What the operator's rules keep back of it. Beside what its pod does not want; not recorded.
    pub withheld: Wishes,
}

impl Process {
    /// Whether there is to be no telemetry of it, by its own pod or by a rule.
    pub fn is_left_alone(&self) -> bool {
        self.withheld.untraced || self.pod.as_ref().is_some_and(|pod| pod.wishes.untraced)
    }

    /// Whether its prompts and completions are to stay away, by its own pod or by a rule.
    pub fn keeps_content_back(&self) -> bool {
        self.withheld.without_content || self.pod.as_ref().is_some_and(|pod| pod.wishes.without_content)
    }
}

/// One TLS connection of one process. Never a thread, never a file descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionKey {
    /// The process that holds the connection.
    pub process: ProcessKey,
    /// Address of the library's connection object (`SSL *`).
    pub address: u64,
    /// Tells apart the objects that live at this address one after another: the later has the greater number.
    pub generation: u32,
}

/// Which way the bytes went, seen from the traced process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Read by the process.
    Read,
    /// Written by the process.
    Write,
}

/// A piece of one read or write call. Calls larger than a record come as several pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data<'a> {
    /// Connection the bytes belong to.
    pub connection: ConnectionKey,
    /// Which way they went.
    pub direction: Direction,
    /// Thread that made the call.
    pub thread: u32,
    /// When the call returned.
    pub time: Monotonic,
    /// Place of the first byte in the stream, counted from the first call that was seen on this connection and direction.
    /// A jump against the bytes handed over before is a hole; it is never closed up.
    pub stream_offset: u64,
    /// Length of the whole call.
    pub call_length: u64,
    /// Place of the first byte within the call.
    pub call_offset: u64,
    /// The connection was already in use when the probes were attached.
    pub joined_late: bool,
    /// The other direction of this connection could not be found: it comes, if at all, as a connection of its own.
    pub unpaired: bool,
    /// The plaintext, credentials blanked.
    pub bytes: Cow<'a, [u8]>,
}

/// Records that the kernel side dropped since the last such event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Why.
    pub reason: LossReason,
    /// Whose they were, where that is known.
    pub process: Option<ProcessKey>,
    /// How many records.
    pub records: u64,
    /// How many plaintext bytes they would have carried.
    pub bytes: u64,
    /// When it was noticed.
    pub time: Monotonic,
}

/// Why the kernel side dropped something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LossReason {
    /// The ring buffer was full.
    RingFull,
    /// `bpf_probe_read_user` failed: the buffer was paged out or not mapped.
    ReadFault,
    /// The middle of a call beyond the per-call cap.
    CallCap,
    /// A kernel map that holds calls in progress was full.
    MapFull,
    /// TLS records passed while no probe saw them: the library's own record numbers tell. How many bytes they held,
    /// nobody knows, so the connection begins anew behind them.
    Unseen,
    /// The process, or its control group, held more than its share of a ring buffer that was filling up.
    ProcessShare,
}

/// What user space decides about a connection and tells the kernel side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Bedrock traffic: hand over everything.
    Want,
    /// Something else: hand over nothing more.
    Ignore,
}

impl ProbeEvent<'_> {
    /// The same event with no borrow, to keep it beyond the record it was read from.
    pub fn into_owned(self) -> ProbeEvent<'static> {
        match self {
            ProbeEvent::Host(host) => ProbeEvent::Host(host),
            ProbeEvent::Process(process) => ProbeEvent::Process(process),
            ProbeEvent::ProcessExit { process, time } => ProbeEvent::ProcessExit { process, time },
            ProbeEvent::Open { connection, time } => ProbeEvent::Open { connection, time },
            ProbeEvent::ServerName {
                connection,
                name,
                time,
            } => ProbeEvent::ServerName {
                connection,
                name: Cow::Owned(name.into_owned()),
                time,
            },
            ProbeEvent::Data(data) => ProbeEvent::Data(Data {
                bytes: Cow::Owned(data.bytes.into_owned()),
                ..data
            }),
            ProbeEvent::Close { connection, time } => ProbeEvent::Close { connection, time },
            ProbeEvent::Lost(lost) => ProbeEvent::Lost(lost),
            ProbeEvent::Tick(time) => ProbeEvent::Tick(time),
        }
    }

    /// The connection that it is about.
    pub fn connection(&self) -> Option<ConnectionKey> {
        match self {
            ProbeEvent::Open { connection, .. }
            | ProbeEvent::ServerName { connection, .. }
            | ProbeEvent::Close { connection, .. } => Some(*connection),
            ProbeEvent::Data(data) => Some(data.connection),
            ProbeEvent::Host(_)
            | ProbeEvent::Process(_)
            | ProbeEvent::ProcessExit { .. }
            | ProbeEvent::Lost(_)
            | ProbeEvent::Tick(_) => None,
        }
    }

    /// When it happened; `Host` and `Process` are facts without a time.
    pub fn time(&self) -> Option<Monotonic> {
        match self {
            ProbeEvent::Host(_) | ProbeEvent::Process(_) => None,
            ProbeEvent::ProcessExit { time, .. }
            | ProbeEvent::Open { time, .. }
            | ProbeEvent::ServerName { time, .. }
            | ProbeEvent::Close { time, .. }
            | ProbeEvent::Tick(time) => Some(*time),
            ProbeEvent::Data(data) => Some(data.time),
            ProbeEvent::Lost(lost) => Some(lost.time),
        }
    }
}
