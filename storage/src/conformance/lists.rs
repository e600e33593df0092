//! Ranges, pages, and the past.

use super::{commit, delete, outcome, put, sealed};
use crate::{Page, Range, Revision, Storage, Stored};
use std::sync::Arc;

fn names(page: &Page) -> Vec<String> {
    page.items
        .iter()
        .map(|object| format!("{}/{}@{}", object.key.namespace, object.key.name, object.revision))
        .collect()
}

async fn fill(store: &dyn Storage, count: usize) -> Revision {
    let writes = (0..count).map(|number| put(&format!("pods/ns{}/p{number:04}", number % 3), "old")).collect();
    commit(store, writes).await
}

/// Every page of a range, and whether the remaining counts told the truth.
async fn walk(store: &dyn Storage, mut range: Range) -> Vec<Stored> {
    let (mut items, mut promised) = (Vec::<Stored>::new(), None);
    loop {
        let page = store.list(&range).await.unwrap();
        if let Some(promised) = promised {
            assert_eq!(page.items.len() + page.remaining, promised);
        }
        assert!(page.items.len() <= range.limit);
        promised = Some(page.remaining);
        range.at = Some(page.revision);
        range.after = page.items.last().map(|last| (last.key.namespace.clone(), last.key.name.clone()));
        items.extend(page.items);
        if page.remaining == 0 {
            return items;
        }
    }
}

pub(super) async fn pages_tile_the_range(store: Arc<dyn Storage>) {
    let revision = fill(&*store, 31).await;
    let all = store.list(&Range::all("pods")).await.unwrap();
    assert_eq!((all.items.len(), all.remaining, all.revision), (31, 0, revision));
    assert!(all.items.is_sorted_by_key(|object| object.key.clone()));
    for limit in [1, 2, 10, 30, 31, 32] {
        assert_eq!(walk(&*store, Range { limit, ..Range::all("pods") }).await, all.items, "limit {limit}");
    }
}

pub(super) async fn ranges(store: Arc<dyn Storage>) {
    for name in ["pods/a/1", "pods/a/2", "pods/b/1", "pods/c/1", "pods/c/2", "podsx/b/1", "pod/b/1", "nodes/n"] {
        commit(&*store, vec![put(name, "")]).await;
    }
    let range = |resource: &str, namespace: Option<&str>, after: Option<(&str, &str)>, limit| Range {
        resource: resource.into(),
        namespace: namespace.map(Into::into),
        after: after.map(|(namespace, name)| (namespace.into(), name.into())),
        limit,
        at: None,
    };
    let cases: [(Range, &[&str], usize); 14] = [
        (range("pods", None, None, 0), &["a/1@1", "a/2@2", "b/1@3", "c/1@4", "c/2@5"], 0),
        (range("nodes", None, None, 0), &["/n@8"], 0),
        (range("secrets", None, None, 0), &[], 0),
        (range("pods", None, None, 2), &["a/1@1", "a/2@2"], 3),
        (range("pods", None, Some(("a", "2")), 2), &["b/1@3", "c/1@4"], 1),
        (range("pods", None, Some(("a", "9")), 1), &["b/1@3"], 2),
        (range("pods", None, Some(("c", "2")), 2), &[], 0),
        (range("pods", Some("a"), None, 0), &["a/1@1", "a/2@2"], 0),
        (range("pods", Some("a"), None, 1), &["a/1@1"], 1),
        (range("pods", Some("a"), Some(("a", "1")), 1), &["a/2@2"], 0),
        (range("pods", Some("b"), Some(("a", "9")), 0), &["b/1@3"], 0),
        (range("pods", Some("b"), Some(("c", "0")), 0), &[], 0),
        (range("pods", Some("bb"), None, 0), &[], 0),
        (range("pods", Some(""), None, 0), &[], 0),
    ];
    for past in [false, true] {
        if past {
            // The same again as the past, after everything has changed.
            for name in ["pods/a/0", "pods/a/1", "pods/b/1", "pods/c/3"] {
                commit(&*store, vec![put(name, "")]).await;
            }
            commit(&*store, vec![delete("pods/a/2", ""), delete("pods/c/2", ""), delete("nodes/n", "")]).await;
        }
        for (range, expected, remaining) in &cases {
            let page = store.list(&Range { at: past.then_some(Revision(8)), ..range.clone() }).await.unwrap();
            assert_eq!(names(&page), *expected, "{range:?}");
            assert_eq!((page.remaining, page.revision), (*remaining, Revision(8)), "{range:?}");
        }
    }
}

