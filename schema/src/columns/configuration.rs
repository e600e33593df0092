//! Data for programs, quotas, admission and flow control.

use super::read::{Row, at, or, selector, text};
use serde_json::Value;

pub(super) fn secret(row: &Row) -> Vec<Value> {
    vec![row.name(), row.text(&["type"]).into(), row.count(&["data"]).into(), row.age()]
}

pub(super) fn config_map(row: &Row) -> Vec<Value> {
    vec![row.name(), (row.count(&["data"]) + row.count(&["binaryData"])).into(), row.age()]
}

/// Used and hard amounts; those of limits stand in a column of their own.
pub(super) fn resource_quota(row: &Row) -> Vec<Value> {
    let used = row.at(&["status", "used"]);
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in row.at(&["status", "hard"]).as_object().into_iter().flatten() {
        let shown = format!("{resource}: {}/{}", or(text(used, &[resource]), "0"), hard.as_str().unwrap_or("0"));
        if resource.starts_with("limits.") { limits.push(shown) } else { requests.push(shown) }
    }
    vec![row.name(), requests.join(", ").into(), limits.join(", ").into(), row.age()]
}

pub(super) fn webhooks(row: &Row) -> Vec<Value> {
    vec![row.name(), row.count(&["webhooks"]).into(), row.age()]
}

pub(super) fn validating_policy(row: &Row) -> Vec<Value> {
    vec![row.name(), row.count(&["spec", "validations"]).into(), param_kind(row), row.age()]
}

pub(super) fn mutating_policy(row: &Row) -> Vec<Value> {
    vec![row.name(), row.count(&["spec", "mutations"]).into(), param_kind(row), row.age()]
}

fn param_kind(row: &Row) -> Value {
    let kind = row.at(&["spec", "paramKind"]);
    if kind.is_null() {
        return "<unset>".into();
    }
    format!("{}/{}", text(kind, &["apiVersion"]), text(kind, &["kind"])).into()
}

pub(super) fn policy_binding(row: &Row) -> Vec<Value> {
    let parameters = row.at(&["spec", "paramRef"]);
    let (name, namespace) = (text(parameters, &["name"]), text(parameters, &["namespace"]));
    let shown = if !name.is_empty() {
        format!("{}/{name}", or(namespace, "*"))
    } else if at(parameters, &["selector"]).is_null() {
        "<unset>".into()
    } else {
        selector(&parameters["selector"])
    };
    vec![row.name(), row.text(&["spec", "policyName"]).into(), shown.into(), row.age()]
}

pub(super) fn flow_schema(row: &Row) -> Vec<Value> {
    vec![
        row.name(),
        row.text(&["spec", "priorityLevelConfiguration", "name"]).into(),
        row.number(&["spec", "matchingPrecedence"]).into(),
        or(row.text(&["spec", "distinguisherMethod", "type"]), "<none>").into(),
        row.age(),
        row.condition("Dangling").unwrap_or("?").into(),
    ]
}

pub(super) fn priority_level(row: &Row) -> Vec<Value> {
    let limited = row.at(&["spec", "limited"]);
    let queuing = at(limited, &["limitResponse", "queuing"]);
    let shown = |value: &Value, field: &str| {
        if value.is_null() { Value::from("<none>") } else { value[field].as_i64().unwrap_or(0).into() }
    };
    vec![
        row.name(),
        row.text(&["spec", "type"]).into(),
        shown(limited, "nominalConcurrencyShares"),
        shown(queuing, "queues"),
        shown(queuing, "handSize"),
        shown(queuing, "queueLengthLimit"),
        row.age(),
    ]
}

pub(super) fn migration(row: &Row) -> Vec<Value> {
    let (resource, group) = (row.text(&["spec", "resource", "resource"]), row.text(&["spec", "resource", "group"]));
    let shown = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
    let mut status = "Unknown";
    for condition in row.list(&["status", "conditions"]).iter().filter(|condition| condition["status"] == "True") {
        if let kind @ ("Running" | "Failed" | "Succeeded") = text(condition, &["type"]) {
            status = kind;
        }
    }
    vec![row.name(), shown.into(), status.into()]
}
