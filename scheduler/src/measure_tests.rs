//! What one decision costs on 5,000 nodes, for who wants to know: `cargo test -p scheduler measure -- --ignored --nocapture`.

use crate::testing::{decided, default_profile, labelled, node, pod, world};
use apimachinery::clock::SeededRng;
use serde_json::{Value, json};
use std::time::Instant;

const NODES: usize = 5_000;
const PODS_PER_NODE: usize = 10;
const ROUNDS: u32 = 20;

#[test]
#[ignore = "measures time"]
fn measure_decisions_on_5000_nodes() {
    let asks = |cpu: &str| json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]});
    let nodes = (0..NODES).map(|i| {
        let name = format!("n{i:04}");
        let labels = json!({"topology.kubernetes.io/zone": format!("z{}", i % 3), "kubernetes.io/hostname": name});
        let allocatable = json!({"cpu": "16", "memory": "64Gi", "pods": "110"});
        let pods = (0..PODS_PER_NODE)
            .map(|p| labelled(&format!("{name}-{p}"), json!({"app": format!("a{}", p % 5)}), asks("500m")))
            .collect();
        (node(&name, json!({"metadata": {"labels": labels}, "status": {"allocatable": allocatable}})), pods)
    });
    let mut cache = world(nodes.collect());
    let with = |more: Value| {
        let mut spec = asks("100m");
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let selector = json!({"matchLabels": {"app": "a1"}});
    let spread = |key: &str, action: &str| json!({"topologySpreadConstraints": [{"maxSkew": 5, "topologyKey": key, "whenUnsatisfiable": action, "labelSelector": selector}]});
    let far = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "new"}}}]}}});
    let cases = [
        ("plain", with(json!({}))),
        ("spread over zones, hard", with(spread("topology.kubernetes.io/zone", "DoNotSchedule"))),
        ("spread over nodes, hard", with(spread("kubernetes.io/hostname", "DoNotSchedule"))),
        ("spread over zones, soft", with(spread("topology.kubernetes.io/zone", "ScheduleAnyway"))),
        ("anti-affinity by node", with(far)),
        ("fits nowhere", asks("32")),
        ("fits nowhere, preempts", json!({"priority": 10, "containers": asks("12")["containers"]})),
    ];
    let (profile, rng) = (default_profile(), SeededRng::new(1));
    for (name, spec) in cases {
        let new = pod("new", spec);
        let snapshot = cache.snapshot();
        let started = Instant::now();
        for _ in 0..ROUNDS {
            std::hint::black_box(decided(&profile, &new, snapshot, &rng, 1));
        }
        println!("{name}: {:?} for each pod", started.elapsed() / ROUNDS);
    }
}
