//! Pod disruption budgets: how many pods may be evicted now. Upstream's `pkg/controller/disruption`.
//!
//! Owns the status of budgets. It evicts nothing; the API's eviction subresource decides by this status. Woken by budgets,
//! pods, and the controllers whose sizes count.

use crate::conditions::{self, Condition};
use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::int_or_percent::scaled;
use crate::meta::Meta;
use crate::plan::Plan;
use crate::pods;
use crate::queue::Key;
use crate::recorder::stamp;
use crate::selector::selects;
use informer::{Event, Informers, Store};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long an eviction that was granted may take to delete its pod before it no longer counts.
const GRANTED_FOR: SignedDuration = SignedDuration::from_mins(2);

pub(crate) struct Disruption {
    informers: Informers,
    budgets: Store<PodDisruptionBudget>,
    pods: Store<Pod>,
    deployments: Store<Deployment>,
    replica_sets: Store<ReplicaSet>,
    stateful_sets: Store<StatefulSet>,
    controllers: Store<ReplicationController>,
}

pub struct Observed {
    budget: Arc<PodDisruptionBudget>,
    pods: Vec<Arc<Pod>>,
    /// The sizes of the pods' controllers by uid; an error names a pod whose controller has none.
    scale: Result<BTreeMap<String, i32>, String>,
    unmanaged: bool,
}

impl Disruption {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self {
            informers: informers.clone(),
            budgets: informers.store(),
            pods: pods::store(informers),
            deployments: informers.store(),
            replica_sets: informers.store(),
            stateful_sets: informers.store(),
            controllers: informers.store(),
        }
    }

    /// The uid and the size of a controller; of a ReplicaSet's Deployment where it has one.
    fn size(&self, namespace: &str, owner: &OwnerReference) -> Option<(String, i32)> {
        let size = |replicas: Option<i32>| replicas.unwrap_or(1);
        match owner.kind.as_str() {
            "ReplicaSet" => {
                let set = self.replica_sets.get(namespace, &owner.name).filter(|set| set.uid() == owner.uid)?;
                match set.controller().filter(|above| above.kind == "Deployment") {
                    Some(above) => {
                        let deployment = self.deployments.get(namespace, &above.name)?;
                        Some((above.uid.clone(), size(deployment.spec.replicas)))
                    }
                    None => Some((owner.uid.clone(), size(set.spec.replicas))),
                }
            }
            "StatefulSet" => {
                let set = self.stateful_sets.get(namespace, &owner.name)?;
                Some((owner.uid.clone(), size(set.spec.replicas)))
            }
            "ReplicationController" => {
                let controller = self.controllers.get(namespace, &owner.name)?;
                Some((owner.uid.clone(), size(controller.spec.as_ref().and_then(|spec| spec.replicas))))
            }
            _ => None,
        }
    }

    fn scale(&self, pods: &[Arc<Pod>]) -> Result<BTreeMap<String, i32>, String> {
        let mut scale = BTreeMap::new();
        for pod in pods {
            let Some(owner) = pod.controller() else { continue };
            let found = self.size(pod.namespace(), owner);
            let (uid, size) = found.ok_or_else(|| format!("found no controllers for pod \"{}\"", pod.name()))?;
            scale.insert(uid, size);
        }
        Ok(scale)
    }
}

fn covers(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| selects(selector, pod.metadata.labels.as_ref()))
}

/// All budgets of a changed object's namespace.
fn wake_namespace<K: Meta>(budgets: &Store<PodDisruptionBudget>, event: &Event<K>) -> Vec<Key> {
    let Some(object) = event.latest() else { return Vec::new() };
    budgets.list_in(object.namespace()).iter().map(|budget| key_of(&**budget)).collect()
}

impl Controller for Disruption {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "disruption-controller",
            account: "disruption-controller",
            component: "controllermanager",
            workers: 1,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let budgets = || self.budgets.clone();
        let (by_pod, a, b, c, d) = (budgets(), budgets(), budgets(), budgets(), budgets());
        let of_pod = move |event: &Event<Pod>| {
            let Some(pod) = event.latest() else { return Vec::new() };
            let concerned = |budget: &Arc<PodDisruptionBudget>| event.states().any(|pod| covers(budget, pod));
            by_pod.list_in(pod.namespace()).iter().filter(|own| concerned(own)).map(|own| key_of(&**own)).collect()
        };
        vec![
            Watch::own(&self.informers, &self.budgets),
            Watch::on(&self.informers, &self.pods, of_pod),
            Watch::on(&self.informers, &self.deployments, move |event| wake_namespace(&a, event)),
            Watch::on(&self.informers, &self.replica_sets, move |event| wake_namespace(&b, event)),
            Watch::on(&self.informers, &self.stateful_sets, move |event| wake_namespace(&c, event)),
            Watch::on(&self.informers, &self.controllers, move |event| wake_namespace(&d, event)),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let budget = self.budgets.get(&key.namespace, &key.name)?;
        let mut pods = self.pods.list_in(&key.namespace);
        pods.retain(|pod| covers(&budget, pod) && !pods::is_terminal(pod));
        let scale = self.scale(&pods);
        let unmanaged = pods.iter().any(|pod| pod.controller().is_none());
        Some(Observed { budget, pods, scale, unmanaged })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }
}

