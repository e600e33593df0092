//! Admission: what may be changed in, or refused about, an object on its way into the store.
//!
//! Plugins run in upstream's order (wire contract, section 18): first every `admit`, then, on the final object, every
//! `validate`. Both run again on each compare-and-swap retry, so they must be repeatable.

pub mod certificates;
pub mod chain;
pub mod default_class;
pub mod default_tolerations;
pub mod escalation;
pub mod limit_ranger;
pub mod namespace_lifecycle;
pub mod node_restriction;
pub mod node_taint;
pub mod pod_resources;
pub mod pod_security;
pub mod priority;
pub mod resource_quota;
pub mod runtime_class;
pub mod service_account;
pub mod storage_protection;
pub mod volume_resize;

#[cfg(test)]
mod fixture;

pub use chain::{Deps, built_in};

use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::{GroupResource, GroupVersionKind, GroupVersionResource, Object, Status};
use async_trait::async_trait;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// What is being done, to what.
#[derive(Clone, Debug)]
pub struct Attributes {
    pub operation: Operation,
    pub kind: GroupVersionKind,
    pub resource: GroupVersionResource,
    /// Empty for the resource itself.
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub dry_run: bool,
    /// The state before an update or deletion.
    pub old: Option<Object>,
    /// CreateOptions, UpdateOptions, DeleteOptions, or the options object of a connect.
    pub options: Option<Object>,
}

impl Attributes {
    /// Whether this is about the resource itself, not about a subresource of it.
    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.is_at(group, resource, "")
    }

    /// Whether this is about one subresource of a resource.
    pub fn is_at(&self, group: &str, resource: &str, subresource: &str) -> bool {
        self.resource.group == group && self.resource.resource == resource && self.subresource == subresource
    }

    pub fn creates(&self) -> bool {
        self.operation == Operation::Create
    }

    pub fn updates(&self) -> bool {
        self.operation == Operation::Update
    }

    /// 403 about the object; where it has no name yet, its `generateName` or `Unknown` stands for it.
    pub fn forbidden(&self, object: &Object, why: impl AsRef<str>) -> Status {
        let candidates = [self.name.as_str(), object.name(), object.meta_str("generateName"), "Unknown"];
        let name = candidates.into_iter().find(|n| !n.is_empty()).unwrap_or_default();
        Status::forbidden(&self.resource.group_resource(), name, why)
    }
}

/// 500 for a store that could not be read.
fn unreadable(error: storage::Error) -> Status {
    Status::internal(error.to_string())
}

/// An object that a plugin looks up; none when it does not exist.
async fn lookup(
    backend: &Backend,
    group: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Result<Option<Object>, Status> {
    backend.object(&GroupResource::new(group, resource), namespace, name).await.map_err(unreadable)
}

/// All objects of a resource, in one namespace or in all.
async fn list(backend: &Backend, group: &str, resource: &str, namespace: Option<&str>) -> Result<Vec<Object>, Status> {
    backend.objects(&GroupResource::new(group, resource), namespace).await.map_err(unreadable)
}

/// One plugin of the chain.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Upstream's name: `NamespaceLifecycle`.
    fn name(&self) -> &'static str;

    fn handles(&self, attributes: &Attributes) -> bool;

    /// May change `object` (null-like, empty, for deletions).
    async fn admit(&self, _: &RequestCx, _: &Backend, _: &Attributes, _object: &mut Object) -> Result<(), Status> {
        Ok(())
    }

    /// May refuse, and may add checks and writes to the transaction (quota, liveness of the namespace).
    async fn validate(
        &self,
        _: &RequestCx,
        _: &Backend,
        _: &Attributes,
        _object: &Object,
        _: &mut Transaction,
    ) -> Result<(), Status> {
        Ok(())
    }
}
