//! What kubelets may do (k8s.io/kubernetes `plugin/pkg/auth/authorizer/node`).
//!
//! A kubelet reads only what the pods bound to its node refer to. The relation is looked up in the watch cache when
//! asked, pod by pod of the namespace: kubelets ask seldom (they watch), and a tenant without kubelets pays nothing.

use super::pod_references::references;
use super::rule::Rule;
use super::{Attributes, Authorizer, Decision};
use crate::authn::user::node_of;
use crate::backend::Backend;
use apimachinery::{GroupResource, Object};
use async_trait::async_trait;
use serde_json::Value;

pub struct NodeAuthorizer {
    backend: Backend,
    /// What every node may do beside: the rules of the bootstrap role `system:node`.
    rules: Vec<Rule>,
}

/// `Ok`: allowed. `Err`: why not; another authorizer may still allow it.
type Verdict = Result<(), String>;

fn only(allowed: bool, why: &str) -> Verdict {
    if allowed { Ok(()) } else { Err(why.to_owned()) }
}

impl NodeAuthorizer {
    pub fn new(backend: Backend, rules: Vec<Rule>) -> Self {
        Self { backend, rules }
    }

    async fn judge(&self, node: &str, a: &Attributes) -> Verdict {
        let verb = a.verb.as_str();
        let own = |kind: &str| {
            only(
                verb == "create" || a.name == node,
                &format!("can only access {kind} with the same name as the requesting node"),
            )
        };
        let main = a.subresource.is_empty();
        match (a.group.as_str(), a.resource.as_str()) {
            ("", "secrets" | "configmaps") => {
                only(matches!(verb, "get" | "list" | "watch"), "can only read resources of this type")?;
                only(main, "cannot read subresource")?;
                only(!a.namespace.is_empty(), "can only read namespaced object of this type")?;
                self.related(node, a).await
            }
            ("", "persistentvolumeclaims") if a.subresource == "status" => {
                only(matches!(verb, "update" | "patch"), "can only get/update/patch this type")?;
                self.related(node, a).await
            }
            ("", "persistentvolumeclaims" | "persistentvolumes")
            | ("resource.k8s.io", "resourceclaims")
            | ("storage.k8s.io", "volumeattachments") => {
                only(verb == "get", "can only get individual resources of this type")?;
                only(main, "cannot get subresource")?;
                self.related(node, a).await
            }
            ("", "serviceaccounts") if verb == "get" && main => self.related(node, a).await,
            ("", "serviceaccounts") => {
                let one = verb == "create" && !a.name.is_empty();
                only(one, "can only create tokens for individual service accounts")?;
                only(a.subresource == "token", "can only create token subresource of serviceaccount")?;
                self.related(node, a).await
            }
            ("coordination.k8s.io", "leases") => {
                let verbs = matches!(verb, "get" | "create" | "update" | "patch" | "delete");
                only(verbs, "can only get, create, update, patch, or delete a node lease")?;
                let here = a.namespace == "kube-node-lease";
                only(here, "can only access leases in the \"kube-node-lease\" system namespace")?;
                own("node lease")
            }
            ("storage.k8s.io", "csinodes") => {
                only(main, "cannot authorize CSINode subresources")?;
                let verbs = matches!(verb, "get" | "create" | "update" | "patch" | "delete");
                only(verbs, "can only get, create, update, patch, or delete a CSINode")?;
                own("CSINode")
            }
            ("resource.k8s.io", "resourceslices") => {
                only(main, "cannot authorize ResourceSlice subresources")?;
                match verb {
                    // What is created is admission's to see.
                    "create" => Ok(()),
                    "list" | "watch" | "deletecollection" => only(
                        a.selectors.requires("spec.nodeName", node),
                        "can only list/watch/deletecollection resourceslices with nodeName field selector",
                    ),
                    _ => self.related(node, a).await,
                }
            }
            ("certificates.k8s.io", "podcertificaterequests") => {
                only(main, "nodes may not access the status subresource of PodCertificateRequests")?;
                match verb {
                    // As above, admission's.
                    "create" => Ok(()),
                    "get" => self.related(node, a).await,
                    "list" | "watch" => only(
                        a.selectors.requires("spec.nodeName", node),
                        "can only list/watch podcertificaterequests with nodeName field selector",
                    ),
                    verb => Err(format!("nodes may not {verb} podcertificaterequests")),
                }
            }
            ("", "nodes") => judge_node(node, a),
            ("", "pods") => match (a.subresource.as_str(), verb) {
                ("", "list" | "watch") if a.selectors.requires("spec.nodeName", node) => Ok(()),
                ("", "list" | "watch") if a.name.is_empty() => {
                    Err("can only list/watch pods with spec.nodeName field selector".into())
                }
                ("", "get" | "list" | "watch") => self.related(node, a).await,
                ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
                _ => Err(String::new()),
            },
            _ => only(self.rules.iter().any(|rule| rule.allows(a)), ""),
        }
    }

