//! The pods that wait: ready ones by priority, failed ones for their back-off, hopeless ones for a change that helps
//! (`pkg/scheduler/backend/queue`). Knows no clock: the caller says what time it is.

use crate::pod::PodInfo;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a pod stays hopeless before it is tried all the same.
const MAX_UNSCHEDULABLE: Duration = Duration::from_mins(5);
/// Back-offs end together once in so long, so that within it priority counts.
const WINDOW: Duration = Duration::from_secs(1);

/// Where a pod stands among the ready ones: the highest priority first, then who has waited longest.
type Rank = (Reverse<i32>, Instant, u64);

#[derive(Debug)]
enum Place {
    Active(Rank),
    /// Rejected before; it may be taken early when nobody else is ready.
    Backoff(Instant, Rank),
    /// Something went wrong before; it waits in any case.
    ErrorBackoff(Instant),
    /// Until a change that one of its plugins waits for, or until then.
    Unschedulable(Instant),
    /// Somebody is at it.
    Taken,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<PodInfo>,
    /// When it came, or was last tried.
    since: Instant,
    rejections: u32,
    /// Since the last rejection.
    errors: u32,
    /// Who rejected it or keeps it out.
    plugins: BTreeSet<&'static str>,
    place: Place,
}

/// Which plugin keeps a pod from becoming ready.
pub(crate) type Gate<'a> = &'a dyn Fn(&PodInfo) -> Option<&'static str>;

/// All pods without a node that are this scheduler's, by uid.
#[derive(Debug)]
pub struct Queue {
    initial_backoff: Duration,
    max_backoff: Duration,
    /// What windows are counted from.
    epoch: Instant,
    entries: HashMap<String, Entry>,
    active: BTreeSet<(Rank, String)>,
    backoff: BTreeSet<(Instant, Rank, String)>,
    errors: BTreeSet<(Instant, String)>,
    unschedulable: BTreeSet<(Instant, String)>,
    turn: u64,
}

impl Queue {
    pub fn new(initial_backoff: Duration, max_backoff: Duration, epoch: Instant) -> Self {
        Self {
            initial_backoff,
            max_backoff,
            epoch,
            entries: HashMap::new(),
            active: BTreeSet::new(),
            backoff: BTreeSet::new(),
            errors: BTreeSet::new(),
            unschedulable: BTreeSet::new(),
            turn: 0,
        }
    }

    /// Adds a pod or takes note of its new state; `helps` says of each plugin that rejected it whether the change may
    /// turn that.
    pub(crate) fn set(&mut self, pod: Arc<PodInfo>, helps: impl Fn(&str) -> bool, gate: Gate<'_>, now: Instant) {
        let uid = pod.uid().to_owned();
        let Some(entry) = self.entries.get_mut(&uid) else {
            let entry =
                Entry { pod, since: now, rejections: 0, errors: 0, plugins: BTreeSet::new(), place: Place::Taken };
            self.entries.insert(uid.clone(), entry);
            self.activate(&uid, gate, now);
            return;
        };
        let reranked = entry.pod.priority() != pod.priority();
        entry.pod = pod;
        match entry.place {
            Place::Unschedulable(_) if entry.plugins.iter().any(|plugin| helps(plugin)) => self.ready(&uid, gate, now),
            Place::Active(_) if reranked => {
                self.leave(&uid);
                self.activate(&uid, gate, now);
            }
            Place::Active(_) | Place::Unschedulable(_) => {}
            Place::Backoff(..) | Place::ErrorBackoff(_) | Place::Taken => {}
        }
    }

    pub fn remove(&mut self, uid: &str) {
        self.leave(uid);
        self.entries.remove(uid);
    }

    /// The next ready pod, or the next that backs off after a rejection. It stays known, as taken, until it is removed
    /// or comes back by [`Self::rejected`].
    pub fn pop(&mut self) -> Option<Arc<PodInfo>> {
        let first = self.active.pop_first().map(|(_, uid)| uid);
        let uid = first.or_else(|| self.backoff.pop_first().map(|(_, _, uid)| uid))?;
        let entry = self.entries.get_mut(&uid)?;
        entry.place = Place::Taken;
        Some(entry.pod.clone())
    }

    /// The pod fits nowhere at present, by the word of these plugins; without any, something went wrong and it is tried
    /// again after its back-off.
    pub(crate) fn rejected(&mut self, uid: &str, plugins: BTreeSet<&'static str>, gate: Gate<'_>, now: Instant) {
        self.leave(uid);
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.since = now;
        let failed = plugins.is_empty();
        entry.plugins = plugins;
        if failed {
            entry.errors += 1;
            self.ready(uid, gate, now);
        } else {
            entry.rejections += 1;
            entry.errors = 0;
            self.wait(uid, now);
        }
    }

    /// Something changed: pods that wait for it, as `helps` says of the plugins that rejected them, become ready once
    /// their back-off ends.
    pub(crate) fn wake(&mut self, helps: impl Fn(&str, &PodInfo) -> bool, gate: Gate<'_>, now: Instant) {
        let woken = |uid: &String| {
            let entry = self.entries.get(uid)?;
            entry.plugins.iter().any(|plugin| helps(plugin, &entry.pod)).then(|| uid.clone())
        };
        let uids: Vec<_> = self.unschedulable.iter().filter_map(|(_, uid)| woken(uid)).collect();
        for uid in uids {
            self.ready(&uid, gate, now);
        }
    }

