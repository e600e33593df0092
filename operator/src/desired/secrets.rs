//! The Secrets of a tenant: its keys, and the kubeconfig for people.

use super::{Desired, build};
use crate::observed::Observed;
use crate::{pki, status};
use serde_json::json;

pub fn pki_name(tenant: &str) -> String {
    format!("{tenant}-pki")
}

pub fn kubeconfig_name(tenant: &str) -> String {
    format!("{tenant}-kubeconfig")
}

pub fn objects(observed: &Observed) -> Vec<Desired> {
    let name = observed.name();
    let mut all = Vec::new();
    let Some(authority) = &observed.authority else { return all };
    let keys = json!({"type": "Opaque", "stringData": {
        "ca.crt": authority.ca_cert,
        "ca.key": authority.ca_key,
        "sa.key": authority.service_account_key,
    }});
    all.push(build(observed, "v1", "Secret", "secrets", &pki_name(name), keys));
    let endpoint = status::endpoint(observed).unwrap_or_else(|| status::inside_endpoint(observed));
    if let Some(admin) = &observed.admin {
        let value = pki::kubeconfig(name, &endpoint, &authority.ca_cert, admin);
        let document = json!({"type": "Opaque", "stringData": {"value": value}});
        all.push(build(observed, "v1", "Secret", "secrets", &kubeconfig_name(name), document));
    }
    all
}
