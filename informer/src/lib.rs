//! Shared read caches over the API: one per kind and process, fed by a [`Source`].
//!
//! Objects are kept as bytes and decoded when somebody asks. Over HTTP the source is a list and a watch; inside the
//! tenant process it is the API server's own watch cache, joined by the composition root.

use apimachinery::GroupVersionResource;
use bytes::Bytes;
use futures::stream::BoxStream;
use std::sync::Arc;

/// An object as a source delivers it: canonical JSON and the little that every cache keys by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub revision: u64,
    pub bytes: Bytes,
}

/// What a source says, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The complete state: what is not in it is gone. Always the first item, and again after a gap.
    Replaced(Vec<Raw>),
    Applied(Raw),
    /// The last state of the object.
    Deleted(Raw),
}

/// Lists and then follows one resource, for ever: a source reconnects by itself and never ends.
pub trait Source: Send + Sync + 'static {
    fn follow(&self, resource: &GroupVersionResource) -> BoxStream<'static, Change>;
}
