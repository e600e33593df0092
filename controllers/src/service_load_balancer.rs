//! Gives Services of type `LoadBalancer` their load balancer, by a [`CloudProvider`]. Upstream's
//! `k8s.io/cloud-provider/controllers/service`.
//!
//! Owns the finalizer `service.kubernetes.io/load-balancer-cleanup` and `status.loadBalancer` of Services without a class of
//! their own. Started only with a provider. Woken by Services whose specification or annotations change, and by nodes that
//! come, go, or may no longer be used.

use crate::api::{Api, ApiError};
use crate::cloud::{CloudError, CloudProvider};
use crate::controller::{Descriptor, Reconcile, Watch, key_of};
use crate::meta::Meta;
use crate::plan::{PatchKind, Plan};
use crate::queue::Key;
use async_trait::async_trait;
use informer::{Informers, Store};
use k8s_openapi::api::core::v1::{LoadBalancerStatus, Node, Service};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

pub(crate) struct LoadBalancers {
    informers: Informers,
    services: Store<Service>,
    nodes: Store<Node>,
    cloud: Arc<dyn CloudProvider>,
}

impl LoadBalancers {
    pub(crate) fn new(informers: &Informers, cloud: Arc<dyn CloudProvider>) -> Self {
        Self { informers: informers.clone(), services: informers.store(), nodes: informers.store(), cloud }
    }
}

fn wants(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none())
}

/// `stableNodeSetPredicates`: the readiness of a node is the load balancer's own business.
fn usable(node: &Node) -> bool {
    let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    !node.terminating() && node.label(EXCLUDED).is_none() && !taints.any(|taint| taint.key == TO_BE_DELETED)
}

/// What is to be done about a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Nothing,
    Delete,
    /// The finalizer first, so that nothing is left behind.
    Protect,
    Ensure,
}

fn task(service: &Service) -> Task {
    match (wants(service) && !service.terminating(), service.finalizer(FINALIZER)) {
        (false, true) => Task::Delete,
        (false, false) => Task::Nothing,
        (true, false) => Task::Protect,
        (true, true) => Task::Ensure,
    }
}

/// Writes what a provider did, or that it failed.
fn told(service: &Service, task: Task, nodes: usize, outcome: &Result<LoadBalancerStatus, CloudError>) -> Plan {
    let mut plan = Plan::default();
    match (task, outcome) {
        (_, Err(CloudError::ImplementedElsewhere)) if task == Task::Ensure => {}
        (_, Err(CloudError::Failed(why))) => {
            let what = if task == Task::Delete { "delete" } else { "ensure" };
            let message = format!("Error syncing load balancer: failed to {what} load balancer: {why}");
            plan.warning(service, "SyncLoadBalancerFailed", message);
        }
        (Task::Delete, _) => {
            let body = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}, "status": {"loadBalancer": null}});
            plan.patch(service, "status", PatchKind::Strategic, body);
            plan.event(service, "DeletedLoadBalancer", "Deleted load balancer");
        }
        (_, Ok(status)) => {
            if nodes == 0 {
                plan.warning(service, "UnAvailableLoadBalancer", "There are no available nodes for LoadBalancer");
            }
            plan.event(service, "EnsuredLoadBalancer", "Ensured load balancer");
            let old = service.status.as_ref().and_then(|status| status.load_balancer.clone()).unwrap_or_default();
            if !crate::semantic::same_status(&old, status) {
                plan.patch(
                    service,
                    "status",
                    PatchKind::Merge,
                    json!({"status": {"loadBalancer": {"ingress": status.ingress}}}),
                );
            }
        }
        (_, Err(CloudError::ImplementedElsewhere)) => {}
    }
    plan
}

#[async_trait]
impl Reconcile for LoadBalancers {
    fn descriptor(&self) -> Descriptor {
        let account = "service-controller";
        Descriptor { name: "service-lb-controller", account, component: account, workers: 1 }
    }

    fn watches(&self) -> Vec<Watch> {
        let changed = |event: &informer::Event<Service>| {
            let state = |service: &Arc<Service>| {
                let meta = &service.metadata;
                (
                    service.spec.clone(),
                    meta.annotations.clone(),
                    meta.uid.clone(),
                    service.terminating(),
                    meta.finalizers.clone(),
                )
            };
            let moved = event.old.as_ref().map(state) != event.new.as_ref().map(state);
            event.new.as_ref().filter(|_| moved).map(|service| key_of(&**service)).into_iter().collect()
        };
        let services = self.services.clone();
        let by_node = move |event: &informer::Event<Node>| {
            let state = |node: &Arc<Node>| (usable(node), node.spec.as_ref().and_then(|spec| spec.provider_id.clone()));
            let before = event.old.as_ref().map(state).filter(|(usable, _)| *usable);
            if before == event.new.as_ref().map(state).filter(|(usable, _)| *usable) {
                return Vec::new();
            }
            let all = services.list();
            all.iter().filter(|service| wants(service)).map(|service| key_of(&**service)).collect()
        };
        vec![Watch::on(&self.informers, &self.services, changed), Watch::on(&self.informers, &self.nodes, by_node)]
    }

