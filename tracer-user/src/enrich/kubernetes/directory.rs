//! The pods of a node by UID and by container, with what their namespaces wish, as they were last told of.
//!
//! Knows no network: what is here stays when the API server is away. A pod that was deleted stays a while, since the spans
//! of its last processes may end later than it does.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::namespaces::{Applied, Namespaces};
use super::object::Entry;
use crate::counters::{Counter, Counters};
use crate::event::pod::{Pod, Wishes};

/// Most pods kept. A kubelet runs 110 unless told otherwise.
pub(super) const PODS_MAX: usize = 2048;

/// Most deleted pods among them.
pub(super) const GONE_MAX: usize = 256;

/// The pods of a node.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// By the pod's own UID.
    pods: HashMap<String, Entry>,
    /// Own UID by any of its UIDs.
    by_uid: HashMap<String, String>,
    /// Own UID by the id of a container.
    by_container: HashMap<String, String>,
    /// Deleted pods, the first deleted first.
    gone: VecDeque<String>,
    /// What was named since a new list began.
    listed: Option<HashSet<String>>,
    /// Whether a list was ever complete.
    is_complete: bool,
    namespaces: Namespaces,
    counters: Counters,
}

impl Directory {
    /// A pod is there or has changed. Says whether anything is known that was not before.
    pub(super) fn apply(&mut self, entry: Entry) -> bool {
        let uid = entry.pod.uid.clone();
        if let Some(listed) = &mut self.listed {
            listed.insert(uid.clone());
        }
        self.gone.retain(|gone| *gone != uid);
        if self.pods.get(&uid) == Some(&entry) {
            return false;
        }
        if !self.remove(&uid) && self.pods.len() >= PODS_MAX && !self.forget_oldest() {
            self.counters.add(Counter::PodsBeyondCap, 1);
            return false;
        }
        for alias in &entry.uids {
            self.by_uid.insert(alias.clone(), uid.clone());
        }
        for (container, _) in &entry.containers {
            self.by_container.insert(container.clone(), uid.clone());
        }
        self.pods.insert(uid, entry);
        true
    }

    /// A pod was deleted. It is remembered for now.
    pub(super) fn delete(&mut self, uid: &str) {
        if self.pods.contains_key(uid) && !self.gone.iter().any(|gone| gone == uid) {
            self.gone.push_back(uid.to_owned());
        }
        while self.gone.len() > GONE_MAX {
            self.forget_oldest();
        }
    }

    /// A new list of all pods begins.
    pub(super) fn list_begins(&mut self) {
        self.listed = Some(HashSet::new());
    }

    /// The list is complete: pods that it does not name were deleted while nobody listened.
    pub(super) fn list_ends(&mut self) {
        self.is_complete = true;
        let listed = self.listed.take().unwrap_or_default();
        let missing: Vec<String> = self
            .pods
            .keys()
            .filter(|uid| !listed.contains(*uid))
            .cloned()
            .collect();
        for uid in missing {
            self.delete(&uid);
        }
    }

    /// Whether all pods of the node and all namespaces were told of once.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete && self.namespaces.is_complete()
    }

    /// A namespace is there or has changed. Says whether anything is known that was not before.
    pub(super) fn apply_namespace(&mut self, name: String, wishes: Wishes) -> bool {
        let applied = self.namespaces.apply(name, wishes);
        if applied == Applied::BeyondCap {
            self.counters.add(Counter::PodsBeyondCap, 1);
        }
        applied == Applied::News
    }

    /// The namespaces, to be told that a list begins or ends, or that one was deleted.
    pub(super) fn namespaces(&mut self) -> &mut Namespaces {
        &mut self.namespaces
    }

    /// The pod of a process by the ids in its control group. By the container's id the container is known too.
    pub(super) fn find(&self, container: Option<&str>, uid: Option<&str>) -> Option<Arc<Pod>> {
        let by_container = container.and_then(|id| {
            let entry = self.pods.get(self.by_container.get(id)?)?;
            let (_, pod) = entry.containers.iter().find(|(known, _)| known == id)?;
            Some(self.namespaces.join(pod))
        });
        by_container.or_else(|| {
            let entry = self.pods.get(self.by_uid.get(uid?)?)?;
            Some(self.namespaces.join(&entry.pod))
        })
    }

    /// Counts something about the watch.
    pub(super) fn count(&mut self, counter: Counter) {
        self.counters.add(counter, 1);
    }

    /// What was dropped, and what went wrong.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many pods are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.pods.len()
    }

    fn forget_oldest(&mut self) -> bool {
        self.gone.pop_front().is_some_and(|uid| self.remove(&uid))
    }

    fn remove(&mut self, uid: &str) -> bool {
        let Some(entry) = self.pods.remove(uid) else {
            return false;
        };
        for alias in &entry.uids {
            forget(&mut self.by_uid, alias, uid);
        }
        for (container, _) in &entry.containers {
            forget(&mut self.by_container, container, uid);
        }
        true
    }
}

