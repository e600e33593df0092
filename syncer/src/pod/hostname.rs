//! A pod's host name on the host: what the tenant's kubelet would have set (`GeneratePodHostNameAndDomain`).
//!
//! The host's kubelet would derive the domain from the host namespace, so `subdomain` does not go down. Lost with it:
//! the fully qualified name in the pod's own /etc/hosts (the tenant's DNS answers for it instead), and thus the output
//! of `hostname -f`. `setHostnameAsFQDN` is kept by naming the host outright.

use crate::Config;
use k8s_openapi::api::core::v1::PodSpec;

/// Longest label of a host name.
const LABEL: usize = 63;

/// Rewrites the naming fields of the pod `namespace/name`.
pub(crate) fn translate(config: &Config, namespace: &str, name: &str, spec: &mut PodSpec) {
    let subdomain = spec.subdomain.take().filter(|subdomain| !subdomain.is_empty());
    let as_full_name = spec.set_hostname_as_fqdn.take().unwrap_or(false);
    if spec.host_network.unwrap_or(false) || spec.hostname_override.is_some() {
        return;
    }
    let hostname = spec.hostname.take().filter(|hostname| !hostname.is_empty());
    let hostname = truncated(&hostname.unwrap_or_else(|| name.to_owned()));
    let full_name = match subdomain {
        Some(subdomain) if as_full_name => format!("{hostname}.{subdomain}.{namespace}.svc.{}", config.cluster_domain),
        _ => hostname,
    };
    if full_name.contains('.') {
        // Longer than the kernel takes: upstream's kubelet refuses to start such a pod, the host's API refuses it here.
        spec.hostname_override = Some(full_name);
    } else {
        spec.hostname = Some(full_name);
    }
}

/// `truncatePodHostnameIfNeeded` of the kubelet.
fn truncated(hostname: &str) -> String {
    if hostname.len() <= LABEL {
        return hostname.to_owned();
    }
    hostname.chars().take(LABEL).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn translated(name: &str, spec: Value) -> Value {
        let config = Config { cluster_domain: "cluster.local".into(), ..Config::default() };
        let mut full = json!({"containers": []});
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let mut spec: PodSpec = serde_json::from_value(full).unwrap();
        translate(&config, "ns", name, &mut spec);
        let mut rest = serde_json::to_value(spec).unwrap();
        rest.as_object_mut().unwrap().remove("containers");
        rest
    }

    #[test]
    fn the_host_name_is_the_tenants() {
        assert_eq!(translated("web-0", json!({})), json!({"hostname": "web-0"}));
        assert_eq!(translated("web-0", json!({"hostname": "a", "subdomain": "b"})), json!({"hostname": "a"}));
        assert_eq!(translated("a.b", json!({})), json!({"hostnameOverride": "a.b"}));
        let long = format!("{}-.{}", "a".repeat(61), "b".repeat(20));
        assert_eq!(translated(&long, json!({})), json!({"hostname": "a".repeat(61)}));
    }

    #[test]
    fn the_full_name_is_spelled_out() {
        let spec = json!({"hostname": "a", "subdomain": "b", "setHostnameAsFQDN": true});
        assert_eq!(translated("p", spec), json!({"hostnameOverride": "a.b.ns.svc.cluster.local"}));
        assert_eq!(translated("p", json!({"setHostnameAsFQDN": true})), json!({"hostname": "p"}));
    }

    #[test]
    fn a_name_that_the_user_fixed_stays() {
        assert_eq!(translated("p", json!({"hostnameOverride": "x.y"})), json!({"hostnameOverride": "x.y"}));
        assert_eq!(translated("p", json!({"hostNetwork": true})), json!({"hostNetwork": true}));
    }
}
