//! Where a container sees the pod's volumes (k8s.io/kubernetes `pkg/apis/core/validation`, `ValidateVolumeMounts`).

use super::path_rules::descending;
use crate::registry::kinds::read::{list, text};
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::Value;
use std::collections::BTreeSet;

/// The volume of that name. Of several the last one counts.
fn volume<'a>(volumes: &[&'a Value], name: &str) -> Option<&'a Value> {
    volumes.iter().rfind(|volume| text(volume, "name") == name).copied()
}

/// Mounts and devices of a container.
pub fn check(container: &Value, volumes: &[&Value], path: &Path, errors: &mut ErrorList) {
    mounts(container, volumes, &path.child("volumeMounts"), errors);
    devices(container, volumes, &path.child("volumeDevices"), errors);
}

fn mounts(container: &Value, volumes: &[&Value], path: &Path, errors: &mut ErrorList) {
    let devices = list(container, "volumeDevices");
    let mut points = BTreeSet::new();
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let at = path.index(index);
        let (name, point) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        }
        if volume(volumes, name).is_none() {
            errors.push(FieldError::not_found(&at.child("name"), name));
        }
        if point.is_empty() {
            errors.push(FieldError::required(&at.child("mountPath"), ""));
        }
        if !points.insert(point) {
            errors.push(FieldError::invalid(&at.child("mountPath"), point, "must be unique"));
        }
        if devices.iter().any(|device| text(device, "name") == name) {
            errors.push(FieldError::invalid(&at.child("name"), name, "must not already exist in volumeDevices"));
        }
        if devices.iter().any(|device| text(device, "devicePath") == point) {
            let why = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(&at.child("mountPath"), point, why));
        }
        // Upstream names the places of the next four without the index.
        for field in ["subPath", "subPathExpr"] {
            descending(text(mount, field), &path.child(field), errors);
        }
        let expression = text(mount, "subPathExpr");
        if !expression.is_empty() && !text(mount, "subPath").is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(&at.child("subPathExpr"), expression, why));
        }
        propagation(mount, container, &path.child("mountPropagation"), errors);
        read_only(mount, &path.child("recursiveReadOnly"), errors);
    }
}

fn propagation(mount: &Value, container: &Value, path: &Path, errors: &mut ErrorList) {
    crate::registry::kinds::read::one_of(
        path,
        &mount["mountPropagation"],
        &["Bidirectional", "HostToContainer", "None"],
        errors,
    );
    if mount["mountPropagation"] == "Bidirectional" && container["securityContext"]["privileged"] != true {
        let why = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(path, why));
    }
}

fn read_only(mount: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(recursive) = mount["recursiveReadOnly"].as_str() else { return };
    crate::registry::kinds::read::one_of(
        path,
        &mount["recursiveReadOnly"],
        &["Disabled", "Enabled", "IfPossible"],
        errors,
    );
    if matches!(recursive, "Enabled" | "IfPossible") {
        if mount["readOnly"] != true {
            errors.push(FieldError::forbidden(path, "may only be specified when readOnly is true"));
        }
        if mount["mountPropagation"].as_str().is_some_and(|mode| mode != "None") {
            let why = "may only be specified when mountPropagation is None or not specified";
            errors.push(FieldError::forbidden(path, why));
        }
    }
}

fn devices(container: &Value, volumes: &[&Value], path: &Path, errors: &mut ErrorList) {
    let mounts = list(container, "volumeMounts");
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (index, device) in list(container, "volumeDevices").iter().enumerate() {
        let at = path.index(index);
        let (name, target) = (text(device, "name"), text(device, "devicePath"));
        let (name_at, path_at) = (at.child("name"), at.child("devicePath"));
        if name.is_empty() {
            errors.push(FieldError::required(&name_at, ""));
        }
        if names.contains(name) {
            errors.push(FieldError::invalid(&name_at, name, "must be unique"));
        }
        match volume(volumes, name) {
            None => errors.push(FieldError::not_found(&name_at, name)),
            Some(volume) if !volume["persistentVolumeClaim"].is_object() && !volume["ephemeral"].is_object() => {
                let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(FieldError::invalid(&name_at, name, why));
            }
            Some(_) => {}
        }
        if target.is_empty() {
            errors.push(FieldError::required(&path_at, ""));
        }
        if paths.contains(target) {
            errors.push(FieldError::invalid(&path_at, target, "must be unique"));
        }
        if target.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid(&path_at, target, "can not contain backsteps ('..')"));
        } else {
            paths.insert(target);
        }
        if mounts.iter().any(|mount| text(mount, "name") == name) {
            errors.push(FieldError::invalid(&name_at, name, "must not already exist in volumeMounts"));
        }
        if mounts.iter().any(|mount| text(mount, "mountPath") == target) {
            let why = "must not already exist as a path in volumeMounts";
            errors.push(FieldError::invalid(&path_at, target, why));
        }
        if !name.is_empty() {
            names.insert(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;
    use serde_json::json;

    #[test]
    fn mounts_and_devices() {
        let volume = json!({"name": "v", "emptyDir": {}});
        let texts = |container: Value| told(|errors| check(&container, &[&volume], &Path::new("c"), errors));
        let mount = |more: Value| {
            let mut mount = json!({"name": "v", "mountPath": "/v"});
            mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"volumeMounts": [mount]})
        };
        assert!(texts(mount(json!({}))).is_empty());
        assert_eq!(texts(mount(json!({"name": "x"}))), ["c.volumeMounts[0].name: Not found: \"x\""]);
        assert_eq!(
            texts(mount(json!({"subPath": "../a"}))),
            ["c.volumeMounts.subPath: Invalid value: \"../a\": must not contain '..'"]
        );
        assert_eq!(
            texts(mount(json!({"recursiveReadOnly": "Enabled"}))),
            ["c.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true"]
        );
        assert_eq!(
            texts(json!({"volumeDevices": [{"name": "v", "devicePath": "/d"}]})),
            [
                "c.volumeDevices[0].name: Invalid value: \"v\": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            ]
        );
    }
}
