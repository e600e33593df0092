//! Nodes: taints, ranges of pod addresses, and what never changes (k8s.io/kubernetes `pkg/apis/core/validation`,
//! `ValidateNode`, `ValidateNodeUpdate`; `pkg/registry/core/node/strategy.go`).

use super::resource_rules::amount;
use crate::registry::kinds::internal;
use crate::registry::kinds::read::{list, part, text, wrong};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::name::SUBDOMAIN_MAX_LENGTH;
use apimachinery::validation::{is_label_value, is_qualified_name, parse_cidr_sloppy, validate_cidr_legacy};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Fields whose features are off, or gone.
pub fn drop_disabled(node: &mut Object, old: Option<&Object>) {
    if let Some(spec) = node.as_map_mut().get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("podPreemptionPolicy");
        if old.is_none_or(|old| old.at(&["spec", "configSource"]).is_none()) {
            spec.remove("configSource");
        }
    }
    if old.is_none_or(|old| old.at(&["status", "config"]).is_none()) {
        node.remove_at(&["status", "config"]);
    }
}

/// What holds at any time.
pub fn check(node: &Object) -> ErrorList {
    let (spec, status) = (part(node.as_map(), "spec"), part(node.as_map(), "status"));
    let mut errors = ErrorList::new();
    // Upstream takes taints for metadata.
    taints(list(spec, "taints"), &Path::new("metadata").child("taints"), &mut errors);
    for side in ["capacity", "allocatable"] {
        for (resource, value) in status[side].as_object().into_iter().flatten() {
            amount(resource, value, &Path::new("status").child(side).child(resource), &mut errors);
        }
    }
    declared(list(status, "declaredFeatures"), &mut errors);
    let (ranges, at) = (list(spec, "podCIDRs"), Path::new("spec").child("podCIDRs"));
    for (index, range) in ranges.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(validate_cidr_legacy(&at.index(index), range, true, &[]));
    }
    if ranges.len() > 1 {
        let families: Vec<Option<bool>> = ranges
            .iter()
            .filter_map(Value::as_str)
            .map(|range| parse_cidr_sloppy(range).map(|(address, _)| address.is_ipv4()))
            .collect();
        if let Some(bad) = families.iter().position(Option::is_none) {
            let range = ranges[bad].as_str().unwrap_or_default();
            let why = format!(
                "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{bad}]: <nil> (invalid CIDR address: {range})"
            );
            errors.push(FieldError::internal(&at, why));
        }
        let both = families.contains(&Some(true)) && families.contains(&Some(false));
        if !both || families.contains(&None) || ranges.len() > 2 {
            let why = "may specify no more than one CIDR for each IP family";
            errors.push(FieldError::invalid(&at, ranges.to_vec(), why));
        }
    }
    errors
}

/// Features that a kubelet declares: `Name` or `Name/part`, in order, each once.
fn declared(features: &[Value], errors: &mut ErrorList) {
    let at = Path::new("status").child("declaredFeatures");
    let names: Vec<&str> = features.iter().filter_map(Value::as_str).collect();
    for (index, name) in names.iter().enumerate() {
        let at = at.index(index);
        let segment = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        if name.len() > SUBDOMAIN_MAX_LENGTH {
            let why = format!("invalid feature name {name:?}: must be no more than {SUBDOMAIN_MAX_LENGTH} characters");
            errors.push(FieldError::invalid(&at, *name, why));
        } else if !name.starts_with(|c: char| c.is_ascii_uppercase()) || !name.split('/').all(segment) {
            let why = format!(
                "invalid feature name {name:?}: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
            );
            errors.push(FieldError::invalid(&at, *name, why));
        }
        match index.checked_sub(1).map(|before| names[before].cmp(name)) {
            Some(Ordering::Equal) => errors.push(FieldError::duplicate(&at, *name)),
            Some(Ordering::Greater) => {
                errors.push(FieldError::invalid(&at, *name, "list must be sorted alphabetically"));
            }
            _ => {}
        }
    }
}

fn taints(taints: &[Value], path: &Path, errors: &mut ErrorList) {
    const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    let mut seen = BTreeSet::new();
    for (index, taint) in taints.iter().enumerate() {
        let at = path.index(index);
        let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
        wrong(&at.child("key"), key, is_qualified_name(key), errors);
        let found = is_label_value(value);
        if !found.is_empty() {
            errors.push(FieldError::invalid(&at.child("value"), value, found.join(";")));
        }
        if effect.is_empty() {
            errors.push(FieldError::required(&at.child("effect"), ""));
        } else if !EFFECTS.contains(&effect) {
            errors.push(FieldError::not_supported(&at.child("effect"), effect, &EFFECTS));
        }
        if !seen.insert((effect, key)) {
            let shown = internal::text("core.v1.Taint", taint);
            let detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(FieldError { detail, ..FieldError::duplicate(&at, "") }.showing(shown));
        }
    }
}

/// What never changes once it is set.
pub fn update(new: &Object, old: &Object) -> ErrorList {
    let path = Path::new("spec");
    let (after, before) = (part(new.as_map(), "spec"), part(old.as_map(), "spec"));
    let mut errors = ErrorList::new();
    let addresses = list(part(new.as_map(), "status"), "addresses");
    for (index, address) in addresses.iter().enumerate() {
        if addresses.iter().take(index).any(|other| other == address) {
            let at = Path::new("status").child("addresses").index(index);
            let shown = internal::text("core.v1.NodeAddress", address);
            errors.push(FieldError::duplicate(&at, "").showing(shown));
        }
    }
    if !list(before, "podCIDRs").is_empty() && list(after, "podCIDRs") != list(before, "podCIDRs") {
        let why = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden(&path.child("podCIDRs"), why));
    }
    let (is, was) = (text(after, "providerID"), text(before, "providerID"));
    if !was.is_empty() && is != was {
        let why = if is.is_empty() { "field cannot be cleared once set" } else { "field cannot be modified once set" };
        errors.push(FieldError::invalid(&path.child("providerID"), Value::Null, why));
    }
    if text(after, "externalID") != text(before, "externalID") {
        errors.push(FieldError::forbidden(&path.child("externalID"), "may not be updated"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(spec: Value) -> Object {
        Object::from_value(json!({"spec": spec})).unwrap()
    }

    #[test]
    fn what_a_node_may_not_say() {
        let texts = |spec: Value| check(&node(spec)).iter().map(ToString::to_string).collect::<Vec<_>>();
        let taint = || json!({"key": "a", "value": "b", "effect": "NoSchedule"});
        assert!(texts(json!({"taints": [taint()], "podCIDRs": ["10.0.0.0/24", "fd00::/64"]})).is_empty());
        assert_eq!(texts(json!({"taints": [{"key": "a"}]})), ["metadata.taints[0].effect: Required value"]);
        assert_eq!(
            texts(json!({"taints": [taint(), taint()]})),
            [
                "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"b\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}: taints must be unique by key and effect pair"
            ]
        );
        assert_eq!(texts(json!({"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]})).len(), 1);
    }

    #[test]
    fn what_stays() {
        let old = node(json!({"podCIDRs": ["10.0.0.0/24"], "providerID": "p"}));
        let fields: Vec<String> = update(&node(json!({})), &old).iter().map(|error| error.field.to_string()).collect();
        assert_eq!(fields, ["spec.podCIDRs", "spec.providerID"]);
    }
}
