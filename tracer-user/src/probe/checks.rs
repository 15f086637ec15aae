//! What the host gives and what it lacks for tracing, each with its remedy: the facts behind `geophone doctor`.

use std::fs;

use aya::maps::MapType;
use aya::sys::is_map_supported;

use super::OLDEST_KERNEL;
use super::watch::Watch;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub subject: &'static str,
    /// How it stands.
    pub status: Status,
    /// What was found.
    pub finding: String,
    /// What to do about it; `None` when all is well.
    pub remedy: Option<&'static str>,
}

/// How one thing stands. The order is from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Fine,
    /// Tracing works, with a loss that the finding names.
    Limited,
    /// Tracing cannot work.
    Missing,
}

/// Looks at everything that tracing depends on.
pub fn checks() -> Vec<Check> {
    let release = read("/proc/sys/kernel/osrelease");
    let capabilities = Capabilities::parse(&read("/proc/self/status"));
    let mut checks = vec![
        kernel(&release),
        btf(fs::metadata("/sys/kernel/btf/vmlinux").is_ok()),
        uprobes(&read("/sys/bus/event_source/devices/uprobe/type")),
        lockdown(&read("/sys/kernel/security/lockdown")),
        programs(capabilities, &release, refused_system_call()),
        // Memory maps may be read with CAP_PERFMON since 6.14, files may not.
        other_processes(capabilities, fs::read_link("/proc/1/root").is_ok()),
        replaced_files(capabilities),
        pid_namespace(
            &fs::read_link("/proc/self/ns/pid")
                .map(|link| link.to_string_lossy().into_owned())
                .unwrap_or_default(),
        ),
        paranoid(&read("/proc/sys/kernel/perf_event_paranoid"), capabilities),
        events(Watch::start().err().map(|error| error.to_string())),
    ];
    checks.extend(return_probes(&release));
    checks
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

impl Check {
    fn fine(subject: &'static str, finding: impl Into<String>) -> Self {
        Self {
            subject,
            status: Status::Fine,
            finding: finding.into(),
            remedy: None,
        }
    }

    fn limited(subject: &'static str, finding: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            subject,
            status: Status::Limited,
            finding: finding.into(),
            remedy: Some(remedy),
        }
    }

    fn missing(subject: &'static str, finding: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            subject,
            status: Status::Missing,
            finding: finding.into(),
            remedy: Some(remedy),
        }
    }
}

/// Reads the start of a release such as `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn kernel(release: &str) -> Check {
    const SUBJECT: &str = "kernel";
    let (major, minor) = OLDEST_KERNEL;
    match version(release) {
        Some(version) if version >= OLDEST_KERNEL => Check::fine(SUBJECT, release),
        Some(_) => Check::missing(
            SUBJECT,
            format!("{release} is older than {major}.{minor}"),
            "run a kernel of 5.15 or later",
        ),
        None => Check::limited(
            SUBJECT,
            format!("version cannot be told from {release:?}"),
            "make sure that it is 5.15 or later",
        ),
    }
}

fn btf(is_there: bool) -> Check {
    const SUBJECT: &str = "kernel type information";
    if is_there {
        Check::fine(SUBJECT, "/sys/kernel/btf/vmlinux")
    } else {
        Check::missing(
            SUBJECT,
            "/sys/kernel/btf/vmlinux is not there",
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as all common distributions do; in a container, mount /sys",
        )
    }
}

fn uprobes(kind: &str) -> Check {
    const SUBJECT: &str = "uprobes";
    if kind.is_empty() {
        Check::missing(
            SUBJECT,
            "/sys/bus/event_source/devices/uprobe is not there",
            "use a kernel built with CONFIG_UPROBE_EVENTS=y; in a container, mount /sys",
        )
    } else {
        Check::fine(SUBJECT, "supported by the kernel")
    }
}

/// The chosen mode stands in brackets: `none [integrity] confidentiality`; see `kernel_lockdown(7)`.
fn lockdown(modes: &str) -> Check {
    const SUBJECT: &str = "lockdown";
    if modes.contains("[confidentiality]") {
        Check::missing(
            SUBJECT,
            "the kernel is locked down for confidentiality, which forbids BPF to read memory",
            "boot with lockdown=integrity or without lockdown",
        )
    } else {
        Check::fine(SUBJECT, "does not forbid tracing")
    }
}

/// Effective capabilities of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Capabilities(u64);

impl Capabilities {
    // Numbers of `include/uapi/linux/capability.h`.
    const DAC_OVERRIDE: u32 = 1;
    const DAC_READ_SEARCH: u32 = 2;
    const SYS_PTRACE: u32 = 19;
    const SYS_ADMIN: u32 = 21;
    const PERFMON: u32 = 38;
    const BPF: u32 = 39;
    const CHECKPOINT_RESTORE: u32 = 40;

    /// Reads them from `/proc/PID/status`.
    fn parse(status: &str) -> Self {
        Self(
            status
                .lines()
                .find_map(|line| line.strip_prefix("CapEff:"))
                .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .unwrap_or(0),
        )
    }

    fn has(self, capability: u32) -> bool {
        self.0 & (1 << capability) != 0
    }

