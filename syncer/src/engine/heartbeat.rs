//! Renews the leases of mirrored nodes, so that the tenant's node monitor takes them for alive as long as the host does.
//!
//! A lease is a clock by nature, hence the timer: the one of its kind in the syncer. The host's own leases are not
//! watched, since that would cost an event per node and ten seconds; the host's verdict on a node is in its conditions.

use super::{Engine, Task, remote::Content};
use crate::kind::Kind;
use crate::node;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

const NAMESPACE: &str = "kube-node-lease";
/// What kubelets ask for.
const LEASE_SECONDS: u64 = 40;

pub(super) async fn beat(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(engine.config.limits.lease_seconds.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for host in engine.stores.host.nodes.list() {
            let name = host.metadata.name.as_deref().unwrap_or_default();
            match engine.stores.virt.nodes.get("", name) {
                Some(virt) if node::is_mirror(&virt) && node::is_alive(&host) => engine.renew(&virt).await,
                Some(_) => {}
                None => engine.queue.add(Task::object(Kind::Node, "", name)),
            }
        }
    }
}

impl Engine {
    async fn renew(&self, virt: &Node) {
        let name = virt.metadata.name.as_deref().unwrap_or_default();
        let mut spec = json!({
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS.max(2 * self.config.limits.lease_seconds),
            "renewTime": MicroTime(self.clock.now()),
        });
        let path = Kind::Lease.path(NAMESPACE, name, "");
        let renewed = self.performer.virt.patch(&path, Content::Merge, &json!({"spec": spec})).await;
        let Err(error) = renewed else { return };
        if error.code() != 404 {
            tracing::debug!(node = name, error = %error.message(), "a lease could not be renewed");
            return;
        }
        spec["renewTime"] = json!(MicroTime(self.clock.now()));
        let owner = json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": virt.metadata.uid});
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": [owner]},
            "spec": spec,
        });
        if let Err(error) = self.performer.virt.create(&Kind::Lease.path(NAMESPACE, "", ""), &lease).await {
            tracing::debug!(node = name, error = %error.message(), "a lease could not be made");
        }
    }
}
