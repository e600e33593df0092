//! Tells kubelets how long they may trust what they know of Secrets and ConfigMaps, by how many nodes there are. Upstream's
//! `pkg/controller/ttl`.
//!
//! Owns the annotation `node.alpha.kubernetes.io/ttl`. Woken by nodes; a node that comes or goes wakes only itself, the
//! others follow at their next heartbeat, so that a change of the step is no burst.

use crate::controller::{Controller, Descriptor, Watch};
use crate::meta::Meta;
use crate::plan::{PatchKind, Plan};
use crate::queue::Key;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";
/// Below the first number the step before holds, above the second the next; they overlap, so that the value does not flap.
const STEPS: [(usize, usize, u32); 5] =
    [(0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, usize::MAX, 300)];

pub(crate) struct Ttl {
    informers: Informers,
    nodes: Store<Node>,
    /// The step that held last. A restart begins at the first, which differs in the overlaps only.
    step: AtomicUsize,
}

impl Ttl {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), nodes: informers.store(), step: AtomicUsize::new(0) }
    }
}

pub struct Observed {
    node: Arc<Node>,
    seconds: u32,
}

fn step(nodes: usize, mut step: usize) -> usize {
    while nodes > STEPS[step].1 {
        step += 1;
    }
    while nodes < STEPS[step].0 {
        step -= 1;
    }
    step
}

impl Controller for Ttl {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor { name: "ttl-controller", account: "ttl-controller", component: "ttl-controller", workers: 1 }
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(&self.informers, &self.nodes)]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let node = self.nodes.get("", &key.name)?;
        let step = step(self.nodes.len(), self.step.load(Ordering::Relaxed));
        self.step.store(step, Ordering::Relaxed);
        Some(Observed { node, seconds: STEPS[step].2 })
    }

    fn plan(&self, observed: &Observed, _now: Timestamp) -> Plan {
        plan(observed)
    }
}

fn plan(Observed { node, seconds }: &Observed) -> Plan {
    let mut plan = Plan::default();
    let current = node.annotation(ANNOTATION).and_then(|text| text.parse::<u32>().ok());
    if current != Some(*seconds) {
        let body = json!({"metadata": {"annotations": {ANNOTATION: seconds.to_string()}}});
        plan.patch(&**node, "", PatchKind::Strategic, body);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases of upstream's `TestDesiredTTL`.
    #[test]
    fn the_step_follows_the_number_of_nodes_slowly() {
        let table = [
            (0, 0, 0),
            (100, 0, 0),
            (101, 0, 1),
            (91, 1, 1),
            (90, 1, 1),
            (89, 1, 0),
            (500, 1, 1),
            (501, 1, 2),
            (450, 2, 2),
            (449, 2, 1),
            (5000, 0, 4),
        ];
        for (nodes, before, after) in table {
            assert_eq!(step(nodes, before), after, "{nodes} nodes at step {before}");
        }
    }

    #[test]
    fn only_a_wrong_annotation_is_written() {
        let run = |value: Option<&str>| {
            let annotations = value.map(|value| json!({ANNOTATION: value}));
            let node = json!({"metadata": {"name": "n", "annotations": annotations}});
            plan(&Observed { node: Arc::new(serde_json::from_value(node).unwrap()), seconds: 15 }).to_string()
        };
        let written = r#"patch nodes n {"metadata":{"annotations":{"node.alpha.kubernetes.io/ttl":"15"}}}"#;
        assert_eq!((run(None).as_str(), run(Some("15")).as_str(), run(Some("0")).as_str()), (written, "", written));
    }
}
