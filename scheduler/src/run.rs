//! The loop: events in, one decision at a time, writes out. One task owns all state, so nothing is locked; decisions
//! are made only when no event waits, so they see all that is known.

mod attempt;
mod binding;
mod feed;
mod hear;
mod status;
mod tell;

use crate::bind::{Done, Writer};
use crate::cache::Cache;
use crate::change::Change;
use crate::config::{Config, ConfigError};
use crate::event::Recorder;
use crate::extender::Extender;
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::queue::Queue;
use apimachinery::clock::{Clock, Rng};
use binding::Binding;
use feed::Feed;
use informer::Informers;
use kube::Client;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What the scheduler is handed from outside.
#[derive(Clone)]
pub struct Deps {
    /// Acts as `system:kube-scheduler`.
    pub client: Client,
    pub informers: Informers,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    /// Ends everything.
    pub cancel: CancellationToken,
    /// True while the caches are complete and pods are scheduled.
    pub health: Arc<AtomicBool>,
}

/// Schedules until `deps.cancel`; returns when what was decided has been written. A configuration that makes no
/// scheduler is logged and ends it at once: [`Config::read`] refuses such.
pub async fn run(config: Config, deps: Deps) {
    let (cancel, health) = (deps.cancel.clone(), deps.health.clone());
    // The caches are fed while somebody holds the factory.
    let informers = deps.informers.clone();
    let started = async {
        let feed = Feed::open(&deps.informers).await;
        let scheduler = Scheduler::new(config, deps).await;
        scheduler.map(|(scheduler, ends)| (scheduler, feed, ends))
    };
    let (mut scheduler, mut feed, mut ends) = match cancel.run_until_cancelled(started).await {
        None => return,
        Some(Err(error)) => {
            tracing::error!(%error, "the scheduler does not start");
            return;
        }
        Some(Ok(started)) => started,
    };
    health.store(true, Ordering::Relaxed);
    cancel.run_until_cancelled(scheduler.work(&mut feed, &mut ends)).await;
    health.store(false, Ordering::Relaxed);
    drop(informers);
    scheduler.writer.finish().await;
}

struct Scheduler {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    threads: usize,
    profiles: Vec<Profile>,
    recorders: Vec<Recorder>,
    extenders: Vec<Arc<Extender>>,
    cache: Cache,
    queue: Queue,
    writer: Writer,
    /// Pods whose binding is under way, by uid.
    bindings: HashMap<String, Binding>,
    /// At which node the next search begins.
    start: usize,
}

/// What keeps a pod from being looked at yet, by the plugins of its profile.
fn gate(profiles: &[Profile], cache: &Cache, pod: &PodInfo) -> Option<&'static str> {
    let profile = profiles.iter().find(|profile| profile.scheduler_name == pod.scheduler_name())?;
    let refuses = |plugin: &&dyn crate::framework::PreEnqueue| plugin.refusal(&pod.pod, cache.view()).is_some();
    profile.gates().find(refuses).map(crate::framework::Plugin::name)
}

impl Scheduler {
    async fn new(config: Config, deps: Deps) -> Result<(Self, mpsc::UnboundedReceiver<Done>), ConfigError> {
        let (writer, ends) = Writer::new(deps.client);
        let profiles = Profile::all(&config)?;
        let mut extenders = Vec::new();
        for extender in &config.extenders {
            let extender = Extender::new(extender).await;
            extenders.push(Arc::new(extender.map_err(|error| ConfigError::Invalid(vec![error.to_string()]))?));
        }
        let this = Self {
            recorders: profiles.iter().map(|profile| Recorder::new(profile.scheduler_name.clone())).collect(),
            clock: deps.clock,
            rng: deps.rng,
            threads: config.parallelism.min(std::thread::available_parallelism().map_or(1, usize::from)),
            profiles,
            extenders,
            cache: Cache::default(),
            queue: Queue::new(config.pod_initial_backoff, config.pod_max_backoff, Instant::now()),
            writer,
            bindings: HashMap::new(),
            start: 0,
        };
        Ok((this, ends))
    }

    /// Ends only when a source ends. The order of the branches matters: a decision comes last.
    async fn work(&mut self, feed: &mut Feed, ends: &mut mpsc::UnboundedReceiver<Done>) {
        loop {
            let alarm = self.queue.next_flush().into_iter().chain(self.next_timeout()).min();
            tokio::select! {
                biased;
                heard = feed.next() => {
                    let Some(heard) = heard else { return };
                    self.hear(heard);
                }
                Some(done) = ends.recv() => self.done(done),
                () = tokio::time::sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => {
                    self.time_passes(Instant::now());
                }
                () = std::future::ready(()), if self.queue.has_ready() => {
                    self.attempt().await;
                    // Other tasks of the process get their turn between decisions.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn time_passes(&mut self, now: Instant) {
        let (profiles, cache) = (&self.profiles, &self.cache);
        self.queue.flush(&|pod| gate(profiles, cache, pod), now);
        self.end_overdue(now);
    }

    /// The profile that pods of this scheduler name have, by its place.
    fn profile_of(&self, pod: &PodInfo) -> Option<usize> {
        self.profiles.iter().position(|profile| profile.scheduler_name == pod.scheduler_name())
    }

    /// Wakes those that wait for the change.
    fn happened(&mut self, change: &Change) {
        let (profiles, cache) = (&self.profiles, &self.cache);
        let helps = |plugin: &str, pod: &PodInfo| {
            let profile = profiles.iter().find(|profile| profile.scheduler_name == pod.scheduler_name());
            profile.is_none_or(|profile| profile.wakes(plugin, pod, change))
        };
        self.queue.wake(helps, &|pod| gate(profiles, cache, pod), Instant::now());
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
