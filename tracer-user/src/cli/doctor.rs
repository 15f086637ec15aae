//! `geophone doctor`: what can be traced here, what cannot, and how to change that.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::coverage::program;
use super::failure::Failure;
use super::pods::Pods;
use super::selection::Choice;
use super::settings::Settings;
use crate::event::pod::Wishes;
use crate::event::{ProbeEvent, Process, ProcessKey};
use crate::probe::checks::{self, Check, Status};
use crate::probe::coverage::{self, Coverage, Verdict};
use crate::probe::inspect;
use crate::probe::places::{self, Installed};
use crate::probe::process::cgroup;
use crate::select::{Told, explain};

/// Looks at the host and at every process, and prints what it finds.
pub(super) fn examine(settings: &Settings) -> Result<ExitCode, Failure> {
    let choice = Choice::new(&settings.selection, &settings.kubernetes)?;
    let mut processes = coverage::survey();
    let kept_back = kept_back(&choice, &mut Pods::open(&settings.kubernetes), &mut processes);
    let report = Report {
        checks: checks::checks(),
        processes,
        kept_back,
        hidden: hidden_processes(),
        installed: places::installed(),
    };
    tell(&report)?;
    Ok(if report.can_trace() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Looks into files, and prints where probes would go, or why not.
pub(super) fn look_into(files: &[PathBuf]) -> Result<ExitCode, Failure> {
    let mut code = ExitCode::SUCCESS;
    for path in files {
        let inspection = inspect::inspect(path).map_err(|error| {
            let remedy = "name a program or a shared library that you may read";
            Failure::new(format!("cannot look into {}", path.display()), error, remedy)
        })?;
        if inspection.outcome.is_err() {
            code = ExitCode::FAILURE;
        }
        tell(&inspection)?;
    }
    Ok(code)
}

/// What rules and pods keep back; marks who is left alone.
fn kept_back(choice: &Choice, pods: &mut Pods, processes: &mut [Coverage]) -> BTreeMap<u32, String> {
    let mut kept_back = BTreeMap::new();
    for process in processes {
        let event = pods.tell(ProbeEvent::Process(Arc::new(Process {
            key: ProcessKey {
                pid: process.pid,
                start_ns: 0,
            },
            parent_pid: 0,
            executable: process.executable.clone(),
            command_line: process.command_line.clone(),
            environment: Vec::new(),
            cgroup: cgroup(process.pid).unwrap_or_default(),
            pod: None,
            withheld: Wishes::default(),
        })));
        if let ProbeEvent::Process(told) = event
            && let Some(Told { left_alone, sentence }) = explain(&choice.rules, choice.in_pod, &told)
        {
            process.left_alone = left_alone;
            kept_back.insert(process.pid, sentence);
        }
    }
    kept_back
}

fn tell(findings: &dyn fmt::Display) -> Result<(), Failure> {
    match write!(io::stdout().lock(), "{findings}") {
        // Who stops reading (`| head`) has read what matters to them.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let remedy = "write to another place";
            Err(Failure::new("cannot write what the doctor found", error, remedy))
        }
        _ => Ok(()),
    }
}

/// Everything that was found.
struct Report {
    checks: Vec<Check>,
    processes: Vec<Coverage>,
    /// What rules and pods keep back of processes with TLS, by pid.
    kept_back: BTreeMap<u32, String>,
    /// Processes that we may not look into.
    hidden: usize,
    /// Programs that need not run yet.
    installed: Installed,
}

impl Report {
    fn can_trace(&self) -> bool {
        self.checks.iter().all(|check| check.status != Status::Missing)
    }

    fn with(&self, verdict: Verdict) -> impl Iterator<Item = &Coverage> {
        self.processes
            .iter()
            .filter(move |process| process.verdict() == verdict)
    }

    fn write_process(&self, f: &mut fmt::Formatter<'_>, process: &Coverage) -> fmt::Result {
        writeln!(f, "  {:>7}  {}", process.pid, program(process))?;
        if let Some(sentence) = self.kept_back.get(&process.pid) {
            writeln!(f, "           {sentence}")?;
        }
        for library in &process.libraries {
            writeln!(f, "           {library}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Host")?;
        for check in &self.checks {
            write_check(f, check)?;
        }

        writeln!(f, "\nProcesses with TLS that can be traced")?;
        let mut traceable = 0;
        for process in self.with(Verdict::Traced).chain(self.with(Verdict::Traceable)) {
            self.write_process(f, process)?;
            traceable += 1;
        }
        if traceable == 0 {
            writeln!(
                f,
                "  none at present; those that start later are found by `run`, and by `exec` in time"
            )?;
        }

        let mut untraceable = self.with(Verdict::NotTraceable).peekable();
        if untraceable.peek().is_some() {
            writeln!(f, "\nProcesses with TLS that cannot be traced")?;
        }
        for process in untraceable {
            self.write_process(f, process)?;
        }

        let mut left_alone = self.with(Verdict::LeftAlone).peekable();
        if left_alone.peek().is_some() {
            writeln!(f, "\nProcesses with TLS that are left alone")?;
        }
        for process in left_alone {
            self.write_process(f, process)?;
        }

        let without = self.with(Verdict::NoTls).count();
        writeln!(f, "\nOther processes without TLS that geophone knows: {without}")?;
        if self.hidden > 0 {
            writeln!(f, "Processes that this user may not look into: {}", self.hidden)?;
        }
        write_installed(f, &self.installed)?;
        if self.can_trace() {
            writeln!(f, "This host can be traced.")
        } else {
            writeln!(
                f,
                "This host cannot be traced now: see what is marked `missing` above."
            )
        }
    }
}

fn write_check(f: &mut fmt::Formatter<'_>, check: &Check) -> fmt::Result {
    let Check {
        subject,
        status,
        finding,
        remedy,
    } = check;
    let status = match status {
        Status::Fine => "fine",
        Status::Limited => "limited",
        Status::Missing => "missing",
    };
    writeln!(f, "  {status:<8} {subject}: {finding}")?;
    match remedy {
        Some(remedy) => writeln!(f, "           try: {remedy}"),
        None => Ok(()),
    }
}

fn write_installed(f: &mut fmt::Formatter<'_>, installed: &Installed) -> fmt::Result {
    let Installed {
        looked_into,
        is_cut,
        with_tls,
        refused,
    } = installed;
    writeln!(f, "\nInstalled programs with TLS of their own")?;
    for (index, (path, resolved)) in with_tls.iter().enumerate() {
        let when = if index < places::MAX_ATTACHED {
            "probes before it runs"
        } else {
            "probes as it starts"
        };
        writeln!(f, "  {}: {resolved}, {when}", path.display())?;
    }
    for (path, reason) in refused {
        writeln!(f, "  {}: not traced: {reason}", path.display())?;
    }
    writeln!(
        f,
        "  {looked_into} looked into, of PATH, the usual places of tools in each home, and node_modules{}\n",
        if *is_cut {
            "; there are more, which are looked into as they start"
        } else {
            ""
        }
    )
}

/// Processes whose mappings we may not read.
fn hidden_processes() -> usize {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    entries
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.parse::<u32>().is_ok())
        })
        .filter(|entry| {
            File::open(entry.path().join("maps"))
                .and_then(io::read_to_string)
                .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::resolve::Unresolved;

    #[test]
    fn a_host_that_lacks_something_is_told_what_and_how_to_get_it() {
        let check = Check {
            subject: "kernel",
            status: Status::Missing,
            finding: "4.19 is older than 5.15".to_owned(),
            remedy: Some("run a kernel of 5.15 or later"),
        };
        let report = Report {
            checks: vec![check],
            processes: Vec::new(),
            kept_back: BTreeMap::new(),
            hidden: 2,
            installed: Installed {
                looked_into: 40,
                is_cut: true,
                with_tls: Vec::new(),
                refused: vec![(
                    PathBuf::from("/opt/tool"),
                    Unresolved::NoSymbols { library: "OpenSSL" },
                )],
            },
        };
        assert!(!report.can_trace());
        assert_eq!(
            report.to_string(),
            "Host\n\
             \x20 missing  kernel: 4.19 is older than 5.15\n\
             \x20          try: run a kernel of 5.15 or later\n\
             \n\
             Processes with TLS that can be traced\n\
             \x20 none at present; those that start later are found by `run`, and by `exec` in time\n\
             \n\
             Other processes without TLS that geophone knows: 0\n\
             Processes that this user may not look into: 2\n\
             \n\
             Installed programs with TLS of their own\n\
             \x20 /opt/tool: not traced: OpenSSL without symbols: its functions cannot be found safely\n\
             \x20 40 looked into, of PATH, the usual places of tools in each home, and node_modules; there are more, which are \
             looked into as they start\n\
             \n\
             This host cannot be traced now: see what is marked `missing` above.\n"
        );
    }
}
