//! Volumes, claims and classes (k8s.io/kubernetes `pkg/apis/{core,storage}/v1/defaults.go`, `pkg/apis/core/validation`).

use super::fill::{absent, empty, made};
use crate::registry::strategy::Strategy;
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

pub struct Volume;

impl Strategy for Volume {
    fn default(&self, object: &mut Object) {
        if let Some(status) = made(object.as_map_mut(), "status") {
            empty(status, "phase", "Pending");
        }
        if let Some(spec) = made(object.as_map_mut(), "spec") {
            empty(spec, "persistentVolumeReclaimPolicy", "Retain");
            absent(spec, "volumeMode", "Filesystem");
            if let Some(path) = super::fill::object(spec, "hostPath") {
                absent(path, "type", "");
            }
        }
    }

    fn prepare_create(&self, object: &mut Object) {
        // The object's creation is its first transition.
        let now = object.meta_str("creationTimestamp").to_owned();
        object.set_at(&["status"], json!({"phase": "Pending", "lastPhaseTransitionTime": now}));
    }

    fn prepare_status_update(&self, new: &mut Object, old: &Object) {
        // Whoever does not say when the phase changed does not take it away.
        let when = ["status", "lastPhaseTransitionTime"];
        if let (None, Some(before)) = (new.at(&when), old.at(&when)) {
            new.set_at(&when, before.clone());
        }
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let spec = object.as_map().get("spec").unwrap_or(&Value::Null);
        super::volume_rules::persistent(spec, &Path::new("spec"), &mut errors);
        errors
    }

    fn validate_update(&self, new: &Object, _: &Object) -> ErrorList {
        self.validate_create(new)
    }
}

pub struct Claim;

impl Strategy for Claim {
    fn default(&self, object: &mut Object) {
        if let Some(status) = made(object.as_map_mut(), "status") {
            empty(status, "phase", "Pending");
        }
        if let Some(spec) = made(object.as_map_mut(), "spec") {
            absent(spec, "volumeMode", "Filesystem");
        }
    }

    fn prepare_create(&self, object: &mut Object) {
        object.set_at(&["status"], json!({"phase": "Pending"}));
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let path = Path::new("spec");
        let mut errors = ErrorList::new();
        let modes = object.at(&["spec", "accessModes"]).and_then(Value::as_array);
        if modes.is_none_or(Vec::is_empty) {
            errors.push(FieldError::required(&path.child("accessModes"), "at least 1 access mode is required"));
        }
        let modes = modes.map(Vec::as_slice).unwrap_or_default();
        super::volume_rules::access_modes(modes, &path.child("accessModes"), &mut errors);
        if object.at(&["spec", "resources", "requests", "storage"]).is_none() {
            errors.push(FieldError::required(&path.child("resources").key("storage"), ""));
        }
        errors
    }

    /// Everything but the requested size, the class once it was empty, and the volume once it was unbound, stays.
    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let spec = |o: &Object| o.as_map().get("spec").cloned().unwrap_or_default();
        let (mut after, before) = (spec(new), spec(old));
        after["resources"] = before["resources"].clone();
        for field in ["volumeName", "storageClassName"] {
            if before[field].is_null() && !after[field].is_null() {
                after.as_object_mut().and_then(|m| m.remove(field));
            }
        }
        after["volumeAttributesClassName"] = before["volumeAttributesClassName"].clone();
        let clean = |value: Value| -> Value {
            let Value::Object(map) = value else { return value };
            map.into_iter().filter(|(_, v)| !v.is_null()).collect()
        };
        if clean(after) == clean(before) {
            return ErrorList::new();
        }
        let why =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        vec![FieldError::forbidden(&Path::new("spec"), why)]
    }
}
