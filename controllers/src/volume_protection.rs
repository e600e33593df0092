//! Keeps claims, volumes and volume attribute classes that are in use from vanishing, by finalizers. Upstream's
//! `pkg/controller/volume/pvcprotection`, `pvprotection` and `vacprotection`.
//!
//! Owns the finalizers `kubernetes.io/pvc-protection`, `kubernetes.io/pv-protection` and `kubernetes.io/vac-protection`, and
//! the condition `Unused` of bound claims; that of claims whose volume another party mirrors is that party's. Woken by
//! claims and their pods, by volumes, and by classes.

use crate::conditions::{self, Condition};
use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::plan::Plan;
use crate::pods;
use crate::queue::Key;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::Resource;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";
const CLASS: &str = "kubernetes.io/vac-protection";
const UNUSED: &str = "Unused";
/// Claims and volumes by the attribute classes that they name.
const BY_ATTRIBUTES: &str = "attributes-class";
/// Pods by the claims that they use.
pub(crate) const BY_CLAIM: &str = "claim";

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
    volumes: Store<PersistentVolume>,
    pods: Store<Pod>,
    mirror: Option<&'static str>,
}

/// A claim and the pods that name it.
pub struct Usage {
    claim: Arc<PersistentVolumeClaim>,
    pods: Vec<Arc<Pod>>,
    /// Whether the condition is ours to set.
    conditioned: bool,
}

impl ClaimProtection {
    pub(crate) fn new(informers: &Informers, mirror: Option<&'static str>) -> Self {
        let (claims, volumes, pods) = (informers.store(), informers.store(), pods_by_claim(informers));
        Self { informers: informers.clone(), claims, volumes, pods, mirror }
    }
}

/// The store of pods with the index [`BY_CLAIM`], in which a claim is `NAMESPACE/NAME`.
pub(crate) fn pods_by_claim(informers: &Informers) -> Store<Pod> {
    let pods = pods::store(informers);
    pods.add_index(BY_CLAIM, |pod| {
        claims(pod).into_iter().map(|claim| format!("{}/{claim}", pod.namespace())).collect()
    });
    pods
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
    type Observed = Usage;

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
            let state = |pod: &Arc<Pod>| (pods::is_terminal(pod), pods::node_name(pod).to_owned(), is_shut_down(pod));
            let moved = event.old.as_ref().map(state) != event.new.as_ref().map(state);
            let pod = event.latest().filter(|_| moved);
            pod.iter().flat_map(|pod| claims(pod).into_iter().map(|claim| Key::new(pod.namespace(), &claim))).collect()
        };
        vec![
            Watch::own(&self.informers, &self.claims),
            Watch::on(&self.informers, &self.pods, by_pod),
            Watch::on(&self.informers, &self.volumes, |_| Vec::new()),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Usage> {
        let claim = self.claims.get(&key.namespace, &key.name)?;
        let pods = self.pods.by_index(BY_CLAIM, &key.to_string());
        let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        let volume = self.volumes.get("", name);
        let conditioned =
            self.mirror.is_none_or(|annotation| volume.is_some_and(|own| own.annotation(annotation).is_none()));
        Some(Usage { claim, pods, conditioned })
    }

    fn plan(&self, usage: &Usage, now: Timestamp) -> Plan {
        plan_claim(usage, now)
    }
}

/// The kubelet is done with the pod, or somebody deleted it by force.
fn is_shut_down(pod: &Pod) -> bool {
    pod.terminating() && pod.metadata.deletion_grace_period_seconds == Some(0)
}

/// Whether a pod keeps its claim from being deleted: a kubelet that does not know the pod yet will not start it. A claim
/// made for the pod is kept for as long as the pod runs, one that the pod only names for as long as the pod exists.
fn holds(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    !pods::node_name(pod).is_empty() && (names(pod, claim) || (!is_shut_down(pod) && claim.controlled_by(pod.uid())))
}

fn names(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.any(|volume| volume.persistent_volume_claim.as_ref().is_some_and(|own| own.claim_name == claim.name()))
}

fn plan_claim(Usage { claim, pods, conditioned }: &Usage, now: Timestamp) -> Plan {
    let uses = |pod: &Arc<Pod>| !pods::is_terminal(pod) && (names(pod, claim) || claim.controlled_by(pod.uid()));
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    if *conditioned && !claim.terminating() && phase == Some("Bound") {
        let used = pods.iter().any(uses);
        let mut all = conditions::read(&json!(claim.status));
        let told = conditions::find(&all, UNUSED).map(Condition::is_true);
        if told != Some(!used) {
            let (reason, message) = if used {
                ("PodUsingPVC", "A pod is currently referencing this PVC")
            } else {
                ("NoPodsUsingPVC", "No pods are currently referencing this PVC")
            };
            conditions::replace(&mut all, Condition::new(UNUSED, !used, reason, message, now));
            let mut status = json!(claim.status);
            status["conditions"] = json!(all);
            let mut plan = Plan::default();
            plan.set_status(&**claim, status);
            return plan;
        }
    }
    plan(&Observed { object: claim.clone(), used: pods.iter().any(|pod| holds(pod, claim)) }, CLAIM)
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

/// The same for classes of volume attributes.
pub(crate) struct AttributesClassProtection {
    informers: Informers,
    classes: Store<VolumeAttributesClass>,
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
}

fn classes_of_claim(claim: &PersistentVolumeClaim) -> Vec<String> {
    let status = claim.status.as_ref();
    let asked = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone());
    let current = status.and_then(|status| status.current_volume_attributes_class_name.clone());
    let target =
        status.and_then(|status| status.modify_volume_status.as_ref()?.target_volume_attributes_class_name.clone());
    let mut names: Vec<String> =
        [asked, current, target].into_iter().flatten().filter(|name| !name.is_empty()).collect();
    names.sort();
    names.dedup();
    names
}

