//! A priority level at work: its queues behind a lock, and the seats that requests hold.
//!
//! A request that goes away gives its seat, or its place in a queue, back by being dropped.

use super::demand::Demand;
use super::dropped::Dropped;
use super::queue_set::{Arrival, Discipline, Id, QueueSet, Work};
use super::spec::LevelSpec;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

type Tell = oneshot::Sender<()>;

/// See the module.
pub struct Level {
    pub name: String,
    state: Mutex<State>,
}

struct State {
    set: QueueSet<Tell>,
    spec: LevelSpec,
    limits: Limits,
    demand: Demand,
    dropped: Dropped,
    /// For the seconds that refusals are counted by.
    began: Instant,
}

/// How many seats a level may have: by its share, and when it lends and borrows all that it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub nominal: usize,
    pub min: usize,
    pub max: usize,
}

/// A level as adjustments see it.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub exempt: bool,
    pub limits: Limits,
    pub current: usize,
    pub demand: Demand,
}

/// The seats of a request that runs, or its place in a queue; given back on drop.
pub struct Seat {
    level: Arc<Level>,
    id: Id,
}

/// Come back after so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub u64);

impl Level {
    pub fn new(name: &str, spec: LevelSpec, limits: Limits) -> Self {
        let now = Instant::now();
        let current = limits.nominal - (limits.nominal - limits.min) / 2;
        let state = State {
            set: QueueSet::new(spec.discipline, current, now),
            spec,
            limits,
            demand: Demand::default(),
            dropped: Dropped::default(),
            began: now,
        };
        Self { name: name.to_owned(), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a changed configuration; the present limit stays until the next adjustment.
    pub fn configure(&self, spec: LevelSpec, limits: Limits) {
        let mut state = self.lock();
        (state.spec, state.limits) = (spec, limits);
        let (discipline, limit) = (state.spec.discipline, state.set.limit());
        tell(state.set.configure(discipline, limit, Instant::now()));
    }

    pub fn spec(&self) -> LevelSpec {
        self.lock().spec.clone()
    }

    pub fn uid(&self) -> Arc<str> {
        self.lock().spec.uid.clone()
    }

    /// Reads the demand of the period that ends now.
    pub fn standing(&self) -> Standing {
        let mut state = self.lock();
        let reading = state.set.read_demand(Instant::now());
        state.demand.update(&reading);
        Standing {
            exempt: state.spec.discipline == Discipline::Exempt,
            limits: state.limits,
            current: state.set.limit(),
            demand: state.demand,
        }
    }

    pub fn set_limit(&self, limit: usize) {
        let mut state = self.lock();
        if state.set.limit() != limit {
            let discipline = state.spec.discipline;
            tell(state.set.configure(discipline, limit, Instant::now()));
        }
    }

    /// The most seats one request should take here, so that a hand of queues full of such requests fits.
    pub fn widest(&self) -> Option<usize> {
        let state = self.lock();
        let Discipline::Queue(queuing) = state.spec.discipline else { return None };
        let nominal = state.limits.nominal;
        Some((nominal * 15).div_ceil(100).min(nominal / queuing.hand.max(1)).max(1))
    }

    /// The seats that its share gives it.
    pub fn nominal(&self) -> usize {
        self.lock().limits.nominal
    }

    /// Requests that wait, those that run, and the seats there are.
    pub fn counts(&self) -> (usize, usize, usize) {
        let state = self.lock();
        let (waiting, running) = state.set.counts();
        (waiting, running, state.set.limit())
    }

    /// Waits for seats, until `deadline` at most.
    pub async fn acquire(self: &Arc<Self>, work: Work, hash: u64, deadline: Instant) -> Result<Seat, Refused> {
        let (arrival, receiver) = self.arrive(work, hash);
        let seat = match arrival {
            Arrival::Rejected => return Err(self.refuse()),
            Arrival::Runs(id) | Arrival::Waits(id) => Seat { level: self.clone(), id },
        };
        let Some(receiver) = receiver else { return Ok(seat) };
        match tokio::time::timeout_at(deadline, receiver).await {
            Ok(Ok(())) => Ok(seat),
            _ => Err(self.refuse()),
        }
    }

    fn arrive(&self, work: Work, hash: u64) -> (Arrival, Option<oneshot::Receiver<()>>) {
        let mut state = self.lock();
        let (arrival, others) = state.set.arrive(work, hash, Instant::now());
        tell(others);
        let Arrival::Waits(id) = arrival else { return (arrival, None) };
        let (sender, receiver) = oneshot::channel();
        state.set.attach(id, sender);
        (arrival, Some(receiver))
    }

    fn refuse(&self) -> Refused {
        let mut state = self.lock();
        // Seconds begin at 1: upstream's at 1970, which is as far from the 0 of "never".
        let second = 1 + state.began.elapsed().as_secs();
        Refused(state.dropped.record(second))
    }

    fn leave(&self, id: Id) -> Option<Duration> {
        let (linger, others) = self.lock().set.leave(id, Instant::now());
        tell(others);
        linger
    }

    fn release(&self, id: Id) {
        tell(self.lock().set.release(id, Instant::now()));
    }
}

/// Who is gone by now gives the seat back by itself.
fn tell(senders: Vec<Tell>) {
    for sender in senders {
        let _ = sender.send(());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(linger) = self.level.leave(self.id) else { return };
        let (level, id) = (self.level.clone(), self.id);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(linger).await;
                level.release(id);
            })),
            Err(_) => level.release(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue_set::Queuing;
    use super::*;

    fn level(limit: usize) -> Arc<Level> {
        let discipline = Discipline::Queue(Queuing { queues: 1, hand: 1, length: 2 });
        let spec = LevelSpec { discipline, ..LevelSpec::default() };
        Arc::new(Level::new("l", spec, Limits { nominal: limit, min: limit, max: limit }))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(15)
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_seat_goes_to_who_waits() {
        let level = level(1);
        let first = level.acquire(Work::seats(1), 0, soon()).await.map_err(|r| r.0).unwrap();
        let second = tokio::spawn({
            let level = level.clone();
            async move { level.acquire(Work::seats(1), 0, soon()).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert_eq!(level.counts(), (1, 1, 1));
        drop(first);
        assert!(second.await.unwrap());
        assert_eq!(level.counts(), (0, 0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_has_an_end_and_so_has_the_queue() {
        let level = level(1);
        let _held = level.acquire(Work::seats(1), 0, soon()).await.map_err(|r| r.0).unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let level = level.clone();
                tokio::spawn(async move { level.acquire(Work::seats(1), 0, soon()).await.err() })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(level.acquire(Work::seats(1), 0, soon()).await.err(), Some(Refused(1)));
        for waited in waiting {
            assert!(waited.await.unwrap().is_some());
        }
        assert_eq!(level.counts(), (0, 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn last_seats_are_released_later() {
        let level = level(1);
        let work = Work { initial: 1, last: 1, linger: Duration::from_secs(1) };
        drop(level.acquire(work, 0, soon()).await.map_err(|r| r.0).unwrap());
        let started = Instant::now();
        assert!(level.acquire(Work::seats(1), 0, soon()).await.is_ok());
        assert_eq!(started.elapsed(), Duration::from_secs(1));
    }
}
