//! What can go wrong with live tracing, and what to do about it.

use thiserror::Error;

use super::btf;

/// Why tracing could not start or go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel lacks what the programs need.
    #[error("Linux {release} is too old: geophone needs 5.15 or later (attach cookies for uprobes)")]
    KernelTooOld {
        /// `uname -r`
        release: String,
    },
    /// Capabilities are missing.
    #[error(
        "not allowed to load probes: {missing} missing; run as root (`sudo geophone …`), or give the container CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE"
    )]
    NotPermitted {
        /// Names of the missing capabilities.
        missing: String,
    },
    /// The lockdown mode forbids programs that read kernel memory.
    #[error(
        "the kernel is locked down in confidentiality mode (/sys/kernel/security/lockdown), which forbids probes; boot with lockdown=integrity or none"
    )]
    Lockdown,
    /// The kernel does not describe its structures.
    #[error(transparent)]
    Btf(#[from] btf::Error),
    /// The verifier refused a program.
    #[error(
        "the kernel's verifier refused a probe ({reason}); this is a defect of geophone on this kernel, please report it with what follows (all of it: --log debug)\n{end_of_log}"
    )]
    Verifier {
        /// What the system call said.
        reason: String,
        /// What the verifier said last.
        end_of_log: String,
    },
    /// The kernel refused something else.
    #[error("the kernel refused the probes: {0}")]
    Refused(String),
    /// The compiled object in this build does not fit the code around it.
    #[error("the compiled probes in this build are damaged: {0}; rebuild them with `cargo xtask ebpf`")]
    Object(String),
    /// A file could not be probed.
    #[error("cannot attach to {symbol} in {path}: {reason}")]
    Attach {
        /// The file.
        path: String,
        /// Function that the probe was meant for.
        symbol: String,
        /// What the kernel said.
        reason: String,
    },
    /// A process to trace is not there.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// A map of the kernel side did not take a value.
    #[error("cannot tell the kernel side what to trace: {0}")]
    Map(#[from] aya::maps::MapError),
    /// Waiting for events failed.
    #[error("cannot wait for events: {0}")]
    Wait(#[from] std::io::Error),
}
