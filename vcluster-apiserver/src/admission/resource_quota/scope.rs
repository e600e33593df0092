//! Which objects a quota's scopes select (k8s.io/kubernetes `pkg/quota/v1/evaluator/core/pods.go`).

use crate::admission::pod_resources::{containers, read};
use apimachinery::{GroupResource, Object};
use serde_json::{Value, json};

/// Whether every scope of the quota selects the object; a quota without scopes selects all.
pub fn matches(quota: &Object, resource: &GroupResource, object: &Object) -> bool {
    let list = |path: &[&str]| quota.at(path).and_then(Value::as_array).cloned().unwrap_or_default();
    let plain = list(&["spec", "scopes"]).into_iter().map(|s| json!({ "scopeName": s, "operator": "Exists" }));
    plain
        .chain(list(&["spec", "scopeSelector", "matchExpressions"]))
        .all(|selector| selects(&selector, resource, object))
}

fn selects(selector: &Value, resource: &GroupResource, object: &Object) -> bool {
    let is_pod = resource.group.is_empty() && resource.resource == "pods";
    let is_claim = resource.group.is_empty() && resource.resource == "persistentvolumeclaims";
    let text = |path: &[&str]| object.at(path).and_then(Value::as_str).unwrap_or_default();
    match selector.get("scopeName").and_then(Value::as_str).unwrap_or_default() {
        "Terminating" => is_pod && is_terminating(object),
        "NotTerminating" => is_pod && !is_terminating(object),
        "BestEffort" => is_pod && is_best_effort(object),
        "NotBestEffort" => is_pod && !is_best_effort(object),
        "PriorityClass" => is_pod && value_matches(selector, &[text(&["spec", "priorityClassName"])]),
        "CrossNamespacePodAffinity" => is_pod && reaches_other_namespaces(object),
        "VolumeAttributesClass" => {
            let names = [
                text(&["spec", "volumeAttributesClassName"]),
                text(&["status", "currentVolumeAttributesClassName"]),
                text(&["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"]),
            ];
            is_claim && value_matches(selector, &names)
        }
        _ => false,
    }
}

/// The selector's operator on the names that are set; one that fits suffices.
fn value_matches(selector: &Value, names: &[&str]) -> bool {
    let wanted: Vec<&str> =
        selector.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let names: Vec<&str> = names.iter().copied().filter(|n| !n.is_empty()).collect();
    match selector.get("operator").and_then(Value::as_str).unwrap_or_default() {
        "Exists" => !names.is_empty(),
        "DoesNotExist" => names.is_empty(),
        "In" => names.iter().any(|n| wanted.contains(n)),
        "NotIn" => names.is_empty() || names.iter().any(|n| !wanted.contains(n)),
        _ => false,
    }
}

/// A pod with a deadline ends by itself.
pub fn is_terminating(pod: &Object) -> bool {
    pod.at(&["spec", "activeDeadlineSeconds"]).and_then(Value::as_i64).is_some_and(|s| s >= 0)
}

/// No container, nor the pod, asks for or is limited in cpu or memory.
fn is_best_effort(pod: &Object) -> bool {
    let counts = |list: Option<&Value>| {
        read(list).iter().any(|(name, quantity)| matches!(name.as_str(), "cpu" | "memory") && !quantity.is_zero())
    };
    let of_pod = |kind: &str| counts(pod.at(&["spec", "resources", kind]));
    let all = containers(pod, "containers").iter().chain(containers(pod, "initContainers"));
    let of_containers =
        all.into_iter().any(|c| counts(c.pointer("/resources/requests")) || counts(c.pointer("/resources/limits")));
    !(of_pod("requests") || of_pod("limits") || of_containers)
}

/// Whether a term of the pod's affinity looks beyond its own namespace.
fn reaches_other_namespaces(pod: &Object) -> bool {
    let reaches = |term: &Value| {
        term.get("namespaces").and_then(Value::as_array).is_some_and(|n| !n.is_empty())
            || term.get("namespaceSelector").is_some_and(|s| !s.is_null())
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let terms = |field: &str| {
            pod.at(&["spec", "affinity", kind, field]).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
        };
        terms("requiredDuringSchedulingIgnoredDuringExecution").iter().any(reaches)
            || terms("preferredDuringSchedulingIgnoredDuringExecution")
                .iter()
                .any(|t| t.get("podAffinityTerm").is_some_and(reaches))
    })
}
