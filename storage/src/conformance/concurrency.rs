//! Many writers, many watchers, and callers who leave.

use super::{at, body, commit, key, put, take};
use crate::{Check, Error, EventKind, Range, Revision, Storage, Stored, Write};
use apimachinery::clock::{Rng, SeededRng};
use futures::{FutureExt, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;

const WRITERS: u64 = 8;
const WRITES: u64 = 40;

/// Creates, updates and deletes among a few names, as chance has it; answers how many writes were committed.
async fn churn(store: Arc<dyn Storage>, seed: u64) -> u64 {
    let rng = SeededRng::new(seed);
    let mut written = 0;
    while written < WRITES {
        let resource = ["pods", "nodes", "leases"][rng.below(3)];
        let name = key(&format!("{resource}/default/{}", rng.below(10)));
        let found = store.get(&name).await.unwrap();
        let mark = rng.next_u64().to_string();
        let (check, write) = match found {
            None => (Check::Absent(name.clone()), Write::Put(name, body(&mark))),
            Some(Stored { revision, .. }) if rng.below(4) == 0 => {
                (Check::At(name.clone(), revision), Write::Delete(name, body(&mark)))
            }
            Some(Stored { revision, .. }) => (Check::At(name.clone(), revision), Write::Put(name, body(&mark))),
        };
        match store.transact(vec![check], vec![write]).await {
            Ok(_) => written += 1,
            Err(Error::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    written
}

/// Lists, then watches until the end; the state that comes out must be the store's, and the history without holes.
async fn observe(store: Arc<dyn Storage>, resource: &'static str, end: Revision) -> BTreeMap<String, Stored> {
    let page = store.list(&Range::all(resource)).await.unwrap();
    let mut objects: BTreeMap<_, _> = page.items.into_iter().map(|object| (object.key.to_string(), object)).collect();
    let mut watch = store.watch(None, page.revision).await.unwrap();
    let mut seen = page.revision;
    while seen < end {
        let event = match watch.next().await.unwrap() {
            Ok(event) => event,
            Err(Error::TooSlow { at }) => {
                assert_eq!(at, seen, "a slow watcher is told where it stands, and resumes there");
                watch = store.watch(None, seen).await.unwrap();
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(event.revision(), seen.next(), "none is missing and none comes twice");
        seen = event.revision();
        if &*event.object.key.resource != resource {
            continue;
        }
        let name = event.object.key.to_string();
        let before = match event.kind {
            EventKind::Deleted => objects.remove(&name),
            EventKind::Created | EventKind::Updated => objects.insert(name, event.object.clone()),
        };
        assert_eq!(before, event.previous);
    }
    objects
}

pub(super) async fn nothing_is_lost_or_reordered(store: Arc<dyn Storage>) {
    let end = Revision(WRITERS * WRITES);
    let writers: Vec<_> = (0..WRITERS).map(|seed| tokio::spawn(churn(store.clone(), seed))).collect();
    let mut observers = Vec::new();
    let rng = SeededRng::new(99);
    // Watchers join at random moments of the churn.
    while store.current().await.unwrap() < Revision(end.0 / 2) && observers.len() < 40 {
        let resource = ["pods", "nodes"][rng.below(2)];
        observers.push((resource, tokio::spawn(observe(store.clone(), resource, end))));
        for _ in 0..rng.below(20) {
            tokio::task::yield_now().await;
        }
        store.get(&key("pods/default/0")).await.unwrap();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.current().await.unwrap(), end);
    for (resource, observer) in observers {
        let items = store.list(&Range::all(resource)).await.unwrap().items;
        let mut observed: Vec<_> = observer.await.unwrap().into_values().collect();
        observed.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(observed, items);
    }
}

pub(super) async fn no_update_is_lost(store: Arc<dyn Storage>) {
    commit(&*store, vec![put("leases/default/counter", "0")]).await;
    let increment = |store: Arc<dyn Storage>| async move {
        let mut done = 0;
        while done < 20 {
            let found = store.get(&key("leases/default/counter")).await.unwrap().unwrap();
            let text = String::from_utf8(found.body.to_vec()).unwrap();
            let count: u64 = text.split("\"mark\":\"").nth(1).unwrap().trim_end_matches("\"}").parse().unwrap();
            let write = put("leases/default/counter", &(count + 1).to_string());
            let check = at("leases/default/counter", found.revision.0);
            match store.transact(vec![check], vec![write]).await {
                Ok(_) => done += 1,
                Err(Error::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let tasks: Vec<_> = (0..6).map(|_| tokio::spawn(increment(store.clone()))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let found = store.get(&key("leases/default/counter")).await.unwrap().unwrap();
    assert_eq!(&*found.body, super::sealed("120", 121).as_bytes());
}

/// An answered write is in every read that starts later, and in order on every watch.
pub(super) async fn a_watcher_sees_what_it_was_told(store: Arc<dyn Storage>) {
    let tasks: Vec<_> = (0..6_u64)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let name = format!("pods/default/{task}");
                for _ in 0..20 {
                    let revision = commit(&*store, vec![put(&name, "")]).await;
                    assert!(store.current().await.unwrap() >= revision);
                    assert_eq!(store.get(&key(&name)).await.unwrap().unwrap().revision, revision);
                    let page = store.list(&Range::all("pods")).await.unwrap();
                    assert!(page.revision >= revision);
                    let mut watch = store.watch(None, Revision(revision.0 - 1)).await.unwrap();
                    assert_eq!(take(&mut watch, 1).await[0].revision(), revision);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

pub(super) async fn dropped_calls_do_no_harm(store: Arc<dyn Storage>) {
    let mut watch = store.watch(None, Revision(0)).await.unwrap();
    for number in 0..50 {
        let write = put(&format!("pods/default/{number}"), "");
        // Polled once and dropped: it may happen or not.
        let _ = store.transact(vec![], vec![write]).now_or_never();
        let _ = store.list(&Range::all("pods")).now_or_never();
        let _ = take(&mut store.watch(None, Revision(0)).await.unwrap(), 1).now_or_never();
    }
    let end = commit(&*store, vec![put("pods/default/last", "")]).await;
    let events = take(&mut watch, end.0 as usize).await;
    assert!(events.iter().map(|event| event.revision().0).eq(1..=end.0));
    assert_eq!(store.list(&Range::all("pods")).await.unwrap().items.len(), end.0 as usize);
}
