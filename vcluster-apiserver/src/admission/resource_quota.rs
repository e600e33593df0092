//! A namespace's quotas: what an object costs is charged in the transaction that stores it
//! (k8s.io/apiserver `pkg/admission/plugin/resourcequota`, k8s.io/kubernetes `pkg/quota/v1`).
//!
//! Where upstream updates the quota first and repairs by recounting, here both commit or neither does: the quota's
//! revision is a check and its new status a write of the object's transaction. The controller still recounts, because
//! what ends (a finished pod) is not charged back here.

pub mod scope;
pub mod usage;

use super::pod_resources::{Resources, add, read};
use super::{Attributes, Operation, Plugin};
use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::clock::Clock;
use apimachinery::{GroupResource, Object, Status};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use storage::{Check, Range, Revision};

pub struct ResourceQuota {
    clock: Arc<dyn Clock>,
}

impl ResourceQuota {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

/// Kinds that are answered and not stored, and events, which are never counted.
fn is_ignored(resource: &GroupResource) -> bool {
    matches!(resource.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io")
        || matches!(
            (resource.group.as_str(), resource.resource.as_str()),
            ("", "bindings" | "componentstatuses" | "events") | ("events.k8s.io", "events")
        )
}

fn pretty(list: &Resources) -> String {
    list.iter().map(|(name, quantity)| format!("{name}={quantity}")).collect::<Vec<_>>().join(",")
}

fn only(list: &Resources, names: &Resources) -> Resources {
    list.iter().filter(|(name, _)| names.contains_key(*name)).map(|(n, q)| (n.clone(), *q)).collect()
}

/// What one quota does with a request: nothing, or its new `status.used`.
fn charge(quota: &Object, a: &Attributes, object: &Object, now: jiff::Timestamp) -> Result<Option<Resources>, String> {
    let resource = a.resource.group_resource();
    let hard = read(quota.at(&["status", "hard"]));
    let restricted: Vec<&String> = hard.keys().filter(|name| usage::is_counted(&resource, name)).collect();
    if restricted.is_empty() || !scope::matches(quota, &resource, object) {
        return Ok(None);
    }
    if resource == GroupResource::new("", "pods") {
        usage::must_specify(&restricted, object).map_err(|why| format!("failed quota: {}: {why}", quota.name()))?;
    }
    let used = read(quota.at(&["status", "used"]));
    if restricted.iter().any(|name| !used.contains_key(*name)) {
        let names = restricted.iter().map(|n| n.as_str()).collect::<Vec<_>>().join(",");
        return Err(format!("status unknown for quota: {}, resources: {names}", quota.name()));
    }

    let mut delta = usage::of(&resource, object, now);
    let negative: Vec<&str> = delta.iter().filter(|(_, q)| q.sign() < 0).map(|(n, _)| n.as_str()).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    if let (Operation::Update, Some(old)) = (a.operation, &a.old)
        && scope::matches(quota, &resource, old)
    {
        for (name, before) in usage::of(&resource, old, now) {
            if let Some(quantity) = delta.get_mut(&name) {
                *quantity -= before;
            }
        }
    }
    // What shrinks is given back by the recount only: it may not have happened yet.
    delta.retain(|_, quantity| quantity.sign() > 0);
    let requested = only(&delta, &hard);
    if requested.is_empty() {
        return Ok(None);
    }
    let mut new_used = used.clone();
    add(&mut new_used, &requested);
    let exceeded: Resources = only(&new_used, &requested).into_iter().filter(|(n, q)| *q > hard[n]).collect();
    if !exceeded.is_empty() {
        return Err(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            quota.name(),
            pretty(&only(&requested, &exceeded)),
            pretty(&only(&used, &exceeded)),
            pretty(&only(&hard, &exceeded))
        ));
    }
    Ok(Some(new_used))
}

async fn quotas(backend: &Backend, namespace: &str) -> Result<Vec<(Object, Revision)>, Status> {
    let range = Range { resource: "resourcequotas".into(), namespace: Some(namespace.into()), ..Range::default() };
    let page = backend.storage.list(&range).await.map_err(super::unreadable)?;
    let parse = |body: &[u8]| serde_json::from_slice(body).ok().and_then(Object::from_value);
    Ok(page.items.iter().filter_map(|s| Some((parse(&s.body)?, s.revision))).collect())
}

#[async_trait]
impl Plugin for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn handles(&self, a: &Attributes) -> bool {
        let resource = a.resource.group_resource();
        let writes = match (a.resource.group.as_str(), a.resource.resource.as_str(), a.subresource.as_str()) {
            ("", "pods" | "services" | "persistentvolumeclaims", "") => a.creates() || a.updates(),
            ("", "pods", "resize") => a.updates(),
            (_, _, "") => a.creates(),
            _ => false,
        };
        writes && !a.namespace.is_empty() && !is_ignored(&resource)
    }

