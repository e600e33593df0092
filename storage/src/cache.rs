//! The watch cache: the current state of a store in memory, its newest history, and everybody who watches.
//!
//! It wraps a [`Storage`] and is one. Reads and watches are served from memory, writes go to the store; when `transact`
//! returns, the cache has applied them. Lists at a recent revision undo the newest changes on a snapshot; older ones, and
//! watches from before the ring, go to the store's own log. It never answers with a state older than the caller has
//! seen through it, and never skips an event: a watcher that the ring has overtaken ends with [`Error::TooSlow`].
//!
//! An object costs its body, about 300 bytes with its name, and what the server keeps in [`Entry::head`]; an event in the
//! ring shares the bodies with the state and costs about 320 bytes besides (`examples/writes.rs` measures both).

mod entry;
mod event;
mod follow;
mod list;
mod pump;
mod state;
mod store;

pub use entry::{Entry, Name, Slot};
pub use event::Event;
pub use follow::Follow;
pub use list::{EntryPage, Snapshot};

use crate::ring::Ring;
use crate::{Bounds, Error, Key, Range, Revision, Storage};
use state::State;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// See the module. Dropping it ends its watchers with [`Error::Closed`].
#[derive(Debug)]
pub struct Cache {
    shared: Arc<Shared>,
    pump: JoinHandle<()>,
}

struct Shared {
    inner: Arc<dyn Storage>,
    state: Mutex<State>,
    ring: Arc<Ring<Event>>,
    progress: watch::Sender<Progress>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("progress", &self.progress).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    applied: Revision,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn applied(&self) -> Revision {
        self.progress.borrow().applied
    }

    async fn wait(&self, revision: Revision) -> Result<(), Error> {
        let mut progress = self.progress.subscribe();
        let reached = progress.wait_for(|progress| progress.applied >= revision || progress.closed).await;
        match reached {
            Ok(progress) if progress.applied >= revision => Ok(()),
            _ => Err(Error::Closed),
        }
    }

    fn close(&self) {
        self.ring.close();
        self.progress.send_modify(|progress| progress.closed = true);
    }
}

impl Cache {
    /// Loads the store's objects and follows it from then on, on the current tokio runtime.
    pub async fn start(inner: Arc<dyn Storage>, bounds: Bounds) -> Result<Self, Error> {
        let loaded = inner.everything().await?;
        let applied = loaded.revision;
        let shared = Arc::new(Shared {
            inner,
            state: Mutex::new(State::new(loaded)),
            ring: Arc::new(Ring::new(bounds, applied)),
            progress: watch::Sender::new(Progress { applied, closed: false }),
        });
        let pump = tokio::spawn(pump::run(shared.clone()));
        Ok(Self { shared, pump })
    }

    /// The store underneath.
    pub fn inner(&self) -> &Arc<dyn Storage> {
        &self.shared.inner
    }

    /// The revision that the cache stands at: everything committed through it, and perhaps a little less than everything.
    pub fn applied(&self) -> Revision {
        self.shared.applied()
    }

    /// Waits until the cache stands at `at_least` or later; answers where it stands.
    ///
    /// # Errors
    /// `Future` when that does not come within `timeout`, `Closed`.
    pub async fn fresh(&self, at_least: Revision, timeout: Duration) -> Result<Revision, Error> {
        match tokio::time::timeout(timeout, self.shared.wait(at_least)).await {
            Ok(reached) => reached.map(|()| self.applied()),
            Err(_) => Err(Error::Future { asked: at_least, current: self.applied() }),
        }
    }

    /// Waits until the cache has everything that was committed before the call, by whomever: what a consistent read does
    /// first. Answers the revision it stands at then. Costs nothing when the store's writes all go through this cache.
    pub async fn consistent(&self) -> Result<Revision, Error> {
        let current = self.shared.inner.current().await?;
        self.shared.wait(current).await?;
        Ok(self.applied())
    }

    /// The object as the cache has it.
    pub fn entry(&self, key: &Key) -> Option<Arc<Entry>> {
        self.shared.lock().entry(key)
    }

    /// All objects of a resource as the cache has them, without copying any.
    pub fn snapshot(&self, resource: &str) -> Snapshot {
        self.shared.lock().snapshot(resource)
    }

    /// The same as of a revision: undone from the present where memory reaches that far, else read from the store.
    ///
    /// # Errors
    /// `Compacted`, `Future` (the cache is not waited for), and what the store gives.
    pub async fn snapshot_at(&self, resource: &str, at: Revision) -> Result<Snapshot, Error> {
        list::snapshot_at(&self.shared, resource, at).await
    }

    /// A page of the objects that `keep` accepts, at `range.at` or as the cache has them. `limit` counts accepted objects.
    ///
    /// # Errors
    /// As [`Self::snapshot_at`].
    pub async fn list_entries(
        &self,
        range: &Range,
        keep: impl FnMut(&Entry) -> bool + Send,
    ) -> Result<EntryPage, Error> {
        list::list_entries(&self.shared, range, keep).await
    }

    /// Follows a resource, or all of them, from just after a revision.
    ///
    /// # Errors
    /// `Compacted`, `Future` (the cache is not waited for), and what the store gives.
    pub async fn follow(&self, resource: Option<&str>, after: Revision) -> Result<Follow, Error> {
        Follow::start(&self.shared, resource.map(Arc::from), after).await
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.pump.abort();
        self.shared.close();
    }
}
