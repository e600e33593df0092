//! Where a tenant's objects live: the [`Storage`] contract, its drivers, and the watch cache.
//!
//! An object is bytes here. The store knows keys and revisions; it never reads a body.
//!
//! - [`Storage`] is the contract, and its doc comments are the specification; the `conformance` tests prove it for every
//!   driver and for the cache over each.
//! - [`Memory`] is the simplest thing that keeps the contract: the oracle of the tests.
//! - [`Sqlite`] is the default store of a tenant.
//! - [`Cache`] wraps a store, is one itself, and is what the API server reads and watches.

pub mod cache;
mod compactor;
#[cfg(test)]
mod conformance;
mod error;
mod event;
mod expire;
mod key;
mod memory;
mod object;
mod range;
mod ring;
pub mod sqlite;
mod storage;
mod tail;
mod transaction;

pub use cache::{Cache, Entry, Follow, Name, Slot, Snapshot};
pub use compactor::compact_regularly;
pub use error::Error;
pub use event::{Event, EventKind};
pub use expire::sweep;
pub use key::{Key, Revision};
pub use memory::Memory;
pub use object::{Stored, Unsealed};
pub use range::{Changes, Page, Range};
pub use ring::Bounds;
pub use sqlite::Sqlite;
pub use storage::{Storage, Watch};
pub use transaction::{Check, Write};
