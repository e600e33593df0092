//! One database transaction that carries the transactions of many callers.

use super::fault::Fault;
use super::log::kind_number;
use super::row;
use crate::transaction::admit;
use crate::{Check, Error, Event, EventKind, Revision, Stored, Write};
use rusqlite::{Connection, TransactionBehavior, params};
use std::sync::Arc;

/// What one caller asked for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) checks: Vec<Check>,
    pub(super) writes: Vec<Write>,
}

/// What each caller is told, and what everybody who watches is.
#[derive(Debug, Default)]
pub(super) struct Committed {
    pub(super) answers: Vec<Result<Vec<Revision>, Error>>,
    pub(super) events: Vec<Arc<Event>>,
}

/// Commits every request whose checks hold; the others are answered and leave no trace. Nothing at all has happened when
/// this fails.
pub(super) fn commit(connection: &mut Connection, requests: &[&Request]) -> Result<Committed, Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut revision = row::counter(&transaction)?.revision;
    let mut committed = Committed::default();
    for request in requests {
        let admitted = admit::<Fault>(
            &request.checks,
            &request.writes,
            |key| row::find_revision(&transaction, key),
            |key| row::get(&transaction, key),
        );
        committed.answers.push(match admitted {
            Ok(()) => {
                let mut revisions = Vec::with_capacity(request.writes.len());
                for write in &request.writes {
                    revision = revision.next();
                    committed.events.push(Arc::new(apply(&transaction, write, revision)?));
                    revisions.push(revision);
                }
                Ok(revisions)
            }
            Err(Fault::Refused(refusal)) => Err(refusal),
            Err(fault @ Fault::Sql(_)) => return Err(fault),
        });
    }
    if !committed.events.is_empty() {
        transaction.prepare_cached("UPDATE counter SET revision = ?1")?.execute([row::number(revision)])?;
        transaction.commit()?;
    }
    Ok(committed)
}

/// Writes the current state and its line of history.
fn apply(connection: &Connection, write: &Write, revision: Revision) -> Result<Event, Fault> {
    let key = write.key();
    let found = row::find(connection, key)?;
    let object = Stored { key: key.clone(), revision, body: write.body().seal(revision) };
    let (at, body) = (row::number(revision), &*object.body);
    let kind = match (write, &found) {
        (Write::Put(..), None) => {
            connection
                .prepare_cached(
                    "INSERT INTO object (resource, namespace, name, revision, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![&*key.resource, &*key.namespace, &*key.name, at, body])?;
            EventKind::Created
        }
        (Write::Put(..), Some((row, _))) => {
            connection
                .prepare_cached("UPDATE object SET revision = ?1, body = ?2 WHERE rowid = ?3")?
                .execute(params![at, body, row])?;
            EventKind::Updated
        }
        (Write::Delete(..), found) => {
            if let Some((row, _)) = found {
                connection.prepare_cached("DELETE FROM object WHERE rowid = ?1")?.execute([row])?;
            }
            EventKind::Deleted
        }
    };
    let previous = found.map(|(_, previous)| previous);
    connection
        .prepare_cached(
            "INSERT INTO change (revision, kind, resource, namespace, name, previous_revision, previous, last)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            at,
            kind_number(kind),
            &*key.resource,
            &*key.namespace,
            &*key.name,
            previous.as_ref().map(|previous| row::number(previous.revision)),
            previous.as_ref().map(|previous| &*previous.body),
            (kind == EventKind::Deleted).then_some(body),
        ])?;
    Ok(Event { kind, object, previous })
}
