//! The schemas of custom resources: what upstream supports of OpenAPI, and what makes a schema structural
//! (k8s.io/apiextensions-apiserver `pkg/apis/apiextensions/validation`, `pkg/apiserver/schema/validation.go`).

use crate::registry::kinds::read::{list, text};
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::Value;

/// Where a schema stands.
#[derive(Clone, Copy)]
enum Level {
    Root,
    Item,
    Field,
}

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// What upstream knows and does not take.
const UNSUPPORTED: [&str; 6] = ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];
const MAP_TYPE: &str = "x-kubernetes-map-type";
const LIST_TYPE: &str = "x-kubernetes-list-type";

/// The schema of one version.
pub fn check(schema: &Value, path: &Path, errors: &mut ErrorList) {
    supported(schema, path, errors);
    if any(schema, &|schema| !text(schema, "$schema").is_empty()) {
        errors.push(FieldError::invalid(path, "", "OpenAPIV3Schema 'schema' is not supported"));
    }
    structural(schema, Level::Root, path, errors);
}

/// The schemas within a schema, and where they stand.
fn inner<'a>(schema: &'a Value, path: &Path) -> Vec<(&'a Value, Path)> {
    let mut all = Vec::new();
    for (field, below) in [("properties", true), ("not", false), ("additionalProperties", false), ("items", false)] {
        let (value, at) = (&schema[field], path.child(field));
        if below {
            all.extend(value.as_object().into_iter().flatten().map(|(name, value)| (value, at.key(name))));
        } else if value.is_object() {
            all.push((value, at));
        }
    }
    for field in ["allOf", "oneOf", "anyOf"] {
        let at = path.child(field);
        all.extend(list(schema, field).iter().enumerate().map(|(index, value)| (value, at.index(index))));
    }
    all
}

fn any(schema: &Value, is: &dyn Fn(&Value) -> bool) -> bool {
    is(schema) || inner(schema, &Path::root()).iter().any(|(schema, _)| any(schema, is))
}

fn supported(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let kind = text(schema, "type");
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, &TYPES));
    }
    for field in UNSUPPORTED {
        let value = &schema[field];
        let empty = value.is_null() || value == "" || value.as_object().is_some_and(serde_json::Map::is_empty);
        if !empty {
            errors.push(FieldError::forbidden(&path.child(field), format!("{field} is not supported")));
        }
    }
    if schema["uniqueItems"] == true {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&path.child("uniqueItems"), why));
    }
    let properties = schema["properties"].as_object().is_some_and(|map| !map.is_empty());
    if properties && !matches!(schema["additionalProperties"], Value::Null | Value::Bool(true)) {
        let why = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), why));
    }
    for (field, of, known) in
        [(MAP_TYPE, "object", &["atomic", "granular"][..]), (LIST_TYPE, "array", &["atomic", "set", "map"][..])]
    {
        let Some(value) = schema[field].as_str() else { continue };
        let why = format!("must be {of} if {field} is specified");
        if kind.is_empty() {
            errors.push(FieldError::required(&path.child("type"), why));
        } else if kind != of {
            errors.push(FieldError::invalid(&path.child("type"), kind, why));
        }
        if !known.contains(&value) {
            errors.push(FieldError::not_supported(&path.child(field), value, known));
        }
    }
    for (schema, at) in inner(schema, path) {
        supported(schema, &at, errors);
    }
}

fn structural(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    let kind = text(schema, "type");
    let open = schema["x-kubernetes-int-or-string"] == true || schema["x-kubernetes-preserve-unknown-fields"] == true;
    if kind.is_empty() && !open {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(&path.child("type"), why));
    }
    if let (Level::Root, false) = (level, kind.is_empty() || kind == "object") {
        errors.push(FieldError::invalid(&path.child("type"), kind, "must be object at the root"));
    }
    if kind == "array" && !schema["items"].is_object() {
        errors.push(FieldError::required(&path.child("items"), "must be specified"));
    }
    if let (Level::Root, false) = (level, schema["additionalProperties"].is_null()) {
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), "must not be used at the root"));
    }
    if schema["items"].is_object() {
        structural(&schema["items"], Level::Item, &path.child("items"), errors);
    }
    if schema["additionalProperties"].is_object() {
        structural(&schema["additionalProperties"], Level::Field, &path.child("additionalProperties"), errors);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        structural(property, Level::Field, &path.child("properties").key(name), errors);
    }
    if !open {
        alternatives(schema, path, errors);
    }
}

/// What stands under `not` and its like says something about values, never what a field is.
fn alternatives(schema: &Value, path: &Path, errors: &mut ErrorList) {
    for field in ["allOf", "oneOf", "anyOf"] {
        for (index, value) in list(schema, field).iter().enumerate() {
            value_only(value, &path.child(field).index(index), errors);
        }
    }
    if schema["not"].is_object() {
        value_only(&schema["not"], &path.child("not"), errors);
    }
}

fn value_only(schema: &Value, path: &Path, errors: &mut ErrorList) {
    const EMPTY: &str = "must be empty to be structural";
    const UNDEFINED: &str = "must be undefined to be structural";
    const FALSE: &str = "must be false to be structural";
    const FORBIDDEN: [(&str, &str); 13] = [
        ("type", EMPTY),
        ("additionalProperties", UNDEFINED),
        ("default", UNDEFINED),
        ("title", EMPTY),
        ("description", EMPTY),
        ("nullable", FALSE),
        ("x-kubernetes-preserve-unknown-fields", FALSE),
        ("x-kubernetes-embedded-resource", FALSE),
        ("x-kubernetes-int-or-string", FALSE),
        ("x-kubernetes-list-map-keys", EMPTY),
        (LIST_TYPE, UNDEFINED),
        (MAP_TYPE, UNDEFINED),
        ("x-kubernetes-validations", EMPTY),
    ];
    for (field, why) in FORBIDDEN {
        let value = &schema[field];
        let unset = match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty() && why == EMPTY,
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        if !unset {
            errors.push(FieldError::forbidden(&path.child(field), why));
        }
    }
    alternatives(schema, path, errors);
    if schema["items"].is_object() {
        value_only(&schema["items"], &path.child("items"), errors);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let at = path.child("properties").key(name);
        if name == "metadata" {
            errors.push(FieldError::forbidden(&at, "must not be specified in a nested context"));
        }
        value_only(property, &at, errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;
    use serde_json::json;

    #[test]
    fn schemas_are_structural() {
        let texts = |schema: Value| told(|errors| check(&schema, &Path::new("s"), errors));
        let good = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "list": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "map": {"type": "object", "additionalProperties": {"type": "string"}}}}}});
        assert!(texts(good).is_empty());
        assert_eq!(
            texts(json!({"properties": {"a": {}}, "not": {"title": "x", "$ref": "y", "uniqueItems": true}})),
            [
                "s.not.$ref: Forbidden: $ref is not supported",
                "s.not.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
                "s.type: Required value: must not be empty at the root",
                "s.properties[a].type: Required value: must not be empty for specified object fields",
                "s.not.title: Forbidden: must be empty to be structural",
            ]
        );
        assert_eq!(
            texts(json!({"type": "object", "x-kubernetes-map-type": "some"})),
            ["s.x-kubernetes-map-type: Unsupported value: \"some\": supported values: \"atomic\", \"granular\""]
        );
    }
}
