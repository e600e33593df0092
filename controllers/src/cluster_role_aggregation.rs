//! Fills the rules of ClusterRoles that aggregate others. Upstream's `pkg/controller/clusterroleaggregation`.
//!
//! Owns the rules of ClusterRoles with an aggregation rule, and no others. Woken by ClusterRoles.

use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::plan::{PatchKind, Plan};
use crate::queue::Key;
use crate::selector::selects;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use serde_json::json;
use std::sync::Arc;

pub(crate) struct Aggregation {
    informers: Informers,
    roles: Store<ClusterRole>,
}

pub struct Observed {
    role: Arc<ClusterRole>,
    all: Vec<Arc<ClusterRole>>,
}

impl Aggregation {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), roles: informers.store() }
    }
}

impl Controller for Aggregation {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "clusterrole-aggregation-controller",
            account: "clusterrole-aggregation-controller",
            component: "clusterrole-aggregation-controller",
            workers: 1,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let roles = self.roles.clone();
        let aggregating = move |event: &informer::Event<ClusterRole>| {
            let concerned = |role: &ClusterRole| {
                let selectors =
                    role.aggregation_rule.iter().flat_map(|rule| rule.cluster_role_selectors.iter().flatten());
                let mut chosen = selectors
                    .flat_map(|own| event.states().map(move |state| selects(own, state.metadata.labels.as_ref())));
                chosen.any(|chosen| chosen) || event.latest().is_some_and(|own| own.name() == role.name())
            };
            roles
                .list()
                .iter()
                .filter(|role| role.aggregation_rule.is_some() && concerned(role))
                .map(|role| key_of(&**role))
                .collect()
        };
        vec![Watch::on(&self.informers, &self.roles, aggregating)]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let role = self.roles.get("", &key.name).filter(|role| role.aggregation_rule.is_some())?;
        Some(Observed { role, all: self.roles.list() })
    }

    fn plan(&self, observed: &Observed, _now: Timestamp) -> Plan {
        plan(observed)
    }
}

fn plan(Observed { role, all }: &Observed) -> Plan {
    let mut plan = Plan::default();
    let selectors = role.aggregation_rule.iter().flat_map(|rule| rule.cluster_role_selectors.iter().flatten());
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors {
        let chosen = |other: &&Arc<ClusterRole>| {
            other.name() != role.name() && selects(selector, other.metadata.labels.as_ref())
        };
        for rule in all.iter().filter(chosen).flat_map(|other| other.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    if !crate::semantic::equal(&role.rules, &rules) {
        let body = json!({"metadata": {"resourceVersion": role.metadata.resource_version}, "rules": rules});
        plan.patch(&**role, "", PatchKind::Merge, body);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn rules_are_gathered_once_each() {
        let role = |value: Value| Arc::new(serde_json::from_value::<ClusterRole>(value).unwrap());
        let rule = json!({"verbs": ["get"], "resources": ["pods"], "apiGroups": [""]});
        let view = role(json!({"metadata": {"name": "view", "labels": {"to": "view"}},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "view"}}]}}));
        let part = |name: &str| role(json!({"metadata": {"name": name, "labels": {"to": "view"}}, "rules": [rule]}));
        let told = plan(&Observed { role: view.clone(), all: vec![part("a"), part("b"), view] });
        assert_eq!(
            told.to_string(),
            r#"patch clusterroles.rbac.authorization.k8s.io view {"metadata":{"resourceVersion":null},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}"#
        );
    }
}
