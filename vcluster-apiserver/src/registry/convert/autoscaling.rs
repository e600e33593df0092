//! autoscaling/v1 over the stored autoscaling/v2: one CPU target has fields, everything else travels in annotations.

use super::Conversion;
use apimachinery::Object;
use serde_json::{Value, json};

pub static AUTOSCALING_V1: Conversion = Conversion::Functions { to_served, to_stored };

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

fn is_cpu(metric: &Value) -> bool {
    metric.get("type").and_then(Value::as_str) == Some("Resource")
        && metric.pointer("/resource/name").and_then(Value::as_str) == Some("cpu")
}

fn take_list(object: &mut Object, path: [&str; 2]) -> Vec<Value> {
    match object.remove_at(&path) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn annotate(object: &mut Object, key: &str, value: &Value) {
    object.set_at(&["metadata", "annotations", key], Value::String(value.to_string()));
}

fn unannotate(object: &mut Object, key: &str) -> Option<Value> {
    let value = object.remove_at(&["metadata", "annotations", key])?;
    if object.at(&["metadata", "annotations"]).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
        object.remove_at(&["metadata", "annotations"]);
    }
    serde_json::from_str(value.as_str()?).ok()
}

/// Takes the first metric that one field can say; answers the rest.
fn split(list: Vec<Value>, pointer: &str) -> (Option<Value>, Vec<Value>) {
    let mut found = None;
    let mut rest = Vec::new();
    for metric in list {
        let value = metric.pointer(pointer).cloned();
        match value {
            Some(value) if found.is_none() && is_cpu(&metric) => found = Some(value),
            _ => rest.push(metric),
        }
    }
    (found, rest)
}

fn to_served(object: &mut Object) {
    let (target, rest) = split(take_list(object, ["spec", "metrics"]), "/resource/target/averageUtilization");
    if let Some(target) = target {
        object.set_at(&["spec", "targetCPUUtilizationPercentage"], target);
    }
    if !rest.is_empty() {
        annotate(object, METRICS, &Value::Array(rest));
    }
    let current = take_list(object, ["status", "currentMetrics"]);
    let (used, rest) = split(current, "/resource/current/averageUtilization");
    if let Some(used) = used {
        object.set_at(&["status", "currentCPUUtilizationPercentage"], used);
    }
    if !rest.is_empty() {
        annotate(object, CURRENT, &Value::Array(rest));
    }
    for (path, key) in [(["status", "conditions"], CONDITIONS), (["spec", "behavior"], BEHAVIOR)] {
        if let Some(value) = object.remove_at(&path) {
            annotate(object, key, &value);
        }
    }
}

fn to_stored(object: &mut Object) {
    let mut metrics = Vec::new();
    if let Some(Value::Array(list)) = unannotate(object, METRICS) {
        metrics.extend(list);
    }
    if let Some(target) = object.remove_at(&["spec", "targetCPUUtilizationPercentage"]) {
        let target = json!({"type": "Utilization", "averageUtilization": target});
        metrics.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    if !metrics.is_empty() {
        object.set_at(&["spec", "metrics"], metrics.into());
    }
    let mut current = Vec::new();
    if let Some(Value::Array(list)) = unannotate(object, CURRENT) {
        current.extend(list);
    }
    if let Some(used) = object.remove_at(&["status", "currentCPUUtilizationPercentage"]) {
        let now = json!({"averageUtilization": used});
        current.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "current": now}}));
    }
    if !current.is_empty() {
        object.set_at(&["status", "currentMetrics"], current.into());
    }
    for (path, key) in [(["status", "conditions"], CONDITIONS), (["spec", "behavior"], BEHAVIOR)] {
        if let Some(value) = unannotate(object, key) {
            object.set_at(&path, value);
        }
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
        let stored = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "metrics": [cpu, memory],
            "behavior": {"scaleUp": {}}}});
        let mut object = Object::from_value(stored.clone()).unwrap();
        to_served(&mut object);
        assert_eq!(object.at(&["spec", "targetCPUUtilizationPercentage"]), Some(&json!(80)));
        assert_eq!(object.at(&["spec", "metrics"]), None);
        to_stored(&mut object);
        assert_eq!(object.into_value(), stored);
    }
}
