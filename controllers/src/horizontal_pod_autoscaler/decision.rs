//! One look at an autoscaler: from what was measured to the number of replicas, conditions, events and status. Pure; the first
//! half of upstream's `horizontal.go`.

use super::calculator::{self, Context, Samples, Tolerances};
use super::limits::{self, History};
use super::metrics::Measured;
use crate::conditions::{self, Condition};
use crate::plan::Plan;
use crate::recorder::stamp;
use apimachinery::Quantity;
use apimachinery::quantity::Format;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, MetricIdentifier, MetricSpec, MetricTarget};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};
use std::sync::Arc;

/// `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;
const ABLE: &str = "AbleToScale";
const ACTIVE: &str = "ScalingActive";
const LIMITED: &str = "ScalingLimited";
const TO_ZERO: &str = "ScaledToZero";

/// The replicas of a target, as its scale says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) replicas: i32,
    observed: i32,
}

impl Scale {
    pub(super) fn read(tree: &Value) -> Self {
        let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok()).unwrap_or(0);
        Self { replicas: number(&tree["spec"]["replicas"]), observed: number(&tree["status"]["replicas"]) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The bounds decide, or scaling is off.
    Nothing,
    Metrics,
}

/// Why a selector cannot be used: for the condition, and for the event.
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) event: (&'static str, String),
}

impl Refusal {
    pub(super) fn same(reason: &'static str, message: String) -> Self {
        Self { reason, event: (reason, message.clone()), message }
    }
}

/// The metrics of an autoscaler, or the default where it names none.
pub(super) fn metrics(hpa: &HorizontalPodAutoscaler) -> Vec<MetricSpec> {
    let given = hpa.spec.metrics.clone().filter(|all| !all.is_empty());
    given.unwrap_or_else(|| {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        serde_json::from_value(json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]))
            .unwrap_or_default()
    })
}

pub(super) struct Decision<'a> {
    hpa: &'a HorizontalPodAutoscaler,
    now: Timestamp,
    conditions: Vec<Condition>,
    events: Plan,
    /// The replicas that are to be set, and why.
    rescale: Option<(i32, String)>,
    /// The fields of the status that were found out; without it only conditions changed.
    status: Option<Value>,
}

/// A proposal by one metric: replicas, what it is called, and its part of the status.
type Proposal = (i32, String, Value);

impl<'a> Decision<'a> {
    pub(super) fn new(hpa: &'a HorizontalPodAutoscaler, now: Timestamp) -> Self {
        let conditions = conditions::read(&json!(hpa.status));
        Self { hpa, now, conditions, events: Plan::default(), rescale: None, status: None }
    }

    fn condition(&mut self, kind: &str, status: bool, reason: &str, message: impl Into<String>) {
        let condition = Condition::new(kind, status, reason, message, self.now);
        conditions::replace(&mut self.conditions, condition);
    }

    fn minimum(&self) -> i32 {
        self.hpa.spec.min_replicas.unwrap_or(1)
    }

    fn counts_from_outside(&self) -> bool {
        self.hpa.spec.metrics.iter().flatten().any(|own| matches!(&*own.type_, "Object" | "External"))
    }

    fn is_scaled_to_zero(&self) -> bool {
        conditions::find(&self.conditions, TO_ZERO).is_some_and(Condition::is_true)
    }

    fn set_status(&mut self, current: i32, desired: i32, metrics: Vec<Value>) {
        self.status = Some(json!({"currentReplicas": current, "desiredReplicas": desired, "currentMetrics": metrics}));
    }

    /// The number that was wished for last, kept when nothing can be said.
    fn desired_before(&self) -> i32 {
        self.hpa.status.as_ref().map_or(0, |status| status.desired_replicas)
    }

    pub(super) fn no_scale(&mut self, message: &str) {
        self.events.warning(self.hpa, "FailedGetScale", message);
        let text = format!("the HPA controller was unable to get the target's current scale: {message}");
        self.condition(ABLE, false, "FailedGetScale", text);
    }

