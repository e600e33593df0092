//! Pods (k8s.io/kubernetes `pkg/registry/core/pod/strategy.go`, `pkg/apis/core/validation`).

pub mod affinity_rules;
pub mod annotations;
pub mod container_rules;
pub mod dropped;
pub mod env_rules;
pub mod level_rules;
pub mod mount_rules;
pub mod path_rules;
pub mod path_warnings;
pub mod projected_rules;
pub mod qos;
pub mod security_rules;
pub mod spec;
pub mod status;
pub mod sysctl_rules;
pub mod tolerations;
pub mod update;
pub mod validation;
pub mod volume_rules;
pub mod warnings;
pub mod windows_rules;

use super::fill::made;
use super::read::{list, part, text};
use crate::registry::strategy::Strategy;
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

pub struct Pod;

impl Strategy for Pod {
    fn default(&self, object: &mut Object) {
        if let Some(spec) = made(object.as_map_mut(), "spec") {
            spec::default(spec);
            spec::default_pod(spec);
        }
        let address = object.at(&["status", "podIP"]).cloned().filter(|address| *address != "");
        if let Some(address) = address
            && object.at(&["status", "podIPs"]).and_then(Value::as_array).is_none_or(Vec::is_empty)
        {
            object.set_at(&["status", "podIPs"], json!([{ "ip": address }]));
        }
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Object) {
        if let Some(spec) = object.as_map_mut().get_mut("spec") {
            dropped::from_pod(spec);
        }
        let class = qos::class(object);
        object.set_at(&["status"], json!({"phase": "Pending", "qosClass": class}));
    }

    fn prepare_update(&self, new: &mut Object, old: &Object) {
        // The binding, and what admission decided, cannot be unmade by leaving it out.
        if let Some(status) = old.as_map().get("status") {
            new.as_map_mut().insert("status".into(), status.clone());
        }
        if let Some(spec) = new.as_map_mut().get_mut("spec") {
            dropped::from_pod(spec);
        }
    }

    fn prepare_status_update(&self, new: &mut Object, old: &Object) {
        // The class is fixed at creation; a kubelet that does not send it does not take it away.
        if let Some(class) = old.at(&["status", "qosClass"]) {
            new.set_at(&["status", "qosClass"], class.clone());
        }
        let observed = |o: &Object| o.at(&["status", "observedGeneration"]).and_then(Value::as_i64).unwrap_or(0);
        if observed(new) == 0 && observed(old) != 0 {
            new.set_at(&["status", "observedGeneration"], observed(old).into());
        }
        status::keep_what_clients_do_not_know(new, old);
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let mut errors = validation::real(object.as_map());
        let spec = part(object.as_map(), "spec");
        let path = Path::new("spec");
        if !list(spec, "ephemeralContainers").is_empty() {
            errors.push(FieldError::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
        }
        if !text(spec, "nodeName").is_empty() && !list(spec, "schedulingGates").is_empty() {
            let why = "cannot be set until all schedulingGates have been cleared";
            errors.push(FieldError::forbidden(&path.child("nodeName"), why));
        }
        errors
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        update::update(new, old)
    }

    fn validate_status_update(&self, new: &Object, old: &Object) -> ErrorList {
        status::check(new, old)
    }

    fn validate_subresource_update(&self, subresource: &str, new: &Object, old: &Object) -> ErrorList {
        match subresource {
            "ephemeralcontainers" if is_mirror(old) => whole("static pods do not support ephemeral containers"),
            "ephemeralcontainers" => ephemeral_containers(new, old),
            "resize" if is_mirror(old) => whole("static pods cannot be resized"),
            "resize" => resize(new, old),
            _ => ErrorList::new(),
        }
    }

    fn grace_period(&self, object: &Object, asked: Option<i64>) -> Option<i64> {
        let phase = object.at(&["status", "phase"]).and_then(Value::as_str).unwrap_or_default();
        let bound = object.at(&["spec", "nodeName"]).and_then(Value::as_str).is_some_and(|n| !n.is_empty());
        if !bound || matches!(phase, "Succeeded" | "Failed") {
            return Some(0);
        }
        let own = object.at(&["spec", "terminationGracePeriodSeconds"]).and_then(Value::as_i64).unwrap_or(0);
        let grace = asked.unwrap_or(own);
        Some(if grace < 0 { 1 } else { grace })
    }

    fn selectable_fields(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("spec.nodeName", "spec.nodeName"),
            ("spec.restartPolicy", "spec.restartPolicy"),
            ("spec.schedulerName", "spec.schedulerName"),
            ("spec.serviceAccountName", "spec.serviceAccountName"),
            ("spec.hostNetwork", "spec.hostNetwork"),
            ("status.phase", "status.phase"),
            ("status.podIP", "status.podIP"),
            ("status.nominatedNodeName", "status.nominatedNodeName"),
        ]
    }
}

/// Whether a kubelet only shows what it runs from a file.
fn is_mirror(pod: &Object) -> bool {
    pod.annotation("kubernetes.io/config.mirror").is_some()
}

/// A refusal of the whole, whose path upstream prints like this.
fn whole(why: &str) -> ErrorList {
    vec![FieldError::forbidden(&Path::new("[]"), why)]
}

/// Ephemeral containers are only ever added.
fn ephemeral_containers(new: &Object, old: &Object) -> ErrorList {
    let path = Path::new("spec").child("ephemeralContainers");
    let list =
        |o: &Object| o.at(&["spec", "ephemeralContainers"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut errors = validation::real(new.as_map());
    let (new, old) = (list(new), list(old));
    for before in &old {
        let name = before["name"].as_str().unwrap_or_default();
        match new.iter().find(|c| c["name"] == before["name"]) {
            None => errors.push(FieldError::forbidden(
                &path,
                format!("existing ephemeral containers {name:?} may not be removed\n"),
            )),
            Some(after) if after != before => errors.push(FieldError::forbidden(
                &path,
                format!("existing ephemeral containers {name:?} may not be changed\n"),
            )),
            Some(_) => {}
        }
    }
    errors
}

/// A resize changes resources and keeps the quality-of-service class.
fn resize(new: &Object, old: &Object) -> ErrorList {
    let mut errors = validation::real(new.as_map());
    if qos::class(new) != qos::class(old) {
        let why = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(&Path::new("spec"), qos::class(old), why));
    }
    errors
}
