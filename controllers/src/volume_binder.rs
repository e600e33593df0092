//! Binds claims and volumes to each other, asks provisioners for volumes, and reclaims volumes whose claims are gone.
//! Upstream's `pkg/controller/volume/persistentvolume`.
//!
//! Owns the binding fields of claims and volumes (`volumeName`, `claimRef`, their annotations) and both phases. Woken by
//! claims (keys with a namespace), volumes (keys without), classes, and pods that begin or end to use a claim. Each look
//! does the next step of a binding, the volume's always before the claim's, so that a crash anywhere loses nothing.
//!
//! Volumes and classes that another party keeps in step with a cluster below ([`crate::Config::mirror_annotation`]) are not
//! its business, and neither is a claim of such a class, because it is bound where the class comes from: unless the claim
//! names a volume of this cluster, or such a volume names the claim. That choice is explicit and therefore honoured.
//!
//! It has no volume plugins. In-tree provisioning and recycling end in the failures that upstream reports without a
//! plugin; the one in-tree deletion left, of `hostPath` volumes below `/tmp`, deletes the object.

mod claim;
mod class;
mod matching;
mod volume;

use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::plan::Plan;
use crate::queue::Key;
use crate::{pods, volume_protection};
use informer::{Event, Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use std::sync::Arc;

pub(crate) use class::class_of_claim;

const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";

/// Volumes by the claim that they name.
const BY_CLAIM: &str = "claim-ref";
/// Claims by the volume that they name.
const BY_VOLUME: &str = "volume";
/// Claims without a volume, by their class.
const UNBOUND: &str = "unbound";

pub(crate) struct VolumeBinder {
    informers: Informers,
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
    classes: Store<StorageClass>,
    pods: Store<Pod>,
    mirror: Option<&'static str>,
}

pub enum Observed {
    Claim(Box<claim::View>),
    Volume(Box<volume::View>),
}

impl VolumeBinder {
    pub(crate) fn new(informers: &Informers, mirror: Option<&'static str>) -> Self {
        let (claims, volumes) = (informers.store::<PersistentVolumeClaim>(), informers.store::<PersistentVolume>());
        claims.add_index(BY_VOLUME, |claim| volume_name(claim).map(str::to_owned).into_iter().collect());
        claims.add_index(UNBOUND, |claim| match volume_name(claim) {
            Some(_) => Vec::new(),
            None => vec![class_of_claim(claim).to_owned()],
        });
        volumes.add_index(BY_CLAIM, |volume| {
            reference(volume).map(claim_key).map(|key| key.to_string()).into_iter().collect()
        });
        let pods = volume_protection::pods_by_claim(informers);
        Self { informers: informers.clone(), claims, volumes, classes: informers.store(), pods, mirror }
    }

    fn is_mirror(&self, object: &impl Meta) -> bool {
        self.mirror.is_some_and(|annotation| object.annotation(annotation).is_some())
    }

    /// Volumes of this cluster that name the claim.
    fn prebound(&self, key: &Key) -> Vec<Arc<PersistentVolume>> {
        let mut naming = self.volumes.by_index(BY_CLAIM, &key.to_string());
        naming.retain(|volume| !self.is_mirror(&**volume));
        naming
    }

    fn observe_claim(&self, key: &Key) -> Option<claim::View> {
        let claim = self.claims.get(&key.namespace, &key.name)?;
        let named = volume_name(&claim).and_then(|name| self.volumes.get("", name));
        let class = self.classes.get("", class_of_claim(&claim));
        let own = named.as_ref().map(|volume| !self.is_mirror(&**volume));
        let elsewhere = class.as_ref().is_some_and(|class| self.is_mirror(&**class));
        if own == Some(false) || (elsewhere && own.is_none() && self.prebound(key).is_empty()) {
            return None;
        }
        let mut volumes = if named.is_none() { self.volumes.list() } else { Vec::new() };
        volumes.retain(|volume| !self.is_mirror(&**volume));
        let users = self.pods.by_index(volume_protection::BY_CLAIM, &key.to_string());
        let waiting = users.iter().filter(|pod| !pods::is_terminal(pod) && pods::node_name(pod).is_empty());
        Some(claim::View {
            waiting: waiting.map(|pod| pod.name().to_owned()).collect(),
            default_class: class::default_of(self.classes.list()),
            claim,
            class,
            named,
            volumes,
        })
    }

    fn observe_volume(&self, name: &str) -> Option<volume::View> {
        let volume = self.volumes.get("", name).filter(|volume| !self.is_mirror(&**volume))?;
        let key = reference(&volume).map(claim_key);
        let claim = key.as_ref().and_then(|key| self.claims.get(&key.namespace, &key.name));
        let users = key.map(|key| self.pods.by_index(volume_protection::BY_CLAIM, &key.to_string()));
        let users = users.iter().flatten().filter(|pod| !pods::is_terminal(pod));
        let users = users.map(|pod| key_of(&**pod).to_string()).collect();
        Some(volume::View { volume, claim, users })
    }
}

fn volume_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref().filter(|name| !name.is_empty())
}

