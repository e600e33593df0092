//! The contract of a store.

use crate::{Changes, Check, Error, Event, Key, Page, Range, Revision, Stored, Write};
use async_trait::async_trait;
use std::sync::Arc;

/// A stream of changes. It ends with an error when the watcher was too slow, its start was compacted, or the store was
/// closed; it never ends otherwise and never skips.
pub type Watch = futures::stream::BoxStream<'static, Result<Arc<Event>, Error>>;

/// One tenant's objects and their history.
///
/// Every written object takes a revision of its own; revisions are gapless and in commit order, and none is ever given
/// out twice, whatever happens to the process. An answered write is durable and is in every read that starts later.
/// Futures may be dropped at any time; a dropped `transact` may or may not have happened, as with a lost answer.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// The newest committed state of one object.
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Error>;

    /// A page of objects in key order, all of one revision. `Compacted` and `Future` when `at` is out of reach; every
    /// revision from the one last compacted through, up to the current one, is in reach.
    async fn list(&self, range: &Range) -> Result<Page, Error>;

    /// Every object of every resource, in key order, at the newest revision: what a cache starts from.
    async fn everything(&self) -> Result<Page, Error>;

    /// All or nothing. Answers one revision per write, consecutive and in the order given. Checks speak about the state
    /// before the transaction; a key may be written more than once.
    async fn transact(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<Vec<Revision>, Error>;

    /// The next changes after `after` that the history holds, about `limit` at most; does not wait for any to come.
    /// `resource`: only of that one.
    async fn changes(&self, resource: Option<&str>, after: Revision, limit: usize) -> Result<Changes, Error>;

    /// Every change after `after`, in commit order, none skipped and none twice. `resource`: only of that one.
    /// `Compacted` when history after it is gone, `Future` when it has not happened yet.
    async fn watch(&self, resource: Option<Arc<str>>, after: Revision) -> Result<Watch, Error>;

    /// The revision of the newest committed write.
    async fn current(&self) -> Result<Revision, Error>;

    /// Forgets history up to and including `through`; current objects stay, and so does the state as of `through`.
    /// Compacting less than before does nothing.
    async fn compact(&self, through: Revision) -> Result<(), Error>;
}
