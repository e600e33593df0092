//! What is counted to which node.

use super::*;
use crate::testing::{node, object};
use serde_json::{Value, json};

fn cpu(cache: &mut Cache, name: &str) -> Option<i64> {
    cache.snapshot().node(name).map(|node| node.requested.of("cpu"))
}

fn pod(name: &str, more: Value) -> Arc<PodInfo> {
    let mut spec = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    object(json!({"metadata": {"name": name}, "spec": spec}))
}

fn plain(name: &str) -> PodInfo {
    (*pod(name, json!({}))).clone()
}

#[test]
fn an_assumed_pod_counts_until_it_is_shown_or_forgotten() {
    let mut cache = Cache::default();
    cache.set_node(node("n", json!({})).node);
    cache.assume(Arc::new(plain("p")), "n");
    assert_eq!(cpu(&mut cache, "n"), Some(100));
    cache.set_pod(plain("p"), "n");
    assert_eq!(cpu(&mut cache, "n"), Some(100));
    assert!(!cache.forget("p"), "a pod that is shown is not forgotten");
    cache.assume(Arc::new(plain("q")), "n");
    assert!(cache.forget("q"));
    assert_eq!(cpu(&mut cache, "n"), Some(100));
    cache.remove_pod("p");
    assert_eq!(cpu(&mut cache, "n"), Some(0));
}

#[test]
fn pods_may_be_known_before_their_node_and_outlive_it() {
    let mut cache = Cache::default();
    cache.set_pod(plain("p"), "n");
    assert_eq!(cpu(&mut cache, "n"), None);
    for _ in 0..2 {
        cache.set_node(node("n", json!({})).node);
        assert_eq!(cpu(&mut cache, "n"), Some(100));
        cache.remove_node("n");
    }
}

#[test]
fn nodes_are_found_by_name_while_they_come_and_go() {
    let mut cache = Cache::default();
    for name in ["a", "b", "c"] {
        cache.set_node(node(name, json!({})).node);
    }
    cache.remove_node("a");
    cache.set_pod(plain("p"), "c");
    assert_eq!((cpu(&mut cache, "a"), cpu(&mut cache, "b"), cpu(&mut cache, "c")), (None, Some(0), Some(100)));
}

#[test]
fn images_and_claims_are_counted() {
    let mut cache = Cache::default();
    let with = |name: &str, image: &str| node(name, json!({"status": {"images": [{"names": [image]}]}})).node;
    cache.set_node(with("a", "i:1"));
    cache.set_node(with("b", "i:1"));
    assert_eq!(cache.snapshot().images.get("i:1"), Some(&2));
    cache.set_node(with("b", "i:2"));
    cache.remove_node("a");
    let images = &cache.snapshot().images;
    assert_eq!((images.get("i:1"), images.get("i:2")), (None, Some(&1)));
    let claim = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]});
    cache.set_pod((*pod("p", claim)).clone(), "b");
    assert_eq!(cache.snapshot().claim_users.get("default/c"), Some(&1));
    cache.remove_pod("p");
    assert!(cache.snapshot().claim_users.is_empty());
}

#[test]
fn room_is_kept_on_one_node_at_a_time() {
    let mut cache = Cache::default();
    let hopeful = pod("p", json!({"priority": 5}));
    cache.nominate(&hopeful, Some("a"));
    cache.nominate(&hopeful, Some("b"));
    assert_eq!((cache.nominated_node("p"), cache.nominated_below("a", 9).len()), (Some("b"), 0));
    assert_eq!((cache.nominated_below("b", 9).len(), cache.nominated_below("b", 5).len()), (1, 0));
    cache.assume(hopeful, "b");
    assert_eq!(cache.nominated_node("p"), None);
}
