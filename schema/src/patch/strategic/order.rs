//! The order of merged lists: that of `$setElementOrder` or of the patch, with what only the server has kept in
//! between where it stood.

use super::directive;
use crate::patch::PatchError;
use crate::patch::go_text::go_text;
use serde_json::Value;

/// What two elements are told apart by: the merge key's value, or the element itself.
fn identity<'a>(element: &'a Value, key: &str) -> Option<&'a Value> {
    if key.is_empty() { Some(element) } else { element.get(key) }
}

fn place(order: &[Value], element: &Value, key: &str) -> Option<usize> {
    let wanted = identity(element, key);
    order.iter().position(|o| identity(o, key) == wanted)
}

/// Puts the elements of `merged` that `order` names into its order, and the others where `live` had them.
pub(super) fn arrange(
    merged: Vec<Value>,
    order: &[Value],
    live: &[Value],
    key: &str,
) -> Result<Vec<Value>, PatchError> {
    if !key.is_empty() {
        for element in merged.iter().chain(order) {
            match element {
                Value::Object(map) if map.contains_key(key) => {}
                Value::Object(map) => return Err(directive::no_merge_key(map, key)),
                other => return Err(directive::bad_type("map[string]interface {}", other)),
            }
        }
    }
    let ranked = |element: Value, order: &[Value]| (place(order, &element, key), element);
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for element in merged {
        match ranked(element, order) {
            (Some(rank), element) => named.push((rank, element)),
            (None, element) => others.push(element),
        }
    }
    named.sort_by_key(|(rank, _)| *rank);
    let mut others: Vec<(Option<usize>, Value)> = others.into_iter().map(|e| ranked(e, live)).collect();
    others.sort_by_key(|(rank, _)| rank.unwrap_or(usize::MAX));
    // An element of the server goes before the first named one that stood behind it.
    let mut out = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (_, element) in named {
        let behind = place(live, &element, key);
        while let Some((Some(rank), _)) = others.peek() {
            if behind.is_none_or(|behind| *rank >= behind) {
                break;
            }
            out.extend(others.next().map(|(_, e)| e));
        }
        out.push(element);
    }
    out.extend(others.map(|(_, e)| e));
    Ok(out)
}

/// The elements of the patch must stand in `$setElementOrder`, in that order; deletions need not.
pub(super) fn check(patch: &[Value], order: &[Value], key: &str) -> Result<(), PatchError> {
    if order.is_empty() || patch.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for element in patch.iter().filter(|e| e.get(directive::PATCH).is_none()) {
        let wanted = identity(element, key);
        if wanted.is_none() {
            if let Value::Object(map) = element {
                return Err(directive::no_merge_key(map, key));
            }
            return Err(directive::bad_type("map[string]interface {}", element));
        }
        if !rest.any(|o| identity(o, key) == wanted) {
            let text = |list: &[Value]| go_text(&Value::from(list.to_vec()));
            return Err(PatchError::Internal(format!(
                "The order in patch list:\n{}\n doesn't match {} list:\n{}\n",
                text(patch),
                directive::SET_ORDER,
                text(order)
            )));
        }
    }
    Ok(())
}
