//! JSON patch (RFC 6902) with the texts, limits and leniency of the library that upstream uses
//! (github.com/evanphx/json-patch v4): negative indexes count from the end, and `replace` of an absent member adds it.

mod place;

use super::PatchError;
use place::{add, get, remove, replace};
use serde_json::Value;

/// Operations in one patch; more are 413.
pub const MAX_OPERATIONS: usize = 10_000;

/// Bytes of JSON that all `copy` operations of a patch may add.
pub const MAX_COPY_BYTES: usize = 3 << 20;

/// Applies the operations in order; the first that fails fails the patch (422), and `document` is then to be dropped.
pub fn apply(document: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Array(operations) = patch else {
        return Err(PatchError::BadRequest(
            "json: cannot unmarshal object into Go value of type jsonpatch.Patch".into(),
        ));
    };
    if operations.len() > MAX_OPERATIONS {
        let count = operations.len();
        let text = format!("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}");
        return Err(PatchError::TooLarge(text));
    }
    if operations.iter().any(|o| !o.is_object()) {
        let text = "json: cannot unmarshal a value that is no object into Go value of type jsonpatch.Operation";
        return Err(PatchError::BadRequest(text.into()));
    }
    let mut copied = 0;
    operations.iter().try_for_each(|o| operate(document, o, &mut copied)).map_err(PatchError::Unprocessable)
}

