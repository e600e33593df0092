//! Properties of all that is made for a tenant.

use super::*;
use crate::api::{ExposeType, TenantCluster, TenantClusterSpec};
use crate::pki::Authority;

fn settings() -> Settings {
    Settings {
        image: "coracle:new".into(),
        image_pull_policy: None,
        namespace_role: "coracle-tenant-namespace".into(),
        cluster_role: "coracle-tenant".into(),
    }
}

fn observed(spec: &str) -> Observed {
    let spec: TenantClusterSpec = serde_json::from_str(spec).unwrap();
    let mut tenant = TenantCluster::new("demo", spec);
    tenant.metadata.namespace = Some("team".into());
    tenant.metadata.uid = Some("u-1".into());
    let authority = Authority::generate("demo", 2026).unwrap();
    let admin = authority.admin(2026).unwrap();
    Observed { tenant, authority: Some(authority), admin: Some(admin), ..Observed::default() }
}

fn find<'a>(all: &'a [Desired], kind: &str, name: &str) -> &'a Value {
    &all.iter().find(|d| d.resource.kind == kind && d.name == name).unwrap().object
}

#[test]
fn everything_of_a_tenant_is_labelled_and_owned() {
    let all = objects(&observed("{}"), &settings());
    let kinds: Vec<String> = all.iter().map(|d| format!("{}/{}", d.resource.kind, d.name)).collect();
    let expected = "ServiceAccount/demo RoleBinding/demo ClusterRoleBinding/coracle:team:demo Secret/demo-pki \
                    Secret/demo-kubeconfig Service/demo StatefulSet/demo PodDisruptionBudget/demo \
                    NetworkPolicy/demo-control-plane NetworkPolicy/demo-workloads";
    assert_eq!(kinds.join(" "), expected);
    for desired in &all {
        let metadata = &desired.object["metadata"];
        assert_eq!(metadata["labels"][TENANT_LABEL], "demo", "{}", desired.name);
        assert_eq!(metadata["ownerReferences"].is_array(), !desired.namespace.is_empty(), "{}", desired.name);
    }
}

#[test]
fn the_control_plane_pod_is_restricted() {
    let all = objects(&observed("{}"), &settings());
    let pod = &find(&all, "StatefulSet", "demo")["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
    let ports = container["ports"].as_array().unwrap();
    assert!(ports.iter().all(|p| p["containerPort"].as_u64() > Some(1024)));
}

#[test]
fn only_the_control_plane_is_selected_as_such() {
    let all = objects(&observed("{}"), &settings());
    let own = serde_json::json!({CONTROL_PLANE_LABEL: "demo"});
    assert_eq!(find(&all, "Service", "demo")["spec"]["selector"], own);
    let stateful = &find(&all, "StatefulSet", "demo")["spec"];
    assert_eq!(stateful["selector"]["matchLabels"], own);
    assert_eq!(stateful["template"]["metadata"]["labels"][CONTROL_PLANE_LABEL], "demo");
    assert!(CONTROL_PLANE_LABEL.starts_with("coracle.dev/"), "a prefix that tenants cannot use");
}

#[test]
fn the_spec_reaches_the_objects() {
    let spec = r#"{"expose": {"type": "NodePort", "nodePort": 31000, "extraNames": ["api.example.org"]},
        "store": {"persistence": {"type": "ephemeral"}}, "nodes": {"selector": {"pool": "a"}}, "networkPolicy": false}"#;
    let observed = observed(spec);
    assert_eq!(observed.tenant.spec.expose.type_, ExposeType::NodePort);
    let all = objects(&observed, &settings());
    assert_eq!(find(&all, "Service", "demo")["spec"]["ports"][0]["nodePort"], 31000);
    let stateful = &find(&all, "StatefulSet", "demo")["spec"];
    assert!(stateful.get("volumeClaimTemplates").is_none());
    let arguments = stateful["template"]["spec"]["containers"][0]["args"].to_string();
    assert!(arguments.contains("--extra-name=api.example.org") && arguments.contains("--node-selector=pool=a"));
    assert!(!all.iter().any(|d| d.resource.kind == "NetworkPolicy"));
}

#[test]
fn a_running_tenant_keeps_its_image() {
    let mut observed = observed("{}");
    let running = json!({"spec": {"selector": {}, "serviceName": "demo", "template": {"spec": {"containers": [
        {"name": "coracle", "image": "coracle:old"}]}}}});
    observed.statefulset = serde_json::from_value(running).unwrap();
    let image = |o: &Observed| {
        let all = objects(o, &settings());
        find(&all, "StatefulSet", "demo")["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(image(&observed), "coracle:old");
    observed.tenant.spec.image = Some("coracle:mine".into());
    assert_eq!(image(&observed), "coracle:mine");
}
