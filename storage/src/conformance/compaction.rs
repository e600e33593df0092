//! Forgetting history.

use super::{commit, delete, key, outcome, put, take};
use crate::{Error, Range, Revision, Storage};
use std::sync::Arc;

fn pods_at(revision: u64) -> Range {
    Range { at: Some(Revision(revision)), ..Range::all("pods") }
}

async fn updates(store: &dyn Storage, count: usize) {
    for _ in 0..count {
        commit(store, vec![put("pods/default/a", "")]).await;
    }
}

pub(super) async fn history_goes_and_objects_stay(store: Arc<dyn Storage>) {
    commit(&*store, vec![put("pods/default/old", "")]).await;
    updates(&*store, 9).await;
    store.compact(Revision(6)).await.unwrap();
    assert!(store.get(&key("pods/default/old")).await.unwrap().is_some());
    for (revision, expected) in [(0, "compacted"), (1, "compacted"), (5, "compacted"), (6, "ok"), (10, "ok")] {
        assert_eq!(outcome(&store.list(&pods_at(revision)).await), expected, "list at {revision}");
        assert_eq!(outcome(&store.changes(None, Revision(revision), 1).await), expected, "changes after {revision}");
        for resource in [None, Some("pods"), Some("quiet")] {
            let watch = store.watch(resource.map(Into::into), Revision(revision)).await;
            assert_eq!(outcome(&watch), expected, "watch of {resource:?} after {revision}");
        }
    }
    match store.list(&pods_at(2)).await {
        Err(Error::Compacted { asked, oldest }) => assert_eq!((asked, oldest), (Revision(2), Revision(6))),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn the_edge_is_kept(store: Arc<dyn Storage>) {
    commit(&*store, vec![put("pods/default/b", ""), put("pods/default/c", "")]).await;
    updates(&*store, 4).await;
    commit(&*store, vec![delete("pods/default/b", "")]).await;
    let before = store.list(&pods_at(5)).await.unwrap().items;
    store.compact(Revision(5)).await.unwrap();
    assert_eq!(store.list(&pods_at(5)).await.unwrap().items, before);
    let mut watch = store.watch(None, Revision(5)).await.unwrap();
    let seen: Vec<_> = take(&mut watch, 2).await.iter().map(|event| super::line(event)).collect();
    assert_eq!(seen, ["Updated pods/default/a@6 was 5", "Deleted pods/default/b@7 was 1"]);
}

pub(super) async fn only_what_has_happened(store: Arc<dyn Storage>) {
    updates(&*store, 2).await;
    assert_eq!(outcome(&store.compact(Revision(3)).await), "future");
    assert_eq!(outcome(&store.list(&pods_at(0)).await), "ok");
    store.compact(Revision(2)).await.unwrap();
    assert_eq!(store.list(&pods_at(2)).await.unwrap().items.len(), 1);
    assert_eq!(commit(&*store, vec![put("pods/default/a", "")]).await, Revision(3));
}

pub(super) async fn less_than_before_does_nothing(store: Arc<dyn Storage>) {
    updates(&*store, 5).await;
    store.compact(Revision(4)).await.unwrap();
    store.compact(Revision(2)).await.unwrap();
    store.compact(Revision(0)).await.unwrap();
    assert_eq!(outcome(&store.list(&pods_at(3)).await), "compacted");
    assert_eq!(outcome(&store.list(&pods_at(4)).await), "ok");
}

/// More than one step of deletions, with writes between them.
pub(super) async fn a_large_history(store: Arc<dyn Storage>) {
    for round in 0..12 {
        commit(&*store, (0..100).map(|number| put(&format!("pods/default/{number}"), &round.to_string())).collect())
            .await;
    }
    let (compacted, ()) = tokio::join!(store.compact(Revision(1150)), updates(&*store, 5));
    compacted.unwrap();
    assert_eq!(outcome(&store.list(&pods_at(1149)).await), "compacted");
    assert_eq!(store.list(&pods_at(1150)).await.unwrap().items.len(), 100);
    let changes = store.changes(None, Revision(1150), 1000).await.unwrap();
    assert_eq!((changes.events.len(), changes.through), (55, Revision(1205)));
}
