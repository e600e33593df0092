//! One attempt: the parts of a cycle, with the extenders asked between them, and what follows.

use super::{Scheduler, gate, status};
use crate::bind::{Job, Purpose};
use crate::cycle::{Decision, Feasible, Nomination, Rejection, Setting, filter, place, reject, score};
use crate::event::Said;
use crate::extender::Extender;
use crate::framework::Verdict;
use crate::plugin::default_preemption::{Candidate, Preemption, candidates, pick};
use crate::pod::PodInfo;
use crate::profile::EXTENDER;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::time::Instant;

/// The best score that an extender gives.
const MAX_EXTENDER_PRIORITY: i64 = 10;

type Extenders = Vec<Arc<Extender>>;

impl Scheduler {
    pub(super) async fn attempt(&mut self) {
        let Some(pod) = self.queue.pop() else { return };
        let Some(at) = self.profile_of(&pod) else { return };
        if self.cache.placed(pod.uid()).is_some() {
            return;
        }
        let interested: Extenders =
            self.extenders.iter().filter(|extender| extender.is_interested(&pod.pod)).cloned().collect();
        let snapshot = self.cache.snapshot();
        let setting = Setting {
            profile: &self.profiles[at],
            snapshot,
            rng: self.rng.as_ref(),
            threads: self.threads,
            start: self.start,
            extended: interested.iter().any(|extender| extender.judges_or_scores()),
        };
        let (decision, judged) = decide(&setting, &pod, &interested).await;
        let nodes = snapshot.nodes.len().max(1);
        self.start = (self.start + judged) % nodes;
        match decision {
            Decision::Place { node, reservation } => self.place(&pod, &node, reservation, &interested),
            Decision::Reject(rejection) => self.reject(at, &pod, rejection),
            Decision::Fail(message) => self.fail(&pod, &message),
        }
    }

    fn reject(&mut self, profile: usize, pod: &Arc<PodInfo>, rejection: Rejection) {
        let Rejection { message, plugins, nomination } = rejection;
        tracing::debug!(pod.namespace = pod.namespace(), pod.name = pod.name(), message, "a pod fits nowhere");
        self.return_to_queue(pod.uid(), plugins);
        let nominated = match &nomination {
            Nomination::Keep => pod.nominated_node(),
            Nomination::Clear => None,
            Nomination::Node { node, .. } => Some(node.as_str()),
        };
        self.cache.nominate(pod, nominated);
        if let Nomination::Node { node, victims } = &nomination {
            self.make_room(profile, pod, node, victims);
        }
        self.tell_failure(pod, "Unschedulable", &message, nominated);
    }

    /// Something went wrong; the pod is tried again after its back-off.
    pub(super) fn fail(&mut self, pod: &Arc<PodInfo>, message: &str) {
        tracing::warn!(pod.namespace = pod.namespace(), pod.name = pod.name(), message, "a pod was not scheduled");
        self.return_to_queue(pod.uid(), BTreeSet::new());
        // What it was last seen as: it may have changed while somebody was at it.
        let Some(pod) = self.queue.pod(pod.uid()).cloned() else { return };
        self.cache.nominate(&pod, None);
        self.tell_failure(&pod, "SchedulerError", message, None);
    }

    pub(super) fn return_to_queue(&mut self, uid: &str, plugins: BTreeSet<&'static str>) {
        let (profiles, cache) = (&self.profiles, &self.cache);
        self.queue.rejected(uid, plugins, &|pod| gate(profiles, cache, pod), Instant::now());
    }

    /// Sends the victims away, and lets lesser pods that hoped for the same node look elsewhere.
    fn make_room(&mut self, profile: usize, pod: &Arc<PodInfo>, node: &str, victims: &[Arc<PodInfo>]) {
        let now = self.clock.now();
        let scheduler = self.profiles[profile].scheduler_name.clone();
        let evictions = victims.iter().flat_map(|victim| status::evictions(victim, &scheduler, now));
        let writes = evictions.collect();
        self.cache.snapshot_mut().preempting.insert(pod.uid().to_owned());
        self.writer.start(pod.uid(), Job { purpose: Purpose::Preempt, writes, binder: None });
        let note = format!("Preempted by pod {} on node {node}", pod.uid());
        for victim in victims {
            let said =
                Said { warning: false, reason: "Preempted", action: "Preempting", note: &note, related: Some(pod) };
            self.tell(profile, victim, &said);
        }
        for lesser in self.cache.nominated_below(node, pod.priority()) {
            self.cache.nominate(&lesser, None);
            let (profiles, cache) = (&self.profiles, &self.cache);
            self.queue.retry(lesser.uid(), &|pod| gate(profiles, cache, pod), Instant::now());
            let writes = status::nomination_void(&lesser).into_iter().collect();
            self.writer.start(lesser.uid(), Job { purpose: Purpose::Tell, writes, binder: None });
        }
    }
}

