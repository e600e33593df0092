//! ReplicaSets and ReplicationControllers: as many pods as asked for. Upstream's `pkg/controller/replicaset`, which serves
//! both kinds likewise.
//!
//! Owns the number of the pods it controls and its own status. It never looks into pods and never changes them, but for
//! adopting those that it selects and releasing those that it no longer does. Woken by its sets and by their pods.

use crate::api::ApiError;
use crate::conditions::{self, Condition};
use crate::controller::{Controller, Descriptor, Watch};
use crate::meta::{Meta, controller_reference, object_reference};
use crate::ownership::claim;
use crate::plan::Plan;
use crate::pods;
use crate::queue::Key;
use crate::selector;
use informer::{Event, Informers, Store};
use jiff::Timestamp;
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, ReplicationController};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `BurstReplicas`: pods made or deleted in one go.
const BURST: usize = 500;

/// What the two kinds have in common.
pub trait Replicated: Resource + Meta + Serialize + DeserializeOwned + Send + Sync + 'static {
    const DESCRIPTOR: Descriptor;
    /// Whether its status counts terminating pods.
    const COUNTS_TERMINATING: bool;

    fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool;
    fn replicas(&self) -> usize;
    fn min_ready_seconds(&self) -> i32;
    fn template(&self) -> Option<&PodTemplateSpec>;
}

impl Replicated for ReplicaSet {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "replicaset-controller",
        account: "replicaset-controller",
        component: "replicaset-controller",
        workers: 5,
    };
    const COUNTS_TERMINATING: bool = true;

    fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        !selector::is_empty(&self.spec.selector) && selector::selects(&self.spec.selector, labels)
    }

    fn replicas(&self) -> usize {
        self.spec.replicas.unwrap_or(1).max(0) as usize
    }

    fn min_ready_seconds(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.template.as_ref()
    }
}

impl Replicated for ReplicationController {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "replicationcontroller-controller",
        account: "replication-controller",
        component: "replication-controller",
        workers: 5,
    };
    const COUNTS_TERMINATING: bool = false;

    fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        let wanted = self.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        wanted.is_some_and(|wanted| selector::map_selects(wanted, labels))
    }

    fn replicas(&self) -> usize {
        self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1).max(0) as usize
    }

    fn min_ready_seconds(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }
}

pub(crate) struct Replicas<K> {
    informers: Informers,
    sets: Store<K>,
    pods: Store<Pod>,
}

pub struct Observed<K> {
    set: Arc<K>,
    /// Pods that the set controls or might adopt.
    candidates: Vec<Arc<Pod>>,
    /// Pods of all sets that share this one's controller; where they crowd a node, this set shrinks first.
    related: Vec<Arc<Pod>>,
}

impl<K: Replicated> Replicas<K> {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), sets: informers.store(), pods: pods::store(informers) }
    }

    fn related(&self, set: &K) -> Vec<Arc<Pod>> {
        let Some(owner) = set.controller() else { return pods::controlled(&self.pods, set.uid()) };
        let siblings = self.sets.list_in(set.namespace());
        let siblings = siblings.iter().filter(|sibling| sibling.controlled_by(&owner.uid));
        siblings.flat_map(|sibling| pods::controlled(&self.pods, sibling.uid())).collect()
    }
}

/// The sets to wake for a pod: its controller before and after, or whoever could adopt it.
fn wake<K: Replicated>(sets: &Store<K>, event: &Event<Pod>) -> Vec<Key> {
    let mut keys: Vec<Key> = event.states().filter_map(|pod| pods::controller_key::<K>(&**pod)).collect();
    keys.dedup();
    if let Some(pod) = event.new.as_ref().filter(|pod| pod.controller().is_none() && !pod.terminating()) {
        let adopters = sets.list_in(pod.namespace());
        let adopters = adopters.iter().filter(|set| set.selects(pod.metadata.labels.as_ref()));
        keys.extend(adopters.map(|set| crate::controller::key_of(&**set)));
    }
    keys
}

impl<K: Replicated> Controller for Replicas<K> {
    type Observed = Observed<K>;

    fn descriptor(&self) -> Descriptor {
        K::DESCRIPTOR
    }

