//! Dynamic resource allocation.

use super::read::Row;
use serde_json::Value;

pub(super) fn claim(row: &Row) -> Vec<Value> {
    let allocated = !row.at(&["status", "allocation"]).is_null();
    let states = [
        ("deleted", row.is_terminating()),
        ("pending", !allocated && !row.is_terminating()),
        ("allocated", allocated),
        ("reserved", allocated && row.count(&["status", "reservedFor"]) > 0),
    ];
    let shown: Vec<&str> = states.iter().filter(|(_, holds)| *holds).map(|(state, _)| *state).collect();
    vec![row.name(), shown.join(",").into(), row.age()]
}

pub(super) fn slice(row: &Row) -> Vec<Value> {
    vec![
        row.name(),
        row.text(&["spec", "nodeName"]).into(),
        row.text(&["spec", "driver"]).into(),
        row.text(&["spec", "pool", "name"]).into(),
        row.age(),
    ]
}

pub(super) fn taint_rule(row: &Row) -> Vec<Value> {
    let part = |part| Value::from(row.text(&["spec", "taint", part]));
    let added = row.text(&["spec", "taint", "timeAdded"]);
    let added = if added.is_empty() { String::new() } else { row.since(added) };
    vec![row.name(), part("key"), part("value"), part("effect"), added.into(), row.age()]
}
