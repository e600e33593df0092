//! What a pod's spec must be, and what of it may change (k8s.io/kubernetes `pkg/apis/core/validation`).

use super::read::{list, text};
use super::{container_rules, tolerations as toleration_rules, volume_rules};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_config_map_key, is_dns1123_label, is_relaxed_env_var_name};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Rules that hold for pods and templates.
pub fn spec(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut volumes = BTreeSet::new();
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let at = path.child("volumes").index(index);
        let name = text(volume, "name");
        named(name, &at.child("name"), &mut errors);
        if !volumes.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        volume_rules::of_pod(volume, &at, &mut errors);
        volume_rules::mode(volume, &at, &mut errors);
    }
    if list(spec, "containers").is_empty() {
        errors.push(FieldError::required(&path.child("containers"), ""));
    }
    let mut names = BTreeSet::new();
    for field in ["containers", "initContainers"] {
        for (index, container) in list(spec, field).iter().enumerate() {
            let at = path.child(field).index(index);
            self::container(container, &volumes, &at, &mut errors);
            let name = text(container, "name");
            if !name.is_empty() && !names.insert(name) {
                errors.push(FieldError::duplicate(&at.child("name"), name));
            }
        }
    }
    one_of(spec, "restartPolicy", &["Always", "OnFailure", "Never"], path, &mut errors);
    one_of(spec, "dnsPolicy", &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"], path, &mut errors);
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|n| n < 0) {
        let value = spec["terminationGracePeriodSeconds"].clone();
        let at = path.child("terminationGracePeriodSeconds");
        errors.push(FieldError::invalid(&at, value, "must be greater than or equal to 0"));
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64().filter(|n| !(1..=i64::from(i32::MAX)).contains(n)) {
        let at = path.child("activeDeadlineSeconds");
        errors.push(FieldError::invalid(&at, seconds, "must be between 1 and 2147483647, inclusive"));
    }
    for field in ["hostname", "subdomain"] {
        let value = text(spec, field);
        if !value.is_empty() {
            let wrong = is_dns1123_label(value).into_iter();
            errors.extend(wrong.map(|why| FieldError::invalid(&path.child(field), value, why)));
        }
    }
    toleration_rules::check(list(spec, "tolerations"), &path.child("tolerations"), &mut errors);
    errors.extend(sysctls(spec, path));
    errors
}

fn one_of(spec: &Value, field: &str, allowed: &[&str], path: &Path, errors: &mut ErrorList) {
    let value = text(spec, field);
    if value.is_empty() {
        errors.push(FieldError::required(&path.child(field), ""));
    } else if !allowed.contains(&value) {
        errors.push(FieldError::not_supported(&path.child(field), value, allowed));
    }
}

fn named(name: &str, path: &Path, errors: &mut ErrorList) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else {
        errors.extend(is_dns1123_label(name).into_iter().map(|why| FieldError::invalid(path, name, why)));
    }
}

fn container(container: &Value, volumes: &BTreeSet<&str>, path: &Path, errors: &mut ErrorList) {
    named(text(container, "name"), &path.child("name"), errors);
    let image = text(container, "image");
    if image.is_empty() {
        errors.push(FieldError::required(&path.child("image"), ""));
    }
    for (index, variable) in list(container, "env").iter().enumerate() {
        let at = path.child("env").index(index);
        let name = text(variable, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        } else {
            let wrong = is_relaxed_env_var_name(name).into_iter();
            errors.extend(wrong.map(|why| FieldError::invalid(&at.child("name"), name, why)));
        }
        for source in ["configMapKeyRef", "secretKeyRef"] {
            let reference = &variable["valueFrom"][source];
            if reference.is_object() && text(reference, "key").is_empty() {
                errors.push(FieldError::required(&at.child("valueFrom").child(source).child("key"), ""));
            }
        }
    }
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let at = path.child("volumeMounts").index(index);
        let name = text(mount, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        } else if !volumes.contains(name) {
            errors.push(FieldError::not_found(&at.child("name"), name));
        }
        if text(mount, "mountPath").is_empty() {
            errors.push(FieldError::required(&at.child("mountPath"), ""));
        }
        for field in ["subPath", "subPathExpr"] {
            let value = text(mount, field);
            if value.starts_with('/') {
                errors.push(FieldError::invalid(&at.child(field), value, "must be a relative path"));
            } else if value.split('/').any(|part| part == "..") {
                errors.push(FieldError::invalid(&at.child(field), value, "must not contain '..'"));
            }
        }
    }
    container_rules::check(container, path, errors);
    resources(&container["resources"], &path.child("resources"), errors);
}

