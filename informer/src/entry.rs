//! One cached object: its bytes, and its decoded form for as long as somebody holds that.
//!
//! Decoded objects are large, so the cache itself never keeps one alive.

use crate::Raw;
use serde::de::DeserializeOwned;
use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError, Weak};

type Decoded = Arc<dyn Any + Send + Sync>;

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) raw: Raw,
    decoded: Mutex<Option<Weak<dyn Any + Send + Sync>>>,
}

impl Entry {
    pub(crate) fn new(raw: Raw) -> Arc<Self> {
        Arc::new(Self { raw, decoded: Mutex::new(None) })
    }

    /// The object as `K`, shared with everybody who holds it at this moment. `None` when the bytes are no `K`,
    /// which is logged: one unreadable object must not stop a controller.
    pub(crate) fn decode<K: DeserializeOwned + Send + Sync + 'static>(&self) -> Option<Arc<K>> {
        let mut slot = self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = slot.as_ref().and_then(Weak::upgrade).and_then(|any| any.downcast::<K>().ok()) {
            return Some(shared);
        }
        match serde_json::from_slice::<K>(&self.raw.bytes) {
            Ok(object) => {
                let object = Arc::new(object);
                let any: Decoded = object.clone();
                *slot = Some(Arc::downgrade(&any));
                Some(object)
            }
            Err(error) => {
                let (namespace, name) = (&*self.raw.namespace, &*self.raw.name);
                tracing::warn!(%error, namespace, name, "an object in the cache cannot be decoded");
                None
            }
        }
    }

    /// Drops the slot of a decoded form that nobody holds: a dead weak reference still pins its allocation.
    pub(crate) fn sweep(&self) {
        let mut slot = self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|weak| weak.strong_count() == 0) {
            *slot = None;
        }
    }
}

/// One change on its way to the subscribers. Those who decode it leave the result here, so that the object is decoded
/// once however many subscribers there are.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) old: Option<Arc<Entry>>,
    pub(crate) new: Option<Arc<Entry>>,
    held: Mutex<Vec<Decoded>>,
}

impl Delivery {
    pub(crate) fn new(old: Option<Arc<Entry>>, new: Option<Arc<Entry>>) -> Arc<Self> {
        Arc::new(Self { old, new, held: Mutex::default() })
    }

    pub(crate) fn decode<K: DeserializeOwned + Send + Sync + 'static>(
        &self,
        entry: Option<&Arc<Entry>>,
    ) -> Option<Arc<K>> {
        let decoded = entry?.decode::<K>()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() < 4 {
            held.push(decoded.clone());
        }
        Some(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str) -> Arc<Entry> {
        Entry::new(Raw { namespace: "".into(), name: "a".into(), revision: 1, bytes: json.to_owned().into() })
    }

    #[test]
    fn a_decoded_object_is_shared_while_held_and_dropped_after() {
        let entry = entry("3");
        let first = entry.decode::<u32>();
        let second = entry.decode::<u32>();
        assert!(first.as_ref().zip(second.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b)));
        drop((first, second));
        entry.sweep();
        assert!(entry.decoded.lock().unwrap().is_none());
        assert_eq!(entry.decode::<u64>().as_deref(), Some(&3), "another type decodes anew");
    }

    #[test]
    fn what_cannot_be_decoded_is_absent() {
        assert_eq!(entry("{").decode::<u32>(), None);
    }
}
