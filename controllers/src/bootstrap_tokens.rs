//! Bootstrap tokens: signs the ConfigMap `cluster-info` with them, and removes those that have expired. Upstream's
//! `pkg/controller/bootstrap`; not started unless asked for, as there.

pub(crate) mod cleaner;
pub(crate) mod signer;

use crate::meta::Meta;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

const NAMESPACE: &str = "kube-system";

fn is_token(secret: &Secret) -> bool {
    secret.type_.as_deref() == Some("bootstrap.kubernetes.io/token") && secret.namespace() == NAMESPACE
}

fn data<'a>(secret: &'a Secret, key: &str) -> &'a str {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    value.and_then(|value| std::str::from_utf8(&value.0).ok()).unwrap_or_default()
}

/// When the token ends: `None` for never, the beginning of time for what cannot be read.
fn expiration(secret: &Secret) -> Option<Timestamp> {
    let text = data(secret, "expiration");
    (!text.is_empty()).then(|| text.parse().unwrap_or(Timestamp::UNIX_EPOCH))
}
