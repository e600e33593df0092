//! One host copy from what is to what should be: the same few moves for every kind that is no pod.

use crate::kind::Kind;
use crate::step::{Plan, Step};
use crate::{Config, Decision, difference, marks, names};
use serde::Serialize;
use serde_json::{Value, json};

/// Marks an object with its own fingerprint, so that a field that is no longer wanted counts as a difference.
fn stamped(mut object: Value) -> Value {
    let fingerprint = names::hash(&[&object.to_string()]);
    object["metadata"]["annotations"][marks::APPLIED] = fingerprint.into();
    object
}

/// The plan for one copy. A copy of an earlier object of the same name is removed first; its disappearance wakes the
/// key again. A host object that carries another record, or none, is never touched.
pub(crate) fn converge<T: Serialize>(
    config: &Config,
    kind: Kind,
    decision: &Decision<T>,
    host: Option<&impl Serialize>,
) -> Plan {
    let host = host.map(|host| json!(host));
    let field = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let record =
        |object: &Value, key: &str| object["metadata"]["annotations"][key].as_str().unwrap_or_default().to_owned();
    let delete = |host: &Value| {
        if host["metadata"]["deletionTimestamp"].is_string() {
            return Plan::nothing();
        }
        Plan::of(vec![Step::HostDelete { kind, name: field(host, "name"), uid: field(host, "uid"), grace: None }])
    };
    let is_ours = |host: &Value| host["metadata"]["labels"][marks::TENANT] == config.tenant.as_str();
    match (decision, host) {
        (Decision::Skip(_), _) | (Decision::Delete(_), None) => Plan::nothing(),
        (Decision::Delete(_), Some(host)) if is_ours(&host) => delete(&host),
        (Decision::Delete(_), Some(_)) => Plan::nothing(),
        (Decision::Sync(wanted), None) => Plan::of(vec![Step::HostApply { kind, object: stamped(json!(wanted)) }]),
        (Decision::Sync(wanted), Some(host)) => {
            let mut wanted = stamped(json!(wanted));
            let same = |key| record(&host, key) == record(&wanted, key);
            if !is_ours(&host) || !same(marks::NAME) || !same(marks::NAMESPACE) {
                return Plan::warn("the name of its copy is taken on the host");
            }
            let (before, now) = (record(&host, marks::UID), record(&wanted, marks::UID));
            let replaced = !before.is_empty() && !now.is_empty() && before != now;
            if replaced || host["metadata"]["deletionTimestamp"].is_string() {
                return delete(&host);
            }
            if difference::shows(&host, &wanted) {
                return Plan::nothing();
            }
            wanted["metadata"]["uid"] = host["metadata"]["uid"].clone();
            Plan::of(vec![Step::HostApply { kind, object: wanted }])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config { tenant: "t".into(), ..Config::default() }
    }

    fn wanted(uid: &str, data: &str) -> Value {
        json!({
            "metadata": {"name": "h", "labels": {"coracle.dev/tenant": "t"},
                "annotations": {"coracle.dev/name": "a", "coracle.dev/namespace": "ns", "coracle.dev/uid": uid}},
            "data": {"k": data},
        })
    }

    fn live(wanted: Value) -> Value {
        let mut live = stamped(wanted);
        live["metadata"]["uid"] = "host-uid".into();
        live
    }

    fn check(decision: Decision<Value>, host: Option<Value>, expected: &str) {
        let plan = converge(&config(), Kind::ConfigMap, &decision, host.as_ref());
        let steps: Vec<&str> = plan
            .steps
            .iter()
            .map(|step| match step {
                Step::HostApply { .. } => "apply",
                Step::HostDelete { .. } => "delete",
                _ => "other",
            })
            .chain(plan.warning.iter().map(|_| "warn"))
            .collect();
        assert_eq!(steps.join(" "), expected, "{decision:?}");
    }

    #[test]
    fn every_state_has_one_move() {
        let mut terminating = live(wanted("u", "1"));
        terminating["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let mut drifted = live(wanted("u", "1"));
        drifted["data"]["k"] = "2".into();
        let mut foreign = live(wanted("u", "1"));
        foreign["metadata"]["labels"] = json!({});
        check(Decision::Sync(wanted("u", "1")), None, "apply");
        check(Decision::Sync(wanted("u", "1")), Some(live(wanted("u", "1"))), "");
        check(Decision::Sync(wanted("u", "2")), Some(live(wanted("u", "1"))), "apply");
        check(Decision::Sync(wanted("u", "1")), Some(drifted), "apply");
        check(Decision::Sync(wanted("v", "1")), Some(live(wanted("u", "1"))), "delete");
        check(Decision::Sync(wanted("u", "1")), Some(live(wanted("", "1"))), "apply");
        check(Decision::Sync(wanted("u", "1")), Some(terminating.clone()), "");
        check(Decision::Sync(wanted("u", "1")), Some(foreign.clone()), "warn");
        check(Decision::Delete("unused"), Some(live(wanted("u", "1"))), "delete");
        check(Decision::Delete("unused"), Some(terminating), "");
        check(Decision::Delete("unused"), Some(foreign), "");
        check(Decision::Skip("not ours"), Some(live(wanted("u", "1"))), "");
    }

    #[test]
    fn a_removed_field_counts_as_a_difference() {
        let mut less = wanted("u", "1");
        less["data"] = json!({});
        check(Decision::Sync(less), Some(live(wanted("u", "1"))), "apply");
    }
}
