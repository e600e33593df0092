//! One change of one object, as history tells it.

use crate::{Revision, Stored};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Created,
    Updated,
    Deleted,
}

/// One change, as watchers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    /// The state after the change; for a deletion the last state, dated with the deletion's own revision.
    pub object: Stored,
    /// The object before the change; none for a creation.
    pub previous: Option<Stored>,
}

impl Event {
    /// The revision of the change.
    pub fn revision(&self) -> Revision {
        self.object.revision
    }
}