    /// Whether metrics are to be asked for; if not, the decision stands.
    pub(super) fn need(&mut self, scale: Scale) -> Need {
        let text = "the HPA controller was able to get the target's current scale";
        self.condition(ABLE, true, "SucceededGetScale", text);
        let (current, minimum, maximum) = (scale.replicas, self.minimum(), self.hpa.spec.max_replicas);
        if current == 0 {
            // Zero is where a person turned scaling off, unless the controller went there itself.
            let ours = self.is_scaled_to_zero() && (minimum != 0 || self.counts_from_outside());
            if ours {
                return Need::Metrics;
            }
            let text = "scaling is disabled since the replica count of the target is zero";
            self.condition(ACTIVE, false, "ScalingDisabled", text);
        } else if current > maximum {
            self.rescale = Some((maximum, "Current number of replicas above Spec.MaxReplicas".to_owned()));
        } else if current < minimum {
            self.rescale = Some((minimum, "Current number of replicas below Spec.MinReplicas".to_owned()));
        } else {
            return Need::Metrics;
        }
        self.set_status(current, self.rescale.as_ref().map_or(current, |(replicas, _)| *replicas), Vec::new());
        Need::Nothing
    }

    pub(super) fn refuse(&mut self, scale: Scale, refusal: Refusal) {
        let (reason, message) = refusal.event;
        self.events.warning(self.hpa, reason, message.clone());
        self.condition(ACTIVE, false, refusal.reason, refusal.message);
        self.no_number(scale, Vec::new(), message);
    }

    fn no_number(&mut self, scale: Scale, metrics: Vec<Value>, error: String) {
        self.set_status(scale.replicas, self.desired_before(), metrics);
        self.events.warning(self.hpa, "FailedComputeMetricsReplicas", error);
    }

    pub(super) fn by_metrics(
        &mut self,
        scale: Scale,
        specs: &[MetricSpec],
        measured: Vec<Result<Measured, String>>,
        pods: &[Arc<Pod>],
        history: &mut History,
    ) {
        let context = Context { pods, tolerances: self.tolerances(), now: self.now };
        let (mut best, mut statuses, mut failures) = (None::<(i32, String)>, Vec::new(), Vec::new());
        for (spec, measured) in specs.iter().zip(measured) {
            match propose(spec, measured, scale, context) {
                Ok((replicas, name, status)) => {
                    statuses.push(status);
                    if best.as_ref().is_none_or(|(most, _)| *most == 0 || replicas > *most) {
                        best = Some((replicas, name));
                    }
                }
                Err((reason, error)) => {
                    statuses.push(json!({"type": ""}));
                    self.events.warning(self.hpa, reason, error.clone());
                    failures.push((reason, error, spec));
                }
            }
        }
        let first = failures.first().map(|(reason, error, spec)| {
            let (failed, total) = (failures.len(), specs.len());
            let summary = format!(
                "invalid metrics ({failed} invalid out of {total}), first error is: {}",
                described(spec, error)
            );
            (*reason, error.clone(), summary)
        });
        let (proposed, name) = best.unwrap_or_default();
        if let Some((reason, error, summary)) = first {
            // A metric that is missing might have asked for more; so it keeps the others from asking for less.
            if failures.len() == specs.len() || proposed < scale.replicas {
                self.condition(
                    ACTIVE,
                    false,
                    reason,
                    format!("the HPA was unable to compute the replica count: {error}"),
                );
                self.no_number(scale, statuses, summary);
                return;
            }
        }
        let text = format!("the HPA was able to successfully calculate a replica count from {name}");
        self.condition(ACTIVE, true, "ValidMetricFound", text);
        self.normalize(scale, proposed, &name, statuses, history);
    }

