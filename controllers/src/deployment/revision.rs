//! Revisions: the annotations by which old ReplicaSets are told apart, and the way back to one of them.

use super::rollout::Rollout;
use super::same_template;
use crate::meta::Meta;
use crate::plan::Plan;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use std::collections::BTreeMap;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";
const ROLLBACK: &str = "deprecated.deployment.rollback.to";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const HISTORY_CHARS: usize = 2000;

type Annotations = BTreeMap<String, String>;

/// Annotations that belong to one object and are not copied between a Deployment and its ReplicaSets.
fn stays(key: &str) -> bool {
    [LAST_APPLIED, REVISION, HISTORY, DESIRED, MAXIMUM, ROLLBACK].contains(&key)
}

/// The revision of a ReplicaSet; 0 without one.
pub(super) fn of(set: &ReplicaSet) -> i64 {
    set.annotation(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Brings a ReplicaSet's annotations up to date with its Deployment's and with its revision. Returns whether that
/// changed anything. A revision that is no number is left alone, as upstream leaves it.
pub(super) fn annotate(deployment: &Deployment, annotations: &mut Annotations, revision: i64) -> bool {
    let before = annotations.clone();
    for (key, value) in deployment.metadata.annotations.iter().flatten().filter(|(key, _)| !stays(key)) {
        annotations.insert(key.clone(), value.clone());
    }
    let old = annotations.get(REVISION).cloned();
    let Ok(old_number) = old.as_deref().unwrap_or("0").parse::<i64>() else { return *annotations != before };
    if old_number < revision {
        annotations.insert(REVISION.to_owned(), revision.to_string());
        if let Some(old) = old {
            remember(annotations, &old);
        }
    }
    *annotations != before
}

/// Appends a revision to the history and drops the oldest when it gets too long.
fn remember(annotations: &mut Annotations, revision: &str) {
    let history = annotations.get(HISTORY).cloned().unwrap_or_default();
    let mut revisions: Vec<&str> = history.split(',').filter(|text| !text.is_empty()).collect();
    revisions.push(revision);
    while revisions.len() > 1 && revisions.join(",").len() > HISTORY_CHARS {
        revisions.remove(0);
    }
    annotations.insert(HISTORY.to_owned(), revisions.join(","));
}

/// The revision that a client of the old rollback call asks for; 0 is the one before the present.
pub(super) fn rollback_to(deployment: &Deployment) -> Option<i64> {
    deployment.annotation(ROLLBACK)?.parse().ok()
}

/// Copies the template of a revision back into the Deployment; the next look sees a template that an old ReplicaSet has.
pub(super) fn roll_back(deployment: &Deployment, rollout: &Rollout<'_>, revision: i64) -> Plan {
    let mut plan = Plan::default();
    let mut changed = deployment.clone();
    let annotations = changed.metadata.annotations.get_or_insert_default();
    annotations.remove(ROLLBACK);
    let wanted = if revision == 0 { last_but_one(rollout) } else { revision };
    let target = rollout.sets().find(|set| wanted != 0 && of(set) == wanted);
    let target = target.and_then(|set| set.spec.template.as_ref().map(|template| (set, template)));
    let Some((set, template)) = target else {
        let words =
            if wanted == 0 { "Unable to find last revision." } else { "Unable to find the revision to rollback to." };
        plan.warning(deployment, "DeploymentRollbackRevisionNotFound", words);
        plan.update(&changed);
        return plan;
    };
    if same_template(&deployment.spec.template, template) {
        let words =
            format!("The rollback revision contains the same template as current deployment \"{}\"", deployment.name());
        plan.warning(deployment, "DeploymentRollbackTemplateUnchanged", words);
        plan.update(&changed);
        return plan;
    }
    annotations.retain(|key, _| stays(key));
    let from_set = set.metadata.annotations.iter().flatten().filter(|(key, _)| !stays(key));
    annotations.extend(from_set.map(|(key, value)| (key.clone(), value.clone())));
    changed.spec.template = template.clone();
    if let Some(labels) = changed.spec.template.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
        labels.remove(super::HASH_LABEL);
    }
    plan.update(&changed);
    let words = format!("Rolled back deployment \"{}\" to revision {wanted}", deployment.name());
    plan.event(deployment, "DeploymentRollback", words);
    plan
}

fn last_but_one(rollout: &Rollout<'_>) -> i64 {
    let mut revisions: Vec<i64> = rollout.sets().map(of).collect();
    revisions.sort_unstable();
    revisions.iter().rev().nth(1).copied().unwrap_or(0)
}
