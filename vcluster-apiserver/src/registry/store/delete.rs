//! Deletion: grace periods, finalizers, propagation policies, preconditions; and deletion of whole collections.

use super::{ATTEMPTS, Store, storage_status, timestamp, tree};
use crate::admission::Operation;
use crate::backend::{Transaction, unsealed};
use crate::registry::metadata::{FOREGROUND, ORPHAN};
use crate::registry::resource::{Resource, Target};
use crate::request::RequestCx;
use crate::request::options::{DeleteOptions, Propagation};
use apimachinery::{GroupResource, Object, Status};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use serde_json::Value;
use std::sync::Arc;
use storage::{Check, Entry, Stored, Write};

/// How many deletions of a collection run at once; upstream's `--delete-collection-workers`.
const AT_ONCE: usize = 64;

/// What a deletion left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The last state, or the state that waits for finalizers or the node, in the stored form.
    pub body: Bytes,
    /// Whether the object is gone.
    pub gone: bool,
}

enum Step {
    /// Nothing to do: a longer or equal grace period is already running.
    Pending,
    /// Mark and wait.
    Mark(Object),
    Remove(Object),
}

fn is_namespace(resource: &Resource) -> bool {
    &*resource.stored.resource == "namespaces"
}

impl Resource {
    /// Whether an update removes the object: the last finalizer went, and nothing else is waited for
    /// (upstream's `ShouldDeleteDuringUpdate`; a namespace also waits for its `spec.finalizers`).
    pub fn finishes_deletion(&self, new: &Object, old: &Object) -> bool {
        let grace = old.at(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64).unwrap_or(0);
        new.finalizers().is_empty() && old.is_terminating() && grace == 0 && !self.waits(new)
    }

    fn waits(&self, object: &Object) -> bool {
        is_namespace(self)
            && object.at(&["spec", "finalizers"]).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
    }
}

impl Store {
    pub async fn delete(&self, cx: &RequestCx, target: &Target, options: &DeleteOptions) -> Result<Deleted, Status> {
        let key = target.key();
        let resource = target.resource.group_resource();
        warn_of_dependents(cx, target, options);
        for _ in 0..ATTEMPTS {
            let stored = self.backend.storage.get(&key).await.map_err(|e| storage_status(&e, target))?;
            let stored = stored.ok_or_else(|| Status::not_found(&resource, &target.name))?;
            if let Some(done) = self.delete_live(cx, target, &stored, options).await? {
                return Ok(done);
            }
        }
        Err(Status::modified(&resource, &target.name))
    }

    async fn delete_live(
        &self,
        cx: &RequestCx,
        target: &Target,
        stored: &Stored,
        options: &DeleteOptions,
    ) -> Result<Option<Deleted>, Status> {
        let live = tree(stored)?;
        check_preconditions(target, &live, options)?;
        let mut transaction = Transaction::default();
        let attributes = Self::attributes(target, Operation::Delete, &target.name, options.dry_run, Some(live.clone()));
        let mut nothing = Object::default();
        self.admit(cx, &attributes, &mut nothing).await?;
        self.approve(cx, &attributes, &nothing, &mut transaction).await?;
        let key = target.key();
        let (object, gone) = match self.plan(target, &live, options) {
            Step::Pending => return Ok(Some(Deleted { body: stored.body.clone(), gone: false })),
            Step::Mark(object) => (object, false),
            Step::Remove(object) => (object, true),
        };
        if options.dry_run {
            return Ok(Some(Deleted { body: unsealed(&object).seal(stored.revision), gone }));
        }
        if !gone && object == live {
            return Ok(Some(Deleted { body: stored.body.clone(), gone: false }));
        }
        let body = unsealed(&object);
        let write = if gone { Write::Delete(key.clone(), body.clone()) } else { Write::Put(key.clone(), body.clone()) };
        let Some(revision) = self.commit(target, Check::At(key, stored.revision), write, transaction).await? else {
            return Ok(None);
        };
        if gone && Self::is_service(target) {
            self.addresses.release(&self.backend, &live, None).await;
        }
        Ok(Some(Deleted { body: body.seal(revision), gone }))
    }

    /// What a deletion does to the live object. Reads the clock, changes nothing.
    fn plan(&self, target: &Target, live: &Object, options: &DeleteOptions) -> Step {
        let resource = &target.resource;
        let now = self.clock.now();
        let mut object = live.clone();
        let asked = options.grace_period.map(|g| if g < 0 { 1 } else { g });
        let graceful = match grace(resource, &mut object, live, asked, now) {
            Grace::Pending => return Step::Pending,
            Grace::Started => true,
            Grace::None => false,
        };
        if !resource.strategy.ignores_propagation() {
            propagate(&mut object, options, resource.strategy.orphans_dependents());
        }
        if is_namespace(resource) && !live.is_terminating() {
            // The first deletion only begins the end, whose controller does the rest.
            object.set_meta_str("deletionTimestamp", &timestamp(now));
            object.set_at(&["status", "phase"], "Terminating".into());
            return Step::Mark(object);
        }
        let finalizing = !object.finalizers().is_empty() || resource.waits(&object);
        if graceful {
            let left = object.at(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64).unwrap_or(0);
            return if finalizing || left > 0 { Step::Mark(object) } else { Step::Remove(object) };
        }
        if !finalizing {
            return Step::Remove(object);
        }
        if resource.waits(live) {
            return Step::Pending;
        }
        mark(&mut object, now);
        Step::Mark(object)
    }

