//! What can go wrong on a database thread: SQLite itself, or a refusal that the contract names.

use crate::Error;

#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Refused(Error),
}

impl Fault {
    /// The error that the caller sees.
    pub(super) fn during(self, operation: &'static str) -> Error {
        match self {
            Self::Sql(source) => Error::Backend { operation, source: Box::new(source) },
            Self::Refused(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}
