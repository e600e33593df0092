//! What one object costs, in the names that quotas count (k8s.io/kubernetes `pkg/quota/v1/evaluator/core`).

use crate::admission::pod_resources::{Resources, containers, read, total};
use crate::admission::volume_resize::class_of;
use apimachinery::quantity::{Format, Quantity};
use apimachinery::{GroupResource, Object};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Resources of old that are counted under their plain name too.
const PLAIN: [&str; 5] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets", "services"];

fn one() -> Quantity {
    Quantity::from_value(1, Format::DecimalSi)
}

fn count_name(resource: &GroupResource) -> String {
    format!("count/{resource}")
}

/// Whether a quota's resource name counts objects of this resource.
pub fn is_counted(resource: &GroupResource, name: &str) -> bool {
    if name == count_name(resource) {
        return true;
    }
    if !resource.group.is_empty() {
        return false;
    }
    match resource.resource.as_str() {
        "pods" => {
            let compute = matches!(
                name,
                "cpu"
                    | "memory"
                    | "ephemeral-storage"
                    | "requests.cpu"
                    | "requests.memory"
                    | "requests.ephemeral-storage"
                    | "limits.cpu"
                    | "limits.memory"
                    | "limits.ephemeral-storage"
                    | "pods"
            );
            let huge = name.starts_with("hugepages-") || name.starts_with("requests.hugepages-");
            compute || huge || name.strip_prefix("requests.").is_some_and(is_extended)
        }
        "services" => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
        "persistentvolumeclaims" => {
            let own = |n: &str| matches!(n, "persistentvolumeclaims" | "requests.storage");
            own(name) || name.split_once(".storageclass.storage.k8s.io/").is_some_and(|(_, n)| own(n))
        }
        plain => PLAIN.contains(&plain) && name == plain,
    }
}

/// `vendor.com/thing`: a resource that Kubernetes itself does not know.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// What an object costs, in every name it could be counted under.
pub fn of(resource: &GroupResource, object: &Object, now: Timestamp) -> Resources {
    let mut usage = Resources::from([(count_name(resource), one())]);
    if !resource.group.is_empty() {
        return usage;
    }
    match resource.resource.as_str() {
        "pods" if is_alive(object, now) => {
            usage.extend(compute(&total(object, "requests"), &total(object, "limits")));
        }
        "services" => service(object, &mut usage),
        "persistentvolumeclaims" => claim(object, &mut usage),
        plain if PLAIN.contains(&plain) => {
            usage.insert(plain.to_owned(), one());
        }
        _ => {}
    }
    usage
}

/// Pods that ended, or whose end is overdue, cost only their place in the store.
fn is_alive(pod: &Object, now: Timestamp) -> bool {
    if matches!(pod.at(&["status", "phase"]).and_then(Value::as_str), Some("Failed" | "Succeeded")) {
        return false;
    }
    let Ok(due) = pod.meta_str("deletionTimestamp").parse::<Timestamp>() else { return true };
    let grace = pod.at(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64);
    grace.is_none_or(|g| due.saturating_add(SignedDuration::from_secs(g)).is_ok_and(|end| now <= end))
}

fn compute(requests: &Resources, limits: &Resources) -> Resources {
    let mut usage = Resources::from([("pods".to_owned(), one())]);
    for (name, quantity) in requests {
        let known = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        if known {
            usage.insert(name.clone(), *quantity);
        }
        if known || is_extended(name) {
            usage.insert(format!("requests.{name}"), *quantity);
        }
    }
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(quantity) = limits.get(name) {
            usage.insert(format!("limits.{name}"), *quantity);
        }
    }
    usage
}

