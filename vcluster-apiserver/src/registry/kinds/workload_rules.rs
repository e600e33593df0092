//! What the kinds that own pods must be beyond their template: how they roll out, and counts that fit together
//! (k8s.io/kubernetes `pkg/apis/{apps,core}/validation`).

use super::read::{at_most_all, int_or_percent, number, percent, text};
use super::rules::{self, Check, Rule};
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

/// The selector's and the rollout's rules of a kind of the apps group.
pub fn spec(kind: &str, spec: &Value, path: &Path, errors: &mut ErrorList) {
    if kind != "ReplicationController" {
        rules::label_selector(&spec["selector"], &path.child("selector"), errors);
    }
    match kind {
        "Deployment" => deployment(spec, path, errors),
        "StatefulSet" => stateful_set(spec, path, errors),
        "DaemonSet" => daemon_set(spec, path, errors),
        _ => {}
    }
    let deadline = path.child("template").child("spec").child("activeDeadlineSeconds");
    if !spec["template"]["spec"]["activeDeadlineSeconds"].is_null() {
        let shown = if kind == "Deployment" { "ReplicaSet" } else { kind };
        errors.push(FieldError::forbidden(&deadline, format!("activeDeadlineSeconds in {shown} is not Supported")));
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
        _ => errors.push(strategy_error(strategy, &at, &["Recreate", "RollingUpdate"])),
    }
    let deadline = number(spec, "progressDeadlineSeconds");
    if !spec["progressDeadlineSeconds"].is_null() {
        let at = path.child("progressDeadlineSeconds");
        if deadline < 0 {
            errors.push(FieldError::invalid(&at, deadline, "must be greater than or equal to 0"));
        }
        if deadline <= number(spec, "minReadySeconds") {
            errors.push(FieldError::invalid(&at, deadline, "must be greater than minReadySeconds"));
        }
    }
}

/// Upstream prints the whole strategy, as its internal Go type.
fn strategy_error(strategy: &Value, path: &Path, allowed: &[&str]) -> FieldError {
    let rolling = match &strategy["rollingUpdate"] {
        Value::Object(map) => map.iter().map(|(name, value)| (capital(name), value.clone())).collect(),
        other => other.clone(),
    };
    FieldError::not_supported(path, json!({"Type": text(strategy, "type"), "RollingUpdate": rolling}), allowed)
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
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
                let shown =
                    json!({"Partition": number(rolling, "partition"), "MaxUnavailable": rolling["maxUnavailable"]});
                errors.push(FieldError::invalid(&inner, shown, why));
            }
        }
        "RollingUpdate" => {
            let partition = number(rolling, "partition");
            if partition < 0 {
                let why = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(&inner.child("partition"), partition, why));
            }
            let (unavailable, at) = (&rolling["maxUnavailable"], inner.child("maxUnavailable"));
            if !unavailable.is_null() {
                int_or_percent(unavailable, &at, errors);
                if share(unavailable) == 0 {
                    errors.push(FieldError::invalid(&at, unavailable.clone(), "cannot be 0"));
                }
                at_most_all(unavailable, &at, errors);
            }
        }
        kind => {
            let shown = json!({"Type": kind, "RollingUpdate": rolling});
            errors.push(FieldError::invalid(&at, shown, "must be 'RollingUpdate' or 'OnDelete'"));
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
    let start = number(&spec["ordinals"], "start");
    if start < 0 {
        // One name with a dot in it.
        errors.push(FieldError::invalid(&path.child("ordinals.start"), start, "must be greater than or equal to 0"));
    }
    let service = text(spec, "serviceName");
    if !service.is_empty() {
        let why = apimachinery::validation::is_dns1123_label(service);
        super::read::wrong(&path.child("serviceName"), service, why, errors);
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
        _ => errors.push(strategy_error(strategy, &at, &["RollingUpdate", "OnDelete"])),
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
pub fn status(kind: &str, status: &Value, errors: &mut ErrorList) {
    let path = Path::new("status");
    errors.extend(rules::check(status, &path, COUNTS));
    if !matches!(kind, "Deployment" | "ReplicaSet" | "StatefulSet" | "ReplicationController") {
        return;
    }
    let all = number(status, "replicas");
    for field in ["fullyLabeledReplicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"] {
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

    fn of_spec(kind: &str, value: Value) -> Vec<String> {
        let mut errors = ErrorList::new();
        spec(kind, &value, &Path::new("spec"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
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
        status("Deployment", &json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": -1}), &mut errors);
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
