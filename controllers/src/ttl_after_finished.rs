//! Deletes finished Jobs when their time to live is over. Upstream's `pkg/controller/ttlafterfinished`.
//!
//! Touches no Job without `ttlSecondsAfterFinished`. Woken by Jobs.

use crate::controller::{Controller, Descriptor, Watch};
use crate::job::finished;
use crate::meta::Meta;
use crate::plan::Plan;
use crate::queue::Key;
use informer::{Informers, Store};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use serde_json::json;
use std::sync::Arc;

pub(crate) struct TtlAfterFinished {
    informers: Informers,
    jobs: Store<Job>,
}

impl TtlAfterFinished {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), jobs: informers.store() }
    }
}

impl Controller for TtlAfterFinished {
    type Observed = Arc<Job>;

    fn descriptor(&self) -> Descriptor {
        let account = "ttl-after-finished-controller";
        Descriptor { name: account, account, component: account, workers: 2 }
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(&self.informers, &self.jobs)]
    }

    fn observe(&self, key: &Key) -> Option<Arc<Job>> {
        self.jobs.get(&key.namespace, &key.name)
    }

    fn plan(&self, job: &Arc<Job>, now: Timestamp) -> Plan {
        plan(job, now)
    }
}

fn plan(job: &Job, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let ttl = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
    let (Some(ttl), Some(end), false) = (ttl, finished(job), job.terminating()) else { return plan };
    let Some(end) = &end.last_transition_time else { return plan };
    let left = SignedDuration::from_secs(ttl.into()) - now.duration_since(end.0);
    if left > SignedDuration::ZERO {
        plan.again_after(left.unsigned_abs());
    } else {
        plan.delete_with(job, json!({"propagationPolicy": "Foreground"}), None);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_job_lives_as_long_as_told() {
        let job = |ttl| {
            let ended = json!([{"type": "Complete", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]);
            serde_json::from_value::<Job>(json!({"metadata": {"name": "j", "namespace": "ns"},
                "spec": {"ttlSecondsAfterFinished": ttl, "template": {}}, "status": {"conditions": ended}}))
            .unwrap()
        };
        let now = "2024-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(plan(&job(Some(100)), now).to_string(), "again in 40s");
        assert_eq!(plan(&job(Some(0)), now).to_string(), "delete jobs.batch ns/j");
        assert_eq!(plan(&job(None), now), Plan::default());
    }
}
