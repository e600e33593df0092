//! Cases of upstream's `podtopologyspread/{filtering,scoring}_test.go`.

use super::*;
use crate::testing::{cluster, labelled, node, object};
use serde_json::{Value, json};

/// One to four pods labelled `foo` on each of four nodes in two zones.
fn four_nodes(counts: [usize; 4], change: impl Fn(&str, &mut Value)) -> Snapshot {
    let places = [("a", "1"), ("b", "1"), ("x", "2"), ("y", "2")];
    let nodes = places.into_iter().zip(counts).map(|((name, zone), count)| {
        let mut labels = json!({"zone": zone, "node": name, "kubernetes.io/hostname": name});
        change(name, &mut labels);
        let pods = (0..count).map(|i| labelled(&format!("{name}{i}"), json!({"foo": ""}), json!({}))).collect();
        (node(name, json!({"metadata": {"labels": labels}})), pods)
    });
    cluster(nodes.collect())
}

fn constraint(key: &str, max_skew: i32, action: &str, more: Value) -> Value {
    let mut constraint = json!({
        "topologyKey": key, "maxSkew": max_skew, "whenUnsatisfiable": action,
        "labelSelector": {"matchLabels": {"foo": ""}},
    });
    for (name, value) in more.as_object().unwrap() {
        constraint[name] = value.clone();
    }
    constraint
}

fn newcomer(constraints: &[Value], more: Value) -> Arc<PodInfo> {
    let mut spec = json!({"topologySpreadConstraints": constraints});
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    labelled("new", json!({"foo": ""}), spec)
}

/// `y` fits, `n` could, `-` cannot.
fn judged(pod: &PodInfo, snapshot: &Snapshot) -> String {
    let Prepared::Filter(filter) = PodTopologySpread.pre_filter(pod, snapshot) else { return "skip".to_owned() };
    let letter = |node: &Arc<NodeInfo>| match filter.filter(node) {
        Verdict::Fits => 'y',
        Verdict::Unschedulable(_) => 'n',
        Verdict::Unresolvable(_) => '-',
    };
    snapshot.nodes.iter().map(letter).collect()
}

#[test]
fn hard_constraints() {
    let hard = |key: &str, skew, more| constraint(key, skew, "DoNotSchedule", more);
    let on_a = json!({"nodeSelector": {"node": "a"}});
    let cases = [
        ("no existing pods", [0, 0, 0, 0], vec![hard("zone", 1, json!({}))], json!({}), "yyyy"),
        ("zones as 3/3", [2, 1, 0, 3], vec![hard("zone", 1, json!({}))], json!({}), "yyyy"),
        ("zones as 0/2", [0, 0, 1, 1], vec![hard("zone", 1, json!({}))], json!({}), "yynn"),
        ("no node has the label", [0, 0, 0, 0], vec![hard("rack", 1, json!({}))], json!({}), "----"),
        ("nodes as 2/1/0/3", [2, 1, 0, 3], vec![hard("node", 1, json!({}))], json!({}), "nnyn"),
        ("nodes as 2/1/0/3, skew 2", [2, 1, 0, 3], vec![hard("node", 2, json!({}))], json!({}), "nyyn"),
        (
            "a null selector counts none",
            [0, 0, 1, 1],
            vec![hard("zone", 1, json!({"labelSelector": null}))],
            json!({}),
            "yyyy",
        ),
        (
            "does not match itself",
            [2, 1, 0, 3],
            vec![hard("node", 1, json!({"labelSelector": {"matchLabels": {"bar": ""}}}))],
            json!({}),
            "yyyy",
        ),
        ("only the selected node counts", [2, 1, 0, 3], vec![hard("node", 1, json!({}))], on_a.clone(), "yyyy"),
        ("all nodes count", [2, 1, 0, 3], vec![hard("node", 1, json!({"nodeAffinityPolicy": "Ignore"}))], on_a, "nnyn"),
        ("fewer domains than wanted", [2, 2, 1, 1], vec![hard("node", 2, json!({"minDomains": 5}))], json!({}), "nnyy"),
        ("enough domains", [2, 2, 1, 1], vec![hard("node", 2, json!({"minDomains": 4}))], json!({}), "yyyy"),
        (
            "both must hold, 3/3 and 2/1/0/3",
            [2, 1, 0, 3],
            vec![hard("zone", 1, json!({})), hard("node", 1, json!({}))],
            json!({}),
            "nnyn",
        ),
        (
            "both must hold, 3/4 and 2/1/0/4",
            [2, 1, 0, 4],
            vec![hard("zone", 1, json!({})), hard("node", 1, json!({}))],
            json!({}),
            "nnnn",
        ),
        (
            "a soft one does not filter",
            [9, 0, 0, 0],
            vec![constraint("node", 1, "ScheduleAnyway", json!({}))],
            json!({}),
            "skip",
        ),
    ];
    for (name, counts, constraints, more, fits) in cases {
        let snapshot = four_nodes(counts, |_, _| {});
        assert_eq!(judged(&newcomer(&constraints, more), &snapshot), fits, "{name}");
    }
}

