//! Pods and claims as text; cases of upstream's `resourceclaim/controller_test.go`.

use super::*;
use crate::pods::testing::{merge, pod as any_pod};
use serde_json::{Value, json};

fn user(more: Value) -> Arc<Pod> {
    let mut tree = json!({"spec": {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}]}});
    merge(&mut tree, more);
    any_pod("a", tree)
}

fn told(name: &str) -> Value {
    json!({"status": {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": name}]}})
}

fn claim(name: &str, owner: Option<&str>, more: Value) -> Arc<ResourceClaim> {
    let owners =
        owner.map(|uid| json!([{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": uid, "controller": true}]));
    let mut tree = json!({"metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"), "ownerReferences": owners,
        "annotations": {POD_CLAIM: "gpu"}}, "spec": {}, "status": {}});
    merge(&mut tree, more);
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn template() -> Option<Arc<ResourceClaimTemplate>> {
    Some(Arc::new(serde_json::from_value(json!({"metadata": {"name": "t"}, "spec": {"spec": {}}})).unwrap()))
}

fn of_pod(pod: Arc<Pod>, claims: &[Arc<ResourceClaim>], template: Option<Arc<ResourceClaimTemplate>>) -> String {
    let asked = asked(&pod).iter().map(|asked| pod::Asked {
        claim: claim_name(&pod, asked).name().and_then(|name| claims.iter().find(|own| own.name() == name)).cloned(),
        made: claims.iter().find(|own| is_for(&pod, own)).cloned(),
        template: template.clone(),
        ask: asked.clone(),
    });
    let claims = asked.collect();
    pod::plan(&pod::View { pod, claims }).to_string()
}

fn of_claim(claim: Arc<ResourceClaim>, pods: Vec<Arc<Pod>>) -> Vec<String> {
    claim::plan(&claim::View { claim, pods }).to_string().lines().map(str::to_owned).collect()
}

const CREATE: &str = "create resourceclaims.resource.k8s.io ns/a-gpu-";
const TELL: &str = r#"patch pods/status ns/a {"metadata":{"uid":"uid-a"},"status":{"resourceClaimStatuses":[{"name":"gpu","resourceClaimName":"a-gpu-x"}]}}"#;

#[test]
fn claims_are_made_and_told() {
    let own = || claim("a-gpu-x", Some("uid-a"), json!({}));
    assert_eq!(of_pod(user(json!({})), &[], template()), CREATE);
    let missing = "warn FailedResourceClaimCreation PodResourceClaim gpu: resource claim template \"t\": resourceclaimtemplate.resource.k8s.io \"t\" not found";
    assert_eq!(of_pod(user(json!({})), &[], None), missing);
    assert_eq!(of_pod(user(json!({})), &[own()], template()), TELL, "made before a crash");
    assert_eq!(of_pod(user(told("a-gpu-x")), &[own()], template()), "");
    assert_eq!(of_pod(user(told("a-gpu-x")), &[], template()), CREATE, "deleted by accident");
    assert_eq!(
        of_pod(user(told("a-gpu-x")), &[claim("a-gpu-x", Some("other"), json!({}))], template()),
        CREATE,
        "not its own"
    );
    let unneeded = json!({"status": {"resourceClaimStatuses": [{"name": "gpu"}]}});
    assert_eq!(of_pod(user(unneeded), &[], template()), "");
    let direct = any_pod("a", json!({"spec": {"resourceClaims": [{"name": "gpu", "resourceClaimName": "c"}]}}));
    assert_eq!(of_pod(direct, &[], None), "", "the user makes it");
}

#[test]
fn placed_pods_get_their_reservation() {
    let placed = || {
        let mut tree = told("a-gpu-x");
        merge(&mut tree, json!({"spec": {"nodeName": "n"}}));
        user(tree)
    };
    let allocated = |reserved: Value| {
        claim("a-gpu-x", Some("uid-a"), json!({"status": {"allocation": {}, "reservedFor": reserved}}))
    };
    let reserve = r#"update resourceclaims.resource.k8s.io/status ns/a-gpu-x {"allocation":{},"reservedFor":[{"name":"a","resource":"pods","uid":"uid-a"}]}"#;
    assert_eq!(of_pod(placed(), &[allocated(json!([]))], template()), reserve);
    assert_eq!(
        of_pod(placed(), &[allocated(json!([{"name": "a", "resource": "pods", "uid": "uid-a"}]))], template()),
        ""
    );
    assert_eq!(of_pod(placed(), &[claim("a-gpu-x", Some("uid-a"), json!({}))], template()), "", "not allocated");
}

#[test]
fn names_that_are_too_long_are_both_shortened() {
    let pod = any_pod(
        &"p".repeat(60),
        json!({"spec": {"resourceClaims": [{"name": "c".repeat(60), "resourceClaimTemplateName": "t"}]}}),
    );
    let made = of_pod(pod, &[], template());
    let name = made.rsplit('/').next().unwrap();
    assert_eq!((name.len(), name.matches('p').count(), name.matches('c').count()), (57, 28, 28), "{name}");
}

#[test]
fn reservations_end_with_their_pods() {
    let held = json!({"metadata": {"finalizers": ["resource.kubernetes.io/delete-protection"]},
        "status": {"allocation": {}, "reservedFor": [{"name": "a", "resource": "pods", "uid": "uid-a"}]}});
    let shared = || claim("c", None, held.clone());
    assert_eq!(of_claim(shared(), vec![user(json!({}))]), [""; 0]);
    let free = r#"update resourceclaims.resource.k8s.io/status ns/c {"reservedFor":[]}"#;
    let unprotect = r#"patch resourceclaims.resource.k8s.io ns/c {"metadata":{"$deleteFromPrimitiveList/finalizers":["resource.kubernetes.io/delete-protection"],"uid":"uid-c"}}"#;
    assert_eq!(of_claim(shared(), vec![]), ["expect no pods ns/a", free, unprotect]);
    let done = user(json!({"status": {"phase": "Succeeded"}}));
    assert_eq!(of_claim(shared(), vec![done.clone()]), [free, unprotect]);
    let mut foreign = held.clone();
    foreign["status"]["reservedFor"][0]["apiGroup"] = json!("example.com");
    assert_eq!(of_claim(claim("c", None, foreign), vec![]), [""; 0], "who knows what that is");
    let generated = of_claim(claim("c", Some("uid-a"), held.clone()), vec![done]);
    assert_eq!(generated, [free, unprotect, "delete resourceclaims.resource.k8s.io ns/c"]);
    let mut going = held;
    going["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
    going["status"]["reservedFor"] = json!([]);
    assert_eq!(of_claim(claim("c", None, going), vec![])[1], unprotect);
}