    /// The names of those that are missing, of the ones asked for.
    fn lacking(self, wanted: &[(u32, &str)]) -> Vec<String> {
        wanted
            .iter()
            .filter(|(capability, _)| !self.has(*capability))
            .map(|(_, name)| (*name).to_owned())
            .collect()
    }
}

/// Makes the smallest map and drops it: a seccomp profile refuses the call whatever the capabilities are.
fn refused_system_call() -> Option<String> {
    let error = is_map_supported(MapType::Array).err()?;
    Some(error.io_error.to_string())
}

fn programs(capabilities: Capabilities, release: &str, refused: Option<String>) -> Check {
    const SUBJECT: &str = "right to load and attach programs";
    let is_administrator = capabilities.has(Capabilities::SYS_ADMIN);
    let lacking = capabilities.lacking(&[
        (Capabilities::BPF, "CAP_BPF"),
        (Capabilities::PERFMON, "CAP_PERFMON"),
    ]);
    if !lacking.is_empty() && !is_administrator {
        return Check::missing(
            SUBJECT,
            format!("{} missing", lacking.join(" and ")),
            "run as root, or grant CAP_BPF and CAP_PERFMON (in Kubernetes: privileged, or securityContext.capabilities.add)",
        );
    }
    if let Some(error) = refused {
        return Check::missing(
            SUBJECT,
            format!("the capabilities are there, but bpf() fails: {error}"),
            "let the seccomp profile of the container (or the SystemCallFilter of the unit) pass bpf and perf_event_open, \
             or run privileged",
        );
    }
    if is_administrator {
        return Check::fine(SUBJECT, "CAP_SYS_ADMIN");
    }
    // Without links of many places each probe is a perf event, which kernels with the fixes of July 2025 keep for
    // CAP_SYS_ADMIN ("perf: Revert to requiring CAP_SYS_ADMIN for uprobes").
    if version(release).is_some_and(|version| version < (6, 6)) {
        return Check::limited(
            SUBJECT,
            format!("CAP_BPF and CAP_PERFMON; {release} may ask for CAP_SYS_ADMIN to attach"),
            "if probes cannot be attached, grant CAP_SYS_ADMIN, or run Linux 6.6 or later",
        );
    }
    Check::fine(SUBJECT, "CAP_BPF and CAP_PERFMON")
}

fn other_processes(capabilities: Capabilities, init_is_readable: bool) -> Check {
    const SUBJECT: &str = "right to look at other processes";
    let mut lacking = Vec::new();
    if !capabilities.has(Capabilities::SYS_PTRACE) && !init_is_readable {
        lacking.push("CAP_SYS_PTRACE");
    }
    if !capabilities.has(Capabilities::DAC_READ_SEARCH) && !capabilities.has(Capabilities::DAC_OVERRIDE) {
        lacking.push("CAP_DAC_READ_SEARCH");
    }
    if lacking.is_empty() {
        Check::fine(SUBJECT, "not restricted here")
    } else {
        Check::limited(
            SUBJECT,
            format!(
                "{} missing: libraries of other users' and containers' processes are not found",
                lacking.join(" and ")
            ),
            "run as root, or grant CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
        )
    }
}

/// `/proc/PID/map_files` leads to a file that has no name any more; see `proc_pid_map_files(5)`.
fn replaced_files(capabilities: Capabilities) -> Check {
    const SUBJECT: &str = "right to look at replaced files";
    if capabilities.has(Capabilities::CHECKPOINT_RESTORE) || capabilities.has(Capabilities::SYS_ADMIN) {
        Check::fine(SUBJECT, "not restricted here")
    } else {
        Check::limited(
            SUBJECT,
            "CAP_CHECKPOINT_RESTORE missing: libraries that were replaced on disk while a process uses them are not found",
            "grant CAP_CHECKPOINT_RESTORE, or restart processes after an upgrade of their libraries",
        )
    }
}

/// The first namespace has a fixed number, `PROC_PID_INIT_INO` of the kernel's `include/linux/proc_ns.h`.
fn pid_namespace(link: &str) -> Check {
    const SUBJECT: &str = "process ids";
    if link == "pid:[4026531836]" {
        Check::fine(SUBJECT, "those of the host")
    } else {
        Check::limited(
            SUBJECT,
            "this is a pid namespace of its own: processes outside of it are not found",
            "share the host's pid namespace (Kubernetes: hostPID: true, Docker: --pid=host)",
        )
    }
}

/// Some distributions know levels above the kernel's own 2 and ask for `CAP_SYS_ADMIN` there.
fn paranoid(level: &str, capabilities: Capabilities) -> Check {
    const SUBJECT: &str = "perf_event_paranoid";
    let is_strict = level.parse().is_ok_and(|level: i32| level > 3);
    if is_strict && !capabilities.has(Capabilities::SYS_ADMIN) {
        Check::missing(
            SUBJECT,
            format!("{level}, at which CAP_PERFMON is not enough"),
            "grant CAP_SYS_ADMIN, or set sysctl kernel.perf_event_paranoid=2",
        )
    } else {
        Check::fine(SUBJECT, level)
    }
}

