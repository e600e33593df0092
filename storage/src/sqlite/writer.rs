//! The queue of writes, and who takes it to the file: a caller that finds nobody else at it, else a thread of its own.
//! Either way what waits together is committed together, and what is committed is published before it is answered.
//!
//! A lone caller so waits for the file and for nobody to wake up, twice; and crowds still share one flush.

use super::commit::{Request, commit};
use super::fault::Fault;
use super::{PAGE, compact, log, row};
use crate::ring::Ring;
use crate::{Check, Error, Event, Revision, Write};
use rusqlite::Connection;
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot};

/// How many callers share a commit at most, and how many may wait for the next.
const BATCH: usize = 512;

type Answer<T> = oneshot::Sender<Result<T, Error>>;

#[derive(Debug)]
enum Command {
    Transact(Request, Answer<Vec<Revision>>),
    Promise(Revision, Answer<()>),
    Forget(Answer<bool>),
}

#[derive(Debug)]
pub(super) struct Writer {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    desk: Mutex<Desk>,
    bell: Bell,
}

/// What one needs to commit; whoever holds it is the only one who does.
#[derive(Debug)]
struct Desk {
    // Dropped in this order: the file is let go of last.
    connection: Connection,
    queue: mpsc::Receiver<Command>,
    ring: Arc<Ring<Event>>,
    _lock: File,
}

/// Tells the thread that somebody counts on it.
#[derive(Debug, Default)]
struct Bell {
    state: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rung {
    #[default]
    No,
    Yes,
    /// For the last time.
    Closed,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bell {
    fn ring(&self, rung: Rung) {
        *lock(&self.state) = rung;
        self.changed.notify_one();
    }

    fn wait(&self) -> Rung {
        let waiting = self.changed.wait_while(lock(&self.state), |rung| *rung == Rung::No);
        std::mem::take(&mut waiting.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Writer {
    pub(super) fn start(connection: Connection, lock: File, ring: Arc<Ring<Event>>) -> Result<Self, Error> {
        let (commands, queue) = mpsc::channel(BATCH);
        let desk = Mutex::new(Desk { connection, queue, ring: ring.clone(), _lock: lock });
        let shared = Arc::new(Shared { desk, bell: Bell::default() });
        let run = {
            let shared = shared.clone();
            move || {
                let _closing = Closing(ring);
                shared.run();
            }
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(run)
            .map_err(|source| Error::Backend { operation: "start its writer", source: Box::new(source) })?;
        Ok(Self { commands, shared, thread: Some(thread) })
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, Error> {
        let (answer, mut answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| Error::Closed)?;
        if may_block() {
            // Others of the same task may be about to ask as well, and share the commit.
            tokio::task::yield_now().await;
            if let Ok(answer) = answered.try_recv() {
                return answer;
            }
            let desk = match self.shared.desk.try_lock() {
                Ok(desk) => Some(desk),
                Err(TryLockError::Poisoned(desk)) => Some(desk.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            };
            match desk {
                Some(mut desk) => tokio::task::block_in_place(move || _ = desk.take()),
                // Whoever is there may have looked at the queue before.
                None => self.shared.bell.ring(Rung::Yes),
            }
        } else {
            self.shared.bell.ring(Rung::Yes);
        }
        answered.await.map_err(|_| Error::Closed)?
    }

    pub(super) async fn transact(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<Vec<Revision>, Error> {
        self.ask(|answer| Command::Transact(Request { checks, writes }, answer)).await
    }

    /// Each step goes through the queue, so that writes pass between them.
    pub(super) async fn compact(&self, through: Revision) -> Result<(), Error> {
        self.ask(|answer| Command::Promise(through, answer)).await?;
        while self.ask(Command::Forget).await? {}
        Ok(())
    }
}

/// Whether the runtime has other threads for its other tasks.
fn may_block() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.bell.ring(Rung::Closed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

/// Tells the watchers when the writer is gone, however it went.
struct Closing(Arc<Ring<Event>>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let rung = self.bell.wait();
            while lock(&self.desk).take() {}
            if rung == Rung::Closed {
                return;
            }
        }
    }
}

impl Desk {
    /// Serves what waits, up to a batch; false when nothing did.
    fn take(&mut self) -> bool {
        let mut batch = Vec::new();
        let mut served = 0;
        while served < BATCH
            && let Ok(command) = self.queue.try_recv()
        {
            served += 1;
            match command {
                // Nobody waits for it any more and nothing has happened yet.
                Command::Transact(_, answer) if answer.is_closed() => {}
                Command::Transact(request, answer) => batch.push((request, answer)),
                Command::Promise(through, answer) => {
                    let done = compact::promise(&mut self.connection, through);
                    let _ = answer.send(done.map_err(|fault| fault.during("compact")));
                }
                Command::Forget(answer) => {
                    let done = compact::step(&mut self.connection);
                    let _ = answer.send(done.map_err(|fault| fault.during("compact")));
                }
            }
        }
        transact(&mut self.connection, &self.ring, batch);
        served > 0
    }
}

/// Commits a batch and answers its callers. When the database refuses the whole, each request is tried alone, so that
/// one that cannot be stored fails alone.
fn transact(connection: &mut Connection, ring: &Ring<Event>, batch: Vec<(Request, Answer<Vec<Revision>>)>) {
    let requests: Vec<&Request> = batch.iter().map(|(request, _)| request).collect();
    let answers = match commit_and_publish(connection, ring, &requests) {
        Ok(answers) => answers,
        Err(fault) if requests.len() == 1 => vec![Err(fault.during("commit"))],
        Err(fault) => {
            tracing::warn!(error = ?fault, requests = requests.len(), "a group commit failed; committing one by one");
            requests
                .iter()
                .map(|request| match commit_and_publish(connection, ring, &[request]) {
                    Ok(mut answers) => answers.pop().unwrap_or(Err(Error::Closed)),
                    Err(fault) => Err(fault.during("commit")),
                })
                .collect()
        }
    };
    for ((_, answer), result) in batch.into_iter().zip(answers) {
        // A caller that has gone in the meantime has lost its answer, not its write.
        let _ = answer.send(result);
    }
}

fn commit_and_publish(
    connection: &mut Connection,
    ring: &Ring<Event>,
    requests: &[&Request],
) -> Result<Vec<Result<Vec<Revision>, Error>>, Fault> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    // A commit that failed after all its data was safe has happened without anybody being told: the file says so.
    if row::counter(connection)?.revision != ring.last() {
        republish(connection, ring)?;
    }
    let committed = commit(connection, requests)?;
    ring.push(&committed.events);
    Ok(committed.answers)
}

fn republish(connection: &Connection, ring: &Ring<Event>) -> Result<(), Fault> {
    loop {
        let changes = log::page(connection, None, ring.last(), PAGE)?;
        if changes.events.is_empty() {
            return Ok(());
        }
        ring.push(&changes.events);
    }
}
