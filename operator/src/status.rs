//! From what is observed to what people and `kubectl wait` read. Pure.

use crate::api::{ExposeType, TenantClusterStatus};
use crate::desired::secrets::kubeconfig_name;
use crate::observed::Observed;
use crate::report::COMPONENTS;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::DynamicObject;

/// One condition before it is compared with the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    status: &'static str,
    reason: &'static str,
    message: String,
}

fn verdict(status: &'static str, reason: &'static str, message: impl Into<String>) -> Verdict {
    Verdict { status, reason, message: message.into() }
}

/// `https://host:port` as clients outside reach it; `None` until the host has given an address.
pub fn endpoint(observed: &Observed) -> Option<String> {
    let expose = &observed.tenant.spec.expose;
    let service = observed.service.as_ref()?;
    let spec = service.spec.as_ref()?;
    let node_port = || spec.ports.iter().flatten().find(|p| p.port == 443)?.node_port;
    let named = expose.extra_names.first();
    match expose.type_ {
        ExposeType::ClusterIP => observed.cluster_ip().map(|_| match named {
            Some(host) => format!("https://{host}"),
            None => inside_endpoint(observed),
        }),
        ExposeType::NodePort => {
            let host = named.or(observed.node_address.as_ref())?;
            Some(format!("https://{host}:{}", node_port()?))
        }
        ExposeType::LoadBalancer => {
            let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?;
            let host = named.cloned().or_else(|| ingress.hostname.clone()).or_else(|| ingress.ip.clone())?;
            Some(format!("https://{host}:443"))
        }
    }
}

/// Where pods of the host cluster reach the tenant.
pub fn inside_endpoint(observed: &Observed) -> String {
    format!("https://{}.{}.svc:443", observed.name(), observed.namespace())
}

/// The whole new status; transition times move only where a status changed.
pub fn status(observed: &Observed, now: &Time) -> TenantClusterStatus {
    let old = observed.tenant.status.clone().unwrap_or_default();
    let report = observed.current_report();
    let mut verdicts: Vec<(&str, Verdict)> = COMPONENTS.iter().map(|c| (*c, component(observed, c))).collect();
    verdicts.push(("Exposed", exposed(observed)));
    let ready = ready(observed, &verdicts);
    verdicts.insert(0, ("Ready", ready));
    let generation = observed.tenant.metadata.generation;
    let conditions = verdicts
        .into_iter()
        .map(|(type_, verdict)| {
            let last = old.conditions.iter().find(|c| c.type_ == type_ && c.status == verdict.status);
            Condition {
                type_: type_.into(),
                status: verdict.status.into(),
                reason: verdict.reason.into(),
                message: verdict.message,
                last_transition_time: last.map_or_else(|| now.clone(), |c| c.last_transition_time.clone()),
                observed_generation: generation,
            }
        })
        .collect();
    TenantClusterStatus {
        observed_generation: generation,
        conditions,
        endpoint: endpoint(observed),
        version: report.map(|r| r.version.clone()).or(old.version),
        store: Some("sqlite".into()),
        nodes: report.map(|r| r.nodes).or(old.nodes),
        kubeconfig_secret: Some(kubeconfig_name(observed.name())),
    }
}

fn component(observed: &Observed, type_: &str) -> Verdict {
    if let Some(component) = observed.current_report().and_then(|r| r.components.get(type_)) {
        return if component.healthy {
            verdict("True", "Healthy", "")
        } else {
            verdict("False", "Unhealthy", component.message.clone())
        };
    }
    if type_ == "DatastoreReady"
        && let Some(class) = &observed.storage_class_missing
    {
        let cure = "create it or set spec.store.persistence.storageClassName to one that exists";
        return verdict(
            "False",
            "StorageClassNotFound",
            format!("StorageClass {class:?} does not exist on the host: {cure}"),
        );
    }
    verdict("Unknown", "Starting", waiting_for(observed))
}

/// A sentence on what the control plane pod waits for.
fn waiting_for(observed: &Observed) -> String {
    if let Some(foreign) = observed.foreign.first() {
        return format!("{foreign} exists already and belongs to somebody else: rename the TenantCluster or remove it");
    }
    let Some(pod) = &observed.pod else { return "the control plane pod is not there yet".into() };
    container_trouble(pod).or_else(|| unscheduled(pod)).unwrap_or_else(|| "the control plane is starting".into())
}

fn container_trouble(pod: &DynamicObject) -> Option<String> {
    let waiting = &pod.data["status"]["containerStatuses"][0]["state"]["waiting"];
    let reason = waiting["reason"].as_str().filter(|r| *r != "ContainerCreating" && *r != "PodInitializing")?;
    Some(format!("the control plane container waits: {reason}: {}", waiting["message"].as_str().unwrap_or_default()))
}

fn unscheduled(pod: &DynamicObject) -> Option<String> {
    let mut conditions = pod.data["status"]["conditions"].as_array()?.iter();
    let scheduled = conditions.find(|c| c["type"] == "PodScheduled" && c["status"] == "False")?;
    Some(format!("the control plane pod is not scheduled: {}", scheduled["message"].as_str().unwrap_or_default()))
}

fn exposed(observed: &Observed) -> Verdict {
    match (endpoint(observed), observed.tenant.spec.expose.type_) {
        (Some(endpoint), _) => verdict("True", "EndpointKnown", endpoint),
        (None, ExposeType::LoadBalancer) => {
            verdict("False", "WaitingForLoadBalancer", "the host has given the Service no address yet")
        }
        (None, _) => verdict("False", "WaitingForService", "the Service has no address yet"),
    }
}

/// Ready is the conjunction of the rest, with the first reason that stands against it.
fn ready(observed: &Observed, others: &[(&str, Verdict)]) -> Verdict {
    if !observed.foreign.is_empty() {
        return verdict("False", "NameTaken", waiting_for(observed));
    }
    match others.iter().find(|(_, v)| v.status != "True") {
        None => verdict("True", "AllHealthy", ""),
        Some((type_, v)) => verdict("False", v.reason, format!("{type_}: {}", v.message)),
    }
}

#[cfg(test)]
mod tests;
