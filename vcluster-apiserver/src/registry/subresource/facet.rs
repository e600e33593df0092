//! Which part of an object each view of it may change: `status`, `finalize`, `approval`, `ephemeralcontainers`, `resize`
//! (k8s.io/kubernetes `pkg/registry/**/strategy.go`).

use apimachinery::Object;
use serde_json::Value;

/// The paths that a view may change; everything else is what it was.
fn writable(subresource: &str) -> &'static [&'static [&'static str]] {
    match subresource {
        "finalize" => &[&["spec", "finalizers"]],
        "approval" => &[&["status", "conditions"]],
        "ephemeralcontainers" => &[&["spec", "ephemeralContainers"]],
        "resize" => &[&["spec", "resources"]],
        _ => &[],
    }
}

/// Restores everything but `status` and the metadata; the strategy decides about the metadata.
pub fn keep_only_status(new: &mut Object, old: &Object) {
    let mut kept = old.clone();
    for field in ["status", "metadata"] {
        match new.as_map_mut().remove(field) {
            Some(value) => kept.as_map_mut().insert(field.to_owned(), value),
            None => kept.as_map_mut().remove(field),
        };
    }
    *new = kept;
}

/// Restores everything that the view may not change; metadata stays the client's.
pub fn keep_only(subresource: &str, new: &mut Object, old: &Object) {
    let mut kept = old.clone();
    if let Some(metadata) = new.as_map_mut().remove("metadata") {
        kept.as_map_mut().insert("metadata".to_owned(), metadata);
    }
    for path in writable(subresource) {
        match new.at(path).cloned() {
            Some(value) => kept.set_at(path, value),
            None => {
                kept.remove_at(path);
            }
        }
    }
    if subresource == "resize" {
        for list in ["containers", "initContainers"] {
            resize(&mut kept, new, list);
        }
    }
    *new = kept;
}

/// Takes `resources` and `resizePolicy` of each container, found by its name.
fn resize(kept: &mut Object, new: &Object, list: &str) {
    let asked = new.at(&["spec", list]).and_then(Value::as_array).cloned().unwrap_or_default();
    let containers = kept.as_map_mut().get_mut("spec").and_then(|s| s.get_mut(list)).and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        let Some(wanted) = asked.iter().find(|c| c.get("name") == container.get("name")) else { continue };
        let Some(fields) = container.as_object_mut() else { continue };
        for field in ["resources", "resizePolicy"] {
            match wanted.get(field) {
                Some(value) => fields.insert(field.to_owned(), value.clone()),
                None => fields.remove(field),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_view_changes_its_part_only() {
        let old = json!({"metadata": {"name": "a"}, "spec": {"x": 1, "finalizers": ["kubernetes"],
            "containers": [{"name": "c", "image": "i", "resources": {"a": 1}}]}, "status": {"p": 1}});
        let new = json!({"metadata": {"name": "a", "labels": {"l": "m"}}, "spec": {"x": 2, "finalizers": [],
            "containers": [{"name": "c", "image": "j", "resources": {"a": 2}}]}, "status": {"p": 2}});
        let object = |v: &Value| Object::from_value(v.clone()).unwrap();
        let after = |view: &str| {
            let mut changed = object(&new);
            if view == "status" {
                keep_only_status(&mut changed, &object(&old));
            } else {
                keep_only(view, &mut changed, &object(&old));
            }
            changed
        };
        let status = after("status");
        assert_eq!((status.at(&["spec", "x"]), status.at(&["status", "p"])), (Some(&json!(1)), Some(&json!(2))));
        let finalize = after("finalize");
        assert_eq!(finalize.at(&["spec", "finalizers"]), Some(&json!([])));
        assert_eq!((finalize.at(&["spec", "x"]), finalize.at(&["status", "p"])), (Some(&json!(1)), Some(&json!(1))));
        let resize = after("resize");
        assert_eq!(
            resize.at(&["spec", "containers"]),
            Some(&json!([{"name": "c", "image": "i", "resources": {"a": 2}}]))
        );
    }
}
