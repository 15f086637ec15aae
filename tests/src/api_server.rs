//! A Kubernetes API server that lists pods and namespaces and then has nothing more to say.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cgroup::ControlGroup;
use crate::environment::geophone;

/// Name of the node that the pods run on.
pub const NODE: &str = "node-3";

/// What an API server knows.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Its pods, as it sends them.
    pub pods: Vec<Value>,
    /// Its namespaces.
    pub namespaces: Vec<Value>,
}

/// A pod of one container, with the control group that its processes are in.
#[derive(Debug)]
pub struct Pod {
    uid: String,
    container: String,
    namespace: String,
    name: String,
    /// Where its processes are.
    pub group: ControlGroup,
}

impl Pod {
    /// Makes the control group. `number` tells it from the other pods of a test.
    pub fn new(number: u8, namespace: &str, name: &str) -> Result<Self> {
        let uid = format!("7b1f0d52-8a44-4c1e-9d0e-2f6f6f3b9a{number:02x}");
        let container = format!("{number:02x}").repeat(32);
        let group = ControlGroup::new(&format!(
            "kubepods-burstable-pod{}.slice/cri-containerd-{container}.scope",
            uid.replace('-', "_")
        ))?;
        Ok(Self {
            uid,
            container,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            group,
        })
    }

    /// The pod as the API server sends it.
    pub fn object(&self) -> Value {
        let Self {
            uid,
            container,
            namespace,
            name,
            group: _,
        } = self;
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": "1"},
            "spec": {"nodeName": NODE, "containers": [{"name": "app", "image": "chat:1.4"}]},
            "status": {"containerStatuses": [{"name": "app", "containerID": format!("containerd://{container}")}]}
        })
    }
}

/// A namespace as the API server sends it.
pub fn namespace(name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "uid": format!("uid-{name}"), "resourceVersion": "1", "annotations": annotations}
    })
}

impl Cluster {
    /// Serves it, and gives the kubeconfig that leads there, in this folder.
    pub fn serve(self, directory: &Path) -> Result<PathBuf> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = format!("http://{}", listener.local_addr()?);
        let cluster = Arc::new(self);
        thread::spawn(move || {
            let mut watches = Vec::new();
            for stream in listener.incoming().flatten() {
                // A client that goes away is no concern of a server.
                if let Ok(Some(watch)) = cluster.answer(stream) {
                    watches.push(watch);
                }
            }
        });
        let kubeconfig = directory.join("kubeconfig.json");
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
            "clusters": [{"name": "here", "cluster": {"server": server}}],
            "users": [{"name": "here", "user": {}}]
        });
        fs::write(&kubeconfig, config.to_string())?;
        Ok(kubeconfig)
    }

    /// Answers one request; the stream of a watch stays open.
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<Option<TcpStream>> {
        let mut request = String::new();
        let mut reader = BufReader::new(stream.try_clone()?);
        while reader.read_line(&mut request)? > 2 {}
        if request.contains("watch=true") {
            stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            )?;
            return Ok(Some(stream));
        }
        let (kind, items) = if request.starts_with("GET /api/v1/namespaces") {
            ("NamespaceList", &self.namespaces)
        } else {
            ("PodList", &self.pods)
        };
        let list =
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": "1"}, "items": items});
        let body = list.to_string();
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
        Ok(None)
    }
}

/// Whether this geophone was built to ask API servers; says loudly that `what` is not tested when it was not.
pub fn asks_api_servers(what: &str) -> Result<bool> {
    let help = Command::new(geophone()?)
        .args(["run", "--help"])
        .output()
        .context("cannot run geophone")?;
    let asks = String::from_utf8_lossy(&help.stdout).contains("--kubernetes-node");
    if !asks {
        // Not eprintln: the test harness would swallow it, since the test passes.
        writeln!(
            std::io::stderr().lock(),
            "\n*** NOT RUN: {what}: geophone was built without the feature k8s (`cargo xtask test` builds it) ***\n"
        )?;
    }
    Ok(asks)
}
