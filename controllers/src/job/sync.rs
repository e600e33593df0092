//! One look at an unfinished Job: count, decide, make or delete pods, write the status, let pods go.

use super::indexes::{self, Indexes};
use super::policy::{Verdict, of_failure, of_success};
use super::{FINALIZER, INDEX, INDEX_FAILURES, index_of, is_indexed, release};
use crate::conditions::{self, Condition};
use crate::meta::{Meta, controller_reference, object_reference};
use crate::plan::Plan;
use crate::pods;
use crate::recorder::stamp;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// `MaxPodCreateDeletePerSync`, `MaxUncountedPods`.
const BURST: usize = 500;
/// Back-off after failed pods: ten seconds doubling to ten minutes.
const BACKOFF: (u64, u64) = (10, 600);
const INDEX_ENV: &str = "JOB_COMPLETION_INDEX";

struct Sync<'a> {
    job: &'a Job,
    spec: &'a JobSpec,
    pods: &'a [Arc<Pod>],
    now: Timestamp,
    conditions: Vec<Condition>,
    uncounted_succeeded: BTreeSet<String>,
    uncounted_failed: BTreeSet<String>,
    succeeded_indexes: Indexes,
    failed_indexes: Indexes,
}

/// What is active after this look.
struct Active {
    pods: Vec<Arc<Pod>>,
    made: usize,
    deleted: usize,
}

fn count(status: &Value, field: &str) -> i64 {
    status[field].as_i64().unwrap_or(0)
}

fn only_replaces_failed(spec: &JobSpec) -> bool {
    spec.pod_failure_policy.is_some() || spec.pod_replacement_policy.as_deref() == Some("Failed")
}

/// Failed, or (unless failures must be certain) going away without having succeeded.
fn is_failed(spec: &JobSpec, pod: &Pod) -> bool {
    match pods::phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => pod.terminating() && !only_replaces_failed(spec),
    }
}

fn suspended(spec: &JobSpec) -> bool {
    spec.suspend == Some(true)
}

pub(super) fn sync(job: &Job, spec: &JobSpec, owned: &[Arc<Pod>], now: Timestamp, plan: &mut Plan) {
    let status = serde_json::to_value(&job.status).unwrap_or_default();
    let uids = |field: &str| -> BTreeSet<String> {
        serde_json::from_value(status["uncountedTerminatedPods"][field].clone()).unwrap_or_default()
    };
    let completions = spec.completions.unwrap_or(0);
    let read = |field: &str| indexes::parse(status[field].as_str().unwrap_or_default(), completions);
    let mut sync = Sync {
        job,
        spec,
        pods: owned,
        now,
        conditions: conditions::read(&status),
        uncounted_succeeded: uids("succeeded"),
        uncounted_failed: uids("failed"),
        succeeded_indexes: read("completedIndexes"),
        failed_indexes: read("failedIndexes"),
    };
    sync.run(&status, plan);
}

