//! The newest changes in memory, and the bell that wakes those who wait for more.
//!
//! One ring serves every watcher: a watcher holds a position, not a queue, so that an idle one costs nothing and a slow
//! one cannot hold memory. What leaves the ring is remembered per resource, so that a watcher knows exactly whether it
//! has missed something; a quiet resource can be watched for ever however busy the others are.

use crate::{Event, Revision};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What a ring holds.
pub(crate) trait Item: Send + Sync + 'static {
    fn revision(&self) -> Revision;
    fn resource(&self) -> &Arc<str>;
    /// The bytes that the ring keeps alive.
    fn weight(&self) -> usize;
}

/// What an event costs beside its body: itself, its entry, and its places in the queues.
pub(crate) const EVENT_OVERHEAD: usize = 320;

impl Item for Event {
    fn revision(&self) -> Revision {
        self.object.revision
    }

    fn resource(&self) -> &Arc<str> {
        &self.object.key.resource
    }

    fn weight(&self) -> usize {
        self.object.body.len() + self.previous.as_ref().map_or(0, |previous| previous.body.len()) + EVENT_OVERHEAD
    }
}

/// How much a ring holds. Bursts may fill it to the hard bounds; older events than `fresh` leave as soon as others come,
/// down to `floor`, so that an idle tenant keeps next to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Hard bound on the number of events.
    pub events: usize,
    /// Hard bound on the bytes of their bodies.
    pub bytes: usize,
    /// Events younger than this stay within the hard bounds.
    pub fresh: Duration,
    /// This many events stay however old they are.
    pub floor: usize,
}

impl Default for Bounds {
    /// 75 seconds is upstream's freshness of a watch cache (apiserver `pkg/storage/cacher`, `eventFreshDuration`).
    fn default() -> Self {
        Self { events: 16_384, bytes: 16 << 20, fresh: Duration::from_secs(75), floor: 256 }
    }
}

/// What a watcher gets when it asks.
pub(crate) enum Pull<E> {
    /// The next events after its position.
    Events(Vec<Arc<E>>),
    /// None, and none of its resource up to this revision.
    Nothing(Revision),
    /// The events after its position have left the ring.
    Fallen,
    /// None, and none will come.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Ring<E> {
    bounds: Bounds,
    held: Mutex<Held<E>>,
}

#[derive(Debug)]
struct Held<E> {
    /// Every event after this and up to `last` went through the ring.
    base: Revision,
    last: Revision,
    closed: bool,
    bytes: usize,
    everything: Lane<(Arc<E>, Instant)>,
    lanes: HashMap<Arc<str>, Lane<Arc<E>>>,
}

#[derive(Debug)]
struct Lane<T> {
    events: VecDeque<T>,
    /// The newest event that has left; zero when none has.
    evicted: Revision,
    bell: watch::Sender<Revision>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { events: VecDeque::new(), evicted: Revision(0), bell: watch::Sender::new(Revision(0)) }
    }
}

/// How many events a watcher takes at once.
const GULP: usize = 64;

impl<E: Item> Ring<E> {
    pub(crate) fn new(bounds: Bounds, base: Revision) -> Self {
        let held =
            Held { base, last: base, closed: false, bytes: 0, everything: Lane::default(), lanes: HashMap::new() };
        Self { bounds, held: Mutex::new(held) }
    }

    fn lock(&self) -> MutexGuard<'_, Held<E>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was committed, in order, and wakes those who wait for it.
    pub(crate) fn push(&self, events: &[Arc<E>]) {
        let Some(last) = events.last().map(|event| event.revision()) else { return };
        let now = Instant::now();
        let mut held = self.lock();
        let held = &mut *held;
        for event in events {
            held.bytes += event.weight();
            held.everything.events.push_back((event.clone(), now));
            match held.lanes.get_mut(event.resource()) {
                Some(lane) => lane.events.push_back(event.clone()),
                None => held.lanes.entry(event.resource().clone()).or_default().events.push_back(event.clone()),
            }
        }
        held.last = last;
        held.evict(&self.bounds, now);
        held.everything.bell.send_replace(last);
        let mut rung: Option<&Arc<str>> = None;
        for event in events {
            // Consecutive events are mostly of one resource; ringing twice is harmless.
            if rung.is_none_or(|resource| resource != event.resource()) {
                rung = Some(event.resource());
                if let Some(lane) = held.lanes.get(event.resource()) {
                    lane.bell.send_replace(last);
                }
            }
        }
    }

