//! Volumes, claims and classes (k8s.io/kubernetes `pkg/apis/{core,storage}/v1/defaults.go`, `pkg/apis/core/validation`).

pub mod claim_rules;
pub mod rules;
pub mod source_rules;

use super::fill::{absent, empty, made};
use super::read::part;
use crate::registry::strategy::Strategy;
use apimachinery::Object;
use apimachinery::field::{ErrorList, Path};
use serde_json::json;

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
        let spec = part(object.as_map(), "spec");
        source_rules::persistent(spec, &Path::new("spec"), &mut errors);
        rules::check(spec, &Path::new("spec"), &mut errors);
        errors
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = self.validate_create(new);
        rules::unchanged(part(new.as_map(), "spec"), part(old.as_map(), "spec"), &mut errors);
        errors
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
        settle(object);
    }

    fn prepare_update(&self, new: &mut Object, _: &Object) {
        settle(new);
    }

    fn prepare_status_update(&self, new: &mut Object, _: &Object) {
        // Health is a feature that is off by default.
        new.remove_at(&["status", "healthStatus"]);
    }

    fn warnings(&self, new: &Object, _: Option<&Object>) -> Vec<String> {
        let size = new.text_at(&["spec", "resources", "requests", "storage"]);
        if !size.ends_with('m') {
            return Vec::new();
        }
        let why = format!("fractional byte value {size:?} is invalid, must be an integer");
        vec![format!("spec.resources.requests[storage]: {why}")]
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        claim_rules::check(part(object.as_map(), "spec"), &Path::new("spec"), &mut errors);
        errors
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = self.validate_create(new);
        claim_rules::unchanged(new.as_map(), old.as_map(), &mut errors);
        errors
    }
}

fn settle(claim: &mut Object) {
    if let Some(spec) = super::fill::object(claim.as_map_mut(), "spec") {
        claim_rules::settle_sources(spec);
    }
}
