//! What is written to pods' statuses: why one is not scheduled, and that another has to go.

use crate::bind::{Write, pod_path};
use crate::pod::PodInfo;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodCondition;
use serde_json::{Value, json};

/// `PodScheduled=False` and the nominated node; `None` if the pod says so already.
pub(super) fn unscheduled(
    pod: &PodInfo,
    reason: &str,
    message: &str,
    nominated: Option<&str>,
    now: Timestamp,
) -> Option<Write> {
    let old = condition(pod, "PodScheduled");
    let same_node = pod.nominated_node() == nominated;
    if same_node && old.is_some_and(|old| is(old, "False", reason, message)) {
        return None;
    }
    let mut status = json!({"conditions": [changed(pod, old, "PodScheduled", "False", reason, message, now)]});
    if !same_node {
        status["nominatedNodeName"] = nominated.into();
    }
    Some(patch(pod, status))
}

/// The pod has no nominated node any more; `None` if it says none.
pub(super) fn nomination_void(pod: &PodInfo) -> Option<Write> {
    pod.nominated_node().map(|_| patch(pod, json!({"nominatedNodeName": null})))
}

/// The pod is about to be bound to the node; `None` if it says so already.
pub(super) fn nomination(pod: &PodInfo, node: &str) -> Option<Write> {
    (pod.nominated_node() != Some(node)).then(|| patch(pod, json!({"nominatedNodeName": node})))
}

/// The victim learns why, then it is deleted.
pub(super) fn evictions(victim: &PodInfo, scheduler: &str, now: Timestamp) -> Vec<Write> {
    if victim.is_terminating() {
        return Vec::new();
    }
    let (kind, reason) = ("DisruptionTarget", "PreemptionByScheduler");
    let message = format!("{scheduler}: preempting to accommodate a higher priority pod");
    let condition = changed(victim, condition(victim, kind), kind, "True", reason, &message, now);
    let delete = Write::delete(pod_path(victim.namespace(), victim.name()), victim.uid());
    vec![patch(victim, json!({"conditions": [condition]})), delete]
}

fn patch(pod: &PodInfo, status: Value) -> Write {
    let path = format!("{}/status", pod_path(pod.namespace(), pod.name()));
    Write::strategic(path, json!({"metadata": {"uid": pod.uid()}, "status": status}))
}

fn condition<'a>(pod: &'a PodInfo, kind: &str) -> Option<&'a PodCondition> {
    pod.pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn is(condition: &PodCondition, status: &str, reason: &str, message: &str) -> bool {
    condition.status == status
        && condition.reason.as_deref() == Some(reason)
        && condition.message.as_deref() == Some(message)
}

/// The time of transition stays while the status does.
fn changed(
    pod: &PodInfo,
    old: Option<&PodCondition>,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Value {
    let since = old.filter(|old| old.status == status).and_then(|old| old.last_transition_time.as_ref());
    let since = since.map_or(now, |time| time.0);
    let mut condition = json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": format!("{since:.0}"),
    });
    if let Some(generation) = pod.pod.metadata.generation {
        condition["observedGeneration"] = generation.into();
    }
    condition
}
