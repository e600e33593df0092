//! The kinds of storage.k8s.io beside storage classes (k8s.io/kubernetes `pkg/apis/storage/{v1/defaults.go,validation}`).

use super::fill::{absent, empty, made};
use super::internal;
use super::read::{list, number, part, quantity, subdomain, text, wrong};
use super::ruled::{METADATA, Ruled};
use super::rules::Check;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::is_qualified_name;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

type Tree = Map<String, Value>;

pub const CLASS: Ruled = Ruled {
    defaults: |class| {
        empty(class, "reclaimPolicy", "Delete");
        empty(class, "volumeBindingMode", "Immediate");
    },
    rules: &[
        ("provisioner", Check::Needed("")),
        ("provisioner", Check::By(qualified)),
        ("reclaimPolicy", Check::OneOf(&["Delete", "Retain"])),
        ("volumeBindingMode", Check::OneOf(&["Immediate", "WaitForFirstConsumer"])),
        ("parameters", Check::By(parameters)),
        ("allowedTopologies", Check::By(topologies)),
    ],
    sealed: &["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"],
    ..Ruled::PLAIN
};

pub const ATTRIBUTES_CLASS: Ruled = Ruled {
    rules: &[
        ("driverName", Check::Needed("")),
        ("driverName", Check::By(qualified)),
        ("parameters", Check::Needed("must contain at least one key/value pair")),
        ("parameters", Check::By(parameters)),
    ],
    update: |new, old, errors| {
        for field in ["driverName", "parameters"] {
            if part(new, field) != part(old, field) {
                errors.push(FieldError::forbidden(&Path::new(field), format!("updates to {field} are forbidden.")));
            }
        }
    },
    ..Ruled::PLAIN
};

fn qualified(value: &Value, path: &Path, errors: &mut ErrorList) {
    let name = value.as_str().unwrap_or_default().to_lowercase();
    if !name.is_empty() {
        wrong(path, &name, is_qualified_name(&name), errors);
    }
}

fn parameters(value: &Value, path: &Path, errors: &mut ErrorList) {
    if value.get("").is_some() {
        errors.push(FieldError::invalid(path, "", "field can not be empty."));
    }
}

fn topologies(value: &Value, path: &Path, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for (index, term) in value.as_array().into_iter().flatten().enumerate() {
        let at = path.index(index).child("matchLabelExpressions");
        let mut wanted = BTreeMap::new();
        for (index, expression) in list(term, "matchLabelExpressions").iter().enumerate() {
            let at = at.index(index);
            let (key, values) = (text(expression, "key"), list(expression, "values"));
            let inner = at.child("values");
            if values.is_empty() {
                errors.push(FieldError::required(&inner, ""));
            }
            let mut set = BTreeSet::new();
            for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
                if !set.insert(value) {
                    errors.push(FieldError::duplicate(&inner.index(index), value));
                }
            }
            wrong(&at.child("key"), key, is_qualified_name(key), errors);
            if wanted.insert(key, set).is_some() {
                errors.push(FieldError::duplicate(&at.child("key"), key));
            }
        }
        // Upstream compares with empty terms, too, that nobody wrote.
        if wanted.is_empty() || !seen.insert(wanted) {
            errors.push(FieldError::duplicate(&at, ""));
        }
    }
}

pub const ATTACHMENT: Ruled = Ruled {
    rules: &[("spec.attacher", Check::By(driver_name)), ("spec.nodeName", Check::By(node_name))],
    more: |object, errors| {
        let (source, path) = (&part(object, "spec")["source"], Path::new("spec").child("source"));
        let why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        match (source["inlineVolumeSpec"].is_object(), source["persistentVolumeName"].as_str()) {
            (false, None) => errors.push(FieldError::required(&path, why)),
            (true, Some(_)) => errors.push(FieldError::forbidden(&path, why)),
            (false, Some("")) => {
                let at = path.child("persistentVolumeName");
                errors.push(FieldError::required(&at, "must specify non empty persistentVolumeName"));
            }
            _ => {}
        }
        if let Some(name) = source["persistentVolumeName"].as_str() {
            wrong(&path.child("persistentVolumeName"), name, subdomain(name), errors);
        }
    },
    sealed: &["spec"],
    status_keeps: METADATA,
    conditional: true,
    ..Ruled::PLAIN
};

