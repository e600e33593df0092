//! What controllers ask of pods: readiness, availability, and which of them to delete first.
//! Upstream's `pkg/api/v1/pod` and `pkg/controller/controller_utils.go`.

use crate::meta::Meta;
use crate::plan::Announce;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::Resource;
use k8s_openapi::api::core::v1::{ObjectReference, Pod, PodCondition, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Pods by the uid of their controller; those without one under `orphan/NAMESPACE`.
const BY_CONTROLLER: &str = "controller";
/// Pods by the node they are bound to.
const BY_NODE: &str = "node";

/// The store of pods with the indexes that controllers share.
pub(crate) fn store(informers: &Informers) -> Store<Pod> {
    let pods = informers.store::<Pod>();
    pods.add_index(BY_CONTROLLER, |pod| {
        vec![pod.controller().map_or_else(|| format!("orphan/{}", pod.namespace()), |owner| owner.uid.clone())]
    });
    pods.add_index(BY_NODE, |pod| {
        let node = node_name(pod);
        if node.is_empty() { Vec::new() } else { vec![node.to_owned()] }
    });
    pods
}

/// The pods that the owner of this uid controls, and the orphans of its namespace that it might adopt.
pub(crate) fn candidates(pods: &Store<Pod>, namespace: &str, owner: &str) -> Vec<Arc<Pod>> {
    let mut found = pods.by_index(BY_CONTROLLER, owner);
    found.retain(|pod| pod.namespace() == namespace);
    found.extend(pods.by_index(BY_CONTROLLER, &format!("orphan/{namespace}")));
    found
}

pub(crate) fn controlled(pods: &Store<Pod>, owner: &str) -> Vec<Arc<Pod>> {
    pods.by_index(BY_CONTROLLER, owner)
}

pub(crate) fn on_node(pods: &Store<Pod>, node: &str) -> Vec<Arc<Pod>> {
    pods.by_index(BY_NODE, node)
}

pub(crate) fn node_name(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

pub(crate) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Succeeded or failed: no container will run again.
pub(crate) fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && !pod.terminating()
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    condition(pod, "Ready").filter(|ready| ready.status == "True")?.last_transition_time.as_ref().map(|time| time.0)
}

/// Ready for at least `min_ready` seconds.
pub(crate) fn is_available(pod: &Pod, min_ready: i32, now: Timestamp) -> bool {
    is_ready(pod) && (min_ready <= 0 || available_in(pod, min_ready, now).is_some_and(|left| left.is_zero()))
}

/// How long until a ready pod is available. `None` when it is not ready.
pub(crate) fn available_in(pod: &Pod, min_ready: i32, now: Timestamp) -> Option<Duration> {
    let since = ready_since(pod)?;
    let ready_for = now.duration_since(since).as_secs_f64();
    Some(Duration::from_secs_f64((f64::from(min_ready.max(0)) - ready_for).max(0.0)))
}

/// When the next of `pods` becomes available.
pub(crate) fn next_available(pods: &[Arc<Pod>], min_ready: i32, now: Timestamp) -> Option<Duration> {
    pods.iter().filter_map(|pod| available_in(pod, min_ready, now)).filter(|left| !left.is_zero()).min()
}

/// A pod of a template, controlled by `owner`, named by the API server after `prefix`.
pub(crate) fn from_template(template: &PodTemplateSpec, owner: OwnerReference, namespace: &str, prefix: &str) -> Pod {
    let given = template.metadata.as_ref();
    let metadata = ObjectMeta {
        generate_name: Some(format!("{prefix}-")),
        namespace: Some(namespace.to_owned()),
        labels: given.and_then(|meta| meta.labels.clone()),
        annotations: given.and_then(|meta| meta.annotations.clone()),
        finalizers: given.and_then(|meta| meta.finalizers.clone()),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: template.spec.clone(), status: None }
}

/// The events of upstream's `RealPodControl` about a created pod.
pub(crate) fn announce_creation(about: ObjectReference) -> Announce {
    Announce {
        about,
        success: ("SuccessfulCreate", "Created pod: {}".to_owned()),
        failure: ("FailedCreate", "Error creating: {}".to_owned()),
    }
}

/// The events of upstream's `RealPodControl` about a deleted pod.
pub(crate) fn announce_deletion(about: ObjectReference) -> Announce {
    Announce {
        about,
        success: ("SuccessfulDelete", "Deleted pod: {}".to_owned()),
        failure: ("FailedDelete", "Error deleting: {}".to_owned()),
    }
}

/// The controller of a pod if it is of kind `K`, as a namespace and name to wake.
pub(crate) fn controller_key<K: Resource>(object: &impl Meta) -> Option<crate::queue::Key> {
    let owner = object.controller()?;
    let same_group = owner.api_version.split('/').next() == K::API_VERSION.split('/').next();
    (owner.kind == K::KIND && same_group).then(|| crate::queue::Key::new(object.namespace(), &owner.name))
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|status| status.restart_count).max().unwrap_or(0)
}

