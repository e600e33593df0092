//! Admission: what may be changed in, or refused about, an object on its way into the store.
//!
//! Plugins run in upstream's order (wire contract, section 18): first every `admit`, then, on the final object, every
//! `validate`. Both run again on each compare-and-swap retry, so they must be repeatable.

use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::{GroupVersionKind, GroupVersionResource, Object, Status};
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
