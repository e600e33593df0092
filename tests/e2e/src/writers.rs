//! A stream of writes by several at once, and the ledger of what the server has acknowledged.
//!
//! A write counts when the server said so; one that got no answer may or may not have happened, and both are right.

use crate::{Cluster, Proxy, eventually};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

const PATH: &str = "/api/v1/namespaces/default/configmaps";
/// Between two writes of one writer, and after one that failed.
const PAUSE: Duration = Duration::from_millis(25);
const RETRY: Duration = Duration::from_millis(200);

/// An object as the server acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    uid: String,
    version: u64,
    /// What a counter stood at.
    number: usize,
}

impl Seen {
    fn of(object: &Value) -> Option<Seen> {
        Some(Seen {
            uid: object["metadata"]["uid"].as_str()?.to_owned(),
            version: object["metadata"]["resourceVersion"].as_str()?.parse().ok()?,
            number: object["data"]["n"].as_str().and_then(|number| number.parse().ok()).unwrap_or_default(),
        })
    }
}

/// What was acknowledged.
#[derive(Debug, Default)]
struct Ledger {
    /// Objects that are written once.
    created: BTreeMap<String, Seen>,
    /// Objects that are written again and again: the last state.
    counters: BTreeMap<String, Seen>,
    /// What the server did that it must not do.
    wrongs: Vec<String>,
}

/// Writers at work until they are stopped.
pub struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    ledger: Arc<Mutex<Ledger>>,
    threads: Vec<JoinHandle<()>>,
    _proxy: Arc<Proxy>,
}

impl Writers {
    /// Lets `count` writers loose on the default namespace: each creates ConfigMaps and counts in one of its own.
    pub fn start(cluster: &Cluster, count: usize) -> Result<Writers> {
        let proxy = Arc::new(Proxy::start(cluster)?);
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let mut threads = Vec::new();
        for writer in 0..count {
            let (proxy, stop) = (proxy.clone(), stop.clone());
            let (acknowledged, ledger) = (acknowledged.clone(), ledger.clone());
            threads.push(spawn(move || write(writer, &proxy, &stop, &acknowledged, &ledger)));
        }
        Ok(Writers { stop, acknowledged, ledger, threads, _proxy: proxy })
    }

    /// Waits until this many more writes have been acknowledged.
    pub fn progress(&self, more: usize) -> Result<()> {
        let goal = self.acknowledged.load(Ordering::Relaxed) + more;
        eventually("writes are acknowledged", 90, || Ok(self.acknowledged.load(Ordering::Relaxed) >= goal))
    }

    /// Ends the stream and holds the cluster to what it has acknowledged. Returns the number of writes.
    pub fn settle(self, cluster: &Cluster) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            ensure!(thread.join().is_ok(), "a writer panicked");
        }
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(ledger.wrongs.is_empty(), "{:?}", ledger.wrongs);
        let kept = cluster.list("configmaps")?;
        let kept: BTreeMap<&str, Seen> =
            kept.iter().filter_map(|map| Some((map["metadata"]["name"].as_str()?, Seen::of(map)?))).collect();
        let find =
            |name: &String| kept.get(name.as_str()).with_context(|| format!("{name} was acknowledged and is lost"));
        for (name, seen) in &ledger.created {
            let found = find(name)?;
            ensure!(found == seen, "{name} was acknowledged as {seen:?} and is {found:?}");
        }
        for (name, seen) in &ledger.counters {
            let found = find(name)?;
            let went_on = found.uid == seen.uid && found.version >= seen.version && found.number >= seen.number;
            ensure!(went_on, "{name} was acknowledged as {seen:?} and is {found:?}");
        }
        Ok(self.acknowledged.load(Ordering::Relaxed))
    }
}

fn write(writer: usize, proxy: &Proxy, stop: &AtomicBool, acknowledged: &AtomicUsize, ledger: &Mutex<Ledger>) {
    let counter = format!("counter-{writer}");
    let mut last = 0;
    let mut has_counter = false;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let counts = number % 2 == 1;
        let name = if counts { counter.clone() } else { format!("entry-{writer}-{number}") };
        let body = json!({"metadata": {"name": name}, "data": {"n": number.to_string()}});
        let (method, path) =
            if counts && has_counter { ("PATCH", format!("{PATH}/{name}")) } else { ("POST", PATH.to_owned()) };
        let answer = proxy.send(method, &path, &body);
        let Ok((code @ (200 | 201 | 409), object)) = answer else {
            sleep(RETRY);
            continue;
        };
        if code == 409 {
            // An earlier attempt was heard and not answered.
            has_counter |= counts;
            continue;
        }
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = Seen::of(&object) else {
            ledger.wrongs.push(format!("{name}: {code} with {object}"));
            continue;
        };
        if seen.version <= last {
            ledger.wrongs.push(format!("{name}: the revision went from {last} to {}", seen.version));
        }
        last = seen.version;
        acknowledged.fetch_add(1, Ordering::Relaxed);
        if counts {
            has_counter = true;
            if let Some(before) = ledger.counters.insert(name.clone(), seen.clone())
                && before.uid != seen.uid
            {
                ledger.wrongs.push(format!("{name}: the uid went from {} to {}", before.uid, seen.uid));
            }
        } else {
            ledger.created.insert(name, seen);
        }
        drop(ledger);
        sleep(PAUSE);
    }
}