    /// Deletes every listed object; those that vanish in between do not matter. The deletions begin in the order of the
    /// list, some at once: the store commits together what waits together. After a refusal none begins any more.
    pub async fn delete_all(
        &self,
        cx: &RequestCx,
        target: &Target,
        items: &[Arc<Entry>],
        options: &DeleteOptions,
    ) -> Result<(), Status> {
        warn_of_dependents(cx, target, options);
        let mut items = items.iter();
        let mut running = FuturesOrdered::new();
        loop {
            running.extend(items.by_ref().take(AT_ONCE - running.len()).map(|item| {
                let (namespace, name) = (item.key.namespace.to_string(), item.key.name.to_string());
                let one = Target { namespace, name, ..target.clone() };
                async move { self.delete(cx, &one, options).await }
            }));
            match running.next().await {
                None => return Ok(()),
                Some(Err(status)) if status.code != 404 => return Err(status),
                Some(_) => {}
            }
        }
    }
}

fn warn_of_dependents(cx: &RequestCx, target: &Target, options: &DeleteOptions) {
    if options.propagation.is_none()
        && options.orphan_dependents.is_none()
        && let Some(warning) = target.resource.strategy.delete_warning()
    {
        cx.warn(warning);
    }
}

fn check_preconditions(target: &Target, live: &Object, options: &DeleteOptions) -> Result<(), Status> {
    let resource = &target.resource;
    let conflict = |what: &str, asked: &str, found: &str| {
        // Namespaces look at them themselves, and in other words.
        if is_namespace(resource) {
            let why = format!("Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}");
            return Err(Status::conflict(&resource.group_resource(), &target.name, why));
        }
        let happened = if what == "UID" { "deleted and then recreated" } else { "modified" };
        let why = format!(
            "the {what} in the precondition ({asked}) does not match the {what} in record ({found}). The object might have been {happened}"
        );
        let kind = GroupResource::new(&*resource.stored.kind.group, &*resource.stored.kind.kind);
        Err(Status::conflict(&kind, &target.name, why))
    };
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != live.uid()) {
        return conflict("UID", uid, live.uid());
    }
    let version = options.resource_version.as_deref();
    if let Some(version) = version.filter(|v| *v != live.resource_version()) {
        return conflict("ResourceVersion", version, live.resource_version());
    }
    Ok(())
}

enum Grace {
    Pending,
    Started,
    None,
}

/// Upstream's `rest.BeforeDelete`: a running grace period can only be shortened.
fn grace(resource: &Resource, object: &mut Object, live: &Object, asked: Option<i64>, now: jiff::Timestamp) -> Grace {
    let Some(period) = resource.strategy.grace_period(live, asked) else { return Grace::None };
    if !live.is_terminating() {
        start(object, now, period);
        bump_generation(object);
        return Grace::Started;
    }
    let running = live.at(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64).unwrap_or(0);
    if running == 0 {
        return Grace::None;
    }
    let Some(asked) = asked.filter(|a| *a < running) else { return Grace::Pending };
    let begun = live.meta_str("deletionTimestamp").parse::<jiff::Timestamp>().map_or(now, |end| end - seconds(running));
    let end = begun + seconds(asked);
    // The whole period may already be over; then the node still gets one second, unless none is wanted.
    let (end, period) = if end < now { (now, asked.min(1)) } else { (end, asked) };
    object.set_meta_str("deletionTimestamp", &timestamp(end));
    object.metadata_mut().insert("deletionGracePeriodSeconds".into(), period.into());
    Grace::Started
}

fn seconds(count: i64) -> jiff::SignedDuration {
    jiff::SignedDuration::from_secs(count)
}

fn start(object: &mut Object, now: jiff::Timestamp, period: i64) {
    let end = now.checked_add(seconds(period)).unwrap_or(now);
    object.set_meta_str("deletionTimestamp", &timestamp(end));
    object.metadata_mut().insert("deletionGracePeriodSeconds".into(), period.into());
}

fn bump_generation(object: &mut Object) {
    let generation = object.generation();
    if generation > 0 {
        object.metadata_mut().insert("generation".into(), (generation + 1).into());
    }
}

/// Upstream's `markAsDeleting`.
fn mark(object: &mut Object, now: jiff::Timestamp) {
    if !object.is_terminating() {
        bump_generation(object);
    }
    let later = object.meta_str("deletionTimestamp").parse::<jiff::Timestamp>().is_ok_and(|t| t > now);
    if !object.is_terminating() || later {
        object.set_meta_str("deletionTimestamp", &timestamp(now));
    }
    object.metadata_mut().insert("deletionGracePeriodSeconds".into(), 0.into());
}

/// Adds and removes the garbage collector's finalizers as the policy says; without one those that are there decide, and
/// then what the kind does by itself.
fn propagate(object: &mut Object, options: &DeleteOptions, orphans: bool) {
    let before: Vec<String> = object.finalizers().into_iter().map(str::to_owned).collect();
    let (orphan, foreground) = match (options.orphan_dependents, options.propagation) {
        (Some(orphan), _) => (orphan, false),
        (None, Some(policy)) => (policy == Propagation::Orphan, policy == Propagation::Foreground),
        (None, None) => {
            let first = before.iter().find(|finalizer| *finalizer == ORPHAN || *finalizer == FOREGROUND);
            let foreground = first.is_some_and(|first| first == FOREGROUND);
            (first.map_or(orphans, |first| first == ORPHAN), foreground)
        }
    };
    let mut after: Vec<Value> =
        before.iter().filter(|f| *f != ORPHAN && *f != FOREGROUND).map(|f| Value::from(f.as_str())).collect();
    if orphan {
        after.push(ORPHAN.into());
    }
    if foreground {
        after.push(FOREGROUND.into());
    }
    if after.is_empty() {
        object.metadata_mut().remove("finalizers");
    } else {
        object.metadata_mut().insert("finalizers".into(), after.into());
    }
}
