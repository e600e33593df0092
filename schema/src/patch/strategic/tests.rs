//! Cases of k8s.io/apimachinery `pkg/util/strategicpatch/patch_test.go`, on built-in types.

use super::*;
use crate::patch::TableSchema;
use crate::types::kind_of;
use proptest::prelude::*;
use serde_json::json;

fn patched(kind: (&str, &str, &str), original: Value, patch: Value) -> Result<Value, String> {
    let schema = TableSchema::of(kind_of(kind.0, kind.1, kind.2).expect("kind"));
    apply(original, patch, schema).map_err(|e| e.to_string())
}

const POD: (&str, &str, &str) = ("", "v1", "Pod");
const DEPLOYMENT: (&str, &str, &str) = ("apps", "v1", "Deployment");

fn spec(value: Value) -> Value {
    json!({"spec": value})
}

fn pod(original: Value, patch: Value) -> Result<Value, String> {
    patched(POD, spec(original), spec(patch)).map(|mut v| v["spec"].take())
}

#[test]
fn maps_merge_and_nulls_delete() {
    let cases = [
        (
            json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
            json!({"metadata": {"labels": {"b": null, "c": "3"}}}),
            json!({"metadata": {"labels": {"a": "1", "c": "3"}}}),
        ),
        (
            json!({}),
            json!({"metadata": {"labels": {"a": null, "b": "1"}}}),
            json!({"metadata": {"labels": {"b": "1"}}}),
        ),
        (
            json!({"metadata": {"labels": {"a": "1"}}}),
            json!({"metadata": {"labels": {"$patch": "delete"}}}),
            json!({"metadata": {"labels": {}}}),
        ),
        (
            json!({"metadata": {"labels": {"a": "1"}}}),
            json!({"metadata": {"labels": {"$patch": "replace", "b": "2"}}}),
            json!({"metadata": {"labels": {"b": "2"}}}),
        ),
        (json!({"metadata": {"name": "x"}}), json!({"metadata": null}), json!({})),
        (
            json!({}),
            json!({"metadata": {"labels": {"$patch": "delete"}, "name": "x"}}),
            json!({"metadata": {"name": "x"}}),
        ),
    ];
    for (original, patch, expected) in cases {
        assert_eq!(patched(POD, original, patch.clone()), Ok(expected), "{patch}");
    }
}

#[test]
fn lists_merge_by_key_and_keep_order() {
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
    };
    let original =
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}, {"name": "c", "image": "1"}]});
    let cases: [(Value, &[&str]); 6] = [
        (json!([{"name": "b", "image": "2"}]), &["a", "b", "c"]),
        (json!([{"name": "d", "image": "2"}]), &["d", "a", "b", "c"]),
        (json!([{"name": "c"}, {"name": "a"}]), &["b", "c", "a"]),
        (json!([{"$patch": "delete", "name": "a"}]), &["b", "c"]),
        (json!([{"$patch": "replace"}, {"name": "z"}]), &["z"]),
        (json!([{"$patch": "delete", "name": "absent"}]), &["a", "b", "c"]),
    ];
    for (patch, expected) in cases {
        let result = pod(original.clone(), json!({"containers": patch})).unwrap();
        let got = names(&result["containers"]);
        assert_eq!(got, expected, "{patch}");
    }
    let result = pod(original, json!({"containers": [{"name": "b", "image": "2"}]})).unwrap();
    assert_eq!(result["containers"][1], json!({"name": "b", "image": "2"}));
}

#[test]
fn element_order_is_set() {
    let original = json!({"containers": [{"name": "a"}, {"name": "server"}, {"name": "b"}]});
    let patch = json!({
        "$setElementOrder/containers": [{"name": "b"}, {"name": "new"}, {"name": "a"}],
        "containers": [{"name": "new", "image": "n"}],
    });
    let result = pod(original.clone(), patch).unwrap();
    assert_eq!(
        result,
        json!({"containers": [{"name": "server"}, {"name": "b"}, {"name": "new", "image": "n"}, {"name": "a"}]})
    );
    let missing = json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]});
    let error = pod(original.clone(), missing).unwrap_err();
    assert!(
        error.starts_with("The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:"),
        "{error}"
    );
    let only = json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]});
    assert_eq!(pod(original, only).unwrap(), json!({"containers": [{"name": "server"}, {"name": "b"}, {"name": "a"}]}));
}

