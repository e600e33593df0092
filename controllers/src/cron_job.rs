//! CronJobs: Jobs by the clock. Upstream's `pkg/controller/cronjob`.
//!
//! Owns the Jobs of a CronJob (their making, their history's length) and its status. The name of a Job is made of the minute that it is
//! for, so that none is made twice. Time zones other than UTC need a database of zones that is not built in; they are
//! refused with an event. Woken by CronJobs, their Jobs and the schedule.

use crate::controller::{Controller, Descriptor, Watch};
use crate::job::finished;
use crate::meta::{Meta, controller_reference, object_reference};
use crate::plan::{Announce, Plan};
use crate::pods;
use crate::queue::Key;
use crate::recorder::stamp;
use apimachinery::cron::{self, Schedule};
use informer::{Informers, Store};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Jobs by the uid of their controller.
const BY_CONTROLLER: &str = "controller";

pub(crate) struct CronJobs {
    informers: Informers,
    own: Store<CronJob>,
    jobs: Store<Job>,
}

pub struct Observed {
    cron_job: Arc<CronJob>,
    jobs: Vec<Arc<Job>>,
}

impl CronJobs {
    pub(crate) fn new(informers: &Informers) -> Self {
        let jobs = informers.store::<Job>();
        jobs.add_index(BY_CONTROLLER, |job| job.controller().map(|owner| owner.uid.clone()).into_iter().collect());
        Self { informers: informers.clone(), own: informers.store(), jobs }
    }
}

impl Controller for CronJobs {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "cronjob-controller",
            account: "cronjob-controller",
            component: "cronjob-controller",
            workers: 5,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::own(&self.informers, &self.own),
            Watch::on(&self.informers, &self.jobs, |event| {
                let mut keys: Vec<Key> =
                    event.states().filter_map(|job| pods::controller_key::<CronJob>(&**job)).collect();
                keys.dedup();
                keys
            }),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let cron_job = self.own.get(&key.namespace, &key.name)?;
        let jobs = self.jobs.by_index(BY_CONTROLLER, cron_job.uid());
        Some(Observed { cron_job, jobs })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }
}

fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let Observed { cron_job, jobs } = observed;
    let mut plan = Plan::default();
    let mut status = json!(cron_job.status);
    if status.is_null() {
        status = json!({});
    }
    note_jobs(cron_job, jobs, &mut status, &mut plan);
    if !cron_job.terminating() {
        clean_up(cron_job, jobs, &mut plan);
        run_due(cron_job, jobs, &mut status, now, &mut plan);
    }
    plan.set_status(&**cron_job, status);
    plan
}

fn is_complete(job: &Job) -> bool {
    finished(job).is_some_and(|condition| condition.type_ == "Complete")
}

/// Which Jobs are active, and when one last succeeded.
fn note_jobs(cron_job: &CronJob, jobs: &[Arc<Job>], status: &mut Value, plan: &mut Plan) {
    let listed = cron_job.status.iter().flat_map(|status| status.active.iter().flatten());
    for reference in listed {
        let (name, uid) = (reference.name.as_deref().unwrap_or_default(), reference.uid.as_deref().unwrap_or_default());
        match jobs.iter().find(|job| job.uid() == uid) {
            None => plan.event(cron_job, "MissingJob", format!("Active job went missing: {name}")),
            Some(job) => {
                if let Some(condition) = finished(job) {
                    let words = format!("Saw completed job: {name}, condition: {}", condition.type_);
                    plan.event(cron_job, "SawCompletedJob", words);
                }
            }
        }
    }
    let active: Vec<_> = jobs
        .iter()
        .filter(|job| finished(job).is_none())
        .map(|job| {
            // The revision moves with every change of the Job, and says nothing here.
            k8s_openapi::api::core::v1::ObjectReference { resource_version: None, ..object_reference(&**job) }
        })
        .collect();
    status["active"] = json!(active);
    let completed =
        jobs.iter().filter(|job| is_complete(job)).filter_map(|job| job.status.as_ref()?.completion_time.as_ref());
    let known = cron_job.status.as_ref().and_then(|status| status.last_successful_time.as_ref());
    if let Some(last) = completed.chain(known).map(|time| time.0).max() {
        status["lastSuccessfulTime"] = json!(stamp(last));
    }
}

