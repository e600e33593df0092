//! The annotation of client-side apply, which kubectl's server-side apply takes over and keeps up to date.

use crate::patch::PatchSchema;
use crate::patch::apply::{Set, compare, field_set};
use apimachinery::Object;
use serde_json::Value;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The fields that client-side apply set and that still have the values it gave them. `None` without a usable
/// annotation.
pub(super) fn own_fields<S: PatchSchema>(live: &Object, api_version: &str, schema: S) -> Option<Set> {
    let last: Value = serde_json::from_str(live.annotation(ANNOTATION)?).ok()?;
    if last.get("apiVersion").and_then(Value::as_str) != Some(api_version) {
        return None;
    }
    let difference = compare(schema, &last, &live.clone().into_value()).ok()?;
    let mut own = field_set(schema, &last);
    own.subtract(&difference.modified);
    own.subtract(&difference.added);
    own.subtract(&difference.removed);
    Some(own)
}

/// Writes what was applied into the annotation, where the object has one.
pub(super) fn renew(object: &mut Object, applied: &Object) {
    if object.annotation(ANNOTATION).is_none_or(str::is_empty) {
        return;
    }
    let mut applied = applied.clone();
    applied.remove_at(&["metadata", "annotations", ANNOTATION]);
    let text = String::from_utf8(applied.to_bytes()).unwrap_or_default();
    object.set_at(&["metadata", "annotations", ANNOTATION], Value::from(format!("{text}\n")));
}
