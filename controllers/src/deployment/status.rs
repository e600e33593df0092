//! A Deployment's status: counts, availability, progress and its deadline.

use super::replicas;
use super::rollout::Rollout;
use crate::conditions::{self, Condition};
use crate::meta::Meta;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use std::time::Duration;

fn count(status: &Value, field: &str) -> i64 {
    status[field].as_i64().unwrap_or(0)
}

/// All replicas are of the present template and available, and the Deployment was seen as it is.
pub(super) fn is_complete(deployment: &Deployment, status: &Value) -> bool {
    let wanted = i64::from(replicas(deployment));
    ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|field| count(status, field) == wanted)
        && count(status, "observedGeneration") >= deployment.metadata.generation.unwrap_or(0)
}

fn moved_on(old: &Value, new: &Value) -> bool {
    let left = |status: &Value| count(status, "replicas") - count(status, "updatedReplicas");
    let grew = |field: &str| count(new, field) > count(old, field);
    grew("updatedReplicas") || left(new) < left(old) || grew("readyReplicas") || grew("availableReplicas")
}

/// Counts and availability: all that a paused, scaling or terminating Deployment shows.
pub(super) fn calculate(rollout: &Rollout<'_>) -> Value {
    let mut status = rollout.counts();
    let mut all = rollout.conditions.clone();
    let enough =
        count(&status, "availableReplicas") >= i64::from(replicas(rollout.deployment) - rollout.max_unavailable());
    let (reason, message) = if enough {
        ("MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    conditions::set(&mut all, Condition::new("Available", enough, reason, message, rollout.now).updated(rollout.now));
    status["conditions"] = json!(all);
    status
}

/// The status of a running rollout: with progress, its deadline, and failures of its ReplicaSets.
pub(super) fn of_rollout(rollout: &Rollout<'_>) -> Value {
    let mut status = calculate(rollout);
    let mut all = conditions::read(&status);
    let old = serde_json::to_value(&rollout.deployment.status).unwrap_or_default();
    if rollout.has_deadline() {
        progress(rollout, &old, &status, &mut all);
    } else {
        conditions::remove(&mut all, "Progressing");
    }
    match failure(rollout) {
        Some(failure) => conditions::set(&mut all, failure),
        None => conditions::remove(&mut all, "ReplicaFailure"),
    }
    status["conditions"] = json!(all);
    status
}

fn progress(rollout: &Rollout<'_>, old: &Value, status: &Value, all: &mut Vec<Condition>) {
    let deployment = rollout.deployment;
    let current = conditions::find(all, "Progressing").cloned();
    let settled = count(status, "replicas") == count(status, "updatedReplicas")
        && current.as_ref().is_some_and(|condition| condition.reason == "NewReplicaSetAvailable");
    if settled {
        return;
    }
    let who = match rollout.newest() {
        Some(new) => format!("ReplicaSet \"{}\"", new.set.name()),
        None => format!("Deployment \"{}\"", deployment.name()),
    };
    let condition = |status: bool, reason: &str, words: &str| {
        Condition::new("Progressing", status, reason, format!("{who} {words}"), rollout.now).updated(rollout.now)
    };
    if is_complete(deployment, status) {
        conditions::set(all, condition(true, "NewReplicaSetAvailable", "has successfully progressed."));
    } else if moved_on(old, status) {
        // Progress for the same reason still moves the time of the last update, from which the deadline counts.
        let mut condition = condition(true, "ReplicaSetUpdated", "is progressing.");
        if let Some(current) = current.filter(Condition::is_true) {
            condition.last_transition_time = current.last_transition_time;
        }
        conditions::remove(all, "Progressing");
        conditions::set(all, condition);
    } else if current.is_some_and(|current| timed_out(rollout, &current)) {
        conditions::set(all, condition(false, "ProgressDeadlineExceeded", "has timed out progressing."));
    }
}

fn deadline(rollout: &Rollout<'_>, condition: &Condition) -> Option<Timestamp> {
    let updated: Timestamp = condition.last_update_time.as_deref()?.parse().ok()?;
    let seconds = rollout.deployment.spec.progress_deadline_seconds?;
    updated.checked_add(jiff::SignedDuration::from_secs(seconds.into())).ok()
}

fn timed_out(rollout: &Rollout<'_>, condition: &Condition) -> bool {
    match condition.reason.as_str() {
        "NewReplicaSetAvailable" => false,
        "ProgressDeadlineExceeded" => true,
        _ => deadline(rollout, condition).is_some_and(|deadline| deadline < rollout.now),
    }
}

/// The new set's failure, or any other's.
fn failure(rollout: &Rollout<'_>) -> Option<Condition> {
    let sets = rollout.newest().into_iter().chain(rollout.all());
    sets.flat_map(|working| {
        let status = serde_json::to_value(&working.set.status).unwrap_or_default();
        conditions::read(&status)
    })
    .find(|condition| condition.kind == "ReplicaFailure")
    .map(|mut condition| {
        condition.last_update_time = condition.last_transition_time.clone();
        condition
    })
}

/// When a rollout that shows no change may have missed its deadline.
pub(super) fn check_again(rollout: &Rollout<'_>, status: &Value) -> Option<Duration> {
    let current = conditions::find(&rollout.conditions, "Progressing")?;
    let over = is_complete(rollout.deployment, status) || current.reason == "ProgressDeadlineExceeded";
    let paused = rollout.deployment.spec.paused == Some(true) || rollout.deployment.terminating();
    if !rollout.has_deadline() || over || paused {
        return None;
    }
    let left = deadline(rollout, current)?.duration_since(rollout.now).as_secs_f64().max(0.0);
    Some(Duration::from_secs_f64(left + 1.0))
}
