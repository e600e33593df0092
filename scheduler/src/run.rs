//! The loop: events in, one decision at a time, writes out. One task owns all state, so nothing is locked; decisions
//! are made only when no event waits, so they see all that is known.

mod status;

use crate::bind::{Done, Job, Purpose, Write, Writer};
use crate::cache::Cache;
use crate::cycle::{Decision, Nomination, Rejection, decide};
use crate::event::{Recorder, Said};
use crate::framework::ClusterEvent;
use crate::pod::{PodInfo, spec_of, uid_of};
use crate::profile::Profile;
use crate::queue::Queue;
use crate::related::Relations;
use crate::snapshot::Snapshot;
use apimachinery::clock::{Clock, Rng};
use informer::{Event, Informers, Store, Subscription};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Pods that name this scheduler are scheduled, and events carry it.
    pub scheduler_name: String,
    /// How many threads judge the nodes of a large cluster.
    pub parallelism: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { scheduler_name: "default-scheduler".to_owned(), parallelism: 16 }
    }
}

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

/// Schedules until `deps.cancel`; returns when what was decided has been written.
pub async fn run(config: Config, deps: Deps) {
    let (cancel, health) = (deps.cancel.clone(), deps.health.clone());
    // The caches are fed while somebody holds the factory.
    let informers = deps.informers.clone();
    let started = async {
        let feed = Feed::open(&deps.informers).await;
        Scheduler::new(config, deps, feed)
    };
    let Some((mut scheduler, mut feed, mut ends)) = cancel.run_until_cancelled(started).await else { return };
    health.store(true, Ordering::Relaxed);
    cancel.run_until_cancelled(scheduler.work(&mut feed, &mut ends)).await;
    health.store(false, Ordering::Relaxed);
    drop(informers);
    scheduler.writer.finish().await;
}

/// Everything that is heard.
struct Feed {
    pods: Subscription<Pod>,
    nodes: Subscription<Node>,
    namespaces: Subscription<Namespace>,
    claims: Subscription<PersistentVolumeClaim>,
    volumes: Subscription<PersistentVolume>,
    classes: Subscription<StorageClass>,
    budgets: Store<PodDisruptionBudget>,
    relations: Relations,
}

impl Feed {
    /// Resolves once all caches are complete: the first events then tell the whole state.
    async fn open(informers: &Informers) -> Self {
        let (pods, nodes) = (informers.store::<Pod>(), informers.store::<Node>());
        let namespaces = informers.store::<Namespace>();
        let budgets = informers.store::<PodDisruptionBudget>();
        let relations = Relations::new(informers);
        pods.synced().await;
        nodes.synced().await;
        namespaces.synced().await;
        budgets.synced().await;
        relations.synced().await;
        Self {
            pods: pods.subscribe(),
            nodes: nodes.subscribe(),
            namespaces: namespaces.subscribe(),
            claims: relations.claims.subscribe(),
            volumes: relations.volumes.subscribe(),
            classes: relations.classes.subscribe(),
            budgets,
            relations,
        }
    }
}

struct Scheduler {
    config: Config,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    profile: Profile,
    cache: Cache,
    queue: Queue,
    writer: Writer,
    recorder: Recorder,
    budgets: Store<PodDisruptionBudget>,
    relations: Relations,
}

impl Scheduler {
    fn new(config: Config, deps: Deps, feed: Feed) -> (Self, Feed, mpsc::UnboundedReceiver<Done>) {
        let (writer, ends) = Writer::new(deps.client);
        let this = Self {
            recorder: Recorder::new(config.scheduler_name.clone()),
            config,
            clock: deps.clock,
            rng: deps.rng,
            profile: Profile::default(),
            cache: Cache::default(),
            queue: Queue::default(),
            writer,
            budgets: feed.budgets.clone(),
            relations: feed.relations.clone(),
        };
        (this, feed, ends)
    }

