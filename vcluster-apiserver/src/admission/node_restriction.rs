//! Kubelets write about themselves and their own pods only (k8s.io/kubernetes `plugin/pkg/admission/noderestriction`).

use super::service_account::MIRROR;
use super::{Attributes, Operation, Plugin, lookup};
use crate::authn::user::node_of;
use crate::authz::pod_references::references;
use crate::backend::Backend;
use crate::request::RequestCx;
use apimachinery::{GroupResource, Object, Status};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, Default)]
pub struct NodeRestriction;

/// Labels of Kubernetes' own that kubelets may set on their node (k8s.io/kubelet `pkg/apis/well_known_labels.go`).
const KUBELET_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

fn is_or_is_below(namespace: &str, domain: &str) -> bool {
    namespace == domain || namespace.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

fn is_forbidden_label(label: &str) -> bool {
    let Some((namespace, _)) = label.split_once('/') else { return false };
    if is_or_is_below(namespace, "node-restriction.kubernetes.io") {
        return true;
    }
    let kubernetes = is_or_is_below(namespace, "kubernetes.io") || is_or_is_below(namespace, "k8s.io");
    let kubelets = KUBELET_LABELS.contains(&label)
        || is_or_is_below(namespace, "kubelet.kubernetes.io")
        || is_or_is_below(namespace, "node.kubernetes.io");
    kubernetes && !kubelets
}

/// The labels that were added, changed or removed and that kubelets may not touch, in order.
fn forbidden_labels(new: &Object, old: Option<&Object>) -> String {
    let (new, old) = (new.labels(), old.map(Object::labels).unwrap_or_default());
    let changed = new.iter().filter(|l| !old.contains(l)).chain(old.iter().filter(|l| !new.contains(l)));
    let keys: BTreeSet<&str> = changed.map(|(key, _)| *key).filter(|key| is_forbidden_label(key)).collect();
    keys.into_iter().collect::<Vec<_>>().join(", ")
}

/// `Err(Ok(why))`: forbidden, for this reason; `Err(Err(status))`: another refusal.
type Verdict = Result<(), Result<String, Status>>;

fn only(allowed: bool, why: impl Into<String>) -> Verdict {
    if allowed { Ok(()) } else { Err(Ok(why.into())) }
}

async fn existing(
    backend: &Backend,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Result<Object, Result<String, Status>> {
    let found = lookup(backend, "", resource, namespace, name).await.map_err(Err)?;
    found.ok_or_else(|| Err(Status::not_found(&GroupResource::new("", resource), name)))
}

async fn judge_pod(backend: &Backend, node: &str, a: &Attributes, pod: &Object) -> Verdict {
    match (a.subresource.as_str(), a.operation) {
        ("", Operation::Create) => judge_mirror(backend, node, pod).await,
        ("", Operation::Delete) => {
            let pod = existing(backend, "pods", &a.namespace, &a.name).await?;
            let own = pod.text_at(&["spec", "nodeName"]) == node;
            only(own, format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
        }
        ("status", Operation::Update) => {
            let old = a.old.as_ref().unwrap_or(pod);
            let own = old.text_at(&["spec", "nodeName"]) == node;
            only(own, format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"))?;
            only(old.labels() == pod.labels(), format!("node {node:?} cannot update labels through pod status"))?;
            let same = |field: &str| old.at(&["status", field]) == pod.at(&["status", field]);
            only(same("resourceClaimStatuses"), format!("node {node:?} cannot update resource claim statues"))?;
            let extended = same("extendedResourceClaimStatus");
            only(extended, format!("node {node:?} cannot update extended resource claim status"))
        }
        ("eviction", Operation::Create) => {
            let name = if a.name.is_empty() { pod.name() } else { &a.name };
            let pod = existing(backend, "pods", &a.namespace, name).await?;
            let own = pod.text_at(&["spec", "nodeName"]) == node;
            only(own, format!("node {node} can only evict pods with spec.nodeName set to itself"))
        }
        ("", operation) => {
            let operation = format!("{operation:?}").to_uppercase();
            let why =
                format!("unexpected operation {operation:?}, node {node:?} can only create and delete mirror pods");
            only(false, why)
        }
        ("status" | "eviction", operation) => {
            only(false, format!("unexpected operation {:?}", format!("{operation:?}").to_uppercase()))
        }
        (other, _) => {
            only(false, format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
        }
    }
}

async fn judge_mirror(backend: &Backend, node: &str, pod: &Object) -> Verdict {
    let can_only = |what: &str| format!("node {node:?} can only create pods with {what} set to itself");
    let mirror = pod.annotation(MIRROR).is_some();
    only(mirror, format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"))?;
    only(pod.text_at(&["spec", "nodeName"]) == node, can_only("spec.nodeName"))?;
    let owners = pod.at(&["metadata", "ownerReferences"]).and_then(Value::as_array).map(Vec::as_slice);
    let owner = match owners.unwrap_or_default() {
        [one] => one,
        [] => return only(false, can_only("an owner reference")),
        _ => return only(false, can_only("a single owner reference")),
    };
    let is = |field: &str, wanted: &str| owner.get(field).and_then(Value::as_str) == Some(wanted);
    only(is("apiVersion", "v1") && is("kind", "Node") && is("name", node), can_only("an owner reference"))?;
    only(owner.get("controller") == Some(&json!(true)), can_only("a controller owner reference"))?;
    let blocks = owner.get("blockOwnerDeletion") == Some(&json!(true));
    only(!blocks, format!("node {node:?} must not set blockOwnerDeletion on an owner reference"))?;
    let live = existing(backend, "nodes", "", node).await?;
    let uid = owner.get("uid").and_then(Value::as_str).unwrap_or_default();
    only(uid == live.uid(), format!("node {node} UID mismatch: expected {uid} got {}", live.uid()))?;
    for resource in ["serviceaccounts", "secrets", "configmaps", "persistentvolumeclaims", "resourceclaims"] {
        let free = references(pod, resource).is_empty();
        only(free, format!("node {node:?} can not create pods that reference {resource}"))?;
    }
    Ok(())
}

fn judge_node(node: &str, a: &Attributes, object: &Object) -> Verdict {
    let name = if a.name.is_empty() { object.name() } else { &a.name };
    only(name == node, format!("node {node:?} is not allowed to modify node {name:?}"))?;
    if a.creates() {
        let labels = forbidden_labels(object, None);
        return only(labels.is_empty(), format!("node {node:?} is not allowed to set the following labels: {labels}"));
    }
    let (true, Some(old)) = (a.updates(), &a.old) else { return Ok(()) };
    let list = |o: &Object, path: &[&str]| o.at(path).and_then(Value::as_array).cloned().unwrap_or_default();
    for (path, called) in [(&["spec", "taints"], "taints"), (&["metadata", "ownerReferences"], "ownerReferences")] {
        let same = list(old, path) == list(object, path);
        only(same, format!("node {node:?} is not allowed to modify {called}"))?;
    }
    let labels = forbidden_labels(object, Some(old));
    only(labels.is_empty(), format!("is not allowed to modify labels: {labels}"))
}

/// A claim's status may change where expansion is reported; nothing else may.
fn judge_claim(node: &str, a: &Attributes, claim: &Object) -> Verdict {
    only(a.subresource == "status", "may only update PVC status")?;
    let rest = |o: &Object| {
        let mut o = o.clone();
        for field in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
            o.remove_at(&["status", field]);
        }
        for field in ["resourceVersion", "managedFields"] {
            o.remove_at(&["metadata", field]);
        }
        o
    };
    let same = a.old.as_ref().is_some_and(|old| rest(old) == rest(claim));
    only(
        same,
        format!("node {node:?} is not allowed to update fields other than status.quantity and status.conditions"),
    )
}

async fn judge_token(backend: &Backend, node: &str, a: &Attributes, request: &Object) -> Verdict {
    let field = |name: &str| request.text_at(&["spec", "boundObjectRef", name]);
    let to_pod = field("apiVersion") == "v1" && field("kind") == "Pod" && !field("name").is_empty();
    only(to_pod, "node requested token not bound to a pod")?;
    let uid = field("uid");
    only(!uid.is_empty(), "node requested token with a pod binding without a uid")?;
    let pod = existing(backend, "pods", &a.namespace, field("name")).await?;
    let why = format!(
        "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
    );
    only(uid == pod.uid(), why)?;
    let own = pod.text_at(&["spec", "nodeName"]) == node;
    only(own, "node requested token bound to a pod scheduled on a different node")
}

async fn judge(backend: &Backend, node: &str, a: &Attributes, object: &Object) -> Verdict {
    let name = if a.name.is_empty() { object.name() } else { &a.name };
    match (a.resource.group.as_str(), a.resource.resource.as_str()) {
        ("", "pods") => judge_pod(backend, node, a, object).await,
        ("", "nodes") => judge_node(node, a, object),
        ("", "persistentvolumeclaims") => judge_claim(node, a, object),
        ("", "serviceaccounts") if a.creates() && a.subresource == "token" => {
            judge_token(backend, node, a, object).await
        }
        ("coordination.k8s.io", "leases") => {
            let here = a.namespace == "kube-node-lease";
            only(here, "can only access leases in the \"kube-node-lease\" system namespace")?;
            only(name == node, "can only access node lease with the same name as the requesting node")
        }
        ("storage.k8s.io", "csinodes") => {
            only(name == node, "can only access CSINode with the same name as the requesting node")
        }
        ("resource.k8s.io", "resourceslices") if a.operation != Operation::Delete => {
            let own = object.text_at(&["spec", "nodeName"]) == node;
            only(own, "can only create or update ResourceSlices with the same NodeName as the requesting node")
        }
        _ => Ok(()),
    }
}

#[async_trait]
impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn handles(&self, a: &Attributes) -> bool {
        a.operation != Operation::Connect
    }

    async fn admit(
        &self,
        cx: &RequestCx,
        backend: &Backend,
        a: &Attributes,
        object: &mut Object,
    ) -> Result<(), Status> {
        let Some(node) = node_of(&cx.user) else { return Ok(()) };
        if node.is_empty() {
            return Err(a.forbidden(object, format!("could not determine node from user {:?}", cx.user.name)));
        }
        judge(backend, node, a, object).await.map_err(|refusal| match refusal {
            Ok(why) => a.forbidden(object, why),
            Err(status) => status,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;

    async fn ask(store: &Fixture, asked: Asked) -> bool {
        asked.by("system:node:one", &["system:nodes"]).run(&NodeRestriction, store).await.is_ok()
    }

    fn node(name: &str, labels: Value, taints: Value) -> Value {
        json!({ "metadata": { "name": name, "labels": labels }, "spec": { "taints": taints } })
    }

    #[tokio::test]
    async fn a_kubelet_changes_its_own_node_within_limits() {
        let store = Fixture::default();
        let plain = || node("one", json!({}), json!([]));
        assert!(ask(&store, Asked::create("/nodes", plain())).await);
        assert!(!ask(&store, Asked::create("/nodes", node("two", json!({}), json!([])))).await);
        assert!(!ask(&store, Asked::update("/nodes", plain(), node("one", json!({}), json!([{ "key": "x" }])))).await);
        let cases = [
            ("example.com/any", true),
            ("kubernetes.io/hostname", true),
            ("node.kubernetes.io/instance-type", true),
            ("kubelet.kubernetes.io/any", true),
            ("kubernetes.io/any", false),
            ("node-role.kubernetes.io/master", false),
            ("node-restriction.kubernetes.io/any", false),
            ("a.node-restriction.kubernetes.io/any", false),
            ("notkubernetes.io/any", true),
        ];
        for (label, wanted) in cases {
            let labelled = node("one", json!({ label: "x" }), json!([]));
            assert_eq!(ask(&store, Asked::update("/nodes", plain(), labelled)).await, wanted, "{label}");
        }
    }

    #[tokio::test]
    async fn a_kubelet_touches_only_its_own_pods() {
        let store = Fixture::default();
        store.put("nodes", "", json!({ "metadata": { "name": "one", "uid": "u" } })).await;
        let pod = |node: &str| json!({ "metadata": { "namespace": "ns", "name": node, "uid": node }, "spec": { "nodeName": node } });
        for name in ["one", "two"] {
            store.put("pods", "", pod(name)).await;
            let own = name == "one";
            assert_eq!(ask(&store, Asked::update("/pods/status", pod(name), pod(name))).await, own);
            assert_eq!(ask(&store, Asked::new(Operation::Delete, "/pods", pod(name))).await, own);
            let mut token = Asked::create("/serviceaccounts/token", json!({ "metadata": { "namespace": "ns" } }));
            token.object["spec"] =
                json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": name, "uid": name } });
            assert_eq!(ask(&store, token).await, own);
        }
        let mut mirror = pod("one");
        assert!(!ask(&store, Asked::create("/pods", mirror.clone())).await);
        mirror["metadata"]["annotations"] = json!({ MIRROR: "x" });
        mirror["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "v1", "kind": "Node", "name": "one", "uid": "u", "controller": true }]);
        assert!(ask(&store, Asked::create("/pods", mirror.clone())).await);
        mirror["spec"]["volumes"] = json!([{ "name": "v", "secret": { "secretName": "s" } }]);
        assert!(!ask(&store, Asked::create("/pods", mirror)).await);
    }

    #[tokio::test]
    async fn others_are_not_restricted() {
        let asked = Asked::create("/nodes", node("two", json!({}), json!([]))).by("admin", &[]);
        assert!(asked.run(&NodeRestriction, &Fixture::default()).await.is_ok());
    }
}
