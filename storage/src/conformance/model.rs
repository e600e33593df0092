//! Random histories: whatever is asked of a store, it answers as the one in memory does.

use super::{cache_over_sqlite, key, memory, narrow_cache_over_sqlite, outcome, sqlite};
use crate::{Check, Error, Event, Page, Range, Revision, Storage, Unsealed, Write};
use proptest::prelude::*;
use std::future::Future;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Step {
    Transact(Vec<Check>, Vec<Write>),
    List(Range),
    Changes(Option<&'static str>, Revision, usize),
    Get(&'static str),
    Compact(Revision),
}

const NAMES: [&str; 6] = ["pods/a/1", "pods/a/2", "pods/b/1", "pods/c/1", "nodes/1", "nodes/2"];

fn revision() -> impl Strategy<Value = Revision> {
    (0..40_u64).prop_map(Revision)
}

fn check() -> impl Strategy<Value = Check> {
    let name = || prop::sample::select(&NAMES[..]).prop_map(key);
    prop_oneof![
        name().prop_map(Check::Absent),
        name().prop_map(Check::Present),
        (name(), revision()).prop_map(|(key, revision)| Check::At(key, revision)),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let body = (prop::collection::vec(any::<u8>(), 0..20), 0..20_usize)
        .prop_map(|(bytes, at)| Unsealed { revision_at: at.min(bytes.len()), bytes });
    (prop::sample::select(&NAMES[..]), body, 0..4).prop_map(|(name, body, kind)| match kind {
        0 => Write::Delete(key(name), body),
        _ => Write::Put(key(name), body),
    })
}

fn range() -> impl Strategy<Value = Range> {
    let text = |texts: &'static [&'static str]| prop::sample::select(texts).prop_map(Arc::<str>::from);
    let namespaces: &[&str] = &["", "a", "b", "c", "d"];
    let after = (text(namespaces), text(&["0", "1", "2"]));
    let namespace = prop::option::of(text(namespaces));
    (text(&["pods", "nodes"]), namespace, prop::option::of(after), 0..4_usize, prop::option::of(revision()))
        .prop_map(|(resource, namespace, after, limit, at)| Range { resource, namespace, after, limit, at })
}

fn step() -> impl Strategy<Value = Step> {
    let resource = prop::sample::select(&[None, Some("pods"), Some("nodes")][..]);
    prop_oneof![
        6 => (prop::collection::vec(check(), 0..2), prop::collection::vec(write(), 0..4))
            .prop_map(|(checks, writes)| Step::Transact(checks, writes)),
        4 => range().prop_map(Step::List),
        2 => (resource, revision(), 1..6_usize).prop_map(|(resource, after, limit)| Step::Changes(resource, after, limit)),
        1 => prop::sample::select(&NAMES[..]).prop_map(Step::Get),
        1 => (0..12_u64).prop_map(|revision| Step::Compact(Revision(revision))),
    ]
}

fn show<T>(result: Result<T, Error>, value: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(found) => value(found),
        Err(Error::Conflict { key, found }) => format!("conflict on {key}, found {found:?}"),
        Err(error) => outcome::<T>(&Err(error)).to_owned(),
    }
}

fn show_page(page: Page) -> String {
    format!("{:?} {} {}", page.items, page.revision, page.remaining)
}

async fn answer(store: &dyn Storage, step: &Step) -> String {
    match step {
        Step::Transact(checks, writes) => {
            show(store.transact(checks.clone(), writes.clone()).await, |revisions| format!("{revisions:?}"))
        }
        Step::List(range) => show(store.list(range).await, show_page),
        Step::Changes(resource, after, limit) => {
            show(store.changes(*resource, *after, *limit).await, |changes| format!("{:?}", changes.events))
        }
        Step::Get(name) => show(store.get(&key(name)).await, |found| format!("{found:?}")),
        Step::Compact(through) => show(store.compact(*through).await, |()| "compacted it".to_owned()),
    }
}

async fn follow(store: &dyn Storage, resource: Option<&str>, after: Revision, count: usize) -> Vec<Arc<Event>> {
    let mut watch = store.watch(resource.map(Into::into), after).await.unwrap();
    super::take(&mut watch, count).await
}

async fn agree(store: &dyn Storage, steps: &[Step]) {
    let oracle = memory().await.store;
    let mut compacted = Revision(0);
    for step in steps {
        let expected = answer(&*oracle, step).await;
        assert_eq!(answer(store, step).await, expected, "{step:?}");
        if let Step::Compact(through) = step
            && expected == "compacted it"
        {
            compacted = compacted.max(*through);
        }
    }
    assert_eq!(store.current().await.unwrap(), oracle.current().await.unwrap());
    assert_eq!(show_page(store.everything().await.unwrap()), show_page(oracle.everything().await.unwrap()));
    for resource in [None, Some("pods"), Some("nodes")] {
        let history = oracle.changes(resource, compacted, usize::MAX).await.unwrap().events;
        assert_eq!(follow(store, resource, compacted, history.len()).await, history);
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_answers_as_memory(steps in prop::collection::vec(step(), 1..40)) {
        run(async { agree(&*sqlite().await.store, &steps).await });
    }

    #[test]
    fn the_cache_answers_as_memory(steps in prop::collection::vec(step(), 1..40)) {
        run(async { agree(&*cache_over_sqlite().await.store, &steps).await });
    }

    #[test]
    fn a_cache_that_remembers_little_answers_as_memory(steps in prop::collection::vec(step(), 1..40)) {
        run(async { agree(&*narrow_cache_over_sqlite().await.store, &steps).await });
    }
}
