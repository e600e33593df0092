//! API priority and fairness: whom the server serves next when it cannot serve everybody at once (KEP-1040,
//! k8s.io/apiserver `pkg/util/flowcontrol` and `pkg/server/filters/priority-and-fairness.go`).
//!
//! FlowSchemas sort requests into flows of priority levels; a level has seats, and queues for who finds none. Levels lend
//! seats to each other by their demand. A server without requests does nothing here: no timer runs.
//!
//! Requests that last (exec, logs, proxies) are not counted. A watch takes seats until its first answer is made.

pub mod allocation;
pub mod bootstrap;
pub mod config;
pub mod dealer;
pub mod demand;
pub mod dropped;
pub mod estimate;
pub mod level;
pub mod queue_set;
pub mod spec;
pub mod status;
pub mod watches;

use crate::backend::Backend;
use crate::request::query::Query;
use crate::request::{RequestInfo, UserInfo};
use apimachinery::clock::{Clock, Rng};
use apimachinery::{GroupResource, Object};
use arc_swap::ArcSwap;
use config::Config;
use estimate::{Size, World};
use futures::StreamExt;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use level::{Refused, Seat};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use storage::{Cache, Revision};
use tokio::sync::Notify;
use tokio::time::Instant;
use watches::{Counted, Watches};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const LEVELS: &str = "prioritylevelconfigurations";
const SCHEMAS: &str = "flowschemas";

/// Upstream's `--max-requests-inflight` and `--max-mutating-requests-inflight`, together.
pub const SEATS: usize = 600;
/// Between two adjustments of what levels lend.
const PERIOD: Duration = Duration::from_secs(10);
/// How long somebody else's change of a bootstrap object stands.
const RESTORE: Duration = Duration::from_mins(1);
/// The longest that anybody waits in a queue.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Objects that are looked at to know how large they are on average.
const SAMPLE: usize = 16;

const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// See the module.
pub struct FlowControl {
    cache: Arc<Cache>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    seats: usize,
    config: ArcSwap<Config>,
    watches: Watches,
    /// Whether adjustments have stopped because nobody wanted anything.
    resting: AtomicBool,
    activity: Notify,
}

/// How a request was classified, and what became of it.
pub struct Turn {
    schema_uid: Arc<str>,
    level_uid: Arc<str>,
    pub outcome: Result<Pass, Refused>,
}

/// Held while a request is served.
pub struct Pass {
    _seat: Seat,
    watch: Option<Counted>,
}

impl Pass {
    /// The answer is made; what remains is that a watch is counted while it lives.
    pub fn answered(self) -> Option<Counted> {
        self.watch
    }
}

impl Turn {
    /// Says how the request was classified.
    pub fn mark(&self, headers: &mut HeaderMap) {
        for (name, uid) in [(SCHEMA_UID, &self.schema_uid), (LEVEL_UID, &self.level_uid)] {
            if let Ok(value) = HeaderValue::from_str(uid) {
                headers.insert(name, value);
            }
        }
    }
}

impl FlowControl {
    /// Reads the present configuration; [`Self::run`] goes on from the revision that comes with it.
    pub async fn load(
        cache: Arc<Cache>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        seats: usize,
    ) -> Result<(Arc<Self>, Revision), storage::Error> {
        let flow = Arc::new(Self {
            cache,
            clock,
            rng,
            seats,
            config: ArcSwap::default(),
            watches: Watches::default(),
            resting: AtomicBool::new(true),
            activity: Notify::new(),
        });
        let revision = flow.cache.consistent().await?;
        flow.reload().await?;
        Ok((flow, revision))
    }

    fn backend(&self) -> Backend {
        Backend { storage: self.cache.clone() }
    }

    async fn reload(&self) -> Result<(), storage::Error> {
        let backend = self.backend();
        let levels = backend.objects(&GroupResource::new(GROUP, LEVELS), None).await?;
        let schemas = backend.objects(&GroupResource::new(GROUP, SCHEMAS), None).await?;
        let config = Config::digest(&levels, &schemas, self.seats, &self.config.load());
        config.adjust();
        self.config.store(Arc::new(config));
        let names: BTreeSet<&str> = levels.iter().map(Object::name).collect();
        status::write(&backend, &schemas, &names, self.clock.now()).await
    }