    /// Ends only when a source ends. The order of the branches matters: a decision comes last.
    async fn work(&mut self, feed: &mut Feed, ends: &mut mpsc::UnboundedReceiver<Done>) {
        loop {
            let flush = self.queue.next_flush();
            tokio::select! {
                biased;
                event = feed.nodes.next() => {
                    let Some(event) = event else { return };
                    self.node_changed(event);
                }
                event = feed.namespaces.next() => {
                    let Some(event) = event else { return };
                    self.namespace_changed(event);
                }
                event = feed.pods.next() => {
                    let Some(event) = event else { return };
                    self.pod_changed(event);
                }
                Some(_) = feed.claims.next() => self.happened(Some(ClusterEvent::StorageChanged)),
                Some(_) = feed.volumes.next() => self.happened(Some(ClusterEvent::StorageChanged)),
                Some(_) = feed.classes.next() => self.happened(Some(ClusterEvent::StorageChanged)),
                Some(done) = ends.recv() => self.done(done),
                () = tokio::time::sleep_until(flush.unwrap_or_else(Instant::now)), if flush.is_some() => {
                    self.queue.flush(Instant::now());
                }
                () = std::future::ready(()), if self.queue.has_ready() => {
                    self.schedule_next();
                    // Other tasks of the process get their turn between decisions.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn happened(&mut self, event: Option<ClusterEvent>) {
        if let Some(event) = event {
            let profile = &self.profile;
            self.queue.wake(|plugin| profile.wakes(plugin, event), Instant::now());
        }
    }

    fn node_changed(&mut self, event: Event<Node>) {
        let happened = match (event.new, event.old) {
            (Some(node), _) => self.cache.set_node(node),
            (None, Some(node)) => {
                self.cache.remove_node(node.metadata.name.as_deref().unwrap_or_default());
                None
            }
            (None, None) => None,
        };
        self.happened(happened);
    }

    fn namespace_changed(&mut self, event: Event<Namespace>) {
        let labels = event.new.as_ref().map(|namespace| namespace.metadata.labels.clone().unwrap_or_default());
        let name = event.latest().and_then(|namespace| namespace.metadata.name.clone()).unwrap_or_default();
        let happened = self.cache.set_namespace(&name, labels);
        self.happened(happened);
    }

    fn pod_changed(&mut self, event: Event<Pod>) {
        // A pod of the same name and another uid: the old one is gone.
        if let Some(old) =
            event.old.as_ref().filter(|old| event.new.as_ref().is_none_or(|new| uid_of(new) != uid_of(old)))
        {
            self.pod_gone(old);
        }
        let Some(pod) = event.new else { return };
        if has_ended(&pod) {
            self.pod_gone(&pod);
            return;
        }
        if let Some(node) = spec_of(&pod).node_name.clone().filter(|name| !name.is_empty()) {
            self.queue.remove(uid_of(&pod));
            let happened = self.cache.set_pod(PodInfo::new(pod), &node);
            self.happened(happened);
            return;
        }
        let hoped = event.old.as_ref().is_some_and(|old| PodInfo::new(old.clone()).nominated_node().is_some());
        self.pod_waits(pod, hoped);
    }

    fn pod_gone(&mut self, pod: &Pod) {
        let uid = uid_of(pod);
        let was_waiting = self.queue.pod(uid).is_some();
        self.queue.remove(uid);
        let nominated = self.cache.nominated_node(uid).is_some();
        let mut happened = self.cache.remove_pod(uid);
        if was_waiting && nominated {
            // The room that was kept for it is free.
            happened = Some(ClusterEvent::PodFreed);
        }
        self.happened(happened);
    }

    /// `hoped`: its last state had a nominated node. A state that never had one does not end a nomination that is only
    /// being written.
    fn pod_waits(&mut self, pod: Arc<Pod>, hoped: bool) {
        let uid = uid_of(&pod).to_owned();
        let ours = spec_of(&pod).scheduler_name.as_deref().unwrap_or("default-scheduler") == self.config.scheduler_name;
        if !ours {
            return;
        }
        if pod.metadata.deletion_timestamp.is_some() || self.gate(&pod).is_some() {
            self.queue.remove(&uid);
            return;
        }
        let info = PodInfo::new(pod.clone());
        let nominated = info.nominated_node().map(str::to_owned);
        if self.cache.placed(&uid).is_none() && (hoped || nominated.is_some()) {
            self.cache.nominate(Arc::new(info), nominated.as_deref());
        }
        self.queue.set(pod, Instant::now());
    }

    /// Why the pod must not be looked at yet.
    fn gate(&self, pod: &Pod) -> Option<String> {
        self.profile.gates.iter().find_map(|plugin| plugin.pre_enqueue(pod))
    }

    fn snapshot(&self, pod: &Pod) -> Snapshot {
        let mut snapshot = self.cache.snapshot();
        snapshot.budgets = Arc::new(self.budgets.list());
        snapshot.related = Arc::new(self.relations.of(pod));
        snapshot
    }

    fn schedule_next(&mut self) {
        let Some(pod) = self.queue.pop() else { return };
        let snapshot = self.snapshot(&pod);
        let pod = Arc::new(PodInfo::new(pod));
        match decide(&self.profile, &pod, &snapshot, self.rng.as_ref(), self.config.parallelism) {
            Decision::Place { node, before } => self.place(&pod, &node, before),
            Decision::Reject(rejection) => self.reject(&pod, rejection),
        }
    }

    fn place(&mut self, pod: &Arc<PodInfo>, node: &str, mut writes: Vec<Write>) {
        tracing::debug!(pod.namespace = pod.namespace(), pod.name = pod.name(), node.name = node, "assigning a pod");
        self.cache.assume(pod.clone(), node);
        writes.push(Write::binding(pod.namespace(), pod.name(), pod.uid(), node));
        self.writer.start(pod.uid(), Job { purpose: Purpose::Bind, writes });
    }

    fn reject(&mut self, pod: &Arc<PodInfo>, rejection: Rejection) {
        let Rejection { message, plugins, nomination } = rejection;
        tracing::debug!(pod.namespace = pod.namespace(), pod.name = pod.name(), message, "a pod fits nowhere");
        self.queue.rejected(pod.uid(), plugins, Instant::now());
        let nominated = match &nomination {
            Nomination::Keep => pod.nominated_node(),
            Nomination::Clear => None,
            Nomination::Node { node, .. } => Some(node.as_str()),
        };
        self.cache.nominate(pod.clone(), nominated);
        if let Nomination::Node { node, victims } = &nomination {
            self.make_room(pod, node, victims);
        }
        self.tell_failure(pod, "Unschedulable", &message, nominated);
    }

    /// Sends the victims away, and lets lesser pods that hoped for the same node look elsewhere.
    fn make_room(&mut self, pod: &Arc<PodInfo>, node: &str, victims: &[Arc<PodInfo>]) {
        let now = self.clock.now();
        let evictions = victims.iter().flat_map(|victim| status::evictions(victim, &self.config.scheduler_name, now));
        let writes = evictions.collect();
        self.writer.start(pod.uid(), Job { purpose: Purpose::Preempt, writes });
        let note = format!("Preempted by pod {} on node {node}", pod.uid());
        for victim in victims {
            self.tell(victim, &Said { warning: false, reason: "Preempted", action: "Preempting", note: &note });
        }
        for lesser in self.cache.nominated_below(node, pod.priority()) {
            self.cache.nominate(lesser.clone(), None);
            self.queue.retry(lesser.uid(), Instant::now());
            let writes = status::nomination_void(&lesser).into_iter().collect();
            self.writer.start(lesser.uid(), Job { purpose: Purpose::Tell, writes });
        }
    }

    /// Event and condition of a failure.
    fn tell_failure(&mut self, pod: &Arc<PodInfo>, reason: &str, message: &str, nominated: Option<&str>) {
        let said = Said { warning: true, reason: "FailedScheduling", action: "Scheduling", note: message };
        self.tell(pod, &said);
        if let Some(write) = status::unscheduled(pod, reason, message, nominated, self.clock.now()) {
            self.writer.start(pod.uid(), Job { purpose: Purpose::Tell, writes: vec![write] });
        }
    }

    fn tell(&mut self, pod: &PodInfo, said: &Said<'_>) {
        let write = self.recorder.write(pod, said, self.clock.now());
        self.writer.start(pod.uid(), Job { purpose: Purpose::Tell, writes: vec![write] });
    }

    fn bound(&mut self, uid: &str) {
        let Some((pod, node)) = self.cache.placed(uid) else { return };
        let note = format!("Successfully assigned {}/{} to {node}", pod.namespace(), pod.name());
        let pod = pod.clone();
        self.tell(&pod, &Said { warning: false, reason: "Scheduled", action: "Binding", note: &note });
    }

    fn done(&mut self, done: Done) {
        self.writer.settle(&done);
        let uid = done.uid;
        let error = match (done.result, done.purpose) {
            (Err(error), _) => error,
            (Ok(()), Purpose::Bind) => return self.bound(&uid),
            (Ok(()), Purpose::Preempt | Purpose::Tell) => return,
        };
        match done.purpose {
            Purpose::Tell => tracing::debug!(pod.uid = uid, %error, "a pod's users were not told"),
            Purpose::Preempt => {
                tracing::warn!(pod.uid = uid, %error, "no room was made for a pod");
                let waiting = self.queue.pod(&uid).filter(|_| self.cache.placed(&uid).is_none());
                if let Some(pod) = waiting.cloned() {
                    self.cache.nominate(Arc::new(PodInfo::new(pod)), None);
                    self.queue.failed(&uid, Instant::now());
                }
            }
            Purpose::Bind => {
                tracing::warn!(pod.uid = uid, %error, "a pod was not bound");
                let happened = self.cache.forget(&uid);
                self.happened(happened);
                self.queue.failed(&uid, Instant::now());
                if let Some(pod) = self.queue.pod(&uid).cloned() {
                    let pod = Arc::new(PodInfo::new(pod));
                    self.tell_failure(&pod, "SchedulerError", &format!("binding rejected: {error}"), None);
                }
            }
        }
    }
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
