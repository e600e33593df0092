//! Pages of objects: from the current state, and from an older one that is put together with the log's help.

use super::fault::Fault;
use super::row::{self, Sharing};
use crate::{Key, Page, Range, Revision, Stored};
use rusqlite::{Connection, params};
use std::sync::Arc;

/// Where a page begins: strictly after this (namespace, name). None when nothing can be in the range.
fn start(range: &Range) -> Option<(Arc<str>, Arc<str>)> {
    let empty: Arc<str> = Arc::from("");
    match (&range.namespace, &range.after) {
        (None, None) => Some((empty.clone(), empty)),
        (None, Some(after)) => Some(after.clone()),
        (Some(namespace), None) => Some((namespace.clone(), empty)),
        (Some(namespace), Some((after, name))) => match after.cmp(namespace) {
            std::cmp::Ordering::Less => Some((namespace.clone(), empty)),
            std::cmp::Ordering::Equal => Some((namespace.clone(), name.clone())),
            std::cmp::Ordering::Greater => None,
        },
    }
}

pub(super) fn list(connection: &Connection, range: &Range) -> Result<Page, Fault> {
    let counter = row::counter(connection)?;
    let revision = range.at.unwrap_or(counter.revision);
    counter.reach(revision)?;
    let Some(start) = start(range) else { return Ok(Page { revision, ..Page::default() }) };
    if revision == counter.revision {
        newest(connection, range, &start, revision)
    } else {
        past(connection, range, &start, revision)
    }
}

/// One namespace is a range of names; all of them a range of pairs.
fn within(range: &Range) -> &'static str {
    match range.namespace {
        Some(_) => "resource = ?1 AND namespace = ?2 AND name > ?3",
        None => "resource = ?1 AND (namespace, name) > (?2, ?3)",
    }
}

fn newest(
    connection: &Connection,
    range: &Range,
    (namespace, name): &(Arc<str>, Arc<str>),
    revision: Revision,
) -> Result<Page, Fault> {
    let within = within(range);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT namespace, name, revision, body FROM object WHERE {within} ORDER BY namespace, name LIMIT ?4"
    ))?;
    let limit = if range.limit == 0 { -1 } else { i64::try_from(range.limit).unwrap_or(i64::MAX) };
    let mut rows = statement.query(params![&*range.resource, &**namespace, &**name, limit])?;
    let (mut items, mut namespaces) = (Vec::new(), Sharing::default());
    while let Some(row) = rows.next()? {
        let (namespace, name) = (namespaces.text(row, 0)?, row::name(row, 1)?);
        let key = Key { resource: range.resource.clone(), namespace, name };
        items.push(Stored { key, revision: row::revision(row, 2)?, body: row::bytes(row, 3)? });
    }
    let remaining = match items.last() {
        Some(last) if items.len() == range.limit => {
            let mut statement = connection.prepare_cached(&format!("SELECT count(*) FROM object WHERE {within}"))?;
            let count: i64 = statement
                .query_row(params![&*range.resource, &*last.key.namespace, &*last.key.name], |row| row.get(0))?;
            usize::try_from(count).unwrap_or_default()
        }
        _ => 0,
    };
    Ok(Page { items, revision, remaining })
}

/// Where the body of an object as of an older revision is kept.
enum Place {
    /// Unchanged since: the row of `object`.
    Object(i64),
    /// Changed since: what the first later change replaced.
    Change(i64),
}

fn past(
    connection: &Connection,
    range: &Range,
    (namespace, name): &(Arc<str>, Arc<str>),
    at: Revision,
) -> Result<Page, Fault> {
    let within = within(range);
    let mut found: Vec<(Arc<str>, Arc<str>, Place)> = Vec::new();
    let unchanged = format!("SELECT namespace, name, rowid FROM object WHERE {within} AND revision <= ?4");
    // A bare column beside a lone min() is of the row that holds the minimum (SQLite's documentation of SELECT).
    let changed = format!(
        "SELECT namespace, name, min(revision), previous_revision FROM change
         WHERE revision > ?4 AND {within} GROUP BY namespace, name"
    );
    let mut namespaces = Sharing::default();
    let mut statement = connection.prepare_cached(&unchanged)?;
    let mut rows = statement.query(params![&*range.resource, &**namespace, &**name, row::number(at)])?;
    while let Some(row) = rows.next()? {
        found.push((namespaces.text(row, 0)?, row::name(row, 1)?, Place::Object(row.get(2)?)));
    }
    let mut statement = connection.prepare_cached(&changed)?;
    let mut rows = statement.query(params![&*range.resource, &**namespace, &**name, row::number(at)])?;
    while let Some(row) = rows.next()? {
        if row.get::<_, Option<i64>>(3)?.is_some() {
            found.push((namespaces.text(row, 0)?, row::name(row, 1)?, Place::Change(row.get(2)?)));
        }
    }
    found.sort_unstable_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let taken = if range.limit == 0 { found.len() } else { range.limit.min(found.len()) };
    let remaining = found.len() - taken;
    let mut items = Vec::with_capacity(taken);
    let mut from_object = connection.prepare_cached("SELECT revision, body FROM object WHERE rowid = ?1")?;
    let mut from_change =
        connection.prepare_cached("SELECT previous_revision, previous FROM change WHERE revision = ?1")?;
    for (namespace, name, place) in found.into_iter().take(taken) {
        let (statement, id) = match place {
            Place::Object(id) => (&mut from_object, id),
            Place::Change(id) => (&mut from_change, id),
        };
        let key = Key { resource: range.resource.clone(), namespace, name };
        items.push(
            statement.query_row([id], |row| {
                Ok(Stored { key, revision: row::revision(row, 0)?, body: row::bytes(row, 1)? })
            })?,
        );
    }
    Ok(Page { items, revision: at, remaining })
}

pub(super) fn everything(connection: &Connection) -> Result<Page, Fault> {
    let revision = row::counter(connection)?.revision;
    let mut statement = connection.prepare_cached(
        "SELECT resource, namespace, name, revision, body FROM object ORDER BY resource, namespace, name",
    )?;
    let mut rows = statement.query(())?;
    let (mut items, mut resources, mut namespaces) = (Vec::new(), Sharing::default(), Sharing::default());
    while let Some(row) = rows.next()? {
        let (resource, namespace) = (resources.text(row, 0)?, namespaces.text(row, 1)?);
        let key = Key { resource, namespace, name: row::name(row, 2)? };
        items.push(Stored { key, revision: row::revision(row, 3)?, body: row::bytes(row, 4)? });
    }
    Ok(Page { items, revision, remaining: 0 })
}
