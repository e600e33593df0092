//! Equality of objects as the API means it, over JSON trees: what is absent equals what is empty.

use serde::Serialize;
use serde_json::Value;

/// What counts as absent in a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// Null, `[]` and `{}`: upstream's `apiequality.Semantic.DeepEqual`.
    Empty,
    /// Also `0`, `false` and `""`, which plain Go fields with `omitempty` leave out.
    Zero,
}

fn prune(value: Value, absent: Absent) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(map) => {
            let kept: serde_json::Map<_, _> =
                map.into_iter().filter_map(|(key, value)| Some((key, prune(value, absent)?))).collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            let keep = |item: Value| prune(item, absent).unwrap_or(Value::Null);
            (!items.is_empty()).then(|| Value::Array(items.into_iter().map(keep).collect()))
        }
        Value::Bool(false) if absent == Absent::Zero => None,
        Value::Number(number) if absent == Absent::Zero && number.as_i64() == Some(0) => None,
        Value::String(text) if absent == Absent::Zero && text.is_empty() => None,
        other => Some(other),
    }
}

fn tree(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Equal but for null and empty lists and maps. For specifications, where `false` can differ from absent.
pub(crate) fn equal(a: &impl Serialize, b: &impl Serialize) -> bool {
    prune(tree(a), Absent::Empty) == prune(tree(b), Absent::Empty)
}

/// Equal but for zero values too. For statuses.
pub(crate) fn same_status(a: &impl Serialize, b: &impl Serialize) -> bool {
    prune(tree(a), Absent::Zero) == prune(tree(b), Absent::Zero)
}

/// A hash of the tree for names and labels: FNV-1a of 32 bits over the pruned canonical JSON, and the collision count,
/// in upstream's alphabet without vowels (`rand.SafeEncodeString`).
pub(crate) fn hash(value: &impl Serialize, collisions: Option<i32>) -> String {
    let mut bytes = prune(tree(value), Absent::Empty).unwrap_or_default().to_string().into_bytes();
    bytes.extend(collisions.into_iter().flat_map(|count| u64::from(count.unsigned_abs()).to_le_bytes()));
    let hash = bytes.iter().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619));
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn absent_and_empty_are_the_same() {
        assert!(equal(&json!({"a": [], "b": {"c": null}}), &json!({})));
        assert!(!equal(&json!({"a": false}), &json!({})));
        assert!(same_status(&json!({"a": false, "b": 0, "c": ""}), &json!({})));
        assert!(!same_status(&json!({"a": 1}), &json!({})));
    }

    #[test]
    fn hashes_are_stable_and_told_apart_by_collisions() {
        let template = json!({"spec": {"containers": [{"name": "a"}]}});
        assert_eq!(hash(&template, None), hash(&json!({"spec": {"containers": [{"name": "a", "env": []}]}}), None));
        assert_ne!(hash(&template, None), hash(&template, Some(1)));
        assert!(hash(&template, None).len() <= 10);
    }
}
