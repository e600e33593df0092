//! Deployments: rollouts of pod templates through ReplicaSets. Upstream's `pkg/controller/deployment`.
//!
//! Owns the ReplicaSets of a Deployment (their number, size and annotations) and the Deployment's status and revision
//! annotation. It never touches pods. Woken by Deployments, by their ReplicaSets and, for the strategy `Recreate`, by pods
//! that go.

mod revision;
mod rollout;
mod status;

use crate::api::ApiError;
use crate::conditions::{self, Condition};
use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::ownership::claim;
use crate::plan::Plan;
use crate::pods;
use crate::queue::Key;
use crate::{selector, semantic};
use informer::{Event, Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use rollout::{Missing, Rollout};
use std::sync::Arc;

pub(crate) const HASH_LABEL: &str = "pod-template-hash";

pub(crate) struct Deployments {
    informers: Informers,
    own: Store<Deployment>,
    sets: Store<ReplicaSet>,
    pods: Store<Pod>,
}

pub struct Observed {
    deployment: Arc<Deployment>,
    /// ReplicaSets of the namespace that the Deployment controls or might adopt.
    candidates: Vec<Arc<ReplicaSet>>,
    /// The ReplicaSet that has the name which the Deployment's new one would get, whoever's it is.
    namesake: Option<Arc<ReplicaSet>>,
    /// Pods of all candidates; read for the strategy `Recreate` only.
    pods: Vec<Arc<Pod>>,
}

impl Deployments {
    pub(crate) fn new(informers: &Informers) -> Self {
        let sets = informers.store::<ReplicaSet>();
        Self { informers: informers.clone(), own: informers.store(), sets, pods: pods::store(informers) }
    }
}

fn selects(deployment: &Deployment, set: &ReplicaSet) -> bool {
    selector::selects(&deployment.spec.selector, set.metadata.labels.as_ref())
}

fn wake_by_set(deployments: &Store<Deployment>, event: &Event<ReplicaSet>) -> Vec<Key> {
    let mut keys: Vec<Key> = event.states().filter_map(|set| pods::controller_key::<Deployment>(&**set)).collect();
    keys.dedup();
    if let Some(set) = event.new.as_ref().filter(|set| set.controller().is_none() && !set.terminating()) {
        let adopters = deployments.list_in(set.namespace());
        let adopters = adopters.iter().filter(|d| !selector::is_empty(&d.spec.selector) && selects(d, set));
        keys.extend(adopters.map(|deployment| key_of(&**deployment)));
    }
    keys
}

/// A pod that is gone may be the last one that a `Recreate` rollout waited for.
fn wake_by_pod(deployments: &Store<Deployment>, sets: &Store<ReplicaSet>, event: &Event<Pod>) -> Vec<Key> {
    let ended = event.new.as_ref().is_none_or(|pod| pods::is_terminal(pod));
    let Some(pod) = event.old.as_ref().filter(|_| ended) else { return Vec::new() };
    let set = pods::controller_key::<ReplicaSet>(&**pod).and_then(|key| sets.get(&key.namespace, &key.name));
    let key = set.and_then(|set| pods::controller_key::<Deployment>(&*set));
    let waits = |key: &Key| deployments.get(&key.namespace, &key.name).is_some_and(|deployment| !rolls(&deployment));
    key.filter(waits).into_iter().collect()
}

/// Whether the strategy is a rolling update, the default.
fn rolls(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
    strategy != Some("Recreate")
}

fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.replicas.unwrap_or(1)
}

/// The hash that names the ReplicaSet of the Deployment's present template.
fn template_hash(deployment: &Deployment) -> String {
    semantic::hash(&deployment.spec.template, deployment.status.as_ref().and_then(|status| status.collision_count))
}

fn set_name(deployment: &Deployment, hash: &str) -> String {
    let longest = 253 - 1 - hash.len();
    let name: String = deployment.name().chars().take(longest).collect();
    format!("{name}-{hash}")
}