/// Deletes the oldest finished Jobs beyond what is kept of each outcome.
fn clean_up(cron_job: &CronJob, jobs: &[Arc<Job>], plan: &mut Plan) {
    let limits =
        [(true, cron_job.spec.successful_jobs_history_limit), (false, cron_job.spec.failed_jobs_history_limit)];
    for (complete, limit) in limits {
        let Some(limit) = limit else { continue };
        let mut done: Vec<&Arc<Job>> = jobs
            .iter()
            .filter(|job| finished(job).is_some() && is_complete(job) == complete && !job.terminating())
            .collect();
        done.sort_by_key(|job| {
            let start = job.status.as_ref().and_then(|status| status.start_time.as_ref());
            (start.map(|time| time.0), job.name().to_owned())
        });
        let surplus = done.len().saturating_sub(limit.max(0) as usize);
        for job in done.into_iter().take(surplus) {
            delete(cron_job, job, plan);
        }
    }
}

fn delete(cron_job: &CronJob, job: &Job, plan: &mut Plan) {
    let announce = Announce {
        about: object_reference(cron_job),
        success: ("SuccessfulDelete", format!("Deleted job {}", job.name())),
        failure: ("FailedDelete", "Deleted job: {}".to_owned()),
    };
    plan.delete_with(job, json!({"propagationPolicy": "Background"}), Some(announce));
}

/// Makes the Job of the last time that is due, if it is not made yet and may be.
fn run_due(cron_job: &CronJob, jobs: &[Arc<Job>], status: &mut Value, now: Timestamp, plan: &mut Plan) {
    let spec = &cron_job.spec;
    let zone = spec.time_zone.as_deref().or_else(|| cron::zone(&spec.schedule));
    if let Some(zone) = zone.filter(|zone| !matches!(*zone, "UTC" | "Etc/UTC")) {
        plan.warning(cron_job, "UnknownTimeZone", format!("invalid timeZone: \"{zone}\": only UTC is known here"));
        return;
    }
    if spec.suspend == Some(true) {
        return;
    }
    let Ok(schedule) = Schedule::parse(&spec.schedule) else {
        let words = format!("unparseable schedule: \"{}\"", spec.schedule);
        plan.warning(cron_job, "UnparseableSchedule", words);
        return;
    };
    let last = cron_job.status.as_ref().and_then(|status| status.last_schedule_time.as_ref()).map(|time| time.0);
    let mut earliest = last.unwrap_or_else(|| cron_job.created());
    let deadline = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    if let Some(bound) = deadline.and_then(|deadline| now.checked_sub(deadline).ok()) {
        earliest = earliest.max(bound);
    }
    if let Some(next) = schedule.next(now) {
        // A little late, so that a clock that is a little early finds it due.
        plan.again_after(next.duration_since(now).unsigned_abs() + Duration::from_millis(100));
    }
    let Some(due) = schedule.last_between(earliest, now) else { return };
    let name = format!("{}-{}", cron_job.name(), due.as_second() / 60);
    if last == Some(due) || jobs.iter().any(|job| job.name() == name) {
        if last.is_none_or(|last| last < due) {
            status["lastScheduleTime"] = json!(stamp(due));
        }
        return;
    }
    if deadline.is_some_and(|deadline| now.duration_since(due) > deadline) {
        plan.warning(cron_job, "MissSchedule", format!("Missed scheduled time to start a job: {due}"));
        return;
    }
    let active: Vec<&Arc<Job>> = jobs.iter().filter(|job| finished(job).is_none()).collect();
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            let words = "Not starting job because prior execution is running and concurrency policy is Forbid";
            plan.event(cron_job, "JobAlreadyActive", words);
            return;
        }
        Some("Replace") => active.into_iter().for_each(|job| delete(cron_job, job, plan)),
        _ => {}
    }
    make(cron_job, name, due, plan);
    status["lastScheduleTime"] = json!(stamp(due));
}

