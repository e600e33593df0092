//! The objects that the server itself keeps: the system namespaces, Service default/kubernetes and where it leads, the
//! two system priority classes, the service network (wire contract, section 24), and what its clients must know of it:
//! the authority of client certificates, and since when uses of legacy tokens are noted.
//!
//! It creates what is missing and corrects the addresses and the authority; it never deletes. RBAC's objects come from
//! [`crate::bootstrap`].

use super::Server;
use crate::backend::{Backend, unsealed};
use crate::registry::addresses::claim;
use crate::registry::store::timestamp;
use apimachinery::{GroupResource, Object};
use schema::ServedVersion;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use storage::{Check, Write};

/// Where this server can be reached.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The ClusterIP of Service default/kubernetes.
    pub service: IpAddr,
    /// Addresses that pods can dial, and the port at which the server listens there.
    pub addresses: Vec<IpAddr>,
    pub port: u16,
    /// The range of ServiceCIDR `kubernetes`.
    pub service_cidr: String,
}

impl Endpoint {
    /// `HOST:PORT` of the first address.
    pub fn address(&self) -> String {
        self.addresses.first().map_or_else(String::new, |ip| SocketAddr::new(*ip, self.port).to_string())
    }
}

/// The namespaces of every cluster.
pub const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

impl Server {
    /// Brings the objects up; may run again at any time.
    pub async fn bootstrap(&self, endpoint: &Endpoint) -> Result<(), storage::Error> {
        let now = self.inner.api.store.clock.now();
        for (group, resource, object) in objects(endpoint, &timestamp(now)) {
            let corrected: &[&str] = match resource {
                "endpoints" => &["subsets"],
                "endpointslices" => &["endpoints", "ports"],
                _ => &[],
            };
            self.ensure(&GroupResource::new(group, resource), object, corrected).await?;
        }
        let since = now.strftime("%Y-%m-%d").to_string();
        let tracking = config_map("kube-apiserver-legacy-service-account-token-tracking", &json!({"since": since}));
        self.ensure(&GroupResource::new("", "configmaps"), tracking, &[]).await
    }

    /// Publishes the authority (PEM) of client certificates as `kube-system/extension-apiserver-authentication`, from which
    /// components that serve by themselves learn whom to trust (`pkg/controlplane/controller/clusterauthenticationtrust`).
    pub async fn publish_client_authority(&self, authority: &str) -> Result<(), storage::Error> {
        let map = config_map("extension-apiserver-authentication", &json!({"client-ca-file": authority}));
        self.ensure(&GroupResource::new("", "configmaps"), map, &["data"]).await
    }

    /// Makes an object unless it is there. Only the `corrected` fields are then brought to what they should be; the rest
    /// belongs to whoever administers the cluster.
    async fn ensure(&self, resource: &GroupResource, object: Value, corrected: &[&str]) -> Result<(), storage::Error> {
        let store = &self.inner.api.store;
        let Some(mut object) = Object::from_value(object) else { return Ok(()) };
        let key = Backend::key(resource, object.namespace(), object.name());
        let check = match store.backend.storage.get(&key).await? {
            None => {
                object.set_meta_str("uid", &store.rng.uuid());
                object.set_meta_str("creationTimestamp", &timestamp(store.clock.now()));
                Check::Absent(key.clone())
            }
            Some(stored) => {
                let live = serde_json::from_slice(&stored.body).ok().and_then(Object::from_value).unwrap_or_default();
                if corrected.iter().all(|field| live.as_map().get(*field) == object.as_map().get(*field)) {
                    return Ok(());
                }
                let wanted = std::mem::replace(&mut object, live);
                for field in corrected {
                    if let Some(value) = wanted.as_map().get(*field) {
                        object.as_map_mut().insert((*field).to_owned(), value.clone());
                    }
                }
                Check::At(key.clone(), stored.revision)
            }
        };
        match store.backend.storage.transact(vec![check], vec![Write::Put(key, unsealed(&object))]).await {
            // Another replica was faster.
            Ok(_) | Err(storage::Error::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn objects(endpoint: &Endpoint, now: &str) -> Vec<(&'static str, &'static str, Value)> {
    let mut objects: Vec<_> = NAMESPACES.iter().map(|name| ("", "namespaces", namespace(name))).collect();
    objects.push(("scheduling.k8s.io", "priorityclasses", priority("system-node-critical", 2_000_001_000)));
    objects.push(("scheduling.k8s.io", "priorityclasses", priority("system-cluster-critical", 2_000_000_000)));
    objects.push((
        "networking.k8s.io",
        "servicecidrs",
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
            "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": [endpoint.service_cidr]},
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "", "lastTransitionTime": now,
                "message": "Kubernetes default Service CIDR is ready"}]},
        }),
    ));
    objects.push(("networking.k8s.io", "ipaddresses", claim(endpoint.service, "default", "kubernetes")));
    // Upstream's API registration has none of its own version.
    let local = schema::served().iter().filter(|served| served.group_priority > 0);
    objects.extend(local.map(|served| ("apiregistration.k8s.io", "apiservices", api_service(served, now))));
    let family = if endpoint.service.is_ipv4() { "IPv4" } else { "IPv6" };
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    objects.push((
        "",
        "services",
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {
                "clusterIP": endpoint.service.to_string(), "clusterIPs": [endpoint.service.to_string()],
                "internalTrafficPolicy": "Cluster", "ipFamilies": [family], "ipFamilyPolicy": "SingleStack",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": endpoint.port}],
                "sessionAffinity": "None", "type": "ClusterIP",
            },
            "status": {"loadBalancer": {}},
        }),
    ));
    let addresses: Vec<Value> = endpoint.addresses.iter().map(|ip| json!({"ip": ip.to_string()})).collect();
    objects.push((
        "",
        "endpoints",
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": "kubernetes", "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": addresses,
                "ports": [{"name": "https", "port": endpoint.port, "protocol": "TCP"}]}],
        }),
    ));
    let endpoints: Vec<Value> = endpoint
        .addresses
        .iter()
        .map(|ip| json!({"addresses": [ip.to_string()], "conditions": {"ready": true}}))
        .collect();
    objects.push((
        "discovery.k8s.io",
        "endpointslices",
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "kubernetes", "namespace": "default", "generation": 1,
                "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": family, "endpoints": endpoints,
            "ports": [{"name": "https", "port": endpoint.port, "protocol": "TCP"}],
        }),
    ));
    objects
}

/// A version that the server itself serves, as `kubectl get apiservices` shows it
/// (k8s.io/kube-aggregator `pkg/controllers/autoregister`).
fn api_service(served: &ServedVersion, now: &str) -> Value {
    let mut spec = json!({"version": served.version, "groupPriorityMinimum": served.group_priority,
        "versionPriority": served.version_priority});
    if !served.group.is_empty() {
        spec["group"] = served.group.into();
    }
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("{}.{}", served.version, served.group),
            "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"}},
        "spec": spec,
        "status": {"conditions": [{"type": "Available", "status": "True", "reason": "Local", "lastTransitionTime": now,
            "message": "Local APIServices are always available"}]},
    })
}

fn config_map(name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "kube-system"}, "data": data,
    })
}

fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    })
}

fn priority(name: &str, value: i64) -> Value {
    let which = if name == "system-node-critical" {
        "must not be moved from their current node"
    } else {
        "must run in the cluster, but can be moved to another node if necessary"
    };
    json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": name, "generation": 1}, "value": value, "preemptionPolicy": "PreemptLowerPriority",
        "description": format!("Used for system critical pods that {which}."),
    })
}
