//! Merging lists: scalars as sets, objects by their merge key.

use super::{Tree, directive, merge_map, order};
use crate::patch::go_text::go_text;
use crate::patch::{PatchError, PatchSchema};
use serde_json::Value;

/// Merges `patch` into `original`, both lists at `schema`; with `deletion` the patch lists scalars to take out.
pub(super) fn merge<S: PatchSchema>(
    original: Vec<Value>,
    patch: Vec<Value>,
    schema: S,
    deletion: bool,
) -> Result<Vec<Value>, PatchError> {
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    let objects = of_objects(&original, &patch)?;
    if !objects {
        if deletion {
            return Ok(original.into_iter().filter(|v| !patch.contains(v)).collect());
        }
        let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
        for value in original.iter().chain(&patch) {
            if !merged.contains(value) {
                merged.push(value.clone());
            }
        }
        return order::arrange(merged, &patch, &original, "");
    }
    let Some(key) = schema.merge_key().map(str::to_owned) else {
        let name = schema.element().type_name();
        return Err(PatchError::Internal(format!("cannot merge lists without merge key for {name}")));
    };
    let (original, patch) = special_elements(original, patch, &key)?;
    // Both orders are needed after the elements have been merged, but only the keys of them.
    let stubs = |list: &[Value]| -> Vec<Value> { list.iter().map(|v| stub(v, &key)).collect() };
    let (live_order, patch_order) = (stubs(&original), stubs(&patch));
    let mut merged = original;
    for element in patch {
        let Value::Object(element) = element else { continue };
        let Some(value) = element.get(&key) else { return Err(directive::no_merge_key(&element, &key)) };
        match merged.iter_mut().find(|m| m.get(&key) == Some(value)) {
            Some(slot) => {
                let before = std::mem::take(slot);
                let Value::Object(before) = before else { continue };
                *slot = Value::Object(merge_map(before, element, schema.element())?);
            }
            None => merged.push(Value::Object(element)),
        }
    }
    order::arrange(merged, &patch_order, &live_order, &key)
}

fn stub(element: &Value, key: &str) -> Value {
    let mut tree = Tree::new();
    if let Some(value) = element.get(key) {
        tree.insert(key.to_owned(), value.clone());
    }
    Value::Object(tree)
}

/// Whether the elements are objects. They must all be of one type, and no lists.
fn of_objects(original: &[Value], patch: &[Value]) -> Result<bool, PatchError> {
    let mut all = original.iter().chain(patch);
    let Some(first) = all.next() else { return Ok(false) };
    if first.is_array() {
        return Err(PatchError::Unprocessable("lists of lists are not supported".into()));
    }
    let number = |v: &Value| v.as_number().map(serde_json::Number::is_f64);
    let same = |v: &Value| std::mem::discriminant(v) == std::mem::discriminant(first) && number(v) == number(first);
    if !all.all(same) {
        let lists = [Value::from(original.to_vec()), Value::from(patch.to_vec())];
        let text = lists.iter().map(go_text).collect::<Vec<_>>().join(" ");
        return Err(PatchError::Internal(format!("list element types are not identical: [{text}]")));
    }
    Ok(first.is_object())
}

/// Acts on the elements that carry `$patch`, and returns both lists without them.
fn special_elements(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replace = false;
    for element in patch {
        let Value::Object(map) = &element else { continue };
        match map.get(directive::PATCH) {
            None => plain.push(element),
            Some(marker) => match marker.as_str() {
                Some("delete") => {
                    let value = map.get(key).ok_or_else(|| directive::no_merge_key(map, key))?;
                    original.retain(|o| o.get(key) != Some(value));
                }
                Some("replace") => replace = true,
                Some("merge") => {
                    let text = "merging lists cannot yet be specified in the patch";
                    return Err(PatchError::Internal(text.into()));
                }
                _ => return Err(directive::unknown_patch_type(marker, map)),
            },
        }
    }
    if replace {
        return Ok((plain, Vec::new()));
    }
    Ok((original, plain))
}
