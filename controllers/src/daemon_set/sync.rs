//! One look at a DaemonSet: a pod where one is missing, none where it does not fit, then the update, then the status.

use super::nodes::{Fit, assign, fit, node_of};
use super::{HASH_LABEL, Observed};
use crate::history::History;
use crate::int_or_percent::scaled;
use crate::meta::{Meta, controller_reference, object_reference};
use crate::plan::Plan;
use crate::pods;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const GENERATION: &str = "deprecated.daemonset.template.generation";
const GENERATION_LABEL: &str = "pod-template-generation";
/// `BurstReplicas`.
const BURST: usize = 250;
/// A pod that fails at once is left for a while: a kubelet may reject it again and again.
const FAILED_FOR: SignedDuration = SignedDuration::from_secs(10);

struct Sync<'a> {
    set: &'a DaemonSet,
    hash: &'a str,
    now: Timestamp,
    fits: BTreeMap<&'a str, Fit>,
    by_node: BTreeMap<&'a str, Vec<&'a Arc<Pod>>>,
    missing: BTreeSet<&'a str>,
    surplus: BTreeMap<&'a str, &'a Arc<Pod>>,
}

pub(super) fn sync(observed: &Observed, owned: &[Arc<Pod>], history: &History, now: Timestamp, plan: &mut Plan) {
    let set = &*observed.set;
    let hash = history.update.label(HASH_LABEL).unwrap_or_default();
    let mut by_node: BTreeMap<&str, Vec<&Arc<Pod>>> = BTreeMap::new();
    for pod in owned {
        by_node.entry(node_of(pod).unwrap_or_default()).or_default().push(pod);
    }
    for pods in by_node.values_mut() {
        // Bound ones first, then the oldest.
        pods.sort_by_key(|pod| (pods::node_name(pod).is_empty(), pod.created(), pod.name().to_owned()));
    }
    let fits = observed.nodes.iter().map(|node| (node.name(), fit(set, node))).collect();
    let mut sync = Sync { set, hash, now, fits, by_node, missing: BTreeSet::new(), surplus: BTreeMap::new() };
    sync.manage(plan);
    if sync.missing.is_empty() && sync.surplus.is_empty() {
        sync.roll();
    }
    sync.write(plan);
    sync.status(history.collisions, plan);
    let mut live: Vec<&str> = vec![history.update.name()];
    let in_use = |own: &&k8s_openapi::api::apps::v1::ControllerRevision| {
        owned.iter().any(|pod| pod.label(HASH_LABEL) == own.label(HASH_LABEL))
    };
    live.extend(history.all.iter().filter(in_use).map(Meta::name));
    history.truncate(set.spec.revision_history_limit.unwrap_or(10), &live, plan);
}

