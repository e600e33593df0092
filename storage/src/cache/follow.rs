//! One watcher of the cache.

use super::{Event, Shared};
use crate::tail::{Log, Overtaken, Tail};
use crate::{Error, Revision};
use async_trait::async_trait;
use std::sync::Arc;

/// How much of the store's log a watcher from before the ring reads at once.
const PAGE: usize = 500;

/// Follows the changes of one resource, or of all. It holds a position and at most one gulp of events, however slowly it
/// is read.
#[derive(Debug)]
pub struct Follow {
    shared: Arc<Shared>,
    tail: Tail<Event>,
}

impl Follow {
    pub(super) async fn start(
        shared: &Arc<Shared>,
        resource: Option<Arc<str>>,
        after: Revision,
    ) -> Result<Self, Error> {
        let current = shared.applied();
        if after > current {
            return Err(Error::Future { asked: after, current });
        }
        let mut tail = Tail::new(shared.ring.clone(), resource, after, Overtaken::Ends);
        tail.begin(&**shared).await?;
        Ok(Self { shared: shared.clone(), tail })
    }

    /// Waits for the next change. Dropping the future loses nothing, so it can stand in a `select!`.
    ///
    /// # Errors
    /// `TooSlow` when the ring has overtaken this watcher, `Compacted` when the store's history has, `Closed`, and what
    /// the store gives. After an error the watch is over.
    pub async fn next(&mut self) -> Result<Arc<Event>, Error> {
        self.tail.next(&*self.shared).await
    }

    /// The changes that are there already, up to `limit`; empty when there is nothing but to wait.
    pub fn ready(&mut self, limit: usize) -> Vec<Arc<Event>> {
        self.tail.drain(limit)
    }

    /// The newest revision of which this is true: every change up to it was handed out. This is what a bookmark may say.
    pub fn progress(&mut self) -> Revision {
        self.tail.progress()
    }
}

#[async_trait]
impl Log<Event> for Shared {
    async fn page(&self, resource: Option<&str>, after: Revision) -> Result<(Vec<Arc<Event>>, Revision), Error> {
        let changes = self.inner.changes(resource, after, PAGE).await?;
        // What the cache has not applied yet must not reach its watchers before its readers.
        let applied = self.applied();
        let events = changes.events.iter().filter(|event| event.revision() <= applied);
        let events = events.map(|event| Arc::new(Event::from_log(event))).collect();
        Ok((events, changes.through.min(applied)))
    }
}
