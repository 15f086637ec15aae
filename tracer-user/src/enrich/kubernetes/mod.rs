//! Pods of this node by name, from the node's own watch on the API server.
//!
//! One list and one watch on the pods of one node, whatever the size of the cluster, and one on the metadata of namespaces,
//! whose annotations speak for their pods. While the API server is away the last
//! word holds; the watch is taken up again with a growing pause. What is learnt goes into
//! [`Process`](crate::event::Process), so that recordings and replays have it too.

mod directory;
mod namespaces;
mod object;
mod watch;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use kube::Config;
use thiserror::Error;

use super::container;
use crate::counters::Counters;
use crate::event::{ProbeEvent, Process, ProcessKey};
use watch::Shared;

/// Most processes remembered so that they can be told again when their pod becomes known or changes.
const PROCESSES_MAX: usize = 8192;

/// Why no API server can be asked.
#[derive(Debug, Error)]
pub enum Error {
    /// Neither in a pod nor with a kubeconfig.
    #[error("there is no way to the API server: {0}")]
    NoAccess(#[from] Box<kube::config::InferConfigError>),
    /// The settings are there but cannot be used, as with a broken certificate.
    #[error("the settings for the API server cannot be used: {0}")]
    BadAccess(#[from] Box<kube::Error>),
    /// No thread or no event loop could be made.
    #[error("cannot start the watch on pods: {0}")]
    Start(#[from] io::Error),
}

/// The pods of a node, kept up to date by a thread of its own.
#[derive(Debug)]
pub struct Pods {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// State of the directory that `processes` were described by.
    version: u64,
    /// Processes in containers, as they were told last.
    processes: HashMap<ProcessKey, Arc<Process>>,
}

impl Pods {
    /// Watches the pods of `node`. Where the API server is, is asked of the pod's own service account, else of the
    /// kubeconfig.
    pub fn of_node(node: &str) -> Result<Self, Error> {
        let runtime = watch::runtime()?;
        let config = runtime.block_on(Config::infer()).map_err(Box::new)?;
        Self::watch(node, config, runtime)
    }

    /// Watches the pods of `node` at an API server that is known.
    pub fn at(node: &str, config: Config) -> Result<Self, Error> {
        Self::watch(node, config, watch::runtime()?)
    }

    fn watch(node: &str, config: Config, runtime: tokio::runtime::Runtime) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let thread = watch::start(node, config, runtime, Arc::clone(&shared))?;
        Ok(Self {
            shared,
            thread: Some(thread),
            version: 0,
            processes: HashMap::new(),
        })
    }

    /// Waits until all pods of the node and all namespaces were told of once, for no longer than `patience`. Says whether they were.
    pub fn wait(&self, patience: Duration) -> bool {
        self.shared.wait(patience, directory::Directory::is_complete)
    }

    /// The event with what is known of pods.
    pub fn tell<'a>(&mut self, event: ProbeEvent<'a>) -> ProbeEvent<'a> {
        match event {
            ProbeEvent::Process(process) => ProbeEvent::Process(self.describe(process)),
            ProbeEvent::ProcessExit { process, .. } => {
                self.processes.remove(&process);
                event
            }
            _ => event,
        }
    }

    /// Processes of which something else is known than was told before: they are to be told again.
    pub fn news(&mut self) -> Vec<Arc<Process>> {
        let version = self.shared.version.load(Ordering::Acquire);
        if version == self.version {
            return Vec::new();
        }
        self.version = version;
        let mut news = Vec::new();
        let directory = self.shared.directory();
        for process in self.processes.values_mut() {
            let pod = find(&directory, &process.cgroup);
            // What was known is not taken back when a pod is forgotten.
            if pod.is_some() && pod != process.pod {
                *process = Arc::new(Process {
                    pod,
                    ..Process::clone(process)
                });
                news.push(Arc::clone(process));
            }
        }
        // In an order that does not depend on the hash.
        news.sort_by_key(|process| process.key);
        news
    }

    /// What was dropped, and what went wrong with the watch.
    pub fn counters(&self) -> Counters {
        self.shared.directory().counters().clone()
    }

    fn describe(&mut self, process: Arc<Process>) -> Arc<Process> {
        if container::container_id(&process.cgroup).is_none() && container::pod_uid(&process.cgroup).is_none()
        {
            return process;
        }
        let pod = find(&self.shared.directory(), &process.cgroup);
        let process = if pod.is_some() {
            Arc::new(Process {
                pod,
                ..Process::clone(&process)
            })
        } else {
            process
        };
        if self.processes.len() < PROCESSES_MAX || self.processes.contains_key(&process.key) {
            self.processes.insert(process.key, Arc::clone(&process));
        }
        process
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the watch on pods ended in a panic");
        }
    }
}

fn find(directory: &directory::Directory, cgroup: &str) -> Option<Arc<crate::event::pod::Pod>> {
    directory.find(
        container::container_id(cgroup),
        container::pod_uid(cgroup).as_deref(),
    )
}

#[cfg(test)]
mod tests;
