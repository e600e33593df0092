//! Rows to objects, and the lookups by key that both threads do.

use super::fault::Fault;
use crate::{Error, Key, Revision, Stored};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};
use std::sync::Arc;

/// The two numbers that a store stands at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter {
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
}

impl Counter {
    /// Whether the state at this revision, and all history after it, is held.
    pub(super) fn reach(&self, asked: Revision) -> Result<(), Fault> {
        if asked < self.compacted {
            return Err(Error::Compacted { asked, oldest: self.compacted }.into());
        }
        if asked > self.revision {
            return Err(Error::Future { asked, current: self.revision }.into());
        }
        Ok(())
    }
}

/// SQLite's integers are signed; revisions stay below 2^63 for longer than anything lives.
pub(super) fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

pub(super) fn revision(row: &Row<'_>, column: usize) -> rusqlite::Result<Revision> {
    Ok(Revision(row.get::<_, i64>(column)?.unsigned_abs()))
}

pub(super) fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?))
}

pub(super) fn counter(connection: &Connection) -> Result<Counter, Fault> {
    let mut statement = connection.prepare_cached("SELECT revision, compacted FROM counter")?;
    Ok(statement.query_row((), |row| Ok(Counter { revision: revision(row, 0)?, compacted: revision(row, 1)? }))?)
}

pub(super) fn get(connection: &Connection, key: &Key) -> Result<Option<Stored>, Fault> {
    Ok(find(connection, key)?.map(|(_, object)| object))
}

/// The object and its row.
pub(super) fn find(connection: &Connection, key: &Key) -> Result<Option<(i64, Stored)>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT rowid, revision, body FROM object WHERE resource = ?1 AND namespace = ?2 AND name = ?3",
    )?;
    let found = statement.query_row((&*key.resource, &*key.namespace, &*key.name), |row| {
        Ok((row.get(0)?, Stored { key: key.clone(), revision: revision(row, 1)?, body: bytes(row, 2)? }))
    });
    Ok(found.optional()?)
}

pub(super) fn find_revision(connection: &Connection, key: &Key) -> Result<Option<Revision>, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT revision FROM object WHERE resource = ?1 AND namespace = ?2 AND name = ?3")?;
    let found = statement.query_row((&*key.resource, &*key.namespace, &*key.name), |row| revision(row, 0));
    Ok(found.optional()?)
}

/// Shares the strings of consecutive rows: whole lists have one resource and few namespaces.
#[derive(Debug, Default)]
pub(super) struct Sharing(Option<Arc<str>>);

impl Sharing {
    pub(super) fn text(&mut self, row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
        let text = row.get_ref(column)?.as_str()?;
        match &self.0 {
            Some(last) if **last == *text => Ok(last.clone()),
            _ => {
                let text: Arc<str> = Arc::from(text);
                self.0 = Some(text.clone());
                Ok(text)
            }
        }
    }
}

/// A name, which is rarely shared.
pub(super) fn name(row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
    Ok(Arc::from(row.get_ref(column)?.as_str()?))
}
