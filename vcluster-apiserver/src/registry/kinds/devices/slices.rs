//! Devices that there are: resource slices (k8s.io/kubernetes `pkg/apis/resource/validation`).

use super::names::{driver, label_key, pool, qualified};
use crate::registry::kinds::devices::{taint, taint_time};
use crate::registry::kinds::fill::{items, made};
use crate::registry::kinds::pod::affinity_rules;
use crate::registry::kinds::read::{list, number, part, subdomain, text, wrong};
use crate::registry::kinds::ruled::Ruled;
use crate::registry::kinds::rules::Check;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::is_dns1123_label;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

type Tree = Map<String, Value>;

const LONGEST_VALUE: usize = 64;

pub const SLICE: Ruled = Ruled {
    rules: &[
        ("spec.driver", Check::By(driver)),
        ("spec.pool", Check::By(pool_of)),
        ("spec.devices", Check::By(devices)),
        ("spec.sharedCounters", Check::By(counter_sets)),
    ],
    more: places,
    stamp: |slice, _, now| {
        let Some(spec) = made(slice, "spec") else { return };
        for device in items(spec, "devices") {
            items(device, "taints").for_each(|taint| taint_time(taint, now));
        }
    },
    forget: |slice| crate::registry::kinds::fill::forget(slice, &["partitionTypeAttribute", "skipNodeOperations"]),
    fixed: &["spec.driver", "spec.pool.name", "spec.nodeName"],
    generation: true,
    ..Ruled::PLAIN
};

fn pool_of(value: &Value, path: &Path, errors: &mut ErrorList) {
    pool(text(value, "name"), &path.child("name"), errors);
    let count = number(value, "resourceSliceCount");
    if count <= 0 {
        errors.push(FieldError::invalid(&path.child("resourceSliceCount"), count, "must be greater than zero"));
    }
    let generation = number(value, "generation");
    if generation < 0 {
        let why = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&path.child("generation"), generation, why));
    }
}

/// Which of the ways to say where devices are is taken; one that is there must say something.
fn taken(value: &Value, empty_name: &str, path: &Path, errors: &mut ErrorList) -> Vec<&'static str> {
    let mut taken = Vec::new();
    if let Some(name) = value["nodeName"].as_str() {
        if name.is_empty() {
            errors.push(FieldError::invalid(&path.child("nodeName"), "", empty_name));
        } else {
            taken.push("`nodeName`");
            wrong(&path.child("nodeName"), name, subdomain(name), errors);
        }
    }
    if value["nodeSelector"].is_object() {
        taken.push("`nodeSelector`");
        affinity_rules::node_selector(&value["nodeSelector"], &path.child("nodeSelector"), errors);
    }
    for (field, shown) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")] {
        match value[field].as_bool() {
            Some(true) => taken.push(shown),
            Some(false) => {
                errors.push(FieldError::invalid(&path.child(field), false, "must be either unset or set to true"));
            }
            None => {}
        }
    }
    taken
}