fn make(cron_job: &CronJob, name: String, due: Timestamp, plan: &mut Plan) {
    let template = &cron_job.spec.job_template;
    let given = template.metadata.clone().unwrap_or_default();
    let mut annotations = given.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), stamp(due));
    let job = Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: cron_job.metadata.namespace.clone(),
            labels: given.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controller_reference(cron_job)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    };
    let announce = Announce {
        about: object_reference(cron_job),
        success: ("SuccessfulCreate", "Created job {}".to_owned()),
        failure: ("FailedCreate", "Error creating job: {}".to_owned()),
    };
    plan.create_announced(&job, announce);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::testing::merge;

    fn cron_job(spec: Value, status: Value) -> Arc<CronJob> {
        let mut tree = json!({"metadata": {"name": "c", "namespace": "ns", "uid": "c", "creationTimestamp": "2024-01-01T00:00:30Z"},
            "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": {}}}}, "status": {}});
        merge(&mut tree["spec"], spec);
        merge(&mut tree["status"], status);
        Arc::new(serde_json::from_value(tree).unwrap())
    }

    fn job(name: &str, condition: Option<&str>) -> Arc<Job> {
        let conditions = condition.map(|kind| json!([{"type": kind, "status": "True"}]));
        Arc::new(serde_json::from_value(json!({"metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}")}, "spec": {"template": {}},
            "status": {"conditions": conditions, "startTime": "2024-01-01T00:00:00Z"}})).unwrap())
    }

    fn run(cron_job: Arc<CronJob>, jobs: Vec<Arc<Job>>) -> Vec<String> {
        let told = plan(&Observed { cron_job, jobs }, "2024-01-01T00:05:10Z".parse().unwrap());
        told.to_string().lines().filter(|line| !line.starts_with("update")).map(ToOwned::to_owned).collect()
    }

    const NEXT: &str = "again in 290.1s";

    #[test]
    fn a_due_job_is_made_once() {
        assert_eq!(run(cron_job(json!({}), json!({})), vec![]), ["create jobs.batch ns/c-28401125", NEXT]);
        let made = json!({"lastScheduleTime": "2024-01-01T00:05:00Z"});
        assert_eq!(run(cron_job(json!({}), made), vec![job("c-28401125", None)]), [NEXT]);
        assert_eq!(run(cron_job(json!({"suspend": true}), json!({})), vec![]), [""; 0]);
    }

    #[test]
    fn concurrency_policies_hold() {
        let running = || vec![job("c-1", None)];
        let forbidden = run(cron_job(json!({"concurrencyPolicy": "Forbid"}), json!({})), running());
        assert!(forbidden[0].starts_with("event JobAlreadyActive"));
        let replaced = run(cron_job(json!({"concurrencyPolicy": "Replace"}), json!({})), running());
        assert_eq!(replaced[..2], ["delete jobs.batch ns/c-1", "create jobs.batch ns/c-28401125"]);
    }

    #[test]
    fn histories_are_cut_by_outcome() {
        let limits = json!({"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1, "suspend": true});
        let jobs = vec![job("a", Some("Complete")), job("b", Some("Complete")), job("c", Some("Failed"))];
        assert_eq!(run(cron_job(limits, json!({})), jobs), ["delete jobs.batch ns/a"]);
    }

    #[test]
    fn what_cannot_be_scheduled_is_said() {
        assert_eq!(
            run(cron_job(json!({"schedule": "x"}), json!({})), vec![]),
            ["warn UnparseableSchedule unparseable schedule: \"x\""]
        );
    }
}
