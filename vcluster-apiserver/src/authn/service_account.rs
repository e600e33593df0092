//! Service account tokens: claims, time, audience, and whether everything they are bound to still exists
//! (k8s.io/kubernetes `pkg/serviceaccount/{jwt,claims,legacy}.go`).

use super::issuer::{Issuer, LEGACY_ISSUER};
use super::{Outcome, TokenAuthenticator, bootstrap_token, user};
use crate::backend::Backend;
use crate::request::UserInfo;
use apimachinery::clock::Clock;
use apimachinery::{GroupResource, Object};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;

/// Clocks of issuer and verifier may differ by this; deleted objects keep their tokens alive as long.
const LEEWAY_SECONDS: i64 = 60;

/// The scheme of service account tokens.
pub struct ServiceAccountTokens {
    issuer: Arc<Issuer>,
    backend: Backend,
    clock: Arc<dyn Clock>,
}

impl ServiceAccountTokens {
    pub fn new(issuer: Arc<Issuer>, backend: Backend, clock: Arc<dyn Clock>) -> Self {
        Self { issuer, backend, clock }
    }

    async fn judge(&self, token: &str, requested: &[String]) -> Result<Option<(UserInfo, Vec<String>)>, String> {
        let Some(claims) = self.issuer.verify(token)? else { return Ok(None) };
        let own = self.issuer.audiences();
        let requested = if requested.is_empty() { own } else { requested };
        let mut carried = audiences(&claims);
        if carried.is_empty() {
            // Only tokens from secrets have none.
            carried = own.to_vec();
        }
        let accepted: Vec<String> = carried.iter().filter(|a| requested.contains(a)).cloned().collect();
        if accepted.is_empty() && !own.is_empty() {
            return Err(format!("token audiences {carried:?} is invalid for the target audiences {requested:?}"));
        }
        let user = if claims.get("iss").and_then(Value::as_str) == Some(LEGACY_ISSUER) {
            self.legacy(token, &claims).await?
        } else {
            self.bound(&claims).await?
        };
        Ok(Some((user, accepted)))
    }

    async fn bound(&self, claims: &Value) -> Result<UserInfo, String> {
        let now = self.clock.now().as_second();
        check_times(claims, now)?;
        let private = claims.get("kubernetes.io").ok_or("kubernetes.io claim is missing")?;
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let reference = |key: &str| private.get(key).map(|r| (text(r, "name"), text(r, "uid")));
        let namespace = text(private, "namespace");
        let (name, uid) = reference("serviceaccount").ok_or("serviceaccount claim is missing")?;

        let account = self.object("serviceaccounts", &namespace, &name).await?;
        let account = account.ok_or_else(|| format!("serviceaccounts \"{name}\" not found"))?;
        if account.uid() != uid {
            return Err(format!("service account UID ({}) does not match claim ({uid})", account.uid()));
        }
        if is_gone(&account, now) {
            return Err(format!("service account {namespace}/{name} has been deleted"));
        }

        let mut user = user::service_account(&namespace, &name, &uid);
        let mut extra = |key: &str, value: String| user.extra.insert(key.to_owned(), vec![value]);
        if let Some((name, uid)) = reference("secret") {
            self.still_there("secrets", "secret", &namespace, &name, &uid, now).await?;
        }
        let (pod, node) = (reference("pod"), reference("node"));
        if let Some((name, uid)) = &pod {
            self.still_there("pods", "pod", &namespace, name, uid, now).await?;
            extra(user::POD_NAME, name.clone());
            extra(user::POD_UID, uid.clone());
        }
        if let Some((name, uid)) = node {
            // Beside a pod the node is only where the pod ran; alone it is what the token is bound to.
            if pod.is_none() {
                self.still_there("nodes", "node", "", &name, &uid, now).await?;
            }
            extra(user::NODE_NAME, name);
            if !uid.is_empty() {
                extra(user::NODE_UID, uid);
            }
        }
        let id = text(claims, "jti");
        if !id.is_empty() {
            extra(user::CREDENTIAL_ID, format!("JTI={id}"));
        }
        Ok(user)
    }

