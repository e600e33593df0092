//! What the kinds that own pods must be beyond their template: how they roll out, and counts that fit together
//! (k8s.io/kubernetes `pkg/apis/{apps,core}/validation`).

use crate::registry::kinds::internal;
use crate::registry::kinds::pod::volume_rules as pod_volume_rules;
use crate::registry::kinds::read::{at_most_all, int_or_percent, list, not_negative, number, part, percent, text};
use crate::registry::kinds::rules::{self, Check, Rule};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

/// Counts of a spec, none of which is below zero.
pub fn counts(spec: &Value, path: &Path) -> ErrorList {
    const COUNTS: &[Rule] = &[
        ("replicas", Check::NotNegative),
        ("minReadySeconds", Check::NotNegative),
        ("revisionHistoryLimit", Check::NotNegative),
    ];
    rules::check(spec, path, COUNTS)
}

/// The rollout's rules of a kind of the apps group.
pub fn spec(kind: &str, spec: &Value, path: &Path, errors: &mut ErrorList) {
    match kind {
        "Deployment" => deployment(spec, path, errors),
        "StatefulSet" => stateful_set(spec, path, errors),
        "DaemonSet" => daemon_set(spec, path, errors),
        _ => {}
    }
}

/// A number, or the number of a percentage.
fn share(value: &Value) -> i64 {
    percent(value).or_else(|| value.as_i64()).unwrap_or(0)
}

fn deployment(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let (strategy, at) = (&spec["strategy"], path.child("strategy"));
    let (rolling, inner) = (&strategy["rollingUpdate"], at.child("rollingUpdate"));
    match text(strategy, "type") {
        "Recreate" => {
            if rolling.is_object() {
                errors.push(FieldError::forbidden(&inner, "may not be specified when strategy `type` is 'Recreate'"));
            }
        }
        "RollingUpdate" => {
            let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
            int_or_percent(unavailable, &inner.child("maxUnavailable"), errors);
            int_or_percent(surge, &inner.child("maxSurge"), errors);
            if share(unavailable) == 0 && share(surge) == 0 {
                let why = "may not be 0 when `maxSurge` is 0";
                errors.push(FieldError::invalid(&inner.child("maxUnavailable"), unavailable.clone(), why));
            }
            at_most_all(unavailable, &inner.child("maxUnavailable"), errors);
        }
        kind => {
            let shown = internal::text("apps.v1.DeploymentStrategy", strategy);
            let allowed = ["Recreate", "RollingUpdate"];
            errors.push(FieldError::not_supported(&at, kind, &allowed).showing(shown));
        }
    }
    let deadline = number(spec, "progressDeadlineSeconds");
    if !spec["progressDeadlineSeconds"].is_null() {
        let at = path.child("progressDeadlineSeconds");
        not_negative(&at, deadline, errors);
        if deadline <= number(spec, "minReadySeconds") {
            errors.push(FieldError::invalid(&at, deadline, "must be greater than minReadySeconds"));
        }
    }
}

