//! Containers as the kernel knows them: processes in namespaces and control groups of their own, with a root of their own.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::{Pid, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;
use tracer_tests::calls::{CLAUDE, Call, NOVA};
use tracer_tests::cgroup::ControlGroup;
use tracer_tests::client::{Client, Http, Kind};
use tracer_tests::environment::{can_trace, client_file, python};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::tap::{Happened, Tap};
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{Agent, is_of, match_spans};
use tracer_tests::program::{DEADLINE, Program, Signal};
use tracer_tests::span::Span;

/// Makes the root that `$1` names, binds the folders up to `--` there, copies what is in `$2` to its `/own`, and runs the rest
/// in it.
const ENTER: &str = r#"
set -e
root=$1 own=$2
shift 2
mount -t tmpfs none "$root"
while [ "$1" != -- ]; do
    mkdir -p "$root$1"
    mount --rbind "$1" "$root$1"
    shift
done
shift
mkdir -p "$root/own" "$root/proc" "$root/old"
cp "$own"/* "$root/own/"
mount -t proc proc "$root/proc"
for link in bin lib lib64; do ln -s "usr/$link" "$root/$link"; done
cd "$root"
pivot_root . old
umount -l /old
exec "$@"
"#;

/// Enters the control group `$1` and runs the rest, as runtimes do it.
const JOIN: &str = r#"echo 0 > "$1" && shift && exec "$@""#;

/// What differs between containers.
struct Image {
    /// Path of its control group.
    group: String,
    /// Id of the container.
    id: String,
    kind: Kind,
    /// Whether its root is an ordinary user of the host's.
    user_namespace: bool,
}

/// A client in a container, and the only Bedrock that it can reach.
struct Container {
    id: String,
    client: Client,
    /// As the host counts.
    pid: u32,
    fake: FakeBedrock,
    tap: Tap,
    /// Gone after the processes.
    group: ControlGroup,
    _folder: tempfile::TempDir,
    _network: Program,
}

impl Container {
    fn start(image: Image) -> Result<Self> {
        let mut holder = Command::new("unshare");
        holder.args([
            "--net",
            "sh",
            "-c",
            "ip link set lo up && echo up && read -r _; :",
        ]);
        let network = Program::start("network", &mut holder)?;
        ensure!(network.line()?.as_deref() == Some("up"), "{}", network.stderr());
        // A thread moves there alone, and what it starts is there too.
        let inside = std::thread::spawn(|| Self::start_inside(image, network));
        inside.join().map_err(|_| anyhow!("it panicked"))?
    }

    /// Starts all of it in this network.
    fn start_inside(image: Image, network: Program) -> Result<Self> {
        let namespace = fs::File::open(format!("/proc/{}/ns/net", network.pid()))?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        let Image {
            group,
            id,
            kind,
            user_namespace,
        } = image;
        let group = ControlGroup::new(&group)?;
        let folder = tempfile::tempdir()?;
        let (root, own) = (folder.path().join("root"), folder.path().join("own"));
        fs::create_dir(&root)?;
        fs::create_dir(&own)?;
        let tap = Tap::default();
        let fake = FakeBedrock::start(&Options {
            tap: Some(tap.clone()),
            ..Options::default()
        })?;
        let client = kind.command(&fake)?;
        let mut bound = python_folders()?;
        bound.insert(parent(&fake.authority())?);
        let mut words = vec![client.get_program().to_owned()];
        if matches!(kind, Kind::Go { .. }) {
            fs::copy(client.get_program(), own.join("client"))?;
            words = vec!["/own/client".into()];
        } else {
            for library in ["libssl.so.3", "libcrypto.so.3"] {
                fs::copy(
                    Path::new("/usr/lib/x86_64-linux-gnu").join(library),
                    own.join(library),
                )?;
            }
        }
        words.extend(client.get_args().map(std::ffi::OsStr::to_owned));

        // Without randomness the same program has its connections at the same addresses in each.
        let mut command = Command::new("setarch");
        command.args(["--addr-no-randomize", "sh", "-c", JOIN, "sh"]);
        command.arg(group.processes());
        command.args([
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "--cgroup",
        ]);
        if user_namespace {
            command.args(["--user", "--map-root-user"]);
        }
        command
            .args(["sh", "-c", ENTER, "sh"])
            .arg(&root)
            .arg(&own)
            .args(bound)
            .arg("--");
        command.args(words).env("LD_LIBRARY_PATH", "/own");
        command.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let client = Client::run(&mut command)?;
        let pid = child_of(client.program().pid())?;
        Ok(Self {
            id,
            client,
            pid,
            fake,
            tap,
            group,
            _folder: folder,
            _network: network,
        })
    }

    fn spans<'s>(&self, all: &'s [Span]) -> Vec<&'s Span> {
        all.iter().filter(|span| is_of(span, &[self.pid])).collect()
    }
}

fn parent(file: &Path) -> Result<PathBuf> {
    Ok(file.parent().context("it is in a folder")?.to_owned())
}

/// What Python and its client need of the host's files.
fn python_folders() -> Result<BTreeSet<PathBuf>> {
    let script = "import sys; print(sys.prefix); print(sys.base_prefix)";
    let output = Command::new(python()?).args(["-c", script]).output()?;
    let mut folders: BTreeSet<PathBuf> = String::from_utf8(output.stdout)?
        .lines()
        .map(PathBuf::from)
        .collect();
    folders.extend(["/usr".into(), "/etc".into(), client_file("")]);
    Ok(folders)
}

/// The process that is the first of its pid namespace.
fn child_of(pid: u32) -> Result<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(children.trim().parse()?)
}

/// An id as runtimes give it.
fn id(letters: &str) -> String {
    letters.repeat(32)
}

fn images() -> [Image; 4] {
    let [docker, cri_o, containerd, podman] = ["d0", "c1", "ce", "0d"].map(id);
    let kubernetes = "kubepods.slice/kubepods-burstable.slice";
    let pod = "kubepods-burstable-pod7b1f0d52_8a44_4c1e_9d0e_2f6f6f3b9a10.slice";
    let container = |group: String, id: &str, kind, user_namespace| Image {
        group,
        id: id.to_owned(),
        kind,
        user_namespace,
    };
    let go = Kind::Go {
        stripped: true,
        http: Http::One,
    };
    [
        container(
            format!("system.slice/docker-{docker}.scope"),
            &docker,
            Kind::Boto3,
            false,
        ),
        container(
            format!("{kubernetes}/{pod}/crio-{cri_o}.scope"),
            &cri_o,
            Kind::Boto3,
            false,
        ),
        container(
            format!("{kubernetes}/{pod}/cri-containerd-{containerd}.scope"),
            &containerd,
            go,
            false,
        ),
        container(
            format!("machine.slice/libpod-{podman}.scope/container"),
            &podman,
            Kind::Boto3,
            true,
        ),
    ]
}

/// Wants each to be in namespaces of its own, and those with OpenSSL to have the same path of a library of their own at the same
/// address.
fn are_apart(containers: &[Container]) -> Result<()> {
    for kind in ["pid", "net", "mnt", "cgroup"] {
        let pids = containers.iter().map(|container| container.pid);
        let namespaces: BTreeSet<PathBuf> = pids
            .chain([std::process::id()])
            .map(|pid| fs::read_link(format!("/proc/{pid}/ns/{kind}")))
            .collect::<Result<_, _>>()?;
        ensure!(namespaces.len() == containers.len() + 1, "{kind}: {namespaces:?}");
    }
    ensure!(!Path::new("/own").exists(), "the host has what they have");
    let mut libraries = BTreeSet::new();
    for container in containers {
        let maps = fs::read_to_string(format!("/proc/{}/maps", container.pid))?;
        let library = maps.lines().find(|line| line.ends_with("/own/libssl.so.3"));
        libraries.extend(library.and_then(|line| line.split('-').next()).map(str::to_owned));
    }
    ensure!(libraries.len() == 1, "libraries begin at {libraries:?}");
    Ok(())
}

#[test]
fn containers_with_the_same_pids_paths_and_addresses_are_told_apart() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let agent = Agent::run()?;
    let mut containers = Vec::new();
    for image in images() {
        containers.push(Container::start(image)?);
    }
    let inner: BTreeSet<u32> = containers
        .iter()
        .map(|container| container.client.pid())
        .collect();
    ensure!(inner == BTreeSet::from([1]), "they count from one: {inner:?}");
    are_apart(&containers)?;

    let mut made = 0;
    for round in 0..3 {
        // All at once, each another model than the next.
        for (number, container) in containers.iter_mut().enumerate() {
            let model = if (number + round) % 2 == 0 { CLAUDE } else { NOVA };
            let calls = Operation::ALL.map(|operation| Call::new(operation, model, &Scenario::default()));
            container.client.send(&calls, &json!({"threads": 1}))?;
            made += calls.len();
        }
        for container in &mut containers {
            let seen = container.client.collect(Operation::ALL.len())?;
            ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
        }
    }
    let pids: Vec<u32> = containers.iter().map(|container| container.pid).collect();
    let spans = agent.spans_of(&pids, made)?;
    for container in &containers {
        let own: Vec<Span> = container.spans(&spans).into_iter().cloned().collect();
        let served = container.fake.log().wait_for(made / containers.len(), DEADLINE);
        match_spans(&own, &served).with_context(|| container.id.clone())?;
        for span in &own {
            assert_eq!(span.resource["container.id"], json!(container.id));
        }
    }
    for Container { client, group, .. } in containers {
        client.finish()?;
        drop(group);
    }
    agent.stop()?;
    Ok(())
}

#[test]
fn a_container_that_is_killed_in_the_middle_of_an_answer_is_still_named() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let agent = Agent::run()?;
    let [image, ..] = images();
    let mut container = Container::start(image)?;
    let endless = Scenario {
        chunks: 100,
        delay_ms: 1000,
        ..Scenario::default()
    };
    let call = Call::new(Operation::ConverseStream, NOVA, &endless);
    container.client.send(&[call], &json!({"threads": 1}))?;
    let deadline = Instant::now() + DEADLINE;
    let is_answered = |tap: &Tap| {
        tap.all().iter().any(|tapped| {
            matches!(&tapped.what, Happened::Received(bytes)
                if String::from_utf8_lossy(bytes).contains("contentBlockDelta"))
        })
    };
    while !is_answered(&container.tap) {
        ensure!(Instant::now() < deadline, "no answer");
    }
    let first = i32::try_from(container.pid).ok().and_then(Pid::from_raw);
    kill_process(first.context("a pid")?, Signal::KILL)?;
    let Container {
        client,
        pid,
        id,
        group,
        ..
    } = container;
    client.end()?;
    ensure!(!Path::new(&format!("/proc/{pid}")).exists(), "it is gone");
    drop(group);
    let spans = agent.spans_of(&[pid], 1)?;
    let span = spans.first().context("a span")?;
    assert_eq!(span.resource["container.id"], json!(id));
    assert_eq!(span.resource["process.pid"], json!(pid));
    assert_eq!(span.text("gen_ai.request.model"), Some(NOVA));
    agent.stop()?;
    Ok(())
}
