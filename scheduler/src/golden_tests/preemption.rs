//! The tables of preemption: who would have to go on each node, which node is the best, and what is told.

use super::{list, pod, same, world};
use crate::cycle::{Diagnosis, Filters, Setting};
use crate::framework::Verdict;
use crate::plugin::default_preemption::{Preemption, pick, preempt, select_victims};
use crate::pod::PodInfo;
use crate::testing::default_profile;
use apimachinery::clock::SeededRng;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The table's budgets have no namespace, nor do its pods.
pub(super) fn checked(case: &Value) -> Option<String> {
    let (profile, rng) = (default_profile(), SeededRng::new(1));
    let mut cache = world(case);
    let snapshot = cache.snapshot();
    let new = PodInfo::new(pod(&case["pod"], "new"));
    let Ok(filters) = Filters::prepare(&profile, &new, snapshot) else { return Some("rejected".to_owned()) };
    if case["kind"] == "postfilter" {
        let setting = Setting { profile: &profile, snapshot, rng: &rng, threads: 1, start: 0, extended: false };
        let mut diagnosis = Diagnosis::default();
        for (node, status) in case["statuses"].as_object().into_iter().flatten() {
            let resolvable = status["code"] == "Unschedulable";
            let verdict = if resolvable { Verdict::unschedulable("") } else { Verdict::unresolvable("") };
            diagnosis.set(node, "", verdict);
        }
        let (got, nominated) = match preempt(&setting, &new, Some(&filters), &diagnosis) {
            Preemption::Node { node, victims } => {
                let count = victims.len();
                let text = format!(
                    "preemption: found a potential placement for pod on node {node}, preempting {count} victims"
                );
                (json!({"code": "Success", "reasons": [text]}), json!(node))
            }
            Preemption::Unhelpful(reason) | Preemption::Ineligible(reason) => {
                (json!({"code": "Unschedulable", "reasons": [format!("preemption: {reason}")]}), json!(""))
            }
            Preemption::Failed(reason) => (json!({"code": "Error", "reasons": [reason]}), Value::Null),
            Preemption::Off => (Value::Null, Value::Null),
        };
        let agrees = same(&case["want"], &got) && (case["nominated"].is_null() || case["nominated"] == nominated);
        return (!agrees).then(|| format!("{got} for {}", case["want"]));
    }
    let candidates = snapshot.nodes.iter().filter_map(|node| select_victims(&new, snapshot, &filters, node).ok());
    let candidates: Vec<_> = candidates.collect();
    if case["kind"] == "best" {
        let best = pick(candidates).map(|candidate| candidate.node).unwrap_or_default();
        let agrees = list(&case["want"]).iter().any(|node| *node == best);
        return (!agrees).then(|| format!("{best} for {}", case["want"]));
    }
    let got: BTreeMap<_, _> = candidates
        .into_iter()
        .map(|candidate| {
            let mut victims: Vec<_> = candidate.victims.iter().map(|victim| victim.name().to_owned()).collect();
            victims.sort();
            (candidate.node, json!({"victims": victims, "violations": candidate.violations}))
        })
        .collect();
    (json!(got) != case["want"]).then(|| format!("{} for {}", json!(got), case["want"]))
}
