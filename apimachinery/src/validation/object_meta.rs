//! Validation of `metadata` (k8s.io/apimachinery `pkg/api/validation/objectmeta.go` and
//! `pkg/apis/meta/v1/validation`).
//!
//! Takes a decoded object whose metadata has the right JSON types; a field of another type counts as absent, because
//! strict decoding has refused it before.

use super::name::name_is_dns_label;
use super::value::{is_label_value, is_qualified_name};
use crate::field::{ErrorList, FieldError, Path};
use crate::gvk::GroupVersion;
use serde_json::{Map, Value};

/// What is wrong with a name; the flag is true for a `generateName`, after which more characters will follow.
pub type NameFn = fn(&str, bool) -> Vec<String>;

/// All annotations of an object together, in bytes.
pub const TOTAL_ANNOTATION_SIZE_LIMIT: usize = 256 << 10;

type Meta = Map<String, Value>;

fn text<'a>(meta: &'a Meta, field: &str) -> &'a str {
    meta.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(meta: &'a Meta, field: &str) -> &'a [Value] {
    meta.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn strings<'a>(meta: &'a Meta, field: &str) -> Vec<&'a str> {
    list(meta, field).iter().filter_map(Value::as_str).collect()
}

fn pairs<'a>(meta: &'a Meta, field: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = meta.get(field).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
}

fn number(meta: &Meta, field: &str) -> i64 {
    meta.get(field).and_then(Value::as_i64).unwrap_or(0)
}

/// `meta` is the object's `metadata` on create, after a name was generated.
pub fn validate_object_meta(meta: &Meta, namespaced: bool, name_fn: NameFn, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let generate = text(meta, "generateName");
    if !generate.is_empty() {
        let field = path.child("generateName");
        errors.extend(name_fn(generate, true).into_iter().map(|e| FieldError::invalid(&field, generate, e)));
    }
    let name = text(meta, "name");
    let field = path.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(&field, "name or generateName is required"));
    } else {
        errors.extend(name_fn(name, false).into_iter().map(|e| FieldError::invalid(&field, name, e)));
    }
    let namespace = text(meta, "namespace");
    let field = path.child("namespace");
    match (namespaced, namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required(&field, "")),
        (true, false) => {
            let wrong = name_is_dns_label(namespace, false);
            errors.extend(wrong.into_iter().map(|e| FieldError::invalid(&field, namespace, e)));
        }
        (false, false) => errors.push(FieldError::forbidden(&field, "not allowed on this type")),
        (false, true) => {}
    }
    errors.extend(validate_generation(meta, path));
    errors.extend(validate_labels(meta, "labels", path));
    errors.extend(validate_annotations(meta, path));
    errors.extend(validate_owner_references(meta, path));
    errors.extend(validate_finalizers(meta, path));
    errors.extend(validate_managed_fields(meta, path));
    errors
}

/// Both are `metadata`: what the object will be, and what is stored.
pub fn validate_object_meta_update(new: &Meta, old: &Meta, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if old.get("deletionTimestamp").is_some_and(|t| !t.is_null()) {
        let before = strings(old, "finalizers");
        let mut added: Vec<&str> = strings(new, "finalizers").into_iter().filter(|f| !before.contains(f)).collect();
        added.sort_unstable();
        added.dedup();
        if !added.is_empty() {
            let quoted: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                quoted.join(", ")
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), detail));
        }
    }
    if text(new, "resourceVersion").is_empty() {
        errors.push(FieldError::invalid(&path.child("resourceVersion"), "", "must be specified for an update"));
    }
    errors.extend(validate_generation(new, path));
    let generation = number(new, "generation");
    if generation < number(old, "generation") {
        errors.push(FieldError::invalid(&path.child("generation"), generation, "must not be decremented"));
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let value = |meta: &Meta| meta.get(field).filter(|v| !v.is_null() && v.as_str() != Some("")).cloned();
        let (now, before) = (value(new), value(old));
        if now != before {
            let empty = if matches!(field, "name" | "namespace" | "uid") { Value::from("") } else { Value::Null };
            errors.push(FieldError::invalid(&path.child(field), now.unwrap_or(empty), "field is immutable"));
        }
    }
    errors.extend(validate_labels(new, "labels", path));
    errors.extend(validate_annotations(new, path));
    errors.extend(validate_owner_references(new, path));
    errors.extend(validate_managed_fields(new, path));
    errors
}

