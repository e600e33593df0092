//! One decision about one pod: filter, score, pick, or say why not (`pkg/scheduler/schedule_one.go`). Pure.

use crate::bind::Write;
use crate::framework::{Filter, Prepared, Verdict};
use crate::plugin::default_preemption::{Preemption, preempt};
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::snapshot::{NodeInfo, Snapshot};
use apimachinery::clock::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Clusters with fewer nodes are judged on one thread: starting others would take longer.
const NODES_PER_THREAD: usize = 128;

/// What is to become of the pod.
#[derive(Debug)]
pub enum Decision {
    /// It goes to `node`, after `before` is written.
    Place {
        node: String,
        before: Vec<Write>,
    },
    Reject(Rejection),
}

/// Why the pod fits nowhere, and what may help.
#[derive(Debug)]
pub struct Rejection {
    /// Upstream's text: `0/2 nodes are available: 1 Insufficient cpu, ...`.
    pub message: String,
    /// Who rejected; events that these wait for wake the pod. Empty: any event does.
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

/// What each node lacks.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis {
    pub(crate) verdicts: BTreeMap<String, (&'static str, Verdict)>,
    /// Why nodes were not looked at.
    absent: String,
    /// What `PreFilter` said; then no node was looked at.
    pre_filter: String,
}

impl Diagnosis {
    /// Removing pods cannot make this node fit. Nodes that were not looked at are such nodes.
    pub(crate) fn is_unresolvable(&self, node: &str) -> bool {
        self.verdicts.get(node).is_none_or(|(_, verdict)| matches!(verdict, Verdict::Unresolvable(_)))
    }
}

/// The filters of one pod, prepared on one snapshot.
pub(crate) struct Filters<'a> {
    prepared: Vec<(&'static str, Box<dyn Filter + 'a>)>,
    /// Only these need to be looked at.
    nodes: Option<BTreeSet<String>>,
    narrowed_by: BTreeSet<&'static str>,
}

impl<'a> Filters<'a> {
    /// Fails with the plugin that rejects the pod everywhere, and why.
    pub(crate) fn prepare(
        profile: &'a Profile,
        pod: &'a PodInfo,
        snapshot: &'a Snapshot,
    ) -> Result<Self, (&'static str, String)> {
        let mut this = Self { prepared: Vec::new(), nodes: None, narrowed_by: BTreeSet::new() };
        for plugin in &profile.filters {
            let name = plugin.name();
            match plugin.pre_filter(pod, snapshot) {
                Prepared::Skip => {}
                Prepared::Filter(filter) => this.prepared.push((name, filter)),
                Prepared::Narrowed(filter, nodes) => {
                    this.prepared.push((name, filter));
                    this.narrowed_by.insert(name);
                    let known = this.nodes.take();
                    this.nodes = Some(match known {
                        Some(known) => known.intersection(&nodes).cloned().collect(),
                        None => nodes,
                    });
                }
                Prepared::Rejected(reason) => return Err((name, reason)),
            }
        }
        Ok(this)
    }

    fn judge(&self, node: &NodeInfo) -> (&'static str, Verdict) {
        for (name, filter) in &self.prepared {
            let verdict = filter.filter(node);
            if !verdict.fits() {
                return (name, verdict);
            }
        }
        ("", Verdict::Fits)
    }

    /// The pod must fit with and without the pods for which room is being made on the node: they may need it, and they
    /// may end up elsewhere.
    pub(crate) fn judge_with_nominated(
        &self,
        profile: &Profile,
        pod: &PodInfo,
        snapshot: &Snapshot,
        node: &Arc<NodeInfo>,
    ) -> (&'static str, Verdict) {
        let nominated = snapshot.nominated.get(node.name()).into_iter().flatten();
        let first: Vec<_> =
            nominated.filter(|other| other.uid() != pod.uid() && other.priority() >= pod.priority()).collect();
        if !first.is_empty() {
            let mut taken = (**node).clone();
            for other in first {
                taken.add(other.clone());
            }
            let taken = Arc::new(taken);
            let changed = snapshot.with_node(taken.clone());
            let judged = match Filters::prepare(profile, pod, &changed) {
                Ok(filters) => filters.judge(&taken),
                Err((name, reason)) => (name, Verdict::unresolvable(reason)),
            };
            if !judged.1.fits() {
                return judged;
            }
        }
        self.judge(node)
    }
}

