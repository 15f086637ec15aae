//! Brings the programs into the kernel: object, globals, maps, and an error a person can act on when that fails.

use std::fs;

use aya::maps::{HashMap, MapData, ProgramArray, RingBuf};
use aya::programs::{ProgramError, RawTracePoint, UProbe};
use aya::{Ebpf, EbpfError, EbpfLoader};
use tracer_common::state::{Followed, offset};

use super::btf::{self, Btf};
use super::losses::Losses;
use super::multi::MultiPrograms;
use super::sweep::Tables;
use super::{Error, Links, Scope, left_alone, verdicts};

#[cfg(target_arch = "x86_64")]
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/tracer.x86_64.o");
#[cfg(target_arch = "aarch64")]
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/tracer.aarch64.o");
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("geophone's kernel side is built for x86_64 and aarch64");

/// Oldest kernel that runs the programs: attach cookies came with 5.15.
pub const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// Names of the uprobe programs in the object.
pub(super) mod program {
    use tracer_common::state::program as slot;

    pub(in super::super) const CALL_ENTRY: &str = "call_entry";
    pub(in super::super) const CALL_RETURN: &str = "call_return";
    pub(in super::super) const CONNECTION_NEW: &str = "connection_new";
    pub(in super::super) const CONNECTION_FREE: &str = "connection_free";
    pub(in super::super) const CONNECTION_CONTROL: &str = "connection_control";
    pub(in super::super) const RUSTLS_ENCRYPT: &str = "rustls_encrypt";
    pub(in super::super) const RUSTLS_DECRYPT: &str = "rustls_decrypt";
    pub(in super::super) const RUSTLS_DECRYPTED: &str = "rustls_decrypted";
    pub(in super::super) const GO_WRITE: &str = "go_write";
    pub(in super::super) const GO_READ: &str = "go_read";
    pub(in super::super) const GO_READ_RETURNS: &str = "go_read_returns";
    pub(in super::super) const GO_HANDSHAKE: &str = "go_handshake";
    pub(in super::super) const GO_CLOSE: &str = "go_close";
    /// Attached to nothing: `call_return` goes on in it.
    pub(super) const CALL_RETURN_LARGE: &str = "call_return_large";
    pub(super) const RUSTLS_PAIR: &str = "rustls_pair";
    pub(super) const RUSTLS_SETTLE: &str = "rustls_settle";
    pub(super) const RUSTLS_WRITTEN: &str = "rustls_written";
    pub(super) const RUSTLS_READ: &str = "rustls_read";
    pub(super) const RUSTLS_PIECES: &str = "rustls_pieces";
    pub(super) const UPROBES: [&str; 19] = [
        CALL_ENTRY,
        CALL_RETURN,
        CALL_RETURN_LARGE,
        CONNECTION_NEW,
        CONNECTION_FREE,
        CONNECTION_CONTROL,
        RUSTLS_ENCRYPT,
        RUSTLS_DECRYPT,
        RUSTLS_DECRYPTED,
        RUSTLS_PAIR,
        RUSTLS_SETTLE,
        RUSTLS_WRITTEN,
        RUSTLS_READ,
        RUSTLS_PIECES,
        GO_WRITE,
        GO_READ,
        GO_READ_RETURNS,
        GO_HANDSHAKE,
        GO_CLOSE,
    ];
    /// Programs that others go on in, with their slot.
    pub(super) const CONTINUATIONS: [(u32, &str); slot::SLOTS as usize] = [
        (slot::CALL_RETURN_LARGE, CALL_RETURN_LARGE),
        (slot::RUSTLS_PAIR, RUSTLS_PAIR),
        (slot::RUSTLS_SETTLE, RUSTLS_SETTLE),
        (slot::RUSTLS_HAND_OVER_WRITTEN, RUSTLS_WRITTEN),
        (slot::RUSTLS_HAND_OVER_READ, RUSTLS_READ),
        (slot::RUSTLS_HAND_OVER_PIECES, RUSTLS_PIECES),
    ];
    /// With the tracepoint of each.
    pub(super) const TRACEPOINTS: [(&str, &str); 3] = [
        ("process_fork", "sched_process_fork"),
        ("process_exec", "sched_process_exec"),
        ("process_exit", "sched_process_exit"),
    ];
}

