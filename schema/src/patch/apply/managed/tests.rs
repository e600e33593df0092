//! Cases of k8s.io/apimachinery `pkg/util/managedfields/internal` and sigs.k8s.io/structured-merge-diff `merge`, on
//! built-in types.

use super::*;
use crate::patch::TableSchema;
use crate::types::kind_of;
use proptest::prelude::*;
use serde_json::json;

fn schema(kind: &str) -> TableSchema {
    let group = if kind == "Deployment" { "apps" } else { "" };
    TableSchema::of(kind_of(group, "v1", kind).expect("kind"))
}

fn writer(manager: &str) -> Writer<'_> {
    Writer { manager, api_version: "apps/v1", subresource: "", time: "2024-01-01T00:00:00Z" }
}

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

/// A Deployment; without a spec when it would be empty, which is a value of its own to apply.
fn deployment(spec: Value) -> Object {
    let mut object =
        object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}}));
    if spec.as_object().is_some_and(|s| !s.is_empty()) {
        object.set_at(&["spec"], spec);
    }
    object
}

fn apply_as(live: Option<&Object>, manager: &str, spec: Value, force: bool) -> Result<Object, ApplyError> {
    apply(None, live, &deployment(spec), &writer(manager), force, schema("Deployment"), None)
}

fn update_as(live: Option<&Object>, manager: &str, mut new: Object) -> Object {
    update(live, &mut new, &writer(manager), schema("Deployment"), None);
    new
}

fn spec(object: &Object) -> Value {
    object.at(&["spec"]).cloned().unwrap_or_default()
}

/// Each entry as (manager, operation, fields).
fn entries(object: &Object) -> Vec<(String, String, Value)> {
    let list = object.at(&["metadata", "managedFields"]).and_then(Value::as_array).cloned().unwrap_or_default();
    list.iter()
        .map(|e| {
            (e["manager"].as_str().unwrap().into(), e["operation"].as_str().unwrap().into(), e["fieldsV1"].clone())
        })
        .collect()
}

fn entry(manager: &str, operation: &str, fields: Value) -> (String, String, Value) {
    (manager.into(), operation.into(), fields)
}

