//! What only a file can do: be opened again, be owned, be something else.

use super::{absent, at, commit, delete, line, outcome, put, sealed, take};
use crate::{Range, Revision, Sqlite, Storage};
use rusqlite::Connection;
use tempfile::tempdir;

#[tokio::test]
async fn reopening_continues_the_history() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("store.db");
    {
        let store = Sqlite::open(&path).unwrap();
        commit(&store, vec![put("pods/default/a", "1"), put("pods/default/b", "2")]).await;
        commit(&store, vec![delete("pods/default/a", "3")]).await;
        commit(&store, vec![put("pods/default/c", "4")]).await;
        store.compact(Revision(2)).await.unwrap();
    }
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.current().await.unwrap(), Revision(4));
    assert_eq!(store.list(&Range::all("pods")).await.unwrap().items.len(), 2);
    let past = |revision| Range { at: Some(Revision(revision)), ..Range::all("pods") };
    assert_eq!(outcome(&store.list(&past(1)).await), "compacted");
    let items = store.list(&past(2)).await.unwrap().items;
    assert_eq!(&*items[0].body, sealed("1", 1).as_bytes());
    // The watch goes out of the log into the present.
    let mut watch = store.watch(None, Revision(2)).await.unwrap();
    assert_eq!(
        store.transact(vec![at("pods/default/b", 2)], vec![put("pods/default/b", "5")]).await.unwrap(),
        [Revision(5)]
    );
    let lines: Vec<_> = take(&mut watch, 3).await.iter().map(|event| line(event)).collect();
    assert_eq!(
        lines,
        ["Deleted pods/default/a@3 was 1", "Created pods/default/c@4 was -", "Updated pods/default/b@5 was 2"]
    );
}

#[tokio::test]
async fn a_file_has_one_owner() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(outcome(&Sqlite::open(&path)), "in use");
    // A stream is a handle, too.
    let watch = store.watch(None, Revision(0)).await.unwrap();
    drop(store);
    assert_eq!(outcome(&Sqlite::open(&path)), "in use");
    drop(watch);
    assert_eq!(outcome(&Sqlite::open(&path)), "ok");
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let directory = tempdir().unwrap();
    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("PRAGMA application_id = 7; CREATE TABLE kine (id)").unwrap();
    let newer = directory.path().join("newer.db");
    drop(Sqlite::open(&newer).unwrap());
    Connection::open(&newer).unwrap().execute_batch("PRAGMA user_version = 1000").unwrap();
    let text = directory.path().join("text.db");
    std::fs::write(&text, "not a database, but long enough to be looked at as one").unwrap();
    for path in [&foreign, &newer, &text, &directory.path().join("missing/store.db")] {
        assert_eq!(outcome(&Sqlite::open(path)), "backend", "{}", path.display());
    }
}

/// A request that the database cannot store fails alone, whoever shares its commit.
#[tokio::test]
async fn a_failure_sinks_nobody_else() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("store.db");
    drop(Sqlite::open(&path).unwrap());
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER poison BEFORE INSERT ON object WHEN new.name = 'poison'
             BEGIN SELECT raise(ABORT, 'no'); END",
        )
        .unwrap();
    let store = Sqlite::open(&path).unwrap();
    let requests = (0..20).map(|number| {
        let name = if number % 5 == 2 { "pods/default/poison".to_owned() } else { format!("pods/default/{number}") };
        let store = store.clone();
        async move { store.transact(vec![absent(&name)], vec![put("nodes/n", ""), put(&name, "")]).await }
    });
    let outcomes: Vec<_> = futures::future::join_all(requests).await.iter().map(outcome).collect();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome, if number % 5 == 2 { "backend" } else { "ok" }, "{number}");
    }
    // Two writes in each of the sixteen; no number is missing.
    assert_eq!(store.current().await.unwrap(), Revision(32));
    let mut watch = store.watch(None, Revision(0)).await.unwrap();
    assert!(take(&mut watch, 32).await.iter().map(|event| event.revision().0).eq(1..=32));
}
