//! What pods ask for and nodes have, in whole numbers (`k8s.io/component-helpers/resource/helpers.go`).

use apimachinery::Quantity;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as QuantityText;
use std::collections::BTreeMap;

pub(crate) type ResourceList = BTreeMap<String, QuantityText>;

/// What a container without requests counts for when nodes are scored: 0.1 cores and 200 MiB.
const DEFAULT_MILLI_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts by resource: `cpu` in thousandths, everything else in units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources(BTreeMap<String, i64>);

impl Resources {
    /// What cannot be read counts as nothing; the API server has validated it.
    pub(crate) fn new(list: Option<&ResourceList>) -> Self {
        let amount = |name: &str, text: &str| {
            let quantity = Quantity::parse(text).unwrap_or_default();
            if name == "cpu" { quantity.milli_value() } else { quantity.value() }
        };
        Self(list.into_iter().flatten().map(|(name, text)| (name.clone(), amount(name, &text.0))).collect())
    }

    pub fn of(&self, resource: &str) -> i64 {
        self.0.get(resource).copied().unwrap_or(0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let sum = self.0.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let rest = self.0.entry(name.clone()).or_default();
            *rest = rest.saturating_sub(*amount);
        }
    }

    fn raise(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let most = self.0.entry(name.clone()).or_default();
            *most = (*most).max(*amount);
        }
    }

    fn or_insert(&mut self, resource: &str, amount: i64) {
        self.0.entry(resource.to_owned()).or_insert(amount);
    }
}

/// What the pod takes from a node.
pub(crate) fn requests(pod: &Pod) -> Resources {
    aggregate(pod, |_| {})
}

/// As [`requests`], with defaults for containers that ask for nothing: used to score nodes.
pub(crate) fn non_zero_requests(pod: &Pod) -> Resources {
    aggregate(pod, |requests| {
        requests.or_insert("cpu", DEFAULT_MILLI_CPU);
        requests.or_insert("memory", DEFAULT_MEMORY);
    })
}

/// The sum of the containers, or what the most hungry moment of initialisation needs; sidecars run from their turn on.
fn aggregate(pod: &Pod, complete: impl Fn(&mut Resources)) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    let pod_level = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let pod_level = Resources::new(pod_level);
    let of = |container: &Container| {
        let mut requests = container_requests(pod, container);
        complete(&mut requests);
        requests
    };
    let mut total = Resources::default();
    for container in &spec.containers {
        total.add(&of(container));
    }
    let (mut sidecars, mut initialising) = (Resources::default(), Resources::default());
    for container in spec.init_containers.iter().flatten() {
        let mut requests = of(container);
        if is_sidecar(container) {
            total.add(&requests);
            sidecars.add(&requests);
            initialising.raise(&sidecars);
        } else {
            requests.add(&sidecars);
            initialising.raise(&requests);
        }
    }
    total.raise(&initialising);
    for (name, amount) in pod_level.0 {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            total.0.insert(name, amount);
        }
    }
    total.add(&Resources::new(spec.overhead.as_ref()));
    total
}

pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// All containers that run beside each other: the sidecars and the containers proper.
pub(crate) fn running_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().filter(|container| is_sidecar(container)).chain(&spec.containers)
}

/// The largest of what is asked for, promised and in force: a resize in progress holds both.
fn container_requests(pod: &Pod, container: &Container) -> Resources {
    let asked = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let mut requests = Resources::new(asked);
    let Some(status) = container_status(pod, &container.name) else { return requests };
    let in_force = status.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    if resize_is_infeasible(pod) && (in_force.is_some() || status.allocated_resources.is_some()) {
        requests = Resources::default();
    }
    requests.raise(&Resources::new(status.allocated_resources.as_ref()));
    requests.raise(&Resources::new(in_force));
    requests
}

fn container_status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    all.into_iter().find(|status| status.name == name)
}

fn resize_is_infeasible(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "PodResizePending" && condition.reason.as_deref() == Some("Infeasible"))
}
