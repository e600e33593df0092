//! Forgetting history without making anybody wait: first the promise, then small deletions by primary key.

use super::fault::Fault;
use super::row;
use crate::{Error, Revision};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

/// How many changes one step forgets.
const STEP: i64 = 500;

/// From here on nobody can read history before `through`, whether its rows are still there or not.
pub(super) fn promise(connection: &mut Connection, through: Revision) -> Result<(), Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let counter = row::counter(&transaction)?;
    if through > counter.revision {
        return Err(Error::Future { asked: through, current: counter.revision }.into());
    }
    if through > counter.compacted {
        transaction.prepare_cached("UPDATE counter SET compacted = ?1")?.execute([row::number(through)])?;
        transaction.commit()?;
    }
    Ok(())
}

/// Deletes the oldest rows that the promise covers; false when none are left.
pub(super) fn step(connection: &mut Connection) -> Result<bool, Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let through = row::number(row::counter(&transaction)?.compacted);
    let oldest: Option<i64> = transaction
        .query_row("SELECT revision FROM change ORDER BY revision LIMIT 1", (), |row| row.get(0))
        .optional()?;
    let Some(oldest) = oldest.filter(|oldest| *oldest <= through) else { return Ok(false) };
    let until = through.min(oldest.saturating_add(STEP - 1));
    transaction.prepare_cached("DELETE FROM change WHERE revision <= ?1")?.execute([until])?;
    transaction.commit()?;
    Ok(until < through)
}
