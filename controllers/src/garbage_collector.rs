//! Deletes what has lost all its owners, and carries out the orphaning and foreground deletion of those that have
//! dependents. Upstream's `pkg/controller/garbagecollector`; KEP-less rules of `metadata.ownerReferences`.
//!
//! Upstream keeps a graph beside its caches; here the caches answer by an index on owner uids ([`crate::monitors`]), and
//! each look at an object decides from what is there now. Before anything is deleted the object and those of its owners that the
//! caches do not show are read live. Never touches what has no owner and is not being deleted.

use crate::api::{Api, ApiError};
use crate::controller::{Descriptor, Reconcile, Watch};
use crate::monitors::{Monitors, Seen};
use crate::plan::{PatchKind, Plan, Target, Write};
use crate::queue::Key;
use apimachinery::GroupVersionResource;
use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use informer::PartialObject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

pub(crate) struct GarbageCollector {
    monitors: Monitors,
    seen: Mutex<Option<mpsc::UnboundedReceiver<Seen>>>,
}

impl GarbageCollector {
    pub(crate) fn new(monitors: Monitors) -> Self {
        let seen = Mutex::new(Some(monitors.listen()));
        Self { monitors, seen }
    }
}

/// An object of any resource as a key of the queue.
fn key_of(resource: &GroupVersionResource, object: &PartialObject) -> Key {
    let GroupVersionResource { group, version, resource } = resource;
    Key::new(object.namespace(), &format!("{group}/{version}/{resource}/{}", object.name()))
}

fn target_of(key: &Key) -> Option<Target> {
    let mut parts = key.name.splitn(4, '/');
    let (group, version, resource, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(Target {
        resource: GroupVersionResource::new(group, version, resource),
        namespace: key.namespace.to_string(),
        name: name.to_owned(),
        subresource: "",
    })
}

fn deletes_dependents(object: &PartialObject) -> bool {
    object.terminating() && object.finalizer(FOREGROUND)
}

/// The objects to look at because of a change.
fn wake(monitors: &Monitors, Seen { resource, event }: &Seen) -> Vec<Key> {
    let mut keys = BTreeSet::new();
    let dependents = |uid: &str| {
        monitors.dependents(uid).into_iter().map(|(resource, object)| key_of(&resource, &object)).collect::<Vec<_>>()
    };
    let old_owners: Vec<&OwnerReference> = event.old.iter().flat_map(|object| object.owners()).collect();
    if let Some(object) = &event.new {
        let owners_changed = object.owners().iter().collect::<Vec<_>>() != old_owners;
        if owners_changed && !object.owners().is_empty() {
            keys.insert(key_of(resource, object));
        }
        let newly_waiting = |finalizer: &str| {
            let waits = |object: &PartialObject| object.terminating() && object.finalizer(finalizer);
            waits(object) && !event.old.as_ref().is_some_and(|old| waits(old))
        };
        if newly_waiting(ORPHAN) {
            keys.insert(key_of(resource, object));
        }
        if newly_waiting(FOREGROUND) {
            keys.insert(key_of(resource, object));
            keys.extend(dependents(object.uid()));
        }
        if owners_changed {
            keys.extend(waiting_owners(monitors, object.namespace(), &old_owners));
        }
    } else if let Some(object) = &event.old {
        keys.extend(dependents(object.uid()));
        keys.extend(waiting_owners(monitors, object.namespace(), &old_owners));
    }
    keys.into_iter().collect()
}

/// Owners whose foreground deletion may have waited for what just changed.
fn waiting_owners(monitors: &Monitors, namespace: &str, owners: &[&OwnerReference]) -> Vec<Key> {
    let waiting = |owner: &&OwnerReference| {
        let (resource, cached) = cached_owner(monitors, namespace, owner)?;
        deletes_dependents(&cached).then(|| key_of(&resource, &cached))
    };
    owners.iter().filter_map(waiting).collect()
}

fn cached_owner(
    monitors: &Monitors,
    namespace: &str,
    owner: &OwnerReference,
) -> Option<(GroupVersionResource, Arc<PartialObject>)> {
    let served = monitors.served();
    let served = served.by_kind(&owner.api_version, &owner.kind)?;
    let namespace = if served.namespaced { namespace } else { "" };
    let object = monitors.store(&served.resource)?.get(namespace, &owner.name)?;
    (object.uid() == owner.uid).then(|| (served.resource.clone(), object))
}

/// What an owner reference is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The owner exists.
    Solid,
    /// It does not, or another object has its name.
    Dangling,
    /// It is being deleted and waits for its dependents.
    Waiting,
}

