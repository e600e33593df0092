//! Claims of persistent volumes (k8s.io/kubernetes `pkg/apis/core/validation`, `pkg/api/persistentvolumeclaim`).

use crate::registry::kinds::read::{list, quantity, subdomain, text, wrong};
use crate::registry::kinds::rules::{self, Check, Rule};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_dns1123_subdomain, name_is_dns_label};
use serde_json::{Map, Value, json};

const RULES: &[Rule] = &[
    ("accessModes", Check::Needed("at least 1 access mode is required")),
    ("selector", Check::Selector),
    ("resources", Check::By(requested)),
    ("storageClassName", Check::Text(subdomain)),
    ("volumeMode", Check::Given(&["Block", "Filesystem"])),
    ("dataSource", Check::By(data_source)),
    ("dataSourceRef", Check::By(data_source)),
    ("volumeAttributesClassName", Check::Text(subdomain)),
];

pub fn check(spec: &Value, path: &Path, errors: &mut ErrorList) {
    errors.extend(rules::check(spec, path, RULES));
    super::source_rules::access_modes(list(spec, "accessModes"), &path.child("accessModes"), errors);
    let (source, reference) = (&spec["dataSource"], &spec["dataSourceRef"]);
    if source.is_object() && reference.is_object() {
        let elsewhere = !text(reference, "namespace").is_empty();
        let same = ["apiGroup", "kind", "name"].iter().all(|field| text(source, field) == text(reference, field));
        let why = if elsewhere {
            "may not be specified when dataSourceRef.namespace is specified"
        } else {
            "must match dataSourceRef"
        };
        if elsewhere || !same {
            // Upstream shows the path of the one where others show a value.
            let shown = path.child("dataSource").as_str().to_owned();
            errors.push(FieldError::invalid(path, shown, why));
        }
    }
}

fn requested(resources: &Value, path: &Path, errors: &mut ErrorList) {
    let (size, at) = (&resources["requests"]["storage"], path.key("storage"));
    let zero = quantity(&json!("0"));
    if size.is_null() {
        errors.push(FieldError::required(&at, ""));
    } else if quantity(size).is_some_and(|size| zero.is_some_and(|zero| size <= zero)) {
        errors.push(FieldError::invalid(&at, size.clone(), "must be greater than zero"));
    }
}

fn data_source(source: &Value, path: &Path, errors: &mut ErrorList) {
    if !source.is_object() {
        return;
    }
    for field in ["name", "kind"] {
        if text(source, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), ""));
        }
    }
    let (group, kind) = (text(source, "apiGroup"), text(source, "kind"));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(FieldError::invalid(path, kind, why));
    }
    if !group.is_empty() {
        wrong(&path.child("apiGroup"), group, is_dns1123_subdomain(group), errors);
    }
    let namespace = text(source, "namespace");
    if !namespace.is_empty() {
        wrong(&path.child("namespace"), namespace, name_is_dns_label(namespace, false), errors);
    }
}

/// Forgets sources of kinds that claims of old could not come from, unless the newer field names one, and copies either
/// field to the other where that is missing (`EnforceDataSourceBackwardsCompatibility`, `NormalizeDataSources`).
pub fn settle_sources(spec: &mut Map<String, Value>) {
    let (source, reference) = ("dataSource", "dataSourceRef");
    // References to other namespaces are a feature that is off by default.
    if spec.get(reference).is_some_and(|reference| !text(reference, "namespace").is_empty()) {
        spec.remove(reference);
    }
    if !spec.get(reference).is_some_and(Value::is_object) {
        let known = spec.get(source).is_some_and(|source| {
            matches!(
                (text(source, "kind"), text(source, "apiGroup")),
                ("PersistentVolumeClaim", "") | ("VolumeSnapshot", "snapshot.storage.k8s.io")
            )
        });
        if !known {
            spec.remove(source);
        }
    }
    for (from, to) in [(source, reference), (reference, source)] {
        let missing = !spec.get(to).is_some_and(Value::is_object);
        if let Some(value) = spec.get(from).filter(|value| value.is_object() && missing).cloned() {
            spec.insert(to.to_owned(), value);
        }
    }
}