fn stateful_set(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let (policy, at) = (text(spec, "podManagementPolicy"), path.child("podManagementPolicy"));
    if !matches!(policy, "OrderedReady" | "Parallel") {
        errors.push(FieldError::invalid(&at, policy, "must be 'OrderedReady' or 'Parallel'"));
    }
    let (strategy, at) = (&spec["updateStrategy"], path.child("updateStrategy"));
    let (rolling, inner) = (&strategy["rollingUpdate"], at.child("rollingUpdate"));
    match text(strategy, "type") {
        "OnDelete" => {
            if rolling.is_object() {
                let why = "only allowed for updateStrategy 'RollingUpdate'";
                let shown = internal::text("apps.v1.RollingUpdateStatefulSetStrategy", rolling);
                errors.push(FieldError::invalid(&inner, "", why).showing(shown));
            }
        }
        "RollingUpdate" => {
            not_negative(&inner.child("partition"), number(rolling, "partition"), errors);
            let (unavailable, at) = (&rolling["maxUnavailable"], inner.child("maxUnavailable"));
            if !unavailable.is_null() {
                int_or_percent(unavailable, &at, errors);
                if share(unavailable) == 0 {
                    errors.push(FieldError::invalid(&at, unavailable.clone(), "cannot be 0"));
                }
                at_most_all(unavailable, &at, errors);
            }
        }
        _ => {
            let shown = internal::text("apps.v1.StatefulSetUpdateStrategy", strategy);
            errors.push(FieldError::invalid(&at, "", "must be 'RollingUpdate' or 'OnDelete'").showing(shown));
        }
    }
    for field in ["whenDeleted", "whenScaled"] {
        let (policy, at) =
            (&spec["persistentVolumeClaimRetentionPolicy"], path.child("persistentVolumeClaimRetentionPolicy"));
        let value = text(policy, field);
        if policy.is_object() && !matches!(value, "Retain" | "Delete") {
            errors.push(FieldError::not_supported(&at.child(field), value, &["Retain", "Delete"]));
        }
    }
    // One name with a dot in it.
    not_negative(&path.child("ordinals.start"), number(&spec["ordinals"], "start"), errors);
    let service = text(spec, "serviceName");
    if !service.is_empty() {
        let why = apimachinery::validation::is_dns1123_label(service);
        crate::registry::kinds::read::wrong(&path.child("serviceName"), service, why, errors);
    }
}

/// The claims that a stateful set makes. They never change, so that only a new set is asked.
pub fn claims(set: &Object, errors: &mut ErrorList) {
    let path = Path::new("spec").child("volumeClaimTemplates");
    for (index, claim) in list(part(set.as_map(), "spec"), "volumeClaimTemplates").iter().enumerate() {
        pod_volume_rules::claim(&claim["spec"], &path.index(index).child("spec"), errors);
    }
}

/// The template as the set's pods come from it: claims are volumes, and names are the set's own.
pub fn as_of_set(spec: &Value, template: &mut Value) {
    let claims = list(spec, "volumeClaimTemplates").iter().map(|claim| text(&claim["metadata"], "name"));
    let claims: Vec<&str> = claims.collect();
    let Some(pod) = template.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for field in ["subdomain", "hostname"] {
        pod.remove(field);
    }
    if claims.is_empty() {
        return;
    }
    let own = pod.get("volumes").and_then(Value::as_array).cloned().unwrap_or_default();
    let made = claims.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
    let kept = own.into_iter().filter(|volume| !claims.contains(&text(volume, "name")));
    let all: Vec<Value> = made.chain(kept).collect();
    pod.insert("volumes".to_owned(), all.into());
}

/// What of a stateful set never changes.
pub fn stateful_set_update(new: &Object, old: &Object, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let claims = ["spec", "volumeClaimTemplates"];
    if new.at(&claims) != old.at(&claims) {
        let shown = internal::texts("core.v1.PersistentVolumeClaim", new.at(&claims).unwrap_or(&Value::Null));
        errors.push(internal::immutable(&path.child("volumeClaimTemplates"), shown));
    }
    for field in ["serviceName", "podManagementPolicy"] {
        let value = |object: &Object| text(part(object.as_map(), "spec"), field).to_owned();
        if value(new) != value(old) {
            errors.push(FieldError::invalid(&path.child(field), value(new), "field is immutable"));
        }
    }
}

fn daemon_set(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let (strategy, at) = (&spec["updateStrategy"], path.child("updateStrategy"));
    let (rolling, inner) = (&strategy["rollingUpdate"], at.child("rollingUpdate"));
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.is_object() => errors.push(FieldError::required(&inner, "")),
        "RollingUpdate" => {
            for field in ["maxUnavailable", "maxSurge"] {
                int_or_percent(&rolling[field], &inner.child(field), errors);
                at_most_all(&rolling[field], &inner.child(field), errors);
            }
            match (share(&rolling["maxUnavailable"]) != 0, share(&rolling["maxSurge"]) != 0) {
                (true, true) => {
                    let why = "may not be set when maxUnavailable is non-zero";
                    errors.push(FieldError::invalid(&inner.child("maxSurge"), rolling["maxSurge"].clone(), why));
                }
                (false, false) => {
                    let why = "cannot be 0 when maxSurge is 0";
                    errors.push(FieldError::required(&inner.child("maxUnavailable"), why));
                }
                _ => {}
            }
        }
        kind => {
            let shown = internal::text("apps.v1.DaemonSetUpdateStrategy", strategy);
            let allowed = ["RollingUpdate", "OnDelete"];
            errors.push(FieldError::not_supported(&at, kind, &allowed).showing(shown));
        }
    }
}

