//! StatefulSets: pods with names, an order and claims of their own. Upstream's `pkg/controller/statefulset`.
//!
//! Owns the pods of a set, its revisions, its status, and the making (and ownership) of its claims; never deletes a claim.
//! Woken by sets and their pods.

mod identity;
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
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use std::collections::BTreeMap;
use std::sync::Arc;

/// On a pod: the name of its revision.
const REVISION_LABEL: &str = "controller-revision-hash";
/// On a revision: its hash.
const HASH_LABEL: &str = "controller.kubernetes.io/hash";

pub(crate) struct StatefulSets {
    informers: Informers,
    sets: Store<StatefulSet>,
    pods: Store<Pod>,
    claims: Store<PersistentVolumeClaim>,
    revisions: Store<ControllerRevision>,
}

pub struct Observed {
    set: Arc<StatefulSet>,
    candidates: Vec<Arc<Pod>>,
    revisions: Vec<Arc<ControllerRevision>>,
    /// The claims of the namespace that the set's templates name, by name.
    claims: BTreeMap<String, Arc<PersistentVolumeClaim>>,
}

impl StatefulSets {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self {
            informers: informers.clone(),
            sets: informers.store(),
            pods: pods::store(informers),
            claims: informers.store(),
            revisions: informers.store(),
        }
    }
}

fn selects(set: &StatefulSet, labels: Option<&BTreeMap<String, String>>) -> bool {
    !selector::is_empty(&set.spec.selector) && selector::selects(&set.spec.selector, labels)
}

fn wake(sets: &Store<StatefulSet>, event: &Event<Pod>) -> Vec<Key> {
    let mut keys: Vec<Key> = event.states().filter_map(|pod| pods::controller_key::<StatefulSet>(&**pod)).collect();
    keys.dedup();
    if let Some(pod) = event.new.as_ref().filter(|pod| pod.controller().is_none() && !pod.terminating()) {
        let adopters = sets.list_in(pod.namespace());
        let adopters = adopters.iter().filter(|set| selects(set, pod.metadata.labels.as_ref()));
        keys.extend(adopters.map(|set| key_of(&**set)));
    }
    keys
}

impl Controller for StatefulSets {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "statefulset-controller",
            account: "statefulset-controller",
            component: "statefulset-controller",
            workers: 5,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let sets = self.sets.clone();
        let none = |_: &Event<PersistentVolumeClaim>| Vec::new();
        let revisions = |event: &Event<ControllerRevision>| {
            event.old.as_ref().and_then(|own| pods::controller_key::<StatefulSet>(&**own)).into_iter().collect()
        };
        vec![
            Watch::own(&self.informers, &self.sets),
            Watch::on(&self.informers, &self.pods, move |event| wake(&sets, event)),
            Watch::on(&self.informers, &self.revisions, revisions),
            Watch::on(&self.informers, &self.claims, none),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let set = self.sets.get(&key.namespace, &key.name)?;
        let candidates = pods::candidates(&self.pods, &key.namespace, set.uid());
        let prefixes: Vec<String> =
            identity::templates(&set).map(|t| format!("{}-{}-", t.name(), set.name())).collect();
        let mut claims = BTreeMap::new();
        if !prefixes.is_empty() {
            for claim in self.claims.list_in(&key.namespace) {
                if prefixes.iter().any(|prefix| claim.name().starts_with(prefix)) {
                    claims.insert(claim.name().to_owned(), claim);
                }
            }
        }
        Some(Observed { set, candidates, revisions: self.revisions.list_in(&key.namespace), claims })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }
}

fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let set = &*observed.set;
    let mut plan = Plan::default();
    let ours = |labels: Option<&BTreeMap<String, String>>| selects(set, labels);
    let revisions = claim(set, observed.revisions.iter().cloned(), |revision| ours(revision.metadata.labels.as_ref()));
    revisions.write(set, &[], &mut plan);
    let named = |pod: &Pod| identity::ordinal(set, pod).is_some();
    let pods = claim(set, observed.candidates.iter().cloned(), |pod| ours(pod.metadata.labels.as_ref()) && named(pod));
    pods.write(set, &[], &mut plan);
    if !plan.writes.is_empty() {
        return plan;
    }
    let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let template = &set.spec.template;
    let labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    let form = Form { hash_label: HASH_LABEL, labels };
    let history = history::sync(set, template, &revisions.owned, &observed.revisions, form, collisions, &mut plan);
    sync::sync(observed, &pods.owned, &history, now, &mut plan);
    plan
}

#[cfg(test)]
#[path = "stateful_set_tests.rs"]
mod tests;
