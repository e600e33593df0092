//! Keeps claims and volumes that are in use from vanishing, by finalizers. Upstream's `pkg/controller/volume/pvcprotection` and
//! `pvprotection`.
//!
//! Owns the finalizers `kubernetes.io/pvc-protection` and `kubernetes.io/pv-protection`. Woken by claims and their pods, and
//! by volumes.

use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::plan::Plan;
use crate::pods;
use crate::queue::Key;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::Resource;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";
/// Pods by the claims that they use.
const BY_CLAIM: &str = "claim";

/// An object and whether it is in use.
pub struct Observed<K> {
    object: Arc<K>,
    used: bool,
}

/// The finalizer is put on what lacks it and taken from what is being deleted and not in use.
fn plan<K>(Observed { object, used }: &Observed<K>, finalizer: &str) -> Plan
where
    K: Resource + k8s_openapi::Metadata<Ty = ObjectMeta> + Meta + Serialize + Clone,
{
    let mut plan = Plan::default();
    let (terminating, held) = (object.terminating(), object.finalizer(finalizer));
    if terminating != held || (terminating && *used) {
        return plan;
    }
    let mut changed = (**object).clone();
    let finalizers = changed.metadata_mut().finalizers.get_or_insert_default();
    if terminating {
        finalizers.retain(|own| own != finalizer);
    } else {
        finalizers.push(finalizer.to_owned());
    }
    plan.update(&changed);
    plan
}

pub(crate) struct ClaimProtection {
    informers: Informers,
    claims: Store<PersistentVolumeClaim>,
    pods: Store<Pod>,
}

impl ClaimProtection {
    pub(crate) fn new(informers: &Informers) -> Self {
        let pods = pods::store(informers);
        pods.add_index(BY_CLAIM, |pod| {
            claims(pod).into_iter().map(|claim| format!("{}/{claim}", pod.namespace())).collect()
        });
        Self { informers: informers.clone(), claims: informers.store(), pods }
    }
}

/// The names of the claims that a pod uses, those of its ephemeral volumes too.
pub(crate) fn claims(pod: &Pod) -> BTreeSet<String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let claim = |volume: &k8s_openapi::api::core::v1::Volume| {
        let named = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
        named.or_else(|| volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.name(), volume.name)))
    };
    volumes.filter_map(claim).collect()
}

impl Controller for ClaimProtection {
    type Observed = Observed<PersistentVolumeClaim>;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "persistentvolumeclaim-protection-controller",
            account: "pvc-protection-controller",
            component: "pvc-protection-controller",
            workers: 1,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let by_pod = |event: &informer::Event<Pod>| {
            let over = event.new.as_ref().is_none_or(|pod| pods::is_terminal(pod));
            let pod = event.latest().filter(|_| over);
            pod.iter().flat_map(|pod| claims(pod).into_iter().map(|claim| Key::new(pod.namespace(), &claim))).collect()
        };
        vec![Watch::own(&self.informers, &self.claims), Watch::on(&self.informers, &self.pods, by_pod)]
    }

    fn observe(&self, key: &Key) -> Option<Self::Observed> {
        let object = self.claims.get(&key.namespace, &key.name)?;
        let users = self.pods.by_index(BY_CLAIM, &key.to_string());
        // A pod that no node has taken yet cannot be using anything.
        let used = users.iter().any(|pod| !pods::is_terminal(pod) && !pods::node_name(pod).is_empty());
        Some(Observed { object, used })
    }

    fn plan(&self, observed: &Self::Observed, _now: Timestamp) -> Plan {
        plan(observed, CLAIM)
    }
}

pub(crate) struct VolumeProtection {
    informers: Informers,
    volumes: Store<PersistentVolume>,
}

impl VolumeProtection {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), volumes: informers.store() }
    }
}

impl Controller for VolumeProtection {
    type Observed = Observed<PersistentVolume>;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "persistentvolume-protection-controller",
            account: "pv-protection-controller",
            component: "pv-protection-controller",
            workers: 1,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::on(&self.informers, &self.volumes, |event| {
            event.latest().map(|volume| key_of(&**volume)).into_iter().collect()
        })]
    }

    fn observe(&self, key: &Key) -> Option<Self::Observed> {
        let object = self.volumes.get("", &key.name)?;
        let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
        let used = phase == Some("Bound");
        Some(Observed { object, used })
    }

    fn plan(&self, observed: &Self::Observed, _now: Timestamp) -> Plan {
        plan(observed, VOLUME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_unused_may_go() {
        let run = |terminating: bool, held: bool, used: bool| {
            let time = terminating.then_some("2024-01-01T00:00:00Z");
            let finalizers = if held { vec![CLAIM] } else { vec![] };
            let claim = json!({"metadata": {"name": "c", "namespace": "ns", "deletionTimestamp": time, "finalizers": finalizers}});
            let object = Arc::new(serde_json::from_value::<PersistentVolumeClaim>(claim).unwrap());
            plan(&Observed { object, used }, CLAIM).writes.len()
        };
        assert_eq!(run(false, false, false), 1, "put on");
        assert_eq!(run(false, true, false), 0);
        assert_eq!(run(true, true, true), 0, "kept while in use");
        assert_eq!(run(true, true, false), 1, "taken off");
        assert_eq!(run(true, false, false), 0);
    }
}
