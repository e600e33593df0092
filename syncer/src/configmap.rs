//! ConfigMaps: on the host while a pod there reads them.

use crate::{Config, Decision, marks};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// The bundle of certificates that every pod's API access shows.
pub(crate) const ROOT_CA: &str = "kube-root-ca.crt";

/// The host copy of a ConfigMap.
pub fn to_host(config: &Config, virt: &ConfigMap, is_used: bool) -> Decision<ConfigMap> {
    if !is_used {
        return Decision::Delete("no pod on the host reads it");
    }
    Decision::Sync(ConfigMap { metadata: marks::host_meta(config, &virt.metadata), ..virt.clone() })
}

/// What stands in for a namespace's `kube-root-ca.crt` until the tenant publishes it, so that the first pod of a
/// namespace need not wait.
pub(crate) fn root_ca(config: &Config, namespace: &str) -> Option<ConfigMap> {
    let metadata =
        ObjectMeta { name: Some(ROOT_CA.into()), namespace: Some(namespace.into()), ..ObjectMeta::default() };
    let data = BTreeMap::from([("ca.crt".to_owned(), config.ca_pem.clone())]);
    (!config.ca_pem.is_empty()).then(|| ConfigMap { metadata, data: Some(data), ..ConfigMap::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_copy_has_the_same_content_and_our_marks() {
        let config = Config { tenant: "t".into(), host_namespace: "hosted".into(), ..Config::default() };
        let virt: ConfigMap = serde_json::from_value(json!({
            "metadata": {"name": "c", "namespace": "ns", "uid": "u", "resourceVersion": "5", "labels": {"a": "b"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "x"}]},
            "immutable": true, "data": {"k": "v"}, "binaryData": {"b": "AA=="},
        }))
        .unwrap();
        let Decision::Sync(host) = to_host(&config, &virt, true) else { panic!("used and not synced") };
        let expected = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "c-x-ns-x-t", "namespace": "hosted",
                "labels": {"a": "b", "coracle.dev/namespace": "ns", "coracle.dev/tenant": "t"},
                "annotations": {"coracle.dev/name": "c", "coracle.dev/namespace": "ns", "coracle.dev/tenant": "t",
                    "coracle.dev/uid": "u"},
            },
            "immutable": true, "data": {"k": "v"}, "binaryData": {"b": "AA=="},
        });
        assert_eq!(json!(host), expected);
        assert!(matches!(to_host(&config, &virt, false), Decision::Delete(_)));
    }
}
