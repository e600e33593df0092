//! Nodes of the host in the tenant, and what the tenant may change about them.

use super::*;
use serde_json::Value;

fn node(value: Value) -> Node {
    serde_json::from_value(value).unwrap()
}

fn host() -> Node {
    node(json!({
        "metadata": {"name": "n1", "uid": "host", "labels": {"zone": "a"},
            "annotations": {"kubeadm.alpha.kubernetes.io/cri-socket": "x", "note": "y"}},
        "spec": {"podCIDR": "10.1.0.0/24", "taints": [
            {"key": "dedicated", "value": "db", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
        ]},
        "status": {
            "capacity": {"cpu": "4"}, "allocatable": {"cpu": "4"},
            "conditions": [{"type": "Ready", "status": "True"}], "images": [{"sizeBytes": 1}],
        },
    }))
}

/// Applies what the plan writes, as an API server would.
fn follow(virt: Option<Node>, host: Option<&Node>) -> Option<Node> {
    let config = Config::default();
    let mut virt = virt;
    for _ in 0..4 {
        let plan = plan(&config, virt.as_ref(), host);
        let Some(step) = plan.steps.into_iter().next() else { return virt };
        virt = match step {
            Step::VirtCreate { object, .. } => Some(node(object)),
            Step::VirtPatch { mut patch, .. } => {
                let mut tree = json!(virt);
                patch["metadata"].as_object_mut().unwrap().remove("resourceVersion");
                patched(&mut tree, &patch);
                Some(node(tree))
            }
            Step::VirtDelete { .. } => None,
            other => panic!("{other:?}"),
        };
    }
    panic!("the plan never comes to rest");
}

fn patched(tree: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return *tree = patch.clone() };
    if !tree.is_object() {
        *tree = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            tree.as_object_mut().unwrap().remove(key);
        } else {
            patched(&mut tree[key.as_str()], value);
        }
    }
}

#[test]
fn a_node_is_mirrored_without_what_is_the_hosts_alone() {
    let virt = json!(follow(None, Some(&host())));
    assert_eq!(virt["metadata"]["labels"], json!({"zone": "a"}));
    assert_eq!(virt["metadata"]["annotations"]["note"], "y");
    assert!(virt["metadata"]["annotations"].get("kubeadm.alpha.kubernetes.io/cri-socket").is_none());
    assert_eq!(virt["spec"]["taints"], json!([{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]));
    assert_eq!(virt["status"]["allocatable"], json!({"cpu": "4"}));
    assert!(virt["status"].get("images").is_none());
}

#[test]
fn the_tenants_changes_survive_the_hosts() {
    let mut tree = json!(follow(None, Some(&host())).unwrap());
    tree["metadata"]["labels"]["mine"] = "1".into();
    tree["metadata"]["labels"]["zone"] = "tenant".into();
    tree["spec"]["taints"] = json!([{"key": "test", "effect": "NoSchedule"}]);
    tree["status"]["capacity"]["example.com/fake"] = "5".into();
    tree["status"]["conditions"].as_array_mut().unwrap().push(json!({"type": "Mine", "status": "True"}));
    let mut changed = host();
    changed.metadata.labels = serde_json::from_value(json!({"zone": "b", "new": "2"})).unwrap();
    changed.status.as_mut().unwrap().capacity = serde_json::from_value(json!({"cpu": "8"})).unwrap();
    let virt = json!(follow(Some(node(tree)), Some(&changed)).unwrap());
    assert_eq!(virt["metadata"]["labels"], json!({"zone": "tenant", "mine": "1", "new": "2"}));
    assert_eq!(virt["spec"]["taints"], json!([{"key": "test", "effect": "NoSchedule"}]));
    assert_eq!(virt["status"]["capacity"], json!({"cpu": "8", "example.com/fake": "5"}));
    assert_eq!(virt["status"]["conditions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_mirror_goes_with_its_node_and_the_tenants_own_nodes_stay() {
    let mirror = follow(None, Some(&host()));
    assert_eq!(follow(mirror, None), None);
    let own = node(json!({"metadata": {"name": "n1"}}));
    assert_eq!(follow(Some(own.clone()), None), Some(own.clone()));
    assert_eq!(follow(Some(own.clone()), Some(&host())), Some(own));
}

#[test]
fn taints_that_the_operator_tolerates_are_hidden() {
    let tolerations = serde_json::from_value(json!([{"key": "dedicated", "operator": "Exists"}])).unwrap();
    let config = Config { tolerations, ..Config::default() };
    assert_eq!(to_virtual(&config, &Node::default(), &host()).spec.unwrap().taints, None);
}

#[test]
fn a_node_that_the_host_lost_is_not_alive() {
    assert!(is_alive(&host()));
    let lost = node(json!({"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}));
    assert!(!is_alive(&lost));
}
