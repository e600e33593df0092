//! The reading thread: one connection, jobs in order, each in a snapshot of its own.

use super::fault::Fault;
use crate::Error;
use rusqlite::{Connection, TransactionBehavior};
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

#[derive(Debug)]
pub(super) struct Reader {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(super) fn start(mut connection: Connection) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let run = move || {
            for job in queue {
                job(&mut connection);
            }
        };
        let thread = std::thread::Builder::new()
            .name("store-reader".into())
            .spawn(run)
            .map_err(|source| Error::Backend { operation: "start its reader", source: Box::new(source) })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `query` on a snapshot. One whose caller has gone is not run.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        query: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job = move |connection: &mut Connection| {
            if answer.is_closed() {
                return;
            }
            let result = snapshot(connection, query).map_err(|fault| fault.during(operation));
            // The caller may have gone in the meantime.
            let _ = answer.send(result);
        };
        let jobs = self.jobs.as_ref().ok_or(Error::Closed)?;
        jobs.send(Box::new(job)).map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

fn snapshot<T>(connection: &mut Connection, query: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let result = query(&transaction)?;
    transaction.commit()?;
    Ok(result)
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's reader panicked");
        }
    }
}