#[async_trait]
impl Reconcile for GarbageCollector {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "garbage-collector-controller",
            account: "generic-garbage-collector",
            component: "garbage-collector-controller",
            workers: 20,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let Some(seen) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Vec::new() };
        let (monitors, ready) = (self.monitors.clone(), self.monitors.clone());
        let keys = stream::unfold(seen, |mut seen| async { Some((seen.recv().await?, seen)) });
        vec![Watch::of(async move { ready.ready().await }, keys.map(move |seen: Seen| wake(&monitors, &seen)).boxed())]
    }

    async fn reconcile(&self, key: &Key, api: &Api) -> Result<Option<Duration>, ApiError> {
        let Some(target) = target_of(key) else { return Ok(None) };
        let Some(store) = self.monitors.store(&target.resource) else { return Ok(None) };
        let Some(object) = store.get(&target.namespace, &target.name) else { return Ok(None) };
        if object.terminating() {
            if object.finalizer(ORPHAN) {
                self.orphan(&object, &target, api).await?;
            } else if object.finalizer(FOREGROUND) {
                self.delete_dependents(&object, &target, api).await?;
            }
            return Ok(None);
        }
        self.delete_if_ownerless(&object, &target, api).await.map(|()| None)
    }
}

impl GarbageCollector {
    async fn standing(&self, namespace: &str, owner: &OwnerReference, api: &Api) -> Result<Standing, ApiError> {
        if let Some((_, cached)) = cached_owner(&self.monitors, namespace, owner) {
            return Ok(if deletes_dependents(&cached) { Standing::Waiting } else { Standing::Solid });
        }
        let served = self.monitors.served();
        let Some(served) = served.by_kind(&owner.api_version, &owner.kind) else {
            // Nobody knows the kind: it may be served again later, so nothing is deleted for want of it.
            return Ok(Standing::Solid);
        };
        if served.namespaced && namespace.is_empty() {
            // A cluster-scoped object cannot have a namespaced owner; what that means is not for us to decide.
            return Ok(Standing::Solid);
        }
        let namespace = if served.namespaced { namespace } else { "" };
        let target = Target {
            resource: served.resource.clone(),
            namespace: namespace.to_owned(),
            name: owner.name.clone(),
            subresource: "",
        };
        let live = api.get(&target).await?.unwrap_or_default();
        let meta = &live["metadata"];
        if meta["uid"].as_str() != Some(&owner.uid) {
            return Ok(Standing::Dangling);
        }
        let foreground = meta["finalizers"].as_array().is_some_and(|all| all.iter().any(|name| name == FOREGROUND));
        let waits = !meta["deletionTimestamp"].is_null() && foreground;
        Ok(if waits { Standing::Waiting } else { Standing::Solid })
    }

