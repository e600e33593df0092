//! What the caller may do.

pub mod always;
pub mod configuration;
pub mod coverage;
pub mod node;
pub mod pod_references;
pub mod policy;
pub mod rbac;
pub mod rule;
pub mod selectors;
pub mod union;
pub mod webhook;

use crate::request::UserInfo;
use apimachinery::{GroupResource, Status};
use async_trait::async_trait;

/// What is asked about (k8s.io/apiserver `pkg/authorization/authorizer`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub user: std::sync::Arc<UserInfo>,
    /// `get`, `list`, `watch`, `create`, ...; the lower-case HTTP method for non-resource paths.
    pub verb: String,
    pub namespace: String,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// False for `/healthz` and its like; then only `path` and `verb` count.
    pub is_resource: bool,
    pub path: String,
    /// What of a resource is asked for; everything when there are none.
    pub selectors: selectors::Selectors,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Deny(String),
    NoOpinion(String),
}

#[async_trait]
pub trait Authorizer: Send + Sync {
    async fn authorize(&self, attributes: &Attributes) -> Decision;

    /// The decision, and why it was made also where it is `Allow`: what access reviews show.
    async fn explain(&self, attributes: &Attributes) -> (Decision, String) {
        let decision = self.authorize(attributes).await;
        let why = match &decision {
            Decision::Allow => String::new(),
            Decision::Deny(why) | Decision::NoOpinion(why) => why.clone(),
        };
        (decision, why)
    }
}

/// The 403 of a request that nobody allowed (k8s.io/apiserver `pkg/endpoints/handlers/responsewriters/errors.go`).
pub fn forbidden(attributes: &Attributes, reason: &str) -> Status {
    let text = message(attributes).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let text = if reason.is_empty() { text } else { format!("{text}: {reason}") };
    let resource = GroupResource::new(attributes.group.clone(), attributes.resource.clone());
    Status::forbidden(&resource, &attributes.name, text)
}

fn message(a: &Attributes) -> String {
    let (user, verb) = (&a.user.name, &a.verb);
    if !a.is_resource {
        return format!("User {user:?} cannot {verb} path {:?}", a.path);
    }
    let resource =
        if a.subresource.is_empty() { a.resource.clone() } else { format!("{}/{}", a.resource, a.subresource) };
    let what = format!("User {user:?} cannot {verb} resource {resource:?} in API group {:?}", a.group);
    if a.namespace.is_empty() {
        format!("{what} at the cluster scope")
    } else {
        format!("{what} in the namespace {:?}", a.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_upstream_writes_them() {
        let user = std::sync::Arc::new(UserInfo { name: "u".into(), ..UserInfo::default() });
        let pods = Attributes {
            user: user.clone(),
            verb: "list".into(),
            resource: "pods".into(),
            is_resource: true,
            ..Attributes::default()
        };
        let cases = [
            (
                pods.clone(),
                r#"pods is forbidden: User "u" cannot list resource "pods" in API group "" at the cluster scope"#,
            ),
            (
                Attributes {
                    namespace: "ns".into(),
                    name: "p".into(),
                    subresource: "log".into(),
                    verb: "get".into(),
                    ..pods.clone()
                },
                r#"pods "p" is forbidden: User "u" cannot get resource "pods/log" in API group "" in the namespace "ns""#,
            ),
            (
                Attributes { user, verb: "get".into(), path: "/metrics".into(), ..Attributes::default() },
                r#"forbidden: User "u" cannot get path "/metrics""#,
            ),
        ];
        for (attributes, wanted) in cases {
            assert_eq!(forbidden(&attributes, "").message, wanted);
        }
        assert!(forbidden(&pods, "why").message.ends_with("at the cluster scope: why"));
    }
}