/// The kernel side, loaded; the scheduler's tracepoints are attached, no uprobe is.
pub(super) struct Kernel {
    /// The programs; dropping them detaches everything.
    pub(super) ebpf: Ebpf,
    /// The uprobe programs for links of many places; `None` where the kernel has none, and aya's own are used.
    pub(super) multi: Option<MultiPrograms>,
    /// Everything that happens.
    pub(super) ring: RingBuf<MapData>,
    /// What the programs remember.
    pub(super) tables: Tables,
    /// Programs that go on for others.
    programs: ProgramArray<MapData>,
    /// Which processes are followed.
    processes: HashMap<MapData, u32, [u64; 2]>,
    /// What user space decided; handed out once.
    verdicts: Option<verdicts::Map>,
    /// Which processes are left alone; handed out once.
    left_alone: Option<left_alone::Map>,
    /// What was not handed over.
    pub(super) losses: Losses,
    /// Passes on the rare diagnostics of the programs.
    pub(super) flush_log: Box<dyn FnMut() + Send>,
}

/// Loads the programs, with the scope already in force.
pub(super) fn load(scope: &Scope, ring_bytes: u32, links: Links) -> Result<Kernel, Error> {
    check_kernel()?;
    check_capabilities()?;
    let offsets = task_offsets()?;
    let trace_all = u32::from(*scope == Scope::All);
    let agent = std::process::id();
    let mut ebpf = EbpfLoader::new()
        // The programs have no relocations against kernel types: their offsets are globals.
        .btf(None)
        .override_global("TRACE_ALL", &trace_all, true)
        .override_global("AGENT", &agent, true)
        .override_global("TASK_OFFSETS", &offsets, true)
        .map_max_entries("EVENTS", ring_size(ring_bytes))
        .load(OBJECT)
        .map_err(|error| refused(&error))?;
    // Before any map is taken out: the programs know all of them.
    let multi = match links {
        Links::Joined => many_at_once(&ebpf),
        Links::Single => None,
    };
    // Before aya's programs are loaded: the log is a map of theirs.
    let mut logger =
        aya_log::EbpfLogger::init(&mut ebpf).map_err(|error| Error::Object(error.to_string()))?;
    let mut kernel = Kernel {
        multi,
        tables: Tables::of(&ebpf)?,
        ring: take_map(&mut ebpf, "EVENTS")?,
        programs: take_map(&mut ebpf, "PROGRAMS")?,
        processes: take_map(&mut ebpf, "PROCESSES")?,
        verdicts: Some(take_map(&mut ebpf, "VERDICTS")?),
        left_alone: Some(take_map(&mut ebpf, "LEFT_ALONE")?),
        losses: Losses::new(take_map(&mut ebpf, "LOSSES")?, take_map(&mut ebpf, "REFUSED")?),
        flush_log: Box::new(move || logger.flush()),
        ebpf,
    };
    if kernel.multi.is_none() {
        kernel.load_uprobes()?;
    }
    for (name, tracepoint) in program::TRACEPOINTS {
        let program: &mut RawTracePoint = kernel.program(name)?;
        program.load().map_err(|error| refused(&error.into()))?;
        program
            .attach(tracepoint)
            .map_err(|error| refused(&error.into()))?;
    }
    Ok(kernel)
}

/// The uprobe programs for links of many places, if the kernel takes them. What it has against them is no reason not to
/// trace: each probe then is a link of its own.
fn many_at_once(ebpf: &Ebpf) -> Option<MultiPrograms> {
    match MultiPrograms::load(ebpf, OBJECT, &program::CONTINUATIONS) {
        Ok(programs) => programs,
        Err(reason) => {
            tracing::debug!(reason, "no links of many probes");
            None
        }
    }
}

