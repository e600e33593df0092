//! Which pods of lower priority would have to go so that the pod fits (`pkg/scheduler/framework/preemption`).
//!
//! Pure: it names a node and victims, and the binding side deletes. It does not know pod groups, which are off upstream.

mod rank;

use crate::config::args::DefaultPreemptionArgs;
use crate::cycle::{Diagnosis, Filters, Setting, available};
use crate::framework::Verdict;
use crate::pod::PodInfo;
use crate::selection::Selector;
use crate::snapshot::{NodeInfo, Snapshot};
use rank::importance;
pub(crate) use rank::pick;
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
    /// Something went wrong; an earlier nomination stays.
    Failed(String),
    /// The profile does not preempt.
    Off,
}

/// One node with those who would have to go.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) node: String,
    /// The most important first.
    pub(crate) victims: Vec<Arc<PodInfo>>,
    /// How many of them a disruption budget protects.
    pub(crate) violations: usize,
}

/// How many candidates are enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidates {
    percentage: usize,
    absolute: usize,
}

impl Candidates {
    pub(crate) fn new(args: &DefaultPreemptionArgs) -> Self {
        let positive = |number: i32| usize::try_from(number).unwrap_or(0);
        Self {
            percentage: positive(args.min_candidate_nodes_percentage),
            absolute: positive(args.min_candidate_nodes_absolute),
        }
    }

    fn of(self, nodes: usize) -> usize {
        (nodes * self.percentage / 100).max(self.absolute).min(nodes)
    }
}

/// Looks for room to be made. `filters` is what the pod was judged by; without it no node was judged.
pub(crate) fn preempt(
    setting: &Setting<'_>,
    pod: &PodInfo,
    filters: Option<&Filters<'_>>,
    diagnosis: &Diagnosis,
) -> Preemption {
    match candidates(setting, pod, filters, diagnosis) {
        Ok(candidates) => match pick(candidates) {
            Some(Candidate { node, victims, .. }) => Preemption::Node { node, victims },
            None => Preemption::Unhelpful("no candidate node for preemption".to_owned()),
        },
        Err(preemption) => preemption,
    }
}

/// At least one. Fails with why there is none.
pub(crate) fn candidates(
    setting: &Setting<'_>,
    pod: &PodInfo,
    filters: Option<&Filters<'_>>,
    diagnosis: &Diagnosis,
) -> Result<Vec<Candidate>, Preemption> {
    let Some(wanted) = setting.profile.preemption else { return Err(Preemption::Off) };
    let snapshot = setting.snapshot;
    if let Some(reason) = ineligible(pod, snapshot, diagnosis) {
        return Err(Preemption::Ineligible(reason.to_owned()));
    }
    let nodes: Vec<_> = snapshot.nodes.iter().filter(|node| diagnosis.is_resolvable(node.name())).collect();
    let wanted = wanted.of(nodes.len());
    let offset = setting.rng.below(nodes.len());
    let (mut found, mut violating, mut verdicts) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut failure = None;
    for at in 0..nodes.len() {
        let node = nodes[(offset + at) % nodes.len()];
        let Some(filters) = filters else { break };
        match select_victims(pod, snapshot, filters, node) {
            Ok(candidate) if candidate.violations == 0 => found.push(candidate),
            Ok(candidate) => violating.push(candidate),
            Err(verdict) => {
                if let Verdict::Failed(message) = &verdict {
                    failure.get_or_insert_with(|| message.clone());
                }
                verdicts.insert(node.name().to_owned(), verdict);
            }
        }
        // One that violates no budget is worth going on for.
        if !found.is_empty() && found.len() + violating.len() >= wanted {
            break;
        }
    }
    found.truncate(wanted);
    violating.truncate(wanted);
    found.append(&mut violating);
    match failure {
        _ if !found.is_empty() => Ok(found),
        Some(message) => Err(Preemption::Failed(message)),
        None => Err(Preemption::Unhelpful(available(snapshot.nodes.len(), &verdicts, UNHELPFUL))),
    }
}

