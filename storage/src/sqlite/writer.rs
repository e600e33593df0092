//! The writing thread: drains its queue into group commits, and publishes what it has committed before it answers.

use super::commit::{Request, commit};
use super::fault::Fault;
use super::{PAGE, compact, log, row};
use crate::ring::Ring;
use crate::{Check, Error, Event, Revision, Write};
use rusqlite::Connection;
use std::fs::File;
use std::sync::Arc;
use std::thread::JoinHandle;
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
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// The thread owns the lock and lets go of it last.
    pub(super) fn start(connection: Connection, lock: File, ring: Arc<Ring<Event>>) -> Result<Self, Error> {
        let (commands, queue) = mpsc::channel(BATCH);
        let run = move || {
            let closing = Closing(ring.clone());
            run(connection, queue, &ring);
            drop(closing);
            drop(lock);
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(run)
            .map_err(|source| Error::Backend { operation: "start its writer", source: Box::new(source) })?;
        Ok(Self { commands: Some(commands), thread: Some(thread) })
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or(Error::Closed)?;
        commands.send(command(answer)).await.map_err(|_| Error::Closed)?;
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

impl Drop for Writer {
    fn drop(&mut self) {
        self.commands = None;
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

fn run(mut connection: Connection, mut queue: mpsc::Receiver<Command>, ring: &Ring<Event>) {
    let mut commands = Vec::with_capacity(BATCH);
    while queue.blocking_recv_many(&mut commands, BATCH) > 0 {
        let mut batch = Vec::with_capacity(commands.len());
        for command in commands.drain(..) {
            match command {
                // Nobody waits for it any more and nothing has happened yet.
                Command::Transact(_, answer) if answer.is_closed() => {}
                Command::Transact(request, answer) => batch.push((request, answer)),
                Command::Promise(through, answer) => {
                    let done = compact::promise(&mut connection, through).map_err(|fault| fault.during("compact"));
                    let _ = answer.send(done);
                }
                Command::Forget(answer) => {
                    let done = compact::step(&mut connection).map_err(|fault| fault.during("compact"));
                    let _ = answer.send(done);
                }
            }
        }
        transact(&mut connection, ring, batch);
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
