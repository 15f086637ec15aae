//! Who a process is.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::clock;
use super::identity::Identity;
use crate::event::{Process, ProcessKey};

/// Processes remembered, the ones that ended included: their last records may still be in the ring.
const MAX_PROCESSES: usize = 8192;
/// Bytes of a command line that are read.
const MAX_COMMAND_LINE: u64 = 16 * 1024;
/// Bytes of an environment that are searched.
const MAX_ENVIRONMENT: u64 = 1024 * 1024;
/// Hexadecimal digits of the shortest id of a container, which is Fargate's.
const MIN_CONTAINER_ID: usize = 32;
/// Environment variables that name the service.
const SERVICE_VARIABLES: [&str; 2] = ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"];

/// Remembers who processes are, so that short-lived ones are named even when they are gone.
#[derive(Debug, Default)]
pub struct Processes {
    known: HashMap<u32, Facts>,
    /// Pids in the order they were first noted; the oldest makes room.
    order: VecDeque<u32>,
}

/// What is known of the process that has a pid now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Facts {
    /// Start as `/proc/PID/stat` gives it; `None` when it could not be read.
    start_ticks: Option<u64>,
    parent_pid: u32,
    executable: String,
    command_line: Vec<String>,
    environment: Vec<(String, String)>,
    cgroup: String,
}

impl Processes {
    /// A process runs a new program: what was known of it is over. Its first mapping will name it.
    pub fn executed(&mut self, pid: u32) {
        let (parent_pid, inherited) = self
            .known
            .get(&pid)
            .map_or_else(Default::default, |facts| (facts.parent_pid, facts.cgroup.clone()));
        // A container's first program: its runtime has just moved it. Gone already, it was where its parent was.
        let facts = Facts {
            parent_pid,
            cgroup: cgroup(pid).unwrap_or(inherited),
            ..Facts::default()
        };
        self.remember(pid, facts);
    }

    /// A process was made: until it runs another program it is as its parent.
    pub fn forked(&mut self, pid: u32, parent: u32) {
        let start_ticks = Stat::read(pid).map(|stat| stat.start_ticks);
        let of_parent = self.known.get(&parent).cloned().unwrap_or_default();
        let facts = Facts {
            start_ticks,
            parent_pid: parent,
            ..of_parent
        };
        self.remember(pid, facts);
    }

    /// A process mapped a file as code. The first one of a new program is its executable, which is all that is known of
    /// a process that goes away at once.
    pub fn mapped(&mut self, pid: u32, path: &Path) {
        if let Some(known) = self.known.get_mut(&pid)
            && known.executable.is_empty()
        {
            known.executable = path.to_string_lossy().into_owned();
        }
    }

    /// A process has TLS, so it may have spans to name: reads who it is while it lives.
    pub fn read(&mut self, pid: u32) {
        let facts = Facts::read(pid);
        if !facts.command_line.is_empty() {
            self.remember(pid, facts);
        }
    }

    /// The process itself told who it is, before its first connection. As long as it lives `/proc` knows as much, and
    /// what its executable is beside.
    pub fn told(&mut self, key: ProcessKey, identity: Identity) {
        if self.describe(key).command_line.is_empty() {
            let Identity {
                parent_pid,
                command_line,
                environment,
                cgroup,
            } = identity;
            let known = self.known.get(&key.pid).filter(|facts| facts.belong_to(key));
            let (executable, of_events) = known
                .map(|facts| (facts.executable.clone(), facts.cgroup.clone()))
                .unwrap_or_default();
            let facts = Facts {
                start_ticks: Some(key.start_ns / tick_ns()),
                parent_pid,
                executable,
                command_line,
                environment,
                // A host with both versions of control groups may tell containers in those of version 1 alone.
                cgroup: if id_length(&of_events) > id_length(&cgroup) {
                    of_events
                } else {
                    cgroup
                },
            };
            self.remember(key.pid, facts);
        }
    }

    /// Who the process is, from memory or else from `/proc`.
    pub fn describe(&mut self, key: ProcessKey) -> Arc<Process> {
        let is_remembered = self
            .known
            .get(&key.pid)
            .is_some_and(|facts| facts.belong_to(key) && !facts.command_line.is_empty());
        if is_remembered {
            self.remembered(key)
        } else {
            self.refresh(key)
        }
    }

    /// Who the process is after `execve`: from `/proc` if it still lives.
    pub fn refresh(&mut self, key: ProcessKey) -> Arc<Process> {
        let facts = Facts::read(key.pid);
        if facts.start_ticks.is_some() && facts.belong_to(key) && !facts.command_line.is_empty() {
            self.remember(key.pid, facts);
        }
        self.remembered(key)
    }