    async fn still_there(
        &self,
        resource: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        uid: &str,
        now: i64,
    ) -> Result<(), String> {
        let invalidated = || "service account token has been invalidated".to_owned();
        let object = self.object(resource, namespace, name).await?.ok_or_else(invalidated)?;
        if object.uid() != uid {
            return Err(format!(
                "{kind} UID ({}) does not match service account {kind} ref claim ({uid})",
                object.uid()
            ));
        }
        if is_gone(&object, now) { Err(invalidated()) } else { Ok(()) }
    }

    /// A token that lives in a secret: valid as long as the secret holds it.
    async fn legacy(&self, token: &str, claims: &Value) -> Result<UserInfo, String> {
        let claim = |name: &str, called: &str| {
            let value = claims.get(name).and_then(Value::as_str).unwrap_or_default();
            if value.is_empty() { Err(format!("{called} claim is missing")) } else { Ok(value.to_owned()) }
        };
        let subject = claim("sub", "sub")?;
        let namespace = claim("kubernetes.io/serviceaccount/namespace", "namespace")?;
        let secret_name = claim("kubernetes.io/serviceaccount/secret.name", "secretName")?;
        let name = claim("kubernetes.io/serviceaccount/service-account.name", "serviceAccountName")?;
        let uid = claim("kubernetes.io/serviceaccount/service-account.uid", "serviceAccountUID")?;
        if user::split_service_account(&subject) != Some((&namespace, &name)) {
            return Err("sub claim is invalid".into());
        }
        let invalidated = || "Token has been invalidated".to_owned();
        let secret = self.object("secrets", &namespace, &secret_name).await?.ok_or_else(invalidated)?;
        if secret.is_terminating() {
            return Err(invalidated());
        }
        let held = bootstrap_token::data(&secret, "token").unwrap_or_default();
        if held != token.as_bytes() {
            return Err("Token does not match server's copy".into());
        }
        let account = self.object("serviceaccounts", &namespace, &name).await?;
        let account = account.ok_or_else(|| format!("serviceaccounts \"{name}\" not found"))?;
        if account.is_terminating() {
            return Err(format!("ServiceAccount {namespace}/{name} has been deleted"));
        }
        if account.uid() != uid {
            return Err(format!("ServiceAccount UID ({}) does not match claim ({uid})", account.uid()));
        }
        if secret.label("kubernetes.io/legacy-token-invalid-since").is_some_and(|v| !v.is_empty()) {
            return Err(format!(
                "the token in secret {namespace}/{secret_name} for service account {namespace}/{name} has been marked invalid"
            ));
        }
        Ok(user::service_account(&namespace, &name, &uid))
    }

    async fn object(&self, resource: &str, namespace: &str, name: &str) -> Result<Option<Object>, String> {
        self.backend.object(&GroupResource::new("", resource), namespace, name).await.map_err(|e| e.to_string())
    }
}

/// `aud` is one string or a list of them.
fn audiences(claims: &Value) -> Vec<String> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn check_times(claims: &Value, now: i64) -> Result<(), String> {
    let at = |name: &str| claims.get(name).and_then(Value::as_f64).map(|seconds| seconds as i64);
    if at("exp").is_some_and(|exp| now.saturating_sub(LEEWAY_SECONDS) > exp) {
        return Err("service account token has expired".into());
    }
    if at("nbf").is_some_and(|nbf| now.saturating_add(LEEWAY_SECONDS) < nbf) {
        return Err("service account token is not valid yet".into());
    }
    if at("iat").is_some_and(|iat| now.saturating_add(LEEWAY_SECONDS) < iat) {
        return Err("service account token is issued in the future".into());
    }
    Ok(())
}

/// Whether an object's deletion was due more than the leeway ago.
fn is_gone(object: &Object, now: i64) -> bool {
    let due = object.meta_str("deletionTimestamp");
    due.parse::<jiff::Timestamp>().is_ok_and(|due| due.as_second() < now.saturating_sub(LEEWAY_SECONDS))
}

#[async_trait]
impl TokenAuthenticator for ServiceAccountTokens {
    async fn authenticate_token(&self, token: &str, audiences: &[String]) -> Outcome {
        match self.judge(token, audiences).await {
            Ok(Some((user, audiences))) => Outcome::Authenticated { user, audiences },
            Ok(None) => Outcome::NotRequested,
            Err(why) => Outcome::Failed(why),
        }
    }
}