fn ineligible(pod: &PodInfo, snapshot: &Snapshot, diagnosis: &Diagnosis) -> Option<&'static str> {
    if pod.spec().preemption_policy.as_deref() == Some("Never") {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let node = pod.nominated_node()?;
    if !diagnosis.is_resolvable(node) {
        return None;
    }
    let making_room = |other: &Arc<PodInfo>| other.priority() < pod.priority() && is_preempted(other);
    let waits = snapshot.node(node)?.pods.iter().any(making_room);
    waits.then_some("not eligible due to a terminating pod on the nominated node.")
}

/// The pod is on its way out because a scheduler wanted its place.
fn is_preempted(pod: &PodInfo) -> bool {
    let mut conditions = pod.pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.is_terminating()
        && conditions.find(|condition| condition.type_ == "DisruptionTarget").is_some_and(|condition| {
            condition.status == "True" && condition.reason.as_deref() == Some("PreemptionByScheduler")
        })
}

/// Takes all lesser pods away and puts back as many as possible, the most important first, those that a disruption
/// budget protects before the others.
pub(crate) fn select_victims(
    pod: &PodInfo,
    snapshot: &Snapshot,
    filters: &Filters<'_>,
    node: &Arc<NodeInfo>,
) -> Result<Candidate, Verdict> {
    let mut lesser: Vec<_> = node.pods.iter().filter(|other| other.priority() < pod.priority()).cloned().collect();
    if lesser.is_empty() {
        return Err(Verdict::unresolvable(NO_VICTIMS));
    }
    let mut room = (**node).clone();
    let mut filters = filters.fork();
    for victim in &lesser {
        room.remove(victim.uid());
        filters.remove(victim, &room);
    }
    let verdict = filters.judge_with_nominated(pod, snapshot, &room).1;
    if !verdict.fits() {
        return Err(verdict);
    }
    lesser.sort_by_key(importance);
    let (protected, others) = by_budget(lesser, snapshot);
    let both = !protected.is_empty() && !others.is_empty();
    let each = protected.into_iter().map(|pod| (pod, true)).chain(others.into_iter().map(|pod| (pod, false)));
    let (mut victims, mut violations) = (Vec::new(), 0);
    for (victim, violates) in each {
        room.add(victim.clone());
        filters.add(&victim, &room);
        if !filters.judge_with_nominated(pod, snapshot, &room).1.fits() {
            room.remove(victim.uid());
            filters.remove(&victim, &room);
            victims.push(victim);
            violations += usize::from(violates);
        }
    }
    if both {
        victims.sort_by_key(importance);
    }
    let node = node.name().to_owned();
    if victims.is_empty() {
        Err(Verdict::Failed(format!("expected at least one victim pod on node {node:?}")))
    } else {
        Ok(Candidate { node, victims, violations })
    }
}

/// Those whose eviction would overdraw a disruption budget, and the rest; both keep their order.
fn by_budget(pods: Vec<Arc<PodInfo>>, snapshot: &Snapshot) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut budgets: Vec<_> = snapshot
        .budgets
        .values()
        .map(|budget| {
            let selector = Selector::new(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()));
            let left = budget.status.as_ref().and_then(|status| status.disruptions_allowed).unwrap_or(0);
            (budget, selector, left)
        })
        .collect();
    pods.into_iter().partition(|pod| {
        // Pods without labels are protected by none, and an empty selector protects none.
        if pod.labels().is_none_or(std::collections::BTreeMap::is_empty) {
            return false;
        }
        budgets.iter_mut().any(|(budget, selector, left)| {
            let same_namespace = budget.metadata.namespace.as_deref().unwrap_or_default() == pod.namespace();
            let going = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
            let is_going = going.is_some_and(|pods| pods.contains_key(pod.name()));
            if !same_namespace || is_going || selector.is_empty() || !selector.matches(pod.labels()) {
                return false;
            }
            *left -= 1;
            *left < 0
        })
    })
}

#[cfg(test)]
#[path = "default_preemption_tests.rs"]
mod tests;
