//! What the programs in the kernel remember: how much that is, and that nothing of it outlives its process.
//!
//! The programs forget a call when its thread ends and a process when its last thread does. Of connections nobody tells them
//! when a process is killed: those are swept up here.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use aya::Ebpf;

use super::{Error, multi, sys};
use crate::event::ProcessKey;

/// Between two sweeps.
const INTERVAL: Duration = Duration::from_secs(5);

/// The map that has every process of which something is known, until it ends.
const PROCESSES: &str = "kernel_processes";

/// A map: its name in the object, its name for people, where the process is in its keys, and whether it is swept.
const TABLES: [(&str, &str, usize, bool); 9] = [
    ("PROCESSES", PROCESSES, 0, false),
    ("CALLS", "kernel_calls", 4, false),
    ("TRANSFERS", "kernel_transfers", 4, false),
    ("RECORDS", "kernel_records", 4, false),
    ("GO_READS", "kernel_go_reads", 0, true),
    ("CIPHERS", "kernel_ciphers", 8, true),
    ("CONNECTIONS", "kernel_connections", 8, true),
    ("LEFT_ALONE", "kernel_left_alone", 0, true),
    ("VERDICTS", "kernel_verdicts", 8, true),
];

/// The maps of the programs.
#[derive(Debug)]
pub(super) struct Tables {
    all: Vec<Table>,
    /// Sweeps that are due.
    due: u32,
    next: Instant,
    /// Processes that were gone at the last sweep though nobody had told of their end.
    suspects: HashSet<ProcessKey>,
}

#[derive(Debug)]
struct Table {
    name: &'static str,
    descriptor: OwnedFd,
    key_size: usize,
    value_size: usize,
    /// Where in the key the process is.
    process: usize,
    is_swept: bool,
}

impl Tables {
    /// The maps of an object, before any is taken out of it.
    pub(super) fn of(ebpf: &Ebpf) -> Result<Self, Error> {
        let all = TABLES
            .into_iter()
            .map(|(name, word, process, is_swept)| {
                let map = ebpf.map(name).and_then(multi::data);
                let map = map.ok_or_else(|| Error::Object(format!("it has no map `{name}`")))?;
                let info = map.info()?;
                Ok(Table {
                    name: word,
                    descriptor: map.fd().as_fd().try_clone_to_owned().map_err(Error::Wait)?,
                    key_size: info.key_size() as usize,
                    value_size: info.value_size() as usize,
                    process,
                    is_swept,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            all,
            due: 0,
            next: Instant::now(),
            suspects: HashSet::new(),
        })
    }

    /// How many entries each map has.
    pub(super) fn entries(&self) -> io::Result<Vec<(&'static str, u64)>> {
        self.all
            .iter()
            .map(|table| {
                let mut count = 0;
                table.keys(&mut |_, _| count += 1)?;
                Ok((table.name, count))
            })
            .collect()
    }

    /// How many of them are of one process.
    #[cfg(test)]
    pub(super) fn entries_of(&self, process: u32) -> io::Result<Vec<(&'static str, u64)>> {
        self.all
            .iter()
            .map(|table| {
                let mut count = 0;
                table.keys(&mut |pid, _| count += u64::from(pid == process))?;
                Ok((table.name, count))
            })
            .collect()
    }

    /// A process has ended, or may have without a word. One sweep more than that, for what user space still decides about a
    /// connection that is gone.
    pub(super) fn somebody_ended(&mut self) {
        self.due = 2;
    }

    /// Takes out what belongs to processes that are gone, if it is time. `known`: processes that were told of. Gives those
    /// whose end was not.
    pub(super) fn sweep(
        &mut self,
        now: Instant,
        known: impl Iterator<Item = ProcessKey>,
    ) -> io::Result<Vec<ProcessKey>> {
        if self.due == 0 || now < self.next {
            return Ok(Vec::new());
        }
        self.due -= 1;
        self.next = now + INTERVAL;
        let mut living = Living::default();
        for table in self.all.iter().filter(|table| table.name == PROCESSES) {
            table.keys(&mut |pid, _| {
                living.followed.insert(pid);
            })?;
        }
        for table in self.all.iter().filter(|table| table.is_swept) {
            let mut gone = Vec::new();
            table.keys(&mut |pid, key| {
                if !living.has(pid) {
                    gone.push(key.to_vec());
                }
            })?;
            for key in gone {
                sys::delete(table.descriptor.as_fd(), &key)?;
            }
        }
        // Its last records may still be in the ring; by the next sweep they are not.
        let before = std::mem::take(&mut self.suspects);
        self.suspects = known.filter(|process| !living.has(process.pid)).collect();
        if !self.suspects.is_empty() {
            self.due = self.due.max(1);
        }
        let ended: BTreeSet<ProcessKey> = self.suspects.intersection(&before).copied().collect();
        Ok(ended.into_iter().collect())
    }
}

impl Table {
    /// Hands over every key with its process.
    fn keys(&self, each: &mut dyn FnMut(u32, &[u8])) -> io::Result<()> {
        sys::keys(
            self.descriptor.as_fd(),
            self.key_size,
            self.value_size,
            &mut |key| {
                let process = key.get(self.process..).and_then(|rest| rest.first_chunk());
                each(process.copied().map_or(0, u32::from_ne_bytes), key);
            },
        )
    }
}

/// Which processes live: the programs know of most, `/proc` of all.
#[derive(Debug, Default)]
struct Living {
    followed: HashSet<u32>,
    asked: HashMap<u32, bool>,
}

impl Living {
    fn has(&mut self, pid: u32) -> bool {
        self.followed.contains(&pid)
            || *self
                .asked
                .entry(pid)
                .or_insert_with(|| Path::new(&format!("/proc/{pid}")).exists())
    }
}
