//! The unit of systemd under a systemd: the one of this host, first process of namespaces of its own, with the host's root
//! directory below a layer that nobody keeps.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tracer_tests::calls::{CLAUDE, Call};
use tracer_tests::client::{Client, Kind};
use tracer_tests::collector::{Collector, Protocol, Told};
use tracer_tests::environment::{can_trace, geophone, workspace};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options, Served};
use tracer_tests::harness::match_spans;
use tracer_tests::program::{DEADLINE, Program};
use tracer_tests::span::Span;

const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// A host for a systemd: $1 is the directory of the test, $2 a control group.
///
/// Units and generators of this host are hidden, so that nothing is mounted and no temporary file is tidied up; sysctls cannot
/// be set. What systemd logs goes to a file.
const BOOT: &str = r#"
set -e
echo $$ > "$2/cgroup.procs"
exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc sh -e -c '
  mount --make-rprivate /
  mount -t tmpfs tmpfs "$1/layer"
  mkdir "$1/layer/upper" "$1/layer/work" "$1/layer/root"
  root="$1/layer/root"
  mount -t overlay -o "lowerdir=/,upperdir=$1/layer/upper,workdir=$1/layer/work" overlay "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  for hidden in dev run etc/systemd/system usr/lib/systemd/system usr/lib/systemd/system-generators; do
    mount -t tmpfs tmpfs "$root/$hidden"
  done
  for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  : > "$1/log"
  touch "$root/dev/kmsg"
  mount --bind "$1/log" "$root/dev/kmsg"
  mount --bind "$root/proc/sys" "$root/proc/sys"
  mount -o remount,bind,ro "$root/proc/sys"
  mkdir "$root/run/trial" "$root/run/old"
  mount --bind "$1" "$root/run/trial"
  cp --archive "$1/units/." "$root/etc/systemd/system/"
  mkdir -p "$root/etc/geophone" "$root/usr/local/bin"
  cp "$1/environment" "$root/etc/geophone/"
  cp "$1/geophone" "$root/usr/local/bin/"
  cd "$root"
  pivot_root . run/old
  umount -l /run/old
  exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin "$2" --unit=multi-user.target --log-target=kmsg
' sh "$1" "$3"
"#;

/// What a unit expects to be there, with nothing in it.
const TARGETS: [&str; 6] = [
    "sysinit.target",
    "basic.target",
    "network-online.target",
    "multi-user.target",
    "shutdown.target",
    "umount.target",
];

/// Tells the test what happens, and is less patient than the unit itself.
const DROP_IN: &str = "
[Service]
WatchdogSec=6
ExecStartPost=+/bin/sh -c 'echo ready $MAINPID > /run/trial/told'
ExecStopPost=+/bin/sh -c 'echo ended $SERVICE_RESULT $EXIT_STATUS > /run/trial/told'
";

/// A systemd and its one service; both end when it is dropped.
struct Host {
    directory: tempfile::TempDir,
    group: PathBuf,
    systemd: Program,
    first: u32,
    told: Receiver<String>,
}

impl Host {
    /// Boots, with spans going to this port.
    fn boot(port: u64) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("geophone-unit-").tempdir()?;
        let path = directory.path();
        for folder in [
            "layer",
            "units",
            "units/multi-user.target.wants",
            "units/geophone.service.d",
        ] {
            fs::create_dir(path.join(folder))?;
        }
        for target in TARGETS {
            let text = format!("[Unit]\nDescription={target}\nDefaultDependencies=no\n");
            fs::write(path.join("units").join(target), text)?;
        }
        fs::copy(
            workspace().join("deploy/systemd/geophone.service"),
            path.join("units/geophone.service"),
        )?;
        symlink(
            "../geophone.service",
            path.join("units/multi-user.target.wants/geophone.service"),
        )?;
        fs::write(path.join("units/geophone.service.d/test.conf"), DROP_IN)?;
        fs::copy(geophone()?, path.join("geophone"))?;
        fs::write(
            path.join("environment"),
            format!("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{port}\n"),
        )?;
        let told = listen(&path.join("told"))?;
        let group = control_group()?;
        let mut boot = Command::new("sh");
        boot.args(["-c", BOOT, "sh"]).arg(path).arg(&group).arg(SYSTEMD);
        let systemd = Program::start("systemd", &mut boot)?;
        let mut host = Self {
            directory,
            group,
            first: systemd.pid(),
            systemd,
            told,
        };
        host.hears("ready")?;
        // The first process of the namespace is the child of what was started.
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", host.first))?;
        host.first = children.trim().parse().context("systemd has no process")?;
        Ok(host)
    }

    /// Waits for what the unit tells next.
    fn hears(&self, wanted: &str) -> Result<String> {
        match self.told.recv_timeout(DEADLINE) {
            Ok(told) if told.starts_with(wanted) => Ok(told),
            other => {
                let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                let stderr = self.systemd.stderr();
                bail!("{other:?}, not {wanted:?}\n{}\n{stderr}{log}", self.status())
            }
        }
    }

    /// A command in there.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.first.to_string()])
            .args(["--mount", "--pid", "--root", "--wd=/", "--"])
            .arg(program);
        command
    }

    fn systemctl(&self, words: &[&str]) -> Result<String> {
        let output = self.command("systemctl").args(words).output()?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    fn status(&self) -> String {
        self.systemctl(&["status", "--full", "geophone"])
            .unwrap_or_else(|error| error.to_string())
    }

    /// Has settings read by a reload, from a file that only root may read, and waits until the status says what came of it.
    fn reload(&self, settings: &str, told: impl Fn(&str) -> bool) -> Result<()> {
        let write = "umask 077; printf %s \"$1\" > /etc/geophone/geophone.toml";
        let written = self.command("sh").args(["-c", write, "sh", settings]).status()?;
        ensure!(written.success(), "the settings were not written");
        self.systemctl(&["reload", "geophone"])?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let status = self.systemctl(&["show", "--property=StatusText,ActiveState", "geophone"])?;
            if status.contains("ActiveState=active") && told(&status) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{status}\n{}", self.status());
        }
    }

    /// One call by a client in there.
    fn call(&self, fake: &FakeBedrock) -> Result<Served> {
        let before = fake.log().wait_for(0, DEADLINE).len();
        let client = Kind::Boto3.command(fake)?;
        let mut command = self.command(client.get_program());
        command.args(client.get_args());
        command.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut client = Client::run(&mut command)?;
        client.make(&[Call::new(Operation::Converse, CLAUDE, &Scenario::default())], 1)?;
        client.finish()?;
        let served = fake.log().wait_for(before + 1, DEADLINE);
        served.last().cloned().context("the call was served")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // With the first process of a pid namespace every other one ends; then its control groups are empty.
        let first = i32::try_from(self.first).ok().and_then(Pid::from_raw);
        if let Some(first) = first {
            kill_process(first, Signal::KILL).ok();
        }
        self.systemd.wait().ok();
        remove_group(&self.group).ok();
    }
}

