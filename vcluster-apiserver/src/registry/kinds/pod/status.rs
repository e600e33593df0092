//! The status of a pod: what a kubelet may not say, and what it may not take away (k8s.io/kubernetes
//! `pkg/apis/core/validation`, `ValidatePodStatusUpdate`; `pkg/registry/core/pod/strategy.go`).

use super::annotations;
use crate::registry::kinds::read::{list, number, part, subdomain, text, wrong};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_qualified_name, parse_ip_sloppy, validate_ip_legacy};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Conditions whose names are not qualified.
const SYSTEM: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];
/// What clients that do not know devices leave out.
const DEVICES: [&str; 3] =
    ["resourceClaimStatuses", "extendedResourceClaimStatus", "nodeAllocatableResourceClaimStatuses"];

/// Keeps what older clients leave out without meaning to.
pub fn keep_what_clients_do_not_know(new: &mut Object, old: &Object) {
    for field in DEVICES {
        if new.at(&["status", field]).is_none()
            && let Some(value) = old.at(&["status", field])
        {
            new.set_at(&["status", field], value.clone());
        }
    }
    let before = list(part(old.as_map(), "status"), "conditions").to_vec();
    let mut used = BTreeSet::new();
    let conditions = new.as_map_mut().get_mut("status").and_then(|status| status.get_mut("conditions"));
    for condition in conditions.and_then(Value::as_array_mut).into_iter().flatten() {
        let kind = text(condition, "type");
        let found = before.iter().enumerate().find(|(at, known)| text(known, "type") == kind && !used.contains(at));
        let Some((at, known)) = found else { continue };
        used.insert(at);
        let generation = number(known, "observedGeneration");
        if generation != 0 && number(condition, "observedGeneration") == 0 {
            condition["observedGeneration"] = generation.into();
        }
    }
}

pub fn check(new: &Object, old: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    let (metadata, earlier) = (part(new.as_map(), "metadata"), part(old.as_map(), "metadata"));
    annotations::kept(metadata, earlier, &Path::new("metadata").child("annotations"), &mut errors);
    let path = Path::new("status");
    let (spec, status, before) =
        (part(new.as_map(), "spec"), part(new.as_map(), "status"), part(old.as_map(), "status"));
    conditions(status, &path, &mut errors);
    nominated(spec, status, before, &path.child("nominatedNodeName"), &mut errors);
    let generation = number(status, "observedGeneration");
    if generation < 0 {
        let at = path.child("observedGeneration");
        errors.push(FieldError::invalid(&at, generation, "must be a non-negative integer"));
    }
    if text(status, "qosClass") != text(before, "qosClass") {
        let at = path.child("qosClass");
        errors.push(FieldError::invalid(&at, text(status, "qosClass"), "field is immutable"));
    }
    claims(spec, status, &path, &mut errors);
    extended(spec, &status["extendedResourceClaimStatus"], &path.child("extendedResourceClaimStatus"), &mut errors);
    addresses(status, before, "podIP", "podIPs", &path, &mut errors);
    if !list(status, "hostIPs").is_empty() {
        addresses(status, before, "hostIP", "hostIPs", &path, &mut errors);
    }
    errors
}

fn conditions(status: &Value, path: &Path, errors: &mut ErrorList) {
    for (index, condition) in list(status, "conditions").iter().enumerate() {
        let (at, kind) = (path.child("conditions").index(index), text(condition, "type"));
        let generation = number(condition, "observedGeneration");
        if generation < 0 {
            let at = at.child("observedGeneration");
            errors.push(FieldError::invalid(&at, generation, "must be a non-negative integer"));
        }
        if !SYSTEM.contains(&kind) {
            // Upstream writes this name with a capital.
            wrong(&at.child("Type"), kind, is_qualified_name(kind), errors);
        }
    }
}

fn nominated(spec: &Value, status: &Value, before: &Value, path: &Path, errors: &mut ErrorList) {
    let name = text(status, "nominatedNodeName");
    if name.is_empty() || name == text(before, "nominatedNodeName") {
        return;
    }
    wrong(path, name, subdomain(name), errors);
    if !text(spec, "nodeName").is_empty() {
        errors.push(FieldError::forbidden(path, "may not be set on pods that are already bound to a node"));
    }
}

