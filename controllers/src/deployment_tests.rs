//! Rollouts as text; cases of upstream's `deployment_controller_test.go`, `rolling_test.go`, `sync_test.go`.

use super::*;
use crate::pods::testing::{merge, pod};
use serde_json::{Value, json};

const NOW: &str = "2024-01-01T00:10:00Z";

fn deployment(replicas: i32, more: Value) -> Arc<Deployment> {
    let mut tree = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "d", "resourceVersion": "1", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": template("new")},
        "status": {"observedGeneration": 1},
    });
    merge(&mut tree, more);
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

/// A set of `size` pods, `available` of them available, made in revision `revision` of a Deployment of `desired`.
fn set(image: &str, revision: i64, size: i32, available: i32, desired: i32) -> Arc<ReplicaSet> {
    let mut template = template(image);
    template["metadata"]["labels"][HASH_LABEL] = json!(image);
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": format!("web-{image}"), "namespace": "ns", "uid": image, "resourceVersion": "1", "generation": 1,
                "creationTimestamp": format!("2024-01-01T00:00:0{revision}Z"), "labels": {"app": "web", HASH_LABEL: image},
                "annotations": {"deployment.kubernetes.io/revision": revision.to_string(), "deployment.kubernetes.io/desired-replicas": desired.to_string(),
                    "deployment.kubernetes.io/max-replicas": (desired + (desired + 3) / 4).to_string()},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true}]},
            "spec": {"replicas": size, "selector": {"matchLabels": {"app": "web"}}, "template": template},
            "status": {"replicas": size, "readyReplicas": available, "availableReplicas": available, "observedGeneration": 1},
        }))
        .unwrap(),
    )
}

/// Every line of the plan, without statuses.
fn lines(deployment: Arc<Deployment>, candidates: Vec<Arc<ReplicaSet>>, pods: Vec<Arc<Pod>>) -> Vec<String> {
    let observed = Observed { deployment, candidates, namesake: None, pods };
    let text = plan(&observed, NOW.parse().unwrap()).to_string();
    text.lines().filter(|line| !line.starts_with("update deployments.apps/status")).map(ToOwned::to_owned).collect()
}

fn conditions_of(deployment: Arc<Deployment>, candidates: Vec<Arc<ReplicaSet>>) -> Vec<String> {
    let observed = Observed { deployment, candidates, namesake: None, pods: vec![] };
    let plan = plan(&observed, NOW.parse().unwrap());
    let body = plan.writes.iter().find_map(|write| match write {
        crate::plan::Write::Update { target, body } if target.subresource == "status" => Some(body.clone()),
        _ => None,
    });
    let all = conditions::read(&body.unwrap_or_default()["status"]);
    all.iter().map(|condition| format!("{}={} {}", condition.kind, condition.status, condition.reason)).collect()
}

fn new_name() -> String {
    let deployment = deployment(1, json!({}));
    set_name(&deployment, &template_hash(&deployment))
}

#[test]
fn a_first_rollout_makes_a_set() {
    let name = new_name();
    let expected = [
        format!("create replicasets.apps ns/{name}"),
        format!("event ScalingReplicaSet Scaled up replica set {name} from 0 to 3"),
    ];
    assert_eq!(lines(deployment(3, json!({})), vec![], vec![]), expected);
    assert_eq!(
        conditions_of(deployment(3, json!({})), vec![]),
        ["Progressing=True NewReplicaSetCreated", "Available=False MinimumReplicasUnavailable"]
    );
}

/// Upstream's `TestDeploymentController_reconcileNewReplicaSet` and `_reconcileOldReplicaSets`, in sizes of ten.
#[test]
fn a_rolling_update_keeps_its_fences() {
    let case = |old: (i32, i32), new: (i32, i32)| {
        let mut sets = vec![set("old", 1, old.0, old.1, 10)];
        sets.push(set("new", 2, new.0, new.1, 10));
        let lines = lines(deployment(10, json!({})), sets, vec![]);
        lines.into_iter().filter(|line| line.starts_with("event")).collect::<Vec<_>>()
    };
    let scaled = |words: &str| vec![format!("event ScalingReplicaSet Scaled {words}")];
    assert_eq!(case((10, 10), (0, 0)), scaled("up replica set web-new from 0 to 3"), "the surge is used first");
    assert_eq!(
        case((10, 10), (3, 0)),
        scaled("down replica set web-old from 10 to 8"),
        "down to what must be available"
    );
    assert_eq!(case((8, 8), (3, 0)), scaled("up replica set web-new from 3 to 5"));
    assert_eq!(case((8, 8), (5, 0)), [""; 0], "nothing more until new pods are available");
    assert_eq!(case((8, 8), (5, 5)), scaled("down replica set web-old from 8 to 3"));
    assert_eq!(
        case((8, 2), (5, 5)),
        scaled("down replica set web-old from 8 to 3"),
        "unhealthy ones go without counting"
    );
    assert_eq!(case((3, 3), (10, 10)), scaled("down replica set web-old from 3 to 0"));
}

