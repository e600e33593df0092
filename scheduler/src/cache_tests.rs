//! What is counted to which node, and which changes are news.

use super::*;
use crate::testing::{node, object};
use serde_json::{Value, json};

fn cpu(cache: &Cache, name: &str) -> Option<i64> {
    cache.snapshot().node(name).map(|node| node.requested.of("cpu"))
}

fn pod(name: &str, cpu: &str, labels: Value) -> Arc<PodInfo> {
    let requests = json!({"requests": {"cpu": cpu}});
    object(
        json!({"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"name": "c", "resources": requests}]}}),
    )
}

fn plain(name: &str) -> PodInfo {
    (*pod(name, "100m", json!({}))).clone()
}

#[test]
fn an_assumed_pod_counts_until_it_is_shown_or_forgotten() {
    let mut cache = Cache::default();
    assert_eq!(cache.set_node(node("n", json!({})).node), Some(ClusterEvent::NodeAdded));
    cache.assume(Arc::new(plain("p")), "n");
    assert_eq!(cpu(&cache, "n"), Some(100));
    assert_eq!(cache.set_pod(plain("p"), "n"), Some(ClusterEvent::PodAssigned));
    assert_eq!(cpu(&cache, "n"), Some(100));
    assert_eq!(cache.forget("p"), None, "a pod that is shown is not forgotten");
    cache.assume(Arc::new(plain("q")), "n");
    assert_eq!(cache.forget("q"), Some(ClusterEvent::PodFreed));
    assert_eq!(cpu(&cache, "n"), Some(100));
    assert_eq!(cache.remove_pod("p"), Some(ClusterEvent::PodFreed));
    assert_eq!(cpu(&cache, "n"), Some(0));
}

#[test]
fn pods_may_be_known_before_their_node_and_outlive_it() {
    let mut cache = Cache::default();
    cache.set_pod(plain("p"), "n");
    assert_eq!(cpu(&cache, "n"), None);
    for _ in 0..2 {
        cache.set_node(node("n", json!({})).node);
        assert_eq!(cpu(&cache, "n"), Some(100));
        cache.remove_node("n");
    }
}

#[test]
fn heartbeats_are_no_news() {
    let mut cache = Cache::default();
    cache.set_node(node("n", json!({})).node);
    let beat = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}], "images": [{"names": ["i"]}]}});
    let cases = [
        (beat, None),
        (json!({"spec": {"unschedulable": true}}), Some(ClusterEvent::NodeChanged)),
        (
            json!({"spec": {"unschedulable": true}, "status": {"allocatable": {"cpu": "1"}}}),
            Some(ClusterEvent::NodeChanged),
        ),
        (json!({}), Some(ClusterEvent::NodeChanged)),
        (json!({"metadata": {"labels": {"a": "b"}}}), Some(ClusterEvent::NodeChanged)),
    ];
    for (fields, event) in cases {
        assert_eq!(cache.set_node(node("n", fields.clone()).node), event, "{fields}");
    }
}

#[test]
fn an_assigned_pod_that_changes_is_news() {
    let mut cache = Cache::default();
    cache.set_node(node("n", json!({})).node);
    cache.set_pod(plain("p"), "n");
    let set = |cache: &mut Cache, cpu: &str, labels| cache.set_pod((*pod("p", cpu, labels)).clone(), "n");
    assert_eq!(set(&mut cache, "100m", json!({})), None);
    assert_eq!(set(&mut cache, "50m", json!({})), Some(ClusterEvent::PodFreed));
    assert_eq!(set(&mut cache, "50m", json!({"a": "b"})), Some(ClusterEvent::PodAssigned));
}

#[test]
fn namespaces_are_news_when_their_labels_change() {
    let mut cache = Cache::default();
    let labels = || Labels::from([("a".to_owned(), "b".to_owned())]);
    assert_eq!(cache.set_namespace("ns", Some(labels())), Some(ClusterEvent::NamespaceChanged));
    assert_eq!(cache.set_namespace("ns", Some(labels())), None);
    assert_eq!(cache.set_namespace("ns", None), Some(ClusterEvent::NamespaceChanged));
}
