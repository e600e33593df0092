//! Fair queuing of requests over seats (k8s.io/apiserver `pkg/util/flowcontrol/fairqueuing/queueset`; the theory is in its
//! `doc.go` and in KEP-1040).
//!
//! A pure state machine: time comes in with every call, and what was dispatched comes out of it. Only queues that somebody
//! waits or runs in exist; an empty queue has no state that its next request would see.

use super::dealer;
use super::demand::{Integrator, Reading};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// How long a request is believed to take until it is known, in seconds.
const SERVICE: f64 = 0.003;

/// What becomes of requests beyond the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// There is no limit; requests are counted only.
    Exempt,
    Reject,
    Queue(Queuing),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queuing {
    pub queues: usize,
    pub hand: usize,
    pub length: usize,
}

/// What a request costs: seats while it runs, then seats for a while after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    pub initial: usize,
    pub last: usize,
    pub linger: Duration,
}

impl Work {
    pub const fn seats(initial: usize) -> Self {
        Self { initial, last: 0, linger: Duration::ZERO }
    }

    fn widest(&self) -> usize {
        self.initial.max(self.last)
    }

    fn after(&self) -> f64 {
        self.last as f64 * self.linger.as_secs_f64()
    }

    /// In seat-seconds.
    fn total(&self) -> f64 {
        self.initial as f64 * SERVICE + self.after()
    }
}

/// Names a request within its set.
pub type Id = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    Runs(Id),
    Waits(Id),
    Rejected,
}

struct Waiting<T> {
    id: Id,
    work: Work,
    /// The progress meter at its arrival.
    arrived: f64,
    tag: Option<T>,
}

struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    running: usize,
    seats: usize,
    /// The progress meter at which its next request is dispatched in the virtual world.
    next: f64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), running: 0, seats: 0, next: 0.0 }
    }
}

impl<T> Queue<T> {
    /// A dispatch in the virtual world does not precede the arrival: who left seats unused has no claim on them later.
    fn bound(&mut self) {
        if let Some(first) = self.waiting.front() {
            self.next = self.next.max(first.arrived);
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running == 0
    }
}

struct Running {
    queue: Option<usize>,
    work: Work,
    since: Instant,
    /// None while it runs; when it ended, while its last seats are still taken.
    ended: bool,
}

/// One priority level's requests. `T` is what the caller wants back when a waiting request may run.
pub struct QueueSet<T> {
    discipline: Discipline,
    limit: usize,
    /// The progress meter R, in seat-seconds per active queue.
    progress: f64,
    synced: Instant,
    queues: BTreeMap<usize, Queue<T>>,
    running: HashMap<Id, Running>,
    robin: usize,
    arrivals: usize,
    next_id: Id,
    requests_waiting: usize,
    requests_running: usize,
    seats_waiting: usize,
    seats_taken: usize,
    demand: Integrator,
}

impl<T> QueueSet<T> {
    pub fn new(discipline: Discipline, limit: usize, now: Instant) -> Self {
        Self {
            discipline,
            limit,
            progress: 0.0,
            synced: now,
            queues: BTreeMap::new(),
            running: HashMap::new(),
            robin: 0,
            arrivals: 0,
            next_id: 0,
            requests_waiting: 0,
            requests_running: 0,
            seats_waiting: 0,
            seats_taken: 0,
            demand: Integrator::new(now),
        }
    }

