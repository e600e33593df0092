//! Claims that are missing, unbound, bound elsewhere, and waiting for their consumer.

use super::*;
use crate::related::Related;
use crate::testing::{cluster, node, pod};
use serde_json::Value;
use std::sync::Arc;

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Option<Arc<T>> {
    (!value.is_null()).then(|| Arc::new(serde_json::from_value(value).unwrap()))
}

fn snapshot(claim: Value, volume: Value, class: Value) -> Snapshot {
    let claim = Claim {
        name: "data".to_owned(),
        ephemeral: false,
        object: typed(claim),
        volume: typed(volume),
        class: typed(class),
    };
    let zone = |name: &str| (node(name, json!({"metadata": {"labels": {"zone": name}}})), vec![]);
    let related = Arc::new(Related { claims: vec![claim], peers: None });
    Snapshot { related, ..cluster(vec![zone("a"), zone("b")]) }
}

fn class(mode: &str, topologies: Value) -> Value {
    json!({"metadata": {"name": "c"}, "provisioner": "p", "volumeBindingMode": mode, "allowedTopologies": topologies})
}

#[test]
fn claims() {
    let unbound = || json!({"metadata": {"name": "data"}, "spec": {"storageClassName": "c"}});
    let bound = || json!({"metadata": {"name": "data"}, "spec": {"volumeName": "v"}});
    let on_b =
        json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}]});
    let volume = json!({"metadata": {"name": "v"}, "spec": {"nodeAffinity": {"required": on_b}}});
    let only_a = json!([{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}]);
    let deleted =
        json!({"metadata": {"name": "data", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"volumeName": "v"}});
    let none = || Value::Null;
    let cases = [
        ("missing", snapshot(none(), none(), none()), r#"persistentvolumeclaim "data" not found"#),
        ("deleted", snapshot(deleted, none(), none()), r#"persistentvolumeclaim "data" is being deleted"#),
        ("unbound", snapshot(unbound(), none(), class("Immediate", none())), UNBOUND),
        ("unbound without its class", snapshot(unbound(), none(), none()), UNBOUND),
        ("waits", snapshot(unbound(), none(), class("WaitForFirstConsumer", none())), "skip"),
        (
            "waits, limited",
            snapshot(unbound(), none(), class("WaitForFirstConsumer", only_a)),
            "a:  b: node(s) didn't find available persistent volumes to bind",
        ),
        ("bound", snapshot(bound(), volume, none()), "a: node(s) didn't match PersistentVolume's node affinity b: "),
        ("bound to a volume that is not here", snapshot(bound(), none(), none()), "skip"),
    ];
    for (name, snapshot, expected) in cases {
        let pod = pod("p", json!({}));
        let told = match VolumeBinding.pre_filter(&pod, &snapshot) {
            Prepared::Skip => "skip".to_owned(),
            Prepared::Rejected(reason) => reason,
            Prepared::Filter(filter) | Prepared::Narrowed(filter, _) => {
                let each = snapshot.nodes.iter();
                let told: Vec<_> =
                    each.map(|node| format!("{}: {}", node.name(), filter.filter(node).reasons().join(","))).collect();
                told.join(" ")
            }
        };
        assert_eq!(told, expected, "{name}");
    }
}

#[test]
fn a_waiting_claim_is_told_its_node() {
    let claim = json!({"metadata": {"name": "data"}, "spec": {"storageClassName": "c"}});
    let waiting = snapshot(claim, Value::Null, class("WaitForFirstConsumer", Value::Null));
    let writes = VolumeBinding.pre_bind(&pod("p", json!({})), &waiting, "a");
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].path, "/api/v1/namespaces/default/persistentvolumeclaims/data");
    assert_eq!(writes[0].body, json!({"metadata": {"annotations": {SELECTED_NODE: "a"}}}));
    let bound = json!({"metadata": {"name": "data"}, "spec": {"volumeName": "v"}});
    assert!(VolumeBinding.pre_bind(&pod("p", json!({})), &snapshot(bound, Value::Null, Value::Null), "a").is_empty());
}
