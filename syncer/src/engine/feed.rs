//! What wakes a key: every store's changes, turned into tasks. Carries no data to the workers.

use super::observe::{Observer, SERVICE_ENV};
use super::{Engine, Task};
use crate::kind::Kind;
use crate::reservation::Releases;
use crate::{endpointslice, marks, node, service_env, volume};
use informer::{Event, Store};
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolume, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use tokio::task::JoinSet;

/// Learns what the pods use before anything is decided: a copy that no pod is known to use yet is not for that unused, and
/// taking it away at a restart would take it from a running pod.
pub(super) fn learn(engine: &Engine) {
    for pod in engine.stores.virt.pods.list() {
        engine.virt_pod(&Event { old: None, new: Some(pod) });
    }
}

/// Starts following everything. Subscriptions begin with what is there, so this is also the first look at each object.
pub(super) fn start(engine: &Arc<Engine>, tasks: &mut JoinSet<()>, releases: Option<Releases>) {
    let (virt, host) = (&engine.stores.virt, &engine.stores.host);
    follow(engine, tasks, &virt.pods, Engine::virt_pod);
    follow(engine, tasks, &virt.config_maps, |engine, event| engine.virt_used(Kind::ConfigMap, event));
    follow(engine, tasks, &virt.secrets, |engine, event| engine.virt_used(Kind::Secret, event));
    follow(engine, tasks, &virt.services, Engine::virt_service);
    follow(engine, tasks, &virt.slices, |engine, event| engine.virt_object(Kind::EndpointSlice, event));
    follow(engine, tasks, &virt.claims, |engine, event| engine.virt_object(Kind::PersistentVolumeClaim, event));
    follow(engine, tasks, &virt.volumes, |engine, event| engine.cluster_scoped(Kind::PersistentVolume, event));
    follow(engine, tasks, &virt.classes, |engine, event| engine.cluster_scoped(Kind::StorageClass, event));
    follow(engine, tasks, &virt.nodes, |engine, event| engine.cluster_scoped(Kind::Node, event));
    follow(engine, tasks, &engine.stores.virt_bundles, |engine, _| engine.trust_changed());
    follow(engine, tasks, &host.pods, Engine::host_pod);
    follow(engine, tasks, &host.config_maps, Engine::host_config_map);
    follow(engine, tasks, &host.secrets, Engine::host_secret);
    follow(engine, tasks, &host.services, |engine, event| engine.host_copy(Kind::Service, event));
    follow(engine, tasks, &host.slices, |engine, event| engine.host_copy(Kind::EndpointSlice, event));
    follow(engine, tasks, &host.claims, |engine, event| engine.host_copy(Kind::PersistentVolumeClaim, event));
    follow(engine, tasks, &host.volumes, Engine::host_volume);
    follow(engine, tasks, &host.classes, |engine, event| engine.cluster_scoped(Kind::StorageClass, event));
    follow(engine, tasks, &host.nodes, Engine::host_node);
    tasks.spawn(super::events::relay(engine.clone()));
    if let Some(releases) = releases {
        tasks.spawn(follow_releases(engine.clone(), releases));
    }
}

fn follow<K, F>(engine: &Arc<Engine>, tasks: &mut JoinSet<()>, store: &Store<K>, on_event: F)
where
    K: DeserializeOwned + Send + Sync + 'static,
    F: Fn(&Engine, &Event<K>) + Send + 'static,
{
    let engine = engine.clone();
    let mut subscription = store.subscribe();
    tasks.spawn(async move {
        while let Some(event) = subscription.next().await {
            on_event(&engine, &event);
        }
    });
}

