//! What a list asks for and what it answers, and the same for a piece of history.

use crate::{Event, Key, Revision, Stored};
use std::sync::Arc;

/// Which objects a list returns, in key order.
#[derive(Clone, Debug, Default)]
pub struct Range {
    pub resource: Arc<str>,
    /// `None`: every namespace (or a cluster-scoped resource).
    pub namespace: Option<Arc<str>>,
    /// Start after this (namespace, name).
    pub after: Option<(Arc<str>, Arc<str>)>,
    /// 0: no limit.
    pub limit: usize,
    /// A snapshot at this revision; `None`: the newest committed state. Revision 0 is the empty store before the first
    /// write, not "any".
    pub at: Option<Revision>,
}

impl Range {
    /// Everything of a resource at the newest revision.
    pub fn all(resource: impl Into<Arc<str>>) -> Self {
        Self { resource: resource.into(), ..Self::default() }
    }

    /// Whether the object lies in the range, its limit and revision aside.
    pub fn contains(&self, key: &Key) -> bool {
        key.resource == self.resource
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
            && self
                .after
                .as_ref()
                .is_none_or(|(namespace, name)| (&*key.namespace, &*key.name) > (&**namespace, &**name))
    }
}

#[derive(Clone, Debug, Default)]
pub struct Page {
    pub items: Vec<Stored>,
    /// The revision of the snapshot.
    pub revision: Revision,
    /// Objects of the range after the last item.
    pub remaining: usize,
}

/// A piece of history.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// In commit order.
    pub events: Vec<Arc<Event>>,
    /// Everything that was asked for and happened at or before this revision is in `events`; at least the revision asked
    /// from, and more than it unless nothing has happened since.
    pub through: Revision,
}