fn classes_of_volume(volume: &PersistentVolume) -> Vec<String> {
    let name = volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone());
    name.filter(|name| !name.is_empty()).into_iter().collect()
}

impl AttributesClassProtection {
    pub(crate) fn new(informers: &Informers) -> Self {
        let (claims, volumes) = (informers.store::<PersistentVolumeClaim>(), informers.store::<PersistentVolume>());
        claims.add_index(BY_ATTRIBUTES, classes_of_claim);
        volumes.add_index(BY_ATTRIBUTES, classes_of_volume);
        Self { informers: informers.clone(), classes: informers.store(), claims, volumes }
    }
}

/// The classes that an object named before and no longer does.
fn dropped<K>(event: &informer::Event<K>, classes: impl Fn(&K) -> Vec<String>) -> Vec<Key> {
    let now = event.new.as_ref().map(|new| classes(new)).unwrap_or_default();
    let before = event.old.as_ref().map(|old| classes(old)).unwrap_or_default();
    before.iter().filter(|name| !now.contains(name)).map(|name| Key::new("", name)).collect()
}

impl Controller for AttributesClassProtection {
    type Observed = Observed<VolumeAttributesClass>;

    fn descriptor(&self) -> Descriptor {
        let name = "volumeattributesclass-protection-controller";
        Descriptor { name, account: name, component: name, workers: 1 }
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::own(&self.informers, &self.classes),
            Watch::on(&self.informers, &self.claims, |event| dropped(event, classes_of_claim)),
            Watch::on(&self.informers, &self.volumes, |event| dropped(event, classes_of_volume)),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Self::Observed> {
        let object = self.classes.get("", &key.name)?;
        let by_claim = !self.claims.by_index(BY_ATTRIBUTES, &key.name).is_empty();
        let used = by_claim || !self.volumes.by_index(BY_ATTRIBUTES, &key.name).is_empty();
        Some(Observed { object, used })
    }

    fn plan(&self, observed: &Self::Observed, _now: Timestamp) -> Plan {
        plan(observed, CLASS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::testing::{merge, pod};

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

    fn usage(claim: serde_json::Value, pods: Vec<Arc<Pod>>) -> String {
        let mut tree =
            json!({"metadata": {"name": "c", "namespace": "ns", "finalizers": [CLAIM]}, "status": {"phase": "Bound"}});
        merge(&mut tree, claim);
        let claim = Arc::new(serde_json::from_value(tree).unwrap());
        plan_claim(&Usage { claim, pods, conditioned: true }, "2024-01-01T00:00:00Z".parse().unwrap()).to_string()
    }

    fn user(more: serde_json::Value) -> Arc<Pod> {
        let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
        let mut tree = json!({"spec": {"nodeName": "n", "volumes": [volume]}});
        merge(&mut tree, more);
        pod("a", tree)
    }

    /// Cases of upstream's `TestPVCProtectionController`.
    #[test]
    fn pods_hold_claims_for_as_long_as_they_exist() {
        let going = || json!({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}});
        let gone = "update persistentvolumeclaims ns/c";
        assert_eq!(usage(going(), vec![]), gone);
        assert_eq!(usage(going(), vec![user(json!({}))]), "");
        assert_eq!(usage(going(), vec![user(json!({"status": {"phase": "Succeeded"}}))]), "");
        assert_eq!(usage(going(), vec![user(json!({"spec": {"nodeName": ""}}))]), gone);
        let ephemeral = |more: serde_json::Value| {
            let mut tree = json!({"spec": {"nodeName": "n", "volumes": [{"name": "v", "ephemeral": {}}]}});
            merge(&mut tree, more);
            pod("a", tree)
        };
        let mut made_for_it = going();
        made_for_it["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "uid-a", "controller": true}]);
        assert_eq!(usage(made_for_it.clone(), vec![ephemeral(json!({}))]), "");
        assert_eq!(usage(going(), vec![ephemeral(json!({}))]), gone, "made for another pod");
        let forced =
            json!({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}});
        assert_eq!(usage(made_for_it, vec![ephemeral(forced)]), gone);
    }

    /// Cases of upstream's `TestUnusedSinceCondition`.
    #[test]
    fn bound_claims_tell_whether_they_are_used() {
        let condition = |status: &str| json!({"status": {"conditions": [{"type": "Unused", "status": status}]}});
        let unused = usage(json!({}), vec![]);
        assert!(unused.contains(r#""reason":"NoPodsUsingPVC","status":"True","type":"Unused""#), "{unused}");
        assert_eq!(usage(condition("True"), vec![]), "");
        let used = usage(condition("True"), vec![user(json!({}))]);
        assert!(used.contains(r#""reason":"PodUsingPVC","status":"False","type":"Unused""#), "{used}");
        assert_eq!(usage(condition("False"), vec![user(json!({}))]), "");
        let ended = usage(condition("False"), vec![user(json!({"status": {"phase": "Failed"}}))]);
        assert!(ended.contains("NoPodsUsingPVC"), "{ended}");
        assert_eq!(usage(json!({"status": {"phase": "Pending"}}), vec![]), "");
    }

    #[test]
    fn a_class_is_named_in_three_places() {
        let claim = json!({"metadata": {}, "spec": {"volumeAttributesClassName": "a"},
            "status": {"currentVolumeAttributesClassName": "b", "modifyVolumeStatus": {"status": "", "targetVolumeAttributesClassName": "a"}}});
        assert_eq!(classes_of_claim(&serde_json::from_value(claim).unwrap()), ["a", "b"]);
    }
}
