//! What every kind's create, update and delete do, in upstream's order
//! (k8s.io/apiserver `pkg/registry/generic/registry/store.go`, `pkg/registry/rest`).
//!
//! Reads need none of this: they are bytes from the watch cache. Every write ends in one transaction of the store, which
//! carries the object and whatever admission and allocation added to it.

mod create;
mod delete;
mod update;

pub use create::{place, wipe};
pub use delete::Deleted;
pub use update::Change;

use super::addresses::ServiceAddresses;
use super::resource::Target;
use crate::admission::{Attributes, Operation, Plugin};
use crate::backend::{Backend, Transaction, unsealed};
use crate::request::RequestCx;
use apimachinery::clock::{Clock, Rng};
use apimachinery::{Object, Status};
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;
use storage::{Revision, Stored};

/// How often a write is tried again when other writers get in between.
pub const ATTEMPTS: usize = 64;

/// The write half of the registry.
#[derive(Clone)]
pub struct Store {
    pub backend: Backend,
    pub admission: Arc<[Arc<dyn Plugin>]>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub addresses: Arc<dyn ServiceAddresses>,
}

/// What a write left behind: the body in its stored form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub body: Bytes,
    pub created: bool,
}

/// The time as metadata writes it: RFC 3339, UTC, whole seconds.
pub fn timestamp(now: jiff::Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A stored body as a tree.
pub fn tree(stored: &Stored) -> Result<Object, Status> {
    let value: Value = serde_json::from_slice(&stored.body)
        .map_err(|e| Status::internal(format!("the stored {} is not JSON: {e}", stored.key)))?;
    Object::from_value(value).ok_or_else(|| Status::internal(format!("the stored {} is no object", stored.key)))
}

/// The answer to a failure of the store.
pub fn storage_status(error: &storage::Error, target: &Target) -> Status {
    use storage::Error;
    let resource = target.resource.group_resource();
    match error {
        Error::Conflict { .. } => Status::modified(&resource, &target.name),
        Error::Compacted { asked, oldest } => {
            Status::expired(format!("The resourceVersion for the provided list is too old. ({asked}, oldest {oldest})"))
        }
        Error::Future { asked, current } => Status::too_large_resource_version(asked.0, current.0, 1),
        Error::TooSlow { at } => Status::expired(format!("too old resource version: {at}")),
        Error::Closed => Status::service_unavailable("the store is closed"),
        other => {
            tracing::error!(error = %other, source = ?std::error::Error::source(other), "the store failed");
            Status::internal(other.to_string())
        }
    }
}

impl Store {
    /// The body that a dry run answers with: everything decided, nothing dated.
    fn rehearsed(object: &Object) -> Bytes {
        let version = object.resource_version().parse().map(Revision);
        match version {
            Ok(revision) => unsealed(object).seal(revision),
            Err(_) => object.to_bytes().into(),
        }
    }

    fn attributes(target: &Target, operation: Operation, name: &str, dry_run: bool, old: Option<Object>) -> Attributes {
        let resource = &target.resource;
        let kind = match resource.subresource(&target.subresource) {
            Some(sub) => sub.kind.clone(),
            None => resource.kind.clone(),
        };
        // Upstream's request info gives a namespace's own name as its namespace on every request but its creation.
        let own = !resource.namespaced && resource.gvr.group.is_empty() && resource.gvr.resource == "namespaces";
        let namespace = if own { name.to_owned() } else { target.namespace.clone() };
        Attributes {
            operation,
            kind,
            resource: resource.gvr.clone(),
            subresource: target.subresource.clone(),
            namespace,
            name: name.to_owned(),
            dry_run,
            old,
            options: None,
        }
    }

    async fn admit(&self, cx: &RequestCx, attributes: &Attributes, object: &mut Object) -> Result<(), Status> {
        for plugin in self.admission.iter().filter(|p| p.handles(attributes)) {
            plugin.admit(cx, &self.backend, attributes, object).await?;
        }
        Ok(())
    }

    /// Validating admission; what it adds to the transaction is committed with the object.
    pub async fn approve(
        &self,
        cx: &RequestCx,
        attributes: &Attributes,
        object: &Object,
        transaction: &mut Transaction,
    ) -> Result<(), Status> {
        for plugin in self.admission.iter().filter(|p| p.handles(attributes)) {
            plugin.validate(cx, &self.backend, attributes, object, transaction).await?;
        }
        Ok(())
    }

    /// Both halves of admission for something that is not stored: connects and subresource creations.
    pub async fn admit_only(
        &self,
        cx: &RequestCx,
        target: &Target,
        operation: Operation,
        dry_run: bool,
        object: &mut Object,
    ) -> Result<(), Status> {
        let attributes = Self::attributes(target, operation, &target.name, dry_run, None);
        self.admit(cx, &attributes, object).await?;
        self.approve(cx, &attributes, object, &mut Transaction::default()).await
    }

    fn is_service(target: &Target) -> bool {
        &*target.resource.stored.resource == "services" && target.subresource.is_empty()
    }

    /// Commits the object's own write with everything that was added to it. `Ok(None)`: somebody was faster on the
    /// object itself or on what the checks speak about.
    async fn commit(
        &self,
        target: &Target,
        check: storage::Check,
        write: storage::Write,
        extra: Transaction,
    ) -> Result<Option<Revision>, Status> {
        let mut checks = vec![check];
        checks.extend(extra.checks);
        let mut writes = vec![write];
        writes.extend(extra.writes);
        match self.backend.storage.transact(checks, writes).await {
            Ok(revisions) => Ok(revisions.first().copied()),
            Err(storage::Error::Conflict { .. }) => Ok(None),
            Err(error) => Err(storage_status(&error, target)),
        }
    }
}
