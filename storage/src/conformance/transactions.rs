//! Checks and writes.

use super::{absent, at, body, commit, delete, key, outcome, put, sealed};
use crate::{Check, Error, Revision, Storage, Unsealed, Write};
use std::sync::Arc;

pub(super) async fn an_object_lives_and_dies(store: Arc<dyn Storage>) {
    let pod = key("pods/default/a");
    assert_eq!(store.current().await.unwrap(), Revision(0));
    assert!(store.get(&pod).await.unwrap().is_none());

    let created = store.transact(vec![absent("pods/default/a")], vec![put("pods/default/a", "one")]).await.unwrap();
    assert_eq!(created, [Revision(1)]);
    let found = store.get(&pod).await.unwrap().unwrap();
    assert_eq!((found.key, found.revision, &*found.body), (pod.clone(), Revision(1), sealed("one", 1).as_bytes()));

    let updated = store.transact(vec![at("pods/default/a", 1)], vec![put("pods/default/a", "two")]).await.unwrap();
    assert_eq!(updated, [Revision(2)]);
    assert_eq!(&*store.get(&pod).await.unwrap().unwrap().body, sealed("two", 2).as_bytes());

    let deleted = store.transact(vec![at("pods/default/a", 2)], vec![delete("pods/default/a", "two")]).await.unwrap();
    assert_eq!(deleted, [Revision(3)]);
    assert!(store.get(&pod).await.unwrap().is_none());
    assert_eq!(store.current().await.unwrap(), Revision(3));
}

pub(super) async fn checks_decide(store: Arc<dyn Storage>) {
    // The object `here` stands at revision 1 and the object `gone` was deleted at 3.
    commit(&*store, vec![put("pods/default/here", ""), put("pods/default/gone", "")]).await;
    commit(&*store, vec![delete("pods/default/gone", "")]).await;
    let (here, gone) = (key("pods/default/here"), key("pods/default/gone"));
    let cases = [
        (Check::Absent(here.clone()), "conflict"),
        (Check::Present(here.clone()), "ok"),
        (Check::At(here.clone(), Revision(1)), "ok"),
        (Check::At(here.clone(), Revision(2)), "conflict"),
        (Check::At(here.clone(), Revision(0)), "conflict"),
        (Check::Absent(gone.clone()), "ok"),
        (Check::Present(gone.clone()), "conflict"),
        (Check::At(gone.clone(), Revision(2)), "conflict"),
        (Check::At(gone, Revision(0)), "conflict"),
    ];
    for (number, (check, expected)) in cases.into_iter().enumerate() {
        let write = put(&format!("configmaps/default/{number}"), "");
        let result = store.transact(vec![Check::Present(here.clone()), check.clone()], vec![write.clone()]).await;
        assert_eq!(outcome(&result), expected, "{check:?}");
        assert_eq!(store.get(write.key()).await.unwrap().is_some(), expected == "ok", "{check:?}");
    }
}

pub(super) async fn a_conflict_shows_what_is_there(store: Arc<dyn Storage>) {
    commit(&*store, vec![put("pods/default/a", "one")]).await;
    let cases = [
        (vec![absent("pods/default/a")], "pods/default/a", Some(sealed("one", 1))),
        (vec![at("pods/default/a", 7)], "pods/default/a", Some(sealed("one", 1))),
        (vec![at("pods/default/b", 1)], "pods/default/b", None),
        (vec![at("pods/default/a", 1), at("pods/default/b", 1)], "pods/default/b", None),
    ];
    for (checks, at, body) in cases {
        match store.transact(checks, vec![put("pods/default/a", "two")]).await {
            Err(Error::Conflict { key: conflicting, found }) => {
                assert_eq!(conflicting, key(at));
                let found = found.map(|found| String::from_utf8(found.body.to_vec()).unwrap());
                assert_eq!(found, body);
            }
            other => panic!("{at}: {other:?}"),
        }
    }
    assert_eq!(store.current().await.unwrap(), Revision(1));
}

