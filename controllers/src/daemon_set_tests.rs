//! Daemon sets as text; cases of upstream's `daemon_controller_test.go` and `update_test.go`.

use super::*;
use crate::pods::testing::{merge, pod};
use serde_json::{Value, json};

const NOW: &str = "2024-01-01T01:00:00Z";

fn set(more: Value) -> Arc<DaemonSet> {
    let mut tree = json!({
        "metadata": {"name": "agent", "namespace": "ns", "uid": "d", "resourceVersion": "1", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "c", "image": "new"}]}}},
    });
    merge(&mut tree, more);
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn node(name: &str, more: Value) -> Arc<Node> {
    let mut tree = json!({"metadata": {"name": name, "labels": {"disk": "ssd"}}});
    merge(&mut tree, more);
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn revision(set: &DaemonSet, number: i64) -> Arc<ControllerRevision> {
    let form = Form { hash_label: HASH_LABEL, labels: [("app".to_owned(), "agent".to_owned())].into() };
    let mut made = history::sync(set, &set.spec.template, &[], &[], form, 0, &mut Plan::default()).update;
    made.revision = Some(number);
    Arc::new(made)
}

fn daemon(name: &str, node: &str, revision: &ControllerRevision, more: Value) -> Arc<Pod> {
    let mut tree = json!({"metadata": {"labels": {"app": "agent", HASH_LABEL: revision.label(HASH_LABEL)}, "creationTimestamp": "2024-01-01T00:00:00Z",
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "d", "controller": true}]}, "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}});
    merge(&mut tree, more);
    pod(name, tree)
}

fn run(
    set: &Arc<DaemonSet>,
    nodes: Vec<Arc<Node>>,
    candidates: Vec<Arc<Pod>>,
    revisions: Vec<Arc<ControllerRevision>>,
) -> Vec<String> {
    let observed = Observed { set: set.clone(), candidates, revisions, nodes };
    let text = plan(&observed, NOW.parse().unwrap()).to_string();
    text.lines().filter(|line| !line.starts_with("update daemonsets.apps/status")).map(ToOwned::to_owned).collect()
}

#[test]
fn each_fitting_node_gets_a_pod_by_affinity() {
    let set = set(json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}}));
    let own = revision(&set, 1);
    let tainted = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    let cordoned = json!({"spec": {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}});
    let nodes = vec![
        node("a", json!({})),
        node("b", json!({"metadata": {"labels": {"disk": "hdd"}}})),
        node("c", tainted),
        node("d", cordoned),
    ];
    assert_eq!(run(&set, nodes.clone(), vec![], vec![own.clone()]), ["create pods ns/agent-", "create pods ns/agent-"]);
    let observed = Observed { set, candidates: vec![], revisions: vec![own], nodes };
    let told = plan(&observed, NOW.parse().unwrap());
    let crate::plan::Write::Create { body, .. } = &told.writes[0] else { panic!("no creation") };
    let made: Pod = serde_json::from_value(body.clone()).unwrap();
    assert_eq!(nodes::node_of(&made), Some("a"));
}

#[test]
fn pods_go_from_nodes_that_do_not_fit_and_when_there_are_two() {
    let set = set(json!({}));
    let own = revision(&set, 1);
    let evicting = node("a", json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}));
    assert_eq!(
        run(&set, vec![evicting], vec![daemon("x", "a", &own, json!({}))], vec![own.clone()]),
        ["delete pods ns/x"]
    );
    let younger = daemon("y", "a", &own, json!({"metadata": {"creationTimestamp": "2024-01-01T00:30:00Z"}}));
    let two = vec![younger, daemon("x", "a", &own, json!({}))];
    assert_eq!(run(&set, vec![node("a", json!({}))], two, vec![own.clone()]), ["delete pods ns/y"]);
    let failed = daemon("x", "a", &own, json!({"status": {"phase": "Failed"}}));
    let told = run(&set, vec![node("a", json!({}))], vec![failed], vec![own]);
    assert_eq!(
        told,
        ["warn FailedDaemonPod Found failed daemon pod ns/x on node a, will try to kill it", "delete pods ns/x"]
    );
}

#[test]
fn an_update_replaces_within_its_fences() {
    let old =
        revision(&set(json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "old"}]}}}})), 1);
    let nodes = || vec![node("a", json!({})), node("b", json!({}))];
    let pods = || vec![daemon("x", "a", &old, json!({})), daemon("y", "b", &old, json!({}))];
    let rolling = set(json!({}));
    let revisions = || vec![old.clone(), revision(&rolling, 2)];
    assert_eq!(run(&rolling, nodes(), pods(), revisions()), ["delete pods ns/x"]);
    let surging = set(json!({"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}}}));
    assert_eq!(run(&surging, nodes(), pods(), revisions()), ["create pods ns/agent-"]);
    let manual = set(json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}));
    assert_eq!(run(&manual, nodes(), pods(), revisions()), [""; 0]);
}
