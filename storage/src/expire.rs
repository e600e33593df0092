//! Deletes objects that have had their time: Events live an hour (kube-apiserver `--event-ttl`).
//!
//! Nothing is scheduled here: the server calls this now and then, with the clock and the meaning of a body.

use crate::{Cache, Check, Entry, Error, Storage, Unsealed, Write};
use futures::StreamExt;

/// How many deletions share a group commit.
const ABREAST: usize = 64;

/// Deletes the objects of `resource` that were last written before `older_than`; answers how many. `written_at` reads the
/// time out of an entry (none: it stays), `last_state` makes the body of the deletion event (none: it stays). An object
/// that is changed meanwhile is young again and stays.
///
/// # Errors
/// What the store gives; what was deleted until then stays deleted.
pub async fn sweep<T: Ord>(
    cache: &Cache,
    resource: &str,
    older_than: T,
    written_at: impl Fn(&Entry) -> Option<T>,
    last_state: impl Fn(&Entry) -> Option<Unsealed>,
) -> Result<usize, Error> {
    let snapshot = cache.snapshot(resource);
    let mut writes = Vec::new();
    for entry in snapshot.entries.values() {
        if written_at(entry).is_some_and(|time| time < older_than)
            && let Some(body) = last_state(entry)
        {
            writes.push((Check::At(entry.key.clone(), entry.revision), Write::Delete(entry.key.clone(), body)));
        }
    }
    let deletions = writes.into_iter().map(|(check, write)| cache.transact(vec![check], vec![write]));
    let mut deletions = futures::stream::iter(deletions).buffer_unordered(ABREAST);
    let mut deleted = 0;
    while let Some(result) = deletions.next().await {
        match result {
            Ok(_) => deleted += 1,
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(deleted)
}