pub(super) async fn all_or_nothing(store: Arc<dyn Storage>) {
    let writes = || vec![put("services/default/a", ""), put("ipaddresses/10.0.0.1", ""), put("quota/default/q", "")];
    let checks = || vec![absent("services/default/a"), absent("ipaddresses/10.0.0.1")];
    assert_eq!(store.transact(checks(), writes()).await.unwrap(), [Revision(1), Revision(2), Revision(3)]);
    // The address is taken now, so the second service is not there either.
    let second = vec![put("services/default/b", ""), put("ipaddresses/10.0.0.1", "b"), put("quota/default/q", "b")];
    assert_eq!(outcome(&store.transact(vec![absent("ipaddresses/10.0.0.1")], second).await), "conflict");
    assert!(store.get(&key("services/default/b")).await.unwrap().is_none());
    assert_eq!(&*store.get(&key("quota/default/q")).await.unwrap().unwrap().body, sealed("", 3).as_bytes());
    assert_eq!(commit(&*store, vec![put("services/default/c", "")]).await, Revision(4));
}

pub(super) async fn a_key_can_be_written_twice(store: Arc<dyn Storage>) {
    let writes = vec![put("pods/default/a", "1"), put("pods/default/a", "2"), delete("pods/default/a", "2")];
    let revisions = store.transact(vec![absent("pods/default/a")], writes).await.unwrap();
    assert_eq!(revisions, [Revision(1), Revision(2), Revision(3)]);
    let twice = vec![put("pods/default/a", "3"), delete("pods/default/a", "3"), delete("pods/default/a", "3")];
    assert_eq!(outcome(&store.transact(vec![], twice).await), "conflict");
    assert_eq!(store.current().await.unwrap(), Revision(3));
    let lines: Vec<_> =
        store.changes(None, Revision(0), 10).await.unwrap().events.iter().map(|e| super::line(e)).collect();
    assert_eq!(
        lines,
        ["Created pods/default/a@1 was -", "Updated pods/default/a@2 was 1", "Deleted pods/default/a@3 was 2",]
    );
}

pub(super) async fn a_body_without_place_is_refused(store: Arc<dyn Storage>) {
    let bytes = b"{}".to_vec();
    for (revision_at, expected) in [(0, "ok"), (2, "ok"), (3, "malformed"), (usize::MAX, "malformed")] {
        let body = Unsealed { bytes: bytes.clone(), revision_at };
        let result = store.transact(vec![], vec![Write::Put(key("pods/default/a"), body)]).await;
        assert_eq!(outcome(&result), expected, "{revision_at}");
    }
    assert_eq!(&*store.get(&key("pods/default/a")).await.unwrap().unwrap().body, b"{}2");
}

pub(super) async fn checks_without_writes(store: Arc<dyn Storage>) {
    assert_eq!(store.transact(vec![absent("pods/default/a")], vec![]).await.unwrap(), []);
    assert_eq!(outcome(&store.transact(vec![at("pods/default/a", 1)], vec![]).await), "conflict");
    assert_eq!(store.current().await.unwrap(), Revision(0));
}

pub(super) async fn deleting_nothing_is_a_conflict(store: Arc<dyn Storage>) {
    match store.transact(vec![], vec![put("pods/default/b", ""), delete("pods/default/a", "")]).await {
        Err(Error::Conflict { key: conflicting, found: None }) => assert_eq!(conflicting, key("pods/default/a")),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.current().await.unwrap(), Revision(0));
}

pub(super) async fn keys_are_told_apart(store: Arc<dyn Storage>) {
    let names = ["pods/default/a", "pods/other/a", "pods/default/A", "deployments.apps/default/a", "nodes/a", "pods/a"];
    for name in names {
        store.transact(vec![absent(name)], vec![Write::Put(key(name), body(name))]).await.unwrap();
    }
    for (number, name) in names.into_iter().enumerate() {
        let found = store.get(&key(name)).await.unwrap().unwrap();
        assert_eq!(&*found.body, sealed(name, number as u64 + 1).as_bytes());
    }
}
