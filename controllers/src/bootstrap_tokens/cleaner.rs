//! Removes bootstrap tokens that have expired. Woken by them, and when they expire.

use super::{expiration, is_token};
use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::plan::Plan;
use crate::queue::Key;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use std::sync::Arc;

pub(crate) struct TokenCleaner {
    informers: Informers,
    secrets: Store<Secret>,
}

impl TokenCleaner {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), secrets: informers.store() }
    }
}

impl Controller for TokenCleaner {
    type Observed = Arc<Secret>;

    fn descriptor(&self) -> Descriptor {
        let (name, account) = ("token-cleaner-controller", "token-cleaner");
        Descriptor { name, account, component: account, workers: 1 }
    }

    fn watches(&self) -> Vec<Watch> {
        let tokens = |event: &informer::Event<Secret>| {
            event.new.iter().filter(|secret| is_token(secret)).map(|secret| key_of(&**secret)).collect()
        };
        vec![Watch::on(&self.informers, &self.secrets, tokens)]
    }

    fn observe(&self, key: &Key) -> Option<Arc<Secret>> {
        self.secrets.get(&key.namespace, &key.name).filter(|secret| is_token(secret))
    }

    fn plan(&self, secret: &Arc<Secret>, now: Timestamp) -> Plan {
        plan(secret, now)
    }
}

fn plan(secret: &Secret, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    match expiration(secret) {
        Some(end) if end <= now => plan.delete(secret),
        Some(end) => plan.again_after(end.duration_since(now).unsigned_abs()),
        None => {}
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    /// Cases of upstream's `TestCleanerNoExpiration` and its sisters.
    #[test]
    fn tokens_go_when_they_expire() {
        let run = |end: Option<&str>| {
            let mut secret = Secret::default();
            secret.metadata.name = Some("bootstrap-token-a".into());
            secret.metadata.namespace = Some("kube-system".into());
            secret.data = end.map(|end| [("expiration".to_owned(), ByteString(end.as_bytes().to_vec()))].into());
            plan(&secret, "2024-01-01T00:00:00Z".parse().unwrap()).to_string()
        };
        let gone = "delete secrets kube-system/bootstrap-token-a";
        assert_eq!(run(None), "");
        assert_eq!(run(Some("2024-01-01T00:00:10Z")), "again in 10s");
        assert_eq!(run(Some("2023-12-31T23:00:00Z")), gone);
        assert_eq!(run(Some("soon")), gone);
    }
}
