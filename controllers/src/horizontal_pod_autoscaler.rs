//! Sets the number of replicas of a target so that its metrics come to what is wished. Upstream's `pkg/controller/podautoscaler`.
//!
//! Owns the status of HorizontalPodAutoscalers and, through the subresource `scale`, the replicas of their targets. Woken by
//! new and changed autoscalers, and every 15 seconds: metrics cannot be watched.
//!
//! Where no metrics API is served it says so in condition `ScalingActive` and by events, and changes nothing but what the
//! bounds of the specification alone demand.

mod calculator;
mod decision;
mod limits;
mod metrics;

use crate::api::{Api, ApiError};
use crate::controller::{Descriptor, Reconcile, Watch, key_of};
use crate::meta::Meta;
use crate::monitors::Monitors;
use crate::plan::{Plan, Target};
use crate::pods;
use crate::queue::Key;
use apimachinery::clock::Clock;
use apimachinery::selector::label::LabelSelector;
use async_trait::async_trait;
use decision::{Decision, Need, Scale};
use informer::{Informers, Store};
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, MetricSpec};
use k8s_openapi::api::core::v1::Pod;
use limits::History;
use metrics::{Client, Measured};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// `--horizontal-pod-autoscaler-sync-period`.
const PERIOD: Duration = Duration::from_secs(15);
/// `retry.DefaultRetry`: how often a scale is written anew after a conflict.
const TRIES: usize = 5;

pub(crate) struct Autoscalers {
    informers: Informers,
    monitors: Monitors,
    own: Store<HorizontalPodAutoscaler>,
    pods: Store<Pod>,
    clock: Arc<dyn Clock>,
    past: Mutex<HashMap<Key, Past>>,
}

#[derive(Default)]
struct Past {
    history: History,
    /// The target's selector when it was last looked at.
    selector: Option<LabelSelector>,
}

impl Autoscalers {
    pub(crate) fn new(informers: &Informers, monitors: &Monitors, clock: Arc<dyn Clock>) -> Self {
        Self {
            informers: informers.clone(),
            monitors: monitors.clone(),
            own: informers.store(),
            pods: pods::store(informers),
            clock,
            past: Mutex::default(),
        }
    }

    fn past(&self) -> MutexGuard<'_, HashMap<Key, Past>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The scale of the autoscaler's target, and where it is.
    async fn scale(&self, hpa: &HorizontalPodAutoscaler, api: &Api) -> Result<(Target, Value), String> {
        let about = &hpa.spec.scale_target_ref;
        let api_version = about.api_version.as_deref().unwrap_or_default();
        if api_version.matches('/').count() > 1 {
            return Err(format!("unexpected GroupVersion string: {api_version}"));
        }
        let served = self.monitors.served();
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let unknown = || {
            let of_group = if group.is_empty() { String::new() } else { format!(" in group \"{group}\"") };
            format!("no matches for kind \"{}\"{of_group}", about.kind)
        };
        let resource = served.by_kind(api_version, &about.kind).ok_or_else(unknown)?.resource.clone();
        let (namespace, name) = (hpa.namespace().to_owned(), about.name.clone());
        let target = Target { resource, namespace, name, subresource: "scale" };
        let scale = api.call("get", http::Method::GET, &target, "application/json", None).await;
        scale.map(|scale| (target, scale)).map_err(|error| error.message())
    }

    /// Writes the number into the scale, into a newer one after a conflict.
    async fn rescale(api: &Api, target: &Target, mut scale: Value, replicas: i32) -> Result<(), String> {
        let mut tries = 1;
        loop {
            scale["spec"]["replicas"] = json!(replicas);
            let written = api.call("update", http::Method::PUT, target, "application/json", Some(&scale)).await;
            match written {
                Err(error) if error.code() == 409 && tries < TRIES => tries += 1,
                other => return other.map(|_| ()).map_err(|error| error.message()),
            }
            if let Ok(Some(newer)) = api.get(target).await {
                scale = newer;
            }
        }
    }

    /// The pods of the target; refuses a selector that others select the same pods by.
    fn select(&self, key: &Key, text: &str) -> Result<Vec<Arc<Pod>>, decision::Refusal> {
        if text.is_empty() {
            return Err(decision::Refusal {
                reason: "InvalidSelector",
                message: "the HPA target's scale is missing a selector".to_owned(),
                event: ("SelectorRequired", "selector is required".to_owned()),
            });
        }
        let selector = LabelSelector::parse(text).map_err(|error| {
            decision::Refusal::same(
                "InvalidSelector",
                format!("couldn't convert selector into a corresponding internal selector object: {error}"),
            )
        })?;
        let selects = |selector: &LabelSelector, pod: &Pod| {
            selector.matches(|label| pod.metadata.labels.as_ref()?.get(label).map(String::as_str))
        };
        let mut found = self.pods.list_in(&key.namespace);
        found.retain(|pod| selects(&selector, pod));
        let mut past = self.past();
        past.entry(key.clone()).or_default().selector = Some(selector);
        let of_namespace = past.iter().filter(|(other, _)| other.namespace == key.namespace);
        let selecting = of_namespace.filter(|(_, past)| {
            past.selector.as_ref().is_some_and(|selector| found.iter().any(|pod| selects(selector, pod)))
        });
        let mut names: Vec<String> = selecting.map(|(other, _)| other.to_string()).collect();
        if names.len() < 2 {
            return Ok(found);
        }
        names.sort();
        let message =
            format!("pods by selector {text} are controlled by more than one HPA (e.g. [{}])", names.join(" "));
        Err(decision::Refusal::same("AmbiguousSelector", message))
    }

