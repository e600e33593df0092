//! The file: who owns it, how it is opened, and its tables.

use super::fault::Fault;
use super::row;
use crate::{Error, Revision};
use rusqlite::{Connection, TransactionBehavior};
use std::fs::{File, TryLockError};
use std::path::Path;

/// Marks the file as ours: "Cora".
const APPLICATION: i32 = 0x436f_7261;

/// The shape of the tables; a file of another shape is refused.
const SHAPE: i32 = 2;

/// `object` is the current state and `change` is history. A body is written once: a change carries what it has replaced,
/// and what it has left is found in the change that replaced that, or in `object`. Both are younger, so the oldest history
/// can always be forgotten. A deletion leaves nothing behind and carries its last state, too. The one row of `counter` is
/// written last in each transaction.
const TABLES: &str = "
    CREATE TABLE object (
        resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        revision INTEGER NOT NULL, body BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX object_key ON object (resource, namespace, name);
    CREATE TABLE change (
        revision INTEGER PRIMARY KEY, kind INTEGER NOT NULL,
        resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        previous_revision INTEGER, previous BLOB, last BLOB
    ) STRICT;
    CREATE INDEX change_previous ON change (previous_revision) WHERE previous_revision IS NOT NULL;
    CREATE TABLE counter (
        id INTEGER PRIMARY KEY CHECK (id = 0), revision INTEGER NOT NULL, compacted INTEGER NOT NULL
    ) STRICT;
    INSERT INTO counter VALUES (0, 0, 0);";

/// Takes the file for this handle. The lock is the operating system's, so it goes with the process however that ends.
pub(super) fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let failed = |source| Error::Backend { operation: "lock its file", source: Box::new(source) };
    let file = File::options().create(true).truncate(false).write(true).open(name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A connection with this store's settings. The page cache stays small: the watch cache above holds what is hot. Pages
/// hold two or three objects of the usual size, where SQLite's default would hold one and half of it empty.
pub(super) fn connect(path: &Path) -> Result<Connection, Fault> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 2000; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;
         PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 16777216;",
    )?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Opens the file for writing, makes its tables when it is new, and answers the revision it stands at.
pub(super) fn open(path: &Path) -> Result<(Connection, Revision), Fault> {
    let mut connection = connect(path)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let pragma = |name: &str| transaction.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION, SHAPE) => {}
        (0, 0) => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", SHAPE)?;
        }
        (application, shape) => {
            let source = format!("the file has application id {application:#x} and shape {shape}").into();
            return Err(Error::Backend { operation: "recognize its file", source }.into());
        }
    }
    let counter = row::counter(&transaction)?;
    transaction.commit()?;
    Ok((connection, counter.revision))
}
