//! Says by taints what a node's conditions say, and that a node whose kubelet is silent is unknown. Upstream's
//! `pkg/controller/nodelifecycle`.
//!
//! Owns the taints `node.kubernetes.io/*` that stand for conditions, and the condition Ready of silent nodes and of pods on
//! nodes that are not ready. A node without a lease (a mirrored one) is believed as it is. What the taints do to pods is
//! [`crate::taint_eviction`]'s. Woken by nodes, and by leases for the sake of the deadline only.

use crate::controller::{Controller, Descriptor, Watch};
use crate::meta::Meta;
use crate::plan::{PatchKind, Plan};
use crate::pods;
use crate::queue::Key;
use crate::recorder::stamp;
use informer::{Informers, Store};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use std::sync::Arc;

/// `node-monitor-grace-period`.
const SILENCE: SignedDuration = SignedDuration::from_secs(50);
const LEASES: &str = "kube-node-lease";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Conditions, the status in which they taint, and the taint of effect NoSchedule.
const TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

pub(crate) struct NodeLifecycle {
    informers: Informers,
    nodes: Store<Node>,
    leases: Store<Lease>,
    pods: Store<Pod>,
}

pub struct Observed {
    node: Arc<Node>,
    lease: Option<Arc<Lease>>,
    pods: Vec<Arc<Pod>>,
}

impl NodeLifecycle {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self {
            informers: informers.clone(),
            nodes: informers.store(),
            leases: informers.store(),
            pods: pods::store(informers),
        }
    }
}

fn ready(node: &Node) -> Option<&str> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.status.as_str())
}

impl Controller for NodeLifecycle {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "node-lifecycle-controller",
            account: "node-controller",
            component: "node-controller",
            workers: 2,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let nodes = self.nodes.clone();
        // A renewal matters only where a deadline has to be set anew: for a node without one, or one given up.
        let by_lease = move |event: &informer::Event<Lease>| {
            let Some(lease) = event.latest().filter(|lease| lease.namespace() == LEASES) else { return Vec::new() };
            let node = nodes.get("", lease.name());
            let matters = event.old.is_none() || node.is_some_and(|node| ready(&node) == Some("Unknown"));
            if matters { vec![Key::new("", lease.name())] } else { Vec::new() }
        };
        vec![Watch::own(&self.informers, &self.nodes), Watch::on(&self.informers, &self.leases, by_lease)]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let node = self.nodes.get("", &key.name)?;
        let not_ready = ready(&node) != Some("True");
        let pods = if not_ready { pods::on_node(&self.pods, &key.name) } else { Vec::new() };
        Some(Observed { node, lease: self.leases.get(LEASES, &key.name), pods })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }
}

fn plan(Observed { node, lease, pods }: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if node.terminating() {
        return plan;
    }
    let renewed = lease.as_ref().and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref()).map(|time| time.0);
    if let Some(renewed) = renewed {
        let left = SILENCE - now.duration_since(renewed);
        if left > SignedDuration::ZERO {
            plan.again_after(left.unsigned_abs());
        } else if ready(node) != Some("Unknown") {
            let unknown = |kind: &str| {
                json!({"type": kind, "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status.",
                    "lastTransitionTime": stamp(now)})
            };
            let kinds = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
            let body = json!({"status": {"conditions": kinds.map(unknown)}});
            plan.patch(&**node, "status", PatchKind::Strategic, body);
            return plan;
        }
    }
    let wanted = wanted(node, now);
    let current: Vec<Taint> = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).cloned().collect();
    let identity = |taint: &Taint| (taint.key.clone(), taint.effect.clone());
    let mut taints: Vec<Taint> = current
        .iter()
        .filter(|taint| !is_ours(taint) || wanted.iter().any(|own| identity(own) == identity(taint)))
        .cloned()
        .collect();
    let missing = wanted.into_iter().filter(|own| !current.iter().any(|taint| identity(taint) == identity(own)));
    taints.extend(missing);
    if taints != current {
        let mut changed = (**node).clone();
        changed.spec.get_or_insert_default().taints = Some(taints);
        plan.update(&changed);
    }
    if ready(node) != Some("True") {
        mark_not_ready(node, pods, now, &mut plan);
    }
    plan
}