    fn normalize(&mut self, scale: Scale, proposed: i32, name: &str, statuses: Vec<Value>, history: &mut History) {
        let (current, minimum) = (scale.replicas, self.minimum());
        let mut reason = match proposed.cmp(&current) {
            std::cmp::Ordering::Greater => format!("{name} above target"),
            std::cmp::Ordering::Less => "All metrics below target".to_owned(),
            std::cmp::Ordering::Equal => String::new(),
        };
        let was_zero = current == 0 && minimum != 0 && self.is_scaled_to_zero();
        let limited = limits::limit(&self.hpa.spec, history, current, proposed, minimum, self.now);
        self.condition(ABLE, limited.able.0, limited.able.1, limited.able.2);
        self.condition(LIMITED, limited.bound.0, limited.bound.1, limited.bound.2);
        let mut desired = limited.replicas;
        if was_zero && desired < minimum {
            desired = minimum;
            if reason.is_empty() {
                "Current number of replicas below Spec.MinReplicas".clone_into(&mut reason);
            }
        }
        if desired != current {
            self.rescale = Some((desired, reason));
        }
        self.set_status(current, desired, statuses);
    }

    fn tolerances(&self) -> Tolerances {
        let behavior = self.hpa.spec.behavior.as_ref();
        let read = |rules: Option<&k8s_openapi::api::autoscaling::v2::HPAScalingRules>| {
            let quantity = rules?.tolerance.as_ref()?;
            Some(Quantity::parse(&quantity.0).ok()?.as_f64())
        };
        Tolerances {
            down: read(behavior.and_then(|own| own.scale_down.as_ref())).unwrap_or(TOLERANCE),
            up: read(behavior.and_then(|own| own.scale_up.as_ref())).unwrap_or(TOLERANCE),
        }
    }

    pub(super) fn rescales(&self) -> Option<i32> {
        self.rescale.as_ref().map(|(replicas, _)| *replicas)
    }

    /// How the new number was taken.
    pub(super) fn rescaled(&mut self, scale: Scale, outcome: Result<(), String>) {
        let Some((replicas, reason)) = self.rescale.take() else { return };
        let before = self.desired_before();
        match outcome {
            Ok(()) => {
                let text = format!("the HPA controller was able to update the target scale to {replicas}");
                self.condition(ABLE, true, "SucceededRescale", text);
                self.events.event(self.hpa, "SuccessfulRescale", format!("New size: {replicas}; reason: {reason}"));
                let to_zero = scale.replicas > 0 && replicas == 0 && self.minimum() == 0 && self.counts_from_outside();
                if to_zero {
                    self.condition(TO_ZERO, true, "ScaledToZero", "the HPA controller scaled the workload to zero");
                } else {
                    let text = "the HPA controller did not scale the workload to zero";
                    self.condition(TO_ZERO, false, "NotScaledToZero", text);
                }
                if let Some(status) = &mut self.status {
                    status["lastScaleTime"] = json!(stamp(self.now));
                }
            }
            Err(error) => {
                let text = format!("New size: {replicas}; reason: {reason}; error: {error}");
                self.events.warning(self.hpa, "FailedRescale", text);
                let text = format!("the HPA controller was unable to update the target scale: {error}");
                self.condition(ABLE, false, "FailedUpdateScale", text);
                if let Some(status) = &mut self.status {
                    status["desiredReplicas"] = json!(before);
                }
            }
        }
    }

    /// The status, if it differs, and the events.
    pub(super) fn plan(self) -> Plan {
        let old = json!(self.hpa.status);
        let mut status = old.clone();
        if let Some(found) = self.status {
            status = found;
            status["observedGeneration"] = json!(self.hpa.metadata.generation);
            if status["lastScaleTime"].is_null() && !old["lastScaleTime"].is_null() {
                status["lastScaleTime"] = old["lastScaleTime"].clone();
            }
        } else if !status.is_object() {
            status = json!({"currentReplicas": 0, "desiredReplicas": 0});
        }
        status["conditions"] = json!(self.conditions);
        let mut plan = Plan::default();
        plan.set_status(self.hpa, status);
        plan.writes.extend(self.events.writes);
        plan
    }
}