fn places(slice: &Tree, errors: &mut ErrorList) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let (spec, path) = (part(slice, "spec"), Path::new("spec"));
    let taken = taken(spec, "must be either unset or set to a non-empty string", &path, errors);
    match taken.len() {
        0 => errors.push(FieldError::required(&path, ONE)),
        1 => {}
        _ => {
            let why = format!("{ONE}, but multiple fields are set");
            errors.push(FieldError::invalid(&path, format!("{{{}}}", taken.join(", ")), why));
        }
    }
    if !spec["sharedCounters"].is_null() && !spec["devices"].is_null() {
        errors.push(FieldError::invalid(&path, "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    let by_device = spec["perDeviceNodeSelection"] == true;
    for (index, device) in list(spec, "devices").iter().enumerate() {
        place(device, by_device, &path.child("devices").index(index), errors);
    }
}

fn place(device: &Value, by_device: bool, path: &Path, errors: &mut ErrorList) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    if by_device {
        let taken = taken(device, "must not be empty", path, errors);
        match taken.len() {
            0 => errors.push(FieldError::required(path, ONE)),
            1 => {}
            _ => errors.push(FieldError::invalid(path, format!("{{{}}}", taken.join(", ")), ONE)),
        }
    } else if ["nodeName", "nodeSelector", "allNodes"].iter().any(|field| !device[*field].is_null()) {
        let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
        errors.push(FieldError::invalid(path, Value::Null, why));
    }
}

fn devices(value: &Value, path: &Path, errors: &mut ErrorList) {
    const MOST: usize = 128;
    const MOST_ADVANCED: usize = 64;
    let devices = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let advanced = |device: &Value| !list(device, "taints").is_empty() || !list(device, "consumesCounters").is_empty();
    let most = if devices.iter().any(advanced) { MOST_ADVANCED } else { MOST };
    if devices.len() > most {
        return errors.push(FieldError::too_many(path, devices.len(), most));
    }
    let mut names = BTreeSet::new();
    for (index, one) in devices.iter().enumerate() {
        let at = path.index(index);
        if !names.insert(text(one, "name")) {
            errors.push(FieldError::duplicate(&at, text(one, "name")));
        }
        device(one, &at, errors);
    }
}

fn device(device: &Value, path: &Path, errors: &mut ErrorList) {
    let name = text(device, "name");
    wrong(&path.child("name"), name, is_dns1123_label(name), errors);
    for (key, attribute) in device["attributes"].as_object().into_iter().flatten() {
        let at = path.child("attributes");
        qualified(key, &at, errors);
        self::attribute(attribute, &at.key(key), errors);
    }
    let shared = device["allowMultipleAllocations"] == true;
    for (key, capacity) in device["capacity"].as_object().into_iter().flatten() {
        let at = path.child("capacity");
        qualified(key, &at, errors);
        if capacity["requestPolicy"].is_object() && !shared {
            let at = at.key(key).child("requestPolicy");
            errors.push(FieldError::forbidden(&at, "allowMultipleAllocations must be true"));
        }
    }
    for (index, one) in list(device, "taints").iter().enumerate() {
        taint(one, &path.child("taints").index(index), errors);
    }
    for (index, used) in list(device, "consumesCounters").iter().enumerate() {
        counters(used, "counterSet", &path.child("consumesCounters").index(index), errors);
    }
    bindings(device, path, errors);
}

fn attribute(value: &Value, path: &Path, errors: &mut ErrorList) {
    const FORMS: [&str; 8] = ["int", "bool", "string", "version", "ints", "bools", "strings", "versions"];
    let given: Vec<&str> = FORMS.into_iter().filter(|form| !value[*form].is_null()).collect();
    if given.is_empty() {
        let forms: Vec<String> = FORMS.iter().map(|form| format!("`{form}`")).collect();
        errors.push(FieldError::invalid(path, "", format!("must specify one of: {}", forms.join(", "))));
    }
    if given.len() > 1 {
        let forms: Vec<String> = FORMS.iter().map(|form| format!("`{form}`")).collect();
        let set: Vec<String> = given.iter().map(|form| format!("`{form}`")).collect();
        let why = format!("must specify exactly one of: {}", forms.join(", "));
        errors.push(FieldError::invalid(path, format!("{{{}}}", set.join(", ")), why));
    }
    for form in ["string", "version"] {
        if text(value, form).len() > LONGEST_VALUE {
            errors.push(FieldError::too_long(&path.child(form), LONGEST_VALUE));
        }
    }
}

fn bindings(device: &Value, path: &Path, errors: &mut ErrorList) {
    const FIELDS: [&str; 2] = ["bindingConditions", "bindingFailureConditions"];
    const MOST: usize = 4;
    let [wanted, failed] = FIELDS.map(|field| list(device, field));
    for (field, conditions) in [(FIELDS[0], wanted), (FIELDS[1], failed)] {
        let at = path.child(field);
        if conditions.len() > MOST {
            errors.push(FieldError::too_many(&at, conditions.len(), MOST));
            continue;
        }
        let mut seen = BTreeSet::new();
        for (index, name) in conditions.iter().filter_map(Value::as_str).enumerate() {
            label_key(name, &at.index(index), errors);
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(&at.index(index), name));
            }
        }
    }
    for (index, name) in failed.iter().enumerate().filter(|(_, name)| wanted.contains(name)) {
        let why = "bindingFailureConditions must not overlap with bindingConditions";
        errors.push(FieldError::invalid(&path.child(FIELDS[1]).index(index), name.clone(), why));
    }
    for (missing, other, empty) in [
        (FIELDS[0], FIELDS[1], wanted.is_empty() && !failed.is_empty()),
        (FIELDS[1], FIELDS[0], failed.is_empty() && !wanted.is_empty()),
    ] {
        if empty {
            let why = format!("{missing} are required to use {other}");
            errors.push(FieldError::invalid(&path.child(missing), Value::Null, why));
        }
    }
}

fn counter_sets(value: &Value, path: &Path, errors: &mut ErrorList) {
    const MOST: usize = 8;
    let sets = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if sets.len() > MOST {
        return errors.push(FieldError::too_many(path, sets.len(), MOST));
    }
    let mut names = BTreeSet::new();
    for (index, set) in sets.iter().enumerate() {
        let at = path.index(index);
        if !names.insert(text(set, "name")) {
            let shown = schema::ordered::text_of("resource.v1.CounterSet", set);
            errors.push(FieldError::duplicate(&at, "").showing(shown));
        }
        counters(set, "name", &at, errors);
    }
}

/// Something with a name and counters.
fn counters(value: &Value, name_field: &str, path: &Path, errors: &mut ErrorList) {
    crate::registry::kinds::read::needed(&path.child(name_field), text(value, name_field), is_dns1123_label, errors);
    let at = path.child("counters");
    let counters = value["counters"].as_object();
    if counters.is_none_or(Map::is_empty) {
        errors.push(FieldError::required(&at, ""));
    }
    for name in counters.into_iter().flat_map(Map::keys) {
        wrong(&at, name, is_dns1123_label(name), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::ruled::refusals;
    use serde_json::json;

    #[test]
    fn slices_say_where_devices_are_and_what() {
        let texts = |more: Value| {
            let mut spec = json!({"driver": "d", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1}});
            for (field, value) in more.as_object().unwrap() {
                spec[field] = value.clone();
            }
            refusals(&SLICE, json!({"spec": spec}))
        };
        assert!(texts(json!({"devices": [{"name": "d", "attributes": {"model": {"string": "x"}}}]})).is_empty());
        assert_eq!(
            texts(json!({"allNodes": true, "devices": [{"name": "d", "attributes": {"model": {}}, "allNodes": true}]})),
            [
                "spec.devices[0].attributes[model]: Invalid value: \"\": must specify one of: `int`, `bool`, `string`, `version`, `ints`, `bools`, `strings`, `versions`",
                "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
                "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
            ]
        );
        assert_eq!(
            texts(json!({"sharedCounters": [{}]})),
            ["spec.sharedCounters[0].name: Required value", "spec.sharedCounters[0].counters: Required value"]
        );
        assert_eq!(
            texts(json!({"devices": [{"name": "d", "bindingConditions": ["a"]}]})),
            [
                "spec.devices[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions"
            ]
        );
    }
}