/// A quota of cpu or memory demands that each container says its own, unless the pod says it for all.
pub fn must_specify(restricted: &[&String], pod: &Object) -> Result<(), String> {
    const COMPUTE: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
    let of_pod = |kind: &str| !read(pod.at(&["spec", "resources", kind])).is_empty();
    if of_pod("requests") || of_pod("limits") {
        return Ok(());
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in containers(pod, "containers").iter().chain(containers(pod, "initContainers")) {
        let said =
            compute(&read(container.pointer("/resources/requests")), &read(container.pointer("/resources/limits")));
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        for resource in restricted.iter().filter(|r| COMPUTE.contains(&r.as_str()) && !said.contains_key(**r)) {
            missing.entry(resource.as_str()).or_default().insert(name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = missing
        .into_iter()
        .map(|(resource, names)| format!("{resource} for: {}", names.into_iter().collect::<Vec<_>>().join(",")))
        .collect();
    Err(format!("must specify {}", texts.join("; ")))
}

fn service(object: &Object, usage: &mut Resources) {
    let ports = object.at(&["spec", "ports"]).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let kind = object.at(&["spec", "type"]).and_then(Value::as_str).unwrap_or_default();
    let allocates = object.at(&["spec", "allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false));
    let explicit = || ports.iter().filter(|p| p.get("nodePort").and_then(Value::as_i64).unwrap_or(0) != 0).count();
    let node_ports = match kind {
        "NodePort" => ports.len(),
        "LoadBalancer" if allocates => ports.len(),
        "LoadBalancer" => explicit(),
        _ => 0,
    };
    let number = |n: usize| Quantity::from_value(n as i64, Format::DecimalSi);
    usage.insert("services".into(), one());
    usage.insert("services.nodeports".into(), number(node_ports));
    usage.insert("services.loadbalancers".into(), number(usize::from(kind == "LoadBalancer")));
}

fn claim(object: &Object, usage: &mut Resources) {
    let mut costs = vec![("persistentvolumeclaims", one())];
    let storage = |list: &[&str]| read(object.at(list)).get("storage").copied();
    if let Some(requested) = storage(&["spec", "resources", "requests"]) {
        let allocated = storage(&["status", "allocatedResources"]).unwrap_or(requested);
        costs.push(("requests.storage", requested.max(allocated).round_up(0)));
    }
    let class = class_of(object);
    for (name, quantity) in costs {
        usage.insert(name.to_owned(), quantity);
        if !class.is_empty() {
            usage.insert(format!("{class}.storageclass.storage.k8s.io/{name}"), quantity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn costs_are_upstreams() {
        let resource = |name: &str| GroupResource::new("", name);
        let show = |name: &str, object: Value| {
            let usage = of(&resource(name), &Object::from_value(object).unwrap(), Timestamp::UNIX_EPOCH);
            usage.iter().map(|(n, q)| format!("{n}={q}")).collect::<Vec<_>>().join(" ")
        };
        let requests = json!({ "cpu": "1", "nvidia.com/gpu": "2" });
        let spec = json!({ "containers": [{ "resources": { "requests": requests, "limits": { "cpu": "2" } } }] });
        let cases = [
            (
                "pods",
                json!({ "spec": spec }),
                "count/pods=1 cpu=1 limits.cpu=2 pods=1 requests.cpu=1 requests.nvidia.com/gpu=2",
            ),
            ("pods", json!({ "spec": spec, "status": { "phase": "Succeeded" } }), "count/pods=1"),
            ("secrets", json!({}), "count/secrets=1 secrets=1"),
            ("endpoints", json!({}), "count/endpoints=1"),
            (
                "persistentvolumeclaims",
                json!({ "spec": { "storageClassName": "gold", "resources": { "requests": { "storage": "1Gi" } } } }),
                "count/persistentvolumeclaims=1 gold.storageclass.storage.k8s.io/persistentvolumeclaims=1 gold.storageclass.storage.k8s.io/requests.storage=1Gi persistentvolumeclaims=1 requests.storage=1Gi",
            ),
            (
                "services",
                json!({ "spec": { "type": "LoadBalancer", "ports": [{}, {}] } }),
                "count/services=1 services=1 services.loadbalancers=1 services.nodeports=2",
            ),
        ];
        for (name, object, wanted) in cases {
            assert_eq!(show(name, object), wanted);
        }
        assert!(is_counted(&resource("pods"), "requests.nvidia.com/gpu"));
        assert!(!is_counted(&resource("pods"), "services"));
        assert!(is_counted(&GroupResource::new("apps", "deployments"), "count/deployments.apps"));
    }
}
