//! Whole decisions: the texts that users read, and who wins.

use super::*;
use crate::testing::{decided as decided_by, default_profile, node, pod, world};
use apimachinery::clock::SeededRng;
use serde_json::{Value, json};

fn sized(name: &str, cpu: &str, mut fields: Value) -> NodeInfo {
    fields["status"]["allocatable"] = json!({"cpu": cpu, "memory": "4Gi", "pods": "110"});
    node(name, fields)
}

fn decided(spec: Value, nodes: Vec<NodeInfo>) -> Decision {
    let mut cache = world(nodes.into_iter().map(|node| (node, vec![])).collect());
    decided_by(&default_profile(), &pod("p", spec), cache.snapshot(), &SeededRng::new(1), 4)
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
    let mut cache = world(vec![(sized("a", "4", json!({})), vec![]), (sized("b", "4", json!({})), vec![])]);
    let (snapshot, profile) = (cache.snapshot(), default_profile());
    let rng = SeededRng::new(7);
    let mut seen = BTreeSet::new();
    for _ in 0..32 {
        let Decision::Place { node, .. } = decided_by(&profile, &pod("p", json!({})), snapshot, &rng, 1) else {
            panic!("not placed")
        };
        seen.insert(node);
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn threads_judge_as_one_does() {
    let nodes = (0..600).map(|i| (sized(&format!("n{i:03}"), if i == 431 { "2" } else { "1" }, json!({})), vec![]));
    let mut cache = world(nodes.collect());
    let Decision::Place { node, .. } =
        decided_by(&default_profile(), &pod("p", asks("2")), cache.snapshot(), &SeededRng::new(1), 4)
    else {
        panic!("not placed")
    };
    assert_eq!(node, "n431");
}

/// The numbers of `TestNumFeasibleNodesToFind`.
#[test]
fn how_many_feasible_nodes_are_enough() {
    let cases = [(0, 10, 10), (40, 10, 10), (0, 1000, 420), (40, 1000, 400), (0, 6000, 300), (40, 6000, 2400)];
    let mut profile = default_profile();
    let mut cache = world(Vec::new());
    let rng = SeededRng::new(1);
    for (percentage, all, expected) in cases {
        profile.percentage_of_nodes_to_score = percentage;
        let snapshot = cache.snapshot();
        let setting = Setting { profile: &profile, snapshot, rng: &rng, threads: 1, start: 0, extended: false };
        assert_eq!(enough(&setting, all), expected, "{percentage} of {all}");
    }
}

#[test]
fn the_search_ends_early_and_goes_on_where_it_ended() {
    let nodes = (0..300).map(|i| (sized(&format!("n{i:03}"), "4", json!({})), vec![]));
    let mut cache = world(nodes.collect());
    let (profile, rng) = (default_profile(), SeededRng::new(1));
    let new = pod("p", asks("1"));
    for (start, first) in [(0, "n000"), (150, "n150"), (250, "n250")] {
        let snapshot = cache.snapshot();
        let setting = Setting { profile: &profile, snapshot, rng: &rng, threads: 1, start, extended: false };
        let Ok(feasible) = filter(&setting, &new) else { panic!("nothing fits") };
        assert_eq!((feasible.judged, feasible.nodes.len(), feasible.nodes[0].name()), (144, 144, first));
    }
}
