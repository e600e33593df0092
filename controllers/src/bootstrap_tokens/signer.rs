//! Signs the kubeconfig in ConfigMap `kube-public/cluster-info` with every bootstrap token meant for it, so that whoever has
//! a token can tell that the authority in it is the right one.
//!
//! Owns the keys `jws-kubeconfig-ID` of that ConfigMap. Woken by it and by bootstrap tokens.

use super::{NAMESPACE, data, expiration, is_token};
use crate::controller::{Controller, Descriptor, Watch};
use crate::meta::Meta;
use crate::plan::Plan;
use crate::queue::Key;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use std::collections::BTreeMap;
use std::sync::Arc;

const TARGET: (&str, &str) = ("kube-public", "cluster-info");
const SIGNED: &str = "kubeconfig";
const PREFIX: &str = "jws-kubeconfig-";

pub(crate) struct Signer {
    informers: Informers,
    secrets: Store<Secret>,
    config_maps: Store<ConfigMap>,
}

pub struct Observed {
    map: Arc<ConfigMap>,
    tokens: Vec<Arc<Secret>>,
}

impl Signer {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), secrets: informers.store(), config_maps: informers.store() }
    }
}

impl Controller for Signer {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        let (name, account) = ("bootstrap-signer-controller", "bootstrap-signer");
        Descriptor { name, account, component: account, workers: 1 }
    }

    fn watches(&self) -> Vec<Watch> {
        let target = || Key::new(TARGET.0, TARGET.1);
        let by_token = move |event: &informer::Event<Secret>| {
            event.latest().filter(|secret| is_token(secret)).map(|_| target()).into_iter().collect()
        };
        let by_map = move |event: &informer::Event<ConfigMap>| {
            let map = event.latest().filter(|map| (map.namespace(), map.name()) == TARGET);
            map.map(|_| target()).into_iter().collect()
        };
        vec![Watch::on(&self.informers, &self.secrets, by_token), Watch::on(&self.informers, &self.config_maps, by_map)]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let map = self.config_maps.get(&key.namespace, &key.name)?;
        let mut tokens = self.secrets.list_in(NAMESPACE);
        tokens.retain(|secret| is_token(secret));
        Some(Observed { map, tokens })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }
}

/// The id and the secret of a token that may sign.
fn signing(secret: &Secret, now: Timestamp) -> Option<(&str, &str)> {
    let (id, value) = (data(secret, "token-id"), data(secret, "token-secret"));
    let named = secret.name().strip_prefix("bootstrap-token-") == Some(id);
    let live = expiration(secret).is_none_or(|end| end > now);
    let meant = data(secret, "usage-bootstrap-signing") == "true";
    (named && !id.is_empty() && !value.is_empty() && live && meant).then_some((id, value))
}

/// A JWS without its payload: HMAC-SHA-256 keyed by the token's secret half (`cluster-bootstrap/token/jws`).
fn signature(content: &str, id: &str, secret: &str) -> String {
    let header = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}"}}"#));
    let payload = BASE64_URL_SAFE_NO_PAD.encode(content);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, format!("{header}.{payload}").as_bytes());
    format!("{header}..{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let old = observed.map.data.clone().unwrap_or_default();
    let Some(content) = old.get(SIGNED) else { return plan };
    let mut new: BTreeMap<String, String> = old.clone();
    new.retain(|key, _| !key.starts_with(PREFIX));
    for secret in &observed.tokens {
        let Some((id, value)) = signing(secret, now) else { continue };
        new.insert(format!("{PREFIX}{id}"), signature(content, id, value));
    }
    if new != old {
        let mut changed = (*observed.map).clone();
        changed.data = Some(new);
        plan.update(&changed);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Write;
    use k8s_openapi::ByteString;
    use serde_json::{Value, json};

    fn token(id: &str, more: &[(&str, &str)]) -> Arc<Secret> {
        let mut secret = Secret::default();
        secret.metadata.name = Some(format!("bootstrap-token-{id}"));
        let given = [("token-id", id), ("token-secret", "tokenSecret"), ("usage-bootstrap-signing", "true")];
        let data =
            given.iter().chain(more).map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
        secret.data = Some(data.collect());
        Arc::new(secret)
    }

    fn run(data: Value, tokens: Vec<Arc<Secret>>) -> Option<Value> {
        let map = json!({"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": data});
        let observed = Observed { map: Arc::new(serde_json::from_value(map).unwrap()), tokens };
        let plan = plan(&observed, "2024-01-01T00:00:00Z".parse().unwrap());
        plan.writes.into_iter().next().map(|write| match write {
            Write::Update { body, .. } => body["data"].clone(),
            other => panic!("{other}"),
        })
    }

    /// Cases and the signature of upstream's `bootstrapsigner_test.go`.
    #[test]
    fn cluster_info_is_signed_by_each_live_token() {
        let signed = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiYzEyMyJ9..QSxpUG7Q542CirTI2ECPSZjvBOJURUW5a7XqFpNI958";
        let full = json!({"kubeconfig": "payload", "jws-kubeconfig-abc123": signed});
        assert_eq!(run(json!({"kubeconfig": "payload"}), vec![token("abc123", &[])]), Some(full.clone()));
        assert_eq!(run(full.clone(), vec![token("abc123", &[])]), None);
        assert_eq!(run(full.clone(), vec![]), Some(json!({"kubeconfig": "payload"})));
        let expired = token("abc123", &[("expiration", "2023-01-01T00:00:00Z")]);
        assert_eq!(run(full.clone(), vec![expired]), Some(json!({"kubeconfig": "payload"})));
        let other_use = token("abc123", &[("usage-bootstrap-signing", "false")]);
        assert_eq!(run(full, vec![other_use]), Some(json!({"kubeconfig": "payload"})));
        assert_eq!(run(json!({}), vec![token("abc123", &[])]), None);
    }
}