/// The decision, and how many nodes were judged for it.
async fn decide(setting: &Setting<'_>, pod: &PodInfo, extenders: &Extenders) -> (Decision, usize) {
    let mut feasible = match filter(setting, pod) {
        Ok(feasible) => feasible,
        Err(decision) => return (decision, 0),
    };
    let judged = feasible.judged;
    if let Err(message) = ask_filters(pod, &mut feasible, extenders).await {
        return (Decision::Fail(message), judged);
    }
    if feasible.nodes.is_empty() {
        let preemption = ask_preemption(setting, pod, &feasible, extenders).await;
        return (reject(setting, pod, feasible, preemption), judged);
    }
    let mut totals = score(setting, pod, &feasible.nodes);
    if feasible.nodes.len() > 1 {
        ask_scores(pod, &feasible, extenders, &mut totals).await;
    }
    (place(setting, pod, &feasible.nodes, &totals), judged)
}

/// One extender after the other; each sees what the one before left.
async fn ask_filters(pod: &PodInfo, feasible: &mut Feasible<'_>, extenders: &Extenders) -> Result<(), String> {
    for extender in extenders.iter().filter(|extender| extender.filters()) {
        if feasible.nodes.is_empty() {
            break;
        }
        let left = match extender.filter(&pod.pod, &feasible.nodes).await {
            Ok(left) => left,
            Err(error) if extender.is_ignorable() => {
                tracing::info!(%error, "an extender is skipped: it failed and may be ignored");
                continue;
            }
            Err(error) => return Err(error.to_string()),
        };
        for (node, reason) in left.failed {
            feasible.diagnosis.set(&node, EXTENDER, Verdict::unschedulable(reason));
        }
        for (node, reason) in left.unresolvable {
            feasible.diagnosis.set(&node, EXTENDER, Verdict::unresolvable(reason));
        }
        if left.nodes.len() != feasible.nodes.len() {
            feasible.diagnosis.blame(EXTENDER);
        }
        feasible.nodes = left.nodes;
    }
    Ok(())
}

/// Their scores are of 0..=10 and are stretched to those of plugins; one that fails gives none.
async fn ask_scores(pod: &PodInfo, feasible: &Feasible<'_>, extenders: &Extenders, totals: &mut [i64]) {
    let asked = extenders.iter().filter(|extender| extender.scores());
    let nodes = &feasible.nodes;
    let answers = asked.map(|extender| async move { (extender, extender.prioritize(&pod.pod, nodes).await) });
    for (extender, answer) in futures::future::join_all(answers).await {
        match answer {
            Ok(scores) => {
                let scores: HashMap<String, i64> = scores.into_iter().collect();
                let scale = extender.weight() * (crate::framework::MAX_NODE_SCORE / MAX_EXTENDER_PRIORITY);
                for (node, total) in feasible.nodes.iter().zip(&mut *totals) {
                    *total += scores.get(node.name()).map_or(0, |score| score * scale);
                }
            }
            Err(error) => tracing::debug!(%error, "an extender gives no scores"),
        }
    }
}

/// Lets extenders choose among the candidates; `None` if none of them wants to.
async fn ask_preemption(
    setting: &Setting<'_>,
    pod: &PodInfo,
    feasible: &Feasible<'_>,
    extenders: &Extenders,
) -> Option<Preemption> {
    let asked: Vec<_> = extenders.iter().filter(|extender| extender.preempts()).collect();
    if asked.is_empty() {
        return None;
    }
    let mut left: Vec<Candidate> = match candidates(setting, pod, feasible.filters(), &feasible.diagnosis) {
        Ok(found) => found,
        Err(preemption) => return Some(preemption),
    };
    for extender in asked {
        if left.is_empty() {
            break;
        }
        match extender.preempt(&pod.pod, &left, setting.snapshot).await {
            Ok(chosen) => left = chosen,
            Err(error) if extender.is_ignorable() => {
                tracing::info!(%error, "an extender is skipped: it failed and may be ignored");
            }
            Err(error) => return Some(Preemption::Failed(error.to_string())),
        }
    }
    Some(match pick(left) {
        Some(Candidate { node, victims, .. }) => Preemption::Node { node, victims },
        None => Preemption::Unhelpful("no candidate node for preemption".to_owned()),
    })
}