/// Takes a name away from a pod, unless another one has it by now: a mirror pod that was made anew has another UID, and the
/// manifest and the containers of the one before.
fn forget(owners: &mut HashMap<String, String>, name: &str, uid: &str) {
    if owners.get(name).is_some_and(|owner| owner == uid) {
        owners.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(uid: &str, container: &str) -> Entry {
        let pod = Arc::new(Pod {
            uid: uid.to_owned(),
            name: format!("pod-{uid}"),
            ..Pod::default()
        });
        Entry {
            uids: vec![uid.to_owned()],
            pod: Arc::clone(&pod),
            containers: vec![(container.to_owned(), pod)],
        }
    }

    fn name(directory: &Directory, container: Option<&str>, uid: Option<&str>) -> Option<String> {
        directory.find(container, uid).map(|pod| pod.name.clone())
    }

    #[test]
    fn a_pod_is_found_by_container_and_else_by_its_own_id() {
        let mut directory = Directory::default();
        assert!(directory.apply(entry("u1", "c1")));
        assert!(!directory.apply(entry("u1", "c1")), "nothing new");
        assert_eq!(name(&directory, Some("c1"), None).as_deref(), Some("pod-u1"));
        assert_eq!(
            name(&directory, Some("c9"), Some("u1")).as_deref(),
            Some("pod-u1")
        );
        assert_eq!(name(&directory, Some("c9"), Some("u9")), None);
    }

    #[test]
    fn a_restarted_container_leaves_nothing_under_its_old_id() {
        let mut directory = Directory::default();
        directory.apply(entry("u1", "c1"));
        assert!(directory.apply(entry("u1", "c2")));
        assert_eq!(name(&directory, Some("c1"), None), None);
        assert_eq!(name(&directory, Some("c2"), None).as_deref(), Some("pod-u1"));
    }

    #[test]
    fn a_deleted_pod_is_still_known_and_so_is_one_that_a_new_list_left_out() {
        let mut directory = Directory::default();
        directory.apply(entry("u1", "c1"));
        directory.apply(entry("u2", "c2"));
        directory.delete("u1");
        directory.list_begins();
        directory.list_ends();
        assert_eq!(name(&directory, Some("c1"), None).as_deref(), Some("pod-u1"));
        assert_eq!(name(&directory, Some("c2"), None).as_deref(), Some("pod-u2"));
        for number in 0..GONE_MAX {
            let uid = format!("later-{number}");
            directory.apply(entry(&uid, &uid));
            directory.delete(&uid);
        }
        assert_eq!(
            name(&directory, Some("c1"), None),
            None,
            "the first deleted goes first"
        );
        assert_eq!(directory.len(), GONE_MAX);
    }

    /// The kubelet runs a static pod whatever the API server has: who deletes its mirror there gets a new one.
    #[test]
    fn a_mirror_pod_made_anew_keeps_manifest_and_containers_when_the_old_one_is_forgotten() {
        let mirror = |uid: &str| {
            let mut entry = entry(uid, "c1");
            entry.uids.push("manifest".to_owned());
            entry
        };
        let mut directory = Directory::default();
        directory.apply(mirror("old"));
        directory.delete("old");
        directory.apply(mirror("new"));
        for number in 0..=GONE_MAX {
            let uid = format!("later-{number}");
            directory.apply(entry(&uid, &uid));
            directory.delete(&uid);
        }
        assert_eq!(name(&directory, None, Some("old")), None, "it was forgotten");
        for (container, uid) in [(Some("c1"), None), (None, Some("manifest"))] {
            assert_eq!(name(&directory, container, uid).as_deref(), Some("pod-new"));
        }
    }

    #[test]
    fn pods_beyond_the_cap_are_counted_and_deleted_ones_make_room() {
        let mut directory = Directory::default();
        for number in 0..PODS_MAX {
            directory.apply(entry(&format!("u{number}"), &format!("c{number}")));
        }
        assert!(!directory.apply(entry("one", "too-many")));
        assert_eq!(directory.counters().get(Counter::PodsBeyondCap), 1);
        directory.delete("u0");
        assert!(directory.apply(entry("one", "too-many")));
        assert_eq!(directory.len(), PODS_MAX);
        assert_eq!(name(&directory, Some("c0"), None), None);
    }
}
