//! The default store of a tenant: one SQLite file, one connection that writes and one that reads.
//!
//! WAL with synchronous FULL: an answered write survives the loss of power. Whoever writes drains the queue into one
//! transaction (group commit), so that many small writes share one flush: a caller that finds nobody else at it, else a
//! thread. Readers see committed snapshots and never wait for a write. A file has one owner; a second one is refused ([`Error::InUse`]).
//!
//! Dropping the last handle (streams count) finishes the queue and waits for both threads.

mod commit;
mod compact;
mod fault;
mod file;
mod list;
mod log;
mod reader;
mod row;
mod writer;

use crate::ring::Ring;
use crate::tail::{Log, Overtaken, Tail};
use crate::{Bounds, Changes, Check, Error, Event, Key, Page, Range, Revision, Storage, Stored, Watch, Write};
use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// See the module.
#[derive(Clone, Debug)]
pub struct Sqlite {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    // Dropped in this order: the writer finishes its queue while reads still work.
    writer: writer::Writer,
    reader: reader::Reader,
    ring: Arc<Ring<Event>>,
}

/// What the driver itself keeps in memory: enough for a cache to follow without reading the file.
const HANDOVER: Bounds = Bounds { events: 4_096, bytes: 8 << 20, fresh: Duration::from_secs(1), floor: 64 };

/// How much of the log one read takes.
const PAGE: usize = 500;

impl Sqlite {
    /// Opens the store, or makes it when there is none, and continues its history. Blocks for the time of a few file
    /// reads, and for the replay of the write-ahead log after a crash. Beside `path` there will be `path-wal`,
    /// `path-shm` and `path-lock`.
    ///
    /// # Errors
    /// `InUse` when somebody has it open, `Backend` when the file cannot be opened or is no store of ours.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let lock = file::lock(path)?;
        let (writing, revision) = file::open(path).map_err(|fault| fault.during("open"))?;
        let reading = file::connect(path).map_err(|fault| fault.during("open"))?;
        let ring = Arc::new(Ring::new(HANDOVER, revision));
        let inner = Inner {
            writer: writer::Writer::start(writing, lock, ring.clone())?,
            reader: reader::Reader::start(reading)?,
            ring,
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

#[async_trait]
impl Storage for Sqlite {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Error> {
        let key = key.clone();
        self.inner.reader.read("get an object", move |connection| row::get(connection, &key)).await
    }

    async fn list(&self, range: &Range) -> Result<Page, Error> {
        let range = range.clone();
        self.inner.reader.read("list objects", move |connection| list::list(connection, &range)).await
    }

    async fn everything(&self) -> Result<Page, Error> {
        self.inner.reader.read("list all objects", list::everything).await
    }

    async fn transact(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<Vec<Revision>, Error> {
        self.inner.writer.transact(checks, writes).await
    }

    async fn changes(&self, resource: Option<&str>, after: Revision, limit: usize) -> Result<Changes, Error> {
        let resource = resource.map(str::to_owned);
        let page = move |connection: &_| log::page(connection, resource.as_deref(), after, limit);
        self.inner.reader.read("read the change log", page).await
    }

    async fn watch(&self, resource: Option<Arc<str>>, after: Revision) -> Result<Watch, Error> {
        let reach = move |connection: &_| row::counter(connection)?.reach(after);
        self.inner.reader.read("start a watch", reach).await?;
        let tail = Tail::new(self.inner.ring.clone(), resource, after, Overtaken::Rereads);
        Ok(Box::pin(futures::stream::try_unfold((self.clone(), tail), |(store, mut tail)| async move {
            let event = tail.next(&store).await?;
            Ok(Some((event, (store, tail))))
        })))
    }

    async fn current(&self) -> Result<Revision, Error> {
        Ok(self.inner.ring.last())
    }

    async fn compact(&self, through: Revision) -> Result<(), Error> {
        self.inner.writer.compact(through).await
    }
}

#[async_trait]
impl Log<Event> for Sqlite {
    async fn page(&self, resource: Option<&str>, after: Revision) -> Result<(Vec<Arc<Event>>, Revision), Error> {
        let changes = self.changes(resource, after, PAGE).await?;
        Ok((changes.events, changes.through))
    }
}
