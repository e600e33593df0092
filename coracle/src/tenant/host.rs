//! What a tenant finds out about its host at the start: the Service in front of it.

use super::Args;
use crate::apiserver::pki::service_names;
use anyhow::Context as _;
use apimachinery::GroupVersionResource;
use futures::TryStreamExt as _;
use informer::{HttpSource, Informers, Scope};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use operator::desired::service::DNS_PORT;
use serde_json::json;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

/// The host cluster as one tenant sees it.
#[derive(Clone)]
pub struct Host {
    pub client: Client,
    pub namespace: String,
    /// ClusterIP of the Service in front of the tenant: its API and its DNS.
    pub address: IpAddr,
    /// Selects the host nodes that the tenant sees.
    node_selector: Option<String>,
    service: Arc<Service>,
}

impl Host {
    /// Waits for the tenant's Service to have an address.
    pub async fn find(args: &Args) -> anyhow::Result<Self> {
        let config = crate::cluster::config(None).await.context("no host cluster")?;
        let client = Client::try_from(config).context("the host cluster cannot be used")?;
        let services: Api<Service> = Api::namespaced(client.clone(), &args.namespace);
        let only = watcher::Config::default().fields(&format!("metadata.name={}", args.name));
        let mut states = pin!(watcher(services, only).default_backoff().applied_objects());
        loop {
            let service = states.try_next().await.context("the tenant's Service cannot be read")?;
            let service = service.context("the watch of the tenant's Service ended")?;
            let ip = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()?.parse().ok());
            if let Some(address) = ip {
                let node_selector = (!args.node_selector.is_empty()).then(|| args.node_selector.join(","));
                let service = Arc::new(service);
                return Ok(Self { client, namespace: args.namespace.clone(), address, node_selector, service });
            }
        }
    }

    /// Every name and address that clients dial.
    pub fn certificate_names(&self, args: &Args) -> Vec<String> {
        let (name, namespace) = (&args.name, &args.namespace);
        let mut names = service_names(&args.cluster_domain);
        names.extend([name.clone(), format!("{name}.{namespace}"), format!("{name}.{namespace}.svc")]);
        names.push(format!("{name}.{namespace}.svc.cluster.local"));
        names.extend([self.address.to_string(), args.pod_ip.to_string()]);
        names.extend(args.extra_names.iter().cloned());
        let balancer = self.service.status.as_ref().and_then(|s| s.load_balancer.as_ref()?.ingress.clone());
        names.extend(balancer.into_iter().flatten().flat_map(|i| [i.hostname, i.ip]).flatten());
        names.dedup();
        names
    }

    /// The range that the tenant shows as its own: its addresses are the host's, whose range nobody tells.
    pub fn service_range(&self) -> String {
        match self.address {
            IpAddr::V4(address) => {
                let [a, b, ..] = address.octets();
                format!("{a}.{b}.0.0/16")
            }
            IpAddr::V6(address) => {
                let mut segments = address.segments();
                segments[7] = 0;
                format!("{}/112", std::net::Ipv6Addr::from(segments))
            }
        }
    }

    pub fn syncer_config(&self, args: &Args, ca_bundle: &str) -> syncer::Config {
        let owner = OwnerReference {
            api_version: "v1".into(),
            kind: "Service".into(),
            name: args.name.clone(),
            uid: self.service.uid().unwrap_or_default(),
            ..OwnerReference::default()
        };
        syncer::Config {
            tenant: args.name.clone(),
            host_namespace: args.namespace.clone(),
            api_addresses: vec![self.address.to_string()],
            dns_addresses: vec![self.address.to_string()],
            cluster_domain: args.cluster_domain.clone(),
            ca_pem: ca_bundle.to_owned(),
            owner: Some(owner),
            ..syncer::Config::default()
        }
    }

    /// Caches of the host: the tenant's namespace, and of the whole host only what is mirrored.
    pub fn informers(&self) -> Informers {
        let own = Scope { namespace: Some(self.namespace.clone()), ..Scope::default() };
        let whole = |group: &str, resource: &str| (GroupVersionResource::new(group, "v1", resource), Scope::default());
        let mut source = HttpSource::new(self.client.clone()).scoped(own);
        for (resource, scope) in [
            whole("", "persistentvolumes"),
            whole("storage.k8s.io", "storageclasses"),
            whole("node.k8s.io", "runtimeclasses"),
        ] {
            source = source.scope_for(resource, scope);
        }
        let nodes = Scope { label_selector: self.node_selector.clone(), ..Scope::default() };
        source = source.scope_for(GroupVersionResource::new("", "v1", "nodes"), nodes);
        Informers::new(Arc::new(source))
    }

    /// Service kube-system/kube-dns: the name under which clients look for DNS.
    pub async fn ensure_dns_service(&self, tenant: &Client) -> anyhow::Result<()> {
        let address = self.address.to_string();
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "kube-dns", "labels": {
                "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}},
            "spec": {
                "clusterIP": address,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": DNS_PORT},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": DNS_PORT},
                ],
            },
        }))?;
        let services: Api<Service> = Api::namespaced(tenant.clone(), "kube-system");
        match services.create(&PostParams::default(), &service).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error).context("Service kube-dns cannot be written"),
        }
    }
}
