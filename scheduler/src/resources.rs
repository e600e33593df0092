//! What pods ask for and nodes have, in whole numbers (`k8s.io/component-helpers/resource/helpers.go`).

use apimachinery::Quantity;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as QuantityText;
use std::collections::BTreeMap;

pub(crate) type ResourceList = BTreeMap<String, QuantityText>;

/// What a container without requests counts for when nodes are scored: 0.1 cores and 200 MiB.
const DEFAULTS: [(&str, i64); 2] = [("cpu", 100), ("memory", 200 * 1024 * 1024)];

/// Amounts by resource: `cpu` in thousandths, everything else in units. What is not there counts as nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    cpu: i64,
    memory: i64,
    ephemeral_storage: i64,
    /// How many pods a node takes; pods themselves ask for none.
    pub(crate) pods: i64,
    /// Extended resources, huge pages and attachable volumes, by name.
    scalar: BTreeMap<Box<str>, i64>,
}

impl Resources {
    /// What cannot be read counts as nothing; the API server has validated it.
    pub(crate) fn new(list: Option<&ResourceList>) -> Self {
        Self::of_amounts(&amounts(list))
    }

    fn of_amounts(amounts: &Amounts) -> Self {
        let mut this = Self::default();
        for (name, amount) in amounts {
            match *name {
                "cpu" => this.cpu = *amount,
                "memory" => this.memory = *amount,
                "ephemeral-storage" => this.ephemeral_storage = *amount,
                "pods" => this.pods = *amount,
                name if is_scalar(name) => {
                    this.scalar.insert(name.into(), *amount);
                }
                _ => {}
            }
        }
        this
    }

    pub fn of(&self, resource: &str) -> i64 {
        match resource {
            "cpu" => self.cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            "pods" => self.pods,
            name => self.scalar.get(name).copied().unwrap_or(0),
        }
    }

    /// Each resource but `pods`, in upstream's order: what every node has first, then the rest by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        let common = [("cpu", self.cpu), ("memory", self.memory), ("ephemeral-storage", self.ephemeral_storage)];
        common.into_iter().chain(self.scalar.iter().map(|(name, amount)| (&**name, *amount)))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
    }

    fn combine(&mut self, other: &Self, by: fn(i64, i64) -> i64) {
        self.cpu = by(self.cpu, other.cpu);
        self.memory = by(self.memory, other.memory);
        self.ephemeral_storage = by(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.scalar {
            let value = self.scalar.entry(name.clone()).or_default();
            *value = by(*value, *amount);
        }
    }
}

/// A resource that is counted and not shared out: it has a domain, or upstream's prefix of such.
pub(crate) fn is_scalar(name: &str) -> bool {
    name.contains('/') || name.starts_with("hugepages-") || name.starts_with("attachable-volumes-")
}

/// A resource of a domain that is not upstream's own.
pub(crate) fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// Amounts while they are put together: here absent and zero differ.
type Amounts<'a> = BTreeMap<&'a str, i64>;

fn amounts(list: Option<&ResourceList>) -> Amounts<'_> {
    let amount = |name: &str, text: &str| {
        let quantity = Quantity::parse(text).unwrap_or_default();
        if name == "cpu" { quantity.milli_value() } else { quantity.value() }
    };
    list.into_iter().flatten().map(|(name, text)| (name.as_str(), amount(name, &text.0))).collect()
}

fn add<'a>(sum: &mut Amounts<'a>, more: &Amounts<'a>) {
    for (name, amount) in more {
        let total = sum.entry(name).or_default();
        *total = total.saturating_add(*amount);
    }
}

fn raise<'a>(most: &mut Amounts<'a>, other: &Amounts<'a>) {
    for (name, amount) in other {
        let value = most.entry(name).or_insert(*amount);
        *value = (*value).max(*amount);
    }
}

/// What the pod takes from a node.
pub(crate) fn requests(pod: &Pod) -> Resources {
    Resources::of_amounts(&aggregate(pod, &[]))
}

/// As [`requests`], with defaults for containers that ask for nothing: what a pod on a node counts for in scoring.
/// Where the pod as a whole asks, only resources that nobody asks for have defaults.
pub(crate) fn non_zero_requests(pod: &Pod) -> Resources {
    let asked = aggregate(pod, &[]);
    let whole = pod_level(pod).is_some();
    let missing: Vec<_> = DEFAULTS.into_iter().filter(|(name, _)| !whole || !asked.contains_key(name)).collect();
    Resources::of_amounts(&aggregate(pod, &missing))
}

