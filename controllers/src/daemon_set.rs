//! DaemonSets: one pod on each node that it fits. Upstream's `pkg/controller/daemon`.
//!
//! Owns the pods of a set, its revisions and its status. It names the node by affinity and leaves the binding to the scheduler. Woken by
//! sets, their pods, and nodes whose labels or taints change.

mod nodes;
mod sync;

use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::history::{self, Form};
use crate::meta::Meta;
use crate::ownership::claim;
use crate::plan::Plan;
use crate::pods;
use crate::queue::Key;
use crate::selector;
use informer::{Event, Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use std::sync::Arc;

const HASH_LABEL: &str = "controller-revision-hash";

pub(crate) struct DaemonSets {
    informers: Informers,
    sets: Store<DaemonSet>,
    pods: Store<Pod>,
    nodes: Store<Node>,
    revisions: Store<ControllerRevision>,
}

pub struct Observed {
    set: Arc<DaemonSet>,
    candidates: Vec<Arc<Pod>>,
    revisions: Vec<Arc<ControllerRevision>>,
    nodes: Vec<Arc<Node>>,
}

impl DaemonSets {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self {
            informers: informers.clone(),
            sets: informers.store(),
            pods: pods::store(informers),
            nodes: informers.store(),
            revisions: informers.store(),
        }
    }
}

fn selects(set: &DaemonSet, pod: &Pod) -> bool {
    !selector::is_empty(&set.spec.selector) && selector::selects(&set.spec.selector, pod.metadata.labels.as_ref())
}

fn wake(sets: &Store<DaemonSet>, event: &Event<Pod>) -> Vec<Key> {
    let mut keys: Vec<Key> = event.states().filter_map(|pod| pods::controller_key::<DaemonSet>(&**pod)).collect();
    keys.dedup();
    if let Some(pod) = event.new.as_ref().filter(|pod| pod.controller().is_none() && !pod.terminating()) {
        let adopters = sets.list_in(pod.namespace());
        keys.extend(adopters.iter().filter(|set| selects(set, pod)).map(|set| key_of(&**set)));
    }
    keys
}

impl Controller for DaemonSets {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "daemonset-controller",
            account: "daemon-set-controller",
            component: "daemonset-controller",
            workers: 2,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let (by_pod, by_node) = (self.sets.clone(), self.sets.clone());
        let of_node = move |event: &Event<Node>| {
            let decisive = |node: &Option<Arc<Node>>| {
                node.as_ref()
                    .map(|node| (node.metadata.labels.clone(), node.spec.as_ref().and_then(|spec| spec.taints.clone())))
            };
            let changed = decisive(&event.old) != decisive(&event.new);
            if changed { by_node.list().iter().map(|set| key_of(&**set)).collect() } else { Vec::new() }
        };
        let revisions = |event: &Event<ControllerRevision>| {
            event.old.as_ref().and_then(|own| pods::controller_key::<DaemonSet>(&**own)).into_iter().collect()
        };
        vec![
            Watch::own(&self.informers, &self.sets),
            Watch::on(&self.informers, &self.pods, move |event| wake(&by_pod, event)),
            Watch::on(&self.informers, &self.nodes, of_node),
            Watch::on(&self.informers, &self.revisions, revisions),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let set = self.sets.get(&key.namespace, &key.name)?;
        let candidates = pods::candidates(&self.pods, &key.namespace, set.uid());
        let revisions = self.revisions.list_in(&key.namespace);
        Some(Observed { set, candidates, revisions, nodes: self.nodes.list() })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }
}

fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let set = &*observed.set;
    let mut plan = Plan::default();
    if selector::is_empty(&set.spec.selector) {
        let words = "This daemon set is selecting all pods. A non-empty selector is required.";
        plan.warning(set, "SelectingAll", words);
        return plan;
    }
    if set.terminating() {
        return plan;
    }
    let selected =
        |revision: &ControllerRevision| selector::selects(&set.spec.selector, revision.metadata.labels.as_ref());
    let revisions = claim(set, observed.revisions.iter().cloned(), selected);
    revisions.write(set, &[], &mut plan);
    let pods = claim(set, observed.candidates.iter().cloned(), |pod| selects(set, pod));
    pods.write(set, &[], &mut plan);
    if !plan.writes.is_empty() {
        return plan;
    }
    let template = &set.spec.template;
    let labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    let form = Form { hash_label: HASH_LABEL, labels };
    let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let history = history::sync(set, template, &revisions.owned, &observed.revisions, form, collisions, &mut plan);
    sync::sync(observed, &pods.owned, &history, now, &mut plan);
    plan
}

#[cfg(test)]
#[path = "daemon_set_tests.rs"]
mod tests;