/// How many pods there should be, and how many of them healthy.
fn expected(observed: &Observed) -> Result<(i32, i32), String> {
    let Some(spec) = &observed.budget.spec else { return Ok((0, 0)) };
    let total = || observed.scale.clone().map(|scale| scale.values().sum::<i32>());
    if let Some(given) = &spec.max_unavailable {
        let count = total()?;
        let most = scaled(given, count, true).ok_or("invalid maxUnavailable")?;
        return Ok((count, (count - most).max(0)));
    }
    match &spec.min_available {
        Some(IntOrString::Int(healthy)) => Ok((observed.pods.len() as i32, *healthy)),
        Some(given) => {
            let count = total()?;
            Ok((count, scaled(given, count, true).ok_or("invalid minAvailable")?))
        }
        None => Ok((0, 0)),
    }
}

fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let Observed { budget, pods, .. } = observed;
    let mut plan = Plan::default();
    let old = json!(budget.status);
    if pods.is_empty() && old.is_null() {
        plan.event(&**budget, "NoPods", "No matching pods found");
    }
    let generation = budget.metadata.generation.unwrap_or(0);
    let mut all = conditions::read(&old);
    let (expected, desired) = match expected(observed) {
        Ok(counts) => counts,
        Err(words) => {
            let told = format!("Failed to calculate the number of expected pods: {words}");
            plan.warning(&**budget, "CalculateExpectedPodCountFailed", told);
            let mut status =
                if old.is_null() { json!({"currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}) } else { old };
            status["disruptionsAllowed"] = json!(0);
            conditions::replace(&mut all, allowed(false, "SyncFailed", words, generation, now));
            status["conditions"] = json!(all);
            plan.set_status(&**budget, status);
            return plan;
        }
    };
    if observed.unmanaged && needs_scale(budget) {
        let words = "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.";
        plan.warning(&**budget, "UnmanagedPods", words);
    }
    let granted = granted(observed, now, &mut plan);
    let healthy =
        pods.iter().filter(|pod| !pod.terminating() && !granted.contains_key(pod.name()) && pods::is_ready(pod));
    let healthy = healthy.count() as i32;
    let allowance = if expected > 0 { (healthy - desired).max(0) } else { 0 };
    let reason = if allowance > 0 { "SufficientPods" } else { "InsufficientPods" };
    conditions::replace(&mut all, allowed(allowance > 0, reason, String::new(), generation, now));
    plan.set_status(
        &**budget,
        json!({
            "currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": expected, "disruptionsAllowed": allowance,
            "disruptedPods": granted, "observedGeneration": generation, "conditions": all,
        }),
    );
    plan
}

fn needs_scale(budget: &PodDisruptionBudget) -> bool {
    let Some(spec) = &budget.spec else { return false };
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

fn allowed(is: bool, reason: &str, message: String, generation: i64, now: Timestamp) -> Condition {
    let mut condition = Condition::new("DisruptionAllowed", is, reason, message, now);
    condition.observed_generation = Some(generation);
    condition
}

/// Evictions that were granted and whose pods are still there.
fn granted(observed: &Observed, now: Timestamp, plan: &mut Plan) -> BTreeMap<String, Value> {
    let budget = &observed.budget;
    let listed = budget.status.as_ref().and_then(|status| status.disrupted_pods.clone()).unwrap_or_default();
    let mut granted = BTreeMap::new();
    for pod in observed.pods.iter().filter(|pod| !pod.terminating()) {
        let Some(time) = listed.get(pod.name()) else { continue };
        let left = GRANTED_FOR - now.duration_since(time.0);
        if left < SignedDuration::ZERO {
            let words =
                format!("Pod was expected by PDB {}/{} to be deleted but it wasn't", budget.namespace(), budget.name());
            plan.warning(&**pod, "NotDeleted", words);
        } else {
            plan.again_after(left.unsigned_abs());
            granted.insert(pod.name().to_owned(), json!(stamp(time.0)));
        }
    }
    granted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::testing::{pod, ready};

    fn run(spec: Value, ready_pods: usize, scale: Result<BTreeMap<String, i32>, String>) -> [i64; 4] {
        let mut selector = json!({"selector": {"matchLabels": {"a": "b"}}});
        crate::pods::testing::merge(&mut selector, spec);
        let budget = json!({"metadata": {"name": "p", "namespace": "ns", "generation": 1}, "spec": selector});
        let pods = (0..ready_pods).map(|i| pod(&i.to_string(), ready("2024-01-01T00:00:00Z"))).collect();
        let observed =
            Observed { budget: Arc::new(serde_json::from_value(budget).unwrap()), pods, scale, unmanaged: false };
        let told = plan(&observed, "2024-01-01T00:01:00Z".parse().unwrap());
        let crate::plan::Write::Update { body, .. } = told.writes.last().unwrap() else { panic!("no status") };
        ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"]
            .map(|field| body["status"][field].as_i64().unwrap_or(-1))
    }

    /// Upstream's `disruption_test.go`, by its cases of counting.
    #[test]
    fn budgets_allow_what_is_above_what_must_be() {
        let of = |size| Ok(BTreeMap::from([("u".to_owned(), size)]));
        assert_eq!(run(json!({"minAvailable": 2}), 3, of(3)), [3, 2, 3, 1]);
        assert_eq!(run(json!({"minAvailable": "50%"}), 3, of(5)), [5, 3, 3, 0]);
        assert_eq!(run(json!({"maxUnavailable": 1}), 5, of(5)), [5, 4, 5, 1]);
        assert_eq!(run(json!({"maxUnavailable": "30%"}), 5, of(10)), [10, 7, 5, 0]);
        assert_eq!(run(json!({"minAvailable": 0}), 0, of(0)), [0, 0, 0, 0]);
        assert_eq!(run(json!({"maxUnavailable": 1}), 3, Err("no".into())), [0, 0, 0, 0]);
    }
}