    /// Everyone who waits is told that nothing more comes.
    pub(crate) fn close(&self) {
        let mut held = self.lock();
        held.closed = true;
        let last = held.last;
        held.everything.bell.send_replace(last);
        for lane in held.lanes.values() {
            lane.bell.send_replace(last);
        }
    }

    /// Rings when something of the resource (or of any) has come.
    pub(crate) fn bell(&self, resource: Option<&Arc<str>>) -> watch::Receiver<Revision> {
        let mut held = self.lock();
        match resource {
            None => held.everything.bell.subscribe(),
            Some(resource) => held.lanes.entry(resource.clone()).or_default().bell.subscribe(),
        }
    }

    pub(crate) fn pull(&self, resource: Option<&Arc<str>>, after: Revision) -> Pull<E> {
        let held = self.lock();
        let events: Vec<Arc<E>> = match resource {
            None => {
                if after < held.base.max(held.everything.evicted) {
                    return Pull::Fallen;
                }
                let events = &held.everything.events;
                let from = events.partition_point(|(event, _)| event.revision() <= after);
                events.range(from..).take(GULP).map(|(event, _)| event.clone()).collect()
            }
            Some(resource) => {
                let lane = held.lanes.get(resource);
                if after < held.base.max(lane.map_or(Revision(0), |lane| lane.evicted)) {
                    return Pull::Fallen;
                }
                lane.map_or_else(Vec::new, |lane| {
                    let from = lane.events.partition_point(|event| event.revision() <= after);
                    lane.events.range(from..).take(GULP).cloned().collect()
                })
            }
        };
        match events.is_empty() {
            false => Pull::Events(events),
            true if held.closed => Pull::Closed,
            true => Pull::Nothing(held.last.max(after)),
        }
    }

    /// The events of a resource after `after`, newest first; none when some of them have left the ring.
    pub(crate) fn undo(&self, resource: &str, after: Revision) -> Option<Vec<Arc<E>>> {
        let held = self.lock();
        let lane = held.lanes.get(resource);
        if after < held.base.max(lane.map_or(Revision(0), |lane| lane.evicted)) {
            return None;
        }
        Some(lane.map_or_else(Vec::new, |lane| {
            lane.events.iter().rev().take_while(|event| event.revision() > after).cloned().collect()
        }))
    }

    /// Lets go of history up to `through`, so that nobody reads from memory what the store has been told to forget.
    pub(crate) fn forget(&self, through: Revision) {
        let mut held = self.lock();
        held.base = held.base.max(through);
        while held.everything.events.front().is_some_and(|(event, _)| event.revision() <= through) {
            held.drop_oldest();
        }
    }

    /// The newest revision that went through.
    pub(crate) fn last(&self) -> Revision {
        self.lock().last
    }
}

