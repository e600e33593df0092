//! Nobody grants what they do not have (k8s.io/kubernetes `pkg/registry/rbac`).
//!
//! Upstream checks in its registry; the outcome is the same here, where every write of a role or binding passes.

use super::{Attributes, Plugin};
use crate::authn::user::MASTERS;
use crate::authz::policy::{GROUP, role_ref};
use crate::authz::rbac::Rbac;
use crate::authz::rule::{Rule, quoted};
use crate::authz::{self, Authorizer, Decision, coverage};
use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::{GroupResource, Object, Status};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

pub struct Escalation {
    authorizer: Arc<dyn Authorizer>,
    rbac: Arc<Rbac>,
}

impl Escalation {
    pub fn new(authorizer: Arc<dyn Authorizer>, rbac: Arc<Rbac>) -> Self {
        Self { authorizer, rbac }
    }

    async fn may(&self, cx: &RequestCx, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let question = authz::Attributes {
            user: cx.user.clone(),
            verb: verb.into(),
            namespace: namespace.into(),
            group: GROUP.into(),
            version: "*".into(),
            resource: resource.into(),
            name: name.into(),
            is_resource: true,
            ..authz::Attributes::default()
        };
        self.authorizer.authorize(&question).await == Decision::Allow
    }

    /// What of `rules` the caller lacks, as the sentence that is shown.
    fn lacks(&self, cx: &RequestCx, namespace: &str, rules: &[Rule]) -> Option<String> {
        let missing = coverage::missing(&self.rbac.rules_for(&cx.user, namespace), rules);
        if missing.is_empty() {
            return None;
        }
        let lines: BTreeSet<String> = coverage::compacted(missing).iter().map(Rule::compact).collect();
        let lines = lines.into_iter().collect::<Vec<_>>().join("\n");
        Some(format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{lines}",
            cx.user.name,
            quoted(&cx.user.groups)
        ))
    }

    async fn check_role(&self, cx: &RequestCx, a: &Attributes, object: &Object) -> Result<(), Status> {
        // A creation has no name in its path, so a permission for one name does not cover it.
        let name = if a.creates() { "" } else { a.name.as_str() };
        if self.may(cx, "escalate", &a.resource.resource, &a.namespace, name).await {
            return Ok(());
        }
        if let Some(why) = self.lacks(cx, &a.namespace, &Rule::list(object.at(&["rules"]))) {
            return Err(a.forbidden(object, why));
        }
        let aggregates = |o: &Object| {
            let selectors = o.at(&["aggregationRule", "clusterRoleSelectors"]).and_then(Value::as_array);
            selectors.is_some_and(|s| !s.is_empty())
        };
        if aggregates(object) || a.old.as_ref().is_some_and(aggregates) {
            let any = || vec!["*".to_owned()];
            let everything = [
                Rule { verbs: any(), api_groups: any(), resources: any(), ..Rule::default() },
                Rule { verbs: any(), non_resource_urls: any(), ..Rule::default() },
            ];
            if self.lacks(cx, "", &everything).is_some() {
                return Err(a.forbidden(object, "must have cluster-admin privileges to use the aggregationRule"));
            }
        }
        Ok(())
    }

    async fn check_binding(&self, cx: &RequestCx, a: &Attributes, object: &Object) -> Result<(), Status> {
        let Some(role) = role_ref(object) else { return Ok(()) };
        let resource = if role.kind == "ClusterRole" { "clusterroles" } else { "roles" };
        if self.may(cx, "bind", resource, &a.namespace, &role.name).await {
            return Ok(());
        }
        let Some(rules) = self.rbac.rules_of(&role, &a.namespace) else {
            return Err(Status::not_found(&GroupResource::new(GROUP, resource), &role.name));
        };
        match self.lacks(cx, &a.namespace, &rules) {
            Some(why) => Err(a.forbidden(object, why)),
            None => Ok(()),
        }
    }
}