/// Decides. `threads` bounds how many judge nodes at once; `rng` breaks ties.
pub fn decide(profile: &Profile, pod: &PodInfo, snapshot: &Snapshot, rng: &dyn Rng, threads: usize) -> Decision {
    if snapshot.nodes.is_empty() {
        let message = "no nodes available to schedule pods".to_owned();
        return Decision::Reject(Rejection { message, plugins: BTreeSet::new(), nomination: Nomination::Clear });
    }
    let mut diagnosis = Diagnosis::default();
    let mut plugins = BTreeSet::new();
    let feasible = match Filters::prepare(profile, pod, snapshot) {
        Ok(filters) => {
            let feasible = filter_nodes(profile, pod, snapshot, &filters, threads, &mut diagnosis);
            plugins.extend(diagnosis.verdicts.values().map(|(plugin, _)| *plugin));
            plugins.extend(&filters.narrowed_by);
            feasible
        }
        Err((plugin, reason)) => {
            plugins.insert(plugin);
            diagnosis.pre_filter = reason;
            Vec::new()
        }
    };
    if let Some(node) = pick(profile, pod, snapshot, &feasible, rng) {
        let before = profile.before_bind.iter().flat_map(|plugin| plugin.pre_bind(pod, snapshot, node)).collect();
        return Decision::Place { node: node.to_owned(), before };
    }
    let (nomination, preemption) = match preempt(profile, pod, snapshot, &diagnosis) {
        Preemption::Node { node, victims } => {
            let count = victims.len();
            let text = format!("found a potential placement for pod on node {node}, preempting {count} victims");
            (Nomination::Node { node, victims }, text)
        }
        Preemption::Unhelpful(reason) => (Nomination::Clear, reason),
        Preemption::Ineligible(reason) => (Nomination::Keep, reason),
    };
    let all = snapshot.nodes.len();
    let why = if diagnosis.pre_filter.is_empty() {
        let verdicts = diagnosis.verdicts.into_iter().map(|(node, (_, verdict))| (node, verdict)).collect();
        available(all, &verdicts, &diagnosis.absent)
    } else {
        format!("0/{all} nodes are available: {}.", diagnosis.pre_filter)
    };
    let message = format!("{why} preemption: {preemption}");
    Decision::Reject(Rejection { message, plugins, nomination })
}

/// The nodes that fit; what the others lack goes to `diagnosis`.
fn filter_nodes<'a>(
    profile: &Profile,
    pod: &PodInfo,
    snapshot: &'a Snapshot,
    filters: &Filters<'_>,
    threads: usize,
    diagnosis: &mut Diagnosis,
) -> Vec<Arc<NodeInfo>> {
    if !filters.narrowed_by.is_empty() {
        let names: Vec<_> = filters.narrowed_by.iter().copied().collect();
        diagnosis.absent = format!("node(s) didn't satisfy plugin(s) [{}]", names.join(" "));
    }
    let wanted = |node: &&Arc<NodeInfo>| filters.nodes.as_ref().is_none_or(|nodes| nodes.contains(node.name()));
    let nodes: Vec<&'a Arc<NodeInfo>> = snapshot.nodes.iter().filter(wanted).collect();
    let judge = |node: &&'a Arc<NodeInfo>| filters.judge_with_nominated(profile, pod, snapshot, node);
    let threads = threads.min(nodes.len() / NODES_PER_THREAD);
    let judged: Vec<_> = if threads < 2 {
        nodes.iter().map(judge).collect()
    } else {
        std::thread::scope(|scope| {
            let chunks = nodes.chunks(nodes.len().div_ceil(threads));
            let started: Vec<_> =
                chunks.map(|chunk| scope.spawn(move || chunk.iter().map(judge).collect::<Vec<_>>())).collect();
            started.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        })
    };
    let mut feasible = Vec::new();
    for (node, (plugin, verdict)) in nodes.into_iter().zip(judged) {
        if verdict.fits() {
            feasible.push(node.clone());
        } else {
            diagnosis.verdicts.insert(node.name().to_owned(), (plugin, verdict));
        }
    }
    feasible
}

/// `FitError` of upstream: each reason with the number of nodes that gave it, in the order of the texts.
pub(crate) fn available(all: usize, verdicts: &BTreeMap<String, Verdict>, absent: &str) -> String {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in verdicts.values().flat_map(Verdict::reasons) {
        *reasons.entry(reason).or_default() += 1;
    }
    if !absent.is_empty() && verdicts.len() < all {
        *reasons.entry(absent).or_default() += all - verdicts.len();
    }
    let mut texts: Vec<_> = reasons.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    texts.sort();
    let start = format!("0/{all} nodes are available:");
    if texts.is_empty() { start } else { format!("{start} {}.", texts.join(", ")) }
}

/// The feasible node with the best sum of weighted scores; chance decides between equals.
fn pick<'a>(
    profile: &Profile,
    pod: &PodInfo,
    snapshot: &Snapshot,
    feasible: &'a [Arc<NodeInfo>],
    rng: &dyn Rng,
) -> Option<&'a str> {
    // Room was made there for this pod; it takes it if it fits, whatever else has become free.
    let nominated = pod.nominated_node().and_then(|name| feasible.iter().find(|node| node.name() == name));
    if let Some(node) = nominated.or(feasible.first().filter(|_| feasible.len() == 1)) {
        return Some(node.name());
    }
    let totals = score_nodes(profile, pod, snapshot, feasible);
    let best = totals.iter().max()?;
    let equals: Vec<_> = feasible.iter().zip(&totals).filter(|(_, total)| *total == best).collect();
    equals.get(rng.below(equals.len())).map(|(node, _)| node.name())
}

fn score_nodes(profile: &Profile, pod: &PodInfo, snapshot: &Snapshot, feasible: &[Arc<NodeInfo>]) -> Vec<i64> {
    let mut totals = vec![0; feasible.len()];
    for (plugin, weight) in &profile.scores {
        let Some(scorer) = plugin.pre_score(pod, snapshot, feasible) else { continue };
        let mut scores: Vec<i64> = feasible.iter().map(|node| scorer.score(node)).collect();
        scorer.normalize(&mut scores);
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += weight * score;
        }
    }
    totals
}

#[cfg(test)]
#[path = "cycle_tests.rs"]
mod tests;