/// A Service was not committed: whether its copy may go is decided by the tenant itself, whose caches may lag.
async fn follow_releases(engine: Arc<Engine>, mut releases: Releases) {
    while let Some((namespace, name)) = releases.next().await {
        let path = Kind::Service.path(&namespace, &name, "");
        let is_absent = engine.performer.virt.get(&path).await.is_err_and(|error| error.code() == 404);
        if is_absent {
            let host_name = crate::names::host_name(&name, &namespace, &engine.config.tenant);
            let path = Kind::Service.path(&engine.config.host_namespace, &host_name, "");
            if let Err(error) = engine.performer.host.delete(&path, "", None).await
                && error.code() != 404
            {
                tracing::warn!(namespace, name, error = %error.message(), "a reserved address could not be given back");
            }
        }
        engine.queue.add(Task::object(Kind::Service, &namespace, &name));
    }
}

fn names<K: Metadata<Ty = ObjectMeta>>(object: &K) -> (&str, &str) {
    let meta = object.metadata();
    (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

impl Engine {
    fn virt_object<K: Metadata<Ty = ObjectMeta>>(&self, kind: Kind, event: &Event<K>) {
        if let Some(object) = event.latest() {
            let (namespace, name) = names(&**object);
            self.queue.add(Task::object(kind, namespace, name));
        }
    }

    fn cluster_scoped<K: Metadata<Ty = ObjectMeta>>(&self, kind: Kind, event: &Event<K>) {
        self.virt_object(kind, event);
    }

    /// ConfigMaps and Secrets: most are of no concern to the host.
    fn virt_used<K: Metadata<Ty = ObjectMeta>>(&self, kind: Kind, event: &Event<K>) {
        let Some(object) = event.latest() else { return };
        let (namespace, name) = names(&**object);
        let users = self.references.lock().unwrap_or_else(PoisonError::into_inner).users(kind, namespace, name);
        if !users.is_empty() {
            self.queue.add(Task::object(kind, namespace, name));
        }
    }

    fn virt_pod(&self, event: &Event<Pod>) {
        let Some(pod) = event.latest() else { return };
        let (namespace, name) = names(&**pod);
        let key = (namespace.to_owned(), name.to_owned());
        let uses = if event.new.is_some() { self.uses(pod) } else { BTreeSet::new() };
        let changed = self.references.lock().unwrap_or_else(PoisonError::into_inner).set(&key, uses);
        self.queue.add(Task::Object(Kind::Pod, key));
        for (kind, name) in changed {
            match kind {
                Kind::Service => self.queue.add(Task::ServiceEnv(namespace.to_owned())),
                // What is read of these is the pod's own business.
                Kind::ClusterTrustBundle => {}
                kind => self.queue.add(Task::object(kind, namespace, &name)),
            }
        }
    }

    /// What a pod needs on the host while it is bound to one of the host's nodes.
    fn uses(&self, pod: &Pod) -> BTreeSet<crate::references::Reference> {
        let Some(spec) = &pod.spec else { return BTreeSet::new() };
        let node = spec.node_name.as_deref().unwrap_or_default();
        if node.is_empty() || !self.is_host_node(node) {
            return BTreeSet::new();
        }
        let mut uses = crate::pod::uses(&self.config, pod);
        // Claims are synced for themselves, in use or not.
        uses.retain(|(kind, _)| *kind != Kind::PersistentVolumeClaim);
        if crate::pod::trust::asks(pod) {
            uses.insert((Kind::ClusterTrustBundle, String::new()));
        }
        if spec.enable_service_links.unwrap_or(true) {
            uses.insert((Kind::Service, SERVICE_ENV.to_owned()));
        }
        uses
    }

    fn is_host_node(&self, name: &str) -> bool {
        let observer = Observer {
            config: &self.config,
            stores: &self.stores,
            references: &self.references,
            gone: &self.gone,
            now: self.clock.now(),
        };
        observer.is_host_node(name)
    }

    fn virt_service(&self, event: &Event<Service>) {
        let Some(service) = event.latest() else { return };
        let (namespace, name) = names(&**service);
        self.queue.add(Task::object(Kind::Service, namespace, name));
        self.queue.add(Task::ServiceEnv(namespace.to_owned()));
        if (namespace, name) == ("default", "kubernetes") {
            for config_map in self.stores.host.config_maps.list() {
                self.service_env_of(&config_map.metadata);
            }
        }
        // Whether slices go down depends on the Service's selector.
        for slice in self.stores.virt.slices.list_in(namespace) {
            if endpointslice::service_name(&slice) == Some(name) {
                let (namespace, name) = names::<EndpointSlice>(&slice);
                self.queue.add(Task::object(Kind::EndpointSlice, namespace, name));
            }
        }
    }

    fn host_copy<K: Metadata<Ty = ObjectMeta>>(&self, kind: Kind, event: &Event<K>) {
        if let Some(key) = event.latest().and_then(|object| self.origin_key(object.metadata())) {
            self.queue.add(Task::Object(kind, key));
        }
    }

    fn host_pod(&self, event: &Event<Pod>) {
        let Some(pod) = event.latest() else { return };
        let Some(key) = self.origin_key(&pod.metadata) else { return };
        if event.new.is_none() {
            self.gone.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), pod.clone());
        }
        self.queue.add(Task::Object(Kind::Pod, key));
    }

    /// Which bundles a pod reads is for labels to say, so a change of one concerns all of those pods.
    fn trust_changed(&self) {
        let readers =
            self.references.lock().unwrap_or_else(PoisonError::into_inner).users_of_kind(Kind::ClusterTrustBundle);
        for key in readers {
            self.queue.add(Task::Object(Kind::Pod, key));
        }
    }

    /// A ConfigMap that serves a pod wakes the pod, one that serves a namespace wakes that; any other is the copy of the
    /// tenant's.
    fn host_config_map(&self, event: &Event<ConfigMap>) {
        let Some(config_map) = event.latest() else { return };
        let has_role = config_map.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(marks::ROLE));
        self.host_copy(if has_role { Kind::Pod } else { Kind::ConfigMap }, event);
        self.service_env_of(&config_map.metadata);
    }

    /// Wakes the service variables that a host ConfigMap of ours holds.
    fn service_env_of(&self, meta: &ObjectMeta) {
        let label = |key: &str| meta.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
        if label(marks::TENANT) == Some(&self.config.tenant) && label(marks::ROLE) == Some(service_env::ROLE) {
            self.queue.add(Task::ServiceEnv(label(marks::NAMESPACE).unwrap_or_default().to_owned()));
        }
    }

    /// A Secret with a pod's tokens wakes the pod; any other is the copy of the tenant's.
    fn host_secret(&self, event: &Event<Secret>) {
        let Some(secret) = event.latest() else { return };
        let has_role = secret.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(marks::ROLE));
        self.host_copy(if has_role { Kind::Pod } else { Kind::Secret }, event);
    }

    fn host_volume(&self, event: &Event<PersistentVolume>) {
        let Some(volume) = event.latest() else { return };
        // Most of the host's volumes are nobody's business here.
        let (_, name) = names(&**volume);
        let is_ours = volume::claim_name(&self.config, volume).is_some();
        if is_ours || self.stores.virt.volumes.get("", name).is_some() {
            self.queue.add(Task::object(Kind::PersistentVolume, "", name));
        }
    }

    fn host_node(&self, event: &Event<Node>) {
        self.cluster_scoped(Kind::Node, event);
        let (None, Some(node)) = (&event.old, &event.new) else { return };
        // Pods may have been waiting for the node to come into view.
        let (_, name) = names(&**node);
        for pod in self.stores.virt.pods.list() {
            if pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(name) {
                self.virt_pod(&Event { old: None, new: Some(pod) });
            }
        }
        let lost = self.stores.virt.nodes.get("", name).is_some_and(|virt| !node::is_mirror(&virt));
        if lost {
            tracing::info!(node = name, "a node of the tenant hides the host's of the same name");
        }
    }
}