fn node_name(value: &Value, path: &Path, errors: &mut ErrorList) {
    let name = value.as_str().unwrap_or_default();
    wrong(path, name, subdomain(name), errors);
}

/// The name of a CSI driver (`ValidateCSIDriverName`).
pub fn driver_name(value: &Value, path: &Path, errors: &mut ErrorList) {
    const LONGEST: usize = 63;
    let name = value.as_str().unwrap_or_default();
    if name.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    if name.len() > LONGEST {
        errors.push(FieldError::too_long(path, LONGEST));
    }
    let lower = name.to_lowercase();
    errors.extend(
        apimachinery::validation::is_dns1123_subdomain(&lower)
            .into_iter()
            .map(|why| FieldError::invalid(path, name, why)),
    );
}

pub const DRIVER: Ruled = Ruled {
    defaults: |driver| {
        let Some(spec) = made(driver, "spec") else { return };
        absent(spec, "attachRequired", true);
        absent(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        for field in
            ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount", "preventPodSchedulingIfMissing"]
        {
            absent(spec, field, false);
        }
        if spec.get("volumeLifecycleModes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            spec.insert("volumeLifecycleModes".into(), json!(["Persistent"]));
        }
    },
    rules: &[
        ("spec.fsGroupPolicy", Check::Given(&["File", "None", "ReadWriteOnceWithFSType"])),
        ("spec.nodeAllocatableUpdatePeriodSeconds", Check::By(period)),
        ("spec.tokenRequests", Check::By(tokens)),
        ("spec.volumeLifecycleModes", Check::By(modes)),
    ],
    more: |object, errors| {
        let spec = part(object, "spec");
        if spec["serviceAccountTokenInSecrets"].is_boolean() && list(spec, "tokenRequests").is_empty() {
            let why = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
            let at = Path::new("spec").child("serviceAccountTokenInSecrets");
            errors.push(FieldError::invalid(&at, spec["serviceAccountTokenInSecrets"].clone(), why));
        }
    },
    update: |new, old, errors| {
        let (after, before) = (part(new, "spec"), part(old, "spec"));
        // Upstream misspells the path.
        for (field, shown) in [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
        {
            if after[field] != before[field] {
                let at = Path::new("spec").child(shown);
                errors.push(FieldError::invalid(&at, after[field].clone(), "field is immutable"));
            }
        }
    },
    warnings: |new, old| {
        let spec = part(new, "spec");
        if old.is_some_and(|old| list(part(old, "spec"), "tokenRequests") == list(spec, "tokenRequests")) {
            return Vec::new();
        }
        let risky = !list(spec, "tokenRequests").is_empty() && spec["serviceAccountTokenInSecrets"].is_null();
        let why = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes";
        if risky { vec![why.to_owned()] } else { Vec::new() }
    },
    // Counted from the first change on.
    generation: true,
    create: |driver| {
        driver.metadata_mut().remove("generation");
    },
    conditional: true,
    ..Ruled::PLAIN
};

fn period(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(n) = value.as_i64().filter(|n| *n < 10) {
        errors.push(FieldError::invalid(path, n, "must be greater than or equal to 10 seconds"));
    }
}

fn tokens(value: &Value, path: &Path, errors: &mut ErrorList) {
    let mut audiences = BTreeSet::new();
    for (index, request) in value.as_array().into_iter().flatten().enumerate() {
        let at = path.index(index);
        if !audiences.insert(text(request, "audience")) {
            errors.push(FieldError::duplicate(&at.child("audience"), text(request, "audience")));
            continue;
        }
        let Some(seconds) = request["expirationSeconds"].as_i64() else { continue };
        let at = at.child("expirationSeconds");
        if seconds < 600 {
            errors.push(FieldError::invalid(&at, seconds, "may not specify a duration less than 10 minutes"));
        }
        if seconds > 1 << 32 {
            errors.push(FieldError::invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds"));
        }
    }
}

fn modes(value: &Value, path: &Path, errors: &mut ErrorList) {
    for mode in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !matches!(mode, "Persistent" | "Ephemeral") {
            errors.push(FieldError::not_supported(path, mode, &["Persistent", "Ephemeral"]));
        }
    }
}

pub const NODE: Ruled = Ruled {
    rules: &[("spec.drivers", Check::By(drivers))],
    update: node_update,
    prepare: |node| {
        if let Some(status) = super::fill::object(node, "status") {
            status.remove("storageHealth");
        }
    },
    status_keeps: METADATA,
    conditional: true,
    ..Ruled::PLAIN
};

fn drivers(value: &Value, path: &Path, errors: &mut ErrorList) {
    const LONGEST_ID: usize = 256;
    let mut names = BTreeSet::new();
    for (index, driver) in value.as_array().into_iter().flatten().enumerate() {
        let at = path.index(index);
        driver_name(&driver["name"], &at.child("name"), errors);
        let id = text(driver, "nodeID");
        if id.is_empty() {
            errors.push(FieldError::required(&at.child("nodeID"), ""));
        }
        if id.len() > LONGEST_ID {
            let why = format!("must be {LONGEST_ID} characters or less");
            errors.push(FieldError::invalid(&at.child("nodeID"), id, why));
        }
        let count = number(&driver["allocatable"], "count");
        super::read::not_negative(&at.child("allocatable").child("count"), count, errors);
        let name = text(driver, "name");
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        let mut keys = BTreeSet::new();
        for key in list(driver, "topologyKeys").iter().filter_map(Value::as_str) {
            if key.is_empty() {
                errors.push(FieldError::required(&at, ""));
            }
            if !keys.insert(key) {
                errors.push(FieldError::duplicate(&at, key));
            }
            wrong(&at, key, is_qualified_name(key), errors);
        }
    }
}

fn node_update(new: &Tree, old: &Tree, errors: &mut ErrorList) {
    let fixed = |driver: &Value| {
        let mut driver = driver.clone();
        driver.as_object_mut().and_then(|map| map.remove("allocatable"));
        driver
    };
    for before in list(part(old, "spec"), "drivers") {
        let after = list(part(new, "spec"), "drivers").iter().find(|driver| driver["name"] == before["name"]);
        if let Some(after) = after.filter(|after| fixed(after) != fixed(before)) {
            // Upstream prints its internal type, with the names of Go's fields.
            let shown = json!({"Name": after["name"], "NodeID": text(after, "nodeID"), "TopologyKeys": after["topologyKeys"], "Allocatable": null});
            errors.push(FieldError::invalid(&Path::new("spec").child("drivers"), shown, "field is immutable"));
        }
    }
}

pub const CAPACITY: Ruled = Ruled {
    rules: &[("nodeTopology", Check::Selector), ("capacity", Check::By(not_negative))],
    more: |object, errors| {
        let name = part(object, "storageClassName").as_str().unwrap_or_default();
        wrong(&Path::new("storageClassName"), name, subdomain(name), errors);
    },
    fixed: &["storageClassName"],
    update: |new, old, errors| {
        let topology = part(new, "nodeTopology");
        if topology != part(old, "nodeTopology") {
            let shown = internal::optional("meta.v1.LabelSelector", Some(topology));
            errors.push(internal::immutable(&Path::new("nodeTopology"), shown));
        }
    },
    conditional: true,
    ..Ruled::PLAIN
};

/// A quantity that is not below zero.
pub fn not_negative(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let (Some(q), Some(zero)) = (quantity(value), quantity(&Value::from("0")))
        && q < zero
    {
        errors.push(FieldError::invalid(path, value.clone(), "must be greater than or equal to 0"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::ruled::refusals;

    #[test]
    fn what_each_kind_refuses() {
        let cases: [(&Ruled, Value, &[&str]); 6] = [
            (&CLASS, json!({}), &["provisioner: Required value"]),
            (
                &ATTRIBUTES_CLASS,
                json!({"driverName": "d"}),
                &["parameters: Required value: must contain at least one key/value pair"],
            ),
            (
                &ATTACHMENT,
                json!({"spec": {"attacher": "a", "nodeName": "n", "source": {}}}),
                &["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"],
            ),
            (&DRIVER, json!({}), &[]),
            (&NODE, json!({"spec": {"drivers": [{"name": "d"}]}}), &["spec.drivers[0].nodeID: Required value"]),
            (
                &CAPACITY,
                json!({"storageClassName": "s", "capacity": "-1"}),
                &["capacity: Invalid value: \"-1\": must be greater than or equal to 0"],
            ),
        ];
        for (kind, object, expected) in cases {
            assert_eq!(refusals(kind, object), expected);
        }
    }
}