    /// Follows the configuration and adjusts limits while there are requests, until the store closes.
    pub async fn run(self: Arc<Self>, mut after: Revision) {
        loop {
            match self.follow(after).await {
                Err(storage::Error::Closed) => return,
                Err(error) => tracing::debug!(%error, "flow control reads its configuration again"),
                Ok(()) => {}
            }
            after = self.cache.applied();
            if let Err(error) = self.reload().await {
                tracing::warn!(%error, "the configuration of flow control could not be read");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    async fn follow(&self, after: Revision) -> Result<(), storage::Error> {
        let backend = self.backend();
        let mut watches = Vec::new();
        for resource in [LEVELS, SCHEMAS] {
            let resource = GroupResource::new(GROUP, resource).to_string();
            watches.push(backend.storage.watch(Some(resource.into()), after).await?);
        }
        let mut changes = futures::stream::select_all(watches);
        let (mut adjust, mut restore): (Option<Instant>, Option<Instant>) = (None, None);
        loop {
            let wake = [adjust, restore].into_iter().flatten().min();
            tokio::select! {
                change = changes.next() => {
                    change.ok_or(storage::Error::Closed)??;
                    self.reload().await?;
                    restore.get_or_insert_with(|| Instant::now() + RESTORE);
                }
                () = self.activity.notified(), if adjust.is_none() => adjust = Some(Instant::now() + PERIOD),
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    let now = Instant::now();
                    if adjust.is_some_and(|at| at <= now) {
                        let busy = self.config.load().adjust();
                        adjust = busy.then(|| now + PERIOD);
                        self.resting.store(!busy, Ordering::Release);
                    }
                    if restore.is_some_and(|at| at <= now) {
                        restore = None;
                        bootstrap::ensure(&backend, self.clock.now(), &*self.rng).await?;
                    }
                }
            }
        }
    }

    /// Sorts a request and waits for its seats. `allowed`: how long it may take altogether; none for watches. No turn for
    /// requests that are not counted.
    pub async fn admit(
        &self,
        user: &UserInfo,
        info: &RequestInfo,
        query: &Query,
        allowed: Option<Duration>,
        default: Duration,
    ) -> Option<Turn> {
        let watch = info.verb == "watch";
        if info.is_long_running() && !watch {
            return None;
        }
        if self.resting.load(Ordering::Acquire) && self.resting.swap(false, Ordering::AcqRel) {
            self.activity.notify_one();
        }
        let config = self.config.load_full();
        let matching = config.schemas.iter().find(|(schema, _)| schema.matches(user, info));
        // Nobody is outside both of catch-all's groups but a caller of this process without any.
        let (schema, level) = matching.or_else(|| config.schemas.iter().find(|(s, _)| s.name == "catch-all"))?;
        let work = estimate::work(info, query, level.widest(), self);
        let hash = if config::queues(level) { flow_hash(&schema.name, schema.flow(user, info)) } else { 0 };
        let wait = (allowed.unwrap_or(default) / 4).min(LONGEST_WAIT);
        let outcome = level.acquire(work, hash, Instant::now() + wait).await;
        let pass = |seat| Pass { _seat: seat, watch: if watch { self.watches.register(info, query) } else { None } };
        Some(Turn { schema_uid: schema.uid.clone(), level_uid: level.uid(), outcome: outcome.map(pass) })
    }

    /// The gauges of every level, in Prometheus' text form.
    pub fn metrics(&self, out: &mut String) {
        let config = self.config.load();
        let gauges: Vec<(&String, [usize; 4])> = config
            .levels
            .values()
            .map(|level| {
                let (waiting, running, seats) = level.counts();
                (&level.name, [level.nominal(), seats, waiting, running])
            })
            .collect();
        let names =
            ["nominal_limit_seats", "current_limit_seats", "current_inqueue_requests", "current_executing_requests"];
        for (index, name) in names.into_iter().enumerate() {
            let _ = writeln!(out, "# TYPE apiserver_flowcontrol_{name} gauge");
            for (level, values) in &gauges {
                let value = values[index];
                let _ = writeln!(out, "apiserver_flowcontrol_{name}{{priority_level=\"{level}\"}} {value}");
            }
        }
    }
}

/// Upstream's hash of a flow (`hashFlowID`).
fn flow_hash(schema: &str, flow: &str) -> u64 {
    let digest: [u8; 32] = Sha256::new().chain_update(schema).chain_update([0]).chain_update(flow).finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

impl World for FlowControl {
    fn size(&self, info: &RequestInfo) -> Option<Size> {
        let snapshot = self.cache.snapshot(&info.group_resource().to_string());
        let objects = snapshot.entries.len();
        if objects == 0 {
            return None;
        }
        let sample = objects.min(SAMPLE);
        let bytes: usize = snapshot.entries.values().take(sample).map(|entry| entry.object.body.len()).sum();
        Some(Size { objects, average: bytes / sample })
    }

    fn watchers(&self, info: &RequestInfo) -> usize {
        self.watches.interested(info)
    }
}

#[cfg(test)]
#[path = "flowcontrol/tests.rs"]
mod tests;
