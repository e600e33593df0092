//! autoscaling/v1 over the stored autoscaling/v2: one CPU target has fields, everything else travels in annotations
//! (k8s.io/kubernetes `pkg/apis/autoscaling/v1/conversion.go`).

mod metrics;

use super::Conversion;
use crate::registry::kinds::internal;
use apimachinery::Object;
use metrics::{SEEN, WANTED};
use serde_json::{Map, Value, json};

pub static AUTOSCALING_V1: Conversion = Conversion::Functions { to_served, to_stored };

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
/// All that are ours, with two that no longer mean anything.
const OWN: [&str; 6] = [
    METRICS,
    CURRENT,
    CONDITIONS,
    BEHAVIOR,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

/// The utilization that a metric wants of the CPU, which has a field of its own.
fn wanted(metric: &Value) -> Option<&Value> {
    let target = &metric["resource"]["target"]["averageUtilization"];
    (is_cpu(metric) && !target.is_null()).then_some(target)
}

fn take_list(object: &mut Object, path: [&str; 2]) -> Vec<Value> {
    match object.remove_at(&path) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn annotate(object: &mut Object, key: &str, text: String) {
    object.set_at(&["metadata", "annotations", key], Value::String(text));
}

fn unannotate(object: &mut Object, key: &str) -> Option<String> {
    let value = object.remove_at(&["metadata", "annotations", key])?;
    if object.at(&["metadata", "annotations"]).and_then(Value::as_object).is_some_and(Map::is_empty) {
        object.remove_at(&["metadata", "annotations"]);
    }
    value.as_str().map(str::to_owned)
}

fn to_served(object: &mut Object) {
    for key in OWN {
        unannotate(object, key);
    }
    let list = take_list(object, ["spec", "metrics"]);
    if let Some(target) = list.iter().find_map(wanted) {
        object.set_at(&["spec", "targetCPUUtilizationPercentage"], target.clone());
    }
    if list.iter().any(|metric| wanted(metric).is_none()) {
        let others = list.iter().filter(|metric| wanted(metric).is_none());
        annotate(object, METRICS, metrics::written(others, WANTED));
    }
    let list = take_list(object, ["status", "currentMetrics"]);
    let used = |metric: &&Value| is_cpu(metric) && !metric["resource"]["current"]["averageUtilization"].is_null();
    if let Some(metric) = list.iter().rfind(used) {
        let used = metric["resource"]["current"]["averageUtilization"].clone();
        object.set_at(&["status", "currentCPUUtilizationPercentage"], used);
    }
    if !list.is_empty() {
        annotate(object, CURRENT, metrics::written(list.iter(), SEEN));
    }
    if let Some(behavior) = object.remove_at(&["spec", "behavior"]).filter(|behavior| !behavior.is_null()) {
        annotate(object, BEHAVIOR, internal::text("autoscaling.v2.HorizontalPodAutoscalerBehavior", &behavior));
    }
    let conditions = take_list(object, ["status", "conditions"]);
    if !conditions.is_empty() {
        let text = |one| schema::ordered::text_of("autoscaling.v2.HorizontalPodAutoscalerCondition", one);
        let texts: Vec<String> = conditions.iter().map(text).collect();
        annotate(object, CONDITIONS, format!("[{}]", texts.join(",")));
    }
}

fn to_stored(object: &mut Object) {
    let mut list = unannotate(object, METRICS).and_then(|text| metrics::read(&text, WANTED)).unwrap_or_default();
    if let Some(target) =
        object.remove_at(&["spec", "targetCPUUtilizationPercentage"]).filter(|target| !target.is_null())
    {
        let target = json!({"type": "Utilization", "averageUtilization": target});
        list.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    if !list.is_empty() {
        object.set_at(&["spec", "metrics"], list.into());
    }
    let used = object.remove_at(&["status", "currentCPUUtilizationPercentage"]).filter(|used| !used.is_null());
    // The annotation knows more than the field.
    let current = unannotate(object, CURRENT).and_then(|text| metrics::read(&text, SEEN)).or_else(|| {
        let now = json!({"averageUtilization": used?});
        Some(vec![json!({"type": "Resource", "resource": {"name": "cpu", "current": now}})])
    });
    if let Some(current) = current.filter(|list| !list.is_empty()) {
        object.set_at(&["status", "currentMetrics"], current.into());
    }
    let parsed = |text: String| serde_json::from_str::<Value>(&text).ok();
    if let Some(behavior) = unannotate(object, BEHAVIOR).and_then(parsed).map(uncapitalized) {
        let says_something = |rules: &Map<String, Value>| rules.values().any(|value| !value.is_null());
        if behavior.as_object().is_some_and(says_something) {
            object.set_at(&["spec", "behavior"], behavior);
        }
    }
    if let Some(conditions) = unannotate(object, CONDITIONS).and_then(parsed).filter(Value::is_array) {
        object.set_at(&["status", "conditions"], conditions);
    }
    for key in OWN {
        unannotate(object, key);
    }
}

/// The names of Go's fields as JSON has them.
fn uncapitalized(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let renamed = map.into_iter().map(|(name, value)| {
                let mut letters = name.chars();
                let first = letters.next().map(|first| first.to_ascii_lowercase());
                (first.into_iter().chain(letters).collect(), uncapitalized(value))
            });
            Value::Object(renamed.collect())
        }
        Value::Array(list) => list.into_iter().map(uncapitalized).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_target_is_a_field_and_the_rest_survives() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 80}}});
        let memory = json!({"type": "Resource", "resource": {"name": "memory",
            "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
        let used = json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 30, "averageValue": "0"}}});
        let stored = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "metrics": [memory, cpu],
            "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}}},
            "status": {"currentMetrics": [used]}});
        let mut object = Object::from_value(stored.clone()).unwrap();
        to_served(&mut object);
        assert_eq!(object.at(&["spec", "targetCPUUtilizationPercentage"]), Some(&json!(80)));
        assert_eq!(object.at(&["status", "currentCPUUtilizationPercentage"]), Some(&json!(30)));
        assert_eq!(object.at(&["spec", "metrics"]), None);
        assert_eq!(
            object.annotation(BEHAVIOR),
            Some(
                r#"{"ScaleUp":{"StabilizationWindowSeconds":null,"SelectPolicy":null,"Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":null}"#
            )
        );
        to_stored(&mut object);
        let row = schema::kind_of("autoscaling", "v2", "HorizontalPodAutoscaler").unwrap();
        let canonical = |value: &Value| schema::normalize(row, value).unwrap().0;
        assert_eq!(canonical(&object.into_value()), canonical(&stored));
    }
}
