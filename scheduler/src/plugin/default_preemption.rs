//! Which pods of lower priority would have to go so that the pod fits (`pkg/scheduler/framework/preemption`).
//!
//! Pure: it names a node and victims, and the binding side deletes. It does not know pod groups or extenders.

use crate::cycle::{Diagnosis, Filters, available};
use crate::framework::Verdict;
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::selection::Selector;
use crate::snapshot::{NodeInfo, Snapshot};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

const UNHELPFUL: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// What `PostFilter` found.
#[derive(Debug)]
pub(crate) enum Preemption {
    /// Deleting the victims makes room on the node.
    Node { node: String, victims: Vec<Arc<PodInfo>> },
    /// It does not help; an earlier nomination is void.
    Unhelpful(String),
    /// Not now; an earlier nomination stays.
    Ineligible(String),
}

struct Candidate {
    node: String,
    /// The most important first.
    victims: Vec<Arc<PodInfo>>,
    violations: usize,
}

pub(crate) fn preempt(profile: &Profile, pod: &PodInfo, snapshot: &Snapshot, diagnosis: &Diagnosis) -> Preemption {
    if let Some(reason) = ineligible(pod, snapshot, diagnosis) {
        return Preemption::Ineligible(reason.to_owned());
    }
    let helpful =
        |node: &&Arc<NodeInfo>| matches!(diagnosis.verdicts.get(node.name()), Some((_, Verdict::Unschedulable(_))));
    let (mut candidates, mut verdicts) = (Vec::new(), BTreeMap::new());
    for node in snapshot.nodes.iter().filter(helpful) {
        match select_victims(profile, pod, snapshot, node) {
            Ok(candidate) => candidates.push(candidate),
            Err(verdict) => {
                verdicts.insert(node.name().to_owned(), verdict);
            }
        }
    }
    match pick(candidates) {
        Some(Candidate { node, victims, .. }) => Preemption::Node { node, victims },
        None => Preemption::Unhelpful(available(snapshot.nodes.len(), &verdicts, UNHELPFUL)),
    }
}

fn ineligible(pod: &PodInfo, snapshot: &Snapshot, diagnosis: &Diagnosis) -> Option<&'static str> {
    if pod.spec().preemption_policy.as_deref() == Some("Never") {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let node = pod.nominated_node()?;
    if diagnosis.is_unresolvable(node) {
        return None;
    }
    let making_room = |other: &Arc<PodInfo>| other.priority() < pod.priority() && is_preempted(other);
    let waits = snapshot.node(node)?.pods.iter().any(making_room);
    waits.then_some("not eligible due to a terminating pod on the nominated node.")
}

/// The pod is on its way out because a scheduler wanted its place.
fn is_preempted(pod: &PodInfo) -> bool {
    let conditions = pod.pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.is_terminating()
        && conditions.into_iter().any(|condition| {
            condition.type_ == "DisruptionTarget"
                && condition.status == "True"
                && condition.reason.as_deref() == Some("PreemptionByScheduler")
        })
}

/// Higher priority first, then who runs longer.
fn importance(pod: &Arc<PodInfo>) -> (Reverse<i32>, jiff::Timestamp) {
    let started = pod.pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    (Reverse(pod.priority()), started.map_or(jiff::Timestamp::MAX, |time| time.0))
}

/// Takes all lesser pods away and puts back as many as possible, the most important first, those that a disruption
/// budget protects before the others.
fn select_victims(
    profile: &Profile,
    pod: &PodInfo,
    snapshot: &Snapshot,
    node: &Arc<NodeInfo>,
) -> Result<Candidate, Verdict> {
    let mut lesser: Vec<_> = node.pods.iter().filter(|other| other.priority() < pod.priority()).cloned().collect();
    if lesser.is_empty() {
        return Err(Verdict::unresolvable(NO_VICTIMS));
    }
    let mut room = (**node).clone();
    for victim in &lesser {
        room.remove(victim.uid());
    }
    let judge = |state: &NodeInfo| {
        let state = Arc::new(state.clone());
        let changed = snapshot.with_node(state.clone());
        match Filters::prepare(profile, pod, &changed) {
            Ok(filters) => filters.judge_with_nominated(profile, pod, &changed, &state).1,
            Err((_, reason)) => Verdict::unresolvable(reason),
        }
    };
    let verdict = judge(&room);
    if !verdict.fits() {
        return Err(verdict);
    }
    lesser.sort_by_key(importance);
    let (violating, others) = by_budget(lesser, snapshot);
    let (mut victims, mut violations) = (Vec::new(), 0);
    for (victim, violates) in
        violating.into_iter().map(|pod| (pod, true)).chain(others.into_iter().map(|pod| (pod, false)))
    {
        room.add(victim.clone());
        if !judge(&room).fits() {
            room.remove(victim.uid());
            victims.push(victim);
            violations += usize::from(violates);
        }
    }
    victims.sort_by_key(importance);
    let node = node.name().to_owned();
    if victims.is_empty() {
        Err(Verdict::unschedulable(NO_VICTIMS))
    } else {
        Ok(Candidate { node, victims, violations })
    }
}

/// Those whose eviction would overdraw a disruption budget, and the rest; both keep their order.
fn by_budget(pods: Vec<Arc<PodInfo>>, snapshot: &Snapshot) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut budgets: Vec<_> = snapshot
        .budgets
        .iter()
        .map(|budget| {
            let selector = Selector::new(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()));
            let left = budget.status.as_ref().and_then(|status| status.disruptions_allowed).unwrap_or(0);
            (budget, selector, left)
        })
        .collect();
    pods.into_iter().partition(|pod| {
        let mut violates = false;
        for (budget, selector, left) in &mut budgets {
            let same_namespace = budget.metadata.namespace.as_deref() == Some(pod.namespace());
            let going = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
            let is_going = going.is_some_and(|pods| pods.contains_key(pod.name()));
            // An empty selector of a budget protects nothing here, as upstream has it; nor are unlabelled pods held.
            let protects = same_namespace && pod.labels().is_some_and(|labels| !labels.is_empty());
            if protects && !is_going && !selector.is_empty() && selector.matches(pod.labels()) {
                *left -= 1;
                violates |= *left < 0;
            }
        }
        violates
    })
}

/// Fewest violations, then the least important first victim, the smallest sum of priorities, the fewest victims, and
/// the latest start of the most important ones; the first node of those that are left.
fn pick(candidates: Vec<Candidate>) -> Option<Candidate> {
    let rank = |candidate: &Candidate| {
        let victims = &candidate.victims;
        let highest = victims.first().map_or(i32::MIN, |pod| pod.priority());
        // All priorities count as positive, so that more victims are never better.
        let sum: i64 = victims.iter().map(|pod| i64::from(pod.priority()) + i64::from(i32::MAX) + 1).sum();
        let started = victims.first().map(importance).map(|(_, started)| started);
        (candidate.violations, highest, sum, victims.len(), Reverse(started))
    };
    candidates.into_iter().min_by_key(rank)
}

#[cfg(test)]
#[path = "default_preemption_tests.rs"]
mod tests;
