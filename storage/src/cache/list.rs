//! Lists: pages of a snapshot, and snapshots of the recent past.

use super::{Entry, Name, Shared};
use crate::{Error, Range, Revision};
use imbl::OrdMap;
use std::ops::Bound;
use std::sync::Arc;

/// How much of the store is read at once when memory does not reach back far enough.
const PAGE: usize = 500;

/// The objects of one resource as of one revision. Holding it keeps the replaced bodies alive and nobody waiting.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub revision: Revision,
    pub entries: OrdMap<Name, Arc<Entry>>,
}

/// A page of entries.
#[derive(Clone, Debug, Default)]
pub struct EntryPage {
    pub items: Vec<Arc<Entry>>,
    /// The revision of the snapshot.
    pub revision: Revision,
    /// Objects of the range after the last item, whether the filter would take them or not.
    pub remaining: usize,
    /// Whether the filter takes one of those: whether there is another page.
    pub more: bool,
}

impl Snapshot {
    /// The entries of a range in key order; its limit and revision are not looked at.
    pub fn range<'a>(&'a self, range: &'a Range) -> impl Iterator<Item = &'a Arc<Entry>> + 'a {
        let start = match (&range.after, &range.namespace) {
            (Some((namespace, name)), _) => Bound::Excluded(Name { namespace: namespace.clone(), name: name.clone() }),
            (None, Some(namespace)) => Bound::Included(Name { namespace: namespace.clone(), name: Arc::from("") }),
            (None, None) => Bound::Unbounded,
        };
        // A start before the namespace, out of a token that was made for another list, skips up to it.
        let start = match (start, &range.namespace) {
            (Bound::Excluded(name), Some(namespace)) if name.namespace < *namespace => {
                Bound::Included(Name { namespace: namespace.clone(), name: Arc::from("") })
            }
            (start, _) => start,
        };
        self.entries
            .range((start, Bound::Unbounded))
            .map(|(_, entry)| entry)
            .take_while(|entry| range.namespace.as_ref().is_none_or(|namespace| *namespace == entry.key.namespace))
    }

    /// A page of the entries that `keep` accepts; `limit` counts those, and `at` is not looked at.
    pub fn page(&self, range: &Range, mut keep: impl FnMut(&Entry) -> bool) -> EntryPage {
        let mut page = EntryPage { revision: self.revision, ..EntryPage::default() };
        let mut entries = self.range(range);
        for entry in entries.by_ref() {
            if keep(entry) {
                page.items.push(entry.clone());
                if page.items.len() == range.limit {
                    break;
                }
            }
        }
        for entry in entries {
            page.remaining += 1;
            page.more = page.more || keep(entry);
        }
        page
    }
}

/// The snapshot out of memory, if memory reaches.
fn recent(shared: &Shared, resource: &str, at: Revision) -> Result<Option<Snapshot>, Error> {
    let state = shared.lock();
    let mut snapshot = state.snapshot(resource);
    if at > snapshot.revision {
        return Err(Error::Future { asked: at, current: snapshot.revision });
    }
    // Looked up before the state is unlocked: the ring then ends where the snapshot stands.
    let Some(undo) = shared.ring.undo(resource, at) else { return Ok(None) };
    drop(state);
    for event in undo {
        let name = Name::from(&event.entry.key);
        match &event.previous {
            Some(previous) => snapshot.entries.insert(name, previous.clone()),
            None => snapshot.entries.remove(&name),
        };
    }
    snapshot.revision = at;
    Ok(Some(snapshot))
}

pub(super) async fn snapshot_at(shared: &Shared, resource: &str, at: Revision) -> Result<Snapshot, Error> {
    if let Some(snapshot) = recent(shared, resource, at)? {
        return Ok(snapshot);
    }
    let page = shared.inner.list(&Range { at: Some(at), ..Range::all(resource) }).await?;
    let entries = page.items.into_iter().map(|object| (Name::from(&object.key), Arc::new(Entry::new(object))));
    Ok(Snapshot { revision: at, entries: entries.collect() })
}

pub(super) async fn list_entries(
    shared: &Shared,
    range: &Range,
    mut keep: impl FnMut(&Entry) -> bool + Send,
) -> Result<EntryPage, Error> {
    let Some(at) = range.at else {
        let snapshot = shared.lock().snapshot(&range.resource);
        return Ok(snapshot.page(range, keep));
    };
    if let Some(snapshot) = recent(shared, &range.resource, at)? {
        return Ok(snapshot.page(range, keep));
    }
    let mut found = EntryPage { revision: at, ..EntryPage::default() };
    let mut rest = Range { limit: PAGE, ..range.clone() };
    loop {
        let page = shared.inner.list(&rest).await?;
        rest.after = page.items.last().map(|last| (last.key.namespace.clone(), last.key.name.clone()));
        for (index, object) in page.items.iter().enumerate() {
            let entry = Entry::new(object.clone());
            if !keep(&entry) {
                continue;
            }
            if range.limit > 0 && found.items.len() == range.limit {
                found.more = true;
                return Ok(found);
            }
            found.items.push(Arc::new(entry));
            found.remaining = page.items.len() - index - 1 + page.remaining;
        }
        if page.remaining == 0 {
            if range.limit == 0 || found.items.len() < range.limit {
                found.remaining = 0;
            }
            return Ok(found);
        }
    }
}
