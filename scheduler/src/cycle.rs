//! One decision about one pod: filter, score, pick, or say why not (`pkg/scheduler/schedule_one.go`). Pure: extenders
//! are asked between its parts, by the loop.

mod diagnosis;
mod filters;

pub(crate) use diagnosis::{Diagnosis, available};
pub(crate) use filters::Filters;

use crate::framework::{Reservation, Verdict};
use crate::plugin::default_preemption::{Preemption, preempt};
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::snapshot::{NodeInfo, Snapshot};
use apimachinery::clock::Rng;
use filters::Stop;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Clusters with fewer nodes are judged on one thread: starting others would take longer.
const NODES_PER_THREAD: usize = 128;
/// With fewer nodes all are judged.
const MIN_FEASIBLE: usize = 100;
const MIN_PERCENTAGE: usize = 5;

/// What all cycles of a process share.
pub struct Setting<'a> {
    pub profile: &'a Profile,
    pub snapshot: &'a Snapshot,
    pub rng: &'a dyn Rng,
    /// How many threads judge nodes at once.
    pub threads: usize,
    /// At which node the search begins, so that all have their turn.
    pub start: usize,
    /// Extenders judge or score as well: one feasible node is not enough even without scoring plugins.
    pub extended: bool,
}

/// What is to become of the pod.
#[derive(Debug)]
pub enum Decision {
    /// It goes to `node`, as `reservation` has it.
    Place {
        node: String,
        reservation: Reservation,
    },
    Reject(Rejection),
    /// Something went wrong; the text is for the pod's users.
    Fail(String),
}

/// Why the pod fits nowhere, and what may help.
#[derive(Debug)]
pub struct Rejection {
    /// Upstream's text: `0/2 nodes are available: 1 Insufficient cpu, ...`.
    pub message: String,
    /// Who rejected; changes that these wait for wake the pod. Empty: it comes back after its back-off.
    pub plugins: BTreeSet<&'static str>,
    pub nomination: Nomination,
}

/// What preemption has found.
#[derive(Debug)]
pub enum Nomination {
    Keep,
    Clear,
    /// Once the victims are gone there is room on `node`.
    Node {
        node: String,
        victims: Vec<Arc<PodInfo>>,
    },
}

/// The nodes that fit, and what is known of the others.
pub struct Feasible<'a> {
    pub(crate) nodes: Vec<Arc<NodeInfo>>,
    pub(crate) diagnosis: Diagnosis,
    /// How many nodes were judged.
    pub(crate) judged: usize,
    filters: Option<Filters<'a>>,
}

impl Feasible<'_> {
    /// What the pod was judged by; `None` if it fits nowhere whatever nodes there are.
    pub(crate) fn filters(&self) -> Option<&Filters<'_>> {
        self.filters.as_ref()
    }
}

/// Decides without extenders.
pub fn decide(setting: &Setting<'_>, pod: &PodInfo) -> Decision {
    match filter(setting, pod) {
        Err(decision) => decision,
        Ok(feasible) if feasible.nodes.is_empty() => reject(setting, pod, feasible, None),
        Ok(feasible) => {
            let totals = score(setting, pod, &feasible.nodes);
            place(setting, pod, &feasible.nodes, &totals)
        }
    }
}

/// The nodes that fit. Fails with a decision that needs no nodes.
pub fn filter<'a>(setting: &Setting<'a>, pod: &'a PodInfo) -> Result<Feasible<'a>, Decision> {
    let snapshot = setting.snapshot;
    if snapshot.nodes.is_empty() {
        let message = "no nodes available to schedule pods".to_owned();
        let rejection = Rejection { message, plugins: BTreeSet::new(), nomination: Nomination::Clear };
        return Err(Decision::Reject(rejection));
    }
    let mut feasible = Feasible { nodes: Vec::new(), diagnosis: Diagnosis::default(), judged: 0, filters: None };
    let filters = match Filters::prepare(setting.profile, pod, snapshot) {
        Ok(filters) => filters,
        Err(Stop::Failed(message)) => return Err(Decision::Fail(message)),
        Err(Stop::Rejected(plugins, reason)) => {
            feasible.diagnosis.reject_all(plugins, reason);
            return Ok(feasible);
        }
    };
    // Room was made there for this pod: it takes it if it fits, whatever else has become free.
    if let Some(node) = pod.nominated_node().and_then(|name| snapshot.node(name)) {
        let fits = filters.names(node) && filters.judge_with_nominated(pod, snapshot, node).1.fits();
        if fits {
            feasible.nodes.push(node.clone());
            feasible.judged = 1;
            feasible.filters = Some(filters);
            return Ok(feasible);
        }
    }
    feasible.diagnosis.narrowed(filters.narrowed_by());
    search(setting, pod, &filters, &mut feasible).map_err(Decision::Fail)?;
    feasible.filters = Some(filters);
    Ok(feasible)
}