    async fn reconcile(&self, key: &Key, api: &Api) -> Result<Option<Duration>, ApiError> {
        let Some(service) = self.services.get(&key.namespace, &key.name) else { return Ok(None) };
        let mut plan = Plan::default();
        let task = task(&service);
        let mut nodes = self.nodes.list();
        nodes.retain(|node| usable(node));
        let outcome = match task {
            Task::Nothing => return Ok(None),
            Task::Protect => {
                plan.patch(&*service, "status", PatchKind::Strategic, json!({"metadata": {"finalizers": [FINALIZER]}}));
                return api.apply(&plan).await.map(|()| None);
            }
            Task::Delete => {
                plan.event(&*service, "DeletingLoadBalancer", "Deleting load balancer");
                self.cloud.delete_load_balancer(&service).await.map(|()| LoadBalancerStatus::default())
            }
            Task::Ensure => {
                plan.event(&*service, "EnsuringLoadBalancer", "Ensuring load balancer");
                self.cloud.ensure_load_balancer(&service, &nodes).await
            }
        };
        plan.writes.extend(told(&service, task, nodes.len(), &outcome).writes);
        api.apply(&plan).await?;
        match outcome {
            Err(CloudError::Failed(why)) => Err(ApiError::Cloud { target: key.to_string(), why }),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn service(kind: &str, held: bool, going: bool, class: Option<&str>) -> Service {
        let finalizers = if held { vec![FINALIZER] } else { vec![] };
        let deleted = going.then_some("2024-01-01T00:00:00Z");
        let tree: Value = json!({"metadata": {"name": "s", "namespace": "ns", "finalizers": finalizers, "deletionTimestamp": deleted},
            "spec": {"type": kind, "loadBalancerClass": class}});
        serde_json::from_value(tree).unwrap()
    }

    /// Cases of upstream's `TestSyncLoadBalancerIfNeeded` and `TestNeedsCleanup`.
    #[test]
    fn services_get_and_lose_load_balancers() {
        assert_eq!(task(&service("ClusterIP", false, false, None)), Task::Nothing);
        assert_eq!(task(&service("LoadBalancer", false, false, Some("own"))), Task::Nothing);
        assert_eq!(task(&service("LoadBalancer", false, false, None)), Task::Protect);
        assert_eq!(task(&service("LoadBalancer", true, false, None)), Task::Ensure);
        assert_eq!(task(&service("LoadBalancer", true, true, None)), Task::Delete);
        assert_eq!(task(&service("ClusterIP", true, false, None)), Task::Delete);
        assert_eq!(task(&service("LoadBalancer", false, true, None)), Task::Nothing);
    }

    #[test]
    fn what_the_provider_did_is_told() {
        let own = service("LoadBalancer", true, false, None);
        let run = |task, nodes, outcome: Result<Value, CloudError>| {
            told(&own, task, nodes, &outcome.map(|status| serde_json::from_value(status).unwrap())).to_string()
        };
        let status = json!({"ingress": [{"ip": "1.2.3.4"}]});
        let ensured = "event EnsuredLoadBalancer Ensured load balancer";
        let shown = r#"patch services/status ns/s {"status":{"loadBalancer":{"ingress":[{"ip":"1.2.3.4"}]}}}"#;
        assert_eq!(run(Task::Ensure, 1, Ok(status)), format!("{ensured}\n{shown}"));
        let none = "warn UnAvailableLoadBalancer There are no available nodes for LoadBalancer";
        assert_eq!(run(Task::Ensure, 0, Ok(json!({}))), format!("{none}\n{ensured}"));
        let failed = "warn SyncLoadBalancerFailed Error syncing load balancer: failed to ensure load balancer: no";
        assert_eq!(run(Task::Ensure, 1, Err(CloudError::Failed("no".into()))), failed);
        assert_eq!(run(Task::Ensure, 1, Err(CloudError::ImplementedElsewhere)), "");
        assert!(
            run(Task::Delete, 1, Err(CloudError::ImplementedElsewhere))
                .ends_with("event DeletedLoadBalancer Deleted load balancer")
        );
    }
}