pub(super) async fn a_page_stays_at_its_revision(store: Arc<dyn Storage>) {
    let revision = fill(&*store, 25).await;
    let before = store.list(&Range::all("pods")).await.unwrap().items;
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0..40 {
                let name = format!("pods/ns{}/p{:04}", number % 3, number % 30);
                commit(&*store, vec![put(&name, "new"), put(&format!("pods/ns1/q{number}"), "new")]).await;
                commit(&*store, vec![delete(&name, "new")]).await;
            }
        })
    };
    while !writer.is_finished() {
        let range = Range { limit: 4, at: Some(revision), ..Range::all("pods") };
        assert_eq!(walk(&*store, range).await, before);
        // A walk that starts now is of one moment, too: its first page says which.
        let limit = Range { limit: 7, ..Range::all("pods") };
        let first = store.list(&limit).await.unwrap();
        let whole = store.list(&Range { at: Some(first.revision), ..Range::all("pods") }).await.unwrap();
        assert_eq!(whole.items[..first.items.len()], first.items);
        assert_eq!(whole.items.len(), first.items.len() + first.remaining);
    }
    writer.await.unwrap();
}

pub(super) async fn the_past_can_be_listed(store: Arc<dyn Storage>) {
    commit(&*store, vec![put("pods/default/a", "1")]).await;
    commit(&*store, vec![put("pods/default/b", "2"), put("pods/default/a", "3")]).await;
    commit(&*store, vec![delete("pods/default/a", "3")]).await;
    commit(&*store, vec![put("pods/default/a", "5"), put("nodes/n", "6")]).await;
    let expected: [&[&str]; 7] = [
        &[],
        &["default/a@1"],
        &["default/a@1", "default/b@2"],
        &["default/a@3", "default/b@2"],
        &["default/b@2"],
        &["default/a@5", "default/b@2"],
        &["default/a@5", "default/b@2"],
    ];
    for (revision, expected) in (0..).zip(expected) {
        let page = store.list(&Range { at: Some(Revision(revision)), ..Range::all("pods") }).await.unwrap();
        assert_eq!(names(&page), *expected, "at {revision}");
        assert_eq!(page.revision, Revision(revision));
        for object in page.items {
            assert_eq!(&*object.body, sealed(&object.revision.to_string(), object.revision.0).as_bytes());
        }
    }
}

pub(super) async fn the_future_cannot(store: Arc<dyn Storage>) {
    let current = fill(&*store, 3).await;
    let at = |revision| Range { at: Some(revision), ..Range::all("pods") };
    assert_eq!(outcome(&store.list(&at(current)).await), "ok");
    assert_eq!(outcome(&store.list(&at(current.next())).await), "future");
}

pub(super) async fn everything_is_in_key_order(store: Arc<dyn Storage>) {
    for name in ["pods/b/1", "nodes/n", "pods/a/1", "deployments.apps/a/1"] {
        commit(&*store, vec![put(name, "")]).await;
    }
    commit(&*store, vec![delete("pods/b/1", "")]).await;
    let page = store.everything().await.unwrap();
    let keys: Vec<_> = page.items.iter().map(|object| object.key.to_string()).collect();
    assert_eq!(keys, ["deployments.apps/a/1", "nodes/n", "pods/a/1"]);
    assert_eq!((page.revision, page.remaining), (Revision(5), 0));
}