/// Whether only the garbage collector's fields differ: then nothing is granted.
fn only_collected(old: &Object, new: &Object) -> bool {
    let rest = |o: &Object| {
        let mut o = o.clone();
        for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation"] {
            o.metadata_mut().remove(field);
        }
        o
    };
    rest(old) == rest(new)
}

#[async_trait]
impl Plugin for Escalation {
    fn name(&self) -> &'static str {
        "RBACEscalation"
    }

    fn handles(&self, a: &Attributes) -> bool {
        let kinds = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"];
        (a.creates() || a.updates()) && kinds.iter().any(|k| a.is(GROUP, k))
    }

    async fn validate(
        &self,
        cx: &RequestCx,
        _: &Backend,
        a: &Attributes,
        object: &Object,
        _: &mut Transaction,
    ) -> Result<(), Status> {
        if cx.user.in_group(MASTERS) || a.old.as_ref().is_some_and(|old| only_collected(old, object)) {
            return Ok(());
        }
        if a.resource.resource.ends_with("roles") {
            self.check_role(cx, a, object).await
        } else {
            self.check_binding(cx, a, object).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;
    use serde_json::json;

    async fn world() -> (Fixture, Escalation) {
        let store = Fixture::default();
        let rules = json!([
            { "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] },
            { "verbs": ["bind"], "apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["big"] },
        ]);
        store.put("clusterroles", GROUP, json!({ "metadata": { "name": "own" }, "rules": rules })).await;
        let everything = json!([{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }]);
        for name in ["big", "other"] {
            store.put("clusterroles", GROUP, json!({ "metadata": { "name": name }, "rules": everything })).await;
        }
        let binding = json!({
            "metadata": { "name": "b" },
            "roleRef": { "kind": "ClusterRole", "name": "own" },
            "subjects": [{ "kind": "User", "name": "jane" }],
        });
        store.put("clusterrolebindings", GROUP, binding).await;
        let (rbac, _) = Rbac::load(store.backend()).await.unwrap();
        (store, Escalation::new(rbac.clone(), rbac))
    }

    #[tokio::test]
    async fn roles_grant_only_what_their_writer_has() {
        let (store, plugin) = world().await;
        let path = format!("{GROUP}/clusterroles");
        let role = |verbs: Value| {
            let rules = json!([{ "verbs": verbs, "apiGroups": [""], "resources": ["pods"] }]);
            Asked::create(&path, json!({ "metadata": { "name": "new" }, "rules": rules })).by("jane", &["dev"])
        };
        role(json!(["get"])).run(&plugin, &store).await.unwrap();
        let refused = role(json!(["get", "list", "watch"])).run(&plugin, &store).await.unwrap_err();
        let wanted = "clusterroles.rbac.authorization.k8s.io \"new\" is forbidden: user \"jane\" (groups=[\"dev\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"watch\"]}";
        assert_eq!(refused.message, wanted);
        role(json!(["*"])).by("root", &[MASTERS]).run(&plugin, &store).await.unwrap();
        let rule = json!({ "clusterRoleSelectors": [{}] });
        let aggregated = json!({ "metadata": { "name": "new" }, "aggregationRule": rule });
        let refused = Asked::create(&path, aggregated).by("jane", &[]).run(&plugin, &store).await.unwrap_err();
        assert!(refused.message.ends_with("must have cluster-admin privileges to use the aggregationRule"));
    }

    #[tokio::test]
    async fn bindings_need_the_roles_rights_or_the_verb_bind() {
        let (store, plugin) = world().await;
        for (role, code) in [("own", None), ("big", None), ("other", Some(403)), ("none", Some(404))] {
            let binding = json!({ "metadata": { "name": "new" }, "roleRef": { "kind": "ClusterRole", "name": role } });
            let asked = Asked::create(&format!("{GROUP}/clusterrolebindings"), binding).by("jane", &[]);
            assert_eq!(asked.run(&plugin, &store).await.err().map(|s| s.code), code, "{role}");
        }
    }
}
