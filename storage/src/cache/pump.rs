//! Takes committed changes from the store into the cache, in order, and insists that none is missing.

use super::Shared;
use crate::{Error, Revision};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;

/// How many changes are applied under one lock.
const GULP: usize = 512;

/// How long to wait after the store has failed to give its changes.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs until the store is closed or history has a hole. Then the cache is closed: it must not serve a state that it
/// cannot vouch for.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let error = match follow(&shared).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        match error {
            Stop::Hole { applied, found } => {
                tracing::error!(%applied, %found, "history has a hole; the watch cache stops");
                break;
            }
            Stop::Store(Error::Closed) => break,
            Stop::Store(error @ (Error::Compacted { .. } | Error::Future { .. })) => {
                tracing::error!(%error, "the watch cache and its store have parted; the cache stops");
                break;
            }
            Stop::Store(error) => {
                tracing::warn!(%error, "the watch cache lost its store and follows it again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    shared.close();
}

enum Stop {
    Store(Error),
    Hole { applied: Revision, found: Revision },
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

async fn follow(shared: &Shared) -> Result<std::convert::Infallible, Stop> {
    let changes = shared.inner.watch(None, shared.applied()).await?;
    let mut chunks = changes.ready_chunks(GULP);
    while let Some(chunk) = chunks.next().await {
        let mut failed = None;
        let mut state = shared.lock();
        let mut events = Vec::with_capacity(chunk.len());
        for change in chunk {
            let event = match change {
                Ok(event) => event,
                Err(error) => {
                    failed = Some(Stop::Store(error));
                    break;
                }
            };
            let Some(event) = state.apply(&event) else {
                failed = Some(Stop::Hole { applied: state.applied(), found: event.revision() });
                break;
            };
            events.push(Arc::new(event));
        }
        // The ring is filled while the state is locked: a snapshot and the ring always agree.
        shared.ring.push(&events);
        let applied = state.applied();
        drop(state);
        shared.progress.send_modify(|progress| progress.applied = applied);
        if let Some(failed) = failed {
            return Err(failed);
        }
    }
    Err(Stop::Store(Error::Closed))
}