    async fn validate(
        &self,
        _: &RequestCx,
        backend: &Backend,
        a: &Attributes,
        object: &Object,
        transaction: &mut Transaction,
    ) -> Result<(), Status> {
        // An update of a pod changes its cost only when it moves it between the terminating scopes.
        let is_pod_update = a.updates() && a.is("", "pods");
        if is_pod_update && a.old.as_ref().is_some_and(|o| scope::is_terminating(o) == scope::is_terminating(object)) {
            return Ok(());
        }
        let now = self.clock.now();
        for (mut quota, revision) in quotas(backend, &a.namespace).await? {
            let Some(used) = charge(&quota, a, object, now).map_err(|why| a.forbidden(object, why))? else {
                continue;
            };
            if a.dry_run {
                continue;
            }
            let resource = GroupResource::new("", "resourcequotas");
            let used: serde_json::Map<String, Value> =
                used.into_iter().map(|(name, quantity)| (name, json!(quantity.to_string()))).collect();
            quota.set_at(&["status", "used"], Value::Object(used));
            transaction.checks.push(Check::At(Backend::key(&resource, &a.namespace, quota.name()), revision));
            transaction.writes.push(Backend::put(&resource, &quota));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;
    use apimachinery::clock::FixedClock;
    use storage::Write;

    async fn ask(quota: Value, asked: Asked) -> Result<Option<Value>, String> {
        let store = Fixture::default();
        let mut object = json!({ "metadata": { "name": "q", "namespace": "ns" } });
        object.as_object_mut().unwrap().extend(quota.as_object().unwrap().clone());
        store.put("resourcequotas", "", object).await;
        let plugin = ResourceQuota::new(Arc::new(FixedClock::new(0)));
        let (_, transaction, _) = asked.run(&plugin, &store).await.map_err(|s| s.message)?;
        assert_eq!(transaction.checks.len(), transaction.writes.len());
        Ok(transaction.writes.first().map(|write| {
            let Write::Put(_, body) = write else { panic!("a quota is only ever put") };
            serde_json::from_slice::<Value>(&body.bytes).unwrap()["status"]["used"].clone()
        }))
    }

    fn pod(cpu: &str) -> Value {
        json!({
            "metadata": { "name": "p", "namespace": "ns" },
            "spec": { "containers": [{ "name": "a", "resources": { "requests": { "cpu": cpu } } }] },
        })
    }

    #[tokio::test]
    async fn a_pod_is_charged_until_the_quota_is_full() {
        let status = json!({ "hard": { "cpu": "1", "pods": "5" }, "used": { "cpu": "600m", "pods": "1" } });
        let quota = json!({ "status": status });
        let used = ask(quota.clone(), Asked::create("/pods", pod("400m"))).await.unwrap().unwrap();
        assert_eq!(used, json!({ "cpu": "1", "pods": "2" }));
        let refused = ask(quota, Asked::create("/pods", pod("500m"))).await.unwrap_err();
        let wanted = "pods \"p\" is forbidden: exceeded quota: q, requested: cpu=500m, used: cpu=600m, limited: cpu=1";
        assert_eq!(refused, wanted);
    }

    #[tokio::test]
    async fn what_a_quota_counts_must_be_said() {
        let quota = json!({ "status": { "hard": { "limits.memory": "1Gi" }, "used": { "limits.memory": "0" } } });
        let refused = ask(quota, Asked::create("/pods", pod("1"))).await.unwrap_err();
        assert_eq!(refused, "pods \"p\" is forbidden: failed quota: q: must specify limits.memory for: a");
        let unknown = json!({ "status": { "hard": { "pods": "1" } } });
        let refused = ask(unknown, Asked::create("/pods", pod("1"))).await.unwrap_err();
        assert_eq!(refused, "pods \"p\" is forbidden: status unknown for quota: q, resources: pods");
    }

    #[tokio::test]
    async fn every_kind_is_counted_by_its_group() {
        let counts = json!({ "count/deployments.apps": "1" });
        let quota = json!({ "status": { "hard": counts, "used": { "count/deployments.apps": "0" } } });
        let object = json!({ "metadata": { "name": "d", "namespace": "ns" } });
        let used = ask(quota.clone(), Asked::create("apps/deployments", object.clone())).await.unwrap();
        assert_eq!(used, Some(json!({ "count/deployments.apps": "1" })));
        assert_eq!(ask(quota, Asked::create("apps/statefulsets", object)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_update_costs_what_it_grows() {
        let service = |kind: &str, ports: usize| {
            let ports: Vec<Value> = (0..ports).map(|p| json!({ "port": p })).collect();
            json!({ "metadata": { "name": "s", "namespace": "ns" }, "spec": { "type": kind, "ports": ports } })
        };
        let hard = json!({ "services": "1", "services.nodeports": "3" });
        let quota = json!({ "status": { "hard": hard, "used": { "services": "1", "services.nodeports": "1" } } });
        let ask = async |old, new| ask(quota.clone(), Asked::update("/services", old, new)).await;
        let grown = ask(service("NodePort", 1), service("NodePort", 3)).await.unwrap();
        assert_eq!(grown, Some(json!({ "services": "1", "services.nodeports": "3" })));
        assert_eq!(ask(service("NodePort", 1), service("ClusterIP", 1)).await.unwrap(), None);
        assert!(ask(service("ClusterIP", 1), service("NodePort", 3)).await.unwrap_err().contains("exceeded quota"));
    }

    #[tokio::test]
    async fn a_scope_narrows_a_quota() {
        let quota = |scope: &str| json!({ "spec": { "scopes": [scope] }, "status": { "hard": { "pods": "0" }, "used": { "pods": "0" } } });
        for (scope, counted) in [
            ("BestEffort", false),
            ("NotBestEffort", true),
            ("Terminating", false),
            ("NotTerminating", true),
            ("PriorityClass", false),
        ] {
            let refused = ask(quota(scope), Asked::create("/pods", pod("1"))).await.is_err();
            assert_eq!(refused, counted, "{scope}");
        }
    }
}
