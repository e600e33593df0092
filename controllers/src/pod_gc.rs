//! Removes pods that nobody else will: of nodes that are gone, terminating ones that never had a node, and terminating ones on
//! nodes declared out of service. Upstream's `pkg/controller/podgc`.
//!
//! Never touches a pod on a node that exists and is in service. A node must have been missing for a while, because caches
//! may show pods before nodes. Woken by pods and by nodes that go or are tainted.

use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::plan::{PatchKind, Plan};
use crate::pods;
use crate::queue::Key;
use crate::recorder::stamp;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const QUARANTINE: Duration = Duration::from_secs(40);
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

pub(crate) struct PodGc {
    informers: Informers,
    pods: Store<Pod>,
    nodes: Store<Node>,
    /// Since when a node that pods name has not been there. Rebuilt after a restart, at the price of the wait.
    missing: Mutex<HashMap<String, Timestamp>>,
    clock: Arc<dyn apimachinery::clock::Clock>,
}

#[derive(Debug)]
pub enum Standing {
    NodeGone { since: Timestamp },
    OutOfService,
    NeverScheduled,
}

pub struct Observed {
    pod: Arc<Pod>,
    standing: Standing,
}

impl PodGc {
    pub(crate) fn new(informers: &Informers, clock: Arc<dyn apimachinery::clock::Clock>) -> Self {
        let missing = Mutex::default();
        Self { informers: informers.clone(), pods: pods::store(informers), nodes: informers.store(), missing, clock }
    }

    fn missing_since(&self, node: &str) -> Timestamp {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        *missing.entry(node.to_owned()).or_insert_with(|| self.clock.now())
    }
}

pub(crate) fn is_node_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

impl Controller for PodGc {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "pod-garbage-collector-controller",
            account: "pod-garbage-collector",
            component: "pod-garbage-collector",
            workers: 2,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let pods = self.pods.clone();
        let of_node = move |event: &informer::Event<Node>| {
            let Some(node) = event.latest() else { return Vec::new() };
            pods::on_node(&pods, node.name()).iter().map(|pod| key_of(&**pod)).collect()
        };
        vec![Watch::own(&self.informers, &self.pods), Watch::on(&self.informers, &self.nodes, of_node)]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let pod = self.pods.get(&key.namespace, &key.name)?;
        let name = pods::node_name(&pod);
        if name.is_empty() {
            return pod.terminating().then_some(Observed { pod, standing: Standing::NeverScheduled });
        }
        let Some(node) = self.nodes.get("", name) else {
            let since = self.missing_since(name);
            return Some(Observed { pod, standing: Standing::NodeGone { since } });
        };
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
        let out = taints.any(|taint| taint.key == OUT_OF_SERVICE) && !is_node_ready(&node);
        (out && pod.terminating()).then_some(Observed { pod, standing: Standing::OutOfService })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }
}

fn plan(Observed { pod, standing }: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut status = json!({"phase": "Failed"});
    if let Standing::NodeGone { since } = standing {
        let waited = now.duration_since(*since).unsigned_abs();
        if waited < QUARANTINE {
            plan.again_after(QUARANTINE.saturating_sub(waited));
            return plan;
        }
        status["conditions"] = json!([{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists", "lastTransitionTime": stamp(now)}]);
    }
    if !pods::is_terminal(pod) {
        let body = json!({"metadata": {"uid": pod.uid()}, "status": status});
        plan.patch(&**pod, "status", PatchKind::Strategic, body);
    }
    plan.delete_with(&**pod, json!({"gracePeriodSeconds": 0}), None);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::testing::pod;

    #[test]
    fn a_pod_of_a_lost_node_goes_after_the_quarantine() {
        let run = |since: &str| {
            let standing = Standing::NodeGone { since: since.parse().unwrap() };
            plan(&Observed { pod: pod("a", json!({})), standing }, "2024-01-01T00:01:00Z".parse().unwrap()).to_string()
        };
        assert_eq!(run("2024-01-01T00:00:50Z"), "again in 30s");
        assert!(run("2024-01-01T00:00:00Z").ends_with("delete pods ns/a"));
    }

    #[test]
    fn a_finished_pod_keeps_its_phase() {
        let done = pod("a", json!({"status": {"phase": "Succeeded"}}));
        let now = "2024-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(
            plan(&Observed { pod: done, standing: Standing::NeverScheduled }, now).to_string(),
            "delete pods ns/a"
        );
    }
}
