//! What the namespaces of a cluster do not want, as they were last told of.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::event::pod::{Pod, Wishes};

/// Most namespaces kept. One beyond is as one that was never told of: its pods have no content.
pub(super) const NAMESPACES_MAX: usize = 16_384;

/// Most deleted namespaces among them: the last spans of their pods may still come.
const GONE_MAX: usize = 256;

/// The namespaces of a cluster, by name.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    wishes: HashMap<String, Wishes>,
    /// Deleted ones, the first deleted first.
    gone: VecDeque<String>,
    /// What was named since a new list began.
    listed: Option<HashSet<String>>,
    /// Whether a list was ever complete.
    is_complete: bool,
}

/// What became of a namespace that was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applied {
    /// It is as it was known.
    Known,
    /// Something else is known of it now.
    News,
    /// There was no room for it.
    BeyondCap,
}

impl Namespaces {
    /// A namespace is there or has changed.
    pub(super) fn apply(&mut self, name: String, wishes: Wishes) -> Applied {
        if let Some(listed) = &mut self.listed {
            listed.insert(name.clone());
        }
        self.gone.retain(|gone| *gone != name);
        let known = self.wishes.get(&name).copied();
        if known == Some(wishes) {
            return Applied::Known;
        }
        if known.is_none() && self.wishes.len() >= NAMESPACES_MAX && !self.forget_oldest() {
            return Applied::BeyondCap;
        }
        self.wishes.insert(name, wishes);
        Applied::News
    }

    /// A namespace was deleted. What it wished is remembered for now.
    pub(super) fn delete(&mut self, name: &str) {
        if self.wishes.contains_key(name) && !self.gone.iter().any(|gone| gone == name) {
            self.gone.push_back(name.to_owned());
        }
        while self.gone.len() > GONE_MAX {
            self.forget_oldest();
        }
    }

    /// A new list of all namespaces begins.
    pub(super) fn list_begins(&mut self) {
        self.listed = Some(HashSet::new());
    }

    /// The list is complete: namespaces that it does not name were deleted while nobody listened.
    pub(super) fn list_ends(&mut self) {
        self.is_complete = true;
        let listed = self.listed.take().unwrap_or_default();
        let missing = self.wishes.keys().filter(|name| !listed.contains(*name));
        for name in missing.cloned().collect::<Vec<_>>() {
            self.delete(&name);
        }
    }

    /// Whether all namespaces were told of once.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// A pod with what its namespace wishes. Either can only take away.
    pub(super) fn join(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        match self.wishes.get(&pod.namespace) {
            None => Arc::new(Pod {
                awaits_namespace: true,
                ..Pod::clone(pod)
            }),
            Some(wishes) if pod.wishes.and(*wishes) == pod.wishes => Arc::clone(pod),
            Some(wishes) => Arc::new(Pod {
                wishes: pod.wishes.and(*wishes),
                ..Pod::clone(pod)
            }),
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let oldest = self.gone.pop_front();
        oldest.is_some_and(|name| self.wishes.remove(&name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTRACED: Wishes = Wishes {
        untraced: true,
        without_content: false,
    };
    const WITHOUT_CONTENT: Wishes = Wishes {
        untraced: false,
        without_content: true,
    };

    fn pod(wishes: Wishes) -> Arc<Pod> {
        Arc::new(Pod {
            namespace: "agents".to_owned(),
            wishes,
            ..Pod::default()
        })
    }

    #[test]
    fn namespace_and_pod_take_away_and_neither_gives_back() {
        let mut namespaces = Namespaces::default();
        assert_eq!(namespaces.apply("agents".to_owned(), UNTRACED), Applied::News);
        assert_eq!(namespaces.apply("agents".to_owned(), UNTRACED), Applied::Known);
        assert!(namespaces.join(&pod(Wishes::default())).wishes.untraced);
        assert_eq!(
            namespaces.join(&pod(WITHOUT_CONTENT)).wishes,
            UNTRACED.and(WITHOUT_CONTENT)
        );
    }

    #[test]
    fn a_namespace_that_was_not_told_of_is_awaited() {
        let mut namespaces = Namespaces::default();
        assert!(namespaces.join(&pod(Wishes::default())).awaits_namespace);
        namespaces.apply("agents".to_owned(), Wishes::default());
        assert!(!namespaces.join(&pod(Wishes::default())).awaits_namespace);
    }

    #[test]
    fn a_deleted_namespace_has_its_wishes_still_and_so_has_one_that_a_new_list_left_out() {
        let mut namespaces = Namespaces::default();
        namespaces.apply("agents".to_owned(), UNTRACED);
        namespaces.delete("agents");
        namespaces.list_begins();
        namespaces.list_ends();
        assert!(namespaces.is_complete());
        assert!(namespaces.join(&pod(Wishes::default())).wishes.untraced);
        for number in 0..GONE_MAX {
            let name = format!("later-{number}");
            namespaces.apply(name.clone(), Wishes::default());
            namespaces.delete(&name);
        }
        assert!(
            namespaces.join(&pod(Wishes::default())).awaits_namespace,
            "forgotten, it is not taken for one without wishes"
        );
    }

    #[test]
    fn namespaces_beyond_the_cap_are_not_kept_and_deleted_ones_make_room() {
        let mut namespaces = Namespaces::default();
        for number in 0..NAMESPACES_MAX {
            namespaces.apply(format!("n{number}"), Wishes::default());
        }
        assert_eq!(
            namespaces.apply("agents".to_owned(), UNTRACED),
            Applied::BeyondCap
        );
        assert!(namespaces.join(&pod(Wishes::default())).awaits_namespace);
        namespaces.delete("n0");
        assert_eq!(namespaces.apply("agents".to_owned(), UNTRACED), Applied::News);
    }
}
