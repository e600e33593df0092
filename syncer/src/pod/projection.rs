//! Service account tokens: the tenant mints them, a host Secret carries them, a projected volume shows them.
//!
//! One Secret per pod, a key per projected source. Tokens are bound to the tenant's pod and as short-lived as the pod
//! asked for; they are replaced when the kubelet would (at 80 % of their life or after 24 hours).

use crate::{Config, marks, names};
use k8s_openapi::api::core::v1::{Pod, Secret};
use serde_json::Value;
use std::collections::BTreeMap;

/// Role of the Secret, and with it part of its name.
pub(crate) const ROLE: &str = "tokens";
/// What the API defaults to.
const EXPIRATION: i64 = 3600;
const DAY: i64 = 24 * 3600;

/// One token that a pod wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenRequest {
    /// Key in the Secret.
    pub(crate) key: String,
    /// `None` means the API server's own audience.
    pub(crate) audience: Option<String>,
    pub(crate) expiration_seconds: i64,
}

pub(crate) fn host_name(config: &Config, namespace: &str, pod: &str) -> String {
    names::internal_name(ROLE, pod, namespace, &config.tenant)
}

/// Key of the source at `index` of a projected volume.
pub(crate) fn key(volume: &str, index: usize) -> String {
    format!("{volume}.{index}")
}

/// The tokens that a pod's volumes ask for.
pub(crate) fn requests(pod: &Pod) -> Vec<TokenRequest> {
    let mut requests = Vec::new();
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    for volume in volumes {
        let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        for (index, source) in sources.enumerate() {
            if let Some(token) = &source.service_account_token {
                requests.push(TokenRequest {
                    key: key(&volume.name, index),
                    audience: token.audience.clone().filter(|audience| !audience.is_empty()),
                    expiration_seconds: token.expiration_seconds.unwrap_or(EXPIRATION),
                });
            }
        }
    }
    requests
}

/// The Secret without its tokens.
pub(crate) fn secret(config: &Config, pod: &Pod) -> Secret {
    Secret { metadata: marks::pods_meta(config, pod, ROLE), ..Secret::default() }
}

/// When a token is to be replaced (seconds since 1970).
pub(crate) fn refresh_at(issued: i64, expires: i64) -> i64 {
    let life = expires.saturating_sub(issued).max(0);
    issued.saturating_add((life - life / 5).min(DAY))
}

/// When the first of a Secret's tokens is due; `None` when the Secret does not serve this pod and these requests.
pub(crate) fn next_refresh(secret: &Secret, pod_uid: &str, requests: &[TokenRequest]) -> Option<i64> {
    if marks::annotation(&secret.metadata, marks::UID) != pod_uid {
        return None;
    }
    let times: BTreeMap<String, Value> =
        serde_json::from_str(marks::annotation(&secret.metadata, marks::REFRESH)).ok()?;
    let data = secret.data.as_ref()?;
    let due = |request: &TokenRequest| {
        data.get(&request.key)?;
        times.get(&request.key)?.as_i64()
    };
    requests.iter().map(due).collect::<Option<Vec<i64>>>()?.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_projected_source_has_its_own_token() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [], "volumes": [
            {"name": "kube-api-access", "projected": {"sources": [
                {"configMap": {"name": "kube-root-ca.crt"}},
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            ]}},
            {"name": "vault", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}},
        ]}}))
        .unwrap();
        let expected = [
            TokenRequest { key: "kube-api-access.1".into(), audience: None, expiration_seconds: 3607 },
            TokenRequest { key: "vault.0".into(), audience: Some("vault".into()), expiration_seconds: 3600 },
        ];
        assert_eq!(requests(&pod), expected);
    }

    #[test]
    fn tokens_are_replaced_when_the_kubelet_would() {
        assert_eq!(refresh_at(1000, 1600), 1480);
        assert_eq!(refresh_at(0, 10 * DAY), DAY);
    }

    #[test]
    fn a_secret_serves_one_pod_and_all_of_its_requests() {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"annotations": {"coracle.dev/uid": "u", "coracle.dev/refresh": "{\"v.0\":50,\"v.1\":40}"}},
            "data": {"v.0": "eA==", "v.1": "eQ=="},
        }))
        .unwrap();
        let request = |key: &str| TokenRequest { key: key.into(), audience: None, expiration_seconds: 1 };
        assert_eq!(next_refresh(&secret, "u", &[request("v.0"), request("v.1")]), Some(40));
        assert_eq!(next_refresh(&secret, "u", &[request("v.0")]), Some(50));
        assert_eq!(next_refresh(&secret, "u", &[request("v.2")]), None);
        assert_eq!(next_refresh(&secret, "other", &[request("v.0")]), None);
    }
}
