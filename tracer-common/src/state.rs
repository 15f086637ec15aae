//! Keys and values of the maps, and the globals that the loader sets.

/// Names one generation of one connection object; key of the verdict map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "user",
    derive(
        zerocopy::FromBytes,
        zerocopy::IntoBytes,
        zerocopy::KnownLayout,
        zerocopy::Immutable
    )
)]
#[repr(C)]
pub struct VerdictKey {
    /// Address of the connection object.
    pub address: u64,
    /// Thread-group id.
    pub process: u32,
    /// Generation of the object.
    pub generation: u32,
}

const _: () = assert!(size_of::<VerdictKey>() == 16);

/// Unit of the start of a process in `/proc/PID/stat`, which is all that can be read of one that has said nothing yet:
/// `USER_HZ` of `include/asm-generic/param.h`, the same on x86-64 and arm64.
pub const TICK_NS: u64 = 10_000_000;

/// What is kept of a process that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "user",
    derive(
        zerocopy::FromBytes,
        zerocopy::IntoBytes,
        zerocopy::KnownLayout,
        zerocopy::Immutable
    )
)]
#[repr(C)]
pub struct Followed {
    /// `start_boottime` of the thread-group leader, in ns; 0 while it was not yet read.
    pub start: u64,
    /// 1 once it was told who the process is.
    pub told: u64,
}

/// Names a process; key of the map of what was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "user",
    derive(
        zerocopy::FromBytes,
        zerocopy::IntoBytes,
        zerocopy::KnownLayout,
        zerocopy::Immutable
    )
)]
#[repr(C)]
pub struct ProcessId {
    /// `start_boottime` of the thread-group leader, in ns.
    pub start: u64,
    /// Thread-group id.
    pub process: u32,
    /// Zero.
    pub unused: u32,
}

const _: () = assert!(size_of::<ProcessId>() == 16);

/// Values of the verdict map, and of the connection state that the kernel side keeps.
pub mod verdict {
    /// Nobody has decided: a bounded prefix is handed over.
    pub const UNKNOWN: u32 = 0;
    /// The kernel side's own guess: everything is handed over until user space says otherwise.
    pub const LIKELY: u32 = 1;
    /// User space wants everything.
    pub const WANT: u32 = 2;
    /// User space wants nothing more.
    pub const IGNORE: u32 = 3;
}

/// Slots of the per-CPU array of losses; each holds a count of records and a count of bytes.
pub mod loss {
    /// The ring buffer was full.
    pub const RING_FULL: u32 = 0;
    /// `bpf_probe_read_user` failed.
    pub const READ_FAULT: u32 = 1;
    /// The middle of a call beyond the per-call cap.
    pub const CALL_CAP: u32 = 2;
    /// A map was full, so a call, a connection or a process is not followed.
    pub const MAP_FULL: u32 = 3;
    /// TLS records that no probe saw.
    pub const UNSEEN: u32 = 4;
    /// The process, or its control group, held more than its share of the ring buffer.
    pub const PROCESS_SHARE: u32 = 5;
    /// How many there are.
    pub const SLOTS: u32 = 6;
}

/// Slots of `PROGRAMS`, which programs go on in.
pub mod program {
    /// Calls that take many records of the ring.
    pub const CALL_RETURN_LARGE: u32 = 0;
    /// Which two cipher states of rustls belong together.
    pub const RUSTLS_PAIR: u32 = 1;
    /// Which connection a record of rustls belongs to.
    pub const RUSTLS_SETTLE: u32 = 2;
    /// A record of rustls that was decrypted, on its way out.
    pub const RUSTLS_HAND_OVER_READ: u32 = 3;
    /// A record of rustls that is encrypted in one piece.
    pub const RUSTLS_HAND_OVER_WRITTEN: u32 = 4;
    /// A record of rustls that is encrypted from several pieces.
    pub const RUSTLS_HAND_OVER_PIECES: u32 = 5;
    /// How many there are.
    pub const SLOTS: u32 = 6;
}

/// Places in `TASK_OFFSETS`: where the members are that the kernel side reads of `task_struct` and its neighbours. They
/// differ from kernel to kernel, so the loader takes them from the running kernel's BTF.
pub mod offset {
    /// `task_struct.tgid`
    pub const TASK_TGID: usize = 0;
    /// `task_struct.group_leader`
    pub const TASK_GROUP_LEADER: usize = 1;
    /// `task_struct.start_boottime`
    pub const TASK_START_BOOTTIME: usize = 2;
    /// `task_struct.signal`
    pub const TASK_SIGNAL: usize = 3;
    /// `signal_struct.live`
    pub const SIGNAL_LIVE: usize = 4;
    /// `task_struct.real_parent`
    pub const TASK_PARENT: usize = 5;
    /// `task_struct.mm`
    pub const TASK_MEMORY: usize = 6;
    /// `mm_struct.arg_start`
    pub const ARGUMENTS_START: usize = 7;
    /// `mm_struct.arg_end`, where the environment begins
    pub const ARGUMENTS_END: usize = 8;
    /// `mm_struct.env_end`
    pub const ENVIRONMENT_END: usize = 9;
    /// `task_struct.cgroups`; 0 where the kernel has none of these
    pub const TASK_GROUPS: usize = 10;
    /// `css_set.dfl_cgrp`
    pub const GROUP: usize = 11;
    /// `cgroup.kn`
    pub const GROUP_NODE: usize = 12;
    /// `kernfs_node.name`
    pub const NODE_NAME: usize = 13;
    /// `kernfs_node.parent`, since 6.15 `__parent`
    pub const NODE_PARENT: usize = 14;
    /// How many there are.
    pub const COUNT: usize = 15;
}
