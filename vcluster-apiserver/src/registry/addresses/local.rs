//! Addresses for a cluster without a host: the first free address of the range, the first free node port.
//!
//! What is taken is read from the Services themselves, so there is nothing to repair. The choice of an address is
//! guarded by a check on an `IPAddress` object that the same transaction creates; two Services can never share one.

use super::ServiceAddresses;
use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::clock::Rng;
use apimachinery::field::{FieldError, Path};
use apimachinery::{GroupResource, GroupVersionKind, Object, Status};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use storage::{Check, Write};

/// The ranges to choose from.
#[derive(Clone, Debug)]
pub struct Network {
    pub service_cidr: ipnet::IpNet,
    /// First and last node port.
    pub node_ports: (u16, u16),
}

impl Network {
    /// The address of Service default/kubernetes: the first of the range.
    pub fn first(&self) -> Option<IpAddr> {
        self.service_cidr.hosts().next()
    }
}

/// See the module.
#[derive(Clone)]
pub struct Local {
    pub network: Network,
    /// For the uids of the claims.
    pub rng: Arc<dyn Rng>,
}

fn services() -> GroupResource {
    GroupResource::new("", "services")
}

fn addresses() -> GroupResource {
    GroupResource::new("networking.k8s.io", "ipaddresses")
}

fn wants_address(service: &Object) -> bool {
    service.text_at(&["spec", "type"]) != "ExternalName"
}

fn wants_ports(service: &Object) -> bool {
    match service.text_at(&["spec", "type"]) {
        "NodePort" => true,
        "LoadBalancer" => {
            service.at(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool).unwrap_or(true)
        }
        _ => false,
    }
}

/// Whether nodes answer on a port of its own whether they have an endpoint.
fn wants_health_port(service: &Object) -> bool {
    service.text_at(&["spec", "type"]) == "LoadBalancer"
        && service.text_at(&["spec", "externalTrafficPolicy"]) == "Local"
}

fn health_port(service: &Object) -> Option<u16> {
    service.at(&["spec", "healthCheckNodePort"]).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())
}

fn ports(service: &Object) -> impl Iterator<Item = u16> {
    let health = health_port(service).filter(|port| *port != 0);
    let list = service.at(&["spec", "ports"]).and_then(Value::as_array).into_iter().flatten();
    let own = list.filter_map(|p| p.get("nodePort").and_then(Value::as_u64)).filter_map(|p| u16::try_from(p).ok());
    own.chain(health)
}

fn invalid(service: &Object, field: &Path, value: impl Into<Value>, why: &str) -> Status {
    let kind = GroupVersionKind::new("", "v1", "Service");
    Status::invalid(&kind, service.name(), &[FieldError::invalid(field, value, why)])
}

impl Local {
    async fn taken(&self, backend: &Backend, but: &Object) -> Result<(BTreeSet<IpAddr>, BTreeSet<u16>), Status> {
        let all = backend.objects(&services(), None).await.map_err(|e| Status::internal(e.to_string()))?;
        let others = all.iter().filter(|s| (s.namespace(), s.name()) != (but.namespace(), but.name()));
        let (mut ips, mut node_ports) = (BTreeSet::new(), BTreeSet::new());
        for other in others {
            ips.extend(other.text_at(&["spec", "clusterIP"]).parse::<IpAddr>().ok());
            node_ports.extend(ports(other));
        }
        Ok((ips, node_ports))
    }

    /// A rehearsal does not ask whether the address is taken: upstream's allocator only knows when it takes it.
    fn address(&self, service: &Object, taken: &BTreeSet<IpAddr>, dry_run: bool) -> Result<Option<IpAddr>, Status> {
        let asked = service.text_at(&["spec", "clusterIP"]);
        let field = Path::new("spec").child("clusterIPs");
        if asked == "None" {
            return Ok(None);
        }
        if asked.is_empty() {
            // Upstream keeps the lower part of the range for addresses that users choose.
            let hosts = || self.network.service_cidr.hosts().skip(1);
            let free =
                hosts().skip(16).find(|ip| !taken.contains(ip)).or_else(|| hosts().find(|ip| !taken.contains(ip)));
            return free.map(Some).ok_or_else(|| {
                Status::internal(format!(
                    "failed to allocate a serviceIP: range is full: {}",
                    self.network.service_cidr
                ))
            });
        }
        let why = |why: &str| invalid(service, &field.index(0), json!([asked]), why);
        let address: IpAddr = asked.parse().map_err(|_| why("must be a valid IP address"))?;
        if !self.network.service_cidr.contains(&address) {
            let text = format!(
                "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of \
                 valid IPs is {}",
                self.network.service_cidr
            );
            return Err(why(&text));
        }
        if taken.contains(&address) && !dry_run {
            return Err(why(&format!("failed to allocate IP {address}: provided IP is already allocated")));
        }
        Ok(Some(address))
    }

    fn assign_ports(&self, service: &mut Object, taken: &mut BTreeSet<u16>) -> Result<(), Status> {
        let (first, last) = self.network.node_ports;
        let snapshot = service.clone();
        let list = service.as_map_mut().get_mut("spec").and_then(|s| s.get_mut("ports")).and_then(Value::as_array_mut);
        let mut mine: Vec<(u16, String)> = Vec::new();
        for (index, port) in list.into_iter().flatten().enumerate() {
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP").to_owned();
            let asked = port.get("nodePort").and_then(Value::as_u64).unwrap_or(0);
            let number = if asked == 0 {
                (first..=last)
                    .find(|p| !taken.contains(p))
                    .ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))?
            } else {
                let field = Path::new("spec").child("ports").index(index).child("nodePort");
                let port = u16::try_from(asked).ok().filter(|p| (first..=last).contains(p)).ok_or_else(|| {
                    let why =
                        format!("provided port is not in the valid range. The range of valid ports is {first}-{last}");
                    invalid(&snapshot, &field, asked, &why)
                })?;
                let again = mine.iter().any(|(p, other)| *p == port && *other != protocol);
                if taken.contains(&port) && !again {
                    return Err(invalid(&snapshot, &field, asked, "provided port is already allocated"));
                }
                port
            };
            taken.insert(number);
            mine.push((number, protocol));
            if let Some(port) = port.as_object_mut() {
                port.insert("nodePort".into(), number.into());
            }
        }
        Ok(())
    }
}

