//! What the cache has beyond a store: entries, snapshots, followers and their ends.

use super::{NARROW, at, commit, delete, key, memory, outcome, put, sqlite};
use crate::{Bounds, Cache, Entry, EventKind, Name, Range, Revision, Storage, sweep};
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;

async fn cache(bounds: Bounds) -> (Cache, super::Subject) {
    let inner = sqlite().await;
    (Cache::start(inner.store.clone(), bounds).await.unwrap(), inner)
}

#[tokio::test]
async fn entries_are_shared_by_all_who_read() {
    let (cache, _inner) = cache(Bounds::default()).await;
    commit(&cache, vec![put("pods/default/a", "1")]).await;
    let entry = cache.entry(&key("pods/default/a")).unwrap();
    assert_eq!(*entry.head.get_or_init(|| "parsed once"), "parsed once");
    let mut first = cache.follow(Some("pods"), Revision(1)).await.unwrap();
    let mut second = cache.follow(None, Revision(1)).await.unwrap();
    let snapshot = cache.snapshot("pods");
    commit(&cache, vec![delete("pods/default/a", "2")]).await;
    let event = first.next().await.unwrap();
    assert_eq!((event.kind, event.revision()), (EventKind::Deleted, Revision(2)));
    assert!(Arc::ptr_eq(event.previous.as_ref().unwrap(), &entry), "with what was parsed out of it");
    assert!(Arc::ptr_eq(&event, &second.next().await.unwrap()), "frames are encoded once for all");
    assert!(Arc::ptr_eq(&snapshot.entries[&Name::new("default", "a")], &entry), "a snapshot stands still");
    assert!(cache.entry(&key("pods/default/a")).is_none());
    let past = cache.snapshot_at("pods", Revision(1)).await.unwrap();
    assert!(Arc::ptr_eq(&past.entries[&Name::new("default", "a")], &entry), "so does the past");
}

#[tokio::test]
async fn progress_tells_what_was_handed_out_and_no_more() {
    let (cache, _inner) = cache(Bounds::default()).await;
    let mut pods = cache.follow(Some("pods"), Revision(0)).await.unwrap();
    assert_eq!(pods.progress(), Revision(0));
    commit(&cache, vec![put("nodes/n", "1"), put("nodes/n", "2")]).await;
    assert_eq!(pods.progress(), Revision(2), "a quiet resource is not left behind");
    commit(&cache, vec![put("pods/default/a", "3"), put("pods/default/b", "4"), put("nodes/n", "5")]).await;
    assert_eq!(pods.progress(), Revision(2), "there is something to hand out");
    assert_eq!(pods.next().await.unwrap().revision(), Revision(3));
    assert_eq!(pods.progress(), Revision(3));
    assert_eq!(pods.next().await.unwrap().revision(), Revision(4));
    assert_eq!(pods.progress(), Revision(5));
    assert!(pods.next().now_or_never().is_none());
    commit(&cache, vec![put("pods/default/a", "6"), put("pods/default/a", "7"), put("nodes/n", "8")]).await;
    assert_eq!(pods.ready(1).len(), 1);
    assert_eq!(pods.progress(), Revision(6));
    assert_eq!(pods.ready(10).len(), 1);
    assert_eq!((pods.ready(10).len(), pods.progress()), (0, Revision(8)));
}

/// After a restart the ring is empty, and a quiet resource has nothing in the log either.
#[tokio::test]
async fn watches_resume_from_before_a_restart() {
    let (first, inner) = cache(Bounds::default()).await;
    commit(&first, vec![put("pods/default/a", "1"), put("nodes/n", "2"), put("pods/default/a", "3")]).await;
    drop(first);
    let cache = Cache::start(inner.store.clone(), Bounds::default()).await.unwrap();
    let mut pods = cache.follow(Some("pods"), Revision(1)).await.unwrap();
    let mut quiet = cache.follow(Some("secrets"), Revision(1)).await.unwrap();
    assert_eq!((quiet.ready(10).len(), quiet.progress()), (0, Revision(3)));
    assert_eq!(pods.next().await.unwrap().revision(), Revision(3));
    commit(&cache, vec![put("secrets/default/s", "4"), put("pods/default/a", "5")]).await;
    assert_eq!(quiet.next().await.unwrap().revision(), Revision(4));
    assert_eq!(pods.next().await.unwrap().revision(), Revision(5));
    let past = cache.snapshot_at("pods", Revision(1)).await.unwrap();
    assert_eq!(past.entries[&Name::new("default", "a")].revision, Revision(1));
}