impl<E: Item> Held<E> {
    fn evict(&mut self, bounds: &Bounds, now: Instant) {
        while let Some((_, since)) = self.everything.events.front() {
            let count = self.everything.events.len();
            let full = count > bounds.events || self.bytes > bounds.bytes;
            let stale = count > bounds.floor && now.duration_since(*since) > bounds.fresh;
            if !full && !stale {
                break;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((event, _)) = self.everything.events.pop_front() else { return };
        self.bytes -= event.weight();
        self.everything.evicted = event.revision();
        if let Some(lane) = self.lanes.get_mut(event.resource()) {
            // Lanes hold the same events in the same order, so this lane's oldest is the one that leaves.
            lane.events.pop_front();
            lane.evicted = event.revision();
        }
        // A burst that has passed gives its memory back.
        if self.everything.events.capacity() > 1_024
            && self.everything.events.len() * 4 < self.everything.events.capacity()
        {
            self.everything.events.shrink_to_fit();
            self.lanes.values_mut().for_each(|lane| lane.events.shrink_to_fit());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Drop(u64, Arc<str>);

    impl Item for Drop {
        fn revision(&self) -> Revision {
            Revision(self.0)
        }

        fn resource(&self) -> &Arc<str> {
            &self.1
        }

        fn weight(&self) -> usize {
            10
        }
    }

    fn drops(revisions: std::ops::RangeInclusive<u64>, resource: &str) -> Vec<Arc<Drop>> {
        revisions.map(|revision| Arc::new(Drop(revision, resource.into()))).collect()
    }

    /// `fallen`, `closed`, `nothing until 7`, or the revisions.
    fn pull(ring: &Ring<Drop>, resource: Option<&str>, after: u64) -> String {
        match ring.pull(resource.map(Arc::from).as_ref(), Revision(after)) {
            Pull::Events(events) => events.iter().map(|event| event.0.to_string()).collect::<Vec<_>>().join(" "),
            Pull::Nothing(through) => format!("nothing until {through}"),
            Pull::Fallen => "fallen".into(),
            Pull::Closed => "closed".into(),
        }
    }

    #[test]
    fn each_resource_remembers_what_it_has_lost() {
        let bounds = Bounds { events: 4, bytes: 1_000, fresh: Duration::from_secs(1), floor: 4 };
        let ring = Ring::new(bounds, Revision(10));
        ring.push(&drops(11..=12, "pods"));
        ring.push(&drops(13..=13, "nodes"));
        ring.push(&drops(14..=17, "pods"));
        let cases = [
            (None, 12, "fallen"),
            (None, 13, "14 15 16 17"),
            (None, 17, "nothing until 17"),
            (Some("pods"), 11, "fallen"),
            (Some("pods"), 12, "14 15 16 17"),
            (Some("pods"), 16, "17"),
            (Some("nodes"), 12, "fallen"),
            (Some("nodes"), 13, "nothing until 17"),
            (Some("quiet"), 10, "nothing until 17"),
            (Some("quiet"), 9, "fallen"),
        ];
        for (resource, after, expected) in cases {
            assert_eq!(pull(&ring, resource, after), expected, "{resource:?} after {after}");
        }
        ring.forget(Revision(15));
        assert_eq!(pull(&ring, Some("quiet"), 14), "fallen");
        assert_eq!(pull(&ring, Some("pods"), 15), "16 17");
        ring.close();
        assert_eq!(pull(&ring, Some("pods"), 15), "16 17");
        assert_eq!(pull(&ring, Some("pods"), 17), "closed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_kept_while_it_is_fresh() {
        let bounds = Bounds { events: 100, bytes: 600, fresh: Duration::from_secs(10), floor: 2 };
        let ring = Ring::new(bounds, Revision(0));
        ring.push(&drops(1..=50, "pods"));
        tokio::time::advance(Duration::from_secs(9)).await;
        ring.push(&drops(51..=51, "pods"));
        assert_eq!(pull(&ring, None, 0).split(' ').count(), 51);
        // The bytes are a hard bound.
        ring.push(&drops(52..=70, "pods"));
        assert_eq!(pull(&ring, None, 9), "fallen");
        assert_eq!(pull(&ring, None, 10).split(' ').count(), 60);
        // What is stale goes when something comes, down to the floor.
        tokio::time::advance(Duration::from_secs(11)).await;
        ring.push(&drops(71..=71, "nodes"));
        assert_eq!(pull(&ring, None, 69), "70 71");
        assert_eq!(pull(&ring, None, 68), "fallen");
    }
}
