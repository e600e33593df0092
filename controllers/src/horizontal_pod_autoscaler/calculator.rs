//! How many replicas a metric asks for. Pure; upstream's `replica_calculator.go` and `metrics/utilization.go`.
//!
//! Usages are thousandths. Pods that cannot be judged (not ready, no metric) never change the direction of a decision, they
//! only dampen it.

use crate::meta::Meta;
use crate::pods;
use apimachinery::Quantity;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The defaults of `--horizontal-pod-autoscaler-cpu-initialization-period` and `-initial-readiness-delay`.
const CPU_INITIALIZATION: SignedDuration = SignedDuration::from_mins(5);
const INITIAL_READINESS: SignedDuration = SignedDuration::from_secs(30);

/// One pod's measurement: the average over the `window` that ended at `time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) time: Timestamp,
    pub(super) window: SignedDuration,
    pub(super) value: i64,
}

pub(super) type Samples = BTreeMap<String, Sample>;

/// How far from 1 the ratio of usage to target may be without consequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerances {
    pub(super) down: f64,
    pub(super) up: f64,
}

impl Tolerances {
    fn contain(&self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// What all calculations of one autoscaler share.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// The pods that the target's selector selects.
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) tolerances: Tolerances,
    pub(super) now: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Utilization {
    pub(super) replicas: i32,
    pub(super) percent: i32,
    pub(super) average: i64,
}

fn ceil(value: f64) -> i32 {
    value.ceil() as i32
}

fn float(value: i64) -> f64 {
    value as f64
}

#[derive(Debug, Default, PartialEq)]
struct Groups {
    ready: usize,
    unready: BTreeSet<String>,
    missing: BTreeSet<String>,
    ignored: BTreeSet<String>,
}

/// `groupPods`: which pods count, and as what.
fn group(pods: &[Arc<Pod>], samples: &Samples, resource: Option<&str>, now: Timestamp) -> Groups {
    let mut groups = Groups::default();
    for pod in pods {
        let name = pod.name().to_owned();
        if pod.terminating() || pods::phase(pod) == "Failed" {
            groups.ignored.insert(name);
        } else if pods::phase(pod) == "Pending" {
            groups.unready.insert(name);
        } else if let Some(sample) = samples.get(&name) {
            if resource == Some("cpu") && !cpu_counts(pod, sample, now) {
                groups.unready.insert(name);
            } else {
                groups.ready += 1;
            }
        } else {
            groups.missing.insert(name);
        }
    }
    groups
}

/// The CPU of a pod that is still starting says nothing about its load.
fn cpu_counts(pod: &Pod, sample: &Sample, now: Timestamp) -> bool {
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    let (Some(ready), Some(started)) = (pods::condition(pod, "Ready"), started) else { return false };
    let since = ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let unready = ready.status == "False";
    if now.duration_since(started) < CPU_INITIALIZATION {
        !unready && sample.time.duration_since(since) >= sample.window
    } else {
        !(unready && since.duration_since(started) < INITIAL_READINESS)
    }
}

/// The shape that utilization and plain values share. `ratio` of the samples gives the usage ratio and the result to
/// show; `full` is what a pod without a sample is taken for when scaling down.
fn balance<T: Copy>(
    context: Context<'_>,
    current: i32,
    samples: &mut Samples,
    resource: Option<&str>,
    ratio: impl Fn(&Samples) -> Result<(f64, T), String>,
    full: impl Fn(&str) -> i64,
) -> Result<(i32, T), String> {
    if context.pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups = group(context.pods, samples, resource, context.now);
    samples.retain(|name, _| !groups.ignored.contains(name) && !groups.unready.contains(name));
    if samples.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let (usage, shown) = ratio(samples)?;
    let dampened = !groups.unready.is_empty() && usage > 1.0;
    if !dampened && groups.missing.is_empty() {
        let replicas = if context.tolerances.contain(usage) { current } else { ceil(usage * groups.ready as f64) };
        return Ok((replicas, shown));
    }
    let assume = |value: i64| Sample { time: context.now, window: SignedDuration::ZERO, value };
    let assumed = |name: &String| match usage.partial_cmp(&1.0)? {
        Ordering::Less => Some((name.clone(), assume(full(name)))),
        Ordering::Greater => Some((name.clone(), assume(0))),
        Ordering::Equal => None,
    };
    samples.extend(groups.missing.iter().filter_map(assumed));
    if dampened {
        samples.extend(groups.unready.iter().map(|name| (name.clone(), assume(0))));
    }
    let (dampened_usage, _) = ratio(samples)?;
    let turned = |from: f64, to: f64| (from < 1.0 && to > 1.0) || (from > 1.0 && to < 1.0);
    if context.tolerances.contain(dampened_usage) || turned(usage, dampened_usage) {
        return Ok((current, shown));
    }
    let wanted = ceil(dampened_usage * samples.len() as f64);
    let against = (dampened_usage < 1.0 && wanted > current) || (dampened_usage > 1.0 && wanted < current);
    Ok((if against { current } else { wanted }, shown))
}

/// A resource's usage against what pods request of it, in percent.
pub(super) fn utilization(
    context: Context<'_>,
    current: i32,
    mut samples: Samples,
    target: i32,
    resource: &str,
    container: Option<&str>,
) -> Result<Utilization, String> {
    let requests =
        if context.pods.is_empty() { Ok(BTreeMap::new()) } else { requests(context.pods, resource, container) };
    // A missing request is told after what is wrong with the pods and their metrics.
    let of_pod = |name: &str| requests.as_ref().ok().and_then(|all| all.get(name)).copied();
    let ratio = |samples: &Samples| {
        requests.as_ref().map_err(Clone::clone)?;
        let known: Vec<(i64, i64)> =
            samples.iter().filter_map(|(name, own)| Some((own.value, of_pod(name)?))).collect();
        let (used, asked) = known.iter().fold((0, 0), |(used, asked), own| (used + own.0, asked + own.1));
        if asked == 0 {
            return Err("no metrics returned matched known pods".to_owned());
        }
        let percent = (used * 100 / asked) as i32;
        Ok((f64::from(percent) / f64::from(target), (percent, used / known.len() as i64)))
    };
    let full = |name: &str| of_pod(name).unwrap_or(0) * i64::from(target.max(100)) / 100;
    let (replicas, (percent, average)) = balance(context, current, &mut samples, Some(resource), ratio, full)?;
    Ok(Utilization { replicas, percent, average })
}

/// An average of the pods' own values against a target value. Returns the replicas and the average.
pub(super) fn average(
    context: Context<'_>,
    current: i32,
    mut samples: Samples,
    target: i64,
    resource: Option<&str>,
) -> Result<(i32, i64), String> {
    let ratio = |samples: &Samples| {
        let average = samples.values().map(|sample| sample.value).sum::<i64>() / samples.len() as i64;
        Ok((float(average) / float(target), average))
    };
    balance(context, current, &mut samples, resource, ratio, |_| target)
}

/// One value for all pods together against a target value.
pub(super) fn total(context: Context<'_>, current: i32, usage: i64, target: i64) -> Result<i32, String> {
    let ratio = float(usage) / float(target);
    if current == 0 {
        return Ok(ceil(ratio));
    }
    if context.tolerances.contain(ratio) {
        return Ok(current);
    }
    if context.pods.is_empty() {
        return Err(
            "unable to calculate ready pods: no pods returned by selector while calculating replica count".to_owned()
        );
    }
    let ready = context.pods.iter().filter(|pod| pods::phase(pod) == "Running" && pods::is_ready(pod)).count();
    Ok(ceil(ratio * ready as f64))
}

/// One value shared out among the pods there are, against a target for each. Returns the replicas and the share.
pub(super) fn per_pod(tolerances: Tolerances, current: i32, usage: i64, target: i64) -> (i32, i64) {
    let ratio = float(usage) / (float(target) * f64::from(current));
    let replicas = if tolerances.contain(ratio) { current } else { ceil(float(usage) / float(target)) };
    (replicas, (float(usage) / f64::from(current)).ceil() as i64)
}

fn requested(requirements: Option<&ResourceRequirements>, resource: &str) -> Option<i64> {
    let quantity = requirements?.requests.as_ref()?.get(resource)?;
    Quantity::parse(&quantity.0).ok().map(|quantity| quantity.milli_value())
}

/// What each pod requests, of one container if that is named (`calculateRequests`).
fn requests(pods: &[Arc<Pod>], resource: &str, container: Option<&str>) -> Result<BTreeMap<String, i64>, String> {
    pods.iter().map(|pod| Ok((pod.name().to_owned(), request(pod, resource, container)?))).collect()
}

fn request(pod: &Pod, resource: &str, container: Option<&str>) -> Result<i64, String> {
    let name = pod.name();
    let Some(spec) = pod.spec.as_ref() else { return Ok(0) };
    let whole = requested(spec.resources.as_ref(), resource).filter(|_| container.is_none());
    if let Some(whole) = whole {
        return Ok(whole);
    }
    let sidecars = spec.init_containers.iter().flatten().filter(|own| own.restart_policy.as_deref() == Some("Always"));
    let mut sum = 0;
    for own in spec.containers.iter().chain(sidecars).filter(|own| container.is_none_or(|wanted| wanted == own.name)) {
        let missing = || format!("missing request for {resource} in container {} of Pod {name}", own.name);
        sum += requested(own.resources.as_ref(), resource).ok_or_else(missing)?;
        if container.is_some() {
            return Ok(sum);
        }
    }
    match container {
        Some(container) => Err(format!("container {container} not found in Pod {name}")),
        None => Ok(sum),
    }
}

#[cfg(test)]
#[path = "calculator_tests.rs"]
mod tests;
