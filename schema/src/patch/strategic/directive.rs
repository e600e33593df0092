//! The words of directives, the errors about them, and taking them out of values.

use crate::patch::PatchError;
use crate::patch::go_text::{go_map, go_text, go_type};
use serde_json::{Map, Value};

pub(super) const PATCH: &str = "$patch";
pub(super) const RETAIN_KEYS: &str = "$retainKeys";
pub(super) const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
pub(super) const SET_ORDER: &str = "$setElementOrder";

pub(super) fn bad_primitive_list() -> PatchError {
    PatchError::BadRequest("invalid patch format of primitive list".into())
}

pub(super) fn bad_retain_keys() -> PatchError {
    PatchError::BadRequest("invalid patch format of retainKeys".into())
}

pub(super) fn bad_order() -> PatchError {
    PatchError::BadRequest("invalid patch format of setElementOrder list".into())
}

pub(super) fn unknown_patch_type(marker: &Value, map: &Map<String, Value>) -> PatchError {
    PatchError::Internal(format!("unknown patch type: {} in map: {}", go_text(marker), go_map(map)))
}

pub(super) fn no_merge_key(map: &Map<String, Value>, key: &str) -> PatchError {
    PatchError::Internal(format!("map: {} does not contain declared merge key: {key}", go_map(map)))
}

pub(super) fn bad_type(expected: &str, actual: &Value) -> PatchError {
    PatchError::Internal(format!("expected a {expected}, but received a {}", go_type(actual)))
}

/// Drops null members of objects, at any depth.
pub(super) fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(discard_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// Takes out every object with a `$patch` in it, at any depth; false when the value itself is one.
pub(super) fn remove_directives(value: &mut Value) -> bool {
    match value {
        Value::Object(map) if map.contains_key(PATCH) => false,
        Value::Object(map) => {
            map.retain(|_, v| remove_directives(v));
            true
        }
        Value::Array(list) => {
            list.retain_mut(remove_directives);
            true
        }
        _ => true,
    }
}