/// A request above its limit can never be granted.
fn resources(resources: &Value, path: &Path, errors: &mut ErrorList) {
    use apimachinery::quantity::Quantity;
    use std::str::FromStr as _;
    let Some(requests) = resources["requests"].as_object() else { return };
    for (name, request) in requests {
        let limit = &resources["limits"][name];
        let parse = |value: &Value| value.as_str().and_then(|text| Quantity::from_str(text).ok());
        if let (Some(wanted), Some(most)) = (parse(request), parse(limit))
            && wanted > most
        {
            let why = format!("must be less than or equal to {name} limit of {}", limit.as_str().unwrap_or_default());
            errors.push(FieldError::invalid(&path.child("requests"), request.clone(), why));
        }
    }
}

fn sysctls(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let segment = |part: &str| {
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        !part.is_empty()
            && part.bytes().all(fine)
            && part.bytes().next().is_some_and(edge)
            && part.bytes().last().is_some_and(edge)
    };
    let at = path.child("securityContext").child("sysctls");
    let mut seen = BTreeSet::new();
    for (index, sysctl) in list(&spec["securityContext"], "sysctls").iter().enumerate() {
        let name = text(sysctl, "name");
        let at = at.index(index).child("name");
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if name.len() > 253 || !name.split(['.', '/']).all(segment) {
            let why = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(FieldError::invalid(&at, name, why));
        } else if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
    errors
}

/// Data keys of ConfigMaps and Secrets.
pub fn data_keys(object: &Object, fields: &[&str]) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in fields {
        for key in object.as_map().get(*field).and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            let at = Path::new(field).key(key);
            errors.extend(is_config_map_key(key).into_iter().map(|why| FieldError::invalid(&at, key.as_str(), why)));
        }
    }
    errors
}

/// Only images, the deadline, added tolerations, a cut grace period and removed gates may change.
pub fn update(new: &Object, old: &Object) -> ErrorList {
    let spec_path = Path::new("spec");
    let (Some(after), Some(before)) = (new.as_map().get("spec"), old.as_map().get("spec")) else {
        return ErrorList::new();
    };
    if after == before {
        return ErrorList::new();
    }
    let mut errors = spec(after, &spec_path);
    let same_length = |field: &str| list(after, field).len() == list(before, field).len();
    for field in ["containers", "initContainers"] {
        if !same_length(field) {
            let why = "pod updates may not add or remove containers";
            return vec![FieldError::forbidden(&spec_path.child(field), why)];
        }
    }
    errors.extend(deadline(after, before));
    errors.extend(tolerations(after, before));
    let mut munged = after.clone();
    for field in ["containers", "initContainers"] {
        for (index, container) in list(before, field).iter().enumerate() {
            munged[field][index]["image"] = container["image"].clone();
        }
    }
    let gates = |value: &Value| list(value, "schedulingGates").to_vec();
    let fewer = gates(after).iter().all(|gate| gates(before).contains(gate));
    if !fewer {
        errors.push(FieldError::forbidden(
            &spec_path.child("schedulingGates"),
            "only deletion is allowed, but found new scheduling gate",
        ));
    }
    let mut kept = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    if before["terminationGracePeriodSeconds"].as_i64().is_some_and(|n| n < 0)
        && after["terminationGracePeriodSeconds"] == json!(1)
    {
        kept.push("terminationGracePeriodSeconds");
    }
    if !gates(before).is_empty() {
        // A gated pod has not been looked at by any scheduler: where it may go can still be narrowed.
        kept.extend(["nodeSelector", "affinity"]);
    }
    for field in kept {
        match before.get(field) {
            Some(value) => munged[field] = value.clone(),
            None => {
                munged.as_object_mut().and_then(|m| m.remove(field));
            }
        }
    }
    if munged != *before {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        errors.push(FieldError::forbidden(&spec_path, format!("{why}\n{}", difference(before, &munged))));
    }
    errors
}