/// What an update must leave as it was: everything but the requested size of a bound claim, the class of its volume's
/// attributes, and the volume's name once it was unbound.
pub fn unchanged(new: &Map<String, Value>, old: &Map<String, Value>, errors: &mut ErrorList) {
    let part = |object: &Map<String, Value>, field: &str| object.get(field).cloned().unwrap_or_default();
    let (spec, status) = (part(new, "spec"), part(old, "status"));
    let (mut after, mut before) = (spec.clone(), part(old, "spec"));
    let bound = text(&status, "phase") == "Bound";
    for field in ["volumeName", "storageClassName"] {
        if text(&before, field).is_empty() && (field == "volumeName" || before[field].is_null()) {
            after.as_object_mut().and_then(|map| map.remove(field));
            before.as_object_mut().and_then(|map| map.remove(field));
        }
    }
    if bound {
        if after["resources"]["requests"].is_object() {
            after["resources"]["requests"]["storage"] = before["resources"]["requests"]["storage"].clone();
        }
        after["volumeAttributesClassName"] = before["volumeAttributesClassName"].clone();
    }
    if clean(after) != clean(before.clone()) {
        let why =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(&Path::new("spec"), why));
    }
    let size = |value: &Value| quantity(value).or_else(|| quantity(&json!("0")));
    let requested = |spec: &Value| size(&spec["resources"]["requests"]["storage"]);
    if requested(&spec) < requested(&before) && requested(&spec) <= size(&status["capacity"]["storage"]) {
        let path = Path::new("spec").child("resources").child("requests").child("storage");
        errors.push(FieldError::forbidden(&path, "field can not be less than status.capacity"));
    }
    if spec["volumeMode"] != before["volumeMode"] {
        let why = "field is immutable";
        errors.push(FieldError::invalid(&Path::new("volumeMode"), spec["volumeMode"].clone(), why));
    }
}

/// Without what is not there.
fn clean(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    map.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, clean(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;

    #[test]
    fn claims_say_what_they_need() {
        let texts = |spec: Value| told(|errors| check(&spec, &Path::new("spec"), errors));
        let good = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        assert!(texts(good).is_empty());
        assert_eq!(
            texts(json!({"dataSource": {"kind": "X", "name": "n"}})),
            [
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
                "spec.dataSource: Invalid value: \"X\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            ]
        );
    }

    #[test]
    fn sources_are_said_twice() {
        let settled = |value: Value| {
            let mut spec = value.as_object().unwrap().clone();
            settle_sources(&mut spec);
            Value::Object(spec)
        };
        let claim = json!({"kind": "PersistentVolumeClaim", "name": "c"});
        let both = json!({"dataSource": claim, "dataSourceRef": claim});
        assert_eq!(settled(json!({"dataSource": claim})), both);
        assert_eq!(settled(json!({"dataSourceRef": claim})), both);
        assert_eq!(settled(json!({"dataSource": {"kind": "X", "name": "x"}})), json!({}));
    }

    #[test]
    fn only_bound_claims_grow() {
        let claim = |size: &str, phase: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}, "status": {"phase": phase}});
        let fields = |new: Value, old: Value| {
            let mut errors = ErrorList::new();
            unchanged(new.as_object().unwrap(), old.as_object().unwrap(), &mut errors);
            errors.iter().map(|error| error.field.to_string()).collect::<Vec<_>>()
        };
        assert!(fields(claim("2Gi", "Bound"), claim("1Gi", "Bound")).is_empty());
        assert_eq!(fields(claim("2Gi", "Pending"), claim("1Gi", "Pending")), ["spec"]);
        assert_eq!(
            fields(json!({"status": {"phase": "Bound"}}), claim("1Gi", "Bound")),
            ["spec", "spec.resources.requests.storage"]
        );
    }
}