#[tokio::test]
async fn a_slow_watcher_ends_and_a_quiet_one_does_not() {
    let (cache, _inner) = cache(NARROW).await;
    let mut pods = cache.follow(Some("pods"), Revision(0)).await.unwrap();
    let mut nodes = cache.follow(Some("nodes"), Revision(0)).await.unwrap();
    for number in 0..10 {
        commit(&cache, vec![put("pods/default/a", &number.to_string())]).await;
    }
    assert_eq!(outcome(&pods.next().await), "too slow");
    assert!(nodes.next().now_or_never().is_none(), "it has missed nothing");
    assert_eq!(nodes.progress(), Revision(10));
    // It resumes from the log.
    let mut again = cache.follow(Some("pods"), Revision(0)).await.unwrap();
    for revision in 1..=10 {
        assert_eq!(again.next().await.unwrap().revision(), Revision(revision));
    }
    commit(&cache, vec![put("nodes/n", "")]).await;
    assert_eq!(nodes.next().await.unwrap().revision(), Revision(11));
}

#[tokio::test]
async fn pages_are_filtered() {
    for bounds in [Bounds::default(), NARROW] {
        let (cache, _inner) = cache(bounds).await;
        commit(&cache, (0..30).map(|number| put(&format!("pods/default/{number:02}"), "")).collect()).await;
        commit(&cache, (0..30).map(|number| delete(&format!("pods/default/{number:02}"), "")).collect()).await;
        let third = |entry: &Entry| entry.name_number().is_multiple_of(3);
        for (after, limit, expected) in [
            (None, 4, "0 3 6 9, 20 remain, more"),
            (Some("09"), 4, "12 15 18 21, 8 remain, more"),
            (Some("21"), 4, "24 27, 0 remain"),
            (Some("21"), 2, "24 27, 2 remain"),
            (Some("27"), 4, ", 0 remain"),
            (Some("20"), 0, "21 24 27, 0 remain"),
        ] {
            let range = Range {
                after: after.map(|name| ("default".into(), name.into())),
                limit,
                at: Some(Revision(30)),
                ..Range::all("pods")
            };
            let page = cache.list_entries(&range, third).await.unwrap();
            let names: Vec<_> = page.items.iter().map(|entry| entry.name_number().to_string()).collect();
            let more = if page.more { ", more" } else { "" };
            let found = format!("{}, {} remain{more}", names.join(" "), page.remaining);
            assert_eq!(found, expected, "{after:?} {limit} {bounds:?}");
        }
        let now = cache.list_entries(&Range::all("pods"), third).await.unwrap();
        assert_eq!((now.items.len(), now.revision), (0, Revision(60)));
    }
}

impl Entry {
    fn name_number(&self) -> u32 {
        self.key.name.parse().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_revision() {
    let inner = memory().await;
    let cache = Arc::new(Cache::start(inner.store.clone(), Bounds::default()).await.unwrap());
    let minute = Duration::from_mins(1);
    assert_eq!(outcome(&cache.fresh(Revision(1), minute).await), "future");
    assert_eq!(cache.fresh(Revision(0), minute).await.unwrap(), Revision(0));
    let waiting = tokio::spawn({
        let cache = cache.clone();
        async move { cache.fresh(Revision(2), minute).await }
    });
    // Somebody else writes: not through this cache.
    commit(&*inner.store, vec![put("pods/default/a", ""), put("pods/default/b", "")]).await;
    assert_eq!(waiting.await.unwrap().unwrap(), Revision(2));
    commit(&*inner.store, vec![put("pods/default/c", "")]).await;
    assert_eq!(cache.consistent().await.unwrap(), Revision(3));
}

#[tokio::test]
async fn a_dropped_cache_ends_its_watchers() {
    let (cache, _inner) = cache(Bounds::default()).await;
    let mut pods = cache.follow(Some("pods"), Revision(0)).await.unwrap();
    commit(&cache, vec![put("pods/default/a", "")]).await;
    drop(cache);
    assert_eq!(pods.next().await.unwrap().revision(), Revision(1), "after what it had");
    assert_eq!(outcome(&pods.next().await), "closed");
}

#[tokio::test]
async fn sweeping_deletes_what_is_old_and_unchanged() {
    let (cache, _inner) = cache(Bounds::default()).await;
    for number in 0..10 {
        commit(&cache, vec![put(&format!("events/default/{number}"), "")]).await;
    }
    let young = |entry: &Entry| Some(entry.name_number());
    let odd_stay = |entry: &Entry| entry.name_number().is_multiple_of(2).then(|| super::body("swept"));
    assert_eq!(sweep(&cache, "events", 5, young, odd_stay).await.unwrap(), 3);
    let left: Vec<_> = cache.snapshot("events").entries.values().map(|entry| entry.name_number()).collect();
    assert_eq!(left, [1, 3, 5, 6, 7, 8, 9]);
    // One that is written between the look and the deletion stays. The write is under way when the deletion is asked for,
    // and is kept from being given up.
    let writing = std::sync::Mutex::new(Vec::new());
    let race = |entry: &Entry| {
        if entry.name_number() == 1 {
            let mut write = cache.transact(vec![at("events/default/1", 2)], vec![put("events/default/1", "young")]);
            assert!((&mut write).now_or_never().is_none());
            writing.lock().unwrap().push(write);
        }
        Some(entry.name_number())
    };
    assert_eq!(sweep(&cache, "events", 2, race, |_| Some(super::body("swept"))).await.unwrap(), 0);
    assert!(cache.entry(&key("events/default/1")).is_some());
}
