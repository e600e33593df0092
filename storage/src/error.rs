//! Why a store refuses or fails.

use crate::{Key, Revision, Stored};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A check did not hold; `found` is what is there instead.
    #[error("check failed on {key}")]
    Conflict { key: Key, found: Option<Box<Stored>> },
    #[error("revision {asked} was compacted, the oldest held is {oldest}")]
    Compacted { asked: Revision, oldest: Revision },
    #[error("revision {asked} lies in the future, the newest is {current}")]
    Future { asked: Revision, current: Revision },
    /// The watcher fell so far behind that what comes next is no longer at hand: it resumes by watching again from the
    /// last revision it has seen.
    #[error("the watcher at revision {at} was too slow")]
    TooSlow { at: Revision },
    #[error("the body of {key} has no place for its revision")]
    Malformed { key: Key },
    /// Another process (or another handle of this one) has the store open.
    #[error("the store {path} is in use")]
    InUse { path: String },
    #[error("the store failed to {operation}")]
    Backend { operation: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the store is closed")]
    Closed,
}