/// Removes a control group with those below it.
fn remove_group(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_group(&path)?;
        }
    }
    fs::remove_dir(group)
}

/// Reads lines that come through a pipe with a name.
fn listen(path: &Path) -> Result<Receiver<String>> {
    let status = Command::new("mkfifo").arg(path).status()?;
    ensure!(status.success(), "cannot make {}", path.display());
    // Our own writing end keeps it open between two writers.
    let pipe = File::options().read(true).write(true).open(path)?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// A control group where systemd may make others.
fn control_group() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let root = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&"cgroup2"))
        .context("no cgroup v2 is mounted")?;
    let group = Path::new(root[1]).join(format!("geophone-unit-{}", std::process::id()));
    fs::create_dir(&group)?;
    Ok(group)
}

/// The span of a call, as a collector is told.
fn told_of(collector: &Collector, served: &Served) -> Result<Span> {
    loop {
        if let Told::Span(span) = collector.next()?
            && span.text("aws.request_id") == Some(&served.request_id)
        {
            return Ok(*span);
        }
    }
}

/// The same, and it says what was served.
fn span_of(collector: &Collector, served: &Served) -> Result<()> {
    match_spans(&[told_of(collector, served)?], std::slice::from_ref(served))
}

fn is_there() -> Result<bool> {
    let there = Path::new(SYSTEMD).exists();
    if !there {
        // Not eprintln: the test harness would swallow it, since the test passes.
        writeln!(
            std::io::stderr().lock(),
            "\n*** NOT RUN: the unit under systemd: there is no {SYSTEMD} (Debian: apt-get install systemd) ***\n"
        )?;
    }
    Ok(there)
}

#[test]
fn the_unit_starts_traces_is_watched_and_stops() -> Result<()> {
    if !can_trace() || !is_there()? {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let collector = Collector::start(Protocol::Http, None, &[])?;
    let host = Host::boot(collector.port())?;
    span_of(&collector, &host.call(&fake)?)?;
    let told = host.systemctl(&["show", "--property=StatusText,NRestarts,ActiveState", "geophone"])?;
    ensure!(told.contains(" probes are in place"), "{told}");
    ensure!(told.contains("ActiveState=active"), "{told}");

    // Broken settings change nothing, and the status says so; then content is wanted.
    let is_old = |status: &str| status.contains("the settings could not be read again");
    host.reload("[content]\ncaptrue = \"span\"\n", is_old)?;
    host.reload("[content]\ncapture = \"span\"\n", |status| !is_old(status))?;
    let span = told_of(&collector, &host.call(&fake)?)?;
    ensure!(span.attributes.contains_key("gen_ai.input.messages"), "{span:?}");
    host.reload("", |status| !is_old(status))?;

    host.systemctl(&["kill", "--signal=KILL", "geophone"])?;
    host.hears("ended signal KILL")?;
    host.hears("ready")?;
    span_of(&collector, &host.call(&fake)?)?;

    // Alive and stuck: nobody but the watchdog sees that.
    host.systemctl(&["kill", "--signal=STOP", "geophone"])?;
    host.hears("ended watchdog")?;
    host.hears("ready")?;
    span_of(&collector, &host.call(&fake)?)?;

    host.systemctl(&["stop", "geophone"])?;
    host.hears("ended success 0")?;
    Ok(())
}
