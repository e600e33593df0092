//! What a transaction asks and does. Its form is that of etcd's transactions: compare, then write.

use crate::{Error, Key, Revision, Stored, Unsealed};
use std::collections::HashMap;

/// What must hold, at the start of the transaction, for its writes to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    Absent(Key),
    /// Present, whatever its revision.
    Present(Key),
    /// Present with exactly this revision.
    At(Key, Revision),
}

impl Check {
    pub fn key(&self) -> &Key {
        match self {
            Self::Absent(key) | Self::Present(key) | Self::At(key, _) => key,
        }
    }

    /// Whether an object at `found` (or its absence) satisfies the check.
    pub fn holds(&self, found: Option<Revision>) -> bool {
        match self {
            Self::Absent(_) => found.is_none(),
            Self::Present(_) => found.is_some(),
            Self::At(_, revision) => found == Some(*revision),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put(Key, Unsealed),
    /// Carries the last state, which becomes the body of the deletion event with the deletion's own revision.
    /// Deleting what is not there is a conflict that finds nothing.
    Delete(Key, Unsealed),
}

impl Write {
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key, _) => key,
        }
    }

    pub fn body(&self) -> &Unsealed {
        match self {
            Self::Put(_, body) | Self::Delete(_, body) => body,
        }
    }
}

/// Decides a whole transaction before anything is written, so that drivers never undo a half of one. `find` answers
/// what is at a key before the transaction.
pub(crate) fn admit<E: From<Error>>(
    checks: &[Check],
    writes: &[Write],
    mut find: impl FnMut(&Key) -> Result<Option<Revision>, E>,
    mut show: impl FnMut(&Key) -> Result<Option<Stored>, E>,
) -> Result<(), E> {
    for write in writes {
        if !write.body().is_sound() {
            return Err(Error::Malformed { key: write.key().clone() }.into());
        }
    }
    for check in checks {
        if !check.holds(find(check.key())?) {
            return Err(Error::Conflict { key: check.key().clone(), found: show(check.key())?.map(Box::new) }.into());
        }
    }
    // A later write of the same transaction sees what the earlier ones left.
    let mut left: HashMap<&Key, bool> = HashMap::new();
    for write in writes {
        match write {
            Write::Put(key, _) => {
                if writes.len() > 1 {
                    left.insert(key, true);
                }
            }
            Write::Delete(key, _) => {
                let present = match left.get(key) {
                    Some(present) => *present,
                    None => find(key)?.is_some(),
                };
                if !present {
                    return Err(Error::Conflict { key: key.clone(), found: None }.into());
                }
                left.insert(key, false);
            }
        }
    }
    Ok(())
}
