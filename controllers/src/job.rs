//! Jobs: pods that run to completion, counted exactly once. Upstream's `pkg/controller/job`.
//!
//! A finished pod is first written down as uncounted, then loses its tracking finalizer, then is counted: whatever is interrupted,
//! no pod is counted twice or lost. Owns the pods of a Job and its status. Woken by Jobs and their pods. It keeps no memory of
//! failures: back-off is read from the pods that are there.

mod indexes;
mod policy;
mod sync;

use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::ownership::claim;
use crate::plan::{PatchKind, Plan};
use crate::pods;
use crate::queue::Key;
use crate::selector;
use informer::{Event, Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use std::sync::Arc;

pub(crate) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const OWN_MANAGER: &str = "kubernetes.io/job-controller";

pub(crate) struct Jobs {
    informers: Informers,
    own: Store<Job>,
    pods: Store<Pod>,
}

pub enum Observed {
    /// The Job is gone; these pods still carry its finalizer.
    Gone(Vec<Arc<Pod>>),
    There {
        job: Arc<Job>,
        candidates: Vec<Arc<Pod>>,
    },
}

impl Jobs {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), own: informers.store(), pods: pods::store(informers) }
    }
}

fn selects(job: &Job, pod: &Pod) -> bool {
    let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|own| !selector::is_empty(own) && selector::selects(own, pod.metadata.labels.as_ref()))
}

fn wake(jobs: &Store<Job>, event: &Event<Pod>) -> Vec<Key> {
    let mut keys: Vec<Key> = event.states().filter_map(|pod| pods::controller_key::<Job>(&**pod)).collect();
    keys.dedup();
    if let Some(pod) = event.new.as_ref().filter(|pod| pod.controller().is_none() && !pod.terminating()) {
        let adopters = jobs.list_in(pod.namespace());
        keys.extend(adopters.iter().filter(|job| selects(job, pod)).map(|job| key_of(&**job)));
    }
    keys
}

/// Complete or failed.
pub(crate) fn finished(job: &Job) -> Option<&k8s_openapi::api::batch::v1::JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|own| matches!(own.type_.as_str(), "Complete" | "Failed") && own.status == "True")
}

fn release(pod: &Pod, plan: &mut Plan) {
    let body = json!({"metadata": {"uid": pod.uid(), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
    plan.patch(pod, "", PatchKind::Strategic, body);
}

impl Controller for Jobs {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor { name: "job-controller", account: "job-controller", component: "job-controller", workers: 5 }
    }

    fn watches(&self) -> Vec<Watch> {
        let jobs = self.own.clone();
        vec![
            Watch::own(&self.informers, &self.own),
            Watch::on(&self.informers, &self.pods, move |event| wake(&jobs, event)),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let Some(job) = self.own.get(&key.namespace, &key.name) else {
            let mut left = self.pods.list_in(&key.namespace);
            left.retain(|pod| pod.finalizer(FINALIZER) && pods::controller_key::<Job>(&**pod).as_ref() == Some(key));
            return (!left.is_empty()).then_some(Observed::Gone(left));
        };
        let candidates = pods::candidates(&self.pods, &key.namespace, job.uid());
        Some(Observed::There { job, candidates })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }
}

fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let (job, candidates) = match observed {
        Observed::Gone(left) => {
            for pod in left {
                release(pod, &mut plan);
            }
            return plan;
        }
        Observed::There { job, candidates } => (&**job, candidates),
    };
    let Some(spec) = &job.spec else { return plan };
    if spec.managed_by.as_deref().is_some_and(|manager| manager != OWN_MANAGER) {
        return plan;
    }
    if finished(job).is_some() {
        // Nothing is counted any more, but no finalizer may be left behind.
        let left = candidates.iter().filter(|pod| pod.controlled_by(job.uid()) && pod.finalizer(FINALIZER));
        for pod in left {
            release(pod, &mut plan);
        }
        return plan;
    }
    let claim = claim(job, candidates.iter().cloned(), |pod| selects(job, pod));
    claim.write(job, &[FINALIZER], &mut plan);
    if plan.writes.is_empty() {
        sync::sync(job, spec, &claim.owned, now, &mut plan);
    }
    plan
}

fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// The completion index of a pod of an indexed Job.
fn index_of(pod: &Pod) -> Option<i32> {
    pod.annotation(INDEX)?.parse().ok().filter(|index| *index >= 0)
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