    fn remembered(&self, key: ProcessKey) -> Arc<Process> {
        let facts = self
            .known
            .get(&key.pid)
            .filter(|facts| facts.belong_to(key))
            .cloned()
            .unwrap_or_default();
        let Facts {
            start_ticks: _,
            parent_pid,
            executable,
            command_line,
            environment,
            cgroup,
        } = facts;
        Arc::new(Process {
            key,
            parent_pid,
            executable,
            command_line,
            environment,
            cgroup,
            pod: None,
            withheld: crate::event::pod::Wishes::default(),
        })
    }

    fn remember(&mut self, pid: u32, facts: Facts) {
        if self.known.insert(pid, facts).is_none() {
            self.order.push_back(pid);
            if self.order.len() > MAX_PROCESSES
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }
}

impl Facts {
    fn read(pid: u32) -> Self {
        let stat = Stat::read(pid);
        Self {
            start_ticks: stat.map(|stat| stat.start_ticks),
            parent_pid: stat.map_or(0, |stat| stat.parent_pid),
            executable: executable(pid).unwrap_or_default(),
            command_line: command_line(pid).unwrap_or_default(),
            environment: environment(pid).unwrap_or_default(),
            cgroup: cgroup(pid).unwrap_or_default(),
        }
    }

    /// Whether these facts are of the process with this key and not of another one that had the pid. `/proc` rounds the
    /// start down to clock ticks; facts without a start were noted under this pid last and are taken.
    fn belong_to(&self, key: ProcessKey) -> bool {
        self.start_ticks
            .is_none_or(|ticks| ticks == key.start_ns / tick_ns())
    }
}

/// Length of a clock tick, the unit of times in `/proc`.
fn tick_ns() -> u64 {
    1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// The fields of `/proc/PID/stat` that say where a process comes from; see `proc_pid_stat(5)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) parent_pid: u32,
    /// Since boot, by the clock of the host.
    pub(super) start_ticks: u64,
}

impl Stat {
    pub(super) fn read(pid: u32) -> Option<Self> {
        let stat = Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        let shift = clock::boottime_shift_ns() / i64::try_from(tick_ns()).ok()?;
        Some(Self {
            start_ticks: stat.start_ticks.checked_sub_signed(shift)?,
            ..stat
        })
    }

    fn parse(line: &str) -> Option<Self> {
        // Field 2 is the name in parentheses and may hold anything, parentheses too.
        let (_, behind_name) = line.rsplit_once(')')?;
        let mut fields = behind_name.split_ascii_whitespace();
        let parent_pid = fields.nth(1)?.parse().ok()?;
        let start_ticks = fields.nth(17)?.parse().ok()?;
        Some(Self {
            parent_pid,
            start_ticks,
        })
    }
}

/// What `/proc/PID/exe` points to.
pub(super) fn executable(pid: u32) -> io::Result<String> {
    let target = fs::read_link(format!("/proc/{pid}/exe"))?;
    let text = target.to_string_lossy();
    Ok(text.strip_suffix(" (deleted)").unwrap_or(&text).to_owned())
}

/// The arguments, the program's name first.
pub(super) fn command_line(pid: u32) -> io::Result<Vec<String>> {
    let bytes = read_at_most(pid, "cmdline", MAX_COMMAND_LINE)?;
    Ok(strings(&bytes).map(str_of).collect())
}

fn environment(pid: u32) -> io::Result<Vec<(String, String)>> {
    Ok(service_variables(&read_at_most(pid, "environ", MAX_ENVIRONMENT)?))
}

/// Of an environment the variables that name the service.
pub(super) fn service_variables(bytes: &[u8]) -> Vec<(String, String)> {
    strings(bytes)
        .filter_map(|variable| {
            let (name, value) = variable.split_at(memchr::memchr(b'=', variable)?);
            let name = SERVICE_VARIABLES
                .into_iter()
                .find(|wanted| wanted.as_bytes() == name)?;
            Some((name.to_owned(), str_of(value.get(1..)?)))
        })
        .collect()
}

/// The path of its control group that tells most.
pub fn cgroup(pid: u32) -> io::Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    Ok(telling_cgroup(&text).to_owned())
}

/// The path that tells most: the last with the longest id of a container, else the last that is not the root. On a host
/// with both versions of cgroups a container may be visible in the lines of version 1 only, while that of version 2 says
/// the root or the service of the runtime.
fn telling_cgroup(text: &str) -> &str {
    text.lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .max_by_key(|path| (id_length(path), *path != "/"))
        .unwrap_or_default()
}

/// Length of what may be the id of a container: the longest run of hexadecimal digits, if it is long enough.
fn id_length(path: &str) -> usize {
    path.split(|letter: char| !letter.is_ascii_hexdigit())
        .map(str::len)
        .filter(|length| *length >= MIN_CONTAINER_ID)
        .max()
        .unwrap_or(0)
}

fn read_at_most(pid: u32, name: &str, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/{name}"))?
        .take(limit)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Strings that end with a NUL each.
pub(super) fn strings(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .strip_suffix(&[0])
        .unwrap_or(bytes)
        .split(|byte| *byte == 0)
        .take(if bytes.is_empty() { 0 } else { usize::MAX })
}

fn str_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
