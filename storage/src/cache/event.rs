//! A change as the cache tells it: with the entries before and after, and room for its encoded frames.

use super::{Entry, Slot};
use crate::ring::{EVENT_OVERHEAD, Item};
use crate::{EventKind, Revision};
use std::sync::Arc;

/// One change. All watchers get the same one, so what is encoded into `frames` is encoded once.
#[derive(Debug)]
pub struct Event {
    pub kind: EventKind,
    /// The object after the change; for a deletion its last state, dated with the deletion's own revision.
    pub entry: Arc<Entry>,
    /// The object before the change: what a selector has to look at to see an object enter or leave it.
    pub previous: Option<Arc<Entry>>,
    /// What the server encodes out of the event once.
    pub frames: Slot,
}

impl Event {
    /// The event of the store's log, with entries of its own.
    pub(super) fn from_log(event: &crate::Event) -> Self {
        let entry = |object: &crate::Stored| Arc::new(Entry::new(object.clone()));
        Self {
            kind: event.kind,
            entry: entry(&event.object),
            previous: event.previous.as_ref().map(entry),
            frames: Slot::default(),
        }
    }

    pub(super) fn to_stored(&self) -> crate::Event {
        crate::Event {
            kind: self.kind,
            object: self.entry.object.clone(),
            previous: self.previous.as_ref().map(|previous| previous.object.clone()),
        }
    }

    /// The revision of the change.
    pub fn revision(&self) -> Revision {
        self.entry.object.revision
    }
}

impl Item for Event {
    fn revision(&self) -> Revision {
        self.entry.object.revision
    }

    fn resource(&self) -> &Arc<str> {
        &self.entry.object.key.resource
    }

    /// The previous state is mostly that of an earlier event, so it is not counted again.
    fn weight(&self) -> usize {
        self.entry.object.body.len() + EVENT_OVERHEAD
    }
}