/// Upstream's `TestScale`, by its cases of proportional scaling.
#[test]
fn scaling_in_mid_rollout_is_proportional() {
    let case = |wanted: i32, before: i32, sizes: [i32; 2]| {
        let sets = vec![set("old", 1, sizes[0], sizes[0], before), set("new", 2, sizes[1], sizes[1] - 1, before)];
        let strategy = json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}});
        let lines = lines(deployment(wanted, strategy), sets, vec![]);
        lines
            .into_iter()
            .filter_map(|line| line.strip_prefix("event ScalingReplicaSet ").map(ToOwned::to_owned))
            .collect::<Vec<_>>()
    };
    let none = [""; 0];
    assert_eq!(case(8, 8, [5, 3]), none, "same size is no scaling event");
    assert_eq!(case(0, 10, [5, 5]).len(), 2);
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let recreate = || json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}});
    let shrunk = lines(deployment(3, recreate()), vec![set("old", 1, 3, 3, 3)], vec![]);
    assert_eq!(
        shrunk,
        ["update replicasets.apps ns/web-old", "event ScalingReplicaSet Scaled down replica set web-old from 3 to 0"]
    );
    let old = pod(
        "p",
        json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-old", "uid": "old", "controller": true}]}}),
    );
    assert_eq!(lines(deployment(3, recreate()), vec![set("old", 1, 0, 0, 3)], vec![old]), ["again in 1s"; 0]);
    let started = lines(deployment(3, recreate()), vec![set("old", 1, 0, 0, 3)], vec![]);
    assert_eq!(started[0], format!("create replicasets.apps ns/{}", new_name()));
}

#[test]
fn a_finished_rollout_is_reported_and_old_sets_beyond_the_history_go() {
    let status = json!({"spec": {"revisionHistoryLimit": 1}, "status": {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}});
    let sets = vec![set("a", 1, 0, 0, 2), set("b", 2, 0, 0, 2), set("new", 3, 2, 2, 2)];
    assert_eq!(lines(deployment(2, status.clone()), sets.clone(), vec![]), ["delete replicasets.apps ns/web-a"]);
    assert_eq!(
        conditions_of(deployment(2, status), sets),
        ["Available=True MinimumReplicasAvailable", "Progressing=True NewReplicaSetAvailable"]
    );
}

#[test]
fn a_rollout_that_stands_still_misses_its_deadline() {
    let stuck = |updated: &str| {
        json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}},
            "status": {"replicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1, "conditions": [
            {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "lastUpdateTime": updated, "lastTransitionTime": updated},
            {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "message": "", "lastUpdateTime": updated, "lastTransitionTime": updated}]}})
    };
    let early = deployment(1, stuck("2024-01-01T00:05:00Z"));
    assert_eq!(lines(early, vec![set("new", 1, 1, 0, 1)], vec![]), ["again in 301s"]);
    let late = deployment(1, stuck("2023-12-31T23:59:00Z"));
    let told = conditions_of(late, vec![set("new", 1, 1, 0, 1)]);
    assert!(told.contains(&"Progressing=False ProgressDeadlineExceeded".to_owned()), "{told:?}");
}

#[test]
fn a_taken_name_counts_as_a_collision() {
    let foreign = set("other", 1, 0, 0, 1);
    let observed =
        Observed { deployment: deployment(1, json!({})), candidates: vec![], namesake: Some(foreign), pods: vec![] };
    let text = plan(&observed, NOW.parse().unwrap()).to_string();
    assert!(text.contains("\"collisionCount\":1") && !text.contains("create"), "{text}");
}

#[test]
fn a_rollback_copies_the_template_back() {
    let back = json!({"metadata": {"annotations": {"deprecated.deployment.rollback.to": "1"}}});
    let told = lines(deployment(1, back), vec![set("old", 1, 0, 0, 1), set("new", 2, 1, 1, 1)], vec![]);
    assert_eq!(
        told,
        ["update deployments.apps ns/web", "event DeploymentRollback Rolled back deployment \"web\" to revision 1"]
    );
}
