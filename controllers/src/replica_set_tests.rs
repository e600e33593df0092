//! Plans of replica sets as text; cases of upstream's `replica_set_test.go`.

use super::*;
use crate::pods::testing::{merge, pod, ready};

const NOW: &str = "2024-01-01T00:01:00Z";

fn set(replicas: i32, more: Value) -> Arc<ReplicaSet> {
    let mut tree = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "u", "resourceVersion": "1", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
        "status": {"replicas": 0, "observedGeneration": 1},
    });
    merge(&mut tree, more);
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn member(name: &str, more: Value) -> Arc<Pod> {
    let mut tree = json!({"metadata": {"labels": {"app": "web"}, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}]}});
    merge(&mut tree, more);
    pod(name, tree)
}

fn check(set: Arc<ReplicaSet>, candidates: Vec<Arc<Pod>>, expected: &[&str]) {
    let observed = Observed { related: candidates.clone(), set, candidates };
    let text = plan(&observed, None, NOW.parse().unwrap()).to_string();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

fn counts(replicas: usize, ready: usize, available: usize) -> Value {
    json!({"status": {"replicas": replicas, "fullyLabeledReplicas": replicas, "readyReplicas": ready, "availableReplicas": available}})
}

#[test]
fn missing_pods_are_made() {
    check(set(2, json!({})), vec![], &["create pods ns/web-", "create pods ns/web-"]);
}

#[test]
fn nothing_is_written_when_nothing_changes() {
    let pods = vec![member("a", ready("2024-01-01T00:00:00Z"))];
    check(set(1, counts(1, 1, 1)), pods, &[]);
}

#[test]
fn a_failed_pod_is_replaced_and_a_terminating_one_is_counted() {
    let failed = member("a", json!({"status": {"phase": "Failed"}}));
    let going = member("b", json!({"metadata": {"deletionTimestamp": NOW}}));
    check(
        set(1, json!({})),
        vec![failed, going],
        &[
            "create pods ns/web-",
            r#"update replicasets.apps/status ns/web {"availableReplicas":0,"conditions":[],"fullyLabeledReplicas":0,"observedGeneration":1,"readyReplicas":0,"replicas":0,"terminatingReplicas":1}"#,
        ],
    );
}

#[test]
fn too_many_pods_lose_the_least_worthy() {
    let pods = vec![member("a", ready("2024-01-01T00:00:00Z")), member("b", json!({}))];
    check(set(1, counts(2, 1, 1)), pods, &["delete pods ns/b"]);
}

#[test]
fn orphans_are_adopted_after_a_live_check_and_strays_released() {
    let orphan = pod("o", json!({"metadata": {"labels": {"app": "web"}}}));
    let stray = member("s", json!({"metadata": {"labels": {"app": "other"}}}));
    let foreign = pod(
        "f",
        json!({"metadata": {"labels": {"app": "web"}, "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "x", "controller": true}]}}),
    );
    check(
        set(1, counts(1, 0, 0)),
        vec![orphan, stray, foreign],
        &[
            "expect replicasets.apps ns/web",
            r#"patch pods ns/o {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"u"}],"uid":"uid-o"}}"#,
            r#"patch pods ns/s {"metadata":{"ownerReferences":[{"$patch":"delete","uid":"u"}],"uid":"uid-s"}}"#,
        ],
    );
}

#[test]
fn a_terminating_set_makes_and_deletes_nothing() {
    let going = json!({"metadata": {"deletionTimestamp": NOW}});
    check(set(3, going), vec![], &[]);
}

#[test]
fn readiness_must_last() {
    let mut spec = counts(1, 1, 0);
    merge(&mut spec, json!({"spec": {"minReadySeconds": 90}}));
    check(set(1, spec), vec![member("a", ready("2024-01-01T00:00:00Z"))], &["again in 30s"]);
}

#[test]
fn a_failure_becomes_a_condition() {
    let observed = Observed { set: set(1, json!({})), candidates: vec![], related: vec![] };
    let plan = plan(&observed, Some("quota".into()), NOW.parse().unwrap());
    let last = plan.writes.last().unwrap().to_string();
    assert!(last.contains(r#""conditions":[{"lastTransitionTime":"2024-01-01T00:01:00Z","message":"quota","reason":"FailedCreate","status":"True","type":"ReplicaFailure"}]"#), "{last}");
}