fn events(error: Option<String>) -> Check {
    const SUBJECT: &str = "events of processes and libraries";
    match error {
        None => Check::fine(SUBJECT, "received from the kernel"),
        Some(error) => Check::limited(
            SUBJECT,
            format!("perf_event_open failed: {error}; new libraries are found up to a second late"),
            "grant CAP_PERFMON; in a container, let seccomp pass perf_event_open",
        ),
    }
}

/// Since 6.11 a return probe ends in a system call of its own, which seccomp filters kill; 6.14 lets it through.
fn return_probes(release: &str) -> Option<Check> {
    let is_affected = version(release).is_some_and(|version| ((6, 11)..(6, 14)).contains(&version));
    is_affected.then(|| {
        Check::limited(
            "return probes under seccomp",
            format!(
                "{release}: from 6.11 to 6.13 a return probe can kill a process that has a seccomp filter, unless the fix \
                 of 6.14 was taken over"
            ),
            "make sure that the kernel has the fix (stable 6.12 and 6.13 took it), or run 6.14 or later",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Capabilities = Capabilities(u64::MAX);
    const NOBODY: Capabilities = Capabilities(0);

    #[test]
    fn the_oldest_kernel_is_a_border() {
        assert_eq!(kernel("5.15.0-91-generic").status, Status::Fine);
        assert_eq!(kernel("6.18.44-fc-v595").status, Status::Fine);
        assert_eq!(kernel("5.14.0-427.el9").status, Status::Missing);
        assert_eq!(kernel("").status, Status::Limited);
    }

    #[test]
    fn a_missing_capability_is_named_with_its_remedy() {
        assert_eq!(programs(ROOT, "6.12.1", None).status, Status::Fine);
        let check = programs(Capabilities(1 << Capabilities::BPF), "6.12.1", None);
        assert_eq!(check.status, Status::Missing);
        assert_eq!(check.finding, "CAP_PERFMON missing");
        assert!(check.remedy.unwrap().contains("CAP_PERFMON"));
        assert_eq!(other_processes(NOBODY, false).status, Status::Limited);
        assert_eq!(replaced_files(NOBODY).status, Status::Limited);
    }

    #[test]
    fn two_capabilities_suffice_where_one_link_holds_all_probes() {
        let two = Capabilities(1 << Capabilities::BPF | 1 << Capabilities::PERFMON);
        assert_eq!(programs(two, "6.6.0", None).status, Status::Fine);
        assert_eq!(programs(two, "6.1.0-41-amd64", None).status, Status::Limited);
        assert_eq!(programs(ROOT, "6.1.0-41-amd64", None).status, Status::Fine);
    }

    #[test]
    fn a_profile_that_refuses_the_call_is_named_and_a_missing_capability_comes_first() {
        let refused = || Some("Operation not permitted".to_owned());
        for capabilities in [
            ROOT,
            Capabilities(1 << Capabilities::BPF | 1 << Capabilities::PERFMON),
        ] {
            let check = programs(capabilities, "6.12.1", refused());
            assert_eq!(check.status, Status::Missing);
            assert!(check.remedy.unwrap().contains("seccomp"), "{check:?}");
        }
        let check = programs(NOBODY, "6.12.1", refused());
        assert_eq!(check.finding, "CAP_BPF and CAP_PERFMON missing");
    }

    #[test]
    fn capabilities_are_read_from_the_status_of_a_process() {
        let status = "Name:\tgeophone\nCapPrm:\t0000000000000000\nCapEff:\t000001ffffffffff\n";
        assert!(Capabilities::parse(status).has(Capabilities::BPF));
        assert_eq!(Capabilities::parse(""), NOBODY);
    }

    #[test]
    fn the_strictest_lockdown_forbids_and_the_others_do_not() {
        assert_eq!(
            lockdown("none integrity [confidentiality]").status,
            Status::Missing
        );
        assert_eq!(lockdown("none [integrity] confidentiality").status, Status::Fine);
        assert_eq!(lockdown("").status, Status::Fine);
    }

    #[test]
    fn a_level_of_four_asks_for_more_than_perfmon() {
        let perfmon = Capabilities(1 << Capabilities::PERFMON);
        assert_eq!(paranoid("4", perfmon).status, Status::Missing);
        assert_eq!(paranoid("4", ROOT).status, Status::Fine);
        assert_eq!(paranoid("2", perfmon).status, Status::Fine);
    }

    #[test]
    fn kernels_where_return_probes_can_kill_are_told() {
        assert!(return_probes("6.12.1").is_some());
        assert!(return_probes("6.10.14").is_none());
        assert!(return_probes("6.14.0").is_none());
    }

    #[test]
    fn every_problem_has_a_remedy() {
        let problems = [
            btf(false),
            uprobes(""),
            pid_namespace("pid:[4026532000]"),
            other_processes(NOBODY, false),
            replaced_files(NOBODY),
            events(Some("Permission denied".to_owned())),
        ];
        for check in problems.into_iter().chain(checks()) {
            assert_eq!(check.remedy.is_some(), check.status != Status::Fine, "{check:?}");
        }
    }
}
