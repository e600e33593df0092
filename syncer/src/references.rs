//! Which pods use which objects, so that a ConfigMap, Secret or claim goes to the host while it is in use and no longer.
//!
//! Kept in memory and rebuilt from the pods at start: it holds nothing that the pods do not say.

use crate::kind::Kind;
use std::collections::{BTreeSet, HashMap};

/// Namespace and name.
pub(crate) type ObjectKey = (String, String);
/// An object that a pod uses, in the pod's own namespace.
pub(crate) type Reference = (Kind, String);

#[derive(Debug, Default)]
pub(crate) struct References {
    used: HashMap<ObjectKey, BTreeSet<Reference>>,
    users: HashMap<(Kind, ObjectKey), BTreeSet<String>>,
}

impl References {
    /// Replaces what a pod uses and returns what it started or stopped to use.
    pub(crate) fn set(&mut self, pod: &ObjectKey, uses: BTreeSet<Reference>) -> Vec<Reference> {
        let before = self.used.get(pod).cloned().unwrap_or_default();
        let changed: Vec<Reference> = before.symmetric_difference(&uses).cloned().collect();
        for (kind, name) in &changed {
            let target = (*kind, (pod.0.clone(), name.clone()));
            let users = self.users.entry(target.clone()).or_default();
            if uses.contains(&(*kind, name.clone())) {
                users.insert(pod.1.clone());
            } else {
                users.remove(&pod.1);
            }
            if users.is_empty() {
                self.users.remove(&target);
            }
        }
        if uses.is_empty() {
            self.used.remove(pod);
        } else {
            self.used.insert(pod.clone(), uses);
        }
        changed
    }

    pub(crate) fn is_used(&self, kind: Kind, namespace: &str, name: &str) -> bool {
        self.users.contains_key(&(kind, (namespace.to_owned(), name.to_owned())))
    }

    /// The pods that use anything of a kind.
    pub(crate) fn users_of_kind(&self, kind: Kind) -> Vec<ObjectKey> {
        let of_kind = self.users.iter().filter(|((used, _), _)| *used == kind);
        of_kind
            .flat_map(|((_, (namespace, _)), pods)| pods.iter().map(|pod| (namespace.clone(), pod.clone())))
            .collect()
    }

    /// Names of the pods that use an object.
    pub(crate) fn users(&self, kind: Kind, namespace: &str, name: &str) -> Vec<String> {
        let users = self.users.get(&(kind, (namespace.to_owned(), name.to_owned())));
        users.map(|users| users.iter().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(names: &[&str]) -> BTreeSet<Reference> {
        names.iter().map(|name| (Kind::Secret, (*name).to_owned())).collect()
    }

    #[test]
    fn an_object_is_used_until_its_last_pod_stops() {
        let mut references = References::default();
        let (a, b) = (("ns".to_owned(), "a".to_owned()), ("ns".to_owned(), "b".to_owned()));
        assert_eq!(references.set(&a, uses(&["s", "t"])).len(), 2);
        assert_eq!(references.set(&b, uses(&["s"])), [(Kind::Secret, "s".to_owned())]);
        assert_eq!(references.users(Kind::Secret, "ns", "s"), ["a", "b"]);
        assert_eq!(references.set(&a, uses(&["s"])), [(Kind::Secret, "t".to_owned())]);
        assert!(!references.is_used(Kind::Secret, "ns", "t"));
        assert_eq!(references.users_of_kind(Kind::ConfigMap), []);
        references.set(&a, BTreeSet::new());
        assert_eq!(references.users_of_kind(Kind::Secret), std::slice::from_ref(&b));
        assert!(references.is_used(Kind::Secret, "ns", "s"));
        references.set(&b, BTreeSet::new());
        assert!(!references.is_used(Kind::Secret, "ns", "s"));
        assert!(!references.is_used(Kind::Secret, "other", "s"));
    }
}
