//! A position in history that moves forward: out of the log while it is far behind, out of the ring from then on.

use crate::ring::{Item, Pull, Ring};
use crate::{Error, Revision};
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// History that is no longer in the ring.
#[async_trait]
pub(crate) trait Log<E>: Send + Sync {
    /// The next events after `after`, and the revision through which they are complete.
    async fn page(&self, resource: Option<&str>, after: Revision) -> Result<(Vec<Arc<E>>, Revision), Error>;
}

/// What happens to a reader that the ring has overtaken after it had once caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overtaken {
    /// It goes back to the log.
    Rereads,
    /// It is told so and starts again by itself.
    Ends,
}

#[derive(Debug)]
pub(crate) struct Tail<E> {
    ring: Arc<Ring<E>>,
    bell: watch::Receiver<Revision>,
    resource: Option<Arc<str>>,
    overtaken: Overtaken,
    /// Whether the ring has served it yet.
    live: bool,
    /// Everything up to this is in `ready` or was handed out.
    read: Revision,
    /// Everything up to this was handed out.
    told: Revision,
    ready: VecDeque<Arc<E>>,
}

impl<E: Item> Tail<E> {
    pub(crate) fn new(ring: Arc<Ring<E>>, resource: Option<Arc<str>>, after: Revision, overtaken: Overtaken) -> Self {
        let bell = ring.bell(resource.as_ref());
        Self { ring, bell, resource, overtaken, live: false, read: after, told: after, ready: VecDeque::new() }
    }

    fn accept(&mut self, events: Vec<Arc<E>>, through: Revision) {
        self.ready.extend(events);
        self.read = self.read.max(through);
        if self.ready.is_empty() {
            self.told = self.read;
        }
    }

    fn hand_out(&mut self) -> Option<Arc<E>> {
        let event = self.ready.pop_front()?;
        self.told = if self.ready.is_empty() { self.read } else { event.revision() };
        Some(event)
    }

    /// Takes from the ring what there is; false when the ring no longer has it.
    fn refill(&mut self) -> Result<bool, Error> {
        match self.ring.pull(self.resource.as_ref(), self.read) {
            Pull::Events(events) => {
                let through = events.last().map_or(self.read, |event| event.revision());
                self.live = true;
                self.accept(events, through);
            }
            Pull::Nothing(through) => {
                self.live = true;
                self.accept(Vec::new(), through);
            }
            Pull::Closed => return Err(Error::Closed),
            Pull::Fallen if self.live && self.overtaken == Overtaken::Ends => {
                return Err(Error::TooSlow { at: self.told });
            }
            Pull::Fallen => return Ok(false),
        }
        Ok(true)
    }

    /// Finds the first events, so that a start out of reach shows at once.
    pub(crate) async fn begin(&mut self, log: &dyn Log<E>) -> Result<(), Error> {
        if !self.refill()? {
            let (events, through) = log.page(self.resource.as_deref(), self.read).await?;
            self.accept(events, through);
        }
        Ok(())
    }

    /// The next event. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self, log: &dyn Log<E>) -> Result<Arc<E>, Error> {
        loop {
            if let Some(event) = self.hand_out() {
                return Ok(event);
            }
            // The bell is heard from before the look on: what comes in between rings.
            self.bell.borrow_and_update();
            if !self.refill()? {
                let (events, through) = log.page(self.resource.as_deref(), self.read).await?;
                self.accept(events, through);
            } else if self.ready.is_empty() {
                self.bell.changed().await.map_err(|_| Error::Closed)?;
            }
        }
    }

    /// Events that can be handed out without waiting, up to `limit`.
    pub(crate) fn drain(&mut self, limit: usize) -> Vec<Arc<E>> {
        let mut events = Vec::new();
        while events.len() < limit {
            if self.ready.is_empty() && !matches!(self.refill(), Ok(true)) {
                break;
            }
            let Some(event) = self.hand_out() else { break };
            events.push(event);
        }
        events
    }

    /// The newest revision of which this is true: everything up to it was handed out.
    pub(crate) fn progress(&mut self) -> Revision {
        if self.ready.is_empty() {
            // An error shows again at the next event; until then the position simply stands still.
            let _ = self.refill();
        }
        self.told
    }
}
