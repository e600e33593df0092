//! The work queue of one controller: keys, deduplicated, delayed and rate limited as client-go's workqueue does.
//!
//! A key that is added while it is worked on comes again afterwards and never twice at once. It knows no work.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Namespace and name; the namespace of cluster-scoped objects is `""`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Key {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// `DefaultTypedControllerRateLimiter` of client-go `util/workqueue`: 5 ms doubling to 1000 s for each key, and ten
/// retries a second over all keys with a burst of a hundred.
const FIRST_RETRY: Duration = Duration::from_millis(5);
const LAST_RETRY: Duration = Duration::from_secs(1000);
const RETRY_EVERY: Duration = Duration::from_millis(100);
const RETRY_BURST: u32 = 100;

pub(crate) struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Default)]
struct Inner {
    ready: VecDeque<Key>,
    /// Waiting to be worked on, in `ready` or behind a worker that has the key now.
    dirty: HashSet<Key>,
    working: HashSet<Key>,
    delayed: BinaryHeap<Reverse<(Instant, Key)>>,
    /// When each delayed key is due; what else the heap has of it is void.
    due: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
    /// When the bucket of the overall limit is full again.
    bucket_full: Option<Instant>,
}

impl Inner {
    fn add(&mut self, key: Key) {
        if self.dirty.insert(key.clone()) && !self.working.contains(&key) {
            self.ready.push_back(key);
        }
    }
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::default(), wake: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, key: Key) {
        self.lock().add(key);
        self.wake.notify_one();
    }

    /// Adds a key later. One that waits already comes at the earlier of both times, and once.
    pub(crate) fn add_after(&self, key: Key, delay: Duration) {
        let due = Instant::now() + delay;
        let mut inner = self.lock();
        if inner.due.get(&key).is_some_and(|earlier| *earlier <= due) {
            return;
        }
        inner.due.insert(key.clone(), due);
        inner.delayed.push(Reverse((due, key)));
        drop(inner);
        self.wake.notify_one();
    }

    /// Adds a key that failed, after its back-off. Returns the delay.
    pub(crate) fn retry(&self, key: Key) -> Duration {
        let delay = {
            let mut inner = self.lock();
            let failures = inner.failures.entry(key.clone()).or_insert(0);
            let own = FIRST_RETRY.saturating_mul(1 << (*failures).min(30)).min(LAST_RETRY);
            *failures += 1;
            let now = Instant::now();
            let full = inner.bucket_full.unwrap_or(now).max(now) + RETRY_EVERY;
            inner.bucket_full = Some(full);
            own.max((full - now).saturating_sub(RETRY_EVERY * RETRY_BURST))
        };
        self.add_after(key, delay);
        delay
    }

    pub(crate) fn succeeded(&self, key: &Key) {
        self.lock().failures.remove(key);
    }

    /// Ends the work on a key that [`Self::next`] gave out.
    pub(crate) fn done(&self, key: &Key) {
        let mut inner = self.lock();
        inner.working.remove(key);
        if inner.dirty.contains(key) {
            inner.ready.push_back(key.clone());
            drop(inner);
            self.wake.notify_one();
        }
    }

    /// The next key to work on. Cancel-safe: a key is taken only when it is returned.
    pub(crate) async fn next(&self) -> Key {
        loop {
            let woken = self.wake.notified();
            let deadline = {
                let mut inner = self.lock();
                let now = Instant::now();
                while inner.delayed.peek().is_some_and(|Reverse((due, _))| *due <= now) {
                    if let Some(Reverse((due, key))) = inner.delayed.pop()
                        && inner.due.get(&key) == Some(&due)
                    {
                        inner.due.remove(&key);
                        inner.add(key);
                    }
                }
                if let Some(key) = inner.ready.pop_front() {
                    inner.dirty.remove(&key);
                    inner.working.insert(key.clone());
                    return key;
                }
                inner.delayed.peek().map(|Reverse((due, _))| *due)
            };
            match deadline {
                Some(due) => tokio::select! { () = woken => {}, () = sleep_until(due) => {} },
                None => woken.await,
            }
        }
    }

    pub(crate) fn depth(&self) -> usize {
        self.lock().ready.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_worked_on_twice_at_once() {
        let queue = Queue::new();
        let (a, b) = (Key::new("n", "a"), Key::new("n", "b"));
        queue.add(a.clone());
        queue.add(a.clone());
        assert_eq!(queue.next().await, a);
        queue.add(a.clone());
        queue.add(b.clone());
        assert_eq!(queue.next().await, b);
        queue.done(&a);
        assert_eq!(queue.next().await, a);
        assert_eq!(queue.depth(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn retries_double_until_success() {
        let queue = Queue::new();
        let key = Key::new("n", "a");
        let delays: Vec<_> = (0..4).map(|_| queue.retry(key.clone()).as_millis()).collect();
        assert_eq!(delays, [5, 10, 20, 40]);
        queue.succeeded(&key);
        assert_eq!(queue.retry(key.clone()).as_millis(), 5);
        let last = (0..30).map(|_| queue.retry(key.clone())).max();
        assert_eq!(last, Some(LAST_RETRY));
    }

    #[tokio::test(start_paused = true)]
    async fn many_failing_keys_share_ten_retries_a_second() {
        let queue = Queue::new();
        let delay = |i: usize| queue.retry(Key::new("", &i.to_string())).as_millis();
        let delays: Vec<_> = (0..110).map(delay).collect();
        assert_eq!((delays[0], delays[99], delays[100], delays[109]), (5, 5, 100, 1000));
    }

    #[tokio::test(start_paused = true)]
    async fn delayed_keys_come_when_due_and_in_order() {
        let queue = Queue::new();
        queue.add_after(Key::new("", "late"), Duration::from_secs(9));
        queue.add_after(Key::new("", "soon"), Duration::from_secs(1));
        let begin = Instant::now();
        assert_eq!(&*queue.next().await.name, "soon");
        assert_eq!(&*queue.next().await.name, "late");
        assert_eq!(begin.elapsed(), Duration::from_secs(9));
    }

    /// `TestDeduping` of client-go's delaying queue.
    #[tokio::test(start_paused = true)]
    async fn a_key_is_delayed_once_to_the_earlier_time() {
        let queue = Queue::new();
        let (begin, key) = (Instant::now(), Key::new("", "a"));
        for seconds in [20, 10, 30] {
            queue.add_after(key.clone(), Duration::from_secs(seconds));
        }
        assert_eq!(queue.next().await, key);
        assert_eq!(begin.elapsed(), Duration::from_secs(10));
        queue.done(&key);
        let again = tokio::time::timeout(Duration::from_mins(1), queue.next()).await;
        assert!(again.is_err(), "the other times are void");
    }
}