const COUNTS: &[Rule] = &[
    ("replicas", Check::NotNegative),
    ("fullyLabeledReplicas", Check::NotNegative),
    ("readyReplicas", Check::NotNegative),
    ("availableReplicas", Check::NotNegative),
    ("updatedReplicas", Check::NotNegative),
    ("currentReplicas", Check::NotNegative),
    ("unavailableReplicas", Check::NotNegative),
    ("terminatingReplicas", Check::NotNegative),
    ("observedGeneration", Check::NotNegative),
    ("collisionCount", Check::NotNegative),
    ("currentNumberScheduled", Check::NotNegative),
    ("numberMisscheduled", Check::NotNegative),
    ("desiredNumberScheduled", Check::NotNegative),
    ("numberReady", Check::NotNegative),
    ("updatedNumberScheduled", Check::NotNegative),
    ("numberAvailable", Check::NotNegative),
    ("numberUnavailable", Check::NotNegative),
];

/// Counts of a status: none below zero, and no part larger than the whole.
pub fn status(kind: &str, status: &Value, old: &Value, errors: &mut ErrorList) {
    let path = Path::new("status");
    errors.extend(rules::check(status, &path, COUNTS));
    let collisions = status["collisionCount"].as_i64();
    if old["collisionCount"].as_i64().is_some_and(|before| collisions.is_none_or(|after| after < before)) {
        let (at, after) = (path.child("collisionCount"), collisions.unwrap_or(0));
        errors.push(FieldError::invalid(&at, after, "cannot be decremented"));
    }
    let parts: &[&str] = match kind {
        "Deployment" => &["updatedReplicas", "readyReplicas", "availableReplicas"],
        "ReplicaSet" | "ReplicationController" => &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        "StatefulSet" => &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
        _ => return,
    };
    let all = number(status, "replicas");
    for field in parts {
        let part = number(status, field);
        if part > all {
            errors.push(FieldError::invalid(&path.child(field), part, "cannot be greater than status.replicas"));
        }
    }
    let available = number(status, "availableReplicas");
    if available > number(status, "readyReplicas") {
        let ready = if kind == "StatefulSet" { "status.readyReplicas" } else { "readyReplicas" };
        let why = format!("cannot be greater than {ready}");
        errors.push(FieldError::invalid(&path.child("availableReplicas"), available, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;

    fn of_spec(kind: &str, value: Value) -> Vec<String> {
        told(|errors| spec(kind, &value, &Path::new("spec"), errors))
    }

    #[test]
    fn rollouts_that_cannot_go_on() {
        let rolling = |unavailable: Value, surge: Value| json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}});
        assert!(of_spec("Deployment", json!({"strategy": rolling(json!(1), json!("25%"))})).is_empty());
        assert_eq!(
            of_spec("Deployment", json!({"strategy": rolling(json!(0), json!("0%"))})),
            ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"]
        );
        assert_eq!(
            of_spec("DaemonSet", json!({"updateStrategy": rolling(json!(1), json!(1))})),
            [
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"
            ]
        );
        assert_eq!(
            of_spec(
                "StatefulSet",
                json!({"podManagementPolicy": "Parallel", "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": -1}}})
            ),
            ["spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0"]
        );
    }

    #[test]
    fn parts_are_no_larger_than_the_whole() {
        let mut errors = ErrorList::new();
        status(
            "Deployment",
            &json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": -1}),
            &json!({}),
            &mut errors,
        );
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "status.availableReplicas: Invalid value: -1: must be greater than or equal to 0",
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
            ]
        );
    }
}