    async fn related(&self, node: &str, a: &Attributes) -> Verdict {
        if a.name.is_empty() {
            return Err("No Object name found".into());
        }
        let related = self.is_related(node, a).await.unwrap_or(false);
        only(related, &format!("no relationship found between node '{node}' and this object"))
    }

    async fn is_related(&self, node: &str, a: &Attributes) -> Result<bool, storage::Error> {
        let resource = GroupResource::new(a.group.clone(), a.resource.clone());
        let named = |object: &Object, path: &[&str]| object.at(path).and_then(Value::as_str).map(str::to_owned);
        match a.resource.as_str() {
            "pods" => {
                let pod = self.backend.object(&resource, &a.namespace, &a.name).await?;
                return Ok(pod.is_some_and(|p| named(&p, &["spec", "nodeName"]).as_deref() == Some(node)));
            }
            "podcertificaterequests" => {
                let request = self.backend.object(&resource, &a.namespace, &a.name).await?;
                return Ok(request.is_some_and(|r| named(&r, &["spec", "nodeName"]).as_deref() == Some(node)));
            }
            "volumeattachments" | "resourceslices" => {
                let object = self.backend.object(&resource, "", &a.name).await?;
                return Ok(object.is_some_and(|o| named(&o, &["spec", "nodeName"]).as_deref() == Some(node)));
            }
            "configmaps" | "secrets" => {}
            "persistentvolumes" => {
                let Some(volume) = self.backend.object(&resource, "", &a.name).await? else { return Ok(false) };
                let claim = |field| named(&volume, &["spec", "claimRef", field]).unwrap_or_default();
                return self.pod_refers(node, &claim("namespace"), "persistentvolumeclaims", &claim("name")).await;
            }
            _ => {}
        }
        if self.pod_refers(node, &a.namespace, &a.resource, &a.name).await? {
            return Ok(true);
        }
        // A node may be configured from a config map, and volumes may need secrets.
        match a.resource.as_str() {
            "secrets" => self.volume_refers(node, &a.namespace, &a.name).await,
            _ => Ok(false),
        }
    }

    async fn pods_of(&self, node: &str, namespace: &str) -> Result<Vec<Object>, storage::Error> {
        let namespace = (!namespace.is_empty()).then_some(namespace);
        let mut pods = self.backend.objects(&GroupResource::new("", "pods"), namespace).await?;
        pods.retain(|p| p.at(&["spec", "nodeName"]).and_then(Value::as_str) == Some(node));
        Ok(pods)
    }

    async fn pod_refers(&self, node: &str, ns: &str, resource: &str, name: &str) -> Result<bool, storage::Error> {
        Ok(self.pods_of(node, ns).await?.iter().any(|pod| references(pod, resource).iter().any(|r| r == name)))
    }

