//! Addresses of Services, decided once: the host reserves before the tenant's API server commits.
//!
//! Reserving is applying the host copy, since only a Service holds an address; the copy is marked as reserved until
//! the engine sees the committed Service. A commit that fails is undone by [`HostServices::release`]; if even that is
//! lost, the mark expires. A dry run asks the host for a dry run and leaves nothing.

use crate::engine::remote::{Error as RemoteError, Remote};
use crate::kind::Kind;
use crate::{Config, Decision, marks, service};
use apimachinery::clock::Clock;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Why the host gave no address.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the Service cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The host's answer; `code` is its HTTP status, 0 when the host was not reached.
    #[error("{message}")]
    Host { code: u16, message: String },
}

/// Reserves on the host what a Service of the tenant needs.
pub struct HostServices {
    config: Config,
    host: Remote,
    clock: Arc<dyn Clock>,
    released: mpsc::UnboundedSender<(String, String)>,
}

/// Services whose commit failed or that were deleted, on their way to the engine.
pub struct Releases(mpsc::UnboundedReceiver<(String, String)>);

impl Releases {
    pub(crate) async fn next(&mut self) -> Option<(String, String)> {
        self.0.recv().await
    }
}

impl HostServices {
    pub fn new(config: Config, host: kube::Client, clock: Arc<dyn Clock>) -> (Self, Releases) {
        let (released, receiver) = mpsc::unbounded_channel();
        (Self { config, host: Remote::new(host), clock, released }, Releases(receiver))
    }

    /// The `spec` to commit: that of `service` with addresses, families and node ports filled in. For Services that
    /// need no address on the host it is the spec as it came, headless ones with their families.
    pub async fn reserve(&self, service: &Value, dry_run: bool) -> Result<Value, Error> {
        let typed: Service = serde_json::from_value(service.clone())?;
        let wanted = match service::to_host(&self.config, &typed) {
            Decision::Sync(wanted) => wanted,
            Decision::Skip(_) | Decision::Delete(_) => return Ok(self.without_address(&service["spec"])),
        };
        let mut wanted = json!(wanted);
        wanted["metadata"]["annotations"][marks::RESERVED] = self.clock.now().to_string().into();
        let path = self.path(wanted["metadata"]["name"].as_str().unwrap_or_default());
        let uid = typed.metadata.uid.unwrap_or_default();
        let mut answer = self.host.apply(&path, dry_run, &wanted).await;
        if !dry_run
            && answer.as_ref().is_err_and(|error| error.code() == 422)
            && self.remove_predecessor(&path, &uid).await
        {
            answer = self.host.apply(&path, dry_run, &wanted).await;
        }
        let host = answer.map_err(|error| explained(&typed.metadata.name.clone().unwrap_or_default(), &error))?;
        Ok(filled(&service["spec"], &host["spec"]))
    }

    /// To be called after a failed commit and after a deletion. The engine asks the tenant whether the Service exists
    /// and gives the address back if it does not.
    pub fn release(&self, namespace: &str, name: &str) {
        if self.released.send((namespace.to_owned(), name.to_owned())).is_err() {
            tracing::debug!(namespace, name, "nobody gives addresses back any more");
        }
    }

    fn path(&self, host_name: &str) -> String {
        Kind::Service.path(&self.config.host_namespace, host_name, "")
    }

    /// A copy that still belongs to a deleted Service of the same name has an address of its own and must go first.
    async fn remove_predecessor(&self, path: &str, uid: &str) -> bool {
        let Ok(live) = self.host.get(path).await else { return false };
        let recorded = live["metadata"]["annotations"][marks::UID].as_str().unwrap_or_default();
        let is_ours = live["metadata"]["labels"][marks::TENANT] == self.config.tenant.as_str();
        if !is_ours || recorded == uid {
            return false;
        }
        let host_uid = live["metadata"]["uid"].as_str().unwrap_or_default();
        self.host.delete(path, host_uid, None).await.is_ok()
    }

    fn without_address(&self, spec: &Value) -> Value {
        let mut spec = spec.clone();
        if spec["clusterIP"] == "None" {
            let is_v6 = self.config.api_addresses.first().is_some_and(|address| address.contains(':'));
            let family = if is_v6 { "IPv6" } else { "IPv4" };
            default(&mut spec, "clusterIPs", json!(["None"]));
            default(&mut spec, "ipFamilies", json!([family]));
            default(&mut spec, "ipFamilyPolicy", json!("SingleStack"));
        }
        spec
    }
}

/// The host's words with the host's names taken out.
fn explained(name: &str, error: &RemoteError) -> Error {
    let message = error.message();
    // Upstream's messages begin with the kind and the host's name of the object; the reason follows.
    let reason = message.split_once(": ").map_or(message.as_str(), |(_, reason)| reason);
    Error::Host { code: error.code(), message: format!("Service \"{name}\": {reason}") }
}

fn default(spec: &mut Value, field: &str, value: Value) {
    if spec[field].is_null() {
        spec[field] = value;
    }
}

/// The tenant's spec with what the host allocated.
fn filled(virt: &Value, host: &Value) -> Value {
    let mut spec = virt.clone();
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"] {
        if !host[field].is_null() {
            spec[field] = host[field].clone();
        }
    }
    let host_ports = host["ports"].as_array().cloned().unwrap_or_default();
    let same = |a: &Value, b: &Value| {
        let protocol = |port: &Value| port["protocol"].as_str().unwrap_or("TCP").to_owned();
        a["port"] == b["port"] && protocol(a) == protocol(b)
    };
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        match host_ports.iter().find(|host| same(host, port)).map(|host| &host["nodePort"]) {
            Some(node_port) if !node_port.is_null() => port["nodePort"] = node_port.clone(),
            _ => {}
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_allocated_is_filled_in() {
        let virt = json!({"type": "NodePort", "selector": {"a": "b"}, "ports": [
            {"port": 53, "protocol": "UDP", "targetPort": 5353}, {"port": 53, "protocol": "TCP"},
        ]});
        let host = json!({
            "type": "NodePort", "selector": {"a": "b", "coracle.dev/tenant": "t"}, "clusterIP": "10.0.0.7",
            "clusterIPs": ["10.0.0.7"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [
                {"port": 53, "protocol": "TCP", "nodePort": 30001, "targetPort": 53},
                {"port": 53, "protocol": "UDP", "nodePort": 30002, "targetPort": 5353},
            ],
        });
        let expected = json!({
            "type": "NodePort", "selector": {"a": "b"}, "clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [
                {"port": 53, "protocol": "UDP", "targetPort": 5353, "nodePort": 30002},
                {"port": 53, "protocol": "TCP", "nodePort": 30001},
            ],
        });
        assert_eq!(filled(&virt, &host), expected);
    }
}
