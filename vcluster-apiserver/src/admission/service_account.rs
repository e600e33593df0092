//! Every pod runs as a service account and finds that account's token where clients look for it
//! (k8s.io/kubernetes `plugin/pkg/admission/serviceaccount`).

use super::{Attributes, Plugin, lookup};
use crate::authz::pod_references::references;
use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use crate::reviews::token_request::PROJECTED_SECONDS;
use apimachinery::clock::Rng;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use futures::StreamExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
pub const MIRROR: &str = "kubernetes.io/config.mirror";
/// The controller makes a namespace's default account a moment after the namespace; pods wait for it this long.
const PATIENCE: Duration = Duration::from_millis(1500);

pub struct ServiceAccount {
    rng: Arc<dyn Rng>,
}

impl ServiceAccount {
    pub fn new(rng: Arc<dyn Rng>) -> Self {
        Self { rng }
    }

    fn mount_token(&self, pod: &mut Object) {
        let existing = pod.at(&["spec", "volumes"]).and_then(Value::as_array).into_iter().flatten().find_map(|v| {
            v.get("name").and_then(Value::as_str).filter(|n| n.starts_with(VOLUME_PREFIX)).map(str::to_owned)
        });
        let name = existing.clone().unwrap_or_else(|| format!("{VOLUME_PREFIX}{}", self.rng.name_suffix()));
        let mount = json!({ "name": name, "readOnly": true, "mountPath": MOUNT_PATH });
        let Some(Value::Object(spec)) = pod.as_map_mut().get_mut("spec") else { return };
        let mut needed = false;
        for list in ["initContainers", "containers"] {
            let Some(Value::Array(containers)) = spec.get_mut(list) else { continue };
            for container in containers.iter_mut().filter_map(Value::as_object_mut) {
                let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
                if mounts.is_null() {
                    *mounts = json!([]);
                }
                let Value::Array(mounts) = mounts else { continue };
                if mounts.iter().all(|m| m.get("mountPath").and_then(Value::as_str) != Some(MOUNT_PATH)) {
                    mounts.push(mount.clone());
                    needed = true;
                }
            }
        }
        if existing.is_none() && needed {
            let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
            if volumes.is_null() {
                *volumes = json!([]);
            }
            if let Value::Array(volumes) = volumes {
                volumes.push(token_volume(&name));
            }
        }
    }
}

