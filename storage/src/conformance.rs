//! The contract as tests, run on every driver and on the cache over each of them.
//!
//! A case is a function of a store that is empty; the table at the end runs all cases on all stores. What is special to
//! one driver is tested beside it.

mod cache;
mod compaction;
mod concurrency;
mod crash;
mod files;
mod lists;
mod model;
mod transactions;
mod watches;

use crate::{Bounds, Cache, Check, Error, Event, Key, Memory, Revision, Sqlite, Storage, Unsealed, Watch, Write};
use futures::StreamExt;
use std::sync::Arc;
use tempfile::TempDir;

/// A store under test, and what it needs to live.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn Storage>,
    /// Removed when the store is.
    directory: Option<TempDir>,
}

async fn memory() -> Subject {
    Subject { store: Arc::new(Memory::new()), directory: None }
}

async fn sqlite() -> Subject {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path().join("store.db")).unwrap();
    Subject { store: Arc::new(store), directory: Some(directory) }
}

/// A ring of a few events, so that the cases reach past it, too.
const NARROW: Bounds = Bounds { events: 4, bytes: 1 << 20, fresh: std::time::Duration::from_secs(75), floor: 4 };

async fn cached(inner: Subject, bounds: Bounds) -> Subject {
    let cache = Cache::start(inner.store, bounds).await.unwrap();
    Subject { store: Arc::new(cache), directory: inner.directory }
}

async fn cache_over_memory() -> Subject {
    cached(memory().await, Bounds::default()).await
}

async fn cache_over_sqlite() -> Subject {
    cached(sqlite().await, Bounds::default()).await
}

/// No watcher of these cases is slow, but one that starts before the ring goes to the log.
async fn narrow_cache_over_sqlite() -> Subject {
    cached(sqlite().await, NARROW).await
}

/// `pods/default/a`.
pub(crate) fn key(text: &str) -> Key {
    let parts: Vec<&str> = text.split('/').collect();
    match parts[..] {
        [resource, name] => Key::new(resource, "", name),
        [resource, namespace, name] => Key::new(resource, namespace, name),
        _ => panic!("{text} names no object"),
    }
}

const HEAD: &str = r#"{"metadata":{"resourceVersion":""#;

/// A body with a place for its revision, and something to tell it by.
pub(crate) fn body(mark: &str) -> Unsealed {
    Unsealed { bytes: format!("{HEAD}\"}},\"mark\":\"{mark}\"}}").into_bytes(), revision_at: HEAD.len() }
}

/// What the body is once it is stored.
pub(crate) fn sealed(mark: &str, revision: u64) -> String {
    format!("{HEAD}{revision}\"}},\"mark\":\"{mark}\"}}")
}

pub(crate) fn put(name: &str, mark: &str) -> Write {
    Write::Put(key(name), body(mark))
}

pub(crate) fn delete(name: &str, mark: &str) -> Write {
    Write::Delete(key(name), body(mark))
}

pub(crate) fn absent(name: &str) -> Check {
    Check::Absent(key(name))
}

pub(crate) fn at(name: &str, revision: u64) -> Check {
    Check::At(key(name), Revision(revision))
}

/// Commits writes that nothing can be against; answers the last revision.
pub(crate) async fn commit(store: &dyn Storage, writes: Vec<Write>) -> Revision {
    *store.transact(vec![], writes).await.unwrap().last().unwrap()
}

/// The next `count` events.
pub(crate) async fn take(watch: &mut Watch, count: usize) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    while events.len() < count {
        events.push(watch.next().await.expect("a watch does not end by itself").unwrap());
    }
    events
}

/// `Created pods/default/a@1 was -`: an event in one line.
pub(crate) fn line(event: &Event) -> String {
    let previous = event.previous.as_ref().map_or_else(|| "-".to_owned(), |previous| previous.revision.to_string());
    format!("{:?} {}@{} was {previous}", event.kind, event.object.key, event.object.revision)
}

/// A short name of an outcome.
pub(crate) fn outcome<T>(result: &Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Error::Conflict { .. }) => "conflict",
        Err(Error::Compacted { .. }) => "compacted",
        Err(Error::Future { .. }) => "future",
        Err(Error::TooSlow { .. }) => "too slow",
        Err(Error::Malformed { .. }) => "malformed",
        Err(Error::InUse { .. }) => "in use",
        Err(Error::Backend { .. }) => "backend",
        Err(Error::Closed) => "closed",
    }
}

/// One module of tests for a store: each case on a store of its own.
macro_rules! cases {
    ($fixture:ident; $($module:ident: [$($case:ident),*]),*) => {
        mod $fixture {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let subject = super::$fixture().await;
                    super::$module::$case(subject.store.clone()).await;
                }
            )*)*
        }
    };
}

macro_rules! conforms {
    ($fixture:ident) => {
        cases!($fixture;
            transactions: [
                an_object_lives_and_dies, checks_decide, a_conflict_shows_what_is_there, all_or_nothing,
                a_key_can_be_written_twice, a_body_without_place_is_refused, checks_without_writes,
                deleting_nothing_is_a_conflict, keys_are_told_apart
            ],
            lists: [
                pages_tile_the_range, ranges, a_page_stays_at_its_revision, the_past_can_be_listed, the_future_cannot,
                everything_is_in_key_order
            ],
            watches: [
                from_any_revision, of_one_resource, live, previous_states_are_told, history_in_pages, not_from_the_future
            ],
            compaction: [
                history_goes_and_objects_stay, the_edge_is_kept, only_what_has_happened, less_than_before_does_nothing,
                a_large_history
            ],
            concurrency: [
                nothing_is_lost_or_reordered, no_update_is_lost, a_watcher_sees_what_it_was_told, dropped_calls_do_no_harm
            ]
        );
    };
}

conforms!(memory);
conforms!(sqlite);
conforms!(cache_over_memory);
conforms!(cache_over_sqlite);
conforms!(narrow_cache_over_sqlite);
