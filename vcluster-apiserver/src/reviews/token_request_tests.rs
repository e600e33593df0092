//! Tokens from request to authentication, and what attackers try with them.

use super::token_request::TokenRequests;
use crate::authn::issuer::{Config, Issuer, LEGACY_ISSUER};
use crate::authn::service_account::ServiceAccountTokens;
use crate::authn::{Outcome, TokenAuthenticator, jwt};
use crate::fixture::Fixture;
use crate::pki::PrivateKey;
use crate::request::RequestCx;
use apimachinery::clock::{Clock, FixedClock};
use apimachinery::{Object, Status};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

struct World {
    store: Fixture,
    clock: Arc<FixedClock>,
    issuer: Arc<Issuer>,
    scheme: ServiceAccountTokens,
}

fn issuer(key: PrivateKey) -> Issuer {
    Issuer::new(Config {
        issuers: vec![ISSUER.into()],
        audiences: vec![ISSUER.into()],
        signing_key: key,
        verifying_keys: vec![],
    })
}

async fn world() -> World {
    let store = Fixture::default();
    let object = |namespace: &str, name: &str, uid: &str| json!({ "namespace": namespace, "name": name, "uid": uid });
    store.put("serviceaccounts", "", json!({ "metadata": object("ns", "sa", "sa-uid") })).await;
    store.put("nodes", "", json!({ "metadata": { "name": "node", "uid": "node-uid" } })).await;
    store.put("secrets", "", json!({ "metadata": object("ns", "secret", "secret-uid") })).await;
    let spec = json!({ "serviceAccountName": "sa", "nodeName": "node" });
    store.put("pods", "", json!({ "metadata": object("ns", "pod", "pod-uid"), "spec": spec })).await;
    let clock = Arc::new(FixedClock::new(1_800_000_000));
    let issuer = Arc::new(issuer(PrivateKey::generate().unwrap()));
    let scheme = ServiceAccountTokens::new(issuer.clone(), store.backend(), clock.clone());
    World { store, clock, issuer, scheme }
}

impl World {
    async fn request(&self, spec: Value) -> Result<Object, Status> {
        let backend = self.store.backend();
        let requests = TokenRequests { issuer: &self.issuer, backend: &backend, clock: &*self.clock };
        let request = Object::from_value(json!({ "spec": spec })).unwrap();
        requests.issue(&RequestCx::default(), "ns", "sa", request).await
    }

    async fn token(&self, spec: Value) -> String {
        self.request(spec).await.unwrap().at(&["status", "token"]).unwrap().as_str().unwrap().to_owned()
    }

    async fn ask(&self, token: &str) -> Outcome {
        self.scheme.authenticate_token(token, &[]).await
    }

    async fn refused(&self, token: &str) -> String {
        match self.ask(token).await {
            Outcome::Failed(why) => why,
            other => panic!("not refused: {other:?}"),
        }
    }
}

fn bound(kind: &str, name: &str) -> Value {
    json!({ "boundObjectRef": { "apiVersion": "v1", "kind": kind, "name": name } })
}

fn claims(token: &str) -> Value {
    jwt::Unverified::parse(token).unwrap().claims
}

#[tokio::test]
async fn a_pods_token_says_where_it_comes_from() {
    let world = world().await;
    let Outcome::Authenticated { user, audiences } = world.ask(&world.token(bound("Pod", "pod")).await).await else {
        panic!("refused");
    };
    assert_eq!(user.name, "system:serviceaccount:ns:sa");
    assert_eq!((user.uid.as_str(), audiences), ("sa-uid", vec![ISSUER.to_owned()]));
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns"]);
    let extra = |key: &str| user.extra[&format!("authentication.kubernetes.io/{key}")][0].clone();
    assert_eq!(
        [extra("pod-name"), extra("pod-uid"), extra("node-name"), extra("node-uid")],
        ["pod", "pod-uid", "node", "node-uid"]
    );
    assert!(extra("credential-id").starts_with("JTI="));
}

#[tokio::test]
async fn times_follow_the_request() {
    let world = world().await;
    let now = world.clock.now().as_second();
    let plain = claims(&world.token(json!({})).await);
    assert_eq!(plain["exp"], json!(now + 3600));
    let mut projected = bound("Pod", "pod");
    projected["expirationSeconds"] = json!(3607);
    let answer = world.request(projected.clone()).await.unwrap();
    let extended = claims(answer.at(&["status", "token"]).unwrap().as_str().unwrap());
    assert_eq!(extended["exp"], json!(now + 31_536_000));
    assert_eq!(extended["kubernetes.io"]["warnafter"], json!(now + 3607));
    assert_eq!(answer.at(&["status", "expirationTimestamp"]), Some(&json!("2027-01-15T09:00:07Z")));
    projected["audiences"] = json!(["vault"]);
    let foreign = claims(&world.token(projected).await);
    assert_eq!(foreign["exp"], json!(now + 3607));
    let short = world.request(json!({ "expirationSeconds": 599 })).await.unwrap_err();
    assert_eq!(
        short.message,
        "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"
    );
}

