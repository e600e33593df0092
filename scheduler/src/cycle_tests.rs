//! Whole decisions: the texts that users read, and who wins.

use super::*;
use crate::testing::{cluster, node, pod};
use apimachinery::clock::SeededRng;
use serde_json::{Value, json};

fn sized(name: &str, cpu: &str, mut fields: Value) -> NodeInfo {
    fields["status"]["allocatable"] = json!({"cpu": cpu, "memory": "4Gi", "pods": "110"});
    node(name, fields)
}

fn decided(spec: Value, nodes: Vec<NodeInfo>) -> Decision {
    let snapshot = cluster(nodes.into_iter().map(|node| (node, vec![])).collect());
    decide(&Profile::default(), &pod("p", spec), &snapshot, &SeededRng::new(1), 4)
}

fn asks(cpu: &str) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]})
}

fn tainted(key: &str, effect: &str) -> Value {
    json!({"spec": {"taints": [{"key": key, "effect": effect}]}})
}

#[test]
fn reasons_are_counted() {
    let nodes = || {
        vec![
            sized("a", "1", json!({})),
            sized("b", "1", json!({})),
            sized("c", "9", tainted("dedicated", "NoSchedule")),
            sized("d", "9", json!({"spec": {"unschedulable": true}})),
        ]
    };
    let unhelpful =
        |count: u32| format!(" preemption: 0/4 nodes are available: {count} Preemption is not helpful for scheduling.");
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["c"]}]}]}}});
    let cases = [
        (
            asks("2"),
            format!(
                "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 Insufficient cpu.{}",
                unhelpful(4)
            ),
            vec!["NodeResourcesFit", "NodeUnschedulable", "TaintToleration"],
        ),
        (
            json!({"affinity": affinity}),
            format!(
                "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 node(s) didn't satisfy plugin(s) [NodeAffinity].{}",
                unhelpful(4)
            ),
            vec!["NodeAffinity", "TaintToleration"],
        ),
        (
            json!({"nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}]}),
            format!("0/4 nodes are available: 4 node(s) didn't match Pod's node affinity/selector.{}", unhelpful(4)),
            vec!["NodeAffinity"],
        ),
    ];
    for (spec, message, plugins) in cases {
        let Decision::Reject(rejection) = decided(spec, nodes()) else { panic!("placed, but expected: {message}") };
        assert_eq!(rejection.message, message);
        assert_eq!(rejection.plugins.into_iter().collect::<Vec<_>>(), plugins, "{message}");
    }
    let Decision::Reject(rejection) = decided(json!({}), vec![]) else { panic!("placed without nodes") };
    assert_eq!(rejection.message, "no nodes available to schedule pods");
}

#[test]
fn the_best_node_wins() {
    let preferred = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}}]}});
    let cases = [
        ("the emptier one", asks("500m"), sized("a", "1", json!({})), sized("b", "8", json!({})), "b"),
        (
            "the one that does not mind",
            json!({}),
            sized("a", "4", tainted("k", "PreferNoSchedule")),
            sized("b", "4", json!({})),
            "b",
        ),
        (
            "the preferred one",
            json!({"affinity": preferred}),
            sized("a", "4", json!({"metadata": {"labels": {"disk": "ssd"}}})),
            sized("b", "4", json!({})),
            "a",
        ),
        (
            "the one that may run it",
            json!({}),
            sized("a", "4", tainted("k", "NoExecute")),
            sized("b", "4", json!({})),
            "b",
        ),
    ];
    for (name, spec, a, b, winner) in cases {
        let Decision::Place { node, .. } = decided(spec, vec![a, b]) else { panic!("not placed: {name}") };
        assert_eq!(node, winner, "{name}");
    }
}

#[test]
fn chance_decides_between_equals() {
    let snapshot = cluster(vec![(sized("a", "4", json!({})), vec![]), (sized("b", "4", json!({})), vec![])]);
    let rng = SeededRng::new(7);
    let mut seen = BTreeSet::new();
    for _ in 0..32 {
        let Decision::Place { node, .. } = decide(&Profile::default(), &pod("p", json!({})), &snapshot, &rng, 1) else {
            panic!("not placed")
        };
        seen.insert(node);
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn threads_judge_as_one_does() {
    let nodes = (0..600).map(|i| (sized(&format!("n{i:03}"), if i == 431 { "2" } else { "1" }, json!({})), vec![]));
    let snapshot = cluster(nodes.collect());
    let Decision::Place { node, .. } =
        decide(&Profile::default(), &pod("p", asks("2")), &snapshot, &SeededRng::new(1), 4)
    else {
        panic!("not placed")
    };
    assert_eq!(node, "n431");
}