/// The names of the fields that differ, one a line.
fn difference(before: &Value, after: &Value) -> String {
    let fields =
        |value: &Value| value.as_object().map(|m| m.keys().cloned().collect::<BTreeSet<_>>()).unwrap_or_default();
    let all: BTreeSet<String> = fields(before).union(&fields(after)).cloned().collect();
    let changed = all.into_iter().filter(|f| before.get(f) != after.get(f));
    changed.map(|f| format!("- {f}")).collect::<Vec<_>>().join("\n")
}

fn deadline(after: &Value, before: &Value) -> ErrorList {
    let path = Path::new("spec").child("activeDeadlineSeconds");
    match (after["activeDeadlineSeconds"].as_i64(), before["activeDeadlineSeconds"].as_i64()) {
        (None, Some(old)) => {
            vec![FieldError::invalid(&path, old, "must not update from a positive integer to nil value")]
        }
        (Some(new), Some(old)) if new > old => {
            vec![FieldError::invalid(&path, new, "must be less than or equal to previous value")]
        }
        _ => ErrorList::new(),
    }
}

fn tolerations(after: &Value, before: &Value) -> ErrorList {
    let (new, old) = (list(after, "tolerations"), list(before, "tolerations"));
    // The seconds of a toleration that is there may change; taking one away may not happen.
    let alike = |a: &Value, b: &Value| ["key", "operator", "value", "effect"].iter().all(|f| a[*f] == b[*f]);
    if old.iter().all(|was| new.iter().any(|is| alike(is, was))) {
        return ErrorList::new();
    }
    let why = "existing toleration can not be modified except its tolerationSeconds";
    vec![FieldError::forbidden(&Path::new("spec").child("tolerations"), why)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: Value) -> Object {
        Object::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    fn whole(change: impl FnOnce(&mut Value)) -> Value {
        let mut spec = json!({"containers": [{"name": "a", "image": "i:1", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}], "restartPolicy": "Always", "dnsPolicy": "Default"});
        change(&mut spec);
        spec
    }

    #[test]
    fn mistakes_and_their_paths() {
        type Case = (fn(&mut Value), &'static str);
        let cases: [Case; 6] = [
            (|s| s["containers"] = json!([]), "spec.containers: Required value"),
            (|s| s["containers"][0]["name"] = json!(""), "spec.containers[0].name: Required value"),
            (
                |s| s["containers"][0]["volumeMounts"] = json!([{"name": "x", "mountPath": "/x"}]),
                "spec.containers[0].volumeMounts[0].name: Not found: \"x\"",
            ),
            (
                |s| s["restartPolicy"] = json!("Maybe"),
                "spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ),
            (
                |s| s["volumes"] = json!([{"name": "a", "emptyDir": {}, "secret": {}}]),
                "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
            ),
            (
                |s| s["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ),
        ];
        for (change, expected) in cases {
            let errors = spec(&whole(change), &Path::new("spec"));
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        }
        assert!(spec(&whole(|_| {}), &Path::new("spec")).is_empty());
    }

    #[test]
    fn only_a_few_fields_change() {
        let old = pod(whole(|_| {}));
        assert!(update(&pod(whole(|s| s["containers"][0]["image"] = json!("i:2"))), &old).is_empty());
        assert!(update(&pod(whole(|s| s["tolerations"] = json!([{"key": "a"}]))), &old).is_empty());
        let errors = update(&pod(whole(|s| s["hostNetwork"] = json!(true))), &old);
        assert!(errors[0].to_string().contains("pod updates may not change fields other than"));
    }
}