    async fn measure(client: &Client<'_>, spec: &MetricSpec) -> Result<Measured, String> {
        if let Some(own) = &spec.resource {
            client.resource(&own.name, None).await
        } else if let Some(own) = &spec.container_resource {
            client.resource(&own.name, Some(&own.container)).await
        } else if let Some(own) = &spec.pods {
            client.pods(&own.metric.name, own.metric.selector.as_ref()).await
        } else if let Some(own) = &spec.object {
            client.object(&own.described_object, &own.metric.name, own.metric.selector.as_ref()).await
        } else if let Some(own) = &spec.external {
            client.external(&own.metric.name, own.metric.selector.as_ref()).await
        } else {
            Err(format!("unknown metric source type \"{}\"", spec.type_))
        }
    }
}

#[async_trait]
impl Reconcile for Autoscalers {
    fn descriptor(&self) -> Descriptor {
        let account = "horizontal-pod-autoscaler";
        Descriptor { name: "horizontal-pod-autoscaler-controller", account, component: account, workers: 5 }
    }

    fn watches(&self) -> Vec<Watch> {
        // Its own writes of the status are no reason to look again.
        let changed = |event: &informer::Event<HorizontalPodAutoscaler>| {
            let generation = |hpa: &Arc<HorizontalPodAutoscaler>| hpa.metadata.generation;
            let moved = event.old.is_none() || event.old.as_ref().map(generation) != event.new.as_ref().map(generation);
            event.latest().filter(|_| moved).map(|hpa| key_of(&**hpa)).into_iter().collect()
        };
        let monitors = self.monitors.clone();
        vec![
            Watch::on(&self.informers, &self.own, changed),
            Watch::on(&self.informers, &self.pods, |_| Vec::new()),
            Watch::of(async move { monitors.ready().await }, Box::pin(futures::stream::empty())),
        ]
    }

    async fn reconcile(&self, key: &Key, api: &Api) -> Result<Option<Duration>, ApiError> {
        let Some(hpa) = self.own.get(&key.namespace, &key.name) else {
            self.past().remove(key);
            return Ok(None);
        };
        let now = self.clock.now();
        let mut decision = Decision::new(&hpa, now);
        match self.scale(&hpa, api).await {
            Err(message) => decision.no_scale(&message),
            Ok((target, tree)) => {
                let scale = Scale::read(&tree);
                self.past().entry(key.clone()).or_default().history.begin(scale.replicas, now);
                match decision.need(scale) {
                    Need::Nothing => {}
                    Need::Metrics => match self.select(key, &scale_selector(&tree)) {
                        Err(refusal) => decision.refuse(scale, refusal),
                        Ok(pods) => {
                            let (served, selector) = (self.monitors.served(), scale_selector(&tree));
                            let client =
                                Client { api, served: &served, namespace: &key.namespace, selector: &selector };
                            let specs = decision::metrics(&hpa);
                            let mut measured = Vec::new();
                            for spec in &specs {
                                measured.push(Self::measure(&client, spec).await);
                            }
                            let mut past = self.past();
                            let history = &mut past.entry(key.clone()).or_default().history;
                            decision.by_metrics(scale, &specs, measured, &pods, history);
                        }
                    },
                }
                if let Some(replicas) = decision.rescales() {
                    let outcome = Self::rescale(api, &target, tree, replicas).await;
                    if outcome.is_ok() {
                        let mut past = self.past();
                        let history = &mut past.entry(key.clone()).or_default().history;
                        history.scaled(hpa.spec.behavior.as_ref(), scale.replicas, replicas, now);
                    }
                    decision.rescaled(scale, outcome);
                }
            }
        }
        let plan: Plan = decision.plan();
        if let Err(error) = api.apply(&plan).await {
            tracing::debug!(%key, %error, "the status is written at the next look");
        }
        Ok(Some(PERIOD))
    }
}

fn scale_selector(scale: &Value) -> String {
    scale["status"]["selector"].as_str().unwrap_or_default().to_owned()
}
