//! Pure comparisons of JSON trees: whether a live object already shows what is wanted, and what to patch if not.

use serde_json::{Map, Value};

/// Whether everything in `wanted` is in `live`. Absent, null and empty are the same in `wanted`; lists must match
/// element by element, so that a server's defaults inside the elements do not count as a difference.
pub(crate) fn shows(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| is_empty(value) || live.get(key).is_some_and(|live| shows(live, value)))
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| shows(live, wanted))
        }
        _ => live == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// The JSON merge patch (RFC 7386) that turns `from` into `to`; `None` when they are equal.
pub(crate) fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (from, to) else { return Some(to.clone()) };
    let mut patch = Map::new();
    for (key, value) in after {
        match before.get(key) {
            Some(old) => {
                if let Some(change) = merge_patch(old, value) {
                    patch.insert(key.clone(), change);
                }
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_of_the_server_are_no_difference() {
        let live = json!({"a": {"b": 1, "default": true}, "l": [{"n": 1, "x": 2}]});
        assert!(shows(&live, &json!({"a": {"b": 1}, "l": [{"n": 1}], "empty": {}, "none": null})));
        assert!(!shows(&live, &json!({"a": {"b": 2}})));
        assert!(!shows(&live, &json!({"l": []  , "a": {"c": 1}})));
        assert!(!shows(&live, &json!({"l": [{"n": 1}, {"n": 2}]})));
    }

    #[test]
    fn a_merge_patch_adds_changes_and_removes() {
        let from = json!({"same": 1, "gone": 2, "deep": {"x": 1, "y": 2}, "list": [1]});
        let to = json!({"same": 1, "new": 3, "deep": {"x": 1, "y": 3}, "list": [1, 2]});
        let patch = json!({"gone": null, "new": 3, "deep": {"y": 3}, "list": [1, 2]});
        assert_eq!(merge_patch(&from, &to), Some(patch));
        assert_eq!(merge_patch(&from, &from), None);
    }
}