fn validate_generation(meta: &Meta, path: &Path) -> Option<FieldError> {
    let generation = number(meta, "generation");
    let negative = generation < 0;
    negative.then(|| FieldError::invalid(&path.child("generation"), generation, "must be greater than or equal to 0"))
}

/// Label maps anywhere: `holder[field]` at `path.field`.
pub fn validate_labels(holder: &Meta, field: &str, path: &Path) -> ErrorList {
    let path = path.child(field);
    let mut errors = ErrorList::new();
    for (key, value) in pairs(holder, field) {
        errors.extend(is_qualified_name(key).into_iter().map(|e| FieldError::invalid(&path, key, e)));
        errors.extend(is_label_value(value).into_iter().map(|e| FieldError::invalid(&path, value, e)));
    }
    errors
}

/// `holder.annotations`: keys are qualified names of any case, and the total size is limited.
pub fn validate_annotations(holder: &Meta, path: &Path) -> ErrorList {
    let path = path.child("annotations");
    let mut errors = ErrorList::new();
    let mut size = 0;
    for (key, value) in pairs(holder, "annotations") {
        size += key.len() + value.len();
        let wrong = is_qualified_name(&key.to_lowercase());
        errors.extend(wrong.into_iter().map(|e| FieldError::invalid(&path, key, e)));
    }
    if size > TOTAL_ANNOTATION_SIZE_LIMIT {
        errors.push(FieldError::too_long(&path, TOTAL_ANNOTATION_SIZE_LIMIT));
    }
    errors
}

fn validate_owner_references(meta: &Meta, path: &Path) -> ErrorList {
    let path = path.child("ownerReferences");
    let mut errors = ErrorList::new();
    let mut controller: Option<String> = None;
    for (index, reference) in list(meta, "ownerReferences").iter().enumerate() {
        let path_of_one = path.index(index);
        let part = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or_default();
        let api_version = part("apiVersion");
        let version = GroupVersion::parse(api_version);
        if api_version.is_empty() {
            errors.push(FieldError::required(&path_of_one.child("apiVersion"), "must not be empty"));
        } else if version.is_none() {
            let detail = "must be <group>/<version> or <version>";
            errors.push(FieldError::invalid(&path_of_one.child("apiVersion"), api_version, detail));
        }
        for field in ["kind", "name", "uid"] {
            if part(field).is_empty() {
                errors.push(FieldError::required(&path_of_one.child(field), "must not be empty"));
            }
        }
        if api_version == "v1" && part("kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(&path_of_one, reference.clone(), detail));
        }
        if reference.get("controller") == Some(&Value::Bool(true)) {
            let current = format!("{}/{}", part("kind"), part("name"));
            if let Some(first) = &controller {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {current}"
                );
                let all = Value::from(list(meta, "ownerReferences").to_vec());
                errors.push(FieldError::invalid(&path, all, detail));
            } else {
                controller = Some(current);
            }
        }
    }
    errors
}

fn validate_finalizers(meta: &Meta, path: &Path) -> ErrorList {
    let path = path.child("finalizers");
    let finalizers = strings(meta, "finalizers");
    let mut errors = ErrorList::new();
    for finalizer in &finalizers {
        errors.extend(is_qualified_name(finalizer).into_iter().map(|e| FieldError::invalid(&path, *finalizer, e)));
    }
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        let detail = "finalizer foregroundDeletion and orphan cannot be both set";
        errors.push(FieldError::invalid(&path, finalizers, detail));
    }
    errors
}

/// A `fieldManager`: at most 128 bytes, all printable.
pub fn validate_field_manager(manager: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if manager.len() > 128 {
        errors.push(FieldError::too_long(path, 128));
    }
    for (position, c) in manager.char_indices() {
        if c.is_control() || (c.is_whitespace() && c != ' ') || ('\u{e000}'..='\u{f8ff}').contains(&c) {
            let detail = format!("invalid character U+{:04X} (at position {position})", u32::from(c));
            errors.push(FieldError::invalid(path, manager, detail));
        }
    }
    errors
}