    /// The pod is to be tried at once, whatever it waits for (`Activate`).
    pub(crate) fn activate_now(&mut self, uid: &str, gate: Gate<'_>, now: Instant) {
        let waits = |entry: &Entry| !matches!(entry.place, Place::Active(_) | Place::Taken);
        if self.entries.get(uid).is_some_and(waits) {
            self.leave(uid);
            self.activate(uid, gate, now);
        }
    }

    /// The plugin's gate has turned the pod away since it was last tried.
    pub(crate) fn is_kept_out_by(&self, uid: &str, plugin: &str) -> bool {
        let entry = self.entries.get(uid);
        entry.is_some_and(|entry| matches!(entry.place, Place::Unschedulable(_)) && entry.plugins.contains(plugin))
    }

    /// The pod waits for nothing any more but its back-off.
    pub(crate) fn retry(&mut self, uid: &str, gate: Gate<'_>, now: Instant) {
        if self.entries.get(uid).is_some_and(|entry| matches!(entry.place, Place::Unschedulable(_))) {
            self.ready(uid, gate, now);
        }
    }

    /// Makes those ready whose time has come.
    pub(crate) fn flush(&mut self, gate: Gate<'_>, now: Instant) {
        while let Some((until, _, uid)) = self.backoff.first().cloned().filter(|(until, ..)| *until <= now) {
            tracing::trace!(pod.uid = uid, ?until, "a back-off ends");
            self.leave(&uid);
            self.activate(&uid, gate, now);
        }
        while let Some((_, uid)) = self.errors.first().cloned().filter(|(until, _)| *until <= now) {
            self.leave(&uid);
            self.activate(&uid, gate, now);
        }
        while let Some((_, uid)) = self.unschedulable.first().cloned().filter(|(until, _)| *until <= now) {
            self.ready(&uid, gate, now);
        }
    }

    /// When [`Self::flush`] has something to do.
    pub fn next_flush(&self) -> Option<Instant> {
        let backoff = self.backoff.first().map(|(until, ..)| *until);
        let others = [&self.errors, &self.unschedulable].into_iter().filter_map(|set| set.first());
        backoff.into_iter().chain(others.map(|(until, _)| *until)).min()
    }

    /// [`Self::pop`] has one.
    pub fn has_ready(&self) -> bool {
        !self.active.is_empty() || !self.backoff.is_empty()
    }

    /// The pod as last seen, while it waits or is taken.
    pub fn pod(&self, uid: &str) -> Option<&Arc<PodInfo>> {
        self.entries.get(uid).map(|entry| &entry.pod)
    }

    fn ready(&mut self, uid: &str, gate: Gate<'_>, now: Instant) {
        self.leave(uid);
        let Some(entry) = self.entries.get(uid) else { return };
        let until = self.backoff_until(entry);
        if until <= now {
            self.activate(uid, gate, now);
            return;
        }
        if let Some(plugin) = gate(&entry.pod) {
            self.keep_out(uid, plugin, now);
            return;
        }
        let rank = self.rank(entry);
        let Some(entry) = self.entries.get_mut(uid) else { return };
        if entry.plugins.is_empty() {
            entry.place = Place::ErrorBackoff(until);
            self.errors.insert((until, uid.to_owned()));
        } else {
            entry.place = Place::Backoff(until, rank);
            self.backoff.insert((until, rank, uid.to_owned()));
        }
    }

    fn activate(&mut self, uid: &str, gate: Gate<'_>, now: Instant) {
        let Some(entry) = self.entries.get(uid) else { return };
        if let Some(plugin) = gate(&entry.pod) {
            self.keep_out(uid, plugin, now);
            return;
        }
        self.turn += 1;
        let rank = self.rank(entry);
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.place = Place::Active(rank);
        self.active.insert((rank, uid.to_owned()));
    }

    fn keep_out(&mut self, uid: &str, plugin: &'static str, now: Instant) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.plugins.insert(plugin);
            self.wait(uid, now);
        }
    }

    fn wait(&mut self, uid: &str, now: Instant) {
        let until = now + MAX_UNSCHEDULABLE;
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.place = Place::Unschedulable(until);
            self.unschedulable.insert((until, uid.to_owned()));
        }
    }

    fn rank(&self, entry: &Entry) -> Rank {
        (Reverse(entry.pod.priority()), entry.since, self.turn)
    }

    /// When the pod may be tried again: a window after the one in which its back-off ends.
    fn backoff_until(&self, entry: &Entry) -> Instant {
        let count = if entry.errors > 0 { entry.errors } else { entry.rejections };
        if count == 0 || self.max_backoff.is_zero() {
            return entry.since;
        }
        let end = entry.since + backoff(self.initial_backoff, self.max_backoff, count);
        let windows = end.saturating_duration_since(self.epoch).as_secs();
        self.epoch + WINDOW.saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX)) + WINDOW
    }

    /// Takes the pod out of whichever line it stands in.
    fn leave(&mut self, uid: &str) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        match std::mem::replace(&mut entry.place, Place::Taken) {
            Place::Active(rank) => {
                self.active.remove(&(rank, uid.to_owned()));
            }
            Place::Backoff(until, rank) => {
                self.backoff.remove(&(until, rank, uid.to_owned()));
            }
            Place::ErrorBackoff(until) => {
                self.errors.remove(&(until, uid.to_owned()));
            }
            Place::Unschedulable(until) => {
                self.unschedulable.remove(&(until, uid.to_owned()));
            }
            Place::Taken => {}
        }
    }
}

/// The initial one after the first attempt, doubled with each, at most `max`.
fn backoff(initial: Duration, max: Duration, attempts: u32) -> Duration {
    let doubled = 2u32.saturating_pow(attempts.saturating_sub(1));
    initial.saturating_mul(doubled).min(max)
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
