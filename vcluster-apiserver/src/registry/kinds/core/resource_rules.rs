//! Names and amounts of resources: what containers, pods, quotas and limit ranges may speak of
//! (k8s.io/kubernetes `pkg/apis/core/validation`, `pkg/apis/core/helper`).

use crate::registry::kinds::read::{list, needed_label, quantity, text, wrong};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::quantity::Quantity;
use apimachinery::validation::is_qualified_name;
use serde_json::Value;
use std::collections::BTreeSet;

const CONTAINER: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Measured in whole numbers.
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Known to quotas beside the counted ones and those of containers.
const QUOTA: [&str; 7] = [
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "requests.storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];

const HUGE: &str = "hugepages-";
const HUGE_REQUESTS: &str = "requests.hugepages-";

/// What a name of a resource is checked by.
pub type NameRule = fn(&str, &Path, &mut ErrorList);

pub fn is_quota_name(name: &str) -> bool {
    CONTAINER.contains(&name)
        || COUNTED.contains(&name)
        || QUOTA.contains(&name)
        || name.starts_with(HUGE)
        || name.starts_with(HUGE_REQUESTS)
}

/// In the `kubernetes.io` namespace, which names without one are in.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether more may be promised than there is.
pub fn can_overcommit(name: &str) -> bool {
    is_native(name) && !name.starts_with(HUGE)
}

fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && is_qualified_name(&format!("requests.{name}")).is_empty()
}

/// A name of any resource.
pub fn name(name: &str, path: &Path, errors: &mut ErrorList) {
    let found = is_qualified_name(name);
    if found.is_empty() && !name.contains('/') && !is_quota_name(name) && name != "storage" {
        errors.push(FieldError::invalid(path, name, "must be a standard resource type or fully qualified"));
    }
    wrong(path, name, found, errors);
}

/// The name of what a container may ask for.
pub fn container_name(resource: &str, path: &Path, errors: &mut ErrorList) {
    name(resource, path, errors);
    if !resource.contains('/') {
        if !CONTAINER.contains(&resource) && !resource.starts_with(HUGE) {
            errors.push(FieldError::invalid(path, resource, "must be a standard resource for containers"));
        }
    } else if !is_native(resource) && !is_extended(resource) {
        errors.push(FieldError::invalid(path, resource, "doesn't follow extended resource name standard"));
    }
}

/// The name of what a pod may ask for as a whole.
pub fn pod_name(resource: &str, path: &Path, errors: &mut ErrorList) {
    let before = errors.len();
    name(resource, path, errors);
    if errors.len() == before && !["cpu", "memory"].contains(&resource) && !resource.starts_with(HUGE) {
        errors.push(FieldError::not_supported(path, resource, &["cpu", HUGE, "memory"]));
    }
}

/// The name of what a quota may bound.
pub fn quota_name(resource: &str, path: &Path, errors: &mut ErrorList) {
    name(resource, path, errors);
    if !resource.contains('/') && !is_quota_name(resource) {
        errors.push(FieldError::invalid(path, resource, "must be a standard resource for quota"));
    }
}

/// Not below zero, and a whole number where the resource is counted.
pub fn amount(resource: &str, value: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(amount) = quantity(value) else { return };
    crate::registry::kinds::storage::not_negative(value, path, errors);
    if (COUNTED.contains(&resource) || is_extended(resource)) && amount.milli_value() % 1000 != 0 {
        errors.push(FieldError::invalid(path, value.clone(), "must be an integer"));
    }
}

/// Amounts by resource, each with a name that the rule allows.
pub fn amounts(amounts: &Value, rule: NameRule, path: &Path, errors: &mut ErrorList) {
    for (resource, value) in amounts.as_object().into_iter().flatten() {
        rule(resource, &path.key(resource), errors);
        amount(resource, value, &path.key(resource), errors);
    }
}

/// Pages come whole.
fn pages(amounts: &Value, path: &Path, errors: &mut ErrorList) {
    for (resource, value) in amounts.as_object().into_iter().flatten() {
        let Some(size) = resource.strip_prefix(HUGE) else { continue };
        let size = Quantity::parse(size).ok().filter(|size| size.sign() > 0 && size.milli_value() % 1000 == 0);
        let whole = size.zip(quantity(value)).is_some_and(|(size, amount)| amount.value() % size.value() == 0);
        if !whole {
            let why = format!("{} is not positive integer multiple of {resource}", value.as_str().unwrap_or_default());
            errors.push(FieldError::invalid(&path.key(resource), value.clone(), why));
        }
    }
}

