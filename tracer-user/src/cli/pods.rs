//! `--kubernetes-node`: which pod a process runs in, asked of the API server while tracing.

use std::sync::Arc;

use super::note;
use super::settings::Kubernetes;
use crate::counters::Counters;
use crate::enrich::may_be_pod;
use crate::event::{ProbeEvent, Process};
use crate::select::InPod;

#[cfg(not(feature = "k8s"))]
use super::settings::Origin;
#[cfg(feature = "k8s")]
use {crate::enrich::kubernetes, std::time::Duration};

/// How long the start of tracing waits for the first list of pods. What comes later is told later.
#[cfg(feature = "k8s")]
const PATIENCE: Duration = Duration::from_secs(3);

/// The pods of this node, where they are asked for.
#[derive(Debug, Default)]
pub(super) struct Pods {
    #[cfg(feature = "k8s")]
    watched: Option<kubernetes::Pods>,
}

/// What tells whether a control group may be that of a pod; `None` where nobody asks for pods.
pub(super) fn in_pod(settings: &Kubernetes) -> Option<InPod> {
    let Kubernetes { node } = settings;
    let is_asked = cfg!(feature = "k8s") && node.get().is_some();
    is_asked.then_some(may_be_pod as InPod)
}

#[cfg(feature = "k8s")]
impl Pods {
    /// Begins to watch if a node was named. A server that cannot be asked costs the names of pods, not the tracing.
    pub(super) fn open(settings: &Kubernetes) -> Self {
        let Kubernetes { node } = settings;
        let watched = node
            .get()
            .map(|node| node.0.as_str())
            .and_then(|node| match kubernetes::Pods::of_node(node) {
                Ok(pods) => {
                    if !pods.wait(PATIENCE) {
                        note(format_args!(
                            "the API server has not told of the pods of {node} yet: their names come as soon as it does"
                        ));
                    }
                    Some(pods)
                }
                Err(error) => {
                    note(format_args!(
                        "{error}; processes in pods are traced without names and content. Run geophone in a pod with a service \
                         account, or set KUBECONFIG"
                    ));
                    None
                }
            });
        Self { watched }
    }

    /// The event with what is known of pods.
    pub(super) fn tell<'a>(&mut self, event: ProbeEvent<'a>) -> ProbeEvent<'a> {
        match &mut self.watched {
            Some(pods) => pods.tell(event),
            None => event,
        }
    }

    /// Processes to be told again since something else is known of their pod.
    pub(super) fn news(&mut self) -> Vec<Arc<Process>> {
        self.watched
            .as_mut()
            .map(kubernetes::Pods::news)
            .unwrap_or_default()
    }

    /// What was dropped, and what went wrong.
    pub(super) fn counters(&self) -> Counters {
        self.watched
            .as_ref()
            .map(kubernetes::Pods::counters)
            .unwrap_or_default()
    }
}

/// In a build without the feature nothing is known of pods but what the control group says.
#[cfg(not(feature = "k8s"))]
#[allow(clippy::unused_self, reason = "the same calls as with the feature")]
impl Pods {
    pub(super) fn open(settings: &Kubernetes) -> Self {
        let Kubernetes { node } = settings;
        if node.get().is_some() && *node.origin() != Origin::Variable("NODE_NAME".to_owned()) {
            note(format_args!(
                "`kubernetes.node` is of no use: this geophone was built without Kubernetes (feature `k8s`)"
            ));
        }
        Self {}
    }

    pub(super) fn tell<'a>(&mut self, event: ProbeEvent<'a>) -> ProbeEvent<'a> {
        event
    }

    pub(super) fn news(&mut self) -> Vec<Arc<Process>> {
        Vec::new()
    }

    pub(super) fn counters(&self) -> Counters {
        Counters::default()
    }
}