impl Kernel {
    /// Loads the programs for one link a probe, and fills the slots through which they go on.
    fn load_uprobes(&mut self) -> Result<(), Error> {
        for name in program::UPROBES {
            let program: &mut UProbe = self.program(name)?;
            program.load().map_err(|error| refused(&error.into()))?;
        }
        for (slot, name) in program::CONTINUATIONS {
            let program: &mut UProbe = self.program(name)?;
            let descriptor = program
                .fd()
                .map_err(|error| refused(&error.into()))?
                .try_clone()
                .map_err(Error::Wait)?;
            self.programs.set(slot, &descriptor, 0)?;
        }
        Ok(())
    }

    /// Puts a process into the scope. Its start is read by the programs, in the process itself.
    pub(super) fn follow(&mut self, pid: u32) -> Result<(), Error> {
        if self.processes.get(&pid, 0).is_ok() {
            return Ok(());
        }
        let unread: [u64; 2] = zerocopy::transmute!(Followed::default());
        Ok(self.processes.insert(pid, unread, 0)?)
    }

    /// The map of verdicts, for the one handle that writes it.
    pub(super) fn verdicts(&mut self) -> Result<verdicts::Map, Error> {
        self.verdicts
            .take()
            .ok_or_else(|| Error::Object("its map of verdicts is taken".to_owned()))
    }

    /// The map of processes that are left alone, for the one handle that writes it.
    pub(super) fn left_alone(&mut self) -> Result<left_alone::Map, Error> {
        self.left_alone
            .take()
            .ok_or_else(|| Error::Object("its map of processes to leave alone is taken".to_owned()))
    }

    /// One of the programs of the object, by its name.
    pub(super) fn program<'a, P>(&'a mut self, name: &str) -> Result<&'a mut P, Error>
    where
        &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
    {
        self.ebpf
            .program_mut(name)
            .ok_or_else(|| Error::Object(format!("it has no program `{name}`")))?
            .try_into()
            .map_err(|error: ProgramError| Error::Object(format!("`{name}`: {error}")))
    }
}

fn take_map<M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<M, Error> {
    ebpf.take_map(name)
        .ok_or_else(|| Error::Object(format!("it has no map `{name}`")))?
        .try_into()
        .map_err(|error: aya::maps::MapError| Error::Object(format!("`{name}`: {error}")))
}

/// `bpf(2)` wants a power of two of whole pages.
fn ring_size(wanted: u32) -> u32 {
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(4096);
    wanted.clamp(page, 1 << 31).next_power_of_two()
}

fn task_offsets() -> Result<[u32; offset::COUNT], Error> {
    let file = fs::read(btf::KERNEL).map_err(btf::Error::from)?;
    let btf = Btf::parse(&file)?;
    let mut offsets = [0; offset::COUNT];
    for (place, structure, member) in [
        (offset::TASK_TGID, "task_struct", "tgid"),
        (offset::TASK_GROUP_LEADER, "task_struct", "group_leader"),
        (offset::TASK_START_BOOTTIME, "task_struct", "start_boottime"),
        (offset::TASK_SIGNAL, "task_struct", "signal"),
        (offset::SIGNAL_LIVE, "signal_struct", "live"),
        (offset::TASK_PARENT, "task_struct", "real_parent"),
        (offset::TASK_MEMORY, "task_struct", "mm"),
        (offset::ARGUMENTS_START, "mm_struct", "arg_start"),
        (offset::ARGUMENTS_END, "mm_struct", "arg_end"),
        (offset::ENVIRONMENT_END, "mm_struct", "env_end"),
    ] {
        offsets[place] = btf.offset(structure, member)?;
    }
    group_offsets(&btf, &mut offsets).unwrap_or_else(|error| {
        tracing::debug!(%error, "control groups are read from /proc alone");
        offsets[offset::TASK_GROUPS] = 0;
    });
    Ok(offsets)
}