/// Equal but for the hash label that ReplicaSets add.
fn same_template(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    let plain = |template: &PodTemplateSpec| {
        let mut template = template.clone();
        if let Some(labels) = template.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
            labels.remove(HASH_LABEL);
        }
        template
    };
    semantic::equal(&plain(a), &plain(b))
}

impl Controller for Deployments {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "deployment-controller",
            account: "deployment-controller",
            component: "deployment-controller",
            workers: 5,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let by_set = self.own.clone();
        let (by_pod, sets) = (self.own.clone(), self.sets.clone());
        vec![
            Watch::own(&self.informers, &self.own),
            Watch::on(&self.informers, &self.sets, move |event| wake_by_set(&by_set, event)),
            Watch::on(&self.informers, &self.pods, move |event| wake_by_pod(&by_pod, &sets, event)),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let deployment = self.own.get(&key.namespace, &key.name)?;
        let mut candidates = self.sets.list_in(&key.namespace);
        candidates.retain(|set| set.controller().is_none_or(|owner| owner.uid == deployment.uid()));
        let namesake = self.sets.get(&key.namespace, &set_name(&deployment, &template_hash(&deployment)));
        let pods = if rolls(&deployment) {
            Vec::new()
        } else {
            candidates.iter().flat_map(|set| pods::controlled(&self.pods, set.uid())).collect()
        };
        Some(Observed { deployment, candidates, namesake, pods })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }

    /// Says in a condition and an event that the new ReplicaSet cannot be made. A name that is taken is found out by
    /// the next look at the caches and is no such failure.
    fn after_failure(&self, observed: &Observed, failure: &ApiError, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let made = matches!(failure, ApiError::Request { verb: "create", .. });
        if !made || failure.code() == 409 {
            return plan;
        }
        let deployment = &*observed.deployment;
        let name = set_name(deployment, &template_hash(deployment));
        let message = format!("Failed to create new replica set \"{name}\": {}", failure.message());
        if deployment.spec.progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX) {
            let mut status = serde_json::to_value(&deployment.status).unwrap_or_default();
            let mut all = conditions::read(&status);
            let condition = Condition::new("Progressing", false, "ReplicaSetCreateError", message.clone(), now);
            conditions::set(&mut all, condition.updated(now));
            status["conditions"] = serde_json::json!(all);
            plan.set_status(deployment, status);
        }
        plan.warning(deployment, "ReplicaSetCreateError", message);
        plan
    }
}

fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let deployment = &*observed.deployment;
    let mut plan = Plan::default();
    if selector::is_empty(&deployment.spec.selector) {
        let words = "This deployment is selecting all pods. A non-empty selector is required.";
        plan.warning(deployment, "SelectingAll", words);
        let mut status = serde_json::to_value(&deployment.status).unwrap_or_default();
        status["observedGeneration"] = serde_json::json!(deployment.metadata.generation);
        plan.set_status(deployment, status);
        return plan;
    }
    let claim = claim(deployment, observed.candidates.iter().cloned(), |set| selects(deployment, set));
    claim.write(deployment, &[], &mut plan);
    if !plan.writes.is_empty() {
        // The patches change the sets; what follows would conflict with them. Their events bring the key back.
        return plan;
    }

    let mut rollout = Rollout::new(deployment, claim.owned, now);
    if deployment.terminating() {
        return rollout.finish(status::calculate);
    }
    rollout.note_pause();
    if deployment.spec.paused == Some(true) {
        rollout.sync_new(Missing::Leave);
        rollout.scale();
        rollout.clean_up();
        return rollout.finish(status::calculate);
    }
    if let Some(revision) = revision::rollback_to(deployment) {
        return revision::roll_back(deployment, &rollout, revision);
    }
    rollout.sync_new(Missing::Leave);
    if rollout.is_scaling() {
        rollout.scale();
        return rollout.finish(status::calculate);
    }
    if rolls(deployment) {
        rollout.roll(observed.namesake.as_deref());
    } else {
        rollout.recreate(observed.namesake.as_deref(), &observed.pods);
    }
    rollout.finish(status::of_rollout)
}

#[cfg(test)]
#[path = "deployment_tests.rs"]
mod tests;