/// As [`requests`], with defaults for each container that ask for nothing: what a new pod counts for in scoring.
pub(crate) fn scored_requests(pod: &Pod) -> Resources {
    Resources::of_amounts(&aggregate(pod, &DEFAULTS))
}

/// What the pod as a whole asks for, if it does.
fn pod_level(pod: &Pod) -> Option<Amounts<'_>> {
    let requests = pod.spec.as_ref()?.resources.as_ref()?.requests.as_ref();
    let mut amounts = amounts(requests);
    amounts.retain(|name, _| is_pod_level(name));
    (!amounts.is_empty()).then_some(amounts)
}

fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// The largest of what is asked for, promised and in force: a resize in progress holds all three.
fn aggregate<'a>(pod: &'a Pod, defaults: &[(&'a str, i64)]) -> Amounts<'a> {
    let (Some(spec), status) = (&pod.spec, pod.status.as_ref()) else { return Amounts::new() };
    let infeasible = resize_is_infeasible(pod);
    let asked =
        |container: &'a Container| container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let fallback = |container: &'a Container| if infeasible { None } else { asked(container) };
    let statuses = |container: &'a Container| container_status(pod, &container.name);
    let promised = |container: &'a Container| {
        let promised = statuses(container).and_then(|status| status.allocated_resources.as_ref());
        promised.or_else(|| fallback(container))
    };
    let in_force = |container: &'a Container| {
        let status = statuses(container);
        let in_force = status.and_then(|status| status.resources.as_ref()?.requests.as_ref());
        in_force
            .or_else(|| status.and_then(|status| status.allocated_resources.as_ref()))
            .or_else(|| fallback(container))
    };
    let mut total = if infeasible { Amounts::new() } else { sum(spec, defaults, asked) };
    let whole_promised = status.and_then(|status| status.allocated_resources.as_ref());
    let whole_in_force = status.and_then(|status| status.resources.as_ref()?.requests.as_ref());
    if let (Some(promised), Some(in_force)) = (whole_promised, whole_in_force) {
        raise(&mut total, &amounts(Some(promised)));
        raise(&mut total, &amounts(Some(in_force)));
    } else if has_statuses(pod) || infeasible {
        raise(&mut total, &sum(spec, defaults, promised));
        raise(&mut total, &sum(spec, defaults, in_force));
    }
    if let Some(mut whole) = pod_level(pod) {
        if status.is_some_and(|status| status.resources.is_some()) {
            if infeasible {
                whole.clear();
            }
            raise(&mut whole, &amounts(whole_in_force));
            raise(&mut whole, &amounts(whole_promised));
            whole.retain(|name, _| is_pod_level(name));
        }
        total.extend(whole);
    }
    add(&mut total, &amounts(spec.overhead.as_ref()));
    total
}

/// The sum of the containers, or what the most hungry moment of initialisation needs; sidecars run from their turn on.
fn sum<'a>(
    spec: &'a PodSpec,
    defaults: &[(&'a str, i64)],
    of: impl Fn(&'a Container) -> Option<&'a ResourceList>,
) -> Amounts<'a> {
    let of = |container: &'a Container| {
        let mut requests = amounts(of(container));
        for (name, amount) in defaults {
            requests.entry(name).or_insert(*amount);
        }
        requests
    };
    let mut total = Amounts::new();
    for container in &spec.containers {
        add(&mut total, &of(container));
    }
    let (mut sidecars, mut initialising) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut requests = of(container);
        if is_sidecar(container) {
            add(&mut total, &requests);
            add(&mut sidecars, &requests);
            raise(&mut initialising, &sidecars);
        } else {
            add(&mut requests, &sidecars);
            raise(&mut initialising, &requests);
        }
    }
    raise(&mut total, &initialising);
    total
}

pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// All containers that run beside each other: the sidecars and the containers proper.
pub(crate) fn running_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().filter(|container| is_sidecar(container)).chain(&spec.containers)
}

fn has_statuses(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let any = |statuses: &Option<Vec<ContainerStatus>>| statuses.as_ref().is_some_and(|all| !all.is_empty());
    status.is_some_and(|status| any(&status.container_statuses) || any(&status.init_container_statuses))
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
