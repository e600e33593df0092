//! Looks at both sides of one key and asks the translators for a plan. Reads caches only.

use super::Task;
use super::stores::Stores;
use crate::kind::Kind;
use crate::marks::{self, Origin};
use crate::pod::plan::Observed;
use crate::references::{ObjectKey, References};
use crate::step::Plan;
use crate::{
    Config, Decision, claim, configmap, converge::converge, endpointslice, names, node, pod, secret, service,
    service_env, storageclass, volume,
};
use jiff::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long an address stays reserved for a Service that was never committed.
const RESERVATION: Duration = Duration::from_mins(1);
/// When to look again at a kind that has not been seen yet.
const UNSEEN: Duration = Duration::from_secs(5);

/// The name by which a pod's use of its namespace's service variables is remembered.
pub(crate) const SERVICE_ENV: &str = "";

/// What is known beside the caches.
pub(crate) struct Observer<'a> {
    pub(crate) config: &'a Config,
    pub(crate) stores: &'a Stores,
    pub(crate) references: &'a Mutex<References>,
    /// Host pods that have just gone, by their tenant pod.
    pub(crate) gone: &'a Mutex<HashMap<ObjectKey, std::sync::Arc<Pod>>>,
    pub(crate) now: Timestamp,
}

impl Observer<'_> {
    pub(crate) fn plan(&self, task: &Task) -> Plan {
        match task {
            Task::ServiceEnv(namespace) => self.service_env(namespace),
            Task::Object(kind, (namespace, name)) => match kind {
                Kind::Pod => self.pod(namespace, name),
                Kind::ConfigMap => self.config_map(namespace, name),
                Kind::Secret => self.secret(namespace, name),
                Kind::Service => self.service(namespace, name),
                Kind::EndpointSlice => self.slice(namespace, name),
                Kind::PersistentVolumeClaim => self.claim(namespace, name),
                Kind::PersistentVolume => self.volume(name),
                Kind::StorageClass => self.class(name),
                Kind::Node => {
                    let (virt, host) = (&self.stores.virt.nodes, &self.stores.host.nodes);
                    node::plan(self.config, virt.get("", name).as_deref(), host.get("", name).as_deref())
                }
                Kind::Lease | Kind::Event | Kind::ClusterTrustBundle => Plan::nothing(),
            },
        }
    }

    fn host_name(&self, namespace: &str, name: &str) -> String {
        names::host_name(name, namespace, &self.config.tenant)
    }

    fn is_used(&self, kind: Kind, namespace: &str, name: &str) -> bool {
        self.references.lock().unwrap_or_else(PoisonError::into_inner).is_used(kind, namespace, name)
    }

    /// Whether pods of a node are to run on the host: the host has it, and the tenant has no other node of that name.
    pub(crate) fn is_host_node(&self, name: &str) -> bool {
        let virt = self.stores.virt.nodes.get("", name);
        self.stores.host.nodes.get("", name).is_some() && virt.is_none_or(|virt| node::is_mirror(&virt))
    }

    fn pod(&self, namespace: &str, name: &str) -> Plan {
        let key = (namespace.to_owned(), name.to_owned());
        let host_namespace = &self.config.host_namespace;
        let virt = self.stores.virt.pods.get(namespace, name);
        let host = self.stores.host.pods.get(host_namespace, &self.host_name(namespace, name));
        if host.as_ref().is_some_and(|host| !self.is_copy_of(&host.metadata, namespace, name)) {
            return Plan::warn("the name of its copy is taken on the host");
        }
        let spec = virt.as_ref().and_then(|virt| virt.spec.as_ref());
        let node = spec.and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        let runtime = spec.and_then(|spec| spec.runtime_class_name.as_deref()).unwrap_or_default();
        let host_node = self.stores.host.nodes.get("", node);
        let allocatable = host_node.as_ref().and_then(|node| node.status.as_ref()?.allocatable.as_ref());
        let on_host_node = self.is_host_node(node);
        let observed = Observed {
            tokens: self
                .stores
                .host
                .secrets
                .get(host_namespace, &pod::projection::host_name(self.config, namespace, name)),
            inputs: pod::Inputs {
                offered: pod::extended(allocatable),
                runtime_class: self.stores.host_runtimes.get("", runtime).is_some(),
            },
            prerequisites: match &virt {
                Some(virt) if on_host_node && host.is_none() => self.prerequisites(virt),
                _ => Vec::new(),
            },
            last: self.gone.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned(),
            on_host_node,
            virt,
            host,
        };
        let mut plan = pod::plan::plan(self.config, &observed, self.now);
        let trust = self.trust(namespace, name, pod::plan::runs(&observed));
        plan.again = plan.again.into_iter().chain(trust.again).min();
        plan.steps.splice(0..0, trust.steps);
        plan
    }

    /// The trust anchors that a pod's volumes show. `pod` is the tenant's while the host is to run it.
    fn trust(&self, namespace: &str, name: &str, pod: Option<&Pod>) -> Plan {
        let host_name = pod::trust::host_name(self.config, namespace, name);
        let host = self.stores.host.config_maps.get(&self.config.host_namespace, &host_name);
        let decision = match pod.filter(|pod| pod::trust::asks(pod)) {
            Some(_) if !self.stores.virt_bundles.is_synced() => return Plan::after(UNSEEN),
            Some(pod) => Decision::Sync(pod::trust::config_map(self.config, pod, &self.stores.virt_bundles.list())),
            None => Decision::Delete("no pod on the host reads it"),
        };
        converge(self.config, Kind::ConfigMap, &decision, host.as_deref())
    }

    fn is_copy_of(&self, host_meta: &ObjectMeta, namespace: &str, name: &str) -> bool {
        marks::origin(self.config, host_meta).is_some_and(|origin| origin.namespace == namespace && origin.name == name)
    }

    /// What the host must have before the pod's first container starts.
    fn prerequisites(&self, virt: &Pod) -> Vec<crate::step::Step> {
        let namespace = virt.metadata.namespace.as_deref().unwrap_or_default();
        let links = virt.spec.as_ref().and_then(|spec| spec.enable_service_links);
        let mut steps = self.service_env_of(service_env::scope(namespace, links), true).steps;
        for (kind, name) in pod::uses(self.config, virt) {
            match kind {
                Kind::ConfigMap => steps.extend(self.config_map_copy(namespace, &name, true).steps),
                Kind::Secret => steps.extend(self.secret_copy(namespace, &name, true).steps),
                _ => {}
            }
        }
        steps
    }

    fn service_env(&self, namespace: &str) -> Plan {
        // Pods without links are all over the tenant, so what they share stays for good.
        let is_used = namespace.is_empty() || self.is_used(Kind::Service, namespace, SERVICE_ENV);
        self.service_env_of(namespace, is_used)
    }

    fn service_env_of(&self, namespace: &str, is_used: bool) -> Plan {
        let host = self
            .stores
            .host
            .config_maps
            .get(&self.config.host_namespace, &service_env::host_name(self.config, namespace));
        let decision = if is_used {
            let kubernetes = self.stores.virt.services.get("default", "kubernetes");
            let services = if namespace.is_empty() { Vec::new() } else { self.stores.virt.services.list_in(namespace) };
            let services = services.iter().map(AsRef::as_ref);
            Decision::Sync(service_env::config_map(self.config, namespace, kubernetes.as_deref(), services))
        } else {
            Decision::Delete("no pod on the host reads it")
        };
        converge(self.config, Kind::ConfigMap, &decision, host.as_deref())
    }

    fn config_map(&self, namespace: &str, name: &str) -> Plan {
        self.config_map_copy(namespace, name, self.is_used(Kind::ConfigMap, namespace, name))
    }

    fn config_map_copy(&self, namespace: &str, name: &str, is_used: bool) -> Plan {
        let host = self.stores.host.config_maps.get(&self.config.host_namespace, &self.host_name(namespace, name));
        let virt = self.stores.virt.config_maps.get(namespace, name);
        let stand_in = || if name == configmap::ROOT_CA { configmap::root_ca(self.config, namespace) } else { None };
        let translate = |virt: &ConfigMap| configmap::to_host(self.config, virt, is_used);
        let decision = match virt {
            Some(virt) => translate(&virt),
            None => stand_in().map_or(Decision::Delete("it is gone"), |virt| translate(&virt)),
        };
        converge(self.config, Kind::ConfigMap, &decision, host.as_deref())
    }

    fn secret(&self, namespace: &str, name: &str) -> Plan {
        self.secret_copy(namespace, name, self.is_used(Kind::Secret, namespace, name))
    }

    fn secret_copy(&self, namespace: &str, name: &str, is_used: bool) -> Plan {
        let host = self.stores.host.secrets.get(&self.config.host_namespace, &self.host_name(namespace, name));
        let virt = self.stores.virt.secrets.get(namespace, name);
        let translate = |virt: &Secret| secret::to_host(self.config, virt, is_used);
        let decision = virt.map_or(Decision::Delete("it is gone"), |virt| translate(&virt));
        converge(self.config, Kind::Secret, &decision, host.as_deref())
    }

    fn service(&self, namespace: &str, name: &str) -> Plan {
        let virt = self.stores.virt.services.get(namespace, name);
        let host = self.stores.host.services.get(&self.config.host_namespace, &self.host_name(namespace, name));
        let Some(virt) = virt else {
            if let Some(left) = host.as_ref().and_then(|host| self.reserved_for(host)) {
                return Plan::after(left);
            }
            let decision: Decision<Service> = Decision::Delete("it is gone");
            return converge(self.config, Kind::Service, &decision, host.as_deref());
        };
        let mut plan = converge(self.config, Kind::Service, &service::to_host(self.config, &virt), host.as_deref());
        let recorded = |host: &Service| {
            marks::annotation(&host.metadata, marks::UID) == virt.metadata.uid.clone().unwrap_or_default()
        };
        plan.steps.extend(host.filter(|host| recorded(host)).and_then(|host| service::status_up(&virt, &host)));
        plan
    }

    /// How much longer an address is kept for a Service that is not committed yet.
    fn reserved_for(&self, host: &Service) -> Option<Duration> {
        let since: Timestamp = marks::annotation(&host.metadata, marks::RESERVED).parse().ok()?;
        let age = Duration::try_from(self.now.duration_since(since)).unwrap_or_default();
        RESERVATION.checked_sub(age).filter(|left| !left.is_zero())
    }

    fn slice(&self, namespace: &str, name: &str) -> Plan {
        let virt = self.stores.virt.slices.get(namespace, name);
        let host = self.stores.host.slices.get(&self.config.host_namespace, &self.host_name(namespace, name));
        let decision = match &virt {
            Some(virt) => {
                let service =
                    endpointslice::service_name(virt).and_then(|name| self.stores.virt.services.get(namespace, name));
                endpointslice::to_host(self.config, virt, service.as_deref())
            }
            None => Decision::Delete("it is gone"),
        };
        converge(self.config, Kind::EndpointSlice, &decision, host.as_deref())
    }

    fn claim(&self, namespace: &str, name: &str) -> Plan {
        let virt = self.stores.virt.claims.get(namespace, name);
        let host = self.stores.host.claims.get(&self.config.host_namespace, &self.host_name(namespace, name));
        let Some(virt) = virt else {
            let decision: Decision<k8s_openapi::api::core::v1::PersistentVolumeClaim> = Decision::Delete("it is gone");
            return converge(self.config, Kind::PersistentVolumeClaim, &decision, host.as_deref());
        };
        let spec = virt.spec.as_ref();
        let class = spec.and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default();
        let volume_name = spec.and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        let own_class = self.stores.virt.classes.get("", class).is_some_and(|class| !storageclass::is_mirror(&class));
        let own_volume =
            self.stores.virt.volumes.get("", volume_name).is_some_and(|volume| !volume::is_mirror(&volume));
        let inputs =
            claim::Inputs { host_class: !own_class && self.stores.host.classes.get("", class).is_some(), own_volume };
        let decision = claim::to_host(self.config, &virt, inputs);
        if host.is_none() && matches!(decision, Decision::Sync(_)) && claim::was_bound(&virt) {
            return claim::lost(&virt);
        }
        let mut plan = converge(self.config, Kind::PersistentVolumeClaim, &decision, host.as_deref());
        let recorded = |meta: &ObjectMeta| Some(marks::annotation(meta, marks::UID)) == virt.metadata.uid.as_deref();
        plan.steps
            .extend(host.filter(|host| recorded(host.metadata())).into_iter().flat_map(|host| claim::up(&virt, &host)));
        plan
    }

    fn volume(&self, name: &str) -> Plan {
        let (virt, host) = (&self.stores.virt.volumes, &self.stores.host.volumes);
        if !virt.is_synced() || !host.is_synced() {
            return Plan::after(UNSEEN);
        }
        let host = host.get("", name);
        let claim = host.as_ref().and_then(|host| self.claim_of(volume::claim_name(self.config, host)?));
        volume::plan(virt.get("", name).as_deref(), host.as_deref(), claim.as_ref())
    }

    pub(crate) fn claim_of(&self, host_claim: &str) -> Option<Origin> {
        let claim = self.stores.host.claims.get(&self.config.host_namespace, host_claim)?;
        marks::origin(self.config, &claim.metadata)
    }

    fn class(&self, name: &str) -> Plan {
        let (virt, host) = (&self.stores.virt.classes, &self.stores.host.classes);
        if !virt.is_synced() || !host.is_synced() {
            return Plan::after(UNSEEN);
        }
        storageclass::plan(virt.get("", name).as_deref(), host.get("", name).as_deref())
    }
}
