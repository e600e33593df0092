//! Strategic merge patch: merge patch that knows how each list merges, and directives to say otherwise
//! (k8s.io/apimachinery `pkg/util/strategicpatch`).
//!
//! Directives: `$patch: replace|delete` in an object or a list element, `$deleteFromPrimitiveList/FIELD`,
//! `$setElementOrder/FIELD`, `$retainKeys`. Making patches is the client's side and not here.

mod directive;
mod list;
mod order;

use super::{PatchError, PatchSchema};
use directive::{DELETE_FROM_LIST, PATCH, RETAIN_KEYS, SET_ORDER};
use serde_json::{Map, Value};

type Tree = Map<String, Value>;

/// Applies `patch` to `original`, an object of the type at `schema`, and returns the result.
pub fn apply<S: PatchSchema>(original: Value, patch: Value, schema: S) -> Result<Value, PatchError> {
    match (original, patch) {
        (Value::Object(original), Value::Object(patch)) => merge_map(original, patch, schema).map(Value::Object),
        _ => Err(PatchError::BadRequest("invalid JSON document".into())),
    }
}

/// The position of a member whose type decides how it merges.
fn lookup<S: PatchSchema>(schema: S, field: &str) -> Result<S, PatchError> {
    use super::Member;
    match schema.member(field) {
        Member::Named(member) => Ok(member),
        Member::Element(_) => {
            let name = schema.type_name();
            let text = format!("merging an object in json but data type is not struct, instead is: {name}");
            Err(PatchError::Internal(text))
        }
        Member::Undeclared => {
            let name = schema.type_name();
            let text = format!("unable to find api field in struct {name} for the json field {field:?}");
            Err(PatchError::Internal(text))
        }
    }
}

fn merge_map<S: PatchSchema>(mut original: Tree, mut patch: Tree, schema: S) -> Result<Tree, PatchError> {
    if let Some(marker) = patch.get(PATCH) {
        match marker.as_str() {
            Some("replace") => {
                patch.remove(PATCH);
                return Ok(patch);
            }
            Some("delete") => return Ok(Tree::new()),
            _ => return Err(directive::unknown_patch_type(marker, &patch)),
        }
    }
    retain_keys(&mut original, &mut patch)?;
    set_element_orders(&mut original, &mut patch, schema)?;
    for (key, value) in patch {
        let list_deletion = key.strip_prefix(DELETE_FROM_LIST);
        let field = match list_deletion {
            None => key.as_str(),
            Some(rest) => rest.strip_prefix('/').ok_or_else(directive::bad_primitive_list)?,
        };
        if value.is_null() {
            original.remove(field);
            continue;
        }
        let deletion = list_deletion.is_some();
        let Some(slot) = original.get_mut(field) else {
            if !deletion {
                set(&mut original, field, value);
            }
            continue;
        };
        match (slot, value) {
            (slot @ Value::Object(_), Value::Object(value)) => {
                let Value::Object(before) = slot.take() else { continue };
                let member = lookup(schema, field)?;
                let merged = if member.strategy().replace { value } else { merge_map(before, value, member)? };
                *slot = Value::Object(merged);
            }
            (slot @ Value::Array(_), Value::Array(value)) => {
                let Value::Array(before) = slot.take() else { continue };
                let member = lookup(schema, field)?;
                let merge = member.strategy().merge || deletion;
                let merged = if merge { list::merge(before, value, member, deletion)? } else { value };
                *slot = Value::Array(merged);
            }
            (_, value) if !deletion => set(&mut original, field, value),
            _ => {}
        }
    }
    Ok(original)
}

/// Takes a value of the patch as it is, without its nulls and directives.
fn set(original: &mut Tree, field: &str, mut value: Value) {
    directive::discard_nulls(&mut value);
    if directive::remove_directives(&mut value) {
        original.insert(field.to_owned(), value);
    } else {
        original.remove(field);
    }
}

/// `$retainKeys`: what it does not name leaves the original; what the patch sets must be named.
fn retain_keys(original: &mut Tree, patch: &mut Tree) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let keys = keys.as_array().ok_or_else(directive::bad_retain_keys)?;
    let named = |key: &str| keys.iter().any(|k| k.as_str() == Some(key));
    for (key, value) in patch.iter() {
        let about_list = key.starts_with(DELETE_FROM_LIST) || key.starts_with(SET_ORDER);
        if !value.is_null() && !about_list && !named(key) {
            return Err(directive::bad_retain_keys());
        }
    }
    original.retain(|key, _| named(key));
    Ok(())
}

/// `$setElementOrder/FIELD`: merges the field's list and puts it into the order named.
fn set_element_orders<S: PatchSchema>(original: &mut Tree, patch: &mut Tree, schema: S) -> Result<(), PatchError> {
    let keys: Vec<String> = patch.keys().filter(|k| k.starts_with(SET_ORDER)).cloned().collect();
    for key in keys {
        let Some(order) = patch.remove(&key) else { continue };
        let Value::Array(order) = order else { return Err(directive::bad_type("[]interface {}", &order)) };
        let field = key.strip_prefix(SET_ORDER).and_then(|rest| rest.strip_prefix('/'));
        let field = field.ok_or_else(directive::bad_order)?;
        let live = list_of(original, field)?;
        let patched = list_of(patch, field)?;
        let member = lookup(schema, field)?;
        let merge_key = member.merge_key().unwrap_or_default();
        order::check(patched.as_deref().unwrap_or_default(), &order, merge_key)?;
        let live_order = live.clone().unwrap_or_default();
        let merged = match (live, patched) {
            (None, None) => continue,
            (Some(live), None) => live,
            (None, Some(mut patched)) => {
                patched.retain_mut(directive::remove_directives);
                patched
            }
            (Some(live), Some(patched)) if member.strategy().merge => list::merge(live, patched, member, false)?,
            (Some(_), Some(patched)) => patched,
        };
        let merged = order::arrange(merged, &order, &live_order, merge_key)?;
        original.insert(field.to_owned(), Value::Array(merged));
    }
    Ok(())
}

/// Takes a list out of an object; another type than a list is an error.
fn list_of(tree: &mut Tree, field: &str) -> Result<Option<Vec<Value>>, PatchError> {
    match tree.remove(field) {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(other) => Err(directive::bad_type("[]interface {}", &other)),
    }
}

#[cfg(test)]
mod tests;