    async fn delete_if_ownerless(&self, object: &PartialObject, target: &Target, api: &Api) -> Result<(), ApiError> {
        if object.owners().is_empty() || !self.may_delete(object, api).await? {
            return Ok(());
        }
        let Some(live) = api.get(target).await? else { return Ok(()) };
        let meta = &live["metadata"];
        if meta["uid"].as_str() != Some(object.uid()) || !meta["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let owners: Vec<OwnerReference> = serde_json::from_value(meta["ownerReferences"].clone()).unwrap_or_default();
        let mut standings = Vec::new();
        for owner in &owners {
            standings.push(self.standing(&target.namespace, owner, api).await?);
        }
        let of =
            |wanted: Standing| owners.iter().zip(&standings).filter(move |(_, own)| **own == wanted).map(|(o, _)| o);
        if owners.is_empty() {
            return Ok(());
        }
        let mut plan = Plan::default();
        if of(Standing::Solid).next().is_some() {
            let lost: Vec<&OwnerReference> = of(Standing::Dangling).chain(of(Standing::Waiting)).collect();
            if !lost.is_empty() {
                plan.writes.push(without_owners(target, &live, &lost));
            }
        } else {
            let dependents = self.monitors.dependents(object.uid());
            let waited_for = of(Standing::Waiting).next().is_some() && !dependents.is_empty();
            if waited_for && dependents.iter().any(|(_, dependent)| deletes_dependents(dependent)) {
                // A circle of foreground deletions would wait for itself.
                plan.writes.push(unblocked(target, &live));
            }
            let finalizers: Vec<&str> =
                meta["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let policy = if waited_for || finalizers.contains(&FOREGROUND) {
                "Foreground"
            } else if finalizers.contains(&ORPHAN) {
                "Orphan"
            } else {
                "Background"
            };
            let shown = object.revision();
            let preconditions = json!({"uid": object.uid()});
            let options = json!({"propagationPolicy": policy, "preconditions": preconditions});
            plan.writes.push(Write::Delete { target: target.clone(), options, shown, announce: None });
        }
        api.apply(&plan).await
    }

    /// A first look without the API's help at whether any owner is missing.
    async fn may_delete(&self, object: &PartialObject, api: &Api) -> Result<bool, ApiError> {
        for owner in object.owners() {
            if self.standing(object.namespace(), owner, api).await? != Standing::Solid {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Foreground deletion: dependents that block go first, then the finalizer.
    async fn delete_dependents(&self, object: &PartialObject, target: &Target, api: &Api) -> Result<(), ApiError> {
        let blocking = self.monitors.dependents(object.uid()).into_iter().any(|(_, dependent)| {
            let blocks = |owner: &OwnerReference| owner.uid == object.uid() && owner.block_owner_deletion == Some(true);
            dependent.owners().iter().any(blocks)
        });
        if blocking { Ok(()) } else { remove_finalizer(object, target, FOREGROUND, api).await }
    }

    /// Orphaning: dependents lose their reference, then the finalizer goes.
    async fn orphan(&self, object: &PartialObject, target: &Target, api: &Api) -> Result<(), ApiError> {
        let mut plan = Plan::default();
        for (resource, dependent) in self.monitors.dependents(object.uid()) {
            let target = Target {
                resource,
                namespace: dependent.namespace().to_owned(),
                name: dependent.name().to_owned(),
                subresource: "",
            };
            let Some(live) = api.get(&target).await? else { continue };
            if live["metadata"]["uid"].as_str() != Some(dependent.uid()) {
                continue;
            }
            let lost: Vec<&OwnerReference> =
                dependent.owners().iter().filter(|owner| owner.uid == object.uid()).collect();
            plan.writes.push(without_owners(&target, &live, &lost));
        }
        api.apply(&plan).await?;
        remove_finalizer(object, target, ORPHAN, api).await
    }
}

/// Takes references out of a live object, on condition that it is still what was read. A merge patch, because custom
/// resources know no strategic one.
fn without_owners(target: &Target, live: &Value, lost: &[&OwnerReference]) -> Write {
    let meta = &live["metadata"];
    let lost = |owner: &Value| lost.iter().any(|lost| owner["uid"].as_str() == Some(&lost.uid));
    let kept: Vec<&Value> =
        meta["ownerReferences"].as_array().into_iter().flatten().filter(|owner| !lost(owner)).collect();
    patch_owners(target, meta, json!(kept))
}

fn unblocked(target: &Target, live: &Value) -> Write {
    let mut owners = live["metadata"]["ownerReferences"].clone();
    for owner in owners.as_array_mut().into_iter().flatten() {
        owner["blockOwnerDeletion"] = json!(false);
    }
    patch_owners(target, &live["metadata"], owners)
}

fn patch_owners(target: &Target, meta: &Value, owners: Value) -> Write {
    let body = json!({"metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "ownerReferences": owners}});
    Write::Patch { target: target.clone(), kind: PatchKind::Merge, body }
}

async fn remove_finalizer(object: &PartialObject, target: &Target, name: &str, api: &Api) -> Result<(), ApiError> {
    let Some(live) = api.get(target).await? else { return Ok(()) };
    let meta = &live["metadata"];
    let finalizers: Vec<&str> = meta["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if meta["uid"].as_str() != Some(object.uid()) || !finalizers.contains(&name) {
        return Ok(());
    }
    let kept: Vec<&str> = finalizers.into_iter().filter(|finalizer| *finalizer != name).collect();
    let body =
        json!({"metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "finalizers": kept}});
    let mut plan = Plan::default();
    plan.writes.push(Write::Patch { target: target.clone(), kind: PatchKind::Merge, body });
    api.apply(&plan).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_objects_of_any_resource() {
        let object: PartialObject =
            serde_json::from_value(json!({"metadata": {"name": "a:b", "namespace": "n"}})).unwrap();
        let resource = GroupVersionResource::new("", "v1", "pods");
        let target = target_of(&key_of(&resource, &object)).unwrap();
        assert_eq!((target.resource, &*target.name, &*target.namespace), (resource, "a:b", "n"));
    }

    #[test]
    fn patches_hold_only_while_the_object_is_what_was_read() {
        let live = json!({"metadata": {"uid": "u", "resourceVersion": "7", "ownerReferences": [
            {"apiVersion": "v1", "kind": "A", "name": "a", "uid": "1"}, {"apiVersion": "v1", "kind": "B", "name": "b", "uid": "2"}]}});
        let lost = OwnerReference { uid: "1".into(), ..OwnerReference::default() };
        let target = target_of(&Key::new("n", "/v1/pods/x")).unwrap();
        assert_eq!(
            without_owners(&target, &live, &[&lost]).to_string(),
            r#"patch pods n/x {"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"B","name":"b","uid":"2"}],"resourceVersion":"7","uid":"u"}}"#
        );
    }
}