#[tokio::test]
async fn bindings_are_checked_when_asked_for() {
    let world = world().await;
    assert_eq!(world.request(bound("Pod", "none")).await.unwrap_err().code, 404);
    assert_eq!(world.request(bound("Deployment", "x")).await.unwrap_err().code, 400);
    let mut wrong = bound("Pod", "pod");
    wrong["boundObjectRef"]["uid"] = json!("other");
    assert_eq!(world.request(wrong).await.unwrap_err().code, 409);
    let pod = json!({ "metadata": { "namespace": "ns", "name": "other" }, "spec": { "serviceAccountName": "x" } });
    world.store.put("pods", "", pod).await;
    assert_eq!(world.request(bound("Pod", "other")).await.unwrap_err().code, 400);
}

#[tokio::test]
async fn a_token_dies_with_what_it_is_bound_to() {
    for (kind, resource, namespace, name) in
        [("Pod", "pods", "ns", "pod"), ("Secret", "secrets", "ns", "secret"), ("Node", "nodes", "", "node")]
    {
        let world = world().await;
        let token = world.token(bound(kind, name)).await;
        assert!(matches!(world.ask(&token).await, Outcome::Authenticated { .. }), "{kind}");
        world.store.remove(resource, "", namespace, name).await;
        assert_eq!(world.refused(&token).await, "service account token has been invalidated", "{kind}");
    }
    let world = world().await;
    let token = world.token(json!({})).await;
    let successor = json!({ "metadata": { "namespace": "ns", "name": "sa", "uid": "new" } });
    world.store.put("serviceaccounts", "", successor).await;
    assert_eq!(world.refused(&token).await, "service account UID (new) does not match claim (sa-uid)");
}

#[tokio::test]
async fn a_deletion_leaves_a_minute() {
    let world = world().await;
    let token = world.token(bound("Pod", "pod")).await;
    let dying = json!({
        "metadata": { "namespace": "ns", "name": "pod", "uid": "pod-uid", "deletionTimestamp": "2027-01-15T08:00:00Z" },
    });
    world.store.put("pods", "", dying).await;
    world.clock.advance(Duration::from_mins(1));
    assert!(matches!(world.ask(&token).await, Outcome::Authenticated { .. }));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.refused(&token).await, "service account token has been invalidated");
}

#[tokio::test]
async fn old_early_and_foreign_tokens_are_refused() {
    let world = world().await;
    let token = world.token(json!({})).await;
    assert!(matches!(world.ask(&token).await, Outcome::Authenticated { .. }));
    world.clock.advance(Duration::from_secs(3600 + 61));
    assert_eq!(world.refused(&token).await, "service account token has expired");

    let mut early = claims(&token);
    early["nbf"] = json!(world.clock.now().as_second() + 3600);
    early["exp"] = json!(world.clock.now().as_second() + 7200);
    assert_eq!(world.refused(&world.issuer.sign(&early).unwrap()).await, "service account token is not valid yet");

    let vault = world.token(json!({ "audiences": ["vault"] })).await;
    assert!(world.refused(&vault).await.contains("is invalid for the target audiences"));
    let asked = world.scheme.authenticate_token(&vault, &["vault".to_owned()]).await;
    assert!(matches!(asked, Outcome::Authenticated { audiences, .. } if audiences == ["vault"]));

    let mut elsewhere = claims(&vault);
    elsewhere["iss"] = json!("https://elsewhere");
    let elsewhere = world.issuer.sign(&elsewhere).unwrap();
    assert_eq!(world.ask(&elsewhere).await, Outcome::NotRequested);

    let other_key = issuer(PrivateKey::generate().unwrap());
    let forged = other_key.sign(&claims(&world.token(json!({})).await)).unwrap();
    assert_eq!(world.refused(&forged).await, "invalid signature, no keys found");
}

#[tokio::test]
async fn a_forged_token_is_not_helped_by_a_genuine_one_before_it() {
    let world = world().await;
    let genuine = world.token(json!({})).await;
    assert!(matches!(world.ask(&genuine).await, Outcome::Authenticated { .. }));
    let (input, _) = genuine.rsplit_once('.').unwrap();
    assert_eq!(world.refused(&format!("{input}.AAAA")).await, "invalid signature");
    assert_eq!(world.refused(&format!("{input}.")).await, "invalid signature");
    assert_eq!(world.ask("not a token").await, Outcome::NotRequested);
}

#[tokio::test]
async fn a_secrets_token_lives_as_long_as_the_secret_holds_it() {
    let world = world().await;
    let token = world
        .issuer
        .sign(&json!({
            "iss": LEGACY_ISSUER,
            "sub": "system:serviceaccount:ns:sa",
            "kubernetes.io/serviceaccount/namespace": "ns",
            "kubernetes.io/serviceaccount/secret.name": "held",
            "kubernetes.io/serviceaccount/service-account.name": "sa",
            "kubernetes.io/serviceaccount/service-account.uid": "sa-uid",
        }))
        .unwrap();
    assert_eq!(world.refused(&token).await, "Token has been invalidated");
    let secret = |held: &str| json!({ "metadata": { "namespace": "ns", "name": "held" }, "data": { "token": STANDARD.encode(held) } });
    world.store.put("secrets", "", secret(&token)).await;
    assert!(matches!(world.ask(&token).await, Outcome::Authenticated { .. }));
    world.store.put("secrets", "", secret("other")).await;
    assert_eq!(world.refused(&token).await, "Token does not match server's copy");
}
