//! Stateful sets as text; cases of upstream's `stateful_set_control_test.go`.

use super::*;
use crate::pods::testing::{merge, pod};
use serde_json::{Value, json};

const NOW: &str = "2024-01-01T01:00:00Z";

fn set(replicas: i32, more: Value) -> Arc<StatefulSet> {
    let mut tree = json!({
        "metadata": {"name": "db", "namespace": "ns", "uid": "s", "resourceVersion": "1", "generation": 1},
        "spec": {"replicas": replicas, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "updateStrategy": {"type": "RollingUpdate"},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "new"}]}}},
    });
    merge(&mut tree, more);
    Arc::new(serde_json::from_value(tree).unwrap())
}

/// The revision that a set would make for its template.
fn revision(set: &StatefulSet, number: i64) -> Arc<ControllerRevision> {
    let form = Form { hash_label: HASH_LABEL, labels: BTreeMap::from([("app".into(), "db".into())]) };
    let mut made = history::sync(set, &set.spec.template, &[], &[], form, 0, &mut Plan::default()).update;
    made.revision = Some(number);
    made.metadata.uid = Some(format!("rev-{number}"));
    Arc::new(made)
}

fn member(ordinal: i32, revision: &ControllerRevision, ready: bool, more: Value) -> Arc<Pod> {
    let mut tree = json!({"metadata": {"labels": {"app": "db", REVISION_LABEL: revision.name(),
        "statefulset.kubernetes.io/pod-name": format!("db-{ordinal}"), "apps.kubernetes.io/pod-index": ordinal.to_string()},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "s", "controller": true}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": "2024-01-01T00:00:00Z"}]}});
    merge(&mut tree, more);
    pod(&format!("db-{ordinal}"), tree)
}

fn run(set: &Arc<StatefulSet>, pods: Vec<Arc<Pod>>, revisions: Vec<Arc<ControllerRevision>>) -> Vec<String> {
    let observed = Observed { set: set.clone(), candidates: pods, revisions, claims: BTreeMap::new() };
    let text = plan(&observed, NOW.parse().unwrap()).to_string();
    text.lines().filter(|line| !line.starts_with("update statefulsets.apps/status")).map(ToOwned::to_owned).collect()
}

#[test]
fn pods_come_one_after_the_other_with_their_claims() {
    let claims = json!({"spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}});
    let set = set(2, claims);
    let own = revision(&set, 1);
    assert_eq!(
        run(&set, vec![], vec![own.clone()]),
        ["create persistentvolumeclaims ns/data-db-0", "create pods ns/db-0"]
    );
    assert_eq!(run(&set, vec![member(0, &own, false, json!({}))], vec![own.clone()]), [""; 0]);
    let next = run(&set, vec![member(0, &own, true, json!({}))], vec![own]);
    assert_eq!(next, ["create persistentvolumeclaims ns/data-db-1", "create pods ns/db-1"]);
}

#[test]
fn parallel_sets_make_all_at_once() {
    let set = set(3, json!({"spec": {"podManagementPolicy": "Parallel"}}));
    let made = run(&set, vec![], vec![]);
    assert_eq!(made.len(), 4, "{made:?}");
    assert!(made[0].starts_with("create controllerrevisions.apps ns/db-"));
}

#[test]
fn the_highest_ordinal_goes_first_and_only_when_the_rest_is_well() {
    let set = set(1, json!({}));
    let own = revision(&set, 1);
    let pods = |ready| {
        vec![member(0, &own, ready, json!({})), member(1, &own, true, json!({})), member(2, &own, true, json!({}))]
    };
    assert_eq!(run(&set, pods(true), vec![own.clone()]), ["delete pods ns/db-2"]);
    assert_eq!(run(&set, pods(false), vec![own.clone()]), [""; 0]);
}

#[test]
fn a_failed_pod_is_made_anew() {
    let set = set(1, json!({}));
    let own = revision(&set, 1);
    let failed = member(0, &own, false, json!({"status": {"phase": "Failed"}}));
    assert_eq!(run(&set, vec![failed], vec![own]), ["delete pods ns/db-0"]);
}

#[test]
fn an_update_goes_down_the_ordinals_to_the_partition() {
    let old = set(3, json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "old"}]}}}}));
    let old = revision(&old, 1);
    let with = |partition: i32, more: Value| {
        let mut tree = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}, "status": {"replicas": 3, "currentRevision": old.name()}});
        merge(&mut tree, more);
        set(3, tree)
    };
    let new = revision(&with(0, json!({})), 2);
    let revisions = vec![old.clone(), new.clone()];
    let all_old = || (0..3).map(|ordinal| member(ordinal, &old, true, json!({}))).collect::<Vec<_>>();
    assert_eq!(run(&with(0, json!({})), all_old(), revisions.clone()), ["delete pods ns/db-2"]);
    assert_eq!(run(&with(3, json!({})), all_old(), revisions.clone()), [""; 0]);
    let on_delete = json!({"spec": {"updateStrategy": {"type": "OnDelete"}}});
    assert_eq!(run(&with(0, on_delete), all_old(), revisions.clone()), [""; 0]);
    let missing = vec![member(0, &old, true, json!({})), member(1, &old, true, json!({}))];
    let observed = Observed { set: with(2, json!({})), candidates: missing, revisions, claims: BTreeMap::new() };
    let told = plan(&observed, NOW.parse().unwrap());
    let crate::plan::Write::Create { body, .. } = &told.writes[0] else { panic!("no creation: {told}") };
    assert_eq!(body["metadata"]["labels"][REVISION_LABEL], new.name());
}
