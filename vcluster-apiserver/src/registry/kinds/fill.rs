//! Filling in what a client left out: the shape of every `SetDefaults_*` function upstream.

use serde_json::{Map, Value};

/// Sets a field that is absent or null.
pub fn absent(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    if map.get(field).is_none_or(Value::is_null) {
        map.insert(field.to_owned(), value.into());
    }
}

/// Sets a string field that is absent, null or empty: Go's zero value of a plain string.
pub fn empty(map: &mut Map<String, Value>, field: &str, value: &str) {
    if text(map, field).is_empty() {
        map.insert(field.to_owned(), value.into());
    }
}

/// Sets a number that is absent, null or zero: Go's zero value of a plain integer.
pub fn zero(map: &mut Map<String, Value>, field: &str, value: i64) {
    if map.get(field).and_then(Value::as_i64).unwrap_or(0) == 0 {
        map.insert(field.to_owned(), value.into());
    }
}

pub fn text<'a>(map: &'a Map<String, Value>, field: &str) -> &'a str {
    map.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The object in a field, when there is one.
pub fn object<'a>(map: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Map<String, Value>> {
    map.get_mut(field).and_then(Value::as_object_mut)
}

/// The object in a field, made when absent.
pub fn made<'a>(map: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Map<String, Value>> {
    absent(map, field, Value::Object(Map::new()));
    object(map, field)
}

/// The objects in a list field.
pub fn items<'a>(map: &'a mut Map<String, Value>, field: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let list = map.get_mut(field).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Takes fields of features that are off by default out of the spec.
pub fn forget(kind: &mut Map<String, Value>, fields: &[&str]) {
    if let Some(spec) = object(kind, "spec") {
        spec.retain(|name, _| !fields.contains(&name.as_str()));
    }
}