    /// Takes another configuration; who waits stays where it waits. Answers those who may run now.
    pub fn configure(&mut self, discipline: Discipline, limit: usize, now: Instant) -> Vec<T> {
        self.sync(now);
        self.discipline = discipline;
        self.limit = limit;
        self.dispatch(now)
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn is_idle(&self) -> bool {
        self.requests_waiting == 0 && self.requests_running == 0
    }

    /// Requests that wait, and those that run.
    pub fn counts(&self) -> (usize, usize) {
        (self.requests_waiting, self.requests_running)
    }

    pub fn read_demand(&mut self, now: Instant) -> Reading {
        self.demand.read(now)
    }

    /// A request arrives. `hash` names its flow. When it waits, [`Self::attach`] says whom to tell. Answers with others that
    /// may run too.
    pub fn arrive(&mut self, work: Work, hash: u64, now: Instant) -> (Arrival, Vec<T>) {
        self.sync(now);
        self.next_id += 1;
        let id = self.next_id;
        let Discipline::Queue(queuing) = self.discipline else {
            if self.discipline == Discipline::Reject && !self.fits(work.widest()) {
                return (Arrival::Rejected, Vec::new());
            }
            self.run(id, None, work, now);
            return (Arrival::Runs(id), Vec::new());
        };
        let index = self.choose(queuing, hash);
        let progress = self.progress;
        let full = self.seats_taken >= self.limit;
        let queue = self.queues.entry(index).or_default();
        if full && queue.waiting.len() >= queuing.length {
            queue.bound();
            self.forget_if_empty(index);
            return (Arrival::Rejected, Vec::new());
        }
        if queue.is_idle() {
            queue.next = progress;
        }
        queue.waiting.push_back(Waiting { id, work, arrived: progress, tag: None });
        queue.bound();
        self.requests_waiting += 1;
        self.seats_waiting += work.widest();
        self.note_demand(now);
        let others = self.dispatch(now);
        let runs = self.running.contains_key(&id);
        (if runs { Arrival::Runs(id) } else { Arrival::Waits(id) }, others)
    }

    /// Says what comes out when the waiting request may run.
    pub fn attach(&mut self, id: Id, tag: T) {
        let mut waiting = self.queues.values_mut().flat_map(|queue| queue.waiting.iter_mut());
        if let Some(found) = waiting.find(|w| w.id == id) {
            found.tag = Some(tag);
        }
    }

    /// A request ends, or gives up waiting. Answers how long its last seats stay taken, after which [`Self::release`] is
    /// due, and who may run now.
    pub fn leave(&mut self, id: Id, now: Instant) -> (Option<Duration>, Vec<T>) {
        self.sync(now);
        let Some(ended) = self.running.get_mut(&id).filter(|running| !running.ended) else {
            self.give_up(id, now);
            return (None, Vec::new());
        };
        ended.ended = true;
        let (work, index, since) = (ended.work, ended.queue, ended.since);
        self.requests_running -= 1;
        if let Some(queue) = index.and_then(|index| self.queues.get_mut(&index)) {
            queue.running -= 1;
            // What was believed about its duration is corrected by what it took.
            let took = now.saturating_duration_since(since).as_secs_f64();
            queue.next -= work.initial as f64 * (SERVICE - took);
            queue.bound();
        }
        if work.linger.is_zero() {
            return (None, self.release(id, now));
        }
        (Some(work.linger), self.dispatch(now))
    }

    /// The last seats of an ended request become free. Answers who may run now.
    pub fn release(&mut self, id: Id, now: Instant) -> Vec<T> {
        self.sync(now);
        let Some(running) = self.running.remove(&id) else { return Vec::new() };
        let seats = running.work.widest();
        self.seats_taken -= seats;
        if let Some(index) = running.queue {
            if let Some(queue) = self.queues.get_mut(&index) {
                queue.seats -= seats;
            }
            self.forget_if_empty(index);
        }
        self.note_demand(now);
        self.dispatch(now)
    }

    fn give_up(&mut self, id: Id, now: Instant) {
        let place = self.queues.iter().find_map(|(index, queue)| {
            queue.waiting.iter().position(|waiting| waiting.id == id).map(|at| (*index, at))
        });
        let Some((index, at)) = place else { return };
        let Some(queue) = self.queues.get_mut(&index) else { return };
        let Some(gone) = queue.waiting.remove(at) else { return };
        queue.bound();
        self.requests_waiting -= 1;
        self.seats_waiting -= gone.work.widest();
        self.forget_if_empty(index);
        self.note_demand(now);
    }

    fn forget_if_empty(&mut self, index: usize) {
        if self.queues.get(&index).is_some_and(|queue| queue.is_idle() && queue.seats == 0) {
            self.queues.remove(&index);
        }
    }

    fn note_demand(&mut self, now: Instant) {
        self.demand.set(now, (self.seats_taken + self.seats_waiting) as f64);
    }

    /// Moves the progress meter on, as far as the queues have been served since.
    fn sync(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.synced).as_secs_f64();
        self.synced = now;
        let active = self.queues.values().filter(|queue| !queue.is_idle()).count();
        if active > 0 {
            let wanted = self.seats_waiting + self.queues.values().map(|queue| queue.seats).sum::<usize>();
            self.progress += passed * wanted.min(self.limit) as f64 / active as f64;
        }
    }