fn is_ours(taint: &Taint) -> bool {
    let condition = TAINTS.iter().any(|(_, _, key)| *key == taint.key) || taint.key == UNSCHEDULABLE;
    let executes = taint.effect == "NoExecute" && [NOT_READY, UNREACHABLE].contains(&&*taint.key);
    executes || (condition && taint.effect == "NoSchedule")
}

fn wanted(node: &Node, now: Timestamp) -> Vec<Taint> {
    let taint = |key: &str, effect: &str| Taint {
        key: key.to_owned(),
        effect: effect.to_owned(),
        time_added: Some(Time(Timestamp::from_second(now.as_second()).unwrap_or(now))),
        value: None,
    };
    let mut wanted = Vec::new();
    let conditions: Vec<_> = node.status.iter().flat_map(|status| status.conditions.iter().flatten()).collect();
    let is = |kind: &str, status: &str| conditions.iter().any(|own| own.type_ == kind && own.status == status);
    for (kind, status, key) in TAINTS {
        if is(kind, status) {
            wanted.push(taint(key, "NoSchedule"));
            if kind == "Ready" {
                wanted.push(taint(key, "NoExecute"));
            }
        }
    }
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        wanted.push(taint(UNSCHEDULABLE, "NoSchedule"));
    }
    wanted
}

/// Pods on a node that is not ready are not ready themselves, whatever their last report says.
fn mark_not_ready(node: &Node, pods: &[Arc<Pod>], now: Timestamp, plan: &mut Plan) {
    for pod in pods.iter().filter(|pod| pods::is_ready(pod)) {
        let condition = json!({"type": "Ready", "status": "False", "lastTransitionTime": stamp(now)});
        let body = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
        plan.patch(&**pod, "status", PatchKind::Strategic, body);
        plan.warning(&**pod, "NodeNotReady", format!("Node is not ready: {}", node.name()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Write;
    use serde_json::Value;

    fn run(node: Value, lease: Option<&str>) -> (String, Vec<String>) {
        let node = Arc::new(serde_json::from_value(node).unwrap());
        let lease = lease.map(|time| {
            Arc::new(serde_json::from_value(json!({"metadata": {}, "spec": {"renewTime": time}})).unwrap())
        });
        let told = plan(&Observed { node, lease, pods: vec![] }, "2024-01-01T00:01:00Z".parse().unwrap());
        let taints = told.writes.iter().find_map(|write| match write {
            Write::Update { body, .. } => Some(body["spec"]["taints"].clone()),
            _ => None,
        });
        let text = |taint: &Value| format!("{}:{}", taint["key"].as_str().unwrap(), taint["effect"].as_str().unwrap());
        let taints = taints.and_then(|taints| taints.as_array().map(|all| all.iter().map(text).collect()));
        (told.to_string(), taints.unwrap_or_default())
    }

    fn node(status: &str, taints: Value) -> Value {
        json!({"metadata": {"name": "n"}, "spec": {"taints": taints}, "status": {"conditions": [{"type": "Ready", "status": status}]}})
    }

    #[test]
    fn conditions_become_taints_and_go_with_them() {
        let (_, taints) = run(node("False", json!([{"key": "own", "effect": "NoExecute"}])), None);
        assert_eq!(
            taints,
            ["own:NoExecute", "node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"]
        );
        let tainted = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}, {"key": "own", "effect": "NoSchedule"}]);
        assert_eq!(run(node("True", tainted), None).1, ["own:NoSchedule"]);
        assert_eq!(run(node("True", json!([])), None).0, "");
    }

    #[test]
    fn a_silent_kubelet_makes_its_node_unknown() {
        assert!(run(node("True", json!([])), Some("2024-01-01T00:00:00.000000Z")).0.contains("NodeStatusUnknown"));
        assert_eq!(run(node("True", json!([])), Some("2024-01-01T00:00:50.000000Z")).0, "again in 40s");
    }
}
