//! Tokens with which nodes join: secrets of type `bootstrap.kubernetes.io/token` in kube-system
//! (k8s.io/kubernetes `plugin/pkg/auth/authenticator/token/bootstrap`).

use super::{Outcome, TokenAuthenticator};
use crate::backend::Backend;
use crate::request::UserInfo;
use apimachinery::clock::Clock;
use apimachinery::{GroupResource, Object};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

const DEFAULT_GROUP: &str = "system:bootstrappers";

pub struct BootstrapTokens {
    backend: Backend,
    clock: Arc<dyn Clock>,
}

impl BootstrapTokens {
    pub fn new(backend: Backend, clock: Arc<dyn Clock>) -> Self {
        Self { backend, clock }
    }
}

/// `abcdef.0123456789abcdef`: id and secret.
fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let well_formed = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    (well_formed(id, 6) && well_formed(secret, 16)).then_some((id, secret))
}

/// A decoded value of a secret's data.
pub(super) fn data(secret: &Object, key: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.at(&["data", key])?.as_str()?).ok()
}

fn judge(secret: &Object, id: &str, token_secret: &str, now: Timestamp) -> Option<UserInfo> {
    let text = |key: &str| data(secret, key).and_then(|v| String::from_utf8(v).ok()).unwrap_or_default();
    if secret.is_terminating() || secret.at(&["type"])?.as_str()? != "bootstrap.kubernetes.io/token" {
        return None;
    }
    let same = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, id.as_bytes());
    let digest = ring::hmac::sign(&same, text("token-secret").as_bytes());
    ring::hmac::verify(&same, token_secret.as_bytes(), digest.as_ref()).ok()?;
    if text("token-id") != id || text("usage-bootstrap-authentication") != "true" {
        return None;
    }
    let expiration = text("expiration");
    if !expiration.is_empty() && expiration.parse::<Timestamp>().ok()? <= now {
        return None;
    }
    let mut groups = BTreeSet::from([DEFAULT_GROUP.to_owned()]);
    let extra = text("auth-extra-groups");
    for group in extra.split(',').filter(|_| !extra.is_empty()) {
        let rest = group.strip_prefix("system:bootstrappers:")?;
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b':' || b == b'-';
        let ends_well = rest.bytes().last().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if rest.len() > 256 || !rest.bytes().all(inner) || !ends_well {
            return None;
        }
        groups.insert(group.to_owned());
    }
    Some(UserInfo {
        name: format!("system:bootstrap:{id}"),
        groups: groups.into_iter().collect(),
        ..UserInfo::default()
    })
}

#[async_trait]
impl TokenAuthenticator for BootstrapTokens {
    async fn authenticate_token(&self, token: &str, _: &[String]) -> Outcome {
        let Some((id, token_secret)) = parse(token) else { return Outcome::NotRequested };
        let name = format!("bootstrap-token-{id}");
        match self.backend.object(&GroupResource::new("", "secrets"), "kube-system", &name).await {
            Ok(Some(secret)) => judge(&secret, id, token_secret, self.clock.now())
                .map_or(Outcome::NotRequested, |user| Outcome::Authenticated { user, audiences: Vec::new() }),
            Ok(None) => Outcome::NotRequested,
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(changes: &[(&str, &str)]) -> Object {
        let mut data = serde_json::Map::new();
        let given =
            [("token-id", "abcdef"), ("token-secret", "0123456789abcdef"), ("usage-bootstrap-authentication", "true")];
        for (key, value) in given.iter().chain(changes) {
            data.insert((*key).into(), json!(STANDARD.encode(value)));
        }
        Object::from_value(json!({ "type": "bootstrap.kubernetes.io/token", "data": data })).unwrap()
    }

    #[test]
    fn secrets_are_judged_as_upstream_judges_them() {
        let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let groups = |changes: &[(&str, &str)]| {
            judge(&secret(changes), "abcdef", "0123456789abcdef", now).map(|u| u.groups.join(" "))
        };
        let plain = Some("system:bootstrappers".to_owned());
        assert_eq!(groups(&[]), plain);
        assert_eq!(
            groups(&[("auth-extra-groups", "system:bootstrappers:x")]),
            Some("system:bootstrappers system:bootstrappers:x".into())
        );
        assert_eq!(groups(&[("auth-extra-groups", "system:masters")]), None);
        assert_eq!(groups(&[("expiration", "2027-01-01T00:00:01Z")]), plain);
        assert_eq!(groups(&[("expiration", "2026-12-31T23:59:59Z")]), None);
        assert_eq!(groups(&[("expiration", "soon")]), None);
        assert_eq!(groups(&[("usage-bootstrap-authentication", "yes")]), None);
        assert_eq!(groups(&[("token-id", "other0")]), None);
        assert_eq!(groups(&[("token-secret", "0123456789abcdeX")]), None);
    }

    #[test]
    fn only_the_form_of_bootstrap_tokens_is_parsed() {
        assert_eq!(parse("abcdef.0123456789abcdef"), Some(("abcdef", "0123456789abcdef")));
        for bad in ["abcdef", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcde", "abcdef.0123456789abcdef.x"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
