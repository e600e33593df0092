//! Nothing is created in a namespace that is missing or going away, and three namespaces never go
//! (k8s.io/apiserver `pkg/admission/plugin/namespace/lifecycle`).
//!
//! Upstream checks and hopes; here the namespace's presence is a check of the object's own transaction.

use super::{Attributes, Operation, Plugin, unreadable};
use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::{GroupResource, Object, Status};
use async_trait::async_trait;
use serde::Deserialize;
use serde::de::IgnoredAny;
use storage::Check;

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

#[derive(Clone, Copy, Debug, Default)]
pub struct NamespaceLifecycle;

/// What is looked at for every object that is created: no tree is made of the rest.
#[derive(Deserialize)]
struct Namespace {
    metadata: Metadata,
    #[serde(default)]
    status: NamespaceStatus,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "deletionTimestamp")]
    deletion_timestamp: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct NamespaceStatus {
    #[serde(default)]
    phase: String,
}

/// Whether something in a namespace is created: not a namespace itself, nor an access review, whose answer must not
/// tell which namespaces exist.
fn creates_content(a: &Attributes) -> bool {
    let review = a.resource.group == "authorization.k8s.io" && a.resource.resource == "localsubjectaccessreviews";
    let namespace = a.resource.group.is_empty() && a.resource.resource == "namespaces";
    a.creates() && !a.namespace.is_empty() && !namespace && !review
}

#[async_trait]
impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, a: &Attributes) -> bool {
        creates_content(a) || (a.operation == Operation::Delete && a.is("", "namespaces"))
    }

    async fn admit(&self, _: &RequestCx, backend: &Backend, a: &Attributes, object: &mut Object) -> Result<(), Status> {
        if a.operation == Operation::Delete {
            if IMMORTAL.contains(&a.name.as_str()) {
                return Err(a.forbidden(object, "this namespace may not be deleted"));
            }
            return Ok(());
        }
        let namespaces = GroupResource::new("", "namespaces");
        let namespace: Option<Namespace> = backend.read(&namespaces, "", &a.namespace).await.map_err(unreadable)?;
        let Some(namespace) = namespace else {
            return Err(Status::not_found(&namespaces, &a.namespace));
        };
        if namespace.status.phase == "Terminating" || namespace.metadata.deletion_timestamp.is_some() {
            let name = &a.namespace;
            let why = format!("unable to create new content in namespace {name} because it is being terminated");
            let cause = format!("namespace {name} is being terminated");
            return Err(a.forbidden(object, why).with_cause("NamespaceTerminating", cause, "metadata.namespace"));
        }
        Ok(())
    }

    async fn validate(
        &self,
        _: &RequestCx,
        _: &Backend,
        a: &Attributes,
        _: &Object,
        transaction: &mut Transaction,
    ) -> Result<(), Status> {
        if a.creates() {
            transaction.checks.push(Check::Present(Backend::key(
                &GroupResource::new("", "namespaces"),
                "",
                &a.namespace,
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;
    use serde_json::json;

    #[tokio::test]
    async fn content_needs_a_living_namespace() {
        let store = Fixture::default();
        store.put("namespaces", "", json!({ "metadata": { "name": "live" } })).await;
        let dying = json!({ "metadata": { "name": "dying" }, "status": { "phase": "Terminating" } });
        store.put("namespaces", "", dying).await;
        let pod =
            |namespace: &str| Asked::create("/pods", json!({ "metadata": { "namespace": namespace, "name": "p" } }));
        let (_, transaction, _) = pod("live").run(&NamespaceLifecycle, &store).await.unwrap();
        assert!(matches!(&transaction.checks[..], [Check::Present(key)] if &*key.name == "live"));
        let status = pod("none").run(&NamespaceLifecycle, &store).await.unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (404, "namespaces \"none\" not found"));
        let status = pod("dying").run(&NamespaceLifecycle, &store).await.unwrap_err();
        assert_eq!(
            status.message,
            "pods \"p\" is forbidden: unable to create new content in namespace dying because it is being terminated"
        );
        assert_eq!(status.details.unwrap().causes[0].reason, "NamespaceTerminating");
    }

    #[tokio::test]
    async fn three_namespaces_stay() {
        let store = Fixture::default();
        for (name, stays) in [("default", true), ("kube-system", true), ("kube-public", true), ("other", false)] {
            let asked = Asked::new(Operation::Delete, "/namespaces", json!({ "metadata": { "name": name } }));
            let refused = asked.run(&NamespaceLifecycle, &store).await.err();
            let wanted = format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted");
            assert_eq!(refused.map(|s| s.message), stays.then_some(wanted));
        }
    }
}
