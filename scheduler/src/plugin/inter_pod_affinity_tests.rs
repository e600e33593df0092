//! Cases of upstream's `interpodaffinity/{filtering,scoring}_test.go`.

use super::*;
use crate::testing::{cluster, labelled, node, object};
use serde_json::{Value, json};

fn term(key: &str, value: &str, topology: &str) -> Value {
    json!({"labelSelector": {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}, "topologyKey": topology})
}

fn required(kind: &str, terms: Value) -> Value {
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
}

fn near(terms: Value) -> Value {
    required("podAffinity", terms)
}

fn far(terms: Value) -> Value {
    required("podAntiAffinity", terms)
}

/// Nodes `a` and `b` in region `r1`, `c` in `r2`; the pod given is on `a`.
fn three_nodes(there: Option<Arc<PodInfo>>) -> Snapshot {
    let place = |name: &str, region: &str, pods| {
        (node(name, json!({"metadata": {"labels": {"region": region, "hostname": name}}})), pods)
    };
    let on_a = there.into_iter().collect();
    cluster(vec![place("a", "r1", on_a), place("b", "r1", vec![]), place("c", "r2", vec![])])
}

fn judged(pod: &PodInfo, snapshot: &Snapshot) -> Vec<&'static str> {
    let Prepared::Filter(filter) = InterPodAffinity.pre_filter(pod, snapshot) else { return vec!["skip"] };
    let text = |node: &Arc<NodeInfo>| match filter.filter(node).reasons().first().map(String::as_str) {
        None => "fits",
        Some(AFFINITY) => "affinity",
        Some(ANTI_AFFINITY) => "anti-affinity",
        Some(EXISTING) => "existing",
        Some(_) => "else",
    };
    snapshot.nodes.iter().map(text).collect()
}

#[test]
fn required_terms() {
    let securityscan = |spec| labelled("there", json!({"service": "securityscan"}), spec);
    let new = |spec| labelled("new", json!({"service": "new"}), spec);
    let cases = [
        ("no rules and no pods", None, new(json!({})), vec!["skip"]),
        (
            "affinity by region",
            Some(securityscan(json!({}))),
            new(near(json!([term("service", "securityscan", "region")]))),
            vec!["fits", "fits", "affinity"],
        ),
        (
            "affinity by host",
            Some(securityscan(json!({}))),
            new(near(json!([term("service", "securityscan", "hostname")]))),
            vec!["fits", "affinity", "affinity"],
        ),
        (
            "all terms must be matched by one pod",
            Some(securityscan(json!({}))),
            new(near(json!([term("service", "securityscan", "region"), term("service", "other", "region")]))),
            vec!["affinity", "affinity", "affinity"],
        ),
        (
            "another namespace",
            Some(object(
                json!({"metadata": {"name": "there", "namespace": "ns", "labels": {"service": "securityscan"}}, "spec": {}}),
            )),
            new(near(json!([term("service", "securityscan", "region")]))),
            vec!["affinity", "affinity", "affinity"],
        ),
        (
            "the first of its group",
            None,
            new(near(json!([term("service", "new", "region")]))),
            vec!["fits", "fits", "fits"],
        ),
        (
            "the first of a group needs the topology",
            None,
            new(near(json!([term("service", "new", "rack")]))),
            vec!["affinity", "affinity", "affinity"],
        ),
        (
            "anti-affinity by host",
            Some(securityscan(json!({}))),
            new(far(json!([term("service", "securityscan", "hostname")]))),
            vec!["anti-affinity", "fits", "fits"],
        ),
        (
            "anti-affinity: any term counts",
            Some(securityscan(json!({}))),
            new(far(json!([term("service", "other", "hostname"), term("service", "securityscan", "region")]))),
            vec!["anti-affinity", "anti-affinity", "fits"],
        ),
        (
            "the pod that is there wants it far",
            Some(securityscan(far(json!([term("service", "new", "region")])))),
            new(json!({})),
            vec!["existing", "existing", "fits"],
        ),
        (
            "the pod that is there does not mind",
            Some(securityscan(far(json!([term("service", "other", "region")])))),
            new(json!({})),
            vec!["skip"],
        ),
    ];
    for (name, there, pod, expected) in cases {
        assert_eq!(judged(&pod, &three_nodes(there)), expected, "{name}");
    }
}

#[test]
fn namespaces_are_selected_by_their_labels() {
    let there = json!({"metadata": {"name": "there", "namespace": "subteam1", "labels": {"service": "securityscan"}}, "spec": {}});
    let mut snapshot = three_nodes(Some(object(there)));
    let labels = [("team".to_owned(), "team1".to_owned())].into();
    snapshot.namespaces = Arc::new([("subteam1".to_owned(), labels)].into());
    let cases = [
        (json!({"matchLabels": {"team": "team1"}}), ["fits", "fits", "affinity"]),
        (json!({"matchLabels": {"team": "team2"}}), ["affinity", "affinity", "affinity"]),
        (json!({}), ["fits", "fits", "affinity"]),
    ];
    for (selector, expected) in cases {
        let mut term = term("service", "securityscan", "region");
        term["namespaceSelector"] = selector.clone();
        let pod = labelled("new", json!({}), near(json!([term])));
        assert_eq!(judged(&pod, &snapshot), expected, "{selector}");
    }
}

#[test]
fn preferred_terms_score() {
    let wish = |kind: &str, weight: i32, term: Value| json!({"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": term}]}}});
    let there = |spec| Some(labelled("there", json!({"security": "S1"}), spec));
    let new = |spec| labelled("new", json!({"security": "S1"}), spec);
    let by_region = || term("security", "S1", "region");
    let cases = [
        ("near", there(json!({})), new(wish("podAffinity", 5, by_region())), Some([100, 100, 0])),
        ("far", there(json!({})), new(wish("podAntiAffinity", 5, by_region())), Some([0, 0, 100])),
        (
            "who is there wishes it near",
            there(wish("podAffinity", 5, by_region())),
            new(json!({})),
            Some([100, 100, 0]),
        ),
        (
            "who is there wishes it far",
            there(wish("podAntiAffinity", 5, by_region())),
            new(json!({})),
            Some([0, 0, 100]),
        ),
        ("who is there needs it near", there(near(json!([by_region()]))), new(json!({})), Some([100, 100, 0])),
        ("nobody wishes", there(json!({})), new(json!({})), None),
    ];
    for (name, there, pod, expected) in cases {
        let snapshot = three_nodes(there);
        let scored = InterPodAffinity.pre_score(&pod, &snapshot, &snapshot.nodes).map(|scorer| {
            let mut scores: Vec<_> = snapshot.nodes.iter().map(|node| scorer.score(node)).collect();
            scorer.normalize(&mut scores);
            scores
        });
        assert_eq!(scored, expected.map(|scores| scores.to_vec()), "{name}");
    }
}
