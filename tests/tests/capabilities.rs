//! Which rights geophone needs: all of them at once suffice, and without each one something is lost that it names.
//!
//! `setpriv` (util-linux) takes rights away. As in a systemd unit, geophone is an ordinary user with these capabilities
//! alone; the processes it looks at are root's.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::calls::{CLAUDE, Call};
use tracer_tests::client::{Client, Kind};
use tracer_tests::environment::{can_trace, geophone, python};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{Agent, match_spans};
use tracer_tests::program::{DEADLINE, Program};

/// All that geophone needs, by their names in lower case as `setpriv` takes them.
const NEEDED: [&str; 5] = [
    "bpf",
    "perfmon",
    "sys_ptrace",
    "dac_read_search",
    "checkpoint_restore",
];

/// `nobody` on most systems; no process here is its own.
const USER: &str = "65534";

/// A copy of geophone that an ordinary user may run wherever the workspace is.
struct Copy {
    directory: tempfile::TempDir,
}

impl Copy {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755))?;
        std::fs::copy(geophone()?, directory.path().join("geophone"))?;
        Ok(Self { directory })
    }

    /// An ordinary user's geophone with what is needed but this.
    fn without(&self, left_out: &str) -> Command {
        let kept: Vec<&str> = NEEDED.into_iter().filter(|name| *name != left_out).collect();
        let kept = kept.join(",+");
        let mut command = Command::new("setpriv");
        command
            .args([
                "--reuid",
                USER,
                "--regid",
                USER,
                "--clear-groups",
                "--no-new-privs",
            ])
            .arg(format!("--bounding-set=-all,+{kept}"))
            .arg(format!("--inh-caps=-all,+{kept}"))
            .arg(format!("--ambient-caps=-all,+{kept}"))
            .arg(self.directory.path().join("geophone"));
        command
    }

    /// What `geophone doctor` finds without this capability.
    fn examine(&self, left_out: &str) -> Result<String> {
        let output = self.without(left_out).arg("doctor").output()?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// A process of root that has loaded a library, and waits.
struct Target {
    program: Program,
    directory: tempfile::TempDir,
}

/// Loads a library and says so.
const LOAD: &str =
    "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print('loaded', flush=True); sys.stdin.readline()";

impl Target {
    /// `command` gets the system's library and a directory for its copy.
    fn start(command: impl FnOnce(&Path, &Path) -> Result<Command>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut command = command(&library()?, directory.path())?;
        let program = Program::start("target", &mut command)?;
        ensure!(
            program.line()?.as_deref() == Some("loaded"),
            "{}",
            program.stderr()
        );
        Ok(Self { program, directory })
    }

    /// Whether the doctor found it to be traceable.
    fn is_in(&self, findings: &str) -> bool {
        let pid = format!("{} ", self.program.pid());
        findings
            .lines()
            .zip(findings.lines().skip(1))
            .any(|(line, next)| line.trim_start().starts_with(&pid) && next.contains("can be traced"))
    }
}

/// OpenSSL as Python loads it.
fn library() -> Result<PathBuf> {
    let script = "import ssl; print(next(l.split()[-1] for l in open('/proc/self/maps') if 'libssl' in l))";
    let output = Command::new(python()?).args(["-c", script]).output()?;
    let path = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success(),
        "this Python has no OpenSSL in a library of its own"
    );
    Ok(PathBuf::from(path.trim()))
}

fn loading(library: &Path) -> Result<Command> {
    let mut command = Command::new(python()?);
    command.args(["-c", LOAD]).arg(library);
    Ok(command)
}

#[test]
fn an_ordinary_user_with_the_needed_capabilities_traces_every_call() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let copy = Copy::new()?;
    let mut command = copy.without("nothing");
    command.args(["attach", "--format", "otlp-json", "--pid"]);
    let agent = Agent::start(command.arg(client.pid().to_string()))?;
    let calls = Operation::ALL.map(|operation| Call::new(operation, CLAUDE, &Scenario::default()));
    client.make(&calls, 1)?;
    client.finish()?;
    let said = agent.stderr();
    match_spans(&agent.ended()?, &fake.log().wait_for(calls.len(), DEADLINE)).context(said)
}

#[test]
fn with_all_of_them_the_doctor_finds_nothing_restricted() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let findings = Copy::new()?.examine("nothing")?;
    assert!(findings.contains("This host can be traced."), "{findings}");
    assert!(!findings.contains("limited  right to"), "{findings}");
    Ok(())
}

/// Without these two nothing can be traced, and the first line says why.
fn cannot_trace_without(left_out: &str, name: &str) -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let copy = Copy::new()?;
    let output = copy.without(left_out).args(["exec", "--", "true"]).output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{name} missing")), "{said}");
    let findings = copy.examine(left_out)?;
    assert!(findings.contains(&format!("{name} missing")), "{findings}");
    assert!(findings.contains("This host cannot be traced now"), "{findings}");
    Ok(())
}

#[test]
fn without_bpf_nothing_can_be_loaded() -> Result<()> {
    cannot_trace_without("bpf", "CAP_BPF")
}

#[test]
fn without_perfmon_nothing_can_be_attached() -> Result<()> {
    cannot_trace_without("perfmon", "CAP_PERFMON")
}

/// Without this one the target is not found and the doctor says what is missing; with it, it is.
fn not_found_without(left_out: &str, name: &str, target: &Target) -> Result<()> {
    let copy = Copy::new()?;
    let findings = copy.examine("nothing")?;
    assert!(target.is_in(&findings), "{findings}");
    let findings = copy.examine(left_out)?;
    assert!(!target.is_in(&findings), "{findings}");
    assert!(findings.contains(&format!("{name} missing")), "{findings}");
    Ok(())
}

/// As a pod has: its root is not ours.
#[test]
fn without_sys_ptrace_processes_with_another_root_are_not_found() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let target = Target::start(|library, directory| {
        let script =
            r#"mount -t tmpfs none "$1" && cp "$2" "$1/libssl.so" && exec "$3" -c "$4" "$1/libssl.so""#;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", script, "sh"])
            .args([directory, library, &python()?])
            .arg(LOAD);
        Ok(command)
    })?;
    not_found_without("sys_ptrace", "CAP_SYS_PTRACE", &target)
}

#[test]
fn without_dac_read_search_private_files_are_not_looked_into() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let target = Target::start(|library, directory| {
        let private = directory.join("libssl.so");
        std::fs::copy(library, &private)?;
        std::fs::set_permissions(&private, PermissionsExt::from_mode(0o600))?;
        loading(&private)
    })?;
    not_found_without("dac_read_search", "CAP_DAC_READ_SEARCH", &target)
}

#[test]
fn without_checkpoint_restore_a_library_that_was_replaced_is_not_found() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let target = Target::start(|library, directory| {
        std::fs::copy(library, directory.join("libssl.so"))?;
        loading(&directory.join("libssl.so"))
    })?;
    std::fs::remove_file(target.directory.path().join("libssl.so"))?;
    not_found_without("checkpoint_restore", "CAP_CHECKPOINT_RESTORE", &target)
}
