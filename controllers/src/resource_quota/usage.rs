//! What objects cost against a quota: pods by what they ask for, services and claims by their kind, the rest by number.

use super::{Amounts, Observed};
use crate::meta::Meta;
use crate::pods;
use apimachinery::quantity::{Format, Quantity};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    Container, PersistentVolumeClaim, Pod, ResourceQuota, ScopedResourceSelectorRequirement, Service,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use std::collections::BTreeMap;

/// Core resources that may be counted by their bare name.
const BARE: [&str; 5] = ["configmaps", "secrets", "replicationcontrollers", "resourcequotas", "services"];

/// The resource that a name in a quota counts, if it counts one by number.
pub(super) fn counted(name: &str) -> Option<&str> {
    name.strip_prefix("count/").or_else(|| BARE.contains(&name).then_some(name))
}

fn one(number: usize) -> Quantity {
    Quantity::from_value(number as i64, Format::DecimalSi)
}

fn add(total: &mut Amounts, name: &str, amount: Quantity) {
    let sum = total.entry(name.to_owned()).or_insert(Quantity::ZERO);
    // The sum of nothing and something is written as the something was.
    *sum = if sum.is_zero() { amount } else { *sum + amount };
}

pub(super) fn total(observed: &Observed, now: Timestamp) -> Amounts {
    let mut total = Amounts::new();
    let quota = &*observed.quota;
    for pod in observed.pods.iter().filter(|pod| in_scope(quota, pod)) {
        add(&mut total, "count/pods", one(1));
        if is_charged(pod, now) {
            charge_pod(pod, &mut total);
        }
    }
    if scopes(quota).next().is_some() {
        return total;
    }
    observed.services.iter().for_each(|service| charge_service(service, &mut total));
    observed.claims.iter().for_each(|claim| charge_claim(claim, &mut total));
    for (name, number) in &observed.counts {
        if name != "pods" {
            total.insert(format!("count/{name}"), one(*number));
        }
        if BARE.contains(&name.as_str()) {
            total.insert(name.clone(), one(*number));
        }
    }
    total
}

/// A pod that ended, or that should have been gone for a while, costs nothing.
fn is_charged(pod: &Pod, now: Timestamp) -> bool {
    let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
    let overdue = pod.metadata.deletion_timestamp.as_ref().is_some_and(|time| now.duration_since(time.0) > grace);
    !pods::is_terminal(pod) && !overdue
}

fn scopes(quota: &ResourceQuota) -> impl Iterator<Item = ScopedResourceSelectorRequirement> + '_ {
    let spec = quota.spec.iter();
    let named = spec.clone().flat_map(|spec| spec.scopes.iter().flatten()).map(|name| {
        ScopedResourceSelectorRequirement { scope_name: name.clone(), operator: "Exists".to_owned(), values: None }
    });
    let selected =
        spec.flat_map(|spec| spec.scope_selector.iter()).flat_map(|own| own.match_expressions.iter().flatten());
    named.chain(selected.cloned())
}

fn in_scope(quota: &ResourceQuota, pod: &Pod) -> bool {
    scopes(quota).all(|rule| {
        let spec = pod.spec.as_ref();
        match rule.scope_name.as_str() {
            "Terminating" => spec.is_some_and(|spec| spec.active_deadline_seconds.is_some()),
            "NotTerminating" => spec.is_none_or(|spec| spec.active_deadline_seconds.is_none()),
            "BestEffort" => is_best_effort(pod),
            "NotBestEffort" => !is_best_effort(pod),
            "PriorityClass" => {
                let class = spec.and_then(|spec| spec.priority_class_name.as_deref()).filter(|name| !name.is_empty());
                let listed = class.is_some_and(|class| rule.values.iter().flatten().any(|value| value == class));
                match rule.operator.as_str() {
                    "In" => listed,
                    "NotIn" => !listed,
                    "DoesNotExist" => class.is_none(),
                    _ => class.is_some(),
                }
            }
            _ => false,
        }
    })
}

fn is_best_effort(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let empty = |list: Option<&BTreeMap<String, Text>>| list.is_none_or(BTreeMap::is_empty);
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut resources = containers.filter_map(|own| own.resources.as_ref()).chain(spec.resources.as_ref());
    resources.all(|own| empty(own.requests.as_ref()) && empty(own.limits.as_ref()))
}