/// The object that makes an address one Service's own (k8s.io/kubernetes `pkg/registry/core/service/ipallocator`).
pub fn claim(address: IpAddr, namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {
            "name": address.to_string(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": if address.is_ipv4() { "IPv4" } else { "IPv6" },
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}},
    })
}

#[async_trait]
impl ServiceAddresses for Local {
    async fn reserve(
        &self,
        _: &RequestCx,
        backend: &Backend,
        service: &mut Object,
        old: Option<&Object>,
        dry_run: bool,
        transaction: &mut Transaction,
    ) -> Result<(), Status> {
        let (ips, mut node_ports) = self.taken(backend, service).await?;
        let held = old.map(|o| o.text_at(&["spec", "clusterIP"]).to_owned()).unwrap_or_default();
        if wants_address(service) {
            if service.text_at(&["spec", "clusterIP"]).is_empty() && !held.is_empty() {
                service.set_at(&["spec", "clusterIP"], held.clone().into());
            }
            let keeps = !held.is_empty() && service.text_at(&["spec", "clusterIP"]) == held;
            if !keeps && let Some(address) = self.address(service, &ips, dry_run)? {
                service.set_at(&["spec", "clusterIP"], address.to_string().into());
                let claim = claim(address, service.namespace(), service.name());
                let mut object = Object::from_value(claim).unwrap_or_default();
                object.set_meta_str("creationTimestamp", service.meta_str("creationTimestamp"));
                object.set_meta_str("uid", &self.rng.uuid());
                let key = Backend::key(&addresses(), "", object.name());
                if !dry_run {
                    transaction.checks.push(Check::Absent(key));
                    transaction.writes.push(Backend::put(&addresses(), &object));
                }
            }
            let first = service.text_at(&["spec", "clusterIP"]).to_owned();
            service.set_at(&["spec", "clusterIPs"], json!([first]));
            let family = if first.contains(':') || (first == "None" && self.network.service_cidr.addr().is_ipv6()) {
                "IPv6"
            } else {
                "IPv4"
            };
            // Nobody knows what stands behind a name without a selector: it may be of both families.
            let open =
                service.at(&["spec", "selector"]).and_then(Value::as_object).is_none_or(serde_json::Map::is_empty);
            if first == "None" && open {
                if service.at(&["spec", "ipFamilyPolicy"]).is_none() {
                    service.set_at(&["spec", "ipFamilyPolicy"], "RequireDualStack".into());
                }
                let other = if family == "IPv4" { "IPv6" } else { "IPv4" };
                if service.at(&["spec", "ipFamilies"]).is_none()
                    && service.text_at(&["spec", "ipFamilyPolicy"]) != "SingleStack"
                {
                    service.set_at(&["spec", "ipFamilies"], json!([family, other]));
                }
            }
            if service.at(&["spec", "ipFamilies"]).is_none() {
                service.set_at(&["spec", "ipFamilies"], json!([family]));
            }
            if service.at(&["spec", "ipFamilyPolicy"]).is_none() {
                service.set_at(&["spec", "ipFamilyPolicy"], "SingleStack".into());
            }
        }
        if wants_ports(service) {
            self.assign_ports(service, &mut node_ports)?;
        }
        if wants_health_port(service) && health_port(service).is_none_or(|port| port == 0) {
            let (first, last) = self.network.node_ports;
            let held = old.filter(|old| wants_health_port(old)).and_then(health_port).filter(|port| *port != 0);
            let free = || (first..=last).find(|port| !node_ports.contains(port));
            let port =
                held.or_else(free).ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))?;
            service.set_at(&["spec", "healthCheckNodePort"], port.into());
        }
        if let Some(old) = old
            && !held.is_empty()
            && service.text_at(&["spec", "clusterIP"]) != held
            && !dry_run
            && let Ok(Some(address)) = backend.object(&addresses(), "", &held).await
            && old.uid() == service.uid()
        {
            let key = Backend::key(&addresses(), "", &held);
            transaction.writes.push(Write::Delete(key, crate::backend::unsealed(&address)));
        }
        Ok(())
    }

    async fn release(&self, backend: &Backend, service: &Object, keeps: Option<&Object>) {
        let held = service.text_at(&["spec", "clusterIP"]);
        if held.is_empty() || held == "None" || keeps.is_some_and(|k| k.text_at(&["spec", "clusterIP"]) == held) {
            return;
        }
        let Ok(Some(address)) = backend.object(&addresses(), "", held).await else { return };
        let parent =
            |field: &str| address.at(&["spec", "parentRef", field]).and_then(Value::as_str).unwrap_or_default();
        if (parent("namespace"), parent("name")) != (service.namespace(), service.name()) {
            return;
        }
        let write = Write::Delete(Backend::key(&addresses(), "", held), crate::backend::unsealed(&address));
        if let Err(error) = backend.storage.transact(Vec::new(), vec![write]).await {
            tracing::debug!(%error, address = held, "the address of a deleted service was released before");
        }
    }
}
