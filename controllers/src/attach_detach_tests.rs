//! What is attached and detached, as text; cases of upstream's `reconciler_test.go`.

use super::*;
use crate::pods::testing::{merge, pod};

const NOW: &str = "2024-01-01T00:10:00Z";
const UNIQUE: &str = "kubernetes.io/csi/d^h";

fn volume(modes: Value) -> Arc<PersistentVolume> {
    let tree =
        json!({"metadata": {"name": "v"}, "spec": {"accessModes": modes, "csi": {"driver": "d", "volumeHandle": "h"}}});
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn node(attached: bool, in_use: bool, more: Value) -> Arc<Node> {
    let attached = if attached { json!([{"name": UNIQUE, "devicePath": ""}]) } else { json!([]) };
    let in_use = if in_use { json!([UNIQUE]) } else { json!([]) };
    let mut tree = json!({"metadata": {"name": "n"}, "status": {"volumesAttached": attached, "volumesInUse": in_use,
        "conditions": [{"type": "Ready", "status": "True"}]}});
    merge(&mut tree, more);
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn attachment(node: &str, status: Value) -> Arc<VolumeAttachment> {
    let name = attachment_name(&volume(json!([])), node).unwrap();
    let tree = json!({"metadata": {"name": name}, "spec": {"attacher": "d", "nodeName": node, "source": {"persistentVolumeName": "v"}}, "status": status});
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn check(node: Arc<Node>, wanted: Option<&str>, attachments: Vec<Arc<VolumeAttachment>>, expected: &[&str]) {
    let wanted = wanted.map(|mode| (volume(json!([mode])), vec![pod("a", json!({}))])).into_iter().collect();
    let volumes = BTreeMap::from([("v".to_owned(), volume(json!([])))]);
    let text = plan(&Observed { node, wanted, attachments, volumes }, NOW.parse().unwrap()).to_string();
    let own = attachment_name(&volume(json!([])), "n").unwrap();
    assert_eq!(text.replace(&own, "csi-n").lines().collect::<Vec<_>>(), expected);
}

const ONCE: Option<&str> = Some("ReadWriteOnce");
const CREATE: &str = "create volumeattachments.storage.k8s.iocsi-n";
const DELETE: &str = "delete volumeattachments.storage.k8s.io csi-n";
const SHOW: &str =
    r#"patch nodes/status n {"status":{"volumesAttached":[{"devicePath":"","name":"kubernetes.io/csi/d^h"}]}}"#;
const HIDE: &str = r#"patch nodes/status n {"status":{"volumesAttached":[]}}"#;

#[test]
fn volumes_of_pods_are_attached_and_shown() {
    let done = || attachment("n", json!({"attached": true}));
    check(node(false, false, json!({})), ONCE, vec![], &[CREATE]);
    check(node(false, false, json!({})), ONCE, vec![attachment("n", json!({"attached": false}))], &[]);
    let told = "event SuccessfulAttachVolume AttachVolume.Attach succeeded for volume \"v\" ";
    check(node(false, false, json!({})), ONCE, vec![done()], &[SHOW, told]);
    check(node(true, true, json!({})), ONCE, vec![done()], &[]);
    let failed = attachment("n", json!({"attached": false, "attachError": {"message": "no"}}));
    check(
        node(false, false, json!({})),
        ONCE,
        vec![failed],
        &["warn FailedAttachVolume AttachVolume.Attach failed for volume \"v\" : no"],
    );
}

#[test]
fn exclusive_volumes_are_on_one_node() {
    let other = || vec![attachment("m", json!({"attached": true}))];
    let told = "warn FailedAttachVolume Multi-Attach error for volume \"v\" Volume is already exclusively attached to one node and can't be attached to another";
    check(node(false, false, json!({})), ONCE, other(), &[told]);
    check(node(false, false, json!({})), Some("ReadWriteMany"), other(), &[CREATE]);
}

#[test]
fn volumes_are_detached_when_the_kubelet_let_go() {
    let done = || vec![attachment("n", json!({"attached": true}))];
    check(node(true, true, json!({})), None, done(), &[]);
    check(node(true, false, json!({})), None, done(), &[HIDE, DELETE]);
    let lost = |since: &str| json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown", "lastTransitionTime": since}]}});
    check(node(true, true, lost("2024-01-01T00:05:00Z")), None, done(), &["again in 60s"]);
    check(node(true, true, lost("2024-01-01T00:00:00Z")), None, done(), &[HIDE, DELETE]);
    let mut out = lost("2024-01-01T00:09:00Z");
    out["spec"] = json!({"taints": [{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]});
    check(node(true, true, out), None, done(), &[HIDE, DELETE]);
}
