//! Recounts what namespaces use of their quotas. Upstream's `pkg/controller/resourcequota` and `pkg/quota/v1`.
//!
//! Owns the status of quotas together with admission, which charges what is added; this charges back what ends. Woken by
//! quotas that change and by objects that go or end in a namespace that has quotas; every five minutes all are counted anew.

mod usage;
mod wake;

use crate::api::{Api, ApiError};
use crate::controller::{Descriptor, Reconcile, Watch, key_of};
use crate::meta::Meta;
use crate::monitors::{Monitors, Seen};
use crate::plan::Plan;
use crate::pods;
use crate::queue::Key;
use apimachinery::clock::Clock;
use apimachinery::quantity::Quantity;
use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use informer::{Event, Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, Service};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// `--resource-quota-sync-period` of upstream.
const RESYNC: Duration = Duration::from_mins(5);

/// Amounts by resource name.
type Amounts = BTreeMap<String, Quantity>;

pub(crate) struct Quotas {
    informers: Informers,
    monitors: Monitors,
    own: Store<ResourceQuota>,
    pods: Store<Pod>,
    services: Store<Service>,
    claims: Store<PersistentVolumeClaim>,
    clock: Arc<dyn Clock>,
    seen: Mutex<Option<mpsc::UnboundedReceiver<Seen>>>,
}

struct Observed {
    quota: Arc<ResourceQuota>,
    pods: Vec<Arc<Pod>>,
    services: Vec<Arc<Service>>,
    claims: Vec<Arc<PersistentVolumeClaim>>,
    /// Objects in the namespace by `resource.group`, or `resource` for the core group.
    counts: BTreeMap<String, usize>,
}

impl Quotas {
    pub(crate) fn new(informers: &Informers, monitors: &Monitors, clock: Arc<dyn Clock>) -> Self {
        Self {
            informers: informers.clone(),
            monitors: monitors.clone(),
            own: informers.store(),
            pods: pods::store(informers),
            services: informers.store(),
            claims: informers.store(),
            clock,
            seen: Mutex::new(Some(monitors.listen())),
        }
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let quota = self.own.get(&key.namespace, &key.name)?;
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
        let counted = hard.into_iter().flatten().filter_map(|(name, _)| usage::counted(name));
        let served = self.monitors.served();
        let mut counts = BTreeMap::new();
        for name in counted {
            let (resource, group) = name.split_once('.').unwrap_or((name, ""));
            let found =
                served.resources.iter().find(|own| own.resource.resource == resource && own.resource.group == group);
            let store = found.and_then(|served| self.monitors.store(&served.resource));
            let number = store.map_or(0, |store| store.list_raw(Some(&key.namespace)).len());
            counts.insert(name.to_owned(), number);
        }
        let namespace = &key.namespace;
        Some(Observed {
            quota,
            pods: self.pods.list_in(namespace),
            services: self.services.list_in(namespace),
            claims: self.claims.list_in(namespace),
            counts,
        })
    }
}

fn of_namespace(quotas: &Store<ResourceQuota>, namespace: &str) -> Vec<Key> {
    if namespace.is_empty() {
        return Vec::new();
    }
    quotas.list_in(namespace).iter().map(|quota| key_of(&**quota)).collect()
}

/// The quotas to count anew for a change of one object.
fn affected<K: Meta>(quotas: &Store<ResourceQuota>, event: &Event<K>, wakes: fn(&Event<K>) -> bool) -> Vec<Key> {
    let object = event.latest().filter(|_| wakes(event));
    object.map(|object| of_namespace(quotas, object.namespace())).unwrap_or_default()
}

#[async_trait]
impl Reconcile for Quotas {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "resourcequota-controller",
            account: "resourcequota-controller",
            component: "resourcequota-controller",
            workers: 2,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let (by_pod, by_service, by_claim, by_any) =
            (self.own.clone(), self.own.clone(), self.own.clone(), self.own.clone());
        let mut watches = vec![
            Watch::on(&self.informers, &self.own, |event| {
                let changed = event.latest().filter(|_| wake::quota(event));
                changed.map(|quota| key_of(&**quota)).into_iter().collect()
            }),
            Watch::on(&self.informers, &self.pods, move |event| affected(&by_pod, event, wake::pod)),
            Watch::on(&self.informers, &self.services, move |event| affected(&by_service, event, wake::service)),
            Watch::on(&self.informers, &self.claims, move |event| affected(&by_claim, event, wake::claim)),
        ];
        if let Some(seen) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let keys = stream::unfold(seen, |mut seen| async { Some((seen.recv().await?, seen)) });
            let ended = move |Seen { event, .. }: Seen| {
                // Changes of an object count only where they are watched above.
                let object = event.latest().filter(|_| event.new.is_none());
                object.map(|object| of_namespace(&by_any, object.namespace())).unwrap_or_default()
            };
            let monitors = self.monitors.clone();
            watches.push(Watch::of(async move { monitors.ready().await }, keys.map(ended).boxed()));
        }
        watches
    }

    async fn reconcile(&self, key: &Key, api: &Api) -> Result<Option<Duration>, ApiError> {
        let Some(observed) = self.observe(key) else { return Ok(None) };
        let plan = plan(&observed, self.clock.now());
        api.apply(&plan).await.map(|()| plan.requeue)
    }
}

fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    plan.again_after(RESYNC);
    let quota = &observed.quota;
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    let usage = usage::total(observed, now);
    let used: BTreeMap<&String, String> =
        hard.keys().map(|name| (name, usage.get(name).copied().unwrap_or(Quantity::ZERO).to_string())).collect();
    let status = quota.status.as_ref();
    let same_hard = status.and_then(|status| status.hard.as_ref()).is_some_and(|old| *old == hard);
    let same_used = status.and_then(|status| status.used.as_ref()).is_some_and(|old| {
        let read = |text: &str| Quantity::parse(text).ok();
        old.len() == used.len()
            && used.iter().all(|(name, own)| old.get(*name).is_some_and(|old| read(&old.0) == read(own)))
    });
    if !(same_hard && same_used) {
        let mut changed = (**quota).clone();
        changed.status = serde_json::from_value(json!({"hard": hard, "used": used})).unwrap_or_default();
        plan.update_status(&changed);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::testing::pod;
    use serde_json::Value;

    fn run(spec: Value, pods: Vec<Arc<Pod>>) -> Value {
        let quota = json!({"metadata": {"name": "q", "namespace": "ns"}, "spec": spec});
        let service =
            json!({"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2}]}});
        let claim = json!({"metadata": {"name": "c"}, "spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "5Gi"}}}});
        let observed = Observed {
            quota: Arc::new(serde_json::from_value(quota).unwrap()),
            pods,
            services: vec![Arc::new(serde_json::from_value(service).unwrap())],
            claims: vec![Arc::new(serde_json::from_value(claim).unwrap())],
            counts: BTreeMap::from([("deployments.apps".to_owned(), 3), ("configmaps".to_owned(), 2)]),
        };
        let told = plan(&observed, "2024-01-01T00:00:00Z".parse().unwrap());
        let crate::plan::Write::Update { body, .. } = &told.writes[0] else { panic!("no status") };
        body["status"]["used"].clone()
    }

    fn hard(names: &[&str]) -> Value {
        json!({"hard": names.iter().map(|name| ((*name).to_owned(), json!("100"))).collect::<serde_json::Map<_, _>>()})
    }

    #[test]
    fn everything_is_counted() {
        let container = |cpu: &str| json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}, "limits": {"cpu": "1"}}});
        let running = pod(
            "a",
            json!({"spec": {"containers": [container("100m"), container("200m")], "initContainers": [container("250m")]}}),
        );
        let done = pod("b", json!({"status": {"phase": "Succeeded"}}));
        let names = [
            "pods",
            "cpu",
            "requests.cpu",
            "limits.cpu",
            "memory",
            "services",
            "services.loadbalancers",
            "services.nodeports",
            "persistentvolumeclaims",
            "requests.storage",
            "gold.storageclass.storage.k8s.io/requests.storage",
            "count/deployments.apps",
            "configmaps",
            "count/pods",
        ];
        let used = run(hard(&names), vec![running, done]);
        assert_eq!(
            used,
            json!({"pods": "1", "cpu": "300m", "requests.cpu": "300m", "limits.cpu": "2", "memory": "2Gi", "services": "1",
            "services.loadbalancers": "1", "services.nodeports": "2", "persistentvolumeclaims": "1", "requests.storage": "5Gi",
            "gold.storageclass.storage.k8s.io/requests.storage": "5Gi", "count/deployments.apps": "3", "configmaps": "2", "count/pods": "2"})
        );
    }

    #[test]
    fn scopes_choose_pods() {
        let spec = |scope: &str| json!({"hard": {"pods": "5"}, "scopes": [scope]});
        let pods =
            || vec![pod("a", json!({"spec": {"activeDeadlineSeconds": 5}})), pod("b", json!({})), pod("c", json!({}))];
        assert_eq!(run(spec("Terminating"), pods())["pods"], "1");
        assert_eq!(run(spec("NotTerminating"), pods())["pods"], "2");
        assert_eq!(run(spec("BestEffort"), pods())["pods"], "3");
        assert_eq!(run(spec("NotBestEffort"), pods())["pods"], "0");
    }
}
