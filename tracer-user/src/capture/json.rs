//! The events without plaintext, as JSON objects: one key, the name of the event.
//!
//! ```text
//! {"tick":{"time":91000000}}
//! {"server_name":{"connection":{"pid":812,"start":5530000000,"ssl":94352,"gen":1},"name":"bedrock-runtime.…","time":88}}
//! ```

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::pod::Pod;
use crate::event::{ConnectionKey, Host, LossReason, Lost, Monotonic, ProbeEvent, Process, ProcessKey};

/// An event as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event<'a> {
    Host {
        boot_id: String,
        name: String,
        wall_offset: i64,
    },
    Process {
        pid: u32,
        start: u64,
        parent: u32,
        executable: String,
        command_line: Vec<String>,
        environment: Vec<(String, String)>,
        cgroup: String,
        /// Absent from the recordings that were made before there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pod: Option<Box<Pod>>,
    },
    ProcessExit {
        pid: u32,
        start: u64,
        time: u64,
    },
    ServerName {
        connection: Connection,
        #[serde(borrow)]
        name: Cow<'a, str>,
        time: u64,
    },
    Lost {
        reason: Reason,
        /// Absent where nobody knows whose they were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<Owner>,
        records: u64,
        bytes: u64,
        time: u64,
    },
    Tick {
        time: u64,
    },
}

/// A connection as it is written.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Connection {
    pid: u32,
    start: u64,
    ssl: u64,
    #[serde(rename = "gen")]
    generation: u32,
}

/// A process as it is written.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Owner {
    pid: u32,
    start: u64,
}

/// A [`LossReason`] as it is written.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    RingFull,
    ReadFault,
    CallCap,
    MapFull,
    Unseen,
    ProcessShare,
}

impl<'a> Event<'a> {
    /// The written form of an event; `None` for those that are packets.
    pub(super) fn of(event: &'a ProbeEvent<'_>) -> Option<Self> {
        Some(match event {
            ProbeEvent::Host(Host {
                boot_id,
                name,
                wall_offset_ns,
            }) => Self::Host {
                boot_id: boot_id.clone(),
                name: name.clone(),
                wall_offset: *wall_offset_ns,
            },
            ProbeEvent::Process(process) => {
                let Process {
                    key,
                    parent_pid,
                    executable,
                    command_line,
                    environment,
                    cgroup,
                    pod,
                    withheld: _,
                } = &**process;
                Self::Process {
                    pid: key.pid,
                    start: key.start_ns,
                    parent: *parent_pid,
                    executable: executable.clone(),
                    command_line: command_line.clone(),
                    environment: environment.clone(),
                    cgroup: cgroup.clone(),
                    pod: pod.as_deref().cloned().map(Box::new),
                }
            }
            ProbeEvent::ProcessExit { process, time } => Self::ProcessExit {
                pid: process.pid,
                start: process.start_ns,
                time: time.0,
            },
            ProbeEvent::ServerName {
                connection,
                name,
                time,
            } => Self::ServerName {
                connection: (*connection).into(),
                name: Cow::Borrowed(name),
                time: time.0,
            },
            ProbeEvent::Lost(Lost {
                reason,
                process,
                records,
                bytes,
                time,
            }) => Self::Lost {
                reason: (*reason).into(),
                process: process.map(|ProcessKey { pid, start_ns }| Owner { pid, start: start_ns }),
                records: *records,
                bytes: *bytes,
                time: time.0,
            },
            ProbeEvent::Tick(time) => Self::Tick { time: time.0 },
            ProbeEvent::Open { .. } | ProbeEvent::Close { .. } | ProbeEvent::Data(_) => return None,
        })
    }
}

impl<'a> From<Event<'a>> for ProbeEvent<'a> {
    fn from(event: Event<'a>) -> Self {
        match event {
            Event::Host {
                boot_id,
                name,
                wall_offset,
            } => ProbeEvent::Host(Host {
                boot_id,
                name,
                wall_offset_ns: wall_offset,
            }),
            Event::Process {
                pid,
                start,
                parent,
                executable,
                command_line,
                environment,
                cgroup,
                pod,
            } => ProbeEvent::Process(Arc::new(Process {
                key: ProcessKey { pid, start_ns: start },
                parent_pid: parent,
                executable,
                command_line,
                environment,
                cgroup,
                pod: pod.map(|pod| Arc::new(*pod)),
                withheld: crate::event::pod::Wishes::default(),
            })),
            Event::ProcessExit { pid, start, time } => ProbeEvent::ProcessExit {
                process: ProcessKey { pid, start_ns: start },
                time: Monotonic(time),
            },
            Event::ServerName {
                connection,
                name,
                time,
            } => ProbeEvent::ServerName {
                connection: connection.into(),
                name,
                time: Monotonic(time),
            },
            Event::Lost {
                reason,
                process,
                records,
                bytes,
                time,
            } => ProbeEvent::Lost(Lost {
                reason: reason.into(),
                process: process.map(|Owner { pid, start }| ProcessKey { pid, start_ns: start }),
                records,
                bytes,
                time: Monotonic(time),
            }),
            Event::Tick { time } => ProbeEvent::Tick(Monotonic(time)),
        }
    }
}

impl From<ConnectionKey> for Connection {
    fn from(key: ConnectionKey) -> Self {
        let ConnectionKey {
            process: ProcessKey { pid, start_ns },
            address,
            generation,
        } = key;
        Self {
            pid,
            start: start_ns,
            ssl: address,
            generation,
        }
    }
}

impl From<Connection> for ConnectionKey {
    fn from(connection: Connection) -> Self {
        let Connection {
            pid,
            start,
            ssl,
            generation,
        } = connection;
        Self {
            process: ProcessKey { pid, start_ns: start },
            address: ssl,
            generation,
        }
    }
}

impl From<LossReason> for Reason {
    fn from(reason: LossReason) -> Self {
        match reason {
            LossReason::RingFull => Self::RingFull,
            LossReason::ReadFault => Self::ReadFault,
            LossReason::CallCap => Self::CallCap,
            LossReason::MapFull => Self::MapFull,
            LossReason::Unseen => Self::Unseen,
            LossReason::ProcessShare => Self::ProcessShare,
        }
    }
}

impl From<Reason> for LossReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::RingFull => Self::RingFull,
            Reason::ReadFault => Self::ReadFault,
            Reason::CallCap => Self::CallCap,
            Reason::MapFull => Self::MapFull,
            Reason::Unseen => Self::Unseen,
            Reason::ProcessShare => Self::ProcessShare,
        }
    }
}
