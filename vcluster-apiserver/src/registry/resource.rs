//! One served resource: names and capabilities as data, the kind's fields as a [`Model`], its behaviour as a [`Strategy`].

use super::convert::Conversion;
use super::model::Model;
use super::strategy::Strategy;
use apimachinery::{GroupResource, GroupVersionKind, GroupVersionResource};
use std::sync::Arc;

/// A resource of one group and version.
pub struct Resource {
    pub gvr: GroupVersionResource,
    pub kind: GroupVersionKind,
    /// `PodList`.
    pub list_kind: String,
    pub singular: String,
    pub namespaced: bool,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    /// In discovery's words: `create`, `get`, ..., `deletecollection`.
    pub verbs: Vec<String>,
    pub subresources: Vec<Subresource>,
    pub storage_version_hash: String,
    /// A deletion answers with the object, not with a `Status` (`ReturnDeletedObject` upstream).
    pub deletes_to_object: bool,
    /// Where objects are kept; several versions share one place.
    pub stored: StoredAs,
    /// Field selectors beyond name and namespace: the label and where its value stands.
    pub fields: Vec<(String, String)>,
    pub model: Arc<dyn Model>,
    pub strategy: Arc<dyn Strategy>,
}

/// The stored form of a resource.
#[derive(Clone)]
pub struct StoredAs {
    /// The resource part of storage keys: `pods`, `deployments.apps`.
    pub resource: Arc<str>,
    pub kind: GroupVersionKind,
    /// Every path that a field selector of any version may look at, in the order that heads keep them.
    pub paths: Arc<[Arc<str>]>,
    /// How the served version differs from the stored one; none when it is the same.
    pub conversion: Option<&'static Conversion>,
}

/// `pods/status` and its like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    pub name: String,
    pub kind: GroupVersionKind,
    pub verbs: Vec<String>,
}

impl Resource {
    pub fn group_resource(&self) -> GroupResource {
        self.gvr.group_resource()
    }

    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// Whether `status` has an endpoint of its own, so that the main one neither sets nor changes it.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// Whether objects are kept at all; reviews are answered and forgotten.
    pub fn is_persisted(&self) -> bool {
        self.has_verb("get")
    }

    /// The first bytes of every stored body: `{"kind":"Pod","apiVersion":"v1",` as [`crate::backend::unsealed`] writes it.
    pub fn type_prefix(&self) -> String {
        format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", self.stored.kind.kind, self.stored.kind.api_version())
    }
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resource({})", self.gvr)
    }
}

/// What an operation is about: a resource, perhaps one object of it, perhaps one of its subresources.
#[derive(Clone, Debug)]
pub struct Target {
    pub resource: Arc<Resource>,
    /// Empty for cluster-scoped resources and for operations over all namespaces.
    pub namespace: String,
    pub name: String,
    /// Empty for the resource itself.
    pub subresource: String,
}

impl Target {
    /// What a write through this endpoint leaves as it is, beside what all kinds do.
    pub fn resets(&self) -> Vec<Vec<&'static str>> {
        let strategy = &self.resource.strategy;
        let other: &[&str] = match self.subresource.as_str() {
            "" | "finalize" if self.resource.has_status() => &["status"],
            "status" => &["spec"],
            _ => &[],
        };
        let other = other.iter().map(|field| vec![*field]);
        let metadata = if self.subresource == "status" { strategy.status_keeps() } else { &[] };
        let metadata = metadata.iter().map(|field| vec!["metadata", *field]);
        other.chain(metadata).chain(strategy.resets(&self.subresource).iter().map(|place| place.to_vec())).collect()
    }

    pub fn key(&self) -> storage::Key {
        self.key_of(&self.name)
    }

    /// The key of another object of the same resource and namespace.
    pub fn key_of(&self, name: &str) -> storage::Key {
        let namespace = if self.resource.namespaced { self.namespace.as_str() } else { "" };
        storage::Key { resource: self.resource.stored.resource.clone(), namespace: namespace.into(), name: name.into() }
    }
}
