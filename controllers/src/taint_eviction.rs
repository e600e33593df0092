//! Deletes pods that do not tolerate a `NoExecute` taint of their node, at once or after the time that they tolerate it.
//! Upstream's `pkg/controller/tainteviction`.
//!
//! The time runs from when the taint was added, which the taint itself records; so a restart does not start it anew. Woken
//! by pods and nodes.

use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::plan::{PatchKind, Plan};
use crate::pods;
use crate::queue::Key;
use crate::recorder::stamp;
use informer::{Informers, Store};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use serde_json::json;
use std::sync::Arc;

pub(crate) struct TaintEviction {
    informers: Informers,
    pods: Store<Pod>,
    nodes: Store<Node>,
}

pub struct Observed {
    pod: Arc<Pod>,
    taints: Vec<Taint>,
}

impl TaintEviction {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), pods: pods::store(informers), nodes: informers.store() }
    }
}

fn evicting(node: &Node) -> Vec<Taint> {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.filter(|taint| taint.effect == "NoExecute").cloned().collect()
}

/// `v1helper.TolerationsTolerateTaint` for one of each.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect_fits = effect.is_empty() || effect == taint.effect;
    let key_fits = key.is_empty() || key == taint.key;
    let value_fits = match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "Equal" | "" => toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default(),
        _ => false,
    };
    effect_fits && key_fits && value_fits
}

impl Controller for TaintEviction {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "taint-eviction-controller",
            account: "node-controller",
            component: "taint-eviction-controller",
            workers: 4,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let pods = self.pods.clone();
        let of_node = move |event: &informer::Event<Node>| {
            let before = event.old.as_ref().map(|node| evicting(node)).unwrap_or_default();
            let now = event.new.as_ref().map(|node| (node, evicting(node)));
            match now {
                Some((node, taints)) if taints != before => {
                    pods::on_node(&pods, node.name()).iter().map(|pod| key_of(&**pod)).collect()
                }
                _ => Vec::new(),
            }
        };
        vec![Watch::own(&self.informers, &self.pods), Watch::on(&self.informers, &self.nodes, of_node)]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let pod = self.pods.get(&key.namespace, &key.name).filter(|pod| pods::is_active(pod))?;
        let node = self.nodes.get("", pods::node_name(&pod))?;
        let taints = evicting(&node);
        (!taints.is_empty()).then_some(Observed { pod, taints })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }
}

fn plan(Observed { pod, taints }: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let given: Vec<&Toleration> = pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten()).collect();
    let mut due: Option<Timestamp> = None;
    for taint in taints {
        let fitting: Vec<&&Toleration> = given.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        let end = if fitting.is_empty() {
            Some(now)
        } else {
            let seconds = fitting.iter().filter_map(|toleration| toleration.toleration_seconds).min();
            let since = taint.time_added.as_ref().map_or(now, |time| time.0);
            seconds.map(|seconds| since.checked_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(now))
        };
        due = [due, end].into_iter().flatten().min();
    }
    let Some(due) = due else { return plan };
    if due > now {
        plan.again_after(due.duration_since(now).unsigned_abs());
        return plan;
    }
    plan.event(&**pod, "TaintManagerEviction", format!("Marking for deletion Pod {}/{}", pod.namespace(), pod.name()));
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": stamp(now)});
    let body = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
    plan.patch(&**pod, "status", PatchKind::Strategic, body);
    plan.delete(&**pod);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::testing::pod;
    use serde_json::Value;

    #[test]
    fn pods_go_when_their_toleration_ends() {
        let run = |tolerations: Value| {
            let pod = pod("a", json!({"spec": {"tolerations": tolerations}}));
            let taint = json!({"key": "k", "effect": "NoExecute", "timeAdded": "2024-01-01T00:00:00Z"});
            let taints = vec![serde_json::from_value(taint).unwrap()];
            let told = plan(&Observed { pod, taints }, "2024-01-01T00:01:00Z".parse().unwrap());
            told.to_string().lines().last().unwrap_or_default().to_owned()
        };
        assert_eq!(run(json!([])), "delete pods ns/a");
        assert_eq!(run(json!([{"operator": "Exists"}])), "");
        assert_eq!(run(json!([{"key": "k", "operator": "Exists", "tolerationSeconds": 300}])), "again in 240s");
        assert_eq!(run(json!([{"key": "k", "operator": "Exists", "tolerationSeconds": 30}])), "delete pods ns/a");
        assert_eq!(run(json!([{"key": "other", "operator": "Exists"}])), "delete pods ns/a");
    }
}
