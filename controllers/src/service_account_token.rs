//! Fills Secrets of type `kubernetes.io/service-account-token` and removes those whose account is gone. Upstream's
//! `pkg/controller/serviceaccount/tokens_controller.go`.
//!
//! Owns the data of those Secrets, their annotations about the account, and the references of accounts to tokens that went.
//! It never makes a Secret. Woken by such Secrets and by accounts. A key is a Secret, or `SECRET@ACCOUNT` for one that went.

use crate::api::{Api, ApiError};
use crate::controller::{Descriptor, Reconcile, Watch, key_of};
use crate::credentials::Credentials;
use crate::meta::Meta;
use crate::plan::{Plan, Target};
use crate::queue::Key;
use async_trait::async_trait;
use informer::{Informers, Store, resource_of};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";
pub(crate) const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
pub(crate) const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
const CA: &str = "ca.crt";
const NAMESPACE: &str = "namespace";
const TOKEN: &str = "token";
/// Token Secrets by `NAMESPACE/ACCOUNT`.
const BY_ACCOUNT: &str = "account";

pub(crate) struct ServiceAccountTokens {
    informers: Informers,
    secrets: Store<Secret>,
    accounts: Store<ServiceAccount>,
    ca_bundle: String,
    credentials: Arc<dyn Credentials>,
}

impl ServiceAccountTokens {
    pub(crate) fn new(informers: &Informers, ca_bundle: String, credentials: Arc<dyn Credentials>) -> Self {
        let secrets = informers.store::<Secret>();
        secrets.add_index(BY_ACCOUNT, |secret| {
            let account = account_name(secret);
            account.map(|account| format!("{}/{account}", secret.namespace())).into_iter().collect()
        });
        Self { informers: informers.clone(), secrets, accounts: informers.store(), ca_bundle, credentials }
    }
}

pub(crate) fn is_token(secret: &Secret) -> bool {
    secret.type_.as_deref() == Some(TOKEN_TYPE)
}

/// The account that a token Secret says it belongs to.
fn account_name(secret: &Secret) -> Option<&str> {
    secret.annotation(ACCOUNT_NAME).filter(|name| is_token(secret) && !name.is_empty())
}

/// Whether the Secret means this very account; without a uid it means any of the name.
pub(crate) fn means(secret: &Secret, account: &ServiceAccount) -> bool {
    let uid = secret.annotation(ACCOUNT_UID).unwrap_or_default();
    uid.is_empty() || uid == account.uid()
}

/// The claims of tokens that live in Secrets (`pkg/serviceaccount/legacy.go`).
fn claims(account: &ServiceAccount, secret: &Secret) -> Value {
    let (namespace, name) = (account.namespace(), account.name());
    json!({
        "iss": "kubernetes/serviceaccount",
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": secret.name(),
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": account.uid(),
    })
}

/// The Secret with everything that belongs into it; `None` when it is all there.
fn filled(
    secret: &Secret,
    account: &ServiceAccount,
    ca_bundle: &str,
    token: impl FnOnce(&Value) -> Result<String, String>,
) -> Result<Option<Secret>, String> {
    let has = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map_or(&[][..], |value| &value.0);
    let ca_differs = !ca_bundle.is_empty() && has(CA) != ca_bundle.as_bytes();
    if !ca_differs && !has(NAMESPACE).is_empty() && !has(TOKEN).is_empty() {
        return Ok(None);
    }
    let mut changed = secret.clone();
    let data = changed.data.get_or_insert_default();
    if ca_differs {
        data.insert(CA.to_owned(), ByteString(ca_bundle.as_bytes().to_vec()));
    }
    if has(NAMESPACE).is_empty() {
        data.insert(NAMESPACE.to_owned(), ByteString(secret.namespace().as_bytes().to_vec()));
    }
    if has(TOKEN).is_empty() {
        data.insert(TOKEN.to_owned(), ByteString(token(&claims(account, secret))?.into_bytes()));
    }
    let annotations = changed.metadata.annotations.get_or_insert_default();
    annotations.insert(ACCOUNT_NAME.to_owned(), account.name().to_owned());
    annotations.insert(ACCOUNT_UID.to_owned(), account.uid().to_owned());
    Ok(Some(changed))
}

/// The account without its reference to a Secret.
fn forget(account: &ServiceAccount, secret: &str) -> Plan {
    let mut plan = Plan::default();
    let names = |reference: &k8s_openapi::api::core::v1::ObjectReference| reference.name.as_deref() == Some(secret);
    if account.secrets.iter().flatten().any(names) {
        let mut changed = account.clone();
        changed.secrets.get_or_insert_default().retain(|reference| !names(reference));
        plan.update(&changed);
    }
    plan
}

