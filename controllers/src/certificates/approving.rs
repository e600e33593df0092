//! Approves the requests of kubelets for their own client certificates, if they are allowed to have them. Upstream's
//! `pkg/controller/certificates/approver`.
//!
//! Owns the condition `Approved` with reason `AutoApproved`. Never denies. Woken by requests, and by cluster roles and
//! their bindings for those that were not allowed.

use super::{has, is_issued, request};
use crate::api::{Api, ApiError};
use crate::controller::{Descriptor, Reconcile, Watch, key_of};
use crate::meta::Meta;
use crate::plan::{Plan, Target, body_of};
use crate::queue::Key;
use crate::recorder::stamp;
use apimachinery::clock::Clock;
use async_trait::async_trait;
use informer::{Informers, Store, resource_of};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// A subresource whose creation must be allowed, and what approval then says.
type Recognized = (&'static str, &'static str);

pub(crate) struct Approving {
    informers: Informers,
    requests: Store<CertificateSigningRequest>,
    roles: Store<ClusterRole>,
    bindings: Store<ClusterRoleBinding>,
    clock: Arc<dyn Clock>,
}

impl Approving {
    pub(crate) fn new(informers: &Informers, clock: Arc<dyn Clock>) -> Self {
        let (roles, bindings) = (informers.store(), informers.store());
        Self { informers: informers.clone(), requests: informers.store(), roles, bindings, clock }
    }
}

fn is_pending(request: &CertificateSigningRequest) -> bool {
    !is_issued(request) && !has(request, "Approved") && !has(request, "Denied")
}

/// What the requestor must be allowed for an approval, the narrower first. Empty for requests of others.
fn recognize(object: &CertificateSigningRequest) -> Vec<Recognized> {
    if !is_pending(object) || object.spec.signer_name != SIGNER {
        return Vec::new();
    }
    let Ok(parsed) = request::parse(&object.spec.request.0) else { return Vec::new() };
    if parsed.check_kubelet_client(object.spec.usages.as_deref().unwrap_or_default()).is_err() {
        return Vec::new();
    }
    let other = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");
    if object.spec.username.as_deref() == Some(&parsed.common_name) {
        let own = ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.");
        vec![own, other]
    } else {
        vec![other]
    }
}

fn review(object: &CertificateSigningRequest, subresource: &str) -> Value {
    let spec = &object.spec;
    json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": spec.username, "uid": spec.uid, "groups": spec.groups, "extra": spec.extra,
            "resourceAttributes": {"group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create",
                "subresource": subresource, "version": "*"},
        },
    })
}

fn approval(object: &CertificateSigningRequest, message: &str, now: &str) -> Plan {
    let mut body = body_of(object);
    let condition = json!({"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message,
        "lastUpdateTime": now, "lastTransitionTime": now});
    match body["status"]["conditions"].as_array_mut() {
        Some(all) => all.push(condition),
        None => body["status"] = json!({"conditions": [condition]}),
    }
    let mut plan = Plan::default();
    plan.update_subresource(object, "approval", body);
    plan
}

#[async_trait]
impl Reconcile for Approving {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "certificatesigningrequest-approving-controller",
            account: "certificate-controller",
            component: "csrapproving",
            workers: 5,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let requests = self.requests.clone();
        let pending = move || -> Vec<Key> {
            let all = requests.list();
            all.iter()
                .filter(|own| is_pending(own) && own.spec.signer_name == SIGNER)
                .map(|own| key_of(&**own))
                .collect()
        };
        let by_binding = pending.clone();
        vec![
            Watch::own(&self.informers, &self.requests),
            Watch::on(&self.informers, &self.roles, move |_| pending()),
            Watch::on(&self.informers, &self.bindings, move |_| by_binding()),
        ]
    }

    async fn reconcile(&self, key: &Key, api: &Api) -> Result<Option<Duration>, ApiError> {
        let Some(object) = self.requests.get("", &key.name) else { return Ok(None) };
        for (subresource, message) in recognize(&object) {
            let resource = resource_of::<SubjectAccessReview>();
            let target = Target { resource, namespace: String::new(), name: String::new(), subresource: "" };
            let body = review(&object, subresource);
            let answer = api.call("create", http::Method::POST, &target, "application/json", Some(&body)).await?;
            if answer["status"]["allowed"].as_bool() == Some(true) {
                api.apply(&approval(&object, message, &stamp(self.clock.now()))).await?;
                return Ok(None);
            }
            tracing::debug!(request = object.name(), subresource, "recognized, but not allowed");
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::request::tests::pem;
    use k8s_openapi::ByteString;

    fn object(username: &str, more: impl FnOnce(&mut CertificateSigningRequest)) -> CertificateSigningRequest {
        let usages = ["digital signature", "key encipherment", "client auth"];
        let mut object: CertificateSigningRequest = serde_json::from_value(json!({"metadata": {"name": "r"},
            "spec": {"signerName": SIGNER, "username": username, "usages": usages, "request": ""}}))
        .unwrap();
        object.spec.request = ByteString(pem("system:node:n", &["system:nodes"], &[]));
        more(&mut object);
        object
    }

    /// Cases of upstream's `TestHandle` and `TestRecognizers`.
    #[test]
    fn kubelets_are_recognized() {
        let tried = |object: &CertificateSigningRequest| {
            recognize(object).iter().map(|(subresource, _)| *subresource).collect::<Vec<_>>()
        };
        assert_eq!(tried(&object("system:node:n", |_| {})), ["selfnodeclient", "nodeclient"]);
        assert_eq!(tried(&object("system:bootstrap:x", |_| {})), ["nodeclient"]);
        assert_eq!(tried(&object("x", |own| own.spec.signer_name = "example.com/x".into())), [""; 0]);
        assert_eq!(tried(&object("x", |own| own.spec.usages = Some(vec!["server auth".into()]))), [""; 0]);
        assert_eq!(tried(&object("x", |own| own.spec.request = ByteString(b"junk".to_vec()))), [""; 0]);
        let decided = |kind: &str| {
            object("x", |own| {
                own.status = serde_json::from_value(json!({"conditions": [{"type": kind, "status": "True"}]})).unwrap();
            })
        };
        assert_eq!(tried(&decided("Denied")), [""; 0]);
        assert_eq!(tried(&decided("Approved")), [""; 0]);
    }

    #[test]
    fn approval_says_why() {
        let plan = approval(&object("x", |_| {}), "because", "2024-01-01T00:00:00Z");
        assert_eq!(plan.to_string(), "update certificatesigningrequests.certificates.k8s.io/approval r");
        let crate::plan::Write::Update { body, .. } = &plan.writes[0] else { panic!("no update") };
        let condition = &body["status"]["conditions"][0];
        assert_eq!((&condition["type"], &condition["reason"]), (&json!("Approved"), &json!("AutoApproved")));
    }
}
