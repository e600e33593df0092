//! An object in the cache, and room for what its readers learn about it.

use crate::{Key, Stored};
use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// Names an object within its resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Name {
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl From<&Key> for Name {
    fn from(key: &Key) -> Self {
        Self { namespace: key.namespace.clone(), name: key.name.clone() }
    }
}

/// Room for one value that is made on first use and then kept: parsed labels of an object, encoded frames of an event.
/// Whoever serves the cache agrees with itself on the type.
#[derive(Default)]
pub struct Slot(OnceLock<Arc<dyn Any + Send + Sync>>);

impl Slot {
    /// The value, made now if nobody has made it; when two make it at once, one is kept. A slot that holds another type is
    /// left alone, and `make` answers.
    pub fn get_or_init<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(kept) = self.get() {
            return kept;
        }
        let made = Arc::new(make());
        match self.0.set(made.clone()) {
            Ok(()) => made,
            Err(_) => self.get().unwrap_or(made),
        }
    }

    /// The value if it was made.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.get()?.clone().downcast().ok()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "Slot(full)" } else { "Slot(empty)" })
    }
}

/// An object of the cache. Shared by the state, the ring and everybody who reads.
#[derive(Debug)]
pub struct Entry {
    pub object: Stored,
    /// What the server parses out of the body once.
    pub head: Slot,
}

impl Entry {
    pub fn new(object: Stored) -> Self {
        Self { object, head: Slot::default() }
    }
}

impl Deref for Entry {
    type Target = Stored;

    fn deref(&self) -> &Stored {
        &self.object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_makes_its_value_once_and_keeps_its_type() {
        let slot = Slot::default();
        assert!(slot.get::<u32>().is_none());
        assert_eq!(*slot.get_or_init(|| 1_u32), 1);
        assert_eq!(*slot.get_or_init(|| 2_u32), 1);
        assert_eq!(*slot.get_or_init(|| "other"), "other");
        assert_eq!(slot.get::<u32>().as_deref(), Some(&1));
        assert!(slot.get::<&str>().is_none());
    }
}
