//! The change log, a page at a time.

use super::fault::Fault;
use super::row::{self, Sharing};
use crate::{Changes, Event, EventKind, Key, Revision, Stored};
use rusqlite::{Connection, params};
use std::sync::Arc;

/// A page ends when its bodies reach this many bytes, however few they are.
const BYTES: usize = 4 << 20;

pub(super) fn kind_number(kind: EventKind) -> i64 {
    match kind {
        EventKind::Created => 0,
        EventKind::Updated => 1,
        EventKind::Deleted => 2,
    }
}

fn kind(number: i64) -> Result<EventKind, rusqlite::Error> {
    match number {
        0 => Ok(EventKind::Created),
        1 => Ok(EventKind::Updated),
        2 => Ok(EventKind::Deleted),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(1, other)),
    }
}

pub(super) fn page(
    connection: &Connection,
    resource: Option<&str>,
    after: Revision,
    limit: usize,
) -> Result<Changes, Fault> {
    let counter = row::counter(connection)?;
    counter.reach(after)?;
    let mut statement = connection.prepare_cached(
        "SELECT c.revision, c.kind, c.resource, c.namespace, c.name, c.previous_revision,
                coalesce(c.last, n.previous, o.body), c.previous
         FROM change AS c
         LEFT JOIN change AS n ON n.previous_revision = c.revision
         LEFT JOIN object AS o ON n.revision IS NULL AND c.last IS NULL
             AND o.resource = c.resource AND o.namespace = c.namespace AND o.name = c.name
         WHERE c.revision > ?1 AND (?2 IS NULL OR c.resource = ?2) ORDER BY c.revision",
    )?;
    let mut rows = statement.query(params![row::number(after), resource])?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    let (mut resources, mut namespaces) = (Sharing::default(), Sharing::default());
    while let Some(row) = rows.next()? {
        let revision = row::revision(row, 0)?;
        let key =
            Key { resource: resources.text(row, 2)?, namespace: namespaces.text(row, 3)?, name: row::name(row, 4)? };
        let previous = match row.get::<_, Option<i64>>(5)? {
            Some(_) => Some(Stored { key: key.clone(), revision: row::revision(row, 5)?, body: row::bytes(row, 7)? }),
            None => None,
        };
        let object = Stored { key, revision, body: row::bytes(row, 6)? };
        bytes += object.body.len() + previous.as_ref().map_or(0, |previous| previous.body.len());
        events.push(Arc::new(Event { kind: kind(row.get(1)?)?, object, previous }));
        if events.len() >= limit.max(1) || bytes >= BYTES {
            return Ok(Changes { events, through: revision });
        }
    }
    Ok(Changes { events, through: counter.revision })
}
