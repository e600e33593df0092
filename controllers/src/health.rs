//! Which controllers run, and how they fare: for conditions, metrics and health endpoints.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Counters of one controller since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Its caches are complete and it works.
    pub running: bool,
    pub reconciles: u64,
    pub failures: u64,
    /// Keys that waited when the last one was finished.
    pub queue_depth: u64,
}

#[derive(Default)]
pub(crate) struct Entry {
    running: AtomicBool,
    reconciles: AtomicU64,
    failures: AtomicU64,
    queue_depth: AtomicU64,
}

impl Entry {
    pub(crate) fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, succeeded: bool, queue_depth: usize) {
        self.reconciles.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(u64::from(!succeeded), Ordering::Relaxed);
        self.queue_depth.store(queue_depth as u64, Ordering::Relaxed);
    }
}

/// A handle on the reports of all controllers; clones share them.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, Arc<Entry>>>>);

impl Health {
    pub(crate) fn entry(&self, name: &'static str) -> Arc<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().clone()
    }

    /// By controller name.
    pub fn report(&self) -> BTreeMap<&'static str, Report> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let report = |entry: &Entry| Report {
            running: entry.running.load(Ordering::Relaxed),
            reconciles: entry.reconciles.load(Ordering::Relaxed),
            failures: entry.failures.load(Ordering::Relaxed),
            queue_depth: entry.queue_depth.load(Ordering::Relaxed),
        };
        entries.iter().map(|(name, entry)| (*name, report(entry))).collect()
    }

    /// Whether every controller that was started works.
    pub fn all_running(&self) -> bool {
        let report = self.report();
        !report.is_empty() && report.values().all(|report| report.running)
    }
}
