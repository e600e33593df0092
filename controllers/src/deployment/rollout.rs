//! One look at a Deployment: its ReplicaSets as working copies, changed step by step and written once at the end.

use super::revision::{self, DESIRED, MAXIMUM, REVISION};
use super::{HASH_LABEL, replicas, rolls, same_template, set_name, template_hash};
use crate::conditions::{self, Condition};
use crate::int_or_percent::scaled;
use crate::meta::{Meta, controller_reference};
use crate::plan::Plan;
use crate::pods;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::sync::Arc;

pub(super) struct Rollout<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) now: Timestamp,
    /// In order of their creation.
    sets: Vec<Working>,
    /// Which of `sets` has the Deployment's present template.
    new: Option<usize>,
    /// The Deployment's conditions and revision annotation as they will be written.
    pub(super) conditions: Vec<Condition>,
    revision: Option<String>,
    pub(super) collisions: Option<i32>,
    events: Vec<String>,
    deletions: Vec<usize>,
}

/// What to do when no ReplicaSet has the Deployment's template.
#[derive(Clone, Copy)]
pub(super) enum Missing<'a> {
    Leave,
    /// Make one, unless another already has its name; that is a collision of hashes.
    Make {
        namesake: Option<&'a ReplicaSet>,
    },
}

pub(super) struct Working {
    pub(super) set: ReplicaSet,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Kept,
    Changed,
    Made,
}

impl Working {
    pub(super) fn size(&self) -> i32 {
        self.set.spec.replicas.unwrap_or(1)
    }

    pub(super) fn available(&self) -> i32 {
        self.set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
    }

    fn annotation(&self, key: &str) -> Option<i32> {
        self.set.annotation(key)?.parse().ok().filter(|number| *number >= 0)
    }
}

impl<'a> Rollout<'a> {
    pub(super) fn new(deployment: &'a Deployment, owned: Vec<Arc<ReplicaSet>>, now: Timestamp) -> Self {
        let mut sets: Vec<Working> =
            owned.iter().map(|set| Working { set: (**set).clone(), state: State::Kept }).collect();
        sets.sort_by_key(|working| (working.set.created(), working.set.name().to_owned()));
        let template = &deployment.spec.template;
        let new =
            sets.iter().position(|w| w.set.spec.template.as_ref().is_some_and(|own| same_template(own, template)));
        let status = serde_json::to_value(&deployment.status).unwrap_or_default();
        Self {
            deployment,
            now,
            sets,
            new,
            conditions: conditions::read(&status),
            revision: None,
            collisions: deployment.status.as_ref().and_then(|status| status.collision_count),
            events: Vec::new(),
            deletions: Vec::new(),
        }
    }

    pub(super) fn sets(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.sets.iter().map(|working| &working.set)
    }

    pub(super) fn all(&self) -> &[Working] {
        &self.sets
    }

    pub(super) fn newest(&self) -> Option<&Working> {
        self.sets.get(self.new?)
    }

