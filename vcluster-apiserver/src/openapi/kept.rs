//! What is kept of the documents: hashes for as long as the registry does not change, the documents themselves for a
//! short while after they were last asked for.

use super::document::{self, Encoding, Part};
use crate::discovery::hash_of;
use crate::passing::Passing;
use crate::registry::Snapshot;
use bytes::Bytes;
use schema::description::Descriptions;
use std::cell::LazyCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a document stays after its last use: long enough for a client that asks for several in a row, and for the
/// others that start with it.
const KEEP: Duration = Duration::from_secs(30);

/// A document in one form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The part of version 3; none for the document of version 2.
    pub path: Option<String>,
    pub encoding: Encoding,
    pub gzip: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Kept {
    state: Mutex<State>,
    documents: Passing<HashMap<Key, Bytes>>,
    /// Held while something is made, so that clients that ask together share it instead of each making their own.
    making: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// The registry's state that everything here was made from.
    generation: Option<u64>,
    /// By path of the part; the empty path is the document of version 2.
    hashes: BTreeMap<String, Arc<str>>,
    index: Option<Bytes>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { state: Mutex::default(), documents: Passing::new(KEEP), making: Mutex::default() }
    }
}

/// Runs what takes long without holding up the other tasks of the thread, where the runtime has other threads.
fn aside<T>(make: impl FnOnce() -> T) -> T {
    let flavor = tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor());
    if matches!(flavor, Ok(tokio::runtime::RuntimeFlavor::MultiThread)) {
        tokio::task::block_in_place(make)
    } else {
        make()
    }
}

impl Kept {
    /// The state that belongs to a snapshot; what was made from another one is dropped.
    fn of(&self, snapshot: &Snapshot) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.generation != Some(snapshot.generation) {
            state.generation = Some(snapshot.generation);
            state.hashes.clear();
            state.index = None;
            self.documents.change(HashMap::clear);
        }
        state
    }

    /// The index of version 3.
    pub fn index(&self, snapshot: &Snapshot, make: impl FnOnce() -> Bytes) -> Bytes {
        if let Some(index) = self.of(snapshot).index.clone() {
            return index;
        }
        aside(|| {
            let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            let made = self.of(snapshot).index.clone();
            let index = made.unwrap_or_else(make);
            self.of(snapshot).index = Some(index.clone());
            index
        })
    }

    /// The hash of a document's JSON.
    pub fn hash(&self, snapshot: &Snapshot, part: Option<&Part>) -> Arc<str> {
        match part {
            Some(part) => self.part_hash(snapshot, part, &LazyCell::new(Descriptions::unpack)),
            None => self.hash_of_made(snapshot, String::new(), || {
                // It is kept: it is what the client asked for.
                hash_of(&self.document(snapshot, None, Encoding::Json))
            }),
        }
    }

    /// The hash of one of many parts, which share the descriptions and of which none is kept.
    pub fn part_hash(&self, snapshot: &Snapshot, part: &Part, descriptions: &LazyCell<Descriptions>) -> Arc<str> {
        self.hash_of_made(snapshot, part.path(), || {
            aside(|| hash_of(&document::three(descriptions, snapshot, part, Encoding::Json)))
        })
    }

    fn hash_of_made(&self, snapshot: &Snapshot, path: String, make: impl FnOnce() -> String) -> Arc<str> {
        if let Some(hash) = self.of(snapshot).hashes.get(&path) {
            return hash.clone();
        }
        let hash: Arc<str> = make().into();
        self.of(snapshot).hashes.insert(path, hash.clone());
        hash
    }

    /// A document.
    pub fn document(&self, snapshot: &Snapshot, part: Option<&Part>, encoding: Encoding) -> Bytes {
        let key = Key { path: part.map(Part::path), encoding, gzip: false };
        self.get_or_make(snapshot, key, || {
            let descriptions = Descriptions::unpack();
            Bytes::from(match part {
                None => document::two(&descriptions, snapshot, encoding),
                Some(part) => document::three(&descriptions, snapshot, part, encoding),
            })
        })
    }

    /// The kept bytes, or those that are made now.
    pub fn get_or_make(&self, snapshot: &Snapshot, key: Key, make: impl FnOnce() -> Bytes) -> Bytes {
        let kept = || {
            drop(self.of(snapshot));
            self.documents.with(|documents| documents.get(&key).cloned())
        };
        kept().unwrap_or_else(|| {
            aside(|| {
                let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
                kept().unwrap_or_else(|| {
                    let bytes = make();
                    self.documents.with(|documents| documents.insert(key.clone(), bytes.clone()));
                    bytes
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::builtin;

    #[tokio::test(start_paused = true)]
    async fn documents_go_when_nobody_asks_and_hashes_stay() {
        let (kept, snapshot) = (Kept::default(), builtin::snapshot());
        let part = Part::Version;
        let first = kept.document(&snapshot, Some(&part), Encoding::Json);
        let hash = kept.hash(&snapshot, Some(&part));
        tokio::time::sleep(KEEP / 2).await;
        let again = kept.document(&snapshot, Some(&part), Encoding::Json);
        assert_eq!(first.as_ptr(), again.as_ptr(), "shared while it is used");
        tokio::time::sleep(KEEP * 3 / 4).await;
        assert_eq!(kept.documents.change(|documents| documents.len()), 1, "each use prolongs it");
        tokio::time::sleep(KEEP).await;
        assert_eq!(kept.documents.change(|documents| documents.len()), 0);
        assert_eq!(*hash_of(&first), *hash);
        assert_eq!(kept.of(&snapshot).hashes.len(), 1);
        let mut other = builtin::snapshot();
        other.generation += 1;
        drop(kept.of(&other));
        assert_eq!(kept.of(&other).hashes.len(), 0, "another registry has other documents");
    }
}
