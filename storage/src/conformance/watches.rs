//! History, read and followed.

use super::{commit, delete, line, outcome, put, sealed, take};
use crate::{Event, Revision, Storage};
use futures::FutureExt;
use std::sync::Arc;

/// Ten changes of two resources.
async fn history(store: &dyn Storage) -> Vec<&'static str> {
    commit(store, vec![put("pods/default/a", "1")]).await;
    commit(store, vec![put("nodes/n", "2"), put("pods/default/b", "3")]).await;
    commit(store, vec![put("pods/default/a", "4"), put("nodes/n", "5")]).await;
    commit(store, vec![delete("pods/default/a", "6")]).await;
    commit(store, vec![put("pods/default/a", "7"), put("pods/default/a", "8")]).await;
    commit(store, vec![delete("nodes/n", "9"), put("nodes/m", "10")]).await;
    vec![
        "Created pods/default/a@1 was -",
        "Created nodes/n@2 was -",
        "Created pods/default/b@3 was -",
        "Updated pods/default/a@4 was 1",
        "Updated nodes/n@5 was 2",
        "Deleted pods/default/a@6 was 4",
        "Created pods/default/a@7 was -",
        "Updated pods/default/a@8 was 7",
        "Deleted nodes/n@9 was 5",
        "Created nodes/m@10 was -",
    ]
}

fn lines(events: &[Arc<Event>]) -> Vec<String> {
    events.iter().map(|event| line(event)).collect()
}

pub(super) async fn from_any_revision(store: Arc<dyn Storage>) {
    let expected = history(&*store).await;
    for after in 0..=expected.len() {
        let mut watch = store.watch(None, Revision(after as u64)).await.unwrap();
        let rest = &expected[after..];
        assert_eq!(lines(&take(&mut watch, rest.len()).await), rest, "after {after}");
        assert!(take(&mut watch, 1).now_or_never().is_none(), "there is no more after {after}");
    }
}

pub(super) async fn of_one_resource(store: Arc<dyn Storage>) {
    let expected = history(&*store).await;
    for resource in ["pods", "nodes", "secrets"] {
        for after in 0..=expected.len() {
            let mut watch = store.watch(Some(resource.into()), Revision(after as u64)).await.unwrap();
            let rest: Vec<_> =
                expected[after..].iter().filter(|line| line.contains(&format!(" {resource}/"))).copied().collect();
            assert_eq!(lines(&take(&mut watch, rest.len()).await), rest, "{resource} after {after}");
            assert!(take(&mut watch, 1).now_or_never().is_none(), "{resource} after {after}");
        }
    }
}

pub(super) async fn live(store: Arc<dyn Storage>) {
    let mut all = store.watch(None, Revision(0)).await.unwrap();
    let mut pods = store.watch(Some("pods".into()), Revision(0)).await.unwrap();
    let mut secrets = store.watch(Some("secrets".into()), Revision(0)).await.unwrap();
    for round in 0..20_u64 {
        let revision = commit(&*store, vec![put("nodes/n", ""), put("pods/default/a", "")]).await;
        assert_eq!(revision, Revision(2 * round + 2));
        let seen: Vec<_> = take(&mut all, 2).await.iter().map(|event| event.revision().0).collect();
        assert_eq!(seen, [2 * round + 1, 2 * round + 2]);
        assert_eq!(take(&mut pods, 1).await[0].revision(), revision);
    }
    assert!(take(&mut secrets, 1).now_or_never().is_none());
    commit(&*store, vec![put("secrets/default/s", "")]).await;
    assert_eq!(lines(&take(&mut secrets, 1).await), ["Created secrets/default/s@41 was -"]);
}

pub(super) async fn previous_states_are_told(store: Arc<dyn Storage>) {
    history(&*store).await;
    let mut watch = store.watch(None, Revision(0)).await.unwrap();
    for event in take(&mut watch, 10).await {
        for object in std::iter::once(&event.object).chain(event.previous.as_ref()) {
            assert_eq!(&*object.body, sealed(&object.revision.to_string(), object.revision.0).as_bytes());
            assert_eq!(object.key, event.object.key);
        }
    }
}

pub(super) async fn history_in_pages(store: Arc<dyn Storage>) {
    let expected = history(&*store).await;
    for resource in [None, Some("pods"), Some("nodes"), Some("secrets")] {
        for limit in [1, 3, 10, 100] {
            let (mut after, mut seen) = (Revision(0), Vec::new());
            while after < Revision(10) {
                let changes = store.changes(resource, after, limit).await.unwrap();
                assert!(changes.through > after, "a page brings the reader forward");
                assert!(changes.events.len() <= limit);
                after = changes.through;
                seen.extend(lines(&changes.events));
            }
            let wanted = |line: &&&str| resource.is_none_or(|resource| line.contains(&format!(" {resource}/")));
            assert_eq!(seen, expected.iter().filter(wanted).copied().collect::<Vec<_>>(), "{resource:?} by {limit}");
            let nothing = store.changes(resource, after, limit).await.unwrap();
            assert_eq!((nothing.events.len(), nothing.through), (0, Revision(10)));
        }
    }
}

pub(super) async fn not_from_the_future(store: Arc<dyn Storage>) {
    let current = commit(&*store, vec![put("pods/default/a", "")]).await;
    assert_eq!(outcome(&store.watch(None, current).await), "ok");
    assert_eq!(outcome(&store.watch(None, current.next()).await), "future");
    assert_eq!(outcome(&store.changes(None, current.next(), 10).await), "future");
}