fn read(list: Option<&BTreeMap<String, Text>>) -> Amounts {
    let parse = |(name, text): (&String, &Text)| Some((name.clone(), Quantity::parse(&text.0).ok()?));
    list.into_iter().flatten().filter_map(parse).collect()
}

type Side = fn(&k8s_openapi::api::core::v1::ResourceRequirements) -> Option<&BTreeMap<String, Text>>;

fn merge(into: &mut Amounts, from: &Amounts) {
    for (name, amount) in from {
        add(into, name, *amount);
    }
}

/// What a pod needs of each resource at its most: its containers and sidecars together, or one init container beside the sidecars
/// that started before it; pod-level amounts override, the overhead comes on top. Upstream's `component-helpers/resource`.
fn needs(pod: &Pod, side: Side) -> Amounts {
    let Some(spec) = &pod.spec else { return Amounts::new() };
    let of = |container: &Container| read(container.resources.as_ref().and_then(side));
    let mut sum = Amounts::new();
    for container in &spec.containers {
        merge(&mut sum, &of(container));
    }
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut step = sidecars.clone();
        merge(&mut step, &of(container));
        if container.restart_policy.as_deref() == Some("Always") {
            merge(&mut sum, &of(container));
            sidecars = step.clone();
        }
        for (name, amount) in step {
            let most = peak.entry(name).or_insert(amount);
            *most = (*most).max(amount);
        }
    }
    for (name, amount) in peak {
        let most = sum.entry(name).or_insert(amount);
        *most = (*most).max(amount);
    }
    sum.extend(read(spec.resources.as_ref().and_then(side)));
    for (name, amount) in read(spec.overhead.as_ref()) {
        add(&mut sum, &name, amount);
    }
    sum
}

fn charge_pod(pod: &Pod, total: &mut Amounts) {
    add(total, "pods", one(1));
    for (name, amount) in needs(pod, |own| own.requests.as_ref()) {
        let standard =
            matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        let extended = name.contains('/') && !name.contains("kubernetes.io/");
        if standard {
            add(total, &name, amount);
        }
        if standard || extended {
            add(total, &format!("requests.{name}"), amount);
        }
    }
    for (name, amount) in needs(pod, |own| own.limits.as_ref()) {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            add(total, &format!("limits.{name}"), amount);
        }
    }
}

fn charge_service(service: &Service, total: &mut Amounts) {
    let Some(spec) = &service.spec else { return };
    let ports = spec.ports.as_ref().map_or(0, Vec::len);
    add(total, "services", one(1));
    add(total, "count/services", one(1));
    match spec.type_.as_deref() {
        Some("NodePort") => add(total, "services.nodeports", one(ports)),
        Some("LoadBalancer") => {
            add(total, "services.loadbalancers", one(1));
            let allocated = spec.ports.iter().flatten().filter(|port| port.node_port.unwrap_or(0) > 0).count();
            let own = if spec.allocate_load_balancer_node_ports == Some(false) { allocated } else { ports };
            add(total, "services.nodeports", one(own));
        }
        _ => {}
    }
}

fn charge_claim(claim: &PersistentVolumeClaim, total: &mut Amounts) {
    let class = claim.annotation("volume.beta.kubernetes.io/storage-class").map(ToOwned::to_owned);
    let spec = claim.spec.as_ref();
    let class = class.or_else(|| spec.and_then(|spec| spec.storage_class_name.clone())).unwrap_or_default();
    let asked = read(spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref())).get("storage").copied();
    let given =
        read(claim.status.as_ref().and_then(|status| status.allocated_resources.as_ref())).get("storage").copied();
    let storage = asked.max(given);
    let mut charge = |prefix: &str| {
        add(total, &format!("{prefix}persistentvolumeclaims"), one(1));
        if let Some(storage) = storage {
            add(total, &format!("{prefix}requests.storage"), storage);
        }
    };
    charge("");
    if !class.is_empty() {
        charge(&format!("{class}.storageclass.storage.k8s.io/"));
    }
    add(total, "count/persistentvolumeclaims", one(1));
}
