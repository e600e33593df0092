//! Nodes, namespaces, events, and the small kinds around scheduling.

use super::read::{Row, flag, or, text};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn node(row: &Row) -> Vec<Value> {
    let mut status = match row.condition("Ready") {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if flag(row.object, &["spec", "unschedulable"]) {
        status.push_str(",SchedulingDisabled");
    }
    let info = |field| row.text(&["status", "nodeInfo", field]);
    let address = |kind: &str| {
        let addresses = row.list(&["status", "addresses"]);
        addresses.iter().find(|address| address["type"] == kind).map_or("<none>", |address| text(address, &["address"]))
    };
    let mut kernel = or(info("kernelVersion"), "<unknown>").to_owned();
    if !info("architecture").is_empty() {
        kernel = format!("{kernel} ({})", info("architecture"));
    }
    vec![
        row.name(),
        status.into(),
        roles(row).into(),
        row.age(),
        info("kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        or(info("osImage"), "<unknown>").into(),
        kernel.into(),
        or(info("containerRuntimeVersion"), "<unknown>").into(),
    ]
}

/// The roles that labels give: `node-role.kubernetes.io/ROLE` and `kubernetes.io/role=ROLE`.
fn roles(row: &Row) -> String {
    let labels = row.at(&["metadata", "labels"]).as_object().into_iter().flatten();
    let role = |(key, value): (&'_ String, &'_ Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None if key == "kubernetes.io/role" => value.as_str().map(str::to_owned),
        None => None,
    };
    let roles: BTreeSet<String> = labels.filter_map(role).filter(|role| !role.is_empty()).collect();
    or(&roles.into_iter().collect::<Vec<_>>().join(","), "<none>").into()
}

pub(super) fn namespace(row: &Row) -> Vec<Value> {
    vec![row.name(), row.text(&["status", "phase"]).into(), row.age()]
}

/// Events of both groups; the newer one has other names for the older fields.
pub(super) fn event(row: &Row) -> Vec<Value> {
    let either = |old: &[&str], new: &[&str]| or(row.text(old), row.text(new));
    let first = either(&["firstTimestamp"], &["deprecatedFirstTimestamp"]);
    let first = row.since(or(first, row.text(&["eventTime"])));
    let last = either(&["lastTimestamp"], &["deprecatedLastTimestamp"]);
    let series = row.at(&["series"]);
    let last = if !series.is_null() {
        row.since(text(series, &["lastObservedTime"]))
    } else if last.is_empty() {
        first.clone()
    } else {
        row.since(last)
    };
    let count = if series.is_null() {
        row.number(&["count"]).max(row.number(&["deprecatedCount"])).max(1)
    } else {
        series["count"].as_i64().unwrap_or(0)
    };
    let subject = if row.at(&["involvedObject"]).is_null() { "regarding" } else { "involvedObject" };
    let (kind, name) = (row.text(&[subject, "kind"]).to_lowercase(), row.text(&[subject, "name"]));
    let target = if name.is_empty() { kind } else { format!("{kind}/{name}") };
    let component = or(
        either(&["source", "component"], &["deprecatedSource", "component"]),
        either(&["reportingComponent"], &["reportingController"]),
    );
    let instance = or(either(&["source", "host"], &["deprecatedSource", "host"]), row.text(&["reportingInstance"]));
    let source = if instance.is_empty() { component.to_owned() } else { format!("{component}, {instance}") };
    vec![
        last.into(),
        row.text(&["type"]).into(),
        row.text(&["reason"]).into(),
        target.into(),
        row.text(&[subject, "fieldPath"]).into(),
        source.into(),
        either(&["message"], &["note"]).trim().into(),
        first.into(),
        count.into(),
        row.name(),
    ]
}

pub(super) fn component_status(row: &Row) -> Vec<Value> {
    let healthy = row.list(&["conditions"]).iter().find(|condition| condition["type"] == "Healthy");
    let status = match healthy.map(|condition| text(condition, &["status"])) {
        Some("True") => "Healthy",
        Some(_) => "Unhealthy",
        None => "Unknown",
    };
    let part = |part| healthy.map_or("", |condition| text(condition, &[part]));
    vec![row.name(), status.into(), part("message").into(), part("error").into()]
}

pub(super) fn runtime_class(row: &Row) -> Vec<Value> {
    vec![row.name(), row.text(&["handler"]).into(), row.age()]
}

pub(super) fn priority_class(row: &Row) -> Vec<Value> {
    let default = flag(row.object, &["globalDefault"]);
    vec![row.name(), row.number(&["value"]).into(), default.into(), row.age(), row.text(&["preemptionPolicy"]).into()]
}

pub(super) fn lease(row: &Row) -> Vec<Value> {
    vec![row.name(), row.text(&["spec", "holderIdentity"]).into(), row.age()]
}