    fn old(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|index| Some(*index) != self.new).collect()
    }

    fn active_old(&self) -> Vec<usize> {
        self.old().into_iter().filter(|index| self.sets[*index].size() > 0).collect()
    }

    pub(super) fn has_deadline(&self) -> bool {
        self.deployment.spec.progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX)
    }

    fn progress(&mut self, status: &str, reason: &str, message: String) {
        let mut condition = Condition::new("Progressing", true, reason, message, self.now).updated(self.now);
        status.clone_into(&mut condition.status);
        conditions::set(&mut self.conditions, condition);
    }

    /// While paused a rollout makes no progress, and that shall not count against its deadline.
    pub(super) fn note_pause(&mut self) {
        let reason = conditions::find(&self.conditions, "Progressing").map(|condition| condition.reason.clone());
        if !self.has_deadline() || reason.as_deref() == Some("ProgressDeadlineExceeded") {
            return;
        }
        let (paused, noted) =
            (self.deployment.spec.paused == Some(true), reason.as_deref() == Some("DeploymentPaused"));
        if paused && !noted {
            self.progress("Unknown", "DeploymentPaused", "Deployment is paused".to_owned());
        } else if !paused && noted {
            self.progress("Unknown", "DeploymentResumed", "Deployment is resumed".to_owned());
        }
    }

    /// Brings the new ReplicaSet's annotations and the Deployment's revision up to date; does what `missing` says when
    /// there is none.
    pub(super) fn sync_new(&mut self, missing: Missing<'_>) {
        let next = self.old().iter().map(|index| revision::of(&self.sets[*index].set)).max().unwrap_or(0) + 1;
        let min_ready = self.deployment.spec.min_ready_seconds;
        if let Some(index) = self.new {
            let working = &mut self.sets[index];
            let mut changed =
                revision::annotate(self.deployment, working.set.metadata.annotations.get_or_insert_default(), next);
            if working.set.spec.min_ready_seconds.unwrap_or(0) != min_ready.unwrap_or(0) {
                working.set.spec.min_ready_seconds = min_ready;
                changed = true;
            }
            if changed && working.state == State::Kept {
                working.state = State::Changed;
            }
            self.revision = working.set.annotation(REVISION).map(ToOwned::to_owned);
            let name = working.set.name().to_owned();
            if self.has_deadline() && conditions::find(&self.conditions, "Progressing").is_none() {
                self.progress("True", "FoundNewReplicaSet", format!("Found new replica set \"{name}\""));
            }
            return;
        }
        match missing {
            Missing::Leave => {}
            Missing::Make { namesake: Some(_) } => self.collisions = Some(self.collisions.unwrap_or(0) + 1),
            Missing::Make { namesake: None } => self.make_new(next),
        }
    }

    fn make_new(&mut self, next: i64) {
        let deployment = self.deployment;
        let hash = template_hash(deployment);
        let mut template = deployment.spec.template.clone();
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(HASH_LABEL.to_owned(), hash.clone());
        let labels = labels.clone();
        let mut selector = deployment.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
        let name = set_name(deployment, &hash);
        let mut set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: deployment.metadata.namespace.clone(),
                labels: Some(labels),
                owner_references: Some(vec![controller_reference(deployment)]),
                ..ObjectMeta::default()
            },
            spec: ReplicaSetSpec {
                replicas: Some(0),
                min_ready_seconds: deployment.spec.min_ready_seconds,
                selector,
                template: Some(template),
            },
            status: None,
        };
        revision::annotate(deployment, set.metadata.annotations.get_or_insert_default(), next);
        self.sets.push(Working { set, state: State::Made });
        let index = self.sets.len() - 1;
        self.new = Some(index);
        let size = self.size_of_new(index);
        self.annotate_size(index);
        self.sets[index].set.spec.replicas = Some(size);
        if size > 0 {
            self.events.push(format!("Scaled up replica set {name} from 0 to {size}"));
        }
        self.revision = Some(next.to_string());
        if self.has_deadline() {
            self.progress("True", "NewReplicaSetCreated", format!("Created new replica set \"{name}\""));
        }
    }

    /// As many as wanted, unless that many at once would be more than the surge allows.
    fn size_of_new(&self, index: usize) -> i32 {
        let wanted = replicas(self.deployment);
        if !rolls(self.deployment) {
            return wanted;
        }
        let size = self.sets[index].size();
        let total: i32 = self.sets.iter().map(Working::size).sum();
        let room = wanted + self.surge_as_given() - total;
        if room <= 0 { size } else { size + room.min(wanted - size) }
    }

    fn fences(&self) -> (i32, i32) {
        let rolling = self.deployment.spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let number = |given: Option<&IntOrString>, up| {
            given.and_then(|given| scaled(given, replicas(self.deployment), up)).unwrap_or(0)
        };
        let surge = number(rolling.and_then(|rolling| rolling.max_surge.as_ref()), true);
        let unavailable = number(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), false);
        // Both zero would never move.
        (surge, if surge == 0 && unavailable == 0 { 1 } else { unavailable })
    }

    fn surge_as_given(&self) -> i32 {
        self.fences().0
    }

    pub(super) fn max_surge(&self) -> i32 {
        if rolls(self.deployment) { self.fences().0 } else { 0 }
    }

    pub(super) fn max_unavailable(&self) -> i32 {
        let wanted = replicas(self.deployment);
        if !rolls(self.deployment) || wanted == 0 { 0 } else { self.fences().1.min(wanted) }
    }

    /// Records for what size of the Deployment a set was last scaled.
    fn annotate_size(&mut self, index: usize) -> bool {
        let wanted = replicas(self.deployment);
        let maximum = wanted + self.max_surge();
        let annotations = self.sets[index].set.metadata.annotations.get_or_insert_default();
        let before = annotations.clone();
        annotations.insert(DESIRED.to_owned(), wanted.to_string());
        annotations.insert(MAXIMUM.to_owned(), maximum.to_string());
        *annotations != before
    }

    /// Resizes a set. `force` also brings its size annotations up to date when the size stays. Returns whether it moved.
    fn resize(&mut self, index: usize, to: i32, force: bool) -> bool {
        let from = self.sets[index].size();
        if from == to && !force {
            return false;
        }
        let annotated = self.annotate_size(index);
        if from == to && !annotated {
            return false;
        }
        let working = &mut self.sets[index];
        working.set.spec.replicas = Some(to);
        if working.state == State::Kept {
            working.state = State::Changed;
        }
        if from != to {
            let direction = if from < to { "up" } else { "down" };
            self.events.push(format!("Scaled {direction} replica set {} from {from} to {to}", working.set.name()));
        }
        from != to
    }

    /// Whether the Deployment's size changed since its active sets were last scaled.
    pub(super) fn is_scaling(&self) -> bool {
        let wanted = replicas(self.deployment);
        let mut active = self.sets.iter().filter(|working| working.size() > 0);
        active.any(|working| working.annotation(DESIRED).is_some_and(|desired| desired != wanted))
    }

    /// Follows a change of size outside of a rollout, in proportion to the sets' sizes if there are several.
    pub(super) fn scale(&mut self) {
        let wanted = replicas(self.deployment);
        let active: Vec<usize> = (0..self.sets.len()).filter(|index| self.sets[*index].size() > 0).collect();
        let only = match active.as_slice() {
            [] => self.new.or_else(|| self.sets.len().checked_sub(1)),
            [one] => Some(*one),
            _ => None,
        };
        if active.len() < 2 {
            if let Some(index) = only {
                self.resize(index, wanted, false);
            }
            return;
        }
        if self.is_saturated() {
            for index in self.active_old() {
                self.resize(index, 0, false);
            }
        } else if rolls(self.deployment) {
            self.scale_in_proportion(active, wanted);
        }
    }

    fn is_saturated(&self) -> bool {
        let wanted = replicas(self.deployment);
        self.newest().is_some_and(|new| {
            new.size() == wanted && new.annotation(DESIRED) == Some(wanted) && new.available() == wanted
        })
    }

    fn scale_in_proportion(&mut self, mut active: Vec<usize>, wanted: i32) {
        let total: i32 = active.iter().map(|index| self.sets[*index].size()).sum();
        let allowed = if wanted > 0 { wanted + self.max_surge() } else { 0 };
        let to_add = allowed - total;
        // Larger sets first; among equals the newer grow first and the older shrink first.
        if to_add > 0 {
            active.sort_by_key(|index| (Reverse(self.sets[*index].size()), Reverse(*index)));
        } else {
            active.sort_by_key(|index| (Reverse(self.sets[*index].size()), *index));
        }
        let mut added = 0;
        let mut sizes: Vec<i32> = Vec::with_capacity(active.len());
        for index in &active {
            let share = self.share(*index, wanted, to_add, added);
            sizes.push(self.sets[*index].size() + share);
            added += share;
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (index, size) in active.into_iter().zip(sizes) {
            self.resize(index, size, true);
        }
    }

    fn share(&self, index: usize, wanted: i32, to_add: i32, added: i32) -> i32 {
        let working = &self.sets[index];
        if to_add == 0 || to_add == added {
            return 0;
        }
        let size = working.size();
        let fraction = if wanted == 0 {
            -size
        } else {
            let shown = self.deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
            let before = working.annotation(MAXIMUM).filter(|maximum| *maximum > 0).unwrap_or(shown);
            if before == 0 {
                0
            } else {
                let ideal = f64::from(size) * f64::from(wanted + self.max_surge()) / f64::from(before);
                ideal.round() as i32 - size
            }
        };
        let left = to_add - added;
        if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
    }

    /// The strategy `RollingUpdate`.
    pub(super) fn roll(&mut self, namesake: Option<&ReplicaSet>) {
        self.sync_new(Missing::Make { namesake });
        let Some(new) = self.new else { return };
        let wanted = replicas(self.deployment);
        let size = self.sets[new].size();
        let grown = match size.cmp(&wanted) {
            std::cmp::Ordering::Equal => false,
            std::cmp::Ordering::Greater => self.resize(new, wanted, false),
            std::cmp::Ordering::Less => {
                let target = self.size_of_new(new);
                self.resize(new, target, false)
            }
        };
        if !grown && !self.shrink_old(new) {
            self.clean_up_when_complete();
        }
    }

    /// Takes away from old sets what availability allows, pods that never got ready first.
    fn shrink_old(&mut self, new: usize) -> bool {
        let old = self.active_old();
        let min_available = replicas(self.deployment) - self.max_unavailable();
        let total: i32 = self.sets.iter().map(Working::size).sum();
        let new_unavailable = self.sets[new].size() - self.sets[new].available();
        let most = total - min_available - new_unavailable;
        if old.is_empty() || most <= 0 {
            return false;
        }
        let mut cleaned = 0;
        for index in &old {
            let working = &self.sets[*index];
            let unhealthy = (working.size() - working.available()).min(most - cleaned);
            if cleaned >= most || unhealthy <= 0 {
                continue;
            }
            let to = working.size() - unhealthy;
            self.resize(*index, to, false);
            cleaned += unhealthy;
        }
        let available: i32 = self.sets.iter().map(Working::available).sum();
        let budget = available - min_available;
        let mut shrunk = 0;
        for index in &old {
            let size = self.sets[*index].size();
            let by = size.min(budget - shrunk);
            if by > 0 {
                self.resize(*index, size - by, false);
                shrunk += by;
            }
        }
        cleaned + shrunk > 0
    }

    /// The strategy `Recreate`: nothing new before everything old is gone.
    pub(super) fn recreate(&mut self, namesake: Option<&ReplicaSet>, pods: &[Arc<Pod>]) {
        let mut shrunk = false;
        for index in self.active_old() {
            shrunk |= self.resize(index, 0, false);
        }
        if shrunk || self.old_pods_run(pods) {
            return;
        }
        self.sync_new(Missing::Make { namesake });
        let Some(new) = self.new else { return };
        self.resize(new, replicas(self.deployment), false);
        self.clean_up_when_complete();
    }

    fn old_pods_run(&self, pods: &[Arc<Pod>]) -> bool {
        let counted = self
            .old()
            .into_iter()
            .any(|index| self.sets[index].set.status.as_ref().is_some_and(|status| status.replicas > 0));
        let new = self.newest().map(|new| new.set.uid().to_owned()).unwrap_or_default();
        counted || pods.iter().any(|pod| !pods::is_terminal(pod) && !pod.controlled_by(&new))
    }

    fn clean_up_when_complete(&mut self) {
        let status = serde_json::to_value(&self.deployment.status).unwrap_or_default();
        if super::status::is_complete(self.deployment, &status) {
            self.clean_up();
        }
    }

    /// Deletes the oldest sets beyond the history that is kept, where nothing is left in them.
    pub(super) fn clean_up(&mut self) {
        let Some(limit) = self.deployment.spec.revision_history_limit.filter(|limit| *limit != i32::MAX) else {
            return;
        };
        let mut old = self.old();
        old.retain(|index| !self.sets[*index].set.terminating());
        let surplus = old.len().saturating_sub(limit.max(0) as usize);
        old.sort_by_key(|index| (revision::of(&self.sets[*index].set), *index));
        for index in old.into_iter().take(surplus) {
            let set = &self.sets[index].set;
            let (status, generation) = (set.status.as_ref(), set.metadata.generation.unwrap_or(0));
            let empty = status.is_none_or(|status| status.replicas == 0) && set.spec.replicas == Some(0);
            let observed = status.and_then(|status| status.observed_generation).unwrap_or(0);
            if empty && generation <= observed {
                self.deletions.push(index);
            }
        }
    }

    /// The plan: sets, events about them, deletions, and one write of the status.
    pub(super) fn finish(self, status: impl Fn(&Self) -> Value) -> Plan {
        let mut plan = Plan::default();
        let status = status(&self);
        for working in &self.sets {
            match working.state {
                State::Kept => {}
                State::Changed => plan.update(&working.set),
                State::Made => plan.create(&working.set),
            }
        }
        for event in &self.events {
            plan.event(self.deployment, "ScalingReplicaSet", event.clone());
        }
        for index in &self.deletions {
            plan.delete(&self.sets[*index].set);
        }
        let mut deployment = self.deployment.clone();
        let revised =
            self.revision.as_deref().is_some_and(|revision| deployment.annotation(REVISION) != Some(revision));
        if let (true, Some(revision)) = (revised, self.revision.clone()) {
            deployment.metadata.annotations.get_or_insert_default().insert(REVISION.to_owned(), revision);
        }
        let written = plan.set_status(&deployment, status.clone());
        if !written && revised {
            // The revision annotation is written through the status, as upstream writes it.
            deployment.status = serde_json::from_value(status.clone()).unwrap_or_default();
            plan.update_status(&deployment);
        }
        if !written && let Some(delay) = super::status::check_again(&self, &status) {
            plan.again_after(delay);
        }
        plan
    }

    /// The status fields that every state of a Deployment has.
    pub(super) fn counts(&self) -> Value {
        let sum = |count: fn(&k8s_openapi::api::apps::v1::ReplicaSetStatus) -> i32| -> i32 {
            self.sets.iter().filter_map(|working| working.set.status.as_ref()).map(count).sum()
        };
        let updated = self.newest().and_then(|new| new.set.status.as_ref()).map_or(0, |status| status.replicas);
        let available = sum(|status| status.available_replicas.unwrap_or(0));
        let total: i32 = self.sets.iter().map(Working::size).sum();
        let mut counts = json!({
            "observedGeneration": self.deployment.metadata.generation.unwrap_or(0),
            "replicas": sum(|status| status.replicas),
            "updatedReplicas": updated,
            "readyReplicas": sum(|status| status.ready_replicas.unwrap_or(0)),
            "availableReplicas": available,
            "unavailableReplicas": (total - available).max(0),
            "terminatingReplicas": sum(|status| status.terminating_replicas.unwrap_or(0)),
        });
        if let Some(collisions) = self.collisions {
            counts["collisionCount"] = json!(collisions);
        }
        counts
    }
}
