//! What the container image comes down to: one file in a root directory that is otherwise empty, without a loader, libraries,
//! certificates or `/etc`, and with the rights of the pod.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result};
use tracer_tests::calls::{CLAUDE, Call};
use tracer_tests::client::{Client, Kind};
use tracer_tests::collector::{Collector, Protocol, Told};
use tracer_tests::environment::{can_trace, static_geophone};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{Agent, is_of, match_spans};
use tracer_tests::program::{DEADLINE, Program};

/// What a container runtime does: a mount namespace of its own, `/proc` and `/sys`, a root that cannot be written, five
/// capabilities. `CAP_SYS_CHROOT` is for `chroot` itself.
const ENTER: &str = "
set -e
root=$1
shift
mount --bind \"$root\" \"$root\"
mount --rbind /proc \"$root/proc\"
mount --rbind /sys \"$root/sys\"
mount -o remount,bind,ro \"$root\"
exec setpriv --no-new-privs --inh-caps=-all \
  --bounding-set=-all,+bpf,+perfmon,+sys_ptrace,+dac_read_search,+checkpoint_restore,+sys_chroot \
  chroot \"$root\" /geophone \"$@\"
";

/// A root directory with one file in it.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("geophone-root-").tempdir()?;
        let root = directory.path();
        std::fs::set_permissions(root, PermissionsExt::from_mode(0o755))?;
        std::fs::copy(static_geophone()?, root.join("geophone"))?;
        for mounted in ["proc", "sys"] {
            std::fs::create_dir(root.join(mounted))?;
        }
        Ok(Self(directory))
    }

    /// Brings what a kubelet mounts into each container of a pod.
    fn with_resolver(self, nameserver: Ipv4Addr) -> Result<Self> {
        let etc = self.0.path().join("etc");
        std::fs::create_dir(&etc)?;
        std::fs::write(etc.join("hosts"), "127.0.0.1\tlocalhost\n")?;
        std::fs::write(
            etc.join("resolv.conf"),
            format!(
                "nameserver {nameserver}\nsearch geophone.svc.cluster.local svc.cluster.local\noptions ndots:5\n"
            ),
        )?;
        Ok(self)
    }

    /// geophone in it, and nothing of the environment of this process.
    fn geophone(&self) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", ENTER, "sh"])
            .arg(self.0.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }
}

fn call() -> [Call; 1] {
    [Call::new(Operation::Converse, CLAUDE, &Scenario::default())]
}

#[test]
fn one_file_in_an_empty_root_traces_a_call() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let root = Root::new()?;
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let pid = client.pid();
    let agent = Agent::start(root.geophone().args(["run", "--format", "otlp-json"]))?;
    client.make(&call(), 1)?;
    let served = fake.log().wait_for(1, DEADLINE);
    let spans = agent.spans_of(&[pid], 1)?;
    client.finish()?;
    agent.stop()?;
    match_spans(&spans, &served)
}

/// The service of a collector, as a manifest names it: found by a search list, at the name server of the cluster.
#[test]
fn the_names_of_a_cluster_are_resolved_without_a_library() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let nameserver = name_server("collector.observability.svc.cluster.local")?;
    let root = Root::new()?.with_resolver(nameserver)?;
    let collector = Collector::start(Protocol::Http, None, &[])?;
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let pid = client.pid();
    let endpoint = format!("http://collector.observability:{}", collector.port());
    let mut run = root.geophone();
    run.arg("run").env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    let agent = Agent::start(&mut run)?;
    client.make(&call(), 1)?;
    let served = fake.log().wait_for(1, DEADLINE);
    let span = loop {
        match collector.next().with_context(|| agent.stderr())? {
            Told::Span(span) if is_of(&span, &[pid]) => break *span,
            Told::Span(_) | Told::Request(_) | Told::Metric(_) | Told::Log(_) => {}
        }
    };
    client.finish()?;
    agent.stop()?;
    match_spans(&[span], &served)
}

/// Certificates of public authorities are inside: an endpoint whose certificate nobody vouches for is refused, not trusted.
#[test]
fn tls_is_verified_where_there_are_no_certificates() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let root = Root::new()?.with_resolver(Ipv4Addr::LOCALHOST)?;
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let mut run = root.geophone();
    run.arg("run").env("OTEL_EXPORTER_OTLP_ENDPOINT", fake.endpoint());
    let agent = Program::start("geophone", &mut run)?;
    agent.wait_for_stderr("geophone: tracing")?;
    client.make(&call(), 1)?;
    client.finish()?;
    agent.wait_for_stderr("certificate")?;
    Ok(())
}

/// Answers for one name, with the address of this host, and knows no other; where it listens.
fn name_server(name: &str) -> Result<Ipv4Addr> {
    const QUESTION: usize = 12;
    const ADDRESS: [u8; 2] = [0, 1];
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, high | 64, middle, low);
    // resolv.conf(5) cannot say a port.
    let socket = UdpSocket::bind((address, 53)).context("cannot listen as a name server")?;
    let mut wanted: Vec<u8> = Vec::new();
    for label in name.split('.') {
        wanted.push(u8::try_from(label.len())?);
        wanted.extend(label.as_bytes());
    }
    wanted.push(0);
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, asker)) = socket.recv_from(&mut query) {
            let Some(rest) = query[..length].get(QUESTION..) else {
                continue;
            };
            let Some(end) = rest.iter().position(|&byte| byte == 0) else {
                continue;
            };
            // The name, then type and class.
            let (Some(asked), Some(question)) = (rest.get(..=end), rest.get(..end + 5)) else {
                continue;
            };
            let known = asked == wanted;
            let answers = u8::from(known && question[end + 1..end + 3] == ADDRESS);
            let mut reply = query[..2].to_vec();
            // A response, recursion available; NXDOMAIN for any other name (RFC 1035, section 4.1.1).
            reply.extend([
                0x81,
                if known { 0x80 } else { 0x83 },
                0,
                1,
                0,
                answers,
                0,
                0,
                0,
                0,
            ]);
            reply.extend(question);
            if answers == 1 {
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
                reply.extend(Ipv4Addr::LOCALHOST.octets());
            }
            // Whoever went away does not need it.
            socket.send_to(&reply, asker).ok();
        }
    });
    Ok(address)
}
