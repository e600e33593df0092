//! Protobuf lists that were just sent. After a restart every client of a kind asks for the same list, and what has not
//! changed since the last one is copied and not encoded again.

use crate::passing::Passing;
use apimachinery::GroupVersionKind;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use storage::Entry;

/// How long a list stays after it was last asked for.
const KEEP: Duration = Duration::from_secs(15);

/// The bytes of all lists that stay; a list that has no room is not kept.
const MOST: usize = 48 << 20;

/// Which list, all of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The stored resource.
    pub resource: Arc<str>,
    /// The kind of the items: a served one, or their metadata alone.
    pub items: GroupVersionKind,
    /// None: of all namespaces.
    pub namespace: Option<Arc<str>>,
}

/// A list as it was sent.
#[derive(Debug, Default)]
pub struct List {
    bytes: Bytes,
    /// What stands behind the last item.
    after: usize,
    /// From the last to the first: each item and how many bytes it took.
    items: Vec<(Arc<Entry>, usize)>,
}

impl List {
    pub fn new(bytes: Bytes, after: usize, items: Vec<(Arc<Entry>, usize)>) -> Self {
        Self { bytes, after, items }
    }

    /// Its items, to be asked for from the last to the first.
    pub fn backwards(&self) -> Backwards<'_> {
        Backwards { list: self, next: 0, end: self.bytes.len() - self.after }
    }
}

/// See [`List::backwards`].
pub struct Backwards<'l> {
    list: &'l List,
    next: usize,
    end: usize,
}

impl<'l> Backwards<'l> {
    /// The bytes of an item that has not changed.
    pub fn find(&mut self, entry: &Arc<Entry>) -> Option<&'l [u8]> {
        while let Some((kept, length)) = self.list.items.get(self.next) {
            let same = Arc::ptr_eq(kept, entry);
            if !same && kept.key < entry.key {
                return None;
            }
            self.next += 1;
            self.end -= length;
            if same {
                return self.list.bytes.get(self.end..self.end + length);
            }
        }
        None
    }
}

/// The lists that stay.
pub struct Sent(Passing<HashMap<Key, Arc<List>>>);

impl Default for Sent {
    fn default() -> Self {
        Self(Passing::new(KEEP))
    }
}

impl Sent {
    pub fn get(&self, key: &Key) -> Arc<List> {
        self.0.with(|lists| lists.get(key).cloned()).unwrap_or_default()
    }

    pub fn put(&self, key: Key, list: List) {
        self.0.with(|lists| {
            lists.remove(&key);
            let kept: usize = lists.values().map(|list| list.bytes.len()).sum();
            if kept + list.bytes.len() <= MOST {
                lists.insert(key, Arc::new(list));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::{Revision, Stored};

    fn entry(name: &str, revision: u64) -> Arc<Entry> {
        let key = storage::Key::new("pods", "n", name);
        Arc::new(Entry::new(Stored { key, revision: Revision(revision), body: Bytes::new() }))
    }

    #[test]
    fn what_has_not_changed_is_found_on_the_way_back() {
        let [a, b, c, d] = [entry("a", 1), entry("b", 2), entry("c", 3), entry("d", 4)];
        let items = vec![(d.clone(), 3), (b.clone(), 2), (a.clone(), 1)];
        let list = List::new(Bytes::from_static(b"#abbddd!!"), 2, items);
        let mut items = list.backwards();
        let found = [&entry("e", 9), &d, &c, &entry("b", 8), &a].map(|entry| items.find(entry));
        assert_eq!(found, [None, Some(&b"ddd"[..]), None, None, Some(&b"a"[..])]);
        assert_eq!(list.backwards().find(&a), Some(&b"a"[..]), "whatever was deleted before it");
        assert_eq!(List::default().backwards().find(&a), None);
    }

    #[tokio::test(start_paused = true)]
    async fn lists_stay_a_while_and_within_bounds() {
        let key =
            |name: &str| Key { resource: name.into(), items: GroupVersionKind::new("", "v1", "Pod"), namespace: None };
        let sent = Sent::default();
        let list = |size: usize| List::new(Bytes::from(vec![0; size]), 0, Vec::new());
        sent.put(key("pods"), list(10));
        sent.put(key("large"), list(MOST - 5));
        assert_eq!([sent.get(&key("pods")).bytes.len(), sent.get(&key("large")).bytes.len()], [10, 0]);
        sent.put(key("pods"), list(MOST));
        assert_eq!(sent.get(&key("pods")).bytes.len(), MOST, "it makes room for itself");
        tokio::time::sleep(KEEP * 2).await;
        assert_eq!(sent.get(&key("pods")).bytes.len(), 0);
    }
}