/// The words around an error in the summary of all metrics.
fn described(spec: &MetricSpec, error: &str) -> String {
    match &*spec.type_ {
        "Object" => format!("failed to get object metric value: {error}"),
        "Pods" => format!("failed to get pods metric value: {error}"),
        "Resource" => {
            let name = spec.resource.as_ref().map_or("", |own| own.name.as_str());
            format!("failed to get {name} resource metric value: {error}")
        }
        "ContainerResource" => {
            let name = spec.container_resource.as_ref().map_or("", |own| own.container.as_str());
            format!("failed to get {name} container metric value: {error}")
        }
        "External" => {
            let name = spec.external.as_ref().map_or("", |own| own.metric.name.as_str());
            format!("failed to get {name} external metric value: {error}")
        }
        _ => error.to_owned(),
    }
}

fn propose(
    spec: &MetricSpec,
    measured: Result<Measured, String>,
    scale: Scale,
    context: Context<'_>,
) -> Result<Proposal, (&'static str, String)> {
    if let Some(own) = &spec.resource {
        let of = Of { name: &own.name, container: None, kind: "Resource" };
        let told = by_resource(&of, &own.target, measured, scale, context);
        let (replicas, name, current) = told.map_err(|error| ("FailedGetResourceMetric", error))?;
        let status = json!({"type": "Resource", "resource": {"name": own.name, "current": current}});
        Ok((replicas, name, status))
    } else if let Some(own) = &spec.container_resource {
        let of = Of { name: &own.name, container: Some(&own.container), kind: "ContainerResource" };
        let told = by_resource(&of, &own.target, measured, scale, context);
        let (replicas, name, current) = told.map_err(|error| ("FailedGetContainerResourceMetric", error))?;
        let part = json!({"name": own.name, "container": own.container, "current": current});
        Ok((replicas, name, json!({"type": "ContainerResource", "containerResource": part})))
    } else if let Some(own) = &spec.pods {
        let told =
            measured.and_then(pods_of).map_err(|error| format!("unable to get metric {}: {error}", own.metric.name));
        let told = told.and_then(|samples| {
            let target = thousandths(own.target.average_value.as_ref());
            calculator::average(context, scale.replicas, samples, target, None)
        });
        let (replicas, average) = told.map_err(|error| ("FailedGetPodsMetric", error))?;
        let part = json!({"metric": own.metric, "current": {"averageValue": decimal(average)}});
        Ok((replicas, format!("pods metric {}", own.metric.name), json!({"type": "Pods", "pods": part})))
    } else if let Some(own) = &spec.object {
        let about = &own.described_object;
        let told = measured.and_then(value_of).map_err(|error| {
            format!("unable to get metric {} on {} {}: {error}", own.metric.name, about.kind, about.name)
        });
        let title = format!("{} metric {}", about.kind, own.metric.name);
        let told = told.and_then(|usage| by_value(&own.target, &own.metric, usage, scale, context, title, "object"));
        let (replicas, name, current) = told.map_err(|error| ("FailedGetObjectMetric", error))?;
        let part = json!({"describedObject": about, "metric": own.metric, "current": current});
        Ok((replicas, name, json!({"type": "Object", "object": part})))
    } else if let Some(own) = &spec.external {
        let told = measured
            .and_then(value_of)
            .map_err(|error| format!("unable to get external metric {}: {error}", shown(&own.metric)));
        let title = format!("external metric {}", shown(&own.metric));
        let told = told.and_then(|usage| by_value(&own.target, &own.metric, usage, scale, context, title, "external"));
        let (replicas, name, current) = told.map_err(|error| ("FailedGetExternalMetric", error))?;
        let part = json!({"metric": own.metric, "current": current});
        Ok((replicas, name, json!({"type": "External", "external": part})))
    } else {
        Err(("InvalidMetricSourceType", format!("unknown metric source type \"{}\"", spec.type_)))
    }
}