fn operate(document: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), String> {
    let kind = operation.get("op").and_then(Value::as_str).unwrap_or("unknown");
    let pointer = |field: &str| {
        let text = operation.get(field).and_then(Value::as_str);
        text.ok_or_else(|| format!("{kind} operation failed to decode {field}: missing value"))
    };
    let value = operation.get("value");
    match kind {
        "add" => {
            let path = pointer("path")?;
            let missing = || format!("add operation does not apply: doc is missing path: \"{path}\": missing value");
            let (holder, key) = place::find(document, path).ok_or_else(missing)?;
            add(holder, &key, value.cloned().unwrap_or_default())
                .map_err(|e| format!("error in add for path: '{path}': {e}"))
        }
        "remove" => {
            let path = pointer("path")?;
            let missing = || format!("remove operation does not apply: doc is missing path: \"{path}\": missing value");
            let (holder, key) = place::find(document, path).ok_or_else(missing)?;
            remove(holder, &key).map(drop).map_err(|e| format!("error in remove for path: '{path}': {e}"))
        }
        "replace" => {
            let path = pointer("path")?;
            let value = value.cloned().unwrap_or_default();
            if path.is_empty() {
                if !value.is_object() && !value.is_array() {
                    return Err("replace operation value must be object or array: %!w(<nil>)".into());
                }
                *document = value;
                return Ok(());
            }
            let missing = || format!("replace operation does not apply: doc is missing path: {path}: missing value");
            let (holder, key) = place::find(document, path).ok_or_else(missing)?;
            replace(holder, &key, value)
                .map_err(|_| format!("replace operation does not apply: doc is missing key: {path}: missing value"))
        }
        "move" => {
            let (from, path) = (pointer("from")?, pointer("path")?);
            let missing = || format!("move operation does not apply: doc is missing from path: {from}: missing value");
            let (holder, key) = place::find(document, from).ok_or_else(missing)?;
            let moved = remove(holder, &key).map_err(|e| format!("error in move for path: '{key}': {e}"))?;
            let missing =
                || format!("move operation does not apply: doc is missing destination path: {path}: missing value");
            let (holder, key) = place::find(document, path).ok_or_else(missing)?;
            add(holder, &key, moved).map_err(|e| format!("error in move for path: '{path}': {e}"))
        }
        "copy" => {
            let (from, path) = (pointer("from")?, pointer("path")?);
            let missing = || format!("copy operation does not apply: doc is missing from path: {from}: missing value");
            let (holder, key) = place::find(document, from).ok_or_else(missing)?;
            let copy = get(holder, &key).map_err(|e| format!("error in copy for from: '{from}': {e}"))?;
            let copy = copy.cloned().unwrap_or_default();
            let missing =
                || format!("copy operation does not apply: doc is missing destination path: {path}: missing value");
            let (holder, key) = place::find(document, path).ok_or_else(missing)?;
            *copied += copy.to_string().len();
            if *copied > MAX_COPY_BYTES {
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPY_BYTES}"
                ));
            }
            add(holder, &key, copy).map_err(|e| format!("error while adding value during copy: {e}"))
        }
        "test" => {
            let path = pointer("path")?;
            let expected = value.unwrap_or(&Value::Null);
            let same = if path.is_empty() {
                document == expected
            } else {
                let missing = || format!("test operation does not apply: is missing path: {path}: missing value");
                let (holder, key) = place::find(document, path).ok_or_else(missing)?;
                let found = get(holder, &key).map_err(|e| format!("error in test for path: '{path}': {e}"))?;
                found.unwrap_or(&Value::Null) == expected
            };
            if same { Ok(()) } else { Err(format!("testing value {path} failed: test failed")) }
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn patched(mut document: Value, patch: &Value) -> Result<Value, String> {
        apply(&mut document, patch).map_err(|e| e.to_string())?;
        Ok(document)
    }

    #[test]
    fn operations_change_the_document() {
        let cases = [
            (json!({"a": 1}), json!([{"op": "add", "path": "/b", "value": 2}]), json!({"a": 1, "b": 2})),
            (json!({"a": [1, 3]}), json!([{"op": "add", "path": "/a/1", "value": 2}]), json!({"a": [1, 2, 3]})),
            (json!({"a": [1]}), json!([{"op": "add", "path": "/a/-", "value": 2}]), json!({"a": [1, 2]})),
            (json!({"a": [1]}), json!([{"op": "add", "path": "/a/-1", "value": 2}]), json!({"a": [1, 2]})),
            (json!({"a": {"b/c": 1}}), json!([{"op": "remove", "path": "/a/b~1c"}]), json!({"a": {}})),
            (json!({"a": [1, 2]}), json!([{"op": "remove", "path": "/a/-1"}]), json!({"a": [1]})),
            (json!({"a": 1}), json!([{"op": "replace", "path": "/b", "value": 2}]), json!({"a": 1, "b": 2})),
            (json!({"a": 1}), json!([{"op": "replace", "path": "", "value": {"z": 1}}]), json!({"z": 1})),
            (
                json!({"a": {"b": 1}, "c": {}}),
                json!([{"op": "move", "from": "/a/b", "path": "/c/d"}]),
                json!({"a": {}, "c": {"d": 1}}),
            ),
            (json!({"a": [1]}), json!([{"op": "copy", "from": "/a", "path": "/b"}]), json!({"a": [1], "b": [1]})),
            (
                json!({"a": 1}),
                json!([{"op": "test", "path": "/a", "value": 1}, {"op": "test", "path": "/b", "value": null}]),
                json!({"a": 1}),
            ),
        ];
        for (document, patch, expected) in cases {
            assert_eq!(patched(document, &patch), Ok(expected), "{patch}");
        }
    }

    #[test]
    fn failures_read_as_upstream_prints_them() {
        let cases = [
            (json!([{"op": "test", "path": "/a", "value": 2}]), "testing value /a failed: test failed"),
            (
                json!([{"op": "test", "path": "/x/y", "value": 2}]),
                "test operation does not apply: is missing path: /x/y: missing value",
            ),
            (
                json!([{"op": "remove", "path": "/x"}]),
                "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value",
            ),
            (
                json!([{"op": "remove", "path": "/l/7"}]),
                "error in remove for path: '/l/7': Unable to access invalid index: 7: invalid index referenced",
            ),
            (
                json!([{"op": "add", "path": "/x/y", "value": 1}]),
                "add operation does not apply: doc is missing path: \"/x/y\": missing value",
            ),
            (
                json!([{"op": "add", "path": "/l/z", "value": 1}]),
                "error in add for path: '/l/z': value was not a proper array index: 'z': strconv.Atoi: parsing \"z\": invalid syntax",
            ),
            (
                json!([{"op": "replace", "path": "/x/y", "value": 1}]),
                "replace operation does not apply: doc is missing path: /x/y: missing value",
            ),
            (
                json!([{"op": "move", "from": "/x", "path": "/y"}]),
                "error in move for path: 'x': Unable to remove nonexistent key: x: missing value",
            ),
            (json!([{"op": "frob", "path": "/a"}]), "Unexpected kind: frob"),
            (json!([{"op": "add"}]), "add operation failed to decode path: missing value"),
        ];
        for (patch, text) in cases {
            assert_eq!(patched(json!({"a": 1, "l": [1]}), &patch), Err(text.to_owned()));
        }
        let many = Value::from(vec![json!({"op": "test", "path": "/a", "value": 1}); MAX_OPERATIONS + 1]);
        assert_eq!(
            apply(&mut json!({"a": 1}), &many),
            Err(PatchError::TooLarge("The allowed maximum operations in a JSON patch is 10000, got 10001".into()))
        );
        let copies = Value::from(vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 40]);
        let doubled = patched(json!({"a": ["x".repeat(100)]}), &copies).unwrap_err();
        assert!(doubled.starts_with("Unable to complete the copy"), "{doubled}");
    }

    proptest! {
        #[test]
        fn any_path_is_followed_or_refused(op in "add|remove|replace|move|copy|test", path in "[/a0~1-]{0,8}", from in "[/a0~1-]{0,8}") {
            let patch = json!([{"op": op, "path": path, "from": from, "value": {"a": [0, {"a": 1}]}}]);
            let _ = patched(json!({"a": [{"a": [1, 2]}, {"0": {}}]}), &patch);
        }
    }
}
