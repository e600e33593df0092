//! Secrets: on the host while a pod there reads them.

use crate::{Config, Decision, marks};
use k8s_openapi::api::core::v1::Secret;

/// The type that the host's own token controller would fill or delete.
const TOKEN: &str = "kubernetes.io/service-account-token";

/// The host copy of a Secret.
pub fn to_host(config: &Config, virt: &Secret, is_used: bool) -> Decision<Secret> {
    if !is_used {
        return Decision::Delete("no pod on the host reads it");
    }
    let mut host = Secret { metadata: marks::host_meta(config, &virt.metadata), ..virt.clone() };
    if host.type_.as_deref() == Some(TOKEN) {
        host.type_ = Some("Opaque".into());
        host.metadata
            .annotations
            .get_or_insert_default()
            .retain(|key, _| !key.starts_with("kubernetes.io/service-account."));
    }
    Decision::Sync(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_stay_unless_the_host_would_act_on_them() {
        let config = Config { tenant: "t".into(), host_namespace: "hosted".into(), ..Config::default() };
        for (virt, host) in [("kubernetes.io/dockerconfigjson", "kubernetes.io/dockerconfigjson"), (TOKEN, "Opaque")] {
            let virt: Secret = serde_json::from_value(json!({
                "metadata": {"name": "s", "namespace": "ns", "annotations": {"kubernetes.io/service-account.name": "d"}},
                "type": virt, "data": {"k": "AA=="},
            }))
            .unwrap();
            let Decision::Sync(copy) = to_host(&config, &virt, true) else { panic!("used and not synced") };
            assert_eq!(copy.type_.as_deref(), Some(host));
            assert_eq!(copy.data, virt.data);
            let annotations = copy.metadata.annotations.unwrap();
            assert_eq!(annotations.contains_key("kubernetes.io/service-account.name"), host != "Opaque");
        }
    }
}