struct Of<'a> {
    name: &'a str,
    container: Option<&'a str>,
    kind: &'static str,
}

fn by_resource(
    of: &Of<'_>,
    target: &MetricTarget,
    measured: Result<Measured, String>,
    scale: Scale,
    context: Context<'_>,
) -> Result<Proposal, String> {
    let samples =
        measured.and_then(pods_of).map_err(|error| format!("unable to get metrics for resource {}: {error}", of.name));
    if let Some(value) = &target.average_value {
        let told = samples.and_then(|samples| {
            calculator::average(context, scale.replicas, samples, thousandths(Some(value)), Some(of.name))
        });
        let (replicas, average) = told.map_err(|error| format!("failed to get {} usage: {error}", of.name))?;
        return Ok((replicas, format!("{} resource", of.name), json!({"averageValue": amount(of.name, average)})));
    }
    let Some(percent) = target.average_utilization else {
        return Err("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set".to_owned());
    };
    let told = samples
        .and_then(|samples| calculator::utilization(context, scale.replicas, samples, percent, of.name, of.container));
    let told = told.map_err(|error| format!("failed to get {} utilization: {error}", of.name))?;
    let container = if of.kind == "ContainerResource" { " container" } else { "" };
    let name = format!("{}{container} resource utilization (percentage of request)", of.name);
    let current = json!({"averageUtilization": told.percent, "averageValue": amount(of.name, told.average)});
    Ok((told.replicas, name, current))
}

/// A value for everything, or one that is shared out, as the target says.
fn by_value(
    target: &MetricTarget,
    metric: &MetricIdentifier,
    usage: i64,
    scale: Scale,
    context: Context<'_>,
    title: String,
    kind: &str,
) -> Result<Proposal, String> {
    if let (Some(wanted), true) = (&target.average_value, kind == "external" || target.type_ == "AverageValue") {
        let (replicas, share) =
            calculator::per_pod(context.tolerances, scale.observed, usage, thousandths(Some(wanted)));
        return Ok((replicas, format!("external metric {}", shown(metric)), json!({"averageValue": decimal(share)})));
    }
    if let (Some(wanted), true) = (&target.value, kind == "external" || target.type_ == "Value") {
        let replicas = calculator::total(context, scale.replicas, usage, thousandths(Some(wanted)))?;
        return Ok((replicas, title, json!({"value": decimal(usage)})));
    }
    Err(format!("invalid {kind} metric source: neither a value target nor an average value target was set"))
}

fn pods_of(measured: Measured) -> Result<Samples, String> {
    match measured {
        Measured::Pods(samples) => Ok(samples),
        Measured::Value(_) => Err("a value that is no pod's".to_owned()),
    }
}

fn value_of(measured: Measured) -> Result<i64, String> {
    match measured {
        Measured::Value(value) => Ok(value),
        Measured::Pods(_) => Err("values of pods".to_owned()),
    }
}

fn thousandths(quantity: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity>) -> i64 {
    quantity.and_then(|quantity| Quantity::parse(&quantity.0).ok()).map_or(0, |quantity| quantity.milli_value())
}

fn decimal(thousandths: i64) -> String {
    Quantity::from_milli(thousandths).to_string()
}

/// Memory is told in binary units, as the metrics server does.
fn amount(resource: &str, thousandths: i64) -> String {
    let quantity = Quantity::from_milli(thousandths);
    if resource == "memory" { quantity.with_format(Format::BinarySi).to_string() } else { quantity.to_string() }
}

/// A metric with its selector as Go prints it.
fn shown(metric: &MetricIdentifier) -> String {
    let text = |selector: &LabelSelector| {
        let labels: Vec<String> =
            selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}: {value},")).collect();
        let labels = labels.concat();
        format!(
            "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{}},}}"
        )
    };
    format!("{}({})", metric.name, metric.selector.as_ref().map_or_else(|| "nil".to_owned(), text))
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
