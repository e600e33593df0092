//! Identity tokens of foreign issuers (k8s.io/apiserver `plugin/pkg/authenticator/token/oidc`).
//!
//! Keys are fetched when the first token comes and when one names a key that is not known, at most every ten seconds; an
//! issuer that nobody uses costs nothing.

use super::configuration::{Claim, Jwt};
use super::jwk::KeySet;
use super::jwt::Unverified;
use super::{Outcome, TokenAuthenticator};
use crate::outbound::{self, Endpoint, Trust};
use crate::request::UserInfo;
use apimachinery::clock::Clock;
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

const AGAIN: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
/// How far an issuer's clock may be ahead of ours.
const LEEWAY: f64 = 300.0;

/// Where an issuer's keys come from.
#[async_trait]
pub trait Keys: Send + Sync {
    async fn fetch(&self) -> Result<KeySet, String>;
}

/// The keys that an issuer's discovery document leads to.
pub struct Discovered {
    issuer: String,
    url: String,
    trust: Trust,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Discovered {
    pub fn new(jwt: &Jwt) -> Self {
        let own = || format!("{}/.well-known/openid-configuration", jwt.url.trim_end_matches('/'));
        let url = jwt.discovery_url.clone().unwrap_or_else(own);
        Self { issuer: jwt.url.clone(), url, trust: jwt.trust.clone() }
    }

    async fn get(&self, url: &str) -> Result<bytes::Bytes, String> {
        let say = |e: outbound::Error| e.to_string();
        match Endpoint::new(url, &self.trust).map_err(say)?.get(TIMEOUT).await.map_err(say)? {
            (code, body) if code.is_success() => Ok(body),
            (code, _) => Err(format!("{url} answered {code}")),
        }
    }
}

#[async_trait]
impl Keys for Discovered {
    async fn fetch(&self) -> Result<KeySet, String> {
        let document = self.get(&self.url).await?;
        let document: Discovery = serde_json::from_slice(&document).map_err(|e| format!("{}: {e}", self.url))?;
        if document.issuer != self.issuer {
            return Err(format!("{} speaks for {}, not for {}", self.url, document.issuer, self.issuer));
        }
        let keys = self.get(&document.jwks_uri).await?;
        KeySet::parse(&keys).ok_or_else(|| format!("{} holds no key set", document.jwks_uri))
    }
}

/// See the module.
pub struct Oidc {
    jwt: Jwt,
    keys: Arc<dyn Keys>,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    set: Arc<KeySet>,
    tried: Option<Instant>,
}

impl Oidc {
    pub fn new(jwt: Jwt, keys: Arc<dyn Keys>, clock: Arc<dyn Clock>) -> Self {
        Self { jwt, keys, clock, known: Mutex::default() }
    }

    /// The keys, among them that of a token if the issuer has it.
    async fn keys(&self, id: Option<&str>) -> Result<Arc<KeySet>, String> {
        let mut known = self.known.lock().await;
        let recently = known.tried.is_some_and(|at| at.elapsed() < AGAIN);
        if !known.set.knows(id) && !recently {
            known.tried = Some(Instant::now());
            match self.keys.fetch().await {
                Ok(set) => known.set = Arc::new(set),
                Err(why) => {
                    tracing::warn!(issuer = self.jwt.url, why, "the keys of an issuer could not be fetched");
                    return Err(format!("oidc: fetching keys: {why}"));
                }
            }
        }
        Ok(known.set.clone())
    }

    async fn verify(&self, token: &Unverified<'_>) -> Result<UserInfo, String> {
        let keys = self.keys(token.key_id.as_deref()).await?;
        if !token.is_signed_by_one_of(&keys) {
            return Err("oidc: verify token: failed to verify signature".to_owned());
        }
        let claims = &token.claims;
        let now = self.clock.now().as_second() as f64;
        let time = |claim: &str| claims.get(claim).and_then(Value::as_f64);
        if time("exp").is_none_or(|exp| now > exp) {
            return Err("oidc: verify token: token is expired".to_owned());
        }
        if time("nbf").is_some_and(|nbf| now + LEEWAY < nbf) {
            return Err("oidc: verify token: current time is before the nbf (not before) time".to_owned());
        }
        let audiences = strings(claims.get("aud")).unwrap_or_default();
        if !self.jwt.audiences.iter().any(|audience| audiences.contains(audience)) {
            return Err(format!("oidc: expected audience in {:?} got {audiences:?}", self.jwt.audiences));
        }
        for (claim, wanted) in &self.jwt.required {
            if claims.get(claim).and_then(Value::as_str) != Some(wanted) {
                return Err(format!("oidc: required claim {claim} not present in ID token, or with another value"));
            }
        }
        self.user(claims)
    }

