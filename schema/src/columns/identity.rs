//! Service accounts, role bindings, certificates.

use super::read::{Row, labels, or, text};
use apimachinery::time::human_duration;
use jiff::SignedDuration;
use serde_json::Value;

pub(super) fn name_and_age(row: &Row) -> Vec<Value> {
    vec![row.name(), row.age()]
}

pub(super) fn role_binding(row: &Row) -> Vec<Value> {
    let role = format!("{}/{}", row.text(&["roleRef", "kind"]), row.text(&["roleRef", "name"]));
    let of = |kind: &str| -> Value {
        let subjects = row.list(&["subjects"]).iter().filter(|subject| subject["kind"] == kind);
        let shown = subjects.map(|subject| match (text(subject, &["namespace"]), text(subject, &["name"])) {
            ("", name) => name.to_owned(),
            (namespace, name) if kind == "ServiceAccount" => format!("{namespace}/{name}"),
            (_, name) => name.to_owned(),
        });
        shown.collect::<Vec<_>>().join(", ").into()
    };
    vec![row.name(), role.into(), row.age(), of("User"), of("Group"), of("ServiceAccount")]
}

pub(super) fn signing_request(row: &Row) -> Vec<Value> {
    let has = |kind| row.condition(kind).is_some();
    let mut status = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        status.push_str(",Failed");
    }
    if !row.text(&["status", "certificate"]).is_empty() {
        status.push_str(",Issued");
    }
    let duration = row.at(&["spec", "expirationSeconds"]).as_i64();
    let duration = duration.map_or("<none>".into(), |seconds| human_duration(SignedDuration::from_secs(seconds)));
    vec![
        row.name(),
        row.age(),
        or(row.text(&["spec", "signerName"]), "<none>").into(),
        row.text(&["spec", "username"]).into(),
        duration.into(),
        status.into(),
    ]
}

pub(super) fn trust_bundle(row: &Row) -> Vec<Value> {
    vec![row.name(), or(row.text(&["spec", "signerName"]), "<none>").into()]
}

pub(super) fn pod_certificate_request(row: &Row) -> Vec<Value> {
    let mut cells = vec![row.name()];
    let fields = ["podName", "serviceAccountName", "nodeName", "signerName"];
    cells.extend(fields.map(|field| Value::from(row.text(&["spec", field]))));
    let mut states = row.list(&["status", "conditions"]).iter().map(|condition| text(condition, &["type"]));
    cells.push(states.rfind(|state| matches!(*state, "Issued" | "Denied" | "Failed")).unwrap_or("Pending").into());
    cells.push(labels(row.at(&["spec", "unverifiedUserAnnotations"])).into());
    cells
}