/// Requests, limits and claims of a container or a pod; `claims` are the pod's own names for claims.
pub fn requirements(resources: &Value, rule: NameRule, claims: &BTreeSet<&str>, path: &Path, errors: &mut ErrorList) {
    let (limits, requests) = (path.child("limits"), path.child("requests"));
    amounts(&resources["limits"], rule, &limits, errors);
    amounts(&resources["requests"], rule, &requests, errors);
    pages(&resources["limits"], &limits, errors);
    pages(&resources["requests"], &requests, errors);
    for (resource, request) in resources["requests"].as_object().into_iter().flatten() {
        let limit = &resources["limits"][resource];
        match quantity(request).zip(quantity(limit)) {
            Some((wanted, most)) if wanted != most && !can_overcommit(resource) => {
                let why = format!("must be equal to {resource} limit of {}", limit.as_str().unwrap_or_default());
                errors.push(FieldError::invalid(&requests, request.clone(), why));
            }
            Some((wanted, most)) if wanted > most => {
                let most = limit.as_str().unwrap_or_default();
                let why = format!("must be less than or equal to {resource} limit of {most}");
                errors.push(FieldError::invalid(&requests, request.clone(), why));
            }
            None if limit.is_null() && !can_overcommit(resource) => {
                errors.push(FieldError::required(&limits, "Limit must be set for non overcommitable resources"));
            }
            _ => {}
        }
    }
    let asks = |wanted: &dyn Fn(&str) -> bool| {
        let sides = [&resources["limits"], &resources["requests"]];
        sides.iter().filter_map(|side| side.as_object()).any(|side| side.keys().any(|name| wanted(name)))
    };
    if asks(&|name| name.starts_with(HUGE)) && !asks(&|name| name == "cpu" || name == "memory") {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
    claimed(list(resources, "claims"), claims, &path.child("claims"), errors);
}

/// Claims that a container uses, which are the pod's.
fn claimed(used: &[Value], known: &BTreeSet<&str>, path: &Path, errors: &mut ErrorList) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (index, claim) in used.iter().enumerate() {
        let (at, name, request) = (path.index(index), text(claim, "name"), text(claim, "request"));
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        if seen.contains(name) {
            errors.push(FieldError::duplicate(&at, name));
        } else {
            let key = if request.is_empty() { name.to_owned() } else { format!("{name}/{request}") };
            if !request.is_empty() {
                needed_label(&at.child("request"), request, errors);
            }
            // The whole claim overlaps with each request of it.
            let overlaps = request.is_empty() && seen.iter().any(|key| key.split('/').next() == Some(name));
            if seen.contains(&key) || overlaps {
                errors.push(FieldError::duplicate(&at, key.as_str()));
            }
            seen.insert(key);
        }
        if !known.contains(name) {
            let names: Vec<&str> = known.iter().copied().collect();
            let which = if names.is_empty() { " which is empty".to_owned() } else { format!(": {}", names.join(", ")) };
            let detail = format!("must be one of the names in pod.spec.resourceClaims{which}");
            errors.push(FieldError { detail, ..FieldError::not_found(&at, name) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;
    use serde_json::json;

    fn texts(resources: Value) -> Vec<String> {
        told(|errors| requirements(&resources, container_name, &BTreeSet::from(["gpu"]), &Path::new("r"), errors))
    }

    #[test]
    fn what_a_container_may_ask_for() {
        let cases: [(Value, &[&str]); 7] = [
            (json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2", "example.com/x": "1"}}), &[]),
            (
                json!({"limits": {"pods": "1"}}),
                &["r.limits[pods]: Invalid value: \"pods\": must be a standard resource for containers"],
            ),
            (
                json!({"limits": {"example.com/x": "1m"}}),
                &["r.limits[example.com/x]: Invalid value: \"1m\": must be an integer"],
            ),
            (
                json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
                &["r.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"],
            ),
            (
                json!({"requests": {"example.com/x": "1"}}),
                &["r.limits: Required value: Limit must be set for non overcommitable resources"],
            ),
            (json!({"limits": {"hugepages-2Mi": "2Mi"}}), &["r: Forbidden: HugePages require cpu or memory"]),
            (
                json!({"claims": [{"name": "gpu"}, {"name": "x"}]}),
                &["r.claims[1]: Not found: \"x\": must be one of the names in pod.spec.resourceClaims: gpu"],
            ),
        ];
        for (resources, expected) in cases {
            assert_eq!(texts(resources), expected);
        }
    }

    #[test]
    fn names_of_quotas() {
        let found = |name: &str| {
            let mut errors = ErrorList::new();
            quota_name(name, &Path::new("q"), &mut errors);
            errors.len()
        };
        for (name, count) in [("pods", 0), ("requests.cpu", 0), ("count/pods", 0), ("storage", 1), ("-x", 2)] {
            assert_eq!(found(name), count, "{name}");
        }
    }
}