impl<'a> Sync<'a> {
    fn is_updated(&self, pod: &Pod) -> bool {
        let generation = self.set.annotation(GENERATION);
        pod.label(HASH_LABEL) == Some(self.hash) || (generation.is_some() && pod.label(GENERATION_LABEL) == generation)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pods::is_available(pod, self.set.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    fn desired(&self) -> i32 {
        self.fits.values().filter(|fit| fit.run).count() as i32
    }

    /// How many more and how many fewer pods than nodes an update may have.
    fn fences(&self) -> (usize, usize) {
        let strategy = self.set.spec.update_strategy.as_ref();
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let number = |given: Option<&k8s_openapi::apimachinery::pkg::util::intstr::IntOrString>| {
            given.and_then(|given| scaled(given, self.desired(), true)).unwrap_or(0).max(0) as usize
        };
        let surge = number(rolling.and_then(|rolling| rolling.max_surge.as_ref()));
        let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        let unavailable = if unavailable.is_none() { 1 } else { number(unavailable) };
        (surge, if surge == 0 { unavailable.max(1) } else { unavailable })
    }

    fn remove(&mut self, pod: &'a Arc<Pod>) {
        self.surplus.insert(pod.name(), pod);
    }

    /// A pod on each node that should run one, and no more.
    fn manage(&mut self, plan: &mut Plan) {
        let surges = self.fences().0 > 0;
        let fits: Vec<(&'a str, Fit)> = self.fits.iter().map(|(name, fit)| (*name, *fit)).collect();
        for (node, fit) in fits {
            let here: Vec<&'a Arc<Pod>> = self.by_node.get(node).cloned().unwrap_or_default();
            if here.is_empty() {
                if fit.run {
                    self.missing.insert(node);
                }
            } else if fit.stay {
                let running = self.running(node, &here, plan);
                if surges {
                    if running.is_empty() && fit.run {
                        self.missing.insert(node);
                    }
                    self.prune_surged(&running);
                } else {
                    running.into_iter().skip(1).for_each(|pod| self.remove(pod));
                }
            } else {
                here.into_iter().filter(|pod| !pod.terminating()).for_each(|pod| self.remove(pod));
            }
        }
    }

    /// The pods that neither ended nor go; those that ended are removed, so that others can be made.
    fn running(&mut self, node: &str, here: &[&'a Arc<Pod>], plan: &mut Plan) -> Vec<&'a Arc<Pod>> {
        let mut running = Vec::new();
        for pod in here.iter().copied().filter(|pod| !pod.terminating()) {
            let who = format!("{}/{} on node {node}", pod.namespace(), pod.name());
            match pods::phase(pod) {
                "Failed" => {
                    let left = FAILED_FOR - self.now.duration_since(pod.created());
                    if left > SignedDuration::ZERO {
                        plan.again_after(left.unsigned_abs());
                        continue;
                    }
                    let words = format!("Found failed daemon pod {who}, will try to kill it");
                    plan.warning(self.set, "FailedDaemonPod", words);
                    self.remove(pod);
                }
                "Succeeded" => {
                    let words = format!("Found succeeded daemon pod {who}, will try to delete it");
                    plan.event(self.set, "SucceededDaemonPod", words);
                    self.remove(pod);
                }
                _ => running.push(pod),
            }
        }
        running
    }

    /// With surge two pods may be on a node: an old one that works and a new one that does not yet.
    fn prune_surged(&mut self, running: &[&'a Arc<Pod>]) {
        let (new, old): (Vec<_>, Vec<_>) = running.iter().copied().partition(|pod| self.is_updated(pod));
        new.iter().skip(1).chain(old.iter().skip(1)).for_each(|pod| self.remove(pod));
        if let (Some(new), Some(old)) = (new.first(), old.first())
            && (!pods::is_ready(old) || self.is_available(new))
        {
            self.remove(old);
        }
    }

    /// Replaces old pods within the fences.
    fn roll(&mut self) {
        let strategy = self.set.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        if strategy == Some("OnDelete") {
            return;
        }
        let (surge, unavailable) = self.fences();
        let nodes: Vec<(&'a str, Vec<&'a Arc<Pod>>)> = self
            .by_node
            .iter()
            .map(|(node, pods)| (*node, pods.iter().copied().filter(|pod| !pod.terminating()).collect()))
            .collect();
        let (mut busy, mut candidates) = (0, Vec::new());
        for (node, pods) in nodes {
            let (new, old): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| self.is_updated(pod));
            let is_available = |pods: &[&Arc<Pod>]| pods.first().is_some_and(|pod| self.is_available(pod));
            let runs = self.fits.get(node).is_some_and(|fit| fit.run);
            match (new.first(), old.first()) {
                (None, Some(old_pod)) if surge == 0 => {
                    if is_available(&old) {
                        candidates.push((node, *old_pod));
                    } else {
                        busy += 1;
                        self.surplus.insert(old_pod.name(), old_pod);
                    }
                }
                (None, Some(old_pod)) => {
                    if !runs {
                        self.surplus.insert(old_pod.name(), old_pod);
                    } else if is_available(&old) {
                        candidates.push((node, *old_pod));
                    } else {
                        self.missing.insert(node);
                    }
                }
                (Some(_), None) if is_available(&new) || surge > 0 => {}
                (Some(_), Some(old_pod)) if surge > 0 && is_available(&new) => {
                    self.surplus.insert(old_pod.name(), old_pod);
                }
                _ => busy += 1,
            }
        }
        let room = if surge > 0 { surge } else { unavailable }.saturating_sub(busy);
        for (node, pod) in candidates.into_iter().take(room) {
            if surge > 0 {
                self.missing.insert(node);
            } else {
                self.surplus.insert(pod.name(), pod);
            }
        }
    }

    fn write(&self, plan: &mut Plan) {
        let about = object_reference(self.set);
        for node in self.missing.iter().take(BURST) {
            let mut template = self.set.spec.template.clone();
            let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
            labels.insert(HASH_LABEL.to_owned(), self.hash.to_owned());
            if let Some(generation) = self.set.annotation(GENERATION) {
                labels.insert(GENERATION_LABEL.to_owned(), generation.to_owned());
            }
            assign(template.spec.get_or_insert_default(), node);
            let owner = controller_reference(self.set);
            let pod = pods::from_template(&template, owner, self.set.namespace(), self.set.name());
            plan.create_announced(&pod, pods::announce_creation(about.clone()));
        }
        for pod in self.surplus.values().take(BURST) {
            plan.delete_with(&***pod, json!({}), Some(pods::announce_deletion(about.clone())));
        }
    }

    fn status(&self, collisions: i32, plan: &mut Plan) {
        let (mut current, mut misscheduled, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0);
        for (node, fit) in &self.fits {
            let Some(pod) = self.by_node.get(node).and_then(|pods| pods.first()) else { continue };
            if !fit.run {
                misscheduled += 1;
                continue;
            }
            current += 1;
            ready += i32::from(pods::is_ready(pod));
            available += i32::from(self.is_available(pod));
            updated += i32::from(self.is_updated(pod));
        }
        let min_ready = self.set.spec.min_ready_seconds.unwrap_or(0);
        if min_ready > 0 && ready != available {
            plan.again_after(std::time::Duration::from_secs(min_ready.unsigned_abs().into()));
        }
        let desired = self.desired();
        let old = json!(self.set.status);
        let mut status = json!({
            "observedGeneration": self.set.metadata.generation.unwrap_or(0),
            "desiredNumberScheduled": desired,
            "currentNumberScheduled": current,
            "numberMisscheduled": misscheduled,
            "numberReady": ready,
            "updatedNumberScheduled": updated,
            "numberAvailable": available,
            "numberUnavailable": desired - available,
            "conditions": old["conditions"],
        });
        if collisions > 0 {
            status["collisionCount"] = json!(collisions);
        }
        plan.set_status(self.set, status);
    }
}