/// How many feasible nodes are enough (`numFeasibleNodesToFind`).
fn enough(setting: &Setting<'_>, all: usize) -> usize {
    if !setting.extended && !setting.profile.has_scores() {
        return 1;
    }
    if all < MIN_FEASIBLE {
        return all;
    }
    let percentage = match usize::try_from(setting.profile.percentage_of_nodes_to_score) {
        Ok(0) | Err(_) => 50usize.saturating_sub(all / 125).max(MIN_PERCENTAGE),
        Ok(percentage) => percentage,
    };
    (all * percentage / 100).max(MIN_FEASIBLE)
}

/// Judges nodes from the start on, until enough fit. Fails with what a filter failed with.
fn search(
    setting: &Setting<'_>,
    pod: &PodInfo,
    filters: &Filters<'_>,
    feasible: &mut Feasible<'_>,
) -> Result<(), String> {
    let snapshot = setting.snapshot;
    let narrowed = filters.nodes().map(|names| names.iter().filter_map(|name| snapshot.node(name)).collect());
    let nodes: Vec<&Arc<NodeInfo>> = narrowed.unwrap_or_else(|| snapshot.nodes.iter().collect());
    let enough = enough(setting, nodes.len());
    let judge = |at: usize| {
        let node = nodes[(setting.start + at) % nodes.len()];
        (node, filters.judge_with_nominated(pod, snapshot, node))
    };
    while feasible.judged < nodes.len() && feasible.nodes.len() < enough {
        let from = feasible.judged;
        let wanted = (enough - feasible.nodes.len()).max(NODES_PER_THREAD * setting.threads);
        let to = nodes.len().min(from + wanted);
        let threads = setting.threads.min((to - from) / NODES_PER_THREAD);
        let judged: Vec<_> = if threads < 2 {
            (from..to).map(judge).collect()
        } else {
            std::thread::scope(|scope| {
                let step = (to - from).div_ceil(threads);
                let started: Vec<_> = (from..to)
                    .step_by(step)
                    .map(|first| scope.spawn(move || (first..to.min(first + step)).map(judge).collect::<Vec<_>>()))
                    .collect();
                started.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
            })
        };
        for (node, (plugin, verdict)) in judged {
            if feasible.nodes.len() == enough {
                break;
            }
            feasible.judged += 1;
            match verdict {
                Verdict::Fits => feasible.nodes.push(node.clone()),
                Verdict::Failed(message) => return Err(format!("running {plugin:?} filter plugin: {message}")),
                verdict => feasible.diagnosis.set(node.name(), plugin, verdict),
            }
        }
    }
    Ok(())
}

/// The sum of weighted scores of each feasible node.
pub fn score(setting: &Setting<'_>, pod: &PodInfo, feasible: &[Arc<NodeInfo>]) -> Vec<i64> {
    let mut totals = vec![0; feasible.len()];
    if feasible.len() < 2 {
        return totals;
    }
    for (plugin, weight) in setting.profile.scores() {
        let Some(scorer) = plugin.scorer(pod, setting.snapshot, feasible) else { continue };
        let mut scores: Vec<i64> = feasible.iter().map(|node| scorer.score(node)).collect();
        scorer.normalize(&mut scores);
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += weight * score;
        }
    }
    totals
}

/// The feasible node with the best total; chance decides between equals.
pub fn place(setting: &Setting<'_>, pod: &PodInfo, feasible: &[Arc<NodeInfo>], totals: &[i64]) -> Decision {
    let best = totals.iter().max();
    let equals: Vec<_> = feasible.iter().zip(totals).filter(|(_, total)| Some(*total) == best).collect();
    let Some((node, _)) = equals.get(setting.rng.below(equals.len())) else {
        return Decision::Fail("empty priorityList".to_owned());
    };
    let mut reservation = Reservation::default();
    for plugin in setting.profile.reserves() {
        match plugin.take(pod, setting.snapshot, node.name()) {
            Ok(taken) => reservation.join(taken),
            Err(error) => {
                return Decision::Fail(format!("running Reserve plugin {:?}: {error}", plugin.name()));
            }
        }
    }
    Decision::Place { node: node.name().to_owned(), reservation }
}

/// Says why no node fits, and looks for room to be made unless somebody has already.
pub(crate) fn reject(
    setting: &Setting<'_>,
    pod: &PodInfo,
    feasible: Feasible<'_>,
    preemption: Option<Preemption>,
) -> Decision {
    let Feasible { diagnosis, filters, .. } = feasible;
    let preemption = preemption.unwrap_or_else(|| preempt(setting, pod, filters.as_ref(), &diagnosis));
    let (nomination, told) = match preemption {
        Preemption::Node { node, victims } => {
            let count = victims.len();
            let text = format!("found a potential placement for pod on node {node}, preempting {count} victims");
            (Nomination::Node { node, victims }, text)
        }
        Preemption::Unhelpful(reason) => (Nomination::Clear, reason),
        Preemption::Ineligible(reason) | Preemption::Failed(reason) => (Nomination::Keep, reason),
        Preemption::Off => (Nomination::Clear, String::new()),
    };
    let mut message = diagnosis.message(setting.snapshot.nodes.len());
    if !told.is_empty() {
        message = format!("{message} preemption: {told}");
    }
    Decision::Reject(Rejection { message, plugins: diagnosis.into_plugins(), nomination })
}

#[cfg(test)]
#[path = "cycle_tests.rs"]
mod tests;
