//! Shared read caches over the API: one per resource and process, fed by a [`Source`].
//!
//! Objects are kept as bytes and decoded when somebody asks. Over HTTP the source is a list and a watch ([`HttpSource`]);
//! inside the tenant process it is the API server's own watch cache, joined by the composition root.
//!
//! - [`Informers`] hands out typed [`Store`]s; two stores of one resource share its bytes.
//! - A [`Store`] is read, indexed, and subscribed to; a [`Subscription`] starts with what is already there.
//! - A store shows a change before its subscribers hear of it.
//!
//! It refuses to write, and to promise more than its source: what it shows may be older than the API's state.

mod cache;
mod entry;
mod http;
mod informers;
mod metadata;
pub mod shared;
mod store;
mod subscription;

use apimachinery::GroupVersionResource;
use bytes::Bytes;
use futures::stream::BoxStream;
use std::sync::Arc;

pub use http::{HttpSource, Scope};
pub use informers::Informers;
pub use metadata::PartialObject;
pub use store::{Barrier, Store, resource_of};
pub use subscription::{Event, Subscription};

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