fn token_volume(name: &str) -> Value {
    let namespace =
        json!({ "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } });
    json!({
        "name": name,
        "projected": {
            "defaultMode": 420,
            "sources": [
                { "serviceAccountToken": { "expirationSeconds": PROJECTED_SECONDS, "path": "token" } },
                { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
                { "downwardAPI": { "items": [namespace] } },
            ],
        },
    })
}

async fn account(backend: &Backend, a: &Attributes, pod: &Object) -> Result<Object, Status> {
    let name = account_name(pod);
    if name.is_empty() {
        let why = format!("no service account specified for pod {}/{}", a.namespace, pod.name());
        return Err(a.forbidden(pod, why));
    }
    let found = match lookup(backend, "", "serviceaccounts", &a.namespace, name).await? {
        None if name == "default" => appears(backend, &a.namespace).await?,
        found => found,
    };
    found.ok_or_else(|| {
        let namespace = &a.namespace;
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
        a.forbidden(pod, why)
    })
}

/// Waits for a namespace's default account on the watch cache.
async fn appears(backend: &Backend, namespace: &str) -> Result<Option<Object>, Status> {
    let after = backend.storage.current().await.map_err(super::unreadable)?;
    let mut watch = backend.storage.watch(Some("serviceaccounts".into()), after).await.map_err(super::unreadable)?;
    let arrival = async {
        loop {
            if let Some(account) = lookup(backend, "", "serviceaccounts", namespace, "default").await? {
                return Ok(Some(account));
            }
            if !matches!(watch.next().await, Some(Ok(_))) {
                return Ok(None);
            }
        }
    };
    tokio::time::timeout(PATIENCE, arrival).await.unwrap_or(Ok(None))
}

fn account_name(pod: &Object) -> &str {
    pod.at(&["spec", "serviceAccountName"]).and_then(Value::as_str).unwrap_or_default()
}

fn validate_mirror(a: &Attributes, pod: &Object) -> Result<(), Status> {
    if !account_name(pod).is_empty() {
        return Err(a.forbidden(pod, "a mirror pod may not reference service accounts"));
    }
    if !references(pod, "secrets").is_empty() {
        return Err(a.forbidden(pod, "a mirror pod may not reference secrets"));
    }
    let volumes = pod.at(&["spec", "volumes"]).and_then(Value::as_array).into_iter().flatten();
    let sources = volumes.filter_map(|v| v.pointer("/projected/sources").and_then(Value::as_array)).flatten();
    if sources.into_iter().any(|s| s.get("serviceAccountToken").is_some_and(|t| !t.is_null())) {
        return Err(a.forbidden(pod, "a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

/// Where an account says so by annotation, its pods may only use the secrets that it lists.
fn validate_secrets(a: &Attributes, pod: &Object, account: &Object) -> Result<(), Status> {
    if account.annotation("kubernetes.io/enforce-mountable-secrets") != Some("true") {
        return Ok(());
    }
    let listed = |field: &str| -> Vec<&str> {
        let list = account.at(&[field]).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|s| s.get("name")?.as_str()).collect()
    };
    let (secrets, pulls) = (listed("secrets"), listed("imagePullSecrets"));
    let pull_names: Vec<&str> = {
        let list = pod.at(&["spec", "imagePullSecrets"]).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|s| s.get("name")?.as_str()).collect()
    };
    let account = account.name();
    if let Some((index, name)) = pull_names.iter().enumerate().find(|(_, n)| !pulls.contains(n)) {
        let why = format!(
            "imagePullSecrets[{index}].name=\"{name}\" is not allowed because service account {account} does not reference that imagePullSecret"
        );
        return Err(a.forbidden(pod, why));
    }
    let used = references(pod, "secrets");
    if let Some(name) = used.iter().find(|n| !secrets.contains(&n.as_str()) && !pull_names.contains(&n.as_str())) {
        let why = format!(
            "volume with secret.secretName=\"{name}\" is not allowed because service account {account} does not reference that secret"
        );
        return Err(a.forbidden(pod, why));
    }
    Ok(())
}

#[async_trait]
impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn handles(&self, a: &Attributes) -> bool {
        (a.creates() && a.is("", "pods")) || (a.updates() && a.is_at("", "pods", "ephemeralcontainers"))
    }

    async fn admit(&self, _: &RequestCx, backend: &Backend, a: &Attributes, pod: &mut Object) -> Result<(), Status> {
        if !a.creates() || pod.annotation(MIRROR).is_some() {
            return Ok(());
        }
        if account_name(pod).is_empty() {
            pod.set_at(&["spec", "serviceAccountName"], json!("default"));
            pod.set_at(&["spec", "serviceAccount"], json!("default"));
        }
        let account = account(backend, a, pod).await?;
        let wish = |o: &Object, path: &[&str]| o.at(path).and_then(Value::as_bool);
        let automount = wish(pod, &["spec", "automountServiceAccountToken"])
            .or_else(|| wish(&account, &["automountServiceAccountToken"]))
            .unwrap_or(true);
        if automount {
            self.mount_token(pod);
        }
        let own = pod.at(&["spec", "imagePullSecrets"]).and_then(Value::as_array).is_some_and(|l| !l.is_empty());
        if !own
            && let Some(Value::Array(secrets)) = account.at(&["imagePullSecrets"])
            && !secrets.is_empty()
        {
            let names = secrets.iter().map(|s| json!({ "name": s.get("name").cloned().unwrap_or_default() }));
            pod.set_at(&["spec", "imagePullSecrets"], Value::Array(names.collect()));
        }
        Ok(())
    }

    async fn validate(
        &self,
        _: &RequestCx,
        backend: &Backend,
        a: &Attributes,
        pod: &Object,
        _: &mut Transaction,
    ) -> Result<(), Status> {
        if a.creates() && pod.annotation(MIRROR).is_some() {
            return validate_mirror(a, pod);
        }
        let account = account(backend, a, pod).await?;
        validate_secrets(a, pod, &account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;
    use apimachinery::clock::SeededRng;

    fn plugin() -> ServiceAccount {
        ServiceAccount::new(Arc::new(SeededRng::new(1)))
    }

    fn pod(spec: Value) -> Asked {
        Asked::create("/pods", json!({ "metadata": { "namespace": "ns", "name": "p" }, "spec": spec }))
    }

    async fn store(account: Value) -> Fixture {
        let store = Fixture::default();
        let mut object = json!({ "metadata": { "namespace": "ns", "name": "default" } });
        object.as_object_mut().unwrap().extend(account.as_object().unwrap().clone());
        store.put("serviceaccounts", "", object).await;
        store
    }

    #[tokio::test]
    async fn a_pod_gets_account_token_and_pull_secrets() {
        let store = store(json!({ "imagePullSecrets": [{ "name": "registry" }] })).await;
        let spec = json!({ "containers": [
            { "name": "a" },
            { "name": "b", "volumeMounts": [{ "name": "own", "mountPath": MOUNT_PATH }] },
        ] });
        let (pod, ..) = pod(spec).run(&plugin(), &store).await.unwrap();
        let spec = &pod["spec"];
        assert_eq!((&spec["serviceAccountName"], &spec["serviceAccount"]), (&json!("default"), &json!("default")));
        assert_eq!(spec["imagePullSecrets"], json!([{ "name": "registry" }]));
        let volume = &spec["volumes"][0];
        let name = volume["name"].as_str().unwrap();
        assert!(name.starts_with(VOLUME_PREFIX) && name.len() == VOLUME_PREFIX.len() + 5);
        assert_eq!(
            volume["projected"]["sources"][0],
            json!({ "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } })
        );
        let mount = json!([{ "name": name, "readOnly": true, "mountPath": MOUNT_PATH }]);
        assert_eq!(spec["containers"][0]["volumeMounts"], mount);
        assert_eq!(spec["containers"][1]["volumeMounts"].as_array().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn the_pods_wish_comes_before_the_accounts() {
        let cases = [
            (None, None, true),
            (None, Some(false), false),
            (Some(true), Some(false), true),
            (Some(false), None, false),
        ];
        for (of_pod, of_account, wanted) in cases {
            let store = store(json!({ "automountServiceAccountToken": of_account })).await;
            let spec = json!({ "containers": [{ "name": "a" }], "automountServiceAccountToken": of_pod });
            let (pod, ..) = pod(spec).run(&plugin(), &store).await.unwrap();
            assert_eq!(pod["spec"].get("volumes").is_some(), wanted, "{of_pod:?} {of_account:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_account_is_refused_and_a_late_default_waited_for() {
        let store = Fixture::default();
        let named = pod(json!({ "serviceAccountName": "x" })).run(&plugin(), &store).await.unwrap_err();
        assert_eq!(
            named.message,
            "pods \"p\" is forbidden: error looking up service account ns/x: serviceaccount \"x\" not found"
        );
        let missing = pod(json!({})).run(&plugin(), &store).await.unwrap_err();
        assert_eq!(missing.code, 403);
        let account = json!({ "metadata": { "namespace": "ns", "name": "default" } });
        let plugin = plugin();
        let late = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            store.put("serviceaccounts", "", account).await;
        };
        let (outcome, ()) = tokio::join!(pod(json!({})).run(&plugin, &store), late);
        outcome.unwrap();
    }

    #[tokio::test]
    async fn mirror_pods_name_nothing() {
        let store = Fixture::default();
        let mirror = |spec: Value| {
            let metadata = json!({ "namespace": "ns", "name": "p", "annotations": { MIRROR: "x" } });
            Asked::create("/pods", json!({ "metadata": metadata, "spec": spec }))
        };
        mirror(json!({})).run(&plugin(), &store).await.unwrap();
        let secret = json!({ "volumes": [{ "name": "s", "secret": { "secretName": "s" } }] });
        for spec in [json!({ "serviceAccountName": "default" }), secret] {
            assert_eq!(mirror(spec).run(&plugin(), &store).await.unwrap_err().code, 403);
        }
    }
}
