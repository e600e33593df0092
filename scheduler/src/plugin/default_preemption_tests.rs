//! Cases of upstream's `defaultpreemption/default_preemption_test.go`, on nodes of 500m.

use super::*;
use crate::cache::Cache;
use crate::cycle::{Decision, Nomination};
use crate::testing::{decided, default_profile, node, object, world};
use apimachinery::clock::SeededRng;
use serde_json::{Value, json};

fn at(name: &str, priority: i32, cpu: i32, more: Value) -> Arc<PodInfo> {
    let mut spec = json!({
        "priority": priority, "containers": [{"name": "c", "resources": {"requests": {"cpu": format!("{cpu}m")}}}],
    });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let started = format!("2026-01-01T00:00:{:02}Z", name.len());
    object(json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec, "status": {"startTime": started}}))
}

fn plain(name: &str, priority: i32, cpu: i32) -> Arc<PodInfo> {
    at(name, priority, cpu, json!({}))
}

fn nodes(pods: Vec<Vec<Arc<PodInfo>>>) -> Cache {
    let allocatable = json!({"cpu": "500m", "memory": "1Gi", "pods": "10"});
    let nodes = pods.into_iter().enumerate();
    world(
        nodes
            .map(|(i, pods)| (node(&format!("n{i}"), json!({"status": {"allocatable": allocatable}})), pods))
            .collect(),
    )
}

/// `NODE: VICTIMS`, or the message.
fn outcome(pod: &PodInfo, cache: &mut Cache) -> String {
    match decided(&default_profile(), pod, cache.snapshot(), &SeededRng::new(1), 1) {
        Decision::Fail(message) => message,
        Decision::Place { node, .. } => format!("placed on {node}"),
        Decision::Reject(rejection) => match rejection.nomination {
            Nomination::Node { node, victims } => {
                let names: Vec<_> = victims.iter().map(|victim| victim.name().to_owned()).collect();
                format!("{node}: {}", names.join(" "))
            }
            Nomination::Clear | Nomination::Keep => rejection.message,
        },
    }
}

#[test]
fn victims() {
    let cases = [
        ("there is room", vec![vec![plain("low", 0, 100)]], plain("new", 10, 100), "placed on n0"),
        ("a lesser pod goes", vec![vec![plain("low", 0, 400)]], plain("new", 10, 200), "n0: low"),
        (
            "the more important pod stays",
            vec![vec![plain("low", 0, 200), plain("mid", 5, 200)]],
            plain("new", 10, 200),
            "n0: low",
        ),
        (
            "the node with the least important victim",
            vec![vec![plain("mid", 5, 400)], vec![plain("low", 0, 400)]],
            plain("new", 10, 200),
            "n1: low",
        ),
        (
            "the node with fewer victims",
            vec![vec![plain("low", 0, 200), plain("lower", 0, 200)], vec![plain("low2", 0, 400)]],
            plain("new", 10, 400),
            "n1: low2",
        ),
        (
            "the victim that started last",
            vec![vec![plain("l", 0, 400)], vec![plain("later", 0, 400)]],
            plain("new", 10, 400),
            "n1: later",
        ),
        (
            "equals do not go",
            vec![vec![plain("equal", 10, 400)]],
            plain("new", 10, 200),
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
        ),
        (
            "more than a node has",
            vec![vec![plain("low", 0, 400)], vec![]],
            plain("new", 10, 600),
            "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
        ),
        (
            "a pod that never preempts",
            vec![vec![plain("low", 0, 400)]],
            at("new", 10, 200, json!({"preemptionPolicy": "Never"})),
            "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
        ),
    ];
    for (name, pods, pod, expected) in cases {
        assert_eq!(outcome(&pod, &mut nodes(pods)), expected, "{name}");
    }
}

#[test]
fn disruption_budgets_are_spared() {
    let mut cache = nodes(vec![vec![plain("low", 0, 400)], vec![plain("mid", 5, 400)]]);
    let budget = json!({
        "metadata": {"name": "b", "namespace": "default"}, "spec": {"selector": {"matchLabels": {"app": "low"}}},
        "status": {"currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": 0, "expectedPods": 1},
    });
    let budget = Arc::new(serde_json::from_value(budget).unwrap());
    cache.snapshot_mut().budgets.insert("default/b".to_owned(), budget);
    assert_eq!(outcome(&plain("new", 10, 200), &mut cache), "n1: mid");
}

#[test]
fn room_that_is_made_is_kept() {
    let mut cache = nodes(vec![vec![]]);
    cache.nominate(&plain("first", 10, 400), Some("n0"));
    assert_eq!(outcome(&plain("higher", 11, 200), &mut cache), "placed on n0");
    assert!(outcome(&plain("equal", 10, 200), &mut cache).starts_with("0/1 nodes are available: 1 Insufficient cpu."));
}