    /// Whether a volume of one of the node's pods names the secret in its driver's parameters.
    async fn volume_refers(&self, node: &str, namespace: &str, secret: &str) -> Result<bool, storage::Error> {
        let volumes = self.backend.objects(&GroupResource::new("", "persistentvolumes"), None).await?;
        for volume in volumes {
            let Some(spec) = volume.at(&["spec"]) else { continue };
            let text = |path: &str| spec.pointer(path).and_then(Value::as_str).unwrap_or_default();
            if !mentions(spec, "secretRef", namespace, secret) {
                continue;
            }
            let (ns, name) = (text("/claimRef/namespace"), text("/claimRef/name"));
            if self.pod_refers(node, ns, "persistentvolumeclaims", name).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a field whose name ends like `suffix` (`secretRef`, `nodePublishSecretRef`) names the object.
fn mentions(value: &Value, suffix: &str, namespace: &str, name: &str) -> bool {
    let Value::Object(map) = value else { return false };
    map.iter().any(|(key, inner)| {
        let text = |field: &str| inner.get(field).and_then(Value::as_str).unwrap_or_default();
        let here = key.to_ascii_lowercase().ends_with(&suffix.to_ascii_lowercase())
            && text("namespace") == namespace
            && text("name") == name;
        here || mentions(inner, suffix, namespace, name)
    })
}

fn judge_node(node: &str, a: &Attributes) -> Verdict {
    match (a.subresource.as_str(), a.verb.as_str()) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("", "get" | "list" | "watch") => match a.name.as_str() {
            name if name == node => Ok(()),
            "" => Err(format!("node '{node}' cannot read all nodes, only its own Node object")),
            name => Err(format!("node '{node}' cannot read '{name}', only its own Node object")),
        },
        _ => Err(String::new()),
    }
}

#[async_trait]
impl Authorizer for NodeAuthorizer {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        let Some(node) = node_of(&attributes.user) else { return Decision::NoOpinion(String::new()) };
        if node.is_empty() {
            return Decision::NoOpinion(format!("unknown node for user {:?}", attributes.user.name));
        }
        if !attributes.is_resource {
            let allowed = self.rules.iter().any(|rule| rule.allows(attributes));
            return if allowed { Decision::Allow } else { Decision::NoOpinion(String::new()) };
        }
        match self.judge(node, attributes).await {
            Ok(()) => Decision::Allow,
            Err(why) => Decision::NoOpinion(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::selectors::Selectors;
    use super::*;
    use crate::fixture::Fixture;
    use crate::request::UserInfo;
    use serde_json::json;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_kubelet_reads_what_its_pods_refer_to() {
        let store = Fixture::default();
        let pod = |name: &str, node: &str, secret: &str| {
            json!({
                "metadata": { "name": name, "namespace": "ns" },
                "spec": {
                    "nodeName": node,
                    "serviceAccountName": format!("sa-{name}"),
                    "volumes": [
                        { "name": "v", "projected": { "sources": [{ "configMap": { "name": "root-ca" } }] } },
                        { "name": "d", "persistentVolumeClaim": { "claimName": format!("claim-{name}") } },
                    ],
                    "containers": [{ "envFrom": [{ "secretRef": { "name": secret } }] }],
                },
            })
        };
        store.put("pods", "", pod("a", "one", "secret-a")).await;
        store.put("pods", "", pod("b", "two", "secret-b")).await;
        let claim = json!({ "namespace": "ns", "name": "claim-a" });
        store
            .put("persistentvolumes", "", json!({ "metadata": { "name": "pv" }, "spec": { "claimRef": claim } }))
            .await;
        let authorizer = NodeAuthorizer::new(store.backend(), Vec::new());
        let cases = [
            ("get secrets secret-a", true),
            ("list secrets secret-a", true),
            ("get secrets secret-b", false),
            ("list secrets", false),
            ("update secrets secret-a", false),
            ("get configmaps root-ca", true),
            ("get persistentvolumeclaims claim-a", true),
            ("get persistentvolumeclaims claim-b", false),
            ("get persistentvolumes pv", true),
            ("create serviceaccounts/token sa-a", true),
            ("create serviceaccounts/token sa-b", false),
            ("get pods a", true),
            ("get pods b", false),
            ("update pods/status a", true),
            ("get nodes one", true),
            ("get nodes two", false),
            ("list nodes", false),
        ];
        for (question, wanted) in cases {
            let mut parts = question.split(' ');
            let (verb, resource) = (parts.next().unwrap(), parts.next().unwrap());
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let user =
                UserInfo { name: "system:node:one".into(), groups: vec!["system:nodes".into()], ..UserInfo::default() };
            let attributes = Attributes {
                user: Arc::new(user),
                verb: verb.into(),
                namespace: "ns".into(),
                resource: resource.into(),
                subresource: subresource.into(),
                name: parts.next().unwrap_or_default().into(),
                is_resource: true,
                ..Attributes::default()
            };
            assert_eq!(authorizer.authorize(&attributes).await == Decision::Allow, wanted, "{question}");
        }
    }

    // Upstream's cases: node_authorizer_test.go, the selectors of pods, slices and certificate requests.
    #[tokio::test]
    async fn many_are_read_only_through_a_selector_of_the_own_node() {
        let authorizer = NodeAuthorizer::new(Fixture::default().backend(), Vec::new());
        let user =
            UserInfo { name: "system:node:one".into(), groups: vec!["system:nodes".into()], ..UserInfo::default() };
        let user = Arc::new(user);
        for (group, resource) in
            [("", "pods"), ("resource.k8s.io", "resourceslices"), ("certificates.k8s.io", "podcertificaterequests")]
        {
            for (selector, wanted) in [
                ("spec.nodeName=one", true),
                ("spec.nodeName=one,status.phase=Running", true),
                ("spec.nodeName==one", true),
                ("spec.nodeName!=one", false),
                ("spec.nodeName=two", false),
                ("metadata.namespace=one", false),
                ("", false),
                ("&", false),
            ] {
                let attributes = Attributes {
                    user: user.clone(),
                    verb: "list".into(),
                    group: group.into(),
                    resource: resource.into(),
                    is_resource: true,
                    selectors: Selectors::of_request(selector, ""),
                    ..Attributes::default()
                };
                let decision = authorizer.authorize(&attributes).await;
                assert_eq!(decision == Decision::Allow, wanted, "{resource} {selector} {decision:?}");
            }
        }
    }
}