impl Sync<'_> {
    fn run(&mut self, status: &Value, plan: &mut Plan) {
        let tracked: Vec<Arc<Pod>> = self.pods.iter().filter(|pod| pod.finalizer(FINALIZER)).cloned().collect();
        let is_new = |pod: &&Arc<Pod>, seen: &BTreeSet<String>| !seen.contains(pod.uid());
        let new_succeeded: Vec<&Arc<Pod>> = tracked
            .iter()
            .filter(|pod| pods::phase(pod) == "Succeeded" && is_new(pod, &self.uncounted_succeeded))
            .collect();
        let new_failed: Vec<&Arc<Pod>> = tracked
            .iter()
            .filter(|pod| is_failed(self.spec, pod) && is_new(pod, &self.uncounted_failed))
            .filter(|pod| of_failure(self.spec, pod) != Verdict::Ignore)
            .collect();
        let mut succeeded = count(status, "succeeded") + (new_succeeded.len() + self.uncounted_succeeded.len()) as i64;
        let failed = count(status, "failed") + (new_failed.len() + self.uncounted_failed.len()) as i64;
        let active: Vec<Arc<Pod>> = self.pods.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let terminating = self.pods.iter().filter(|pod| pod.terminating() && !pods::is_terminal(pod)).count();

        let mut start = status["startTime"].as_str().map(ToOwned::to_owned);
        if start.is_none() && !suspended(self.spec) {
            start = Some(stamp(self.now));
        }
        if is_indexed(self.spec) {
            self.count_indexes();
            succeeded = self.succeeded_indexes.len() as i64;
        }
        let mut finish = self.verdict(failed, start.as_deref(), plan);

        let mut active = Active { pods: active, made: 0, deleted: 0 };
        if finish.is_some() {
            self.delete(active.pods.clone(), &mut active, plan);
        } else {
            if !self.job.terminating() {
                self.manage(succeeded, terminating, &mut active, plan);
            }
            let left = active.pods.len() + active.made;
            let complete = match self.spec.completions {
                None => succeeded > 0 && left == 0,
                Some(wanted) => succeeded >= i64::from(wanted) && left == 0,
            };
            if complete {
                let words = "Reached expected number of succeeded pods";
                finish = Some(Condition::new("SuccessCriteriaMet", true, "CompletionsReached", words, self.now));
            } else if !self.job.terminating() {
                self.note_suspension(&mut start, plan);
            }
        }
        let outcome = finish.map(|finish| self.interim(finish));

        let released = self.count_terminated(&tracked, outcome.as_ref());
        let terminating = terminating + active.deleted;
        let mut new = self.status(status, start, &active, terminating);
        let uncounted = self.uncounted_succeeded.len() + self.uncounted_failed.len();
        if let Some(outcome) = outcome
            && uncounted == 0
            && terminating == 0
            && released.is_empty()
        {
            self.announce(&outcome, plan);
            if outcome.kind == "Complete" {
                new["completionTime"] = json!(stamp(self.now));
            }
            conditions::set(&mut self.conditions, outcome);
            new["conditions"] = json!(self.conditions);
        }
        plan.set_status(self.job, new);
        for pod in released {
            release(&pod, plan);
        }
    }

    /// Adds the indexes that finished pods are of. An index fails when it has failed more often than it may.
    fn count_indexes(&mut self) {
        let completions = self.spec.completions.unwrap_or(0);
        let below = |pod: &Arc<Pod>| index_of(pod).filter(|index| *index < completions);
        for pod in self.pods.iter().filter(|pod| pod.finalizer(FINALIZER)) {
            let Some(index) = below(pod) else { continue };
            if pods::phase(pod) == "Succeeded" {
                self.succeeded_indexes.insert(index);
            }
        }
        let Some(limit) = self.spec.backoff_limit_per_index else { return };
        for pod in self.pods.iter().filter(|pod| is_failed(self.spec, pod)) {
            let Some(index) = below(pod) else { continue };
            let verdict = of_failure(self.spec, pod);
            let counts = verdict == Verdict::Count && failures_before(pod) >= limit;
            if (verdict == Verdict::FailIndex || counts) && !self.succeeded_indexes.contains(&index) {
                self.failed_indexes.insert(index);
            }
        }
    }

    /// Whether the Job's end is decided, by what it decided before, then by failures, then by success.
    fn verdict(&self, failed: i64, start: Option<&str>, plan: &mut Plan) -> Option<Condition> {
        let held = |kind: &str| conditions::find(&self.conditions, kind).filter(|own| own.is_true()).cloned();
        if let Some(decided) = held("SuccessCriteriaMet").or_else(|| held("FailureTarget")) {
            return Some(decided);
        }
        let fail = |reason: &str, words: String| Some(Condition::new("FailureTarget", true, reason, words, self.now));
        let by_policy = self.pods.iter().filter(|pod| is_failed(self.spec, pod)).find_map(|pod| {
            let Verdict::FailJob(words) = of_failure(self.spec, pod) else { return None };
            Some(words)
        });
        if let Some(words) = by_policy {
            return fail("PodFailurePolicy", words);
        }
        if failed > i64::from(self.spec.backoff_limit.unwrap_or(6)) || self.restarts_exceed_limit() {
            return fail("BackoffLimitExceeded", "Job has reached the specified backoff limit".to_owned());
        }
        if let (Some(seconds), Some(start)) = (self.spec.active_deadline_seconds, start)
            && !suspended(self.spec)
            && let Ok(start) = start.parse::<Timestamp>()
        {
            let left = SignedDuration::from_secs(seconds) - self.now.duration_since(start);
            if left <= SignedDuration::ZERO {
                return fail("DeadlineExceeded", "Job was active longer than specified deadline".to_owned());
            }
            plan.again_after(left.unsigned_abs());
        }
        if !is_indexed(self.spec) {
            return None;
        }
        let completions = self.spec.completions.unwrap_or(0);
        if self.spec.max_failed_indexes.is_some_and(|most| self.failed_indexes.len() > most.max(0) as usize) {
            let words = "Job has exceeded the specified maximal number of failed indexes";
            return fail("MaxFailedIndexesExceeded", words.to_owned());
        }
        let over = self.failed_indexes.len() + self.succeeded_indexes.len() >= completions.max(0) as usize;
        if !self.failed_indexes.is_empty() && over {
            return fail("FailedIndexes", "Job has failed indexes".to_owned());
        }
        let words = of_success(self.spec.success_policy.as_ref()?, completions, &self.succeeded_indexes)?;
        Some(Condition::new("SuccessCriteriaMet", true, "SuccessPolicy", words, self.now))
    }

    /// For containers that are restarted in place, restarts are the failures.
    fn restarts_exceed_limit(&self) -> bool {
        let template = self.spec.template.spec.as_ref();
        if template.and_then(|spec| spec.restart_policy.as_deref()) != Some("OnFailure") {
            return false;
        }
        let running = self.pods.iter().filter(|pod| matches!(pods::phase(pod), "Running" | "Pending"));
        let statuses = running.filter_map(|pod| pod.status.as_ref()).flat_map(|status| {
            status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
        });
        let restarts: i32 = statuses.map(|status| status.restart_count).sum();
        let limit = self.spec.backoff_limit.unwrap_or(6);
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    /// The decision is written first, its execution in the same status or a later one.
    fn interim(&mut self, decided: Condition) -> Condition {
        let kind = if decided.kind == "FailureTarget" { "Failed" } else { "Complete" };
        if conditions::find(&self.conditions, &decided.kind).is_none() {
            self.conditions.push(decided.clone());
        }
        Condition::new(kind, true, &decided.reason, decided.message, self.now)
    }

    /// Writes down finished pods that are not yet, counts those that have been let go, and names the pods to let go.
    fn count_terminated(&mut self, tracked: &[Arc<Pod>], outcome: Option<&Condition>) -> Vec<Arc<Pod>> {
        let with_finalizer: BTreeSet<&str> = tracked.iter().map(|pod| pod.uid()).collect();
        self.uncounted_succeeded.retain(|uid| with_finalizer.contains(uid.as_str()));
        self.uncounted_failed.retain(|uid| with_finalizer.contains(uid.as_str()));
        let failing = outcome.is_some_and(|outcome| outcome.kind == "Failed");
        let mut released = Vec::new();
        for pod in tracked {
            let (failed, succeeded) = (is_failed(self.spec, pod), pods::phase(pod) == "Succeeded");
            let done = succeeded || failed || outcome.is_some() || self.job.terminating();
            if !done || released.len() >= BURST {
                continue;
            }
            released.push(pod.clone());
            let uid = pod.uid().to_owned();
            if succeeded && !is_indexed(self.spec) {
                self.uncounted_succeeded.insert(uid);
            } else if !succeeded && (failed || failing) && of_failure(self.spec, pod) != Verdict::Ignore {
                self.uncounted_failed.insert(uid);
            }
        }
        released
    }

    fn status(&self, old: &Value, start: Option<String>, active: &Active, terminating: usize) -> Value {
        // Uncounted pods whose finalizer is gone are counted now: they are in the old list and not in the new.
        let counted = |field: &str, left: &BTreeSet<String>| {
            let listed: BTreeSet<String> =
                serde_json::from_value(old["uncountedTerminatedPods"][field].clone()).unwrap_or_default();
            count(old, field) + listed.difference(left).count() as i64
        };
        let indexed = is_indexed(self.spec);
        let ready = active.pods.iter().filter(|pod| pods::is_ready(pod)).count();
        let mut status = old.as_object().cloned().map_or_else(|| json!({}), Value::Object);
        status["startTime"] = json!(start);
        status["active"] = json!(active.pods.len() + active.made);
        status["ready"] = json!(ready);
        status["terminating"] = json!(terminating);
        status["failed"] = json!(counted("failed", &self.uncounted_failed));
        status["succeeded"] = if indexed {
            json!(self.succeeded_indexes.len())
        } else {
            json!(counted("succeeded", &self.uncounted_succeeded))
        };
        status["uncountedTerminatedPods"] =
            json!({"succeeded": self.uncounted_succeeded, "failed": self.uncounted_failed});
        if indexed {
            status["completedIndexes"] = json!(indexes::text(&self.succeeded_indexes));
        }
        if self.spec.backoff_limit_per_index.is_some() {
            status["failedIndexes"] = json!(indexes::text(&self.failed_indexes));
        }
        status["conditions"] = json!(self.conditions);
        status
    }

    fn announce(&self, outcome: &Condition, plan: &mut Plan) {
        if outcome.kind == "Complete" {
            plan.event(self.job, "Completed", "Job completed");
            return;
        }
        let reasons = [
            "BackoffLimitExceeded",
            "DeadlineExceeded",
            "PodFailurePolicy",
            "MaxFailedIndexesExceeded",
            "FailedIndexes",
        ];
        let reason = reasons.into_iter().find(|reason| *reason == outcome.reason).unwrap_or("Failed");
        plan.warning(self.job, reason, outcome.message.clone());
    }

    fn note_suspension(&mut self, start: &mut Option<String>, plan: &mut Plan) {
        let noted = conditions::find(&self.conditions, "Suspended").is_some_and(Condition::is_true);
        if suspended(self.spec) && !noted {
            conditions::set(
                &mut self.conditions,
                Condition::new("Suspended", true, "JobSuspended", "Job suspended", self.now),
            );
            plan.event(self.job, "Suspended", "Job suspended");
            *start = None;
        } else if !suspended(self.spec) && noted {
            conditions::set(
                &mut self.conditions,
                Condition::new("Suspended", false, "JobResumed", "Job resumed", self.now),
            );
            plan.event(self.job, "Resumed", "Job resumed");
            *start = Some(stamp(self.now));
        }
    }

    fn delete(&self, victims: Vec<Arc<Pod>>, active: &mut Active, plan: &mut Plan) {
        for pod in victims {
            let announce = pods::announce_deletion(object_reference(self.job));
            plan.delete_with(&*pod, json!({}), Some(announce));
            active.pods.retain(|other| other.uid() != pod.uid());
            active.deleted += 1;
        }
    }

    /// As many active pods as the Job wants: deletes or makes, never both in one look.
    fn manage(&self, succeeded: i64, terminating: usize, active: &mut Active, plan: &mut Plan) {
        if suspended(self.spec) {
            self.delete(active.pods.clone(), active, plan);
            return;
        }
        let have = active.pods.len();
        let parallelism = self.spec.parallelism.unwrap_or(1).max(0) as usize;
        let want = match self.spec.completions {
            None if succeeded > 0 => have,
            None => parallelism,
            Some(completions) => ((i64::from(completions) - succeeded).max(0) as usize).min(parallelism),
        };
        let victims = self.surplus(&active.pods, have.saturating_sub(want));
        if !victims.is_empty() {
            self.delete(victims, active, plan);
            return;
        }
        let held_back = if only_replaces_failed(self.spec) { terminating } else { 0 };
        let missing = want.saturating_sub(have + held_back).min(BURST);
        if missing == 0 {
            return;
        }
        if let Some(wait) = self.backoff() {
            plan.again_after(wait);
            return;
        }
        if is_indexed(self.spec) {
            for index in self.pending_indexes(&active.pods).into_iter().take(missing) {
                self.make(Some(index), plan);
                active.made += 1;
            }
        } else {
            (0..missing).for_each(|_| self.make(None, plan));
            active.made += missing;
        }
    }

    /// Pods to delete: in an indexed Job whose index is done, out of range or taken twice; then the least worthy.
    fn surplus(&self, active: &[Arc<Pod>], at_least: usize) -> Vec<Arc<Pod>> {
        let mut order = active.to_vec();
        pods::sort_for_deletion(&mut order, &[], self.now);
        if !is_indexed(self.spec) {
            order.truncate(at_least.min(BURST));
            return order;
        }
        let completions = self.spec.completions.unwrap_or(0);
        let mut taken = BTreeSet::new();
        let (mut keep, mut victims) = (Vec::new(), Vec::new());
        for pod in order.into_iter().rev() {
            let valid = index_of(&pod).filter(|index| {
                *index < completions && !self.succeeded_indexes.contains(index) && !self.failed_indexes.contains(index)
            });
            match valid {
                Some(index) if taken.insert(index) => keep.push(pod),
                _ => victims.push(pod),
            }
        }
        let more = at_least.saturating_sub(victims.len()).min(keep.len());
        victims.extend(keep.split_off(keep.len() - more));
        victims.truncate(BURST);
        victims
    }

    fn pending_indexes(&self, active: &[Arc<Pod>]) -> Vec<i32> {
        let taken: BTreeSet<i32> = active.iter().filter_map(|pod| index_of(pod)).collect();
        let free = |index: &i32| {
            !taken.contains(index) && !self.succeeded_indexes.contains(index) && !self.failed_indexes.contains(index)
        };
        (0..self.spec.completions.unwrap_or(0)).filter(free).collect()
    }

    /// How long to wait after the failures since the last success.
    fn backoff(&self) -> Option<Duration> {
        let last_success =
            self.pods.iter().filter(|pod| pods::phase(pod) == "Succeeded").map(|pod| finished_at(pod)).max();
        let mut failures: BTreeMap<Timestamp, u32> = BTreeMap::new();
        for pod in self.pods.iter().filter(|pod| is_failed(self.spec, pod)) {
            let at = finished_at(pod);
            if last_success.is_none_or(|success| at > success) {
                *failures.entry(at).or_default() += 1;
            }
        }
        let (last, _) = failures.last_key_value()?;
        let number: u32 = failures.values().sum();
        let delay = BACKOFF.0.saturating_mul(1 << (number - 1).min(10)).min(BACKOFF.1);
        let waited = self.now.duration_since(*last);
        let left = SignedDuration::from_secs(delay as i64) - waited;
        (left > SignedDuration::ZERO).then(|| left.unsigned_abs())
    }

    fn make(&self, index: Option<i32>, plan: &mut Plan) {
        let name = self.job.name();
        let mut template = self.spec.template.clone();
        let meta = template.metadata.get_or_insert_default();
        let finalizers = meta.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.to_owned());
        }
        let mut prefix = name.to_owned();
        if let Some(index) = index {
            let text = index.to_string();
            meta.annotations.get_or_insert_default().insert(INDEX.to_owned(), text.clone());
            meta.labels.get_or_insert_default().insert(INDEX.to_owned(), text.clone());
            if self.spec.backoff_limit_per_index.is_some() {
                let failures = self.failures_of(index).to_string();
                meta.annotations.get_or_insert_default().insert(INDEX_FAILURES.to_owned(), failures);
            }
            prefix = format!("{name}-{text}");
            let spec = template.spec.get_or_insert_default();
            spec.hostname = Some(prefix.clone());
            let init = spec.init_containers.iter_mut().flatten();
            spec.containers.iter_mut().chain(init).for_each(tell_index);
        }
        let pod = pods::from_template(&template, controller_reference(self.job), self.job.namespace(), &prefix);
        plan.create_announced(&pod, pods::announce_creation(object_reference(self.job)));
    }

    fn failures_of(&self, index: i32) -> i32 {
        let own = self.pods.iter().filter(|pod| index_of(pod) == Some(index) && is_failed(self.spec, pod));
        own.map(|pod| failures_before(pod) + i32::from(of_failure(self.spec, pod) != Verdict::Ignore))
            .max()
            .unwrap_or(0)
    }
}

fn failures_before(pod: &Pod) -> i32 {
    pod.annotation(INDEX_FAILURES).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn tell_index(container: &mut Container) {
    let env = container.env.get_or_insert_default();
    if env.iter().any(|variable| variable.name == INDEX_ENV) {
        return;
    }
    let field_ref =
        ObjectFieldSelector { field_path: format!("metadata.labels['{INDEX}']"), ..ObjectFieldSelector::default() };
    let source = EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() };
    env.push(EnvVar { name: INDEX_ENV.to_owned(), value: None, value_from: Some(source) });
}

/// When the last container ended, or the best substitute for that.
fn finished_at(pod: &Pod) -> Timestamp {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let ended = statuses.filter_map(|status| status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    let left = pod.metadata.deletion_timestamp.as_ref();
    let unready = pods::condition(pod, "Ready").and_then(|ready| ready.last_transition_time.as_ref());
    ended.map(|time| time.0).max().or(left.or(unready).map(|time| time.0)).unwrap_or_else(|| pod.created())
}