fn reference(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

fn claim_key(reference: &ObjectReference) -> Key {
    Key::new(reference.namespace.as_deref().unwrap_or_default(), reference.name.as_deref().unwrap_or_default())
}

fn reference_uid(reference: &ObjectReference) -> &str {
    reference.uid.as_deref().unwrap_or_default()
}

/// Whether the volume names this claim, by uid where it has one (`IsVolumeBoundToClaim`).
fn is_bound_to(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    reference(volume).is_some_and(|reference| {
        let uid = reference_uid(reference);
        claim_key(reference) == key_of(claim) && (uid.is_empty() || uid == claim.uid())
    })
}

fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

impl Controller for VolumeBinder {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "persistentvolume-binder-controller",
            account: "persistent-volume-binder",
            component: "persistentvolume-controller",
            // Two claims must not reach for one volume at once.
            workers: 1,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let volumes = self.volumes.clone();
        let by_claim = move |event: &Event<PersistentVolumeClaim>| {
            let Some(claim) = event.latest() else { return Vec::new() };
            let key = key_of(&**claim);
            let naming = volumes.by_index(BY_CLAIM, &key.to_string());
            let mut keys: Vec<Key> = naming.iter().map(|volume| key_of(&**volume)).collect();
            keys.extend(event.states().filter_map(|claim| Some(Key::new("", volume_name(claim)?))));
            keys.push(key);
            keys
        };
        let claims = self.claims.clone();
        let by_volume = move |event: &Event<PersistentVolume>| {
            let Some(volume) = event.latest() else { return Vec::new() };
            let mut keys = vec![key_of(&**volume)];
            keys.extend(event.states().filter_map(|volume| reference(volume).map(claim_key)));
            keys.extend(claims.by_index(BY_VOLUME, volume.name()).iter().map(|claim| key_of(&**claim)));
            if reference(volume).is_none() && phase(volume) == "Available" {
                let waiting = claims.by_index(UNBOUND, class::class_of_volume(volume));
                keys.extend(waiting.iter().map(|claim| key_of(&**claim)));
            }
            keys
        };
        let claims = self.claims.clone();
        let by_class = move |event: &Event<StorageClass>| {
            let Some(class) = event.latest() else { return Vec::new() };
            let mut waiting = claims.by_index(UNBOUND, class.name());
            if class::is_default(class) {
                waiting.extend(claims.by_index(UNBOUND, ""));
            }
            waiting.iter().map(|claim| key_of(&**claim)).collect()
        };
        let volumes = self.volumes.clone();
        let by_pod = move |event: &Event<Pod>| {
            let over = event.new.as_ref().is_none_or(|pod| pods::is_terminal(pod));
            let Some(pod) = event.latest().filter(|_| over || event.old.is_none()) else { return Vec::new() };
            let used = volume_protection::claims(pod).into_iter().map(|claim| Key::new(pod.namespace(), &claim));
            let released = |claim: Key| {
                let naming = volumes.by_index(BY_CLAIM, &claim.to_string());
                naming.iter().map(|volume| key_of(&**volume)).collect::<Vec<_>>()
            };
            if over { used.flat_map(released).collect() } else { used.collect() }
        };
        vec![
            Watch::on(&self.informers, &self.claims, by_claim),
            Watch::on(&self.informers, &self.volumes, by_volume),
            Watch::on(&self.informers, &self.classes, by_class),
            Watch::on(&self.informers, &self.pods, by_pod),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        if key.namespace.is_empty() {
            self.observe_volume(&key.name).map(|view| Observed::Volume(Box::new(view)))
        } else {
            self.observe_claim(key).map(|view| Observed::Claim(Box::new(view)))
        }
    }

    fn plan(&self, observed: &Observed, _now: Timestamp) -> Plan {
        match observed {
            Observed::Claim(view) => claim::plan(view),
            Observed::Volume(view) => volume::plan(view),
        }
    }
}

#[cfg(test)]
#[path = "volume_binder_tests.rs"]
mod tests;
