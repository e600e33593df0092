//! What is served: one [`Resource`] per (group, version, plural), data plus a [`Strategy`](strategy::Strategy).
//!
//! The registry is copied on write: a request sees one consistent set from beginning to end, and kinds come and go while
//! the server runs.

pub mod addresses;
pub mod builtin;
pub mod convert;
pub mod fields;
pub mod head;
pub mod kinds;
pub mod metadata;
pub mod model;
pub mod resource;
pub mod special;
pub mod store;
pub mod strategy;
pub mod subresource;

use apimachinery::{GroupVersion, GroupVersionResource};
use arc_swap::ArcSwap;
use resource::Resource;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A group version and its place in discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    pub group_version: GroupVersion,
    /// Groups in falling order of this, then by name.
    pub group_priority: i32,
    /// Versions of a group in falling order of this, then by version rules.
    pub version_priority: i32,
}

/// Everything served at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// In discovery's order.
    pub versions: Vec<Served>,
    resources: BTreeMap<GroupVersionResource, Arc<Resource>>,
    /// Counts changes, for whoever caches something made from a snapshot.
    pub generation: u64,
}

impl Snapshot {
    pub fn new(mut versions: Vec<Served>, resources: Vec<Resource>) -> Self {
        versions.sort_by(|a, b| {
            (b.group_priority, &a.group_version.group, b.version_priority, &a.group_version.version).cmp(&(
                a.group_priority,
                &b.group_version.group,
                a.version_priority,
                &b.group_version.version,
            ))
        });
        let resources = resources.into_iter().map(|r| (r.gvr.clone(), Arc::new(r))).collect();
        Self { versions, resources, generation: 0 }
    }

    pub fn get(&self, gvr: &GroupVersionResource) -> Option<&Arc<Resource>> {
        self.resources.get(gvr)
    }

    pub fn serves(&self, group_version: &GroupVersion) -> bool {
        self.versions.iter().any(|s| s.group_version == *group_version)
    }

    /// The resources of one group version, by name.
    pub fn of<'a>(&'a self, group_version: &'a GroupVersion) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.resources
            .values()
            .filter(move |r| r.gvr.group == group_version.group && r.gvr.version == group_version.version)
    }

    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// The resource under its preferred version.
    pub fn preferred(&self, group: &str, plural: &str) -> Option<&Arc<Resource>> {
        let versions = self.versions.iter().filter(|s| s.group_version.group == group);
        versions.into_iter().find_map(|s| self.get(&s.group_version.with_resource(plural)))
    }
}

/// The snapshot that new requests get.
#[derive(Debug, Default)]
pub struct Registry(ArcSwap<Snapshot>);

impl Registry {
    pub fn new(snapshot: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Replaces the set by what `change` makes of it; `change` may run more than once.
    pub fn update(&self, change: impl Fn(&mut Snapshot)) {
        self.0.rcu(|current| {
            let mut next = Snapshot::clone(current);
            change(&mut next);
            next.generation += 1;
            next
        });
    }
}
