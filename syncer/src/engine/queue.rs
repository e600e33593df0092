//! A queue of keys: each once, never two workers on the same one, failures come back later and later.
//!
//! A key carries no data: what is to be done is found out when it is worked on.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_mins(1));

pub(crate) struct Queue<K> {
    state: Mutex<State<K>>,
    wake: Notify,
}

struct State<K> {
    ready: VecDeque<K>,
    /// Keys in `ready`.
    waiting: HashSet<K>,
    running: HashSet<K>,
    /// Running keys that were added meanwhile.
    again: HashSet<K>,
    timeline: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
}

impl<K: Clone + Eq + Ord + Hash> Queue<K> {
    pub(crate) fn new() -> Self {
        let state = State {
            ready: VecDeque::new(),
            waiting: HashSet::new(),
            running: HashSet::new(),
            again: HashSet::new(),
            timeline: BTreeSet::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
        };
        Self { state: Mutex::new(state), wake: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, key: K) {
        self.lock().add(key);
        self.wake.notify_one();
    }

    /// Adds the key after a while; of several such wishes the earliest counts.
    pub(crate) fn add_after(&self, key: K, delay: Duration) {
        let at = Instant::now() + delay;
        let mut state = self.lock();
        if state.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        state.forget_due(&key);
        state.due.insert(key.clone(), at);
        state.timeline.insert((at, key));
        drop(state);
        self.wake.notify_one();
    }

    /// The next key; it must be given back with [`Queue::done`] or [`Queue::failed`]. Cancel-safe.
    pub(crate) async fn next(&self) -> K {
        loop {
            let earliest = {
                let mut state = self.lock();
                state.promote(Instant::now());
                if let Some(key) = state.take() {
                    if !state.ready.is_empty() {
                        self.wake.notify_one();
                    }
                    return key;
                }
                state.timeline.first().map(|(at, _)| *at)
            };
            match earliest {
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.wake.notified() => {}
                },
                None => self.wake.notified().await,
            }
        }
    }

    pub(crate) fn done(&self, key: &K) {
        let mut state = self.lock();
        state.failures.remove(key);
        state.finish(key);
        drop(state);
        self.wake.notify_one();
    }

    /// Gives the key back to be worked on again after a while that doubles with each failure in a row.
    pub(crate) fn failed(&self, key: &K) {
        let mut state = self.lock();
        let failures = state.failures.entry(key.clone()).or_insert(0);
        let delay = BACKOFF.0.saturating_mul(1 << (*failures).min(16)).min(BACKOFF.1);
        *failures += 1;
        state.finish(key);
        drop(state);
        self.add_after(key.clone(), delay);
    }
}

impl<K: Clone + Eq + Ord + Hash> State<K> {
    fn add(&mut self, key: K) {
        if self.running.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn forget_due(&mut self, key: &K) {
        if let Some(at) = self.due.remove(key) {
            self.timeline.remove(&(at, key.clone()));
        }
    }

    fn promote(&mut self, now: Instant) {
        while let Some((at, key)) = self.timeline.first().cloned() {
            if at > now {
                return;
            }
            self.forget_due(&key);
            self.add(key);
        }
    }

    fn take(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.waiting.remove(&key);
        self.forget_due(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    fn finish(&mut self, key: &K) {
        self.running.remove(key);
        if self.again.remove(key) {
            self.add(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_worked_on_once_at_a_time() {
        let queue = Queue::new();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.next().await, "b");
        assert!(tokio::time::timeout(Duration::from_secs(1), queue.next()).await.is_err());
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn delays_end_in_order_and_the_earliest_wish_counts() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add_after("late", Duration::from_secs(5));
        queue.add_after("soon", Duration::from_secs(9));
        queue.add_after("soon", Duration::from_secs(1));
        queue.add_after("soon", Duration::from_secs(7));
        assert_eq!((queue.next().await, start.elapsed().as_secs()), ("soon", 1));
        queue.done(&"soon");
        assert_eq!((queue.next().await, start.elapsed().as_secs()), ("late", 5));
        assert!(tokio::time::timeout(Duration::from_mins(1), queue.next()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_until_a_success() {
        let queue = Queue::new();
        queue.add("a");
        let mut waits = Vec::new();
        for _ in 0..3 {
            let start = Instant::now();
            let key = queue.next().await;
            waits.push(start.elapsed().as_millis());
            queue.failed(&key);
        }
        assert_eq!(waits, [0, 50, 100]);
        let key = queue.next().await;
        queue.done(&key);
        queue.add("a");
        let start = Instant::now();
        let key = queue.next().await;
        queue.failed(&key);
        queue.next().await;
        assert_eq!(start.elapsed().as_millis(), 50);
    }
}
