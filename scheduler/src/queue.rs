//! The pods that wait: ready ones by priority, failed ones for their back-off, hopeless ones for an event
//! (`pkg/scheduler/backend/queue`). Knows no clock: the caller says what time it is.

use k8s_openapi::api::core::v1::Pod;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use crate::pod::{spec_of, uid_of};

const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// Where a pod stands among the ready ones: the highest priority first, then who has waited longest.
type Rank = (Reverse<i32>, u64);

#[derive(Debug)]
enum Place {
    Active(Rank),
    Backoff(Instant),
    /// Until an event that one of these plugins waits for; with none, until any event.
    Unschedulable(BTreeSet<&'static str>),
    /// Somebody is at it.
    Taken,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<Pod>,
    attempts: u32,
    /// When its back-off of the last failure ends.
    backoff_until: Option<Instant>,
    place: Place,
}

/// All pods without a node that are this scheduler's, by uid.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<String, Entry>,
    active: BTreeSet<(Rank, String)>,
    backoff: BTreeSet<(Instant, String)>,
    turn: u64,
}

impl Queue {
    /// Adds a pod or takes note of its new state; a change of what matters for scheduling ends its waiting.
    pub fn set(&mut self, pod: Arc<Pod>, now: Instant) {
        let uid = uid_of(&pod).to_owned();
        let Some(entry) = self.entries.get_mut(&uid) else {
            let entry = Entry { pod, attempts: 0, backoff_until: None, place: Place::Taken };
            self.entries.insert(uid.clone(), entry);
            self.activate(&uid);
            return;
        };
        let changed = matters(&entry.pod) != matters(&pod);
        entry.pod = pod;
        let rewoken = match &entry.place {
            Place::Unschedulable(_) => changed,
            Place::Active(_) => false,
            Place::Backoff(_) | Place::Taken => false,
        };
        if rewoken {
            self.ready(&uid, now);
        }
    }

    pub fn remove(&mut self, uid: &str) {
        self.leave(uid);
        self.entries.remove(uid);
    }

    /// The next ready pod. It stays known, as taken, until it is removed or comes back by [`Self::rejected`] or
    /// [`Self::failed`].
    pub fn pop(&mut self) -> Option<Arc<Pod>> {
        let (_, uid) = self.active.pop_first()?;
        let entry = self.entries.get_mut(&uid)?;
        entry.place = Place::Taken;
        entry.attempts += 1;
        Some(entry.pod.clone())
    }

    /// The pod fits nowhere at present.
    pub fn rejected(&mut self, uid: &str, plugins: BTreeSet<&'static str>, now: Instant) {
        self.leave(uid);
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.backoff_until = Some(now + backoff(entry.attempts));
            entry.place = Place::Unschedulable(plugins);
        }
    }

    /// Something went wrong that may be better next time.
    pub fn failed(&mut self, uid: &str, now: Instant) {
        self.leave(uid);
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.backoff_until = Some(now + backoff(entry.attempts));
            self.ready(uid, now);
        }
    }

    /// Something happened: pods that wait for it, as `helps` says of the plugins that rejected them, become ready once
    /// their back-off ends.
    pub fn wake(&mut self, helps: impl Fn(&str) -> bool, now: Instant) {
        let woken = |entry: &Entry| match &entry.place {
            Place::Unschedulable(plugins) => plugins.is_empty() || plugins.iter().any(|plugin| helps(plugin)),
            Place::Active(_) | Place::Backoff(_) | Place::Taken => false,
        };
        let uids: Vec<_> = self.entries.iter().filter(|(_, entry)| woken(entry)).map(|(uid, _)| uid.clone()).collect();
        for uid in uids {
            self.ready(&uid, now);
        }
    }

    /// The pod waits for nothing any more but its back-off.
    pub fn retry(&mut self, uid: &str, now: Instant) {
        if self.entries.get(uid).is_some_and(|entry| matches!(entry.place, Place::Unschedulable(_))) {
            self.ready(uid, now);
        }
    }

    /// Makes those ready whose back-off has ended.
    pub fn flush(&mut self, now: Instant) {
        while let Some((until, uid)) = self.backoff.first().cloned().filter(|(until, _)| *until <= now) {
            self.backoff.remove(&(until, uid.clone()));
            self.activate(&uid);
        }
    }

    /// When [`Self::flush`] has something to do.
    pub fn next_flush(&self) -> Option<Instant> {
        self.backoff.first().map(|(until, _)| *until)
    }

    pub fn has_ready(&self) -> bool {
        !self.active.is_empty()
    }

    /// The pod as last seen, while it waits or is taken.
    pub fn pod(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.entries.get(uid).map(|entry| &entry.pod)
    }

    fn ready(&mut self, uid: &str, now: Instant) {
        self.leave(uid);
        let Some(entry) = self.entries.get_mut(uid) else { return };
        match entry.backoff_until.filter(|until| *until > now) {
            Some(until) => {
                entry.place = Place::Backoff(until);
                self.backoff.insert((until, uid.to_owned()));
            }
            None => self.activate(uid),
        }
    }

    fn activate(&mut self, uid: &str) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        self.turn += 1;
        let rank = (Reverse(spec_of(&entry.pod).priority.unwrap_or(0)), self.turn);
        entry.place = Place::Active(rank);
        self.active.insert((rank, uid.to_owned()));
    }

    /// Takes the pod out of whichever line it stands in.
    fn leave(&mut self, uid: &str) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        match std::mem::replace(&mut entry.place, Place::Taken) {
            Place::Active(rank) => {
                self.active.remove(&(rank, uid.to_owned()));
            }
            Place::Backoff(until) => {
                self.backoff.remove(&(until, uid.to_owned()));
            }
            Place::Unschedulable(_) | Place::Taken => {}
        }
    }
}

/// What of a pod its owner changes to be scheduled differently.
fn matters(pod: &Pod) -> impl PartialEq + '_ {
    (pod.spec.as_ref(), pod.metadata.labels.as_ref(), pod.metadata.annotations.as_ref())
}

/// One second after the first attempt, doubled with each, at most ten.
fn backoff(attempts: u32) -> Duration {
    let doubled = 2u32.saturating_pow(attempts.saturating_sub(1).min(16));
    INITIAL_BACKOFF.saturating_mul(doubled).min(MAX_BACKOFF)
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
