//! One look at a StatefulSet: replicas in order, then what is too much, then the update.

use super::identity::{self, ordinal, start};
use super::{Observed, REVISION_LABEL};
use crate::history::History;
use crate::int_or_percent::scaled;
use crate::meta::{Meta, object_reference};
use crate::plan::{Announce, Plan};
use crate::pods;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

struct Sync<'a> {
    observed: &'a Observed,
    set: &'a StatefulSet,
    current: &'a ControllerRevision,
    update: &'a ControllerRevision,
    now: Timestamp,
    /// One after the other, each only when all before it are well.
    ordered: bool,
}

/// Whether the rest of this look has to wait for the next.
type Wait = bool;

pub(super) fn sync(observed: &Observed, owned: &[Arc<Pod>], history: &History, now: Timestamp, plan: &mut Plan) {
    let set = &*observed.set;
    let named = set.status.as_ref().and_then(|status| status.current_revision.as_deref());
    let current = history.all.iter().find(|revision| Some(revision.name()) == named).unwrap_or(&history.update);
    let ordered = set.spec.pod_management_policy.as_deref() != Some("Parallel");
    let sync = Sync { observed, set, current, update: &history.update, now, ordered };
    let mut deleted_old = 0;
    if !set.terminating() {
        deleted_old = sync.run(owned, plan);
    }
    let min_ready = set.spec.min_ready_seconds.unwrap_or(0);
    if let Some(delay) = pods::next_available(owned, min_ready, now).filter(|_| min_ready > 0) {
        plan.again_after(delay);
    }
    plan.set_status(set, sync.status(owned, history.collisions, deleted_old));
    let mut live: Vec<&str> = vec![current.name(), history.update.name()];
    live.extend(owned.iter().filter_map(|pod| pod.label(REVISION_LABEL)));
    history.truncate(set.spec.revision_history_limit.unwrap_or(10), &live, plan);
}

fn runs(pod: &Pod) -> bool {
    pods::phase(pod) == "Running" && pods::is_ready(pod)
}

