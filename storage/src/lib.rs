//! Where a tenant's objects live: the [`Storage`] contract, its drivers, and the watch cache.
//!
//! An object is bytes here. The store knows keys and revisions; it never reads a body.

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

/// Names one object. Ordered as upstream's storage keys are: resource, then namespace, then name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `pods`, `deployments.apps`: the group resource.
    pub resource: Arc<str>,
    /// Empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

/// A position in the one history of a tenant: 1 is the first write. Gapless and in commit order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A body whose `resourceVersion` is not known yet: the store writes the revision's digits at `revision_at`
/// when it assigns them, so that what is stored is the very JSON that clients get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsealed {
    pub bytes: Vec<u8>,
    pub revision_at: usize,
}

/// An object as of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub key: Key,
    pub revision: Revision,
    pub body: Bytes,
}

/// What must hold, inside the transaction, for its writes to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    Absent(Key),
    /// Present, whatever its revision.
    Present(Key),
    /// Present with exactly this revision.
    At(Key, Revision),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put(Key, Unsealed),
    /// Carries the last state, which becomes the body of the deletion event with the deletion's own revision.
    Delete(Key, Unsealed),
}

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
    pub object: Stored,
    /// The body before the change; none for a creation.
    pub previous: Option<Bytes>,
}

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
    /// A snapshot at this revision; `None`: the newest committed state.
    pub at: Option<Revision>,
}

#[derive(Clone, Debug, Default)]
pub struct Page {
    pub items: Vec<Stored>,
    /// The revision of the snapshot.
    pub revision: Revision,
    /// Objects of the range after the last item.
    pub remaining: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A check did not hold; `found` is what is there instead.
    #[error("check failed on {key:?}")]
    Conflict { key: Key, found: Option<Stored> },
    #[error("revision {asked:?} was compacted, the oldest held is {oldest:?}")]
    Compacted { asked: Revision, oldest: Revision },
    #[error("revision {asked:?} lies in the future, the newest is {current:?}")]
    Future { asked: Revision, current: Revision },
    #[error("the store failed to {operation}")]
    Backend { operation: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the store is closed")]
    Closed,
}

/// A stream of changes; it ends with an error when the watcher was too slow or its start was compacted.
pub type Watch = futures::stream::BoxStream<'static, Result<Arc<Event>, Error>>;

/// The contract; `conformance` proves it for every driver and for the cache over each.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Error>;
    async fn list(&self, range: &Range) -> Result<Page, Error>;
    /// All or nothing. Answers one revision per write, consecutive and in the order given.
    async fn transact(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<Vec<Revision>, Error>;
    /// Every change after `after`, in commit order, none skipped and none twice. `resource`: only of that one.
    async fn watch(&self, resource: Option<Arc<str>>, after: Revision) -> Result<Watch, Error>;
    async fn current(&self) -> Result<Revision, Error>;
    /// Forgets history up to and including `through`; current objects stay.
    async fn compact(&self, through: Revision) -> Result<(), Error>;
}
