//! The untyped cache of one resource: entries by namespace and name, indexes, subscribers.
//!
//! One writer (the task that follows the source) and many readers. It knows bytes only; [`crate::Store`] puts a type on it.

use crate::entry::{Delivery, Entry};
use crate::{Change, Raw};
use apimachinery::GroupVersionResource;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::{mpsc, watch};

pub(crate) type Key = (Arc<str>, Arc<str>);
pub(crate) type Extract = Arc<dyn Fn(&Entry) -> Vec<String> + Send + Sync>;

pub(crate) struct Cache {
    pub(crate) resource: GroupVersionResource,
    state: RwLock<State>,
    synced: watch::Sender<bool>,
    /// The highest revision that any change carried; waiters for their own writes watch it.
    seen: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<Entry>>>,
    indexes: HashMap<String, Index>,
    subscribers: Vec<mpsc::UnboundedSender<Arc<Delivery>>>,
    changes_since_sweep: usize,
}

struct Index {
    extract: Extract,
    members: HashMap<String, BTreeSet<Key>>,
    values: HashMap<Key, Vec<String>>,
}

impl Index {
    fn set(&mut self, key: &Key, entry: Option<&Entry>) {
        for value in self.values.remove(key).unwrap_or_default() {
            if let Some(members) = self.members.get_mut(&value) {
                members.remove(key);
                if members.is_empty() {
                    self.members.remove(&value);
                }
            }
        }
        let values = entry.map(|entry| (self.extract)(entry)).unwrap_or_default();
        if values.is_empty() {
            return;
        }
        for value in &values {
            self.members.entry(value.clone()).or_default().insert(key.clone());
        }
        self.values.insert(key.clone(), values);
    }
}

impl State {
    fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Entry>> {
        self.objects.get(namespace)?.get(name)
    }

    /// Puts or removes one object and tells everybody. An identical revision is no change.
    fn set(&mut self, key: &Key, new: Option<Arc<Entry>>, last: Option<Raw>) {
        let old = match &new {
            Some(entry) => self.objects.entry(key.0.clone()).or_default().insert(key.1.clone(), entry.clone()),
            None => self.remove(key),
        };
        for index in self.indexes.values_mut() {
            index.set(key, new.as_deref());
        }
        let unchanged = old.as_ref().zip(new.as_ref()).is_some_and(|(old, new)| old.raw.bytes == new.raw.bytes);
        // The last state of a deleted object is newer than what was cached; subscribers get the newer one.
        let old = if new.is_none() { old.map(|old| last.map_or(old, Entry::new)) } else { old };
        if !unchanged && (old.is_some() || new.is_some()) {
            let delivery = Delivery::new(old, new);
            self.subscribers.retain(|subscriber| subscriber.send(delivery.clone()).is_ok());
        }
        self.changes_since_sweep += 1;
        if self.changes_since_sweep >= 64 {
            self.changes_since_sweep = 0;
            self.objects.values().flat_map(BTreeMap::values).for_each(|entry| entry.sweep());
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<Entry>> {
        let names = self.objects.get_mut(&key.0)?;
        let old = names.remove(&key.1);
        if names.is_empty() {
            self.objects.remove(&key.0);
        }
        old
    }
}

impl Cache {
    pub(crate) fn new(resource: GroupVersionResource) -> Arc<Self> {
        Arc::new(Self {
            resource,
            state: RwLock::default(),
            synced: watch::Sender::new(false),
            seen: watch::Sender::new(0),
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn apply(&self, change: Change) {
        let mut revision = 0;
        let mut replaced = false;
        {
            let mut state = self.write();
            match change {
                Change::Applied(raw) => {
                    revision = raw.revision;
                    let key = (raw.namespace.clone(), raw.name.clone());
                    state.set(&key, Some(Entry::new(raw)), None);
                }
                Change::Deleted(raw) => {
                    revision = raw.revision;
                    let key = (raw.namespace.clone(), raw.name.clone());
                    state.set(&key, None, Some(raw));
                }
                Change::Replaced(objects) => {
                    replaced = true;
                    let keys: BTreeSet<Key> = objects.iter().map(|r| (r.namespace.clone(), r.name.clone())).collect();
                    let gone: Vec<Key> = state
                        .objects
                        .iter()
                        .flat_map(|(namespace, names)| names.keys().map(|name| (namespace.clone(), name.clone())))
                        .filter(|key| !keys.contains(key))
                        .collect();
                    for key in gone {
                        state.set(&key, None, None);
                    }
                    for raw in objects {
                        revision = revision.max(raw.revision);
                        let key = (raw.namespace.clone(), raw.name.clone());
                        state.set(&key, Some(Entry::new(raw)), None);
                    }
                }
            }
        }
        self.seen.send_modify(|seen| *seen = revision.max(*seen));
        if replaced {
            self.synced.send_replace(true);
        }
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        self.read().get(namespace, name).cloned()
    }

    /// All entries, or those of one namespace, in the order of their names.
    pub(crate) fn entries(&self, namespace: Option<&str>) -> Vec<Arc<Entry>> {
        let state = self.read();
        match namespace {
            Some(namespace) => state.objects.get(namespace).map(|n| n.values().cloned().collect()).unwrap_or_default(),
            None => state.objects.values().flat_map(BTreeMap::values).cloned().collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.read().objects.values().map(BTreeMap::len).sum()
    }

    pub(crate) fn by_index(&self, index: &str, value: &str) -> Vec<Arc<Entry>> {
        let state = self.read();
        let members = state.indexes.get(index).and_then(|index| index.members.get(value));
        members.into_iter().flatten().filter_map(|(namespace, name)| state.get(namespace, name).cloned()).collect()
    }

    /// Adds an index and fills it. The first function registered under a name stays.
    pub(crate) fn add_index(&self, name: &str, extract: Extract) {
        let mut state = self.write();
        if state.indexes.contains_key(name) {
            return;
        }
        let mut index = Index { extract, members: HashMap::new(), values: HashMap::new() };
        for entry in state.objects.values().flat_map(BTreeMap::values) {
            index.set(&(entry.raw.namespace.clone(), entry.raw.name.clone()), Some(entry));
        }
        state.indexes.insert(name.to_owned(), index);
    }

    /// Everything that is there, then everything that happens.
    pub(crate) fn subscribe(&self) -> mpsc::UnboundedReceiver<Arc<Delivery>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.write();
        for entry in state.objects.values().flat_map(BTreeMap::values) {
            // The receiver is alive: it is returned below.
            let _sent = sender.send(Delivery::new(None, Some(entry.clone())));
        }
        state.subscribers.push(sender);
        receiver
    }

    pub(crate) fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    pub(crate) async fn synced(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Resolves when `done` holds for the highest revision seen; it is asked again after each change.
    pub(crate) async fn wait_until(&self, mut done: impl FnMut(u64) -> bool) {
        let mut seen = self.seen.subscribe();
        loop {
            let revision = *seen.borrow_and_update();
            if done(revision) || seen.changed().await.is_err() {
                return;
            }
        }
    }
}
