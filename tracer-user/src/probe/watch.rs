//! Follows what processes do: fork, exec, exit, and files mapped as code, late-loaded libraries included.
//!
//! The records come from perf software events, one ring a core, so this needs neither tracefs nor a BPF program. Format:
//! `include/uapi/linux/perf_event.h`.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use super::sys::TaskRing;

/// Something that a process did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEvent {
    /// A file was mapped as code.
    Mapped(MappedFile),
    /// The process runs another program now.
    Exec {
        /// Which process.
        pid: u32,
    },
    /// A new process, not a thread.
    Fork {
        /// The new process.
        pid: u32,
        /// Who made it.
        parent: u32,
    },
    /// The first thread of a process has ended.
    Exit {
        /// Which process.
        pid: u32,
    },
    /// The kernel had no room for this many records: look at everything again.
    Lost(u64),
}

/// A piece of a file in the memory of a process, executable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MappedFile {
    /// The process.
    pub pid: u32,
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// Device number as the kernel's `MAJOR:MINOR`.
    pub device: (u32, u32),
    /// Inode number.
    pub inode: u64,
    /// Inode generation, 0 when not known: tells a reused inode number from the file before.
    pub generation: u64,
    /// Path as the kernel knows it, without its ` (deleted)` mark.
    pub path: PathBuf,
}

/// Task and mapping events of the whole host.
#[derive(Debug)]
pub struct Watch {
    rings: Vec<TaskRing>,
    buffer: Vec<u8>,
    events: Vec<(u64, TaskEvent)>,
}

impl Watch {
    /// Follows every core that is online. Needs `CAP_PERFMON` (or `perf_event_paranoid` at 0 or less).
    pub fn start() -> io::Result<Self> {
        let online = fs::read_to_string("/sys/devices/system/cpu/online")?;
        let rings = cores(&online)
            .into_iter()
            .map(TaskRing::open)
            .collect::<io::Result<Vec<_>>>()?;
        if rings.is_empty() {
            return Err(io::Error::other("no core is online"));
        }
        Ok(Self {
            rings,
            buffer: Vec::new(),
            events: Vec::new(),
        })
    }

    /// What to wait on: readable as soon as a record is there.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(AsFd::as_fd)
    }

    /// Hands over all events that are waiting, oldest first. Never waits.
    pub fn take(&mut self, mut each: impl FnMut(TaskEvent)) {
        for ring in &mut self.rings {
            self.buffer.clear();
            ring.take(&mut self.buffer);
            records(&self.buffer, |time, event| self.events.push((time, event)));
        }
        // A fork on one core and the child's first mapping on another: by time, they are in order again.
        self.events.sort_by_key(|(time, _)| *time);
        for (_, event) in self.events.drain(..) {
            each(event);
        }
    }
}

/// Reads a list such as `0-3,8,10-11`.
fn cores(list: &str) -> Vec<u32> {
    let mut cores = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            cores.extend(first..=last);
        }
    }
    cores
}

const RECORD_LOST: u32 = 2;
const RECORD_COMM: u32 = 3;
const RECORD_EXIT: u32 = 4;
const RECORD_FORK: u32 = 7;
const RECORD_MMAP2: u32 = 10;
/// `perf_event_header.misc` of a COMM record: the name changed by `execve`.
const MISC_COMM_EXEC: u16 = 1 << 13;
/// `perf_event_header`.
const HEADER_LENGTH: usize = 8;
/// What `PERF_SAMPLE_TIME` with `sample_id_all` puts at the end of every record.
const TRAILER_LENGTH: usize = 8;
const PROT_EXEC: u32 = 4;

/// Takes apart a run of whole records, each handed over with its time.
///
/// A record of an unknown kind or too short for its kind is stepped over; a header that cannot be right ends the run, and
/// what is behind it counts as lost.
fn records(mut bytes: &[u8], mut each: impl FnMut(u64, TaskEvent)) {
    while !bytes.is_empty() {
        let Some(record) = Reader(bytes).header() else {
            each(u64::MAX, TaskEvent::Lost(1));
            return;
        };
        let (body, rest) = record.body_and_rest;
        bytes = rest;
        let Some((body, trailer)) = body.split_last_chunk::<TRAILER_LENGTH>() else {
            continue;
        };
        if let Some(event) = event(record.kind, record.misc, Reader(body)) {
            each(u64::from_ne_bytes(*trailer), event);
        }
    }
}

fn event(kind: u32, misc: u16, mut body: Reader<'_>) -> Option<TaskEvent> {
    match kind {
        RECORD_LOST => {
            let _event_id = body.u64()?;
            Some(TaskEvent::Lost(body.u64()?))
        }
        RECORD_COMM if misc & MISC_COMM_EXEC != 0 => Some(TaskEvent::Exec { pid: body.u32()? }),
        RECORD_FORK => {
            let pid = body.u32()?;
            let parent = body.u32()?;
            (pid != parent).then_some(TaskEvent::Fork { pid, parent })
        }
        RECORD_EXIT => {
            let pid = body.u32()?;
            let _parent = body.u32()?;
            let thread = body.u32()?;
            (pid == thread).then_some(TaskEvent::Exit { pid })
        }
        RECORD_MMAP2 => {
            let pid = body.u32()?;
            let _thread = body.u32()?;
            let start = body.u64()?;
            let length = body.u64()?;
            let _file_offset = body.u64()?;
            let device = (body.u32()?, body.u32()?);
            let inode = body.u64()?;
            let generation = body.u64()?;
            let protection = body.u32()?;
            let _flags = body.u32()?;
            let path = body.text();
            let is_code_of_a_file = protection & PROT_EXEC != 0 && inode != 0;
            is_code_of_a_file.then(|| {
                TaskEvent::Mapped(MappedFile {
                    pid,
                    start,
                    end: start.saturating_add(length),
                    device,
                    inode,
                    generation,
                    path: super::maps::path_without_mark(path),
                })
            })
        }
        _ => None,
    }
}

struct Record<'a> {
    kind: u32,
    misc: u16,
    body_and_rest: (&'a [u8], &'a [u8]),
}

/// Reads native-endian values off the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn header(mut self) -> Option<Record<'a>> {
        let kind = self.u32()?;
        let misc = self.u16()?;
        let size = usize::from(self.u16()?);
        let body_and_rest = self.0.split_at_checked(size.checked_sub(HEADER_LENGTH)?)?;
        Some(Record {
            kind,
            misc,
            body_and_rest,
        })
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*value)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    /// The rest up to the first NUL.
    fn text(&self) -> &'a [u8] {
        let end = memchr::memchr(0, self.0).unwrap_or(self.0.len());
        self.0.get(..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