fn deletion_cost(pod: &Pod) -> i32 {
    pod.annotation("controller.kubernetes.io/pod-deletion-cost").and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

/// Younger than a power of two apart is equally old: spreads deletions over pods of one rollout.
fn age_rank(time: Timestamp, now: Timestamp) -> i64 {
    let age = now.duration_since(time).as_nanos();
    if age > 0 { i64::from(age.ilog2()) } else { -1 }
}

/// Sorts `pods` so that those which a shrinking set should lose come first (`ActivePodsWithRanks`): unassigned, pending,
/// not ready, cheap, crowded on their node with other pods of `related`, young, restarted often.
pub(crate) fn sort_for_deletion(pods: &mut [Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) {
    let mut crowd: HashMap<&str, i64> = HashMap::new();
    for pod in related.iter().filter(|pod| is_active(pod)) {
        *crowd.entry(node_name(pod)).or_default() += 1;
    }
    let phase_rank = |pod: &Pod| match phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    pods.sort_by_cached_key(|pod| {
        (
            !node_name(pod).is_empty(),
            phase_rank(pod),
            is_ready(pod),
            deletion_cost(pod),
            -crowd.get(node_name(pod)).copied().unwrap_or(0),
            ready_since(pod).map_or(i64::MIN, |since| age_rank(since, now)),
            -restarts(pod),
            age_rank(pod.created(), now),
            pod.uid().to_owned(),
        )
    });
}

#[cfg(test)]
pub(crate) mod testing {
    //! Pods in few words.

    use super::*;
    use serde_json::{Value, json};

    /// A pod of namespace `ns`; `more` is merged over the defaults, field by field at the top.
    pub(crate) fn pod(name: &str, more: Value) -> Arc<Pod> {
        let mut tree = json!({"metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"), "resourceVersion": "1"}, "spec": {"containers": []}, "status": {}});
        merge(&mut tree, more);
        Arc::new(serde_json::from_value(tree).expect("a test pod is a pod"))
    }

    pub(crate) fn merge(into: &mut Value, from: Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, from) => *into = from,
        }
    }

    pub(crate) fn ready(since: &str) -> Value {
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]}})
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{merge, pod, ready};
    use super::*;
    use serde_json::json;

    /// Upstream's `TestSortingActivePodsWithRanks`, by its rules.
    #[test]
    fn pods_are_lost_in_order_of_their_worth() {
        let now: Timestamp = "2024-01-02T00:00:00Z".parse().unwrap();
        let running = |more| {
            let mut base = json!({"spec": {"nodeName": "n"}});
            merge(&mut base, ready("2024-01-01T00:00:00Z"));
            merge(&mut base, more);
            base
        };
        let cost = json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}}});
        let mut pods = vec![
            pod("old-ready", running(json!({}))),
            pod(
                "restarted",
                running(
                    json!({"status": {"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 7}]}}),
                ),
            ),
            pod("just-ready", running(ready("2024-01-01T23:59:59Z"))),
            pod("crowded", running(json!({"spec": {"nodeName": "m"}}))),
            pod("cheap", running(cost)),
            pod("running-unready", json!({"spec": {"nodeName": "n"}, "status": {"phase": "Running"}})),
            pod("pending", json!({"spec": {"nodeName": "n"}, "status": {"phase": "Pending"}})),
            pod("unassigned", json!({"status": {"phase": "Running"}})),
        ];
        let related = vec![pods[3].clone(), pods[3].clone(), pods[3].clone(), pods[0].clone()];
        sort_for_deletion(&mut pods, &related, now);
        let names: Vec<_> = pods.iter().map(|pod| pod.name().to_owned()).collect();
        assert_eq!(
            names,
            ["unassigned", "pending", "running-unready", "cheap", "crowded", "just-ready", "restarted", "old-ready"]
        );
    }

    #[test]
    fn availability_is_readiness_that_lasted() {
        let now: Timestamp = "2024-01-01T00:00:10Z".parse().unwrap();
        let pod = pod("a", ready("2024-01-01T00:00:00Z"));
        assert!(is_available(&pod, 0, now) && is_available(&pod, 10, now) && !is_available(&pod, 11, now));
        assert_eq!(next_available(&[pod], 15, now), Some(Duration::from_secs(5)));
    }
}