#[async_trait]
impl Reconcile for ServiceAccountTokens {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "serviceaccount-token-controller",
            // The one controller that acts as the controller manager itself: nobody else may write any Secret.
            account: "system:kube-controller-manager",
            component: "serviceaccount-token-controller",
            workers: 5,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let by_secret = |event: &informer::Event<Secret>| {
            let mut keys: Vec<Key> = event.new.iter().filter(|new| is_token(new)).map(|new| key_of(&**new)).collect();
            let gone = event.old.as_ref().filter(|old| event.new.as_ref().is_none_or(|new| new.uid() != old.uid()));
            let reference = gone.and_then(|old| Some((old, account_name(old)?)));
            keys.extend(
                reference.map(|(old, account)| Key::new(old.namespace(), &format!("{}@{account}", old.name()))),
            );
            keys
        };
        let secrets = self.secrets.clone();
        let by_account = move |event: &informer::Event<ServiceAccount>| {
            let Some(account) = event.latest().filter(|_| event.old.is_none() || event.new.is_none()) else {
                return Vec::new();
            };
            let own = secrets.by_index(BY_ACCOUNT, &key_of(&**account).to_string());
            own.iter().map(|secret| key_of(&**secret)).collect()
        };
        vec![
            Watch::on(&self.informers, &self.secrets, by_secret),
            Watch::on(&self.informers, &self.accounts, by_account),
        ]
    }

    async fn reconcile(&self, key: &Key, api: &Api) -> Result<Option<Duration>, ApiError> {
        let mut plan = Plan::default();
        if let Some((secret, account)) = key.name.split_once('@') {
            let there_again = self.secrets.raw(&key.namespace, secret).is_some();
            let account = self.accounts.get(&key.namespace, account).filter(|_| !there_again);
            plan = account.map_or(plan, |account| forget(&account, secret));
        } else if let Some(secret) = self.secrets.get(&key.namespace, &key.name) {
            let Some(name) = account_name(&secret) else { return Ok(None) };
            match self.account(&secret, name, api).await? {
                None => plan.delete(&*secret),
                Some(account) => {
                    let token = |claims: &Value| self.credentials.token(claims);
                    let failed = |why| ApiError::Credentials { target: key.to_string(), why };
                    if let Some(changed) = filled(&secret, &account, &self.ca_bundle, token).map_err(failed)? {
                        plan.update(&changed);
                    }
                }
            }
        }
        api.apply(&plan).await?;
        Ok(None)
    }
}

impl ServiceAccountTokens {
    /// The account from the cache, or past it, since a wrong "it is gone" would cost a token.
    async fn account(&self, secret: &Secret, name: &str, api: &Api) -> Result<Option<Arc<ServiceAccount>>, ApiError> {
        let cached = self.accounts.get(secret.namespace(), name).filter(|account| means(secret, account));
        if cached.is_some() {
            return Ok(cached);
        }
        let (resource, namespace) = (resource_of::<ServiceAccount>(), secret.namespace().to_owned());
        let target = Target { resource, namespace, name: name.to_owned(), subresource: "" };
        let live = api.get(&target).await?.and_then(|live| serde_json::from_value::<ServiceAccount>(live).ok());
        Ok(live.filter(|account| means(secret, account)).map(Arc::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> ServiceAccount {
        let references = json!([{"name": "t"}, {"name": "other"}]);
        serde_json::from_value(
            json!({"metadata": {"name": "default", "namespace": "ns", "uid": "u"}, "secrets": references}),
        )
        .unwrap()
    }

    fn secret(uid: Option<&str>, data: Value) -> Secret {
        serde_json::from_value(json!({"metadata": {"name": "t", "namespace": "ns", "annotations": {ACCOUNT_NAME: "default", ACCOUNT_UID: uid.unwrap_or_default()}},
            "type": TOKEN_TYPE, "data": data}))
        .unwrap()
    }

    /// Cases of upstream's `TestTokenCreation`: added and updated Secrets.
    #[test]
    fn what_is_missing_is_filled_in() {
        let run = |data: Value| {
            let filled =
                filled(&secret(None, data), &account(), "CA", |claims| Ok(claims["sub"].as_str().unwrap().to_owned()))
                    .unwrap();
            filled.map(|secret| {
                assert_eq!(secret.annotation(ACCOUNT_UID), Some("u"));
                let text = |value: ByteString| String::from_utf8(value.0).unwrap();
                secret
                    .data
                    .unwrap()
                    .into_iter()
                    .map(|(key, value)| format!("{key}={}", text(value)))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
        };
        // "CA", "ns" and "T" in base64.
        let (ca, ns, token) = ("Q0E=", "bnM=", "VA==");
        assert_eq!(run(json!({})).unwrap(), "ca.crt=CA namespace=ns token=system:serviceaccount:ns:default");
        assert_eq!(run(json!({"token": token})).unwrap(), "ca.crt=CA namespace=ns token=T");
        assert_eq!(
            run(json!({"token": token, "ca.crt": token, "namespace": ns})).unwrap(),
            "ca.crt=CA namespace=ns token=T"
        );
        assert_eq!(
            run(json!({"token": token, "ca.crt": ca, "namespace": token})),
            None,
            "a namespace of the user's stays"
        );
    }

    #[test]
    fn only_the_account_of_the_uid_is_meant() {
        assert!(means(&secret(None, json!({})), &account()) && means(&secret(Some("u"), json!({})), &account()));
        assert!(!means(&secret(Some("before"), json!({})), &account()));
    }

    #[test]
    fn a_reference_goes_with_its_token() {
        let plan = forget(&account(), "t");
        assert_eq!(plan.to_string(), "update serviceaccounts ns/default");
        let crate::plan::Write::Update { body, .. } = &plan.writes[0] else { panic!("no update") };
        assert_eq!(body["secrets"], json!([{"name": "other"}]));
        assert_eq!(forget(&account(), "unknown"), Plan::default());
    }
}