fn validate_managed_fields(meta: &Meta, path: &Path) -> ErrorList {
    let path = path.child("managedFields");
    let mut errors = ErrorList::new();
    for (index, entry) in list(meta, "managedFields").iter().enumerate() {
        let path = path.index(index);
        let part = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
        match part("operation") {
            "" => errors.push(FieldError::required(&path.child("operation"), "must not be empty")),
            "Apply" | "Update" => {}
            other => errors.push(FieldError::not_supported(&path.child("operation"), other, &["Apply", "Update"])),
        }
        let fields_type = part("fieldsType");
        if !fields_type.is_empty() && fields_type != "FieldsV1" {
            errors.push(FieldError::invalid(&path.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
        errors.extend(validate_field_manager(part("manager"), &path.child("manager")));
        if part("subresource").len() > 256 {
            errors.push(FieldError::too_long(&path.child("subresource"), 256));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validation::name_is_dns_subdomain;
    use serde_json::json;

    fn meta(value: Value) -> Meta {
        value.as_object().cloned().unwrap()
    }

    fn create(value: Value) -> Vec<String> {
        let errors = validate_object_meta(&meta(value), true, name_is_dns_subdomain, &Path::new("metadata"));
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_and_namespaces() {
        assert_eq!(create(json!({"name": "a", "namespace": "b"})), Vec::<String>::new());
        assert_eq!(
            create(json!({"namespace": "b"})),
            ["metadata.name: Required value: name or generateName is required"]
        );
        assert_eq!(create(json!({"name": "a"})), ["metadata.namespace: Required value"]);
        let errors = validate_object_meta(
            &meta(json!({"name": "a", "namespace": "b"})),
            false,
            name_is_dns_subdomain,
            &Path::new("metadata"),
        );
        assert_eq!(errors[0].to_string(), "metadata.namespace: Forbidden: not allowed on this type");
    }

    #[test]
    fn owner_references() {
        let one = |kind: &str| json!({"apiVersion": "v1", "kind": kind, "name": "n", "uid": "u", "controller": true});
        let with = |owners: Value| create(json!({"name": "a", "namespace": "b", "ownerReferences": owners}));
        assert!(with(json!([one("Pod")])).is_empty());
        assert!(with(json!([one("Event")]))[0].ends_with("/v1, Kind=Event is disallowed from being an owner"));
        assert!(with(json!([one("Pod"), one("Job")]))[0].ends_with("references for Pod/n and Job/n"));
        assert_eq!(
            with(json!([{"apiVersion": "a/b/c"}])),
            [
                "metadata.ownerReferences[0].apiVersion: Invalid value: \"a/b/c\": must be <group>/<version> or <version>",
                "metadata.ownerReferences[0].kind: Required value: must not be empty",
                "metadata.ownerReferences[0].name: Required value: must not be empty",
                "metadata.ownerReferences[0].uid: Required value: must not be empty",
            ]
        );
    }

    #[test]
    fn labels_annotations_finalizers_and_managed_fields() {
        let with = |field: &str, value: Value| create(json!({"name": "a", "namespace": "b", field: value}));
        assert_eq!(with("labels", json!({"a/b/c": "x", "y": "-"})).len(), 2);
        assert!(with("annotations", json!({"Example.COM/Key": "x"})).is_empty());
        assert_eq!(
            with("annotations", json!({"a": "x".repeat(TOTAL_ANNOTATION_SIZE_LIMIT)})),
            ["metadata.annotations: Too long: may not be more than 262144 bytes"]
        );
        assert!(with("finalizers", json!(["orphan"])).is_empty());
        assert_eq!(with("finalizers", json!(["orphan", "foregroundDeletion"])).len(), 1);
        assert_eq!(
            with("managedFields", json!([{"operation": "Foo", "fieldsType": "V2", "manager": "a\tb"}])),
            [
                "metadata.managedFields[0].operation: Unsupported value: \"Foo\": supported values: \"Apply\", \"Update\"",
                "metadata.managedFields[0].fieldsType: Invalid value: \"V2\": must be `FieldsV1`",
                "metadata.managedFields[0].manager: Invalid value: \"a\\tb\": invalid character U+0009 (at position 1)",
            ]
        );
    }

    #[test]
    fn updates_keep_identity() {
        let old = meta(json!({"name": "a", "uid": "1", "generation": 2, "deletionTimestamp": "2020-01-01T00:00:00Z"}));
        let new = meta(json!({"name": "b", "uid": "1", "generation": 1, "deletionTimestamp": "2020-01-01T00:00:00Z",
            "finalizers": ["x/y"], "resourceVersion": ""}));
        let texts: Vec<String> =
            validate_object_meta_update(&new, &old, &Path::new("metadata")).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x/y\"}",
                "metadata.resourceVersion: Invalid value: \"\": must be specified for an update",
                "metadata.generation: Invalid value: 1: must not be decremented",
                "metadata.name: Invalid value: \"b\": field is immutable",
            ]
        );
    }
}