impl Sync<'_> {
    fn size(&self) -> i32 {
        self.set.spec.replicas.unwrap_or(1)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pods::phase(pod) == "Running" && pods::is_available(pod, self.set.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    fn is_well(&self, pod: &Pod) -> bool {
        self.is_available(pod) && !pod.terminating()
    }

    /// Returns how many pods of the current revision were deleted for the update.
    fn run(&self, owned: &[Arc<Pod>], plan: &mut Plan) -> i64 {
        let first = start(self.set);
        let by_ordinal: BTreeMap<i32, &Arc<Pod>> =
            owned.iter().filter_map(|pod| Some((ordinal(self.set, pod)?, pod))).collect();
        let replicas: Vec<(i32, Option<&Arc<Pod>>)> =
            (first..first + self.size()).map(|ordinal| (ordinal, by_ordinal.get(&ordinal).copied())).collect();
        let condemned: Vec<&Arc<Pod>> = by_ordinal
            .iter()
            .rev()
            .filter(|(ordinal, _)| !(first..first + self.size()).contains(*ordinal))
            .map(|(_, pod)| *pod)
            .collect();
        // An ordinal that has no pod yet is unwell too (its uid is empty), and comes before any pod that is condemned.
        let first_unwell: Option<&str> = replicas
            .iter()
            .map(|(_, pod)| *pod)
            .chain(condemned.iter().rev().map(|pod| Some(*pod)))
            .find(|pod| pod.is_none_or(|pod| !self.is_well(pod)))
            .map(|pod| pod.map(|pod| pod.uid()).unwrap_or_default());

        let mut wait = false;
        for (ordinal, pod) in &replicas {
            wait |= self.replica(*ordinal, pod.map(|pod| &**pod), plan);
            if wait && self.ordered {
                return 0;
            }
        }
        for pod in &condemned {
            self.keep_owners(pod, true, plan);
        }
        if wait {
            return 0;
        }
        for pod in &condemned {
            if self.condemned(pod, first_unwell, plan) && self.ordered {
                return 0;
            }
        }
        if !condemned.is_empty() && self.ordered {
            return 0;
        }
        let living: Vec<&Arc<Pod>> = replicas.iter().filter_map(|(_, pod)| *pod).collect();
        if living.len() < replicas.len() { 0 } else { self.roll(&living, plan) }
    }

    fn replica(&self, ordinal: i32, pod: Option<&Pod>, plan: &mut Plan) -> Wait {
        let Some(pod) = pod else { return self.make(ordinal, plan) };
        if pods::is_terminal(pod) {
            if !pod.terminating() {
                self.delete(pod, plan);
            }
            return true;
        }
        if pods::phase(pod) == "Pending" || pods::phase(pod).is_empty() {
            self.make_claims(ordinal, pod.name(), plan);
        }
        if self.ordered && (pod.terminating() || !runs(pod) || !self.is_available(pod)) {
            return true;
        }
        let mut fixed = pod.clone();
        if identity::identify(&mut fixed, ordinal) {
            plan.update(&fixed);
        }
        self.keep_owners(pod, false, plan);
        false
    }

    fn make(&self, ordinal: i32, plan: &mut Plan) -> Wait {
        let stale = identity::templates(self.set)
            .filter_map(|template| self.observed.claims.get(&identity::claim_name(self.set, template, ordinal)))
            .any(|claim| claim.terminating());
        if stale {
            // A pod must not start on a claim that is going away; it is made when the claim is gone.
            plan.again_after(std::time::Duration::from_secs(1));
            return true;
        }
        let rolls = self.strategy() == "RollingUpdate";
        let revision = if rolls && ordinal < start(self.set) + self.partition() { self.current } else { self.update };
        let pod = identity::pod(self.set, revision, ordinal);
        self.make_claims(ordinal, pod.name(), plan);
        let set = self.set.name();
        plan.create_announced(
            &pod,
            Announce {
                about: object_reference(self.set),
                success: ("SuccessfulCreate", format!("create Pod {} in StatefulSet {set} successful", pod.name())),
                failure: ("FailedCreate", format!("create Pod {} in StatefulSet {set} failed error: {{}}", pod.name())),
            },
        );
        self.ordered
    }

    fn make_claims(&self, ordinal: i32, pod: &str, plan: &mut Plan) {
        let set = self.set.name();
        for template in identity::templates(self.set) {
            let claim = identity::claim(self.set, template, ordinal);
            if self.observed.claims.contains_key(claim.name()) {
                continue;
            }
            let words = format!("create Claim {} Pod {pod} in StatefulSet {set}", claim.name());
            plan.create_announced(
                &claim,
                Announce {
                    about: object_reference(self.set),
                    success: ("SuccessfulCreate", format!("{words} success")),
                    failure: ("FailedCreate", format!("{words} failed error: {{}}")),
                },
            );
        }
    }

    fn keep_owners(&self, pod: &Pod, condemned: bool, plan: &mut Plan) {
        let Some(ordinal) = ordinal(self.set, pod) else { return };
        for template in identity::templates(self.set) {
            let claim = self.observed.claims.get(&identity::claim_name(self.set, template, ordinal));
            if let Some(changed) = claim.and_then(|claim| identity::reowned(self.set, claim, pod, condemned)) {
                plan.update(&changed);
            }
        }
    }

    fn condemned(&self, pod: &Pod, first_unwell: Option<&str>, plan: &mut Plan) -> Wait {
        if pod.terminating() {
            return true;
        }
        let allowed = self.is_available(pod) || first_unwell == Some(pod.uid());
        if !self.ordered || allowed {
            self.delete(pod, plan);
        }
        true
    }

    fn delete(&self, pod: &Pod, plan: &mut Plan) {
        let words = format!("delete Pod {} in StatefulSet {}", pod.name(), self.set.name());
        let announce = Announce {
            about: object_reference(self.set),
            success: ("SuccessfulDelete", format!("{words} successful")),
            failure: ("FailedDelete", format!("{words} failed error: {{}}")),
        };
        plan.delete_with(pod, json!({}), Some(announce));
    }

    fn strategy(&self) -> &str {
        let strategy = self.set.spec.update_strategy.as_ref();
        strategy.and_then(|strategy| strategy.type_.as_deref()).unwrap_or("RollingUpdate")
    }

    fn partition(&self) -> i32 {
        let rolling = self.set.spec.update_strategy.as_ref().and_then(|own| own.rolling_update.as_ref());
        rolling.and_then(|rolling| rolling.partition).unwrap_or(0)
    }

    /// Deletes pods of other revisions from the highest ordinal down, within what may be unavailable.
    fn roll(&self, replicas: &[&Arc<Pod>], plan: &mut Plan) -> i64 {
        if self.strategy() != "RollingUpdate" {
            return 0;
        }
        let rolling = self.set.spec.update_strategy.as_ref().and_then(|own| own.rolling_update.as_ref());
        let given = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        let most = given.and_then(|given| scaled(given, self.size(), false)).unwrap_or(1).max(1) as usize;
        let unwell = replicas.iter().filter(|pod| !self.is_well(pod)).count();
        let is_old = |pod: &Pod| pod.label(REVISION_LABEL) != Some(self.update.name()) && !pod.terminating();
        let candidates: Vec<&Pod> = replicas
            .iter()
            .skip(self.partition().max(0) as usize)
            .rev()
            .map(|pod| &***pod)
            .filter(|pod| is_old(pod))
            .collect();
        let mut budget = most.saturating_sub(unwell);
        let mut deleted = 0;
        for pod in candidates {
            // Side by side, an old pod that does not work may be replaced at any time.
            let free = !self.ordered && !self.is_available(pod);
            if !free && budget == 0 {
                continue;
            }
            if !free {
                budget -= 1;
            }
            self.delete(pod, plan);
            deleted += 1;
        }
        deleted
    }

    fn status(&self, owned: &[Arc<Pod>], collisions: i32, deleted_old: i64) -> Value {
        let created: Vec<&Arc<Pod>> = owned.iter().filter(|pod| !pods::phase(pod).is_empty()).collect();
        let count = |holds: &dyn Fn(&Pod) -> bool| created.iter().filter(|pod| holds(pod)).count() as i64;
        let of = |revision: &ControllerRevision| {
            count(&|pod| !pod.terminating() && pod.label(REVISION_LABEL) == Some(revision.name()))
        };
        let (replicas, ready) = (created.len() as i64, count(&runs));
        let (mut current, updated) = (of(self.current), of(self.update));
        let mut name = self.current.name();
        let size = i64::from(self.size());
        if self.strategy() == "RollingUpdate" && updated == size && ready == size && replicas == size {
            current = updated;
            name = self.update.name();
        } else if self.current.name() != self.update.name() {
            current = (current - deleted_old).max(0);
        }
        let old = json!(self.set.status);
        json!({
            "observedGeneration": self.set.metadata.generation.unwrap_or(0),
            "replicas": replicas,
            "readyReplicas": ready,
            "availableReplicas": count(&|pod| runs(pod) && self.is_available(pod)),
            "currentReplicas": current,
            "updatedReplicas": updated,
            "currentRevision": name,
            "updateRevision": self.update.name(),
            "collisionCount": collisions,
            "conditions": old["conditions"],
        })
    }
}
