//! Volumes, claims, classes and drivers.

use super::read::{Row, joined, or, text};
use serde_json::Value;

/// The four access modes in the order and short form in which they are shown.
const MODES: [(&str, &str); 4] =
    [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];

fn modes(row: &Row, path: &[&str]) -> Value {
    let has = row.list(path);
    joined(MODES.iter().filter(|(mode, _)| has.iter().any(|m| m == mode)).map(|(_, short)| *short), ",").into()
}

fn class_name<'a>(row: &Row<'a>) -> &'a str {
    let annotation = &row.at(&["metadata", "annotations"])["volume.beta.kubernetes.io/storage-class"];
    annotation.as_str().unwrap_or_else(|| row.text(&["spec", "storageClassName"]))
}

fn optional(row: &Row, field: &str) -> Value {
    row.at(&["spec", field]).as_str().unwrap_or("<unset>").into()
}

fn phase<'a>(row: &Row<'a>) -> &'a str {
    if row.is_terminating() { "Terminating" } else { row.text(&["status", "phase"]) }
}

pub(super) fn volume(row: &Row) -> Vec<Value> {
    let claim = row.at(&["spec", "claimRef"]);
    let claim = if claim.is_null() {
        String::new()
    } else {
        format!("{}/{}", text(claim, &["namespace"]), text(claim, &["name"]))
    };
    vec![
        row.name(),
        or(row.text(&["spec", "capacity", "storage"]), "0").into(),
        modes(row, &["spec", "accessModes"]),
        row.text(&["spec", "persistentVolumeReclaimPolicy"]).into(),
        phase(row).into(),
        claim.into(),
        class_name(row).into(),
        optional(row, "volumeAttributesClassName"),
        row.text(&["status", "reason"]).into(),
        row.age(),
        optional(row, "volumeMode"),
    ]
}

/// Capacity and modes are shown once the claim names its volume.
pub(super) fn claim(row: &Row) -> Vec<Value> {
    let bound = row.text(&["spec", "volumeName"]);
    let (capacity, modes) = if bound.is_empty() {
        ("", "".into())
    } else {
        (or(row.text(&["status", "capacity", "storage"]), "0"), modes(row, &["status", "accessModes"]))
    };
    vec![
        row.name(),
        phase(row).into(),
        bound.into(),
        capacity.into(),
        modes,
        class_name(row).into(),
        optional(row, "volumeAttributesClassName"),
        row.age(),
        optional(row, "volumeMode"),
    ]
}

pub(super) fn class(row: &Row) -> Vec<Value> {
    let annotations = row.at(&["metadata", "annotations"]);
    let keys = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    let name = row.text(&["metadata", "name"]);
    let name =
        if keys.iter().any(|key| annotations[*key] == "true") { format!("{name} (default)") } else { name.into() };
    vec![
        name.into(),
        row.text(&["provisioner"]).into(),
        or(row.text(&["reclaimPolicy"]), "Delete").into(),
        or(row.text(&["volumeBindingMode"]), "Immediate").into(),
        row.at(&["allowVolumeExpansion"]).as_bool().unwrap_or(false).into(),
        row.age(),
    ]
}

pub(super) fn attributes_class(row: &Row) -> Vec<Value> {
    vec![row.name(), row.text(&["driverName"]).into(), row.age()]
}

pub(super) fn attachment(row: &Row) -> Vec<Value> {
    vec![
        row.name(),
        row.text(&["spec", "attacher"]).into(),
        row.text(&["spec", "source", "persistentVolumeName"]).into(),
        row.text(&["spec", "nodeName"]).into(),
        row.at(&["status", "attached"]).as_bool().unwrap_or(false).into(),
        row.age(),
    ]
}

pub(super) fn csi_node(row: &Row) -> Vec<Value> {
    vec![row.name(), row.count(&["spec", "drivers"]).into(), row.age()]
}

pub(super) fn csi_driver(row: &Row) -> Vec<Value> {
    let flag = |field, default| Value::from(row.at(&["spec", field]).as_bool().unwrap_or(default));
    let tokens = row.at(&["spec", "tokenRequests"]);
    let audiences = joined(row.list(&["spec", "tokenRequests"]).iter().map(|token| text(token, &["audience"])), ",");
    let modes = joined(row.list(&["spec", "volumeLifecycleModes"]).iter().filter_map(Value::as_str), ",");
    vec![
        row.name(),
        flag("attachRequired", true),
        flag("podInfoOnMount", false),
        flag("storageCapacity", false),
        if tokens.is_null() { "<unset>".into() } else { audiences.into() },
        flag("requiresRepublish", false),
        or(&modes, "<none>").into(),
        row.age(),
    ]
}