#[test]
fn a_missing_label_takes_a_node_out() {
    let snapshot = four_nodes([1, 1, 1, 1], |name, labels| {
        if name == "b" {
            labels.as_object_mut().unwrap().remove("zone");
        }
    });
    let pod = newcomer(&[constraint("zone", 1, "DoNotSchedule", json!({}))], json!({}));
    assert_eq!(judged(&pod, &snapshot), "y-nn");
}

#[test]
fn match_label_keys_narrow_the_selector() {
    let snapshot = four_nodes([0, 0, 1, 1], |_, _| {});
    let constraint = constraint("zone", 1, "DoNotSchedule", json!({"matchLabelKeys": ["version"]}));
    let spec = json!({"topologySpreadConstraints": [constraint]});
    let pod = |labels| labelled("new", labels, spec.clone());
    assert_eq!(judged(&pod(json!({"foo": "", "version": "2"})), &snapshot), "yyyy");
    assert_eq!(judged(&pod(json!({"foo": ""})), &snapshot), "yynn");
}

#[test]
fn terminating_pods_and_other_namespaces_do_not_count() {
    let mut snapshot = four_nodes([0, 0, 0, 0], |_, _| {});
    let mut node = (*snapshot.nodes[0]).clone();
    let labels = json!({"foo": ""});
    node.add(object(json!({"metadata": {"name": "p", "labels": labels, "namespace": "other"}, "spec": {}})));
    let deleted = "2026-01-01T00:00:00Z";
    node.add(object(json!({"metadata": {"name": "q", "labels": labels, "deletionTimestamp": deleted}, "spec": {}})));
    snapshot.nodes[0] = Arc::new(node);
    let pod = newcomer(&[constraint("node", 1, "DoNotSchedule", json!({}))], json!({}));
    assert_eq!(judged(&pod, &snapshot), "yyyy");
}

fn scores(pod: &PodInfo, snapshot: &Snapshot, feasible: &[Arc<NodeInfo>]) -> Vec<i64> {
    let scorer = PodTopologySpread.pre_score(pod, snapshot, feasible).unwrap();
    let mut scores: Vec<_> = feasible.iter().map(|node| scorer.score(node)).collect();
    scorer.normalize(&mut scores);
    scores
}

#[test]
fn soft_constraints_score() {
    let soft = |key: &str, skew, more| vec![constraint(key, skew, "ScheduleAnyway", more)];
    let hostname = "kubernetes.io/hostname";
    let cases = [
        ("no existing pods", [0, 0, 0, 0], soft(hostname, 1, json!({})), [100, 100, 100, 100]),
        ("2/1/0/3", [2, 1, 0, 3], soft(hostname, 1, json!({})), [20, 60, 100, 0]),
        ("2/1/0/3, null selector", [2, 1, 0, 3], soft(hostname, 1, json!({"labelSelector": null})), [100; 4]),
        ("2/1/0/3, skew 2", [2, 1, 0, 3], soft(hostname, 2, json!({})), [33, 66, 100, 16]),
        ("4/3/2/1, skew 3", [4, 3, 2, 1], soft(hostname, 3, json!({})), [44, 66, 77, 100]),
    ];
    for (name, counts, constraints, expected) in cases {
        let snapshot = four_nodes(counts, |_, _| {});
        assert_eq!(scores(&newcomer(&constraints, json!({})), &snapshot, &snapshot.nodes), expected, "{name}");
    }
}

#[test]
fn pods_of_a_service_spread_by_default() {
    let mut snapshot = four_nodes([4, 3, 2, 1], |_, _| {});
    let peers = Some(Selector::from_map(&[("foo".to_owned(), String::new())].into()));
    snapshot.related = Arc::new(crate::related::Related { peers, ..Default::default() });
    let pod = newcomer(&[], json!({}));
    assert_eq!(scores(&pod, &snapshot, &snapshot.nodes), [44, 66, 77, 100]);
    snapshot.related = Arc::default();
    assert!(PodTopologySpread.pre_score(&pod, &snapshot, &snapshot.nodes).is_none());
}