#[test]
fn primitive_lists_are_sets() {
    let original = json!({"metadata": {"finalizers": ["a", "b"]}});
    let cases = [
        (json!({"finalizers": ["b", "c"]}), json!(["a", "b", "c"])),
        (json!({"$deleteFromPrimitiveList/finalizers": ["a"]}), json!(["b"])),
        (json!({"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}), json!(["c", "b"])),
        (json!({"$setElementOrder/finalizers": ["b", "a"]}), json!(["b", "a"])),
    ];
    for (patch, expected) in cases {
        let result = patched(POD, original.clone(), json!({"metadata": patch}));
        assert_eq!(result, Ok(json!({"metadata": {"finalizers": expected}})), "{patch}");
    }
    // Lists without a strategy are replaced.
    let result = pod(
        json!({"containers": [{"name": "a", "args": ["1"]}]}),
        json!({"containers": [{"name": "a", "args": ["2"]}]}),
    );
    assert_eq!(result, Ok(json!({"containers": [{"name": "a", "args": ["2"]}]})));
}

#[test]
fn retain_keys_clears_the_rest() {
    let original = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    assert_eq!(patched(DEPLOYMENT, original.clone(), patch), Ok(json!({"spec": {"strategy": {"type": "Recreate"}}})));
    let bad = json!({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}});
    assert_eq!(patched(DEPLOYMENT, original, bad), Err("invalid patch format of retainKeys".into()));
}

#[test]
fn bad_patches_are_refused_with_upstreams_texts() {
    let original = || json!({"containers": [{"name": "a"}]});
    let cases = [
        (json!({"containers": [{"image": "x"}]}), "map: map[image:x] does not contain declared merge key: name"),
        (
            json!({"containers": [{"$patch": "what", "name": "a"}]}),
            "unknown patch type: what in map: map[$patch:what name:a]",
        ),
        (
            json!({"containers": [{"$patch": "merge", "name": "a"}]}),
            "merging lists cannot yet be specified in the patch",
        ),
        (json!({"containers": ["a"]}), "list element types are not identical: [[map[name:a]] [a]]"),
        (json!({"$setElementOrder/containers": "a"}), "expected a []interface {}, but received a string"),
        (json!({"$patch": "frob"}), "unknown patch type: frob in map: map[$patch:frob]"),
    ];
    for (patch, text) in cases {
        assert_eq!(pod(original(), patch), Err(text.to_owned()));
    }
    let unknown = patched(POD, json!({"nope": {"a": 1}}), json!({"nope": {"a": 2}}));
    assert_eq!(unknown, Err("unable to find api field in struct Pod for the json field \"nope\"".into()));
}

fn tree() -> impl Strategy<Value = Value> {
    let container = (0..3usize, prop::option::of(0..3usize)).prop_map(|(name, image)| {
        let names = ["a", "b", "c"];
        let mut c = json!({"name": names[name]});
        if let Some(image) = image {
            c["image"] = json!(names[image]);
        }
        c
    });
    prop::collection::vec(container, 0..4).prop_map(|list| {
        let mut seen = Vec::new();
        let unique: Vec<Value> = list
            .into_iter()
            .filter(|c| {
                !seen.contains(&c["name"]) && {
                    seen.push(c["name"].clone());
                    true
                }
            })
            .collect();
        json!({"containers": unique})
    })
}

proptest! {
    #[test]
    fn a_patch_applied_twice_changes_nothing_more(original in tree(), patch in tree()) {
        let once = pod(original, patch.clone()).unwrap();
        let twice = pod(once.clone(), patch.clone()).unwrap();
        prop_assert_eq!(&once, &twice);
        for c in patch["containers"].as_array().unwrap() {
            prop_assert!(once["containers"].as_array().unwrap().iter().any(|o| o["name"] == c["name"]));
        }
    }

    #[test]
    fn any_directive_is_followed_or_refused(key in "\\$(patch|retainKeys|setElementOrder/containers|deleteFromPrimitiveList/containers|deleteFromPrimitiveListx)", pick in 0..5usize) {
        let values = [json!("delete"), json!([]), json!(["a"]), json!({"name": "a"}), json!(1)];
        let mut patch = json!({"containers": [{"name": "b"}]});
        patch[key] = values[pick].clone();
        let _ = pod(json!({"containers": [{"name": "a"}]}), patch);
    }
}
