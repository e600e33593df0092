//! A pod's DNS on the host: the tenant's DNS and search path, written out as the kubelet of the tenant would have.
//!
//! The rules are those of the kubelet's `pkg/kubelet/network/dns`. One thing is lost: a kubelet appends the search
//! domains of its node's own resolv.conf, which nobody but it knows.

use crate::Config;
use k8s_openapi::api::core::v1::{PodDNSConfig, PodDNSConfigOption, PodSpec};

/// What validation of the host lets pass.
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARACTERS: usize = 2048;

/// Rewrites policy and config of a pod of `namespace`.
pub(crate) fn translate(config: &Config, namespace: &str, spec: &mut PodSpec) {
    let on_host_network = spec.host_network.unwrap_or(false);
    let tenants_dns = match spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
        "ClusterFirst" if on_host_network => {
            // The kubelet gives these pods the node's DNS; saying so keeps the host's kubelet from another reading.
            spec.dns_policy = Some("Default".into());
            false
        }
        "ClusterFirst" | "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    if !tenants_dns || config.dns_addresses.is_empty() {
        return;
    }
    let user = spec.dns_config.take().unwrap_or_default();
    let domain = &config.cluster_domain;
    let mut nameservers = config.dns_addresses.clone();
    let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    extend(&mut nameservers, user.nameservers);
    extend(&mut searches, user.searches);
    nameservers.truncate(MAX_NAMESERVERS);
    limit_searches(&mut searches);
    spec.dns_policy = Some("None".into());
    spec.dns_config = Some(PodDNSConfig {
        nameservers: Some(nameservers),
        searches: Some(searches),
        options: Some(options(user.options.unwrap_or_default())),
    });
}

fn extend(list: &mut Vec<String>, more: Option<Vec<String>>) {
    for item in more.unwrap_or_default() {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

fn limit_searches(searches: &mut Vec<String>) {
    searches.truncate(MAX_SEARCHES);
    let joined = |searches: &[String]| searches.iter().map(|search| search.len() + 1).sum::<usize>();
    while joined(searches) > MAX_SEARCH_CHARACTERS + 1 {
        searches.pop();
    }
}

/// The kubelet's `ndots:5`, unless the user says otherwise.
fn options(user: Vec<PodDNSConfigOption>) -> Vec<PodDNSConfigOption> {
    let ndots = PodDNSConfigOption { name: Some("ndots".into()), value: Some("5".into()) };
    let mut options: Vec<PodDNSConfigOption> = vec![ndots];
    for option in user {
        options.retain(|known| known.name != option.name);
        options.push(option);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn translated(spec: Value) -> Value {
        let config = Config {
            dns_addresses: vec!["10.0.0.10".into()],
            cluster_domain: "cluster.local".into(),
            ..Config::default()
        };
        let mut full = json!({"containers": []});
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let mut spec: PodSpec = serde_json::from_value(full).unwrap();
        translate(&config, "ns", &mut spec);
        json!({"dnsPolicy": spec.dns_policy, "dnsConfig": spec.dns_config})
    }

    #[test]
    fn cluster_first_becomes_the_tenants_dns() {
        let config = json!({
            "nameservers": ["10.0.0.10"],
            "searches": ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local"],
            "options": [{"name": "ndots", "value": "5"}],
        });
        let expected = json!({"dnsPolicy": "None", "dnsConfig": config});
        assert_eq!(translated(json!({"dnsPolicy": "ClusterFirst"})), expected);
        assert_eq!(translated(json!({})), expected);
        let host_net = json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true});
        assert_eq!(translated(host_net), expected);
    }

    #[test]
    fn the_users_config_is_merged_as_the_kubelet_merges_it() {
        let user = json!({
            "nameservers": ["1.1.1.1", "10.0.0.10", "2.2.2.2", "3.3.3.3"],
            "searches": ["svc.cluster.local", "example.com"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        });
        let config = json!({
            "nameservers": ["10.0.0.10", "1.1.1.1", "2.2.2.2"],
            "searches": ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        });
        let expected = json!({"dnsPolicy": "None", "dnsConfig": config});
        assert_eq!(translated(json!({"dnsPolicy": "ClusterFirst", "dnsConfig": user})), expected);
    }

    #[test]
    fn other_policies_pass() {
        let none = json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"]}});
        assert_eq!(translated(none.clone()), none);
        assert_eq!(translated(json!({"dnsPolicy": "Default"})), json!({"dnsPolicy": "Default", "dnsConfig": null}));
        let on_host_network = json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true});
        assert_eq!(translated(on_host_network), json!({"dnsPolicy": "Default", "dnsConfig": null}));
    }
}