#[test]
fn creating_records_everything_but_what_nobody_owns() {
    let new = object(json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d", "uid": "u", "labels": {"app": "x"}, "resourceVersion": "1"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {}, "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}}}}));
    let created = update_as(None, "kubectl", new);
    let container = json!({".": {}, "f:image": {}, "f:name": {}, "f:resources": {},
        "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}}}});
    let expected = json!({
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {"f:replicas": {}, "f:selector": {},
            "f:template": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": container}}}}});
    assert_eq!(entries(&created), [entry("kubectl", "Update", expected)]);
    let raw = &created.at(&["metadata", "managedFields"]).unwrap()[0];
    assert_eq!(
        (raw["apiVersion"].as_str(), raw["time"].as_str(), raw["fieldsType"].as_str()),
        (Some("apps/v1"), Some("2024-01-01T00:00:00Z"), Some("FieldsV1"))
    );
}

#[test]
fn updates_move_ownership() {
    let created = update_as(None, "a", deployment(json!({"replicas": 1, "paused": true})));
    let mut new = created.clone();
    new.set_at(&["spec", "replicas"], json!(2));
    new.remove_at(&["spec", "paused"]);
    let updated = update_as(Some(&created), "b", new);
    assert_eq!(entries(&updated), [entry("b", "Update", json!({"f:spec": {"f:replicas": {}}}))]);
    // A write without a change, or one that leaves the records out, keeps them.
    let mut same = updated.clone();
    same.metadata_mut().remove("managedFields");
    assert_eq!(entries(&update_as(Some(&updated), "c", same)), entries(&updated));
}

#[test]
fn subresources_have_their_own_entries_and_reset_fields_no_owner() {
    let created = update_as(None, "a", deployment(json!({"replicas": 1})));
    let mut new = created.clone();
    new.set_at(&["status"], json!({"replicas": 3}));
    new.set_at(&["spec", "replicas"], json!(5));
    let status = Writer { subresource: "status", ..writer("ctl") };
    let reset = Set::of_fields(&[&["spec"]]);
    update(Some(&created), &mut new, &status, schema("Deployment"), Some(&reset));
    let list = new.at(&["metadata", "managedFields"]).unwrap();
    assert_eq!(list[1]["subresource"], json!("status"));
    assert_eq!(list[1]["fieldsV1"], json!({"f:status": {"f:replicas": {}}}));
    assert_eq!(list[0]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn records_are_cleared_by_an_empty_list() {
    let created = update_as(None, "a", deployment(json!({"replicas": 1})));
    for clear in [json!([]), json!([{}])] {
        let mut new = object({
            let mut v = created.clone().into_value();
            v["metadata"]["uid"] = json!("u");
            v
        });
        new.set_at(&["metadata", "managedFields"], clear);
        new.set_at(&["spec", "replicas"], json!(2));
        assert_eq!(entries(&update_as(Some(&created), "b", new)), []);
    }
    let mut broken = created.clone();
    broken.set_at(&["metadata", "managedFields"], json!([{"operation": "Nope"}]));
    assert_eq!(entries(&update_as(Some(&created), "b", broken)), entries(&created));
}

#[test]
fn many_updaters_are_folded() {
    let mut live = update_as(None, "m00", deployment(json!({"replicas": 0})));
    for n in 1..15 {
        let mut new = live.clone();
        new.set_at(&["metadata", "labels", &format!("l{n}")], json!("x"));
        let name = format!("m{n:02}");
        let time = format!("2024-01-01T00:00:{n:02}Z");
        let by = Writer { time: &time, ..writer(&name) };
        update(Some(&live), &mut new, &by, schema("Deployment"), None);
        live = new;
    }
    let list = entries(&live);
    assert_eq!(list.len(), 10);
    let folded = list.iter().find(|e| e.0 == "ancient-changes").expect("folded");
    assert_eq!(folded.2["f:spec"], json!({"f:replicas": {}}));
}

#[test]
fn conflicts_are_found_named_and_forced() {
    let live = update_as(None, "ctl", deployment(json!({"replicas": 3, "paused": true})));
    let error = apply_as(Some(&live), "me", json!({"replicas": 1}), false).unwrap_err();
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"ctl\" using apps/v1: .spec.replicas");
    let error = apply_as(Some(&live), "me", json!({"replicas": 1, "paused": false}), false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"ctl\" using apps/v1:\n- .spec.paused\n- .spec.replicas"
    );
    // The same value is shared, not fought over.
    let shared = apply_as(Some(&live), "me", json!({"replicas": 3}), false).unwrap();
    assert_eq!(
        entries(&shared),
        [
            entry("me", "Apply", json!({"f:spec": {"f:replicas": {}}})),
            entry("ctl", "Update", json!({"f:spec": {"f:paused": {}, "f:replicas": {}}})),
        ]
    );
    let forced = apply_as(Some(&live), "me", json!({"replicas": 1}), true).unwrap();
    assert_eq!(spec(&forced), json!({"replicas": 1, "paused": true}));
    assert_eq!(
        entries(&forced),
        [
            entry("me", "Apply", json!({"f:spec": {"f:replicas": {}}})),
            entry("ctl", "Update", json!({"f:spec": {"f:paused": {}}})),
        ]
    );
}

#[test]
fn what_is_withdrawn_goes_when_nobody_else_owns_it() {
    let first = apply_as(None, "me", json!({"replicas": 1, "paused": true, "template": {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}}}), false).unwrap();
    let other = apply_as(Some(&first), "you", json!({"paused": true}), false).unwrap();
    let second =
        apply_as(Some(&other), "me", json!({"template": {"spec": {"containers": [{"name": "a"}]}}}), false).unwrap();
    assert_eq!(spec(&second), json!({"paused": true, "template": {"spec": {"containers": [{"name": "a"}]}}}));
    let none = apply_as(Some(&second), "you", json!({}), false).unwrap();
    assert_eq!(spec(&none), json!({"template": {"spec": {"containers": [{"name": "a"}]}}}));
    assert_eq!(entries(&none).len(), 1);
}

#[test]
fn objects_that_were_never_tracked_belong_to_before_first_apply() {
    let mut live = deployment(json!({"replicas": 3}));
    live.set_meta_str("uid", "u");
    let error = apply_as(Some(&live), "me", json!({"replicas": 1}), false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using apps/v1: .spec.replicas"
    );
    let applied = apply_as(Some(&live), "me", json!({"paused": true}), false).unwrap();
    assert_eq!(entries(&applied)[1], entry("before-first-apply", "Update", json!({"f:spec": {"f:replicas": {}}})));
}

#[test]
fn lists_merge_by_key_with_defaulted_keys_and_order() {
    let live = apply_as(None, "a", json!({"template": {"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "x"}]}]}}}), false).unwrap();
    let merged = apply_as(Some(&live), "b", json!({"template": {"spec": {"containers": [{"name": "new"}, {"name": "c", "ports": [{"containerPort": 80, "hostPort": 1}]}]}}}), false).unwrap();
    assert_eq!(
        spec(&merged)["template"]["spec"]["containers"],
        json!([{"name": "new"}, {"name": "c", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "x", "hostPort": 1}]}])
    );
    // Atomic lists are replaced, and owned, as one.
    let args = |a: Value| json!({"template": {"spec": {"containers": [{"name": "c", "args": a}]}}});
    let live = apply_as(None, "a", args(json!(["1"])), false).unwrap();
    let error = apply_as(Some(&live), "b", args(json!(["2"])), false).unwrap_err();
    assert!(
        error.to_string().ends_with("conflict with \"a\": .spec.template.spec.containers[name=\"c\"].args"),
        "{error}"
    );
}

#[test]
fn bad_configurations_are_refused_with_upstreams_texts() {
    let prefix = "failed to create typed patch object (n/d; apps/v1, Kind=Deployment): ";
    let cases = [
        (json!({"nope": 1}), ".spec.nope: field not declared in schema"),
        (json!({"replicas": "3"}), ".spec.replicas: expected numeric (int or float), got string"),
        (
            json!({"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}}),
            ".spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
        ),
        (
            json!({"template": {"spec": {"containers": [null]}}}),
            ".spec.template.spec.containers: element 0: associative list with keys may not have a null element",
        ),
        (
            json!({"a": 1, "b": 2}),
            "errors:\n  .spec.a: field not declared in schema\n  .spec.b: field not declared in schema",
        ),
        (json!({"selector": []}), ".spec.selector: expected map, got &{[]}"),
    ];
    for (spec, text) in cases {
        assert_eq!(apply_as(None, "me", spec, false), Err(ApplyError::Invalid(format!("{prefix}{text}"))));
    }
    let mut with_fields = deployment(json!({}));
    with_fields.set_at(&["metadata", "managedFields"], json!([]));
    let result = apply(None, None, &with_fields, &writer("me"), false, schema("Deployment"), None);
    assert_eq!(result, Err(ApplyError::BadRequest("metadata.managedFields must be nil".into())));
}

#[test]
fn kubectl_takes_over_what_it_applied_before() {
    let last = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}, "spec": {"replicas": 3}});
    let mut live = deployment(json!({"replicas": 3, "paused": true}));
    live.set_at(
        &["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"],
        json!(last.to_string()),
    );
    let live = update_as(None, "kubectl-client-side-apply", live);
    let applied = apply_as(Some(&live), "kubectl", json!({"replicas": 1}), false).unwrap();
    assert_eq!(spec(&applied), json!({"replicas": 1, "paused": true}));
    assert!(applied.annotation("kubectl.kubernetes.io/last-applied-configuration").unwrap().contains("\"replicas\":1"));
    assert!(apply_as(Some(&live), "kubectl", json!({"paused": false}), false).is_err());
}

fn config() -> impl Strategy<Value = Value> {
    let names = ["a", "b", "c"];
    let container = (0..3usize, prop::option::of(0..3usize), prop::option::of(0..3usize));
    (prop::option::of(0..3u8), prop::option::of(any::<bool>()), prop::collection::vec(container, 0..3)).prop_map(
        move |(replicas, paused, containers)| {
            let mut spec = Map::new();
            if let Some(replicas) = replicas {
                spec.insert("replicas".into(), json!(replicas));
            }
            if let Some(paused) = paused {
                spec.insert("paused".into(), json!(paused));
            }
            let mut list: Vec<Value> = Vec::new();
            for (name, image, port) in containers {
                if list.iter().any(|c| c["name"] == names[name]) {
                    continue;
                }
                let mut container = json!({"name": names[name]});
                if let Some(image) = image {
                    container["image"] = json!(names[image]);
                }
                if let Some(port) = port {
                    container["ports"] = json!([{"containerPort": port}]);
                }
                list.push(container);
            }
            if !list.is_empty() {
                spec.insert("template".into(), json!({"spec": {"containers": list}}));
            }
            Value::Object(spec)
        },
    )
}

proptest! {
    #[test]
    fn applying_twice_changes_nothing(first in config(), second in config()) {
        let live = apply_as(None, "x", first, false).unwrap();
        let once = apply_as(Some(&live), "y", second.clone(), true).unwrap();
        let twice = apply_as(Some(&once), "y", second, false).unwrap();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn withdrawing_restores(first in config(), second in config()) {
        let live = apply_as(None, "x", first.clone(), false).unwrap();
        let Ok(both) = apply_as(Some(&live), "y", second, false) else { return Ok(()) };
        let withdrawn = apply_as(Some(&both), "y", json!({}), false).unwrap();
        let again = apply_as(Some(&withdrawn), "x", first, false).unwrap();
        prop_assert_eq!(entries(&again), entries(&live));
        prop_assert_eq!(field_set(schema("Deployment"), &again.at(&["spec"]).cloned().unwrap_or_default()).paths().len(),
            field_set(schema("Deployment"), &live.at(&["spec"]).cloned().unwrap_or_default()).paths().len());
    }

    #[test]
    fn managers_do_not_lose_each_others_fields(mine in config(), first in config(), second in config()) {
        let live = apply_as(None, "me", mine.clone(), false).unwrap();
        let Ok(live) = apply_as(Some(&live), "you", first, false) else { return Ok(()) };
        let Ok(live) = apply_as(Some(&live), "you", second, false) else { return Ok(()) };
        let declared = field_set(schema("Deployment"), &deployment(mine.clone()).into_value());
        let mut missing = declared;
        missing.subtract(&field_set(schema("Deployment"), &live.clone().into_value()));
        prop_assert!(missing.is_empty(), "{:?}", missing.paths());
        // Only the order of elements may follow the one who applied last.
        let same = apply_as(Some(&live), "me", mine, false).unwrap();
        prop_assert_eq!(entries(&same), entries(&live));
    }

    #[test]
    fn capture_owns_what_it_writes(first in config(), second in config()) {
        let mut live = deployment(first);
        live.set_at(&["metadata", "labels"], json!({"tracked": "yes"}));
        let live = update_as(None, "x", live);
        let mut new = deployment(second);
        new.set_at(&["metadata", "labels"], json!({"tracked": "yes"}));
        let updated = update_as(Some(&live), "y", new);
        let owned = Managers::decode(updated.at(&["metadata", "managedFields"]).unwrap_or(&Value::Null)).unwrap().all_fields();
        let mut unowned = field_set(schema("Deployment"), &{ let mut v = updated.into_value(); v["metadata"] = json!({}); v });
        unowned.subtract(&owned);
        unowned.subtract(&STRIPPED);
        prop_assert!(unowned.is_empty(), "{:?}", unowned.paths());
    }
}