    /// The queue of the flow's hand in which least work waits. Where the search begins changes, so that flows with
    /// overlapping hands do not all prefer the same queue.
    fn choose(&mut self, queuing: Queuing, hash: u64) -> usize {
        let hand = dealer::deal(hash, queuing.queues, queuing.hand);
        let offset = self.arrivals % hand.len().max(1);
        self.arrivals = self.arrivals.wrapping_add(1);
        let waiting = |index: &usize| {
            let queue = self.queues.get(index);
            queue.map_or(0.0, |queue| queue.waiting.iter().map(|w| w.work.total()).sum::<f64>())
        };
        let order = hand[offset..].iter().chain(&hand[..offset]);
        order.copied().min_by(|a, b| waiting(a).total_cmp(&waiting(b))).unwrap_or_default()
    }

    fn fits(&self, seats: usize) -> bool {
        match self.discipline {
            Discipline::Exempt => true,
            // Wider than everything there is: alone, or never.
            _ if seats > self.limit => self.requests_running == 0,
            _ => self.seats_taken + seats <= self.limit,
        }
    }

    fn dispatch(&mut self, now: Instant) -> Vec<T> {
        let mut told = Vec::new();
        while self.requests_waiting > 0 && self.seats_taken < self.limit {
            let Some(index) = self.next_queue() else { break };
            let limit = self.limit;
            let Some(queue) = self.queues.get_mut(&index) else { break };
            let Some(first) = queue.waiting.front().map(|w| w.work.widest()) else { break };
            if !self.fits(first) {
                break;
            }
            let Some(queue) = self.queues.get_mut(&index) else { break };
            let Some(mut next) = queue.waiting.pop_front() else { break };
            self.robin = index;
            self.requests_waiting -= 1;
            self.seats_waiting -= next.work.widest();
            queue.next += next.work.total();
            queue.bound();
            if next.work.last > limit {
                // The same work, narrower and longer.
                next.work.linger = Duration::try_from_secs_f64(next.work.after() / limit as f64).unwrap_or_default();
                next.work.last = limit;
            }
            self.run(next.id, Some(index), next.work, now);
            told.extend(next.tag);
        }
        told
    }

    fn run(&mut self, id: Id, queue: Option<usize>, work: Work, now: Instant) {
        let seats = work.widest();
        self.requests_running += 1;
        self.seats_taken += seats;
        if let Some(queue) = queue.and_then(|index| self.queues.get_mut(&index)) {
            queue.running += 1;
            queue.seats += seats;
        }
        self.running.insert(id, Running { queue, work, since: now, ended: false });
        self.note_demand(now);
    }

    /// The queue whose first request would end first in the virtual world; of equals, the next one behind the last served.
    fn next_queue(&self) -> Option<usize> {
        let behind = self.queues.range(self.robin + 1..).chain(self.queues.range(..=self.robin));
        let ends = behind.filter_map(|(index, queue)| Some((*index, queue.next + queue.waiting.front()?.work.total())));
        ends.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
    }
}

#[cfg(test)]
#[path = "queue_set_tests.rs"]
mod tests;
