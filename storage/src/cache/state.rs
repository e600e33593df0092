//! The current objects, by resource, in maps whose snapshots are free.

use super::{Entry, Event, Name, Slot, Snapshot};
use crate::{EventKind, Key, Page, Revision, Stored};
use imbl::OrdMap;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct State {
    applied: Revision,
    tables: HashMap<Arc<str>, OrdMap<Name, Arc<Entry>>>,
    namespaces: Namespaces,
}

impl State {
    pub(super) fn new(loaded: Page) -> Self {
        let mut state = Self { applied: loaded.revision, tables: HashMap::new(), namespaces: Namespaces::default() };
        for object in loaded.items {
            let key = state.share(object.key);
            let table = state.tables.entry(key.resource.clone()).or_default();
            table.insert(Name::from(&key), Arc::new(Entry::new(Stored { key, ..object })));
        }
        state
    }

    pub(super) fn applied(&self) -> Revision {
        self.applied
    }

    pub(super) fn entry(&self, key: &Key) -> Option<Arc<Entry>> {
        self.tables.get(&key.resource)?.get(&Name::from(key)).cloned()
    }

    pub(super) fn snapshot(&self, resource: &str) -> Snapshot {
        Snapshot { revision: self.applied, entries: self.tables.get(resource).cloned().unwrap_or_default() }
    }

    /// Every object, in key order.
    pub(super) fn everything(&self) -> Page {
        let mut tables: Vec<_> = self.tables.iter().collect();
        tables.sort_unstable_by_key(|(resource, _)| (*resource).clone());
        let items = tables.into_iter().flat_map(|(_, table)| table.values().map(|entry| entry.object.clone()));
        Page { items: items.collect(), revision: self.applied, remaining: 0 }
    }

    /// Takes the next change in; none, and nothing is changed, when it is not the next one.
    pub(super) fn apply(&mut self, event: &crate::Event) -> Option<Event> {
        if event.revision() != self.applied.next() {
            return None;
        }
        self.applied = event.revision();
        let key = self.share(event.object.key.clone());
        let name = Name::from(&key);
        let entry = Arc::new(Entry::new(Stored { key: key.clone(), ..event.object.clone() }));
        let table = self.tables.entry(key.resource).or_default();
        let previous = match event.kind {
            EventKind::Created | EventKind::Updated => table.insert(name, entry.clone()),
            EventKind::Deleted => table.remove(&name),
        };
        Some(Event { kind: event.kind, entry, previous, frames: Slot::default() })
    }

    /// The same key with the strings that other entries already have.
    fn share(&mut self, key: Key) -> Key {
        let resource = match self.tables.get_key_value(&key.resource) {
            Some((resource, _)) => resource.clone(),
            None => key.resource,
        };
        Key { resource, namespace: self.namespaces.share(key.namespace), name: key.name }
    }
}

/// One string per namespace, forgotten some time after its last object.
#[derive(Debug, Default)]
struct Namespaces {
    known: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Namespaces {
    fn share(&mut self, namespace: Arc<str>) -> Arc<str> {
        if let Some(known) = self.known.get(&namespace) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.sweep_at = 2 * self.known.len() + 16;
        }
        self.known.insert(namespace.clone());
        namespace
    }
}