fn claims(spec: &Value, status: &Value, path: &Path, errors: &mut ErrorList) {
    let mut names = BTreeSet::new();
    for (index, claim) in list(status, "resourceClaimStatuses").iter().enumerate() {
        let (at, name) = (path.child("resourceClaimStatuses").index(index), text(claim, "name"));
        if !list(spec, "resourceClaims").iter().any(|known| text(known, "name") == name) {
            let why = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(FieldError::invalid(&at.child("name"), name, why));
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        if let Some(name) = claim["resourceClaimName"].as_str() {
            wrong(&at.child("resourceClaimName"), name, subdomain(name), errors);
        }
    }
}

/// The claim that stands for extended resources.
fn extended(spec: &Value, status: &Value, path: &Path, errors: &mut ErrorList) {
    if !status.is_object() {
        return;
    }
    let mappings = list(status, "requestMappings");
    let at = path.child("requestMappings");
    if mappings.is_empty() {
        errors.push(FieldError::required(&at, "at least one request mapping is required"));
    }
    let mut seen = BTreeSet::new();
    for (index, mapping) in mappings.iter().enumerate() {
        let at = at.index(index);
        let (container, resource) = (text(mapping, "containerName"), text(mapping, "resourceName"));
        let request = text(mapping, "requestName");
        let mut all = list(spec, "containers").iter().chain(list(spec, "initContainers"));
        match all.find(|known| text(known, "name") == container) {
            None => {
                let why = "must match the name of an entry in spec.initContainers.name or spec.containers.name";
                errors.push(FieldError::invalid(&at.child("containerName"), container, why));
            }
            Some(known) if known["resources"]["requests"][resource].is_null() => {
                let why = "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests";
                errors.push(FieldError::invalid(&at.child("resourceName"), resource, why));
            }
            Some(_) => {}
        }
        // Upstream names this place without the mapping.
        let why = apimachinery::validation::is_dns1123_label(request);
        wrong(&path.child("requestName"), request, why, errors);
        if !seen.insert((container, resource, request)) {
            let parts = [("containerName", container), ("resourceName", resource), ("requestName", request)];
            errors.extend(parts.map(|(field, value)| FieldError::duplicate(&at.child(field), value)));
        }
    }
    let name = text(status, "resourceClaimName");
    crate::registry::kinds::read::needed(&path.child("resourceClaimName"), name, subdomain, errors);
}

/// One address, or one of each family, of which the first is the old field's.
fn addresses(status: &Value, before: &Value, one: &str, many: &str, path: &Path, errors: &mut ErrorList) {
    let at = path.child(many);
    let texts = |status: &Value| -> Vec<String> {
        list(status, many).iter().map(|address| text(address, "ip").to_owned()).collect()
    };
    let (all, known) = (texts(status), texts(before));
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    for (index, address) in all.iter().enumerate() {
        errors.extend(validate_ip_legacy(&at.index(index), address, true, &known));
    }
    let shown = || {
        crate::registry::kinds::internal::texts(
            if one == "podIP" { "core.v1.PodIP" } else { "core.v1.HostIP" },
            &status[many],
        )
    };
    if all.len() > 1 {
        let families: BTreeSet<bool> =
            all.iter().filter_map(|address| parse_ip_sloppy(address)).map(|address| address.is_ipv4()).collect();
        if families.len() != 2 || all.len() > 2 {
            let why = "may specify no more than one IP for each IP family";
            errors.push(FieldError::invalid(&at, "", why).showing(shown()));
        }
    }
    let single = text(status, one);
    match all.first() {
        Some(first) if first != single && !(one == "podIP" && single.is_empty()) => {
            let why = format!("must be equal to `{one}`");
            errors.push(FieldError::invalid(&at.index(0).child("ip"), first.as_str(), why));
        }
        first if one == "podIP" && first.is_none() != single.is_empty() => {
            let why = "podIP and podIPs must either both be set or both be unset";
            errors.push(FieldError::invalid(&at, json!(null), why).showing(shown()));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_may_not_say() {
        let pod = |status: Value| Object::from_value(json!({"spec": {"nodeName": "n"}, "status": status})).unwrap();
        let texts =
            |status: Value| check(&pod(status), &pod(json!({}))).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(texts(json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]})).is_empty());
        assert_eq!(
            texts(json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.2"}]})),
            ["status.podIPs[0].ip: Invalid value: \"10.0.0.2\": must be equal to `podIP`"]
        );
        assert_eq!(
            texts(json!({"nominatedNodeName": "m"})),
            ["status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node"]
        );
        assert_eq!(texts(json!({"extendedResourceClaimStatus": {}})).len(), 2);
    }

    #[test]
    fn generations_of_conditions_stay() {
        let pod = |condition: Value| Object::from_value(json!({"status": {"conditions": [condition]}})).unwrap();
        let mut new = pod(json!({"type": "Ready"}));
        keep_what_clients_do_not_know(&mut new, &pod(json!({"type": "Ready", "observedGeneration": 3})));
        assert_eq!(new.at(&["status", "conditions"]), Some(&json!([{"type": "Ready", "observedGeneration": 3}])));
    }
}
