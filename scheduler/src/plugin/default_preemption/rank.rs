//! Who is more important, and which node is the better one to preempt on.

use super::Candidate;
use crate::pod::PodInfo;
use std::cmp::Reverse;
use std::sync::Arc;

/// When the pod started; one that has not counts as started last.
fn started(pod: &PodInfo) -> jiff::Timestamp {
    let started = pod.pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    started.map_or(jiff::Timestamp::MAX, |time| time.0)
}

/// Higher priority first, then who runs longer.
pub(super) fn importance(pod: &Arc<PodInfo>) -> (Reverse<i32>, jiff::Timestamp) {
    (Reverse(pod.priority()), started(pod))
}

/// Fewest violations, then the least important first victim, the smallest sum of priorities, the fewest victims, and
/// the latest start of the most important ones; the first node of those that are left.
pub(crate) fn pick(candidates: Vec<Candidate>) -> Option<Candidate> {
    let rank = |candidate: &Candidate| {
        let victims = &candidate.victims;
        let first = victims.first().map_or(i32::MIN, |pod| pod.priority());
        // All priorities count as positive, so that more victims are never better.
        let sum: i64 = victims.iter().map(|pod| i64::from(pod.priority()) + i64::from(i32::MAX) + 1).sum();
        let highest = victims.iter().map(|pod| pod.priority()).max();
        let of_highest = victims.iter().filter(|pod| Some(pod.priority()) == highest);
        let earliest = of_highest.map(|pod| started(pod)).min();
        (candidate.violations, first, sum, victims.len(), Reverse(earliest))
    };
    candidates.into_iter().min_by_key(rank)
}