    fn watches(&self) -> Vec<Watch> {
        let sets = self.sets.clone();
        vec![
            Watch::own(&self.informers, &self.sets),
            Watch::on(&self.informers, &self.pods, move |event| wake(&sets, event)),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed<K>> {
        let set = self.sets.get(&key.namespace, &key.name)?;
        let candidates = pods::candidates(&self.pods, &key.namespace, set.uid());
        let shrinks = candidates.len() > set.replicas();
        let related = if shrinks { self.related(&set) } else { Vec::new() };
        Some(Observed { set, candidates, related })
    }

    fn plan(&self, observed: &Observed<K>, now: Timestamp) -> Plan {
        plan(observed, None, now)
    }

    fn after_failure(&self, observed: &Observed<K>, failure: &ApiError, now: Timestamp) -> Plan {
        let mut amends = plan(observed, Some(failure.message()), now);
        amends.writes.retain(
            |write| matches!(write, crate::plan::Write::Update { target, .. } if target.subresource == "status"),
        );
        amends
    }
}

fn plan<K: Replicated>(observed: &Observed<K>, failure: Option<String>, now: Timestamp) -> Plan {
    let Observed { set, candidates, related } = observed;
    let mut plan = Plan::default();
    let Some(template) = set.template() else { return plan };
    let (active, inactive): (Vec<_>, Vec<_>) = candidates.iter().cloned().partition(|pod| pods::is_active(pod));
    let claim = claim(&**set, active, |pod| set.selects(pod.metadata.labels.as_ref()));
    claim.write(&**set, &[], &mut plan);
    let mut owned = claim.owned;
    let terminating = inactive.iter().filter(|pod| {
        !pods::is_terminal(pod) && pod.controlled_by(set.uid()) && set.selects(pod.metadata.labels.as_ref())
    });
    let terminating = terminating.count();
    let (want, have) = (set.replicas(), owned.len());

    if !set.terminating() && have < want {
        let about = object_reference(&**set);
        for _ in 0..(want - have).min(BURST) {
            let pod = pods::from_template(template, controller_reference(&**set), set.namespace(), set.name());
            plan.create_announced(&pod, pods::announce_creation(about.clone()));
        }
    } else if !set.terminating() && have > want {
        pods::sort_for_deletion(&mut owned, related, now);
        for pod in owned.iter().take((have - want).min(BURST)) {
            plan.delete_with(&**pod, json!({}), Some(pods::announce_deletion(object_reference(&**set))));
        }
    }

    let status = status(&**set, template, &owned, terminating, failure, now);
    let waiting = status["readyReplicas"] != status["availableReplicas"];
    plan.set_status(&**set, status);
    let min_ready = set.min_ready_seconds();
    if min_ready > 0 && waiting {
        let fallback = std::time::Duration::from_secs(min_ready.unsigned_abs().into());
        plan.again_after(pods::next_available(&owned, min_ready, now).unwrap_or(fallback));
    }
    plan
}

fn status<K: Replicated>(
    set: &K,
    template: &PodTemplateSpec,
    owned: &[Arc<Pod>],
    terminating: usize,
    failure: Option<String>,
    now: Timestamp,
) -> Value {
    let current = &serde_json::to_value(set).unwrap_or_default()["status"];
    let labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    let labeled = owned.iter().filter(|pod| labels.iter().all(|(key, value)| pod.label(key) == Some(value)));
    let mut conditions = conditions::read(current);
    match failure {
        Some(message) if conditions::find(&conditions, "ReplicaFailure").is_none() && owned.len() != set.replicas() => {
            let reason = if owned.len() < set.replicas() { "FailedCreate" } else { "FailedDelete" };
            conditions::set(&mut conditions, Condition::new("ReplicaFailure", true, reason, message, now));
        }
        Some(_) => {}
        None => conditions::remove(&mut conditions, "ReplicaFailure"),
    }
    let mut status = json!({
        "replicas": owned.len(),
        "fullyLabeledReplicas": labeled.count(),
        "readyReplicas": owned.iter().filter(|pod| pods::is_ready(pod)).count(),
        "availableReplicas": owned.iter().filter(|pod| pods::is_available(pod, set.min_ready_seconds(), now)).count(),
        "observedGeneration": set.meta().generation.unwrap_or(0),
        "conditions": conditions,
    });
    if K::COUNTS_TERMINATING {
        status["terminatingReplicas"] = json!(terminating);
    }
    status
}

#[cfg(test)]
#[path = "replica_set_tests.rs"]
mod tests;