    fn user(&self, claims: &Value) -> Result<UserInfo, String> {
        let Claim { claim, prefix } = &self.jwt.username;
        let name = claims.get(claim).and_then(Value::as_str).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("oidc: parse username claims {claim:?}: claim not present"))?;
        if claim == "email" && claims.get("email_verified").is_some_and(|verified| verified != &Value::Bool(true)) {
            return Err("oidc: email not verified".to_owned());
        }
        let mut user = UserInfo { name: format!("{prefix}{name}"), ..UserInfo::default() };
        if let Some(Claim { claim, prefix }) = &self.jwt.groups
            && let Some(value) = claims.get(claim).filter(|value| !value.is_null())
        {
            let groups =
                strings(Some(value)).ok_or_else(|| format!("oidc: parse groups claim {claim:?}: no strings"))?;
            user.groups = groups.iter().map(|group| format!("{prefix}{group}")).collect();
        }
        if let Some(claim) = &self.jwt.uid {
            let uid = claims.get(claim).and_then(Value::as_str);
            user.uid = uid.ok_or_else(|| format!("oidc: error parsing uid: claim {claim:?} is no string"))?.to_owned();
        }
        if let Some(id) = claims.get("jti").and_then(Value::as_str).filter(|id| !id.is_empty()) {
            user.extra = BTreeMap::from([(super::user::CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")])]);
        }
        Ok(user)
    }
}

/// A string, or a list of strings.
fn strings(value: Option<&Value>) -> Option<Vec<String>> {
    match value? {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => list.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

#[async_trait]
impl TokenAuthenticator for Oidc {
    async fn authenticate_token(&self, token: &str, audiences: &[String]) -> Outcome {
        let Some(token) = Unverified::parse(token) else { return Outcome::NotRequested };
        if token.claims.get("iss").and_then(Value::as_str) != Some(self.jwt.url.as_str()) {
            return Outcome::NotRequested;
        }
        match self.verify(&token).await {
            // Its own audiences were checked; to the asker it is good for all that it asks about.
            Ok(user) => Outcome::Authenticated { user, audiences: audiences.to_vec() },
            Err(why) => Outcome::Failed(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::jwt::sign;
    use crate::pki::{PrivateKey, jwks};
    use apimachinery::clock::FixedClock;
    use serde_json::json;
    use std::sync::Mutex as StdMutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Fixed(StdMutex<Vec<crate::pki::PublicKey>>, AtomicUsize);

    #[async_trait]
    impl Keys for Fixed {
        async fn fetch(&self) -> Result<KeySet, String> {
            self.1.fetch_add(1, Ordering::SeqCst);
            KeySet::parse(jwks::key_set(&self.0.lock().unwrap()).to_string().as_bytes()).ok_or_else(|| "no set".into())
        }
    }

    fn jwt() -> Jwt {
        Jwt {
            url: "https://issuer".into(),
            audiences: vec!["one".into(), "two".into()],
            required: vec![("hd".into(), "example.com".into())],
            username: Claim { claim: "email".into(), prefix: "oidc:".into() },
            groups: Some(Claim { claim: "groups".into(), prefix: "g:".into() }),
            uid: Some("sub".into()),
            ..Jwt::default()
        }
    }

    // Upstream's cases: oidc_test.go.
    #[tokio::test(start_paused = true)]
    async fn tokens_are_believed_as_upstream_believes_them() {
        let key = PrivateKey::generate().unwrap();
        let keys = Arc::new(Fixed(StdMutex::new(vec![key.public()]), AtomicUsize::default()));
        let oidc = Oidc::new(jwt(), keys, Arc::new(FixedClock::new(1000)));
        let good = json!({"iss": "https://issuer", "aud": ["x", "two"], "exp": 2000, "email": "jane@example.com",
            "email_verified": true, "hd": "example.com", "groups": ["a", "b"], "sub": "7", "jti": "id"});
        let with = |changes: Value| {
            let mut claims = good.clone();
            for (claim, value) in changes.as_object().unwrap() {
                if value.is_null() {
                    claims.as_object_mut().unwrap().remove(claim);
                } else {
                    claims[claim] = value.clone();
                }
            }
            sign(&key, &claims).unwrap()
        };
        let Outcome::Authenticated { user, audiences } =
            oidc.authenticate_token(&with(json!({})), &["api".into()]).await
        else {
            panic!("refused")
        };
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("oidc:jane@example.com", "7"));
        assert_eq!((user.groups, audiences), (vec!["g:a".to_owned(), "g:b".into()], vec!["api".to_owned()]));
        assert_eq!(user.extra[crate::authn::user::CREDENTIAL_ID], ["JTI=id"]);
        for (changes, accepted) in [
            (json!({"aud": "one"}), true),
            (json!({"groups": "a"}), true),
            (json!({"groups": null}), true),
            (json!({"email_verified": null}), true),
            (json!({"nbf": 1200}), true),
            (json!({"aud": "three"}), false),
            (json!({"exp": 999}), false),
            (json!({"exp": null}), false),
            (json!({"nbf": 1400}), false),
            (json!({"email_verified": false}), false),
            (json!({"email_verified": "true"}), false),
            (json!({"email": null}), false),
            (json!({"email": ""}), false),
            (json!({"email": 7}), false),
            (json!({"hd": "evil.com"}), false),
            (json!({"hd": null}), false),
            (json!({"groups": [1]}), false),
            (json!({"sub": 7}), false),
        ] {
            let outcome = oidc.authenticate_token(&with(changes.clone()), &[]).await;
            assert_eq!(matches!(outcome, Outcome::Authenticated { .. }), accepted, "{changes} {outcome:?}");
            assert_ne!(outcome, Outcome::NotRequested);
        }
        let other = sign(&PrivateKey::generate().unwrap(), &good).unwrap();
        assert!(matches!(oidc.authenticate_token(&other, &[]).await, Outcome::Failed(_)));
        for foreign in ["text", &with(json!({"iss": "https://else"})), &with(json!({"iss": null}))] {
            assert_eq!(oidc.authenticate_token(foreign, &[]).await, Outcome::NotRequested);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_fetched_when_needed_and_not_too_often() {
        let (old, new) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let keys = Arc::new(Fixed(StdMutex::new(vec![old.public()]), AtomicUsize::default()));
        let oidc = Oidc::new(jwt(), keys.clone(), Arc::new(FixedClock::new(1000)));
        let claims =
            json!({"iss": "https://issuer", "aud": "one", "exp": 2000, "email": "a", "hd": "example.com", "sub": "7"});
        let ask = async |key: &PrivateKey| {
            let outcome = oidc.authenticate_token(&sign(key, &claims).unwrap(), &[]).await;
            matches!(outcome, Outcome::Authenticated { .. })
        };
        assert!(ask(&old).await && ask(&old).await);
        keys.0.lock().unwrap().push(new.public());
        assert!(!ask(&new).await && !ask(&new).await);
        assert_eq!(keys.1.load(Ordering::SeqCst), 1);
        tokio::time::sleep(AGAIN).await;
        assert!(ask(&new).await && ask(&old).await);
        assert_eq!(keys.1.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_discovery_document_must_speak_for_its_issuer() {
        let own = PrivateKey::generate().unwrap();
        let set = jwks::key_set(&[own.public()]).to_string();
        let url = crate::outbound::tests::server(move |path, _| match path {
            "/keys" => (200, set.clone()),
            "/.well-known/openid-configuration" => (200, r#"{"issuer":"ISSUER","jwks_uri":"ISSUER/keys"}"#.to_owned()),
            _ => (404, String::new()),
        })
        .await
        .unwrap();
        // The document names another issuer than the one asked.
        let jwt = Jwt { url: url.clone(), ..Jwt::default() };
        assert!(Discovered::new(&jwt).fetch().await.unwrap_err().contains("speaks for ISSUER"));
        let gone = Jwt { url: format!("{url}/gone"), ..Jwt::default() };
        assert!(Discovered::new(&gone).fetch().await.unwrap_err().contains("404"));
    }
}
