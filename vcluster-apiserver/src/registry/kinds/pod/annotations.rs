//! Annotations that say something about a pod, and must not contradict its spec (k8s.io/kubernetes
//! `pkg/apis/core/validation`, `ValidatePodSpecificAnnotations`).

use super::path_rules::descending;
use crate::registry::kinds::read::{list, text};
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::Value;

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Annotations at `path` of the spec at `at`.
pub fn check(metadata: &Value, spec: &Value, path: &Path, at: &Path, errors: &mut ErrorList) {
    let Some(annotations) = metadata["annotations"].as_object() else { return };
    for (key, value) in annotations {
        let value = value.as_str().unwrap_or_default();
        if key == MIRROR && text(spec, "nodeName").is_empty() {
            let why = "must set spec.nodeName if mirror pod annotation is set";
            errors.push(FieldError::invalid(&path.key(key), value, why));
        }
        if key == DELETION_COST && !is_cost(value) {
            errors.push(FieldError::invalid(&path.key(key), value, "must be a 32bit integer"));
        }
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            seccomp(value, &path.child(key), errors);
        }
        if let Some(name) = key.strip_prefix(APP_ARMOR) {
            let known = containers(spec).any(|(_, _, container)| text(container, "name") == name);
            if !known {
                errors.push(FieldError::invalid(&path.key(key), name, "container not found"));
            }
            if !matches!(value, "" | "runtime/default" | "unconfined") && !value.starts_with("localhost/") {
                let why = format!("invalid AppArmor profile name: {value:?}");
                errors.push(FieldError::invalid(&path.key(key), value, why));
            }
        }
    }
    agree(metadata, spec, at, errors);
}

/// Without a plus, and without zeros at the start.
fn is_cost(value: &str) -> bool {
    let first = value.bytes().next().is_some_and(|b| b == b'-' || b.is_ascii_digit() && b != b'0') || value == "0";
    first && value.parse::<i32>().is_ok()
}

fn seccomp(profile: &str, path: &Path, errors: &mut ErrorList) {
    if let Some(file) = profile.strip_prefix("localhost/") {
        descending(file, path, errors);
    } else if !["runtime/default", "docker/default", "unconfined"].contains(&profile) {
        errors.push(FieldError::invalid(path, profile, "must be a valid seccomp profile"));
    }
}

fn containers(spec: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    let groups = ["initContainers", "containers", "ephemeralContainers"].into_iter();
    groups.flat_map(move |group| list(spec, group).iter().enumerate().map(move |(index, c)| (group, index, c)))
}

/// Profiles that stand both in annotations and in the spec are the same.
fn agree(metadata: &Value, spec: &Value, path: &Path, errors: &mut ErrorList) {
    let annotation = |key: &str| metadata["annotations"][key].as_str();
    let context = path.child("securityContext");
    if let Some(value) = annotation(SECCOMP_POD) {
        let profile = &spec["securityContext"]["seccompProfile"];
        same("seccomp", profile, value, &context.child("seccompProfile"), errors);
    }
    for (group, index, container) in containers(spec) {
        let at = path.child(group).index(index).child("securityContext");
        let (own, name) = (&container["securityContext"], text(container, "name"));
        if let Some(value) = annotation(&format!("{SECCOMP_CONTAINER}{name}")) {
            same("seccomp", &own["seccompProfile"], value, &at.child("seccompProfile"), errors);
        }
        let whole = &spec["securityContext"]["appArmorProfile"];
        let profile = if own["appArmorProfile"].is_object() { &own["appArmorProfile"] } else { whole };
        if let Some(value) = annotation(&format!("{APP_ARMOR}{name}")).filter(|_| spec["os"]["name"] != "windows") {
            same("apparmor", profile, value, &at.child("appArmorProfile"), errors);
        }
    }
}

fn same(what: &str, profile: &Value, annotation: &str, path: &Path, errors: &mut ErrorList) {
    let fits = match text(profile, "type") {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => annotation == "runtime/default" || what == "seccomp" && annotation == "docker/default",
        "Localhost" => match annotation.strip_prefix("localhost/") {
            Some(file) if profile["localhostProfile"].as_str() == Some(file) => true,
            Some(_) => {
                let why = format!("{what} profile in annotation and field must match");
                return errors.push(FieldError::forbidden(&path.child("localhostProfile"), why));
            }
            None => false,
        },
        _ => true,
    };
    if !fits {
        let why = format!("{what} type in annotation and field must match");
        errors.push(FieldError::forbidden(&path.child("type"), why));
    }
}

/// Annotations that never change once the pod is there.
pub fn kept(new: &Value, old: &Value, path: &Path, errors: &mut ErrorList) {
    let none = serde_json::Map::new();
    let of = |metadata: &Value| metadata["annotations"].as_object().cloned().unwrap_or_else(|| none.clone());
    let (new, old) = (of(new), of(old));
    let special = |key: &str| key == MIRROR || key.starts_with(APP_ARMOR);
    for (key, value) in old.iter().filter(|(key, _)| special(key)) {
        if new.get(key) != Some(value) {
            let what = if key == MIRROR { "mirror pod annotation" } else { "AppArmor annotations" };
            errors.push(FieldError::forbidden(&path.key(key), format!("may not remove or update {what}")));
        }
    }
    for key in new.keys().filter(|key| special(key) && !old.contains_key(*key)) {
        let what = if key == MIRROR { "mirror pod annotation" } else { "AppArmor annotations" };
        errors.push(FieldError::forbidden(&path.key(key), format!("may not add {what}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_annotations_may_say() {
        let cases = [
            (DELETION_COST, "10", 0),
            (DELETION_COST, "+10", 1),
            (DELETION_COST, "08", 1),
            (MIRROR, "x", 1),
            (SECCOMP_POD, "localhost/../x", 1),
            (SECCOMP_POD, "unconfined", 1),
            (SECCOMP_POD, "runtime/default", 0),
        ];
        for (key, value, count) in cases {
            let metadata = json!({"annotations": {key: value}});
            let spec = json!({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}});
            let mut errors = ErrorList::new();
            check(&metadata, &spec, &Path::new("a"), &Path::new("spec"), &mut errors);
            let expected = if value == "localhost/../x" { 2 } else { count };
            assert_eq!(errors.len(), expected, "{key}={value}: {errors:?}");
        }
    }
}
