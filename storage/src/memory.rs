//! A store in memory, as simple as the contract allows: the oracle that the other drivers are compared with.
//!
//! It forgets everything when dropped, lists by walking its whole map, and shares no machinery with the other drivers.

use crate::transaction::admit;
use crate::{Changes, Check, Error, Event, EventKind, Key, Page, Range, Revision, Storage, Stored, Watch, Write};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// See the module.
#[derive(Debug)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    committed: watch::Sender<Revision>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Key, Stored>,
    log: Vec<Arc<Event>>,
    current: Revision,
    compacted: Revision,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    pub fn new() -> Self {
        let shared = Shared { state: Mutex::default(), committed: watch::Sender::new(Revision(0)) };
        Self { shared: Arc::new(shared) }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reach(&self, asked: Revision) -> Result<(), Error> {
        if asked < self.compacted {
            return Err(Error::Compacted { asked, oldest: self.compacted });
        }
        if asked > self.current {
            return Err(Error::Future { asked, current: self.current });
        }
        Ok(())
    }

    /// The objects as they were, by undoing every later change.
    fn at(&self, revision: Revision) -> BTreeMap<Key, Stored> {
        let mut objects = self.objects.clone();
        for event in self.log.iter().rev().take_while(|event| event.revision() > revision) {
            match &event.previous {
                Some(previous) => objects.insert(previous.key.clone(), previous.clone()),
                None => objects.remove(&event.object.key),
            };
        }
        objects
    }

    fn changes(&self, resource: Option<&str>, after: Revision, limit: usize) -> Result<Changes, Error> {
        self.reach(after)?;
        let later = self.log.partition_point(|event| event.revision() <= after);
        let wanted = |event: &&Arc<Event>| resource.is_none_or(|resource| *event.object.key.resource == *resource);
        let events: Vec<_> = self.log[later..].iter().filter(wanted).take(limit.max(1)).cloned().collect();
        let full = events.len() >= limit.max(1);
        let through = events.last().filter(|_| full).map_or(self.current, |event| event.revision());
        Ok(Changes { events, through })
    }

    fn apply(&mut self, write: Write) -> Revision {
        self.current = self.current.next();
        let object = Stored { key: write.key().clone(), revision: self.current, body: write.body().seal(self.current) };
        let (kind, previous) = match write {
            Write::Put(key, _) => match self.objects.insert(key, object.clone()) {
                Some(previous) => (EventKind::Updated, Some(previous)),
                None => (EventKind::Created, None),
            },
            Write::Delete(key, _) => (EventKind::Deleted, self.objects.remove(&key)),
        };
        self.log.push(Arc::new(Event { kind, object, previous }));
        self.current
    }
}

#[async_trait]
impl Storage for Memory {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Error> {
        Ok(self.shared.lock().objects.get(key).cloned())
    }

    async fn list(&self, range: &Range) -> Result<Page, Error> {
        let state = self.shared.lock();
        let revision = range.at.unwrap_or(state.current);
        state.reach(revision)?;
        let mut items: Vec<_> = state.at(revision).into_values().filter(|object| range.contains(&object.key)).collect();
        let remaining = if range.limit == 0 { 0 } else { items.len().saturating_sub(range.limit) };
        items.truncate(items.len() - remaining);
        Ok(Page { items, revision, remaining })
    }

    async fn everything(&self) -> Result<Page, Error> {
        let state = self.shared.lock();
        Ok(Page { items: state.objects.values().cloned().collect(), revision: state.current, remaining: 0 })
    }

    async fn transact(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<Vec<Revision>, Error> {
        let mut state = self.shared.lock();
        let objects = &state.objects;
        admit::<Error>(
            &checks,
            &writes,
            |key| Ok(objects.get(key).map(|object| object.revision)),
            |key| Ok(objects.get(key).cloned()),
        )?;
        let revisions = writes.into_iter().map(|write| state.apply(write)).collect();
        self.shared.committed.send_replace(state.current);
        Ok(revisions)
    }

    async fn changes(&self, resource: Option<&str>, after: Revision, limit: usize) -> Result<Changes, Error> {
        self.shared.lock().changes(resource, after, limit)
    }

    async fn watch(&self, resource: Option<Arc<str>>, after: Revision) -> Result<Watch, Error> {
        self.shared.lock().reach(after)?;
        let shared = Arc::downgrade(&self.shared);
        let committed = self.shared.committed.subscribe();
        let from = (after, committed);
        Ok(Box::pin(futures::stream::try_unfold(from, move |(mut at, mut committed)| {
            let (shared, resource) = (shared.clone(), resource.clone());
            async move {
                loop {
                    committed.borrow_and_update();
                    let changes = shared.upgrade().ok_or(Error::Closed)?.lock().changes(resource.as_deref(), at, 1)?;
                    at = changes.through;
                    if let Some(event) = changes.events.into_iter().next() {
                        return Ok(Some((event, (at, committed))));
                    }
                    committed.changed().await.map_err(|_| Error::Closed)?;
                }
            }
        })))
    }

    async fn current(&self) -> Result<Revision, Error> {
        Ok(self.shared.lock().current)
    }

    async fn compact(&self, through: Revision) -> Result<(), Error> {
        let mut state = self.shared.lock();
        if through > state.current {
            return Err(Error::Future { asked: through, current: state.current });
        }
        if through > state.compacted {
            state.compacted = through;
            state.log.retain(|event| event.revision() > through);
        }
        Ok(())
    }
}