/// Where the names of control groups are; a kernel may be built without them.
fn group_offsets(btf: &Btf<'_>, offsets: &mut [u32; offset::COUNT]) -> Result<(), btf::Error> {
    offsets[offset::TASK_GROUPS] = btf.offset("task_struct", "cgroups")?;
    offsets[offset::GROUP] = btf.offset("css_set", "dfl_cgrp")?;
    offsets[offset::GROUP_NODE] = btf.offset("cgroup", "kn")?;
    offsets[offset::NODE_NAME] = btf.offset("kernfs_node", "name")?;
    offsets[offset::NODE_PARENT] = btf
        .offset("kernfs_node", "__parent")
        .or_else(|_| btf.offset("kernfs_node", "parent"))?;
    Ok(())
}

fn check_kernel() -> Result<(), Error> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    match version_of(&release) {
        Some(version) if version < OLDEST_KERNEL => Err(Error::KernelTooOld { release }),
        // A release that cannot be read is left to the kernel to accept or refuse.
        _ => Ok(()),
    }
}

/// `6.1.0-28-amd64` is (6, 1).
fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Capability numbers of `include/uapi/linux/capability.h`.
const CAPABILITIES: [(u32, &str); 3] = [(21, "CAP_SYS_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];

fn check_capabilities() -> Result<(), Error> {
    // Where this cannot be read, the kernel itself says what is missing.
    let Some(effective) = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| effective_capabilities(&status))
    else {
        return Ok(());
    };
    let missing = missing_capabilities(effective);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::NotPermitted {
        missing: missing.join(" and "),
    })
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// `CAP_SYS_ADMIN` is all of it; since Linux 5.8 the other two together are enough.
fn missing_capabilities(effective: u64) -> Vec<&'static str> {
    let [(admin, _), rest @ ..] = CAPABILITIES;
    if effective >> admin & 1 == 1 {
        return Vec::new();
    }
    rest.iter()
        .filter(|(bit, _)| effective >> bit & 1 == 0)
        .map(|(_, name)| *name)
        .collect()
}

/// Says why the kernel refused, with the most likely reason first.
pub(super) fn refused(error: &EbpfError) -> Error {
    if let EbpfError::ProgramError(ProgramError::LoadError {
        io_error,
        verifier_log,
    }) = error
        && io_error.kind() != std::io::ErrorKind::PermissionDenied
    {
        let log = verifier_log.to_string();
        tracing::debug!("{log}");
        return Error::Verifier {
            reason: io_error.to_string(),
            end_of_log: last_lines(&log, 8),
        };
    }
    let locked = fs::read_to_string("/sys/kernel/security/lockdown")
        .is_ok_and(|modes| modes.contains("[confidentiality]"));
    if locked {
        return Error::Lockdown;
    }
    Error::Refused(chain(error))
}

/// The end of a log, where the verifier says what it does not like.
fn last_lines(log: &str, count: usize) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let first = lines.len().saturating_sub(count);
    lines.get(first..).unwrap_or_default().join("\n")
}

/// An error with everything that caused it, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kernel_releases_as_distributions_write_them() {
        assert_eq!(version_of("6.1.0-28-amd64"), Some((6, 1)));
        assert_eq!(version_of("5.4.0"), Some((5, 4)));
        assert_eq!(version_of("6.18+rc2"), Some((6, 18)));
        assert_eq!(version_of("six"), None);
        assert!(version_of("5.10.223").unwrap() < OLDEST_KERNEL);
    }

    #[test]
    fn names_the_missing_capabilities() {
        let status = "Name:\tgeophone\nCapEff:\t00000000a80425fb\nCapBnd:\t0\n";
        assert_eq!(
            missing_capabilities(effective_capabilities(status).unwrap()),
            ["CAP_PERFMON", "CAP_BPF"]
        );
        assert_eq!(missing_capabilities(1 << 38), ["CAP_BPF"]);
        assert!(missing_capabilities(1 << 38 | 1 << 39).is_empty());
        assert!(missing_capabilities(1 << 21).is_empty());
    }

    #[test]
    fn gives_the_ring_a_size_the_kernel_takes() {
        assert_eq!(ring_size(0), 4096);
        assert_eq!(ring_size(5000), 8192);
        assert_eq!(ring_size(32 << 20), 32 << 20);
        assert_eq!(ring_size(u32::MAX), 1 << 31);
    }
}
