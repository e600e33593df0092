//! Signs approved requests to Kubernetes' own signers with the cluster's key. Upstream's `pkg/controller/certificates/signer`
//! and `authority`.
//!
//! Owns `status.certificate` and the condition `Failed` of those requests. It holds no key: that is asked of
//! [`crate::Credentials`]. Woken by requests.

use super::request::{self, Parsed};
use super::{has, is_issued};
use crate::api::{Api, ApiError};
use crate::controller::{Descriptor, Reconcile, Watch};
use crate::credentials::{Credentials, SigningRequest};
use crate::meta::Meta;
use crate::plan::Plan;
use crate::queue::Key;
use crate::recorder::stamp;
use apimachinery::clock::Clock;
use async_trait::async_trait;
use informer::{Informers, Store};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The default of `--cluster-signing-duration`, and at once the longest.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 365);
const SHORTEST: SignedDuration = SignedDuration::from_mins(10);
/// Clocks may be this much behind ours. What lives shorter than `SHORT` does not pay for it at its end.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
const SHORT: SignedDuration = SignedDuration::from_hours(8);

pub(crate) struct Signing {
    informers: Informers,
    requests: Store<CertificateSigningRequest>,
    credentials: Arc<dyn Credentials>,
    clock: Arc<dyn Clock>,
}

impl Signing {
    pub(crate) fn new(informers: &Informers, credentials: Arc<dyn Credentials>, clock: Arc<dyn Clock>) -> Self {
        Self { informers: informers.clone(), requests: informers.store(), credentials, clock }
    }
}

#[derive(Debug, PartialEq)]
enum Decision {
    Nothing,
    Unreadable(String),
    Refuse(String),
    Sign(SigningRequest),
}

fn decide(object: &CertificateSigningRequest, now: Timestamp) -> Decision {
    let failed =
        super::conditions(object).iter().any(|own| own.type_ == "Failed" && matches!(&*own.status, "" | "True"));
    let Some(check) = rules(&object.spec.signer_name) else { return Decision::Nothing };
    if is_issued(object) || !has(object, "Approved") || has(object, "Denied") || failed {
        return Decision::Nothing;
    }
    let usages = object.spec.usages.clone().unwrap_or_default();
    let parsed = match request::parse(&object.spec.request.0) {
        Ok(parsed) => parsed,
        Err(why) => return Decision::Unreadable(why),
    };
    if let Err(why) = check(&parsed, &usages) {
        return Decision::Refuse(why);
    }
    let (not_before, not_after) = validity(object.spec.expiration_seconds, now);
    Decision::Sign(SigningRequest { der: parsed.der, usages, not_before, not_after })
}

type Rules = fn(&Parsed, &[String]) -> Result<(), String>;

fn rules(signer: &str) -> Option<Rules> {
    match signer {
        "kubernetes.io/kube-apiserver-client" => Some(|_, usages| request::check_client(usages)),
        "kubernetes.io/kube-apiserver-client-kubelet" => Some(Parsed::check_kubelet_client),
        "kubernetes.io/kubelet-serving" => Some(Parsed::check_kubelet_serving),
        "kubernetes.io/legacy-unknown" => Some(|_, _| Ok(())),
        _ => None,
    }
}

fn validity(asked: Option<i32>, now: Timestamp) -> (Timestamp, Timestamp) {
    let lifetime = asked.map_or(LONGEST, |seconds| SignedDuration::from_secs(seconds.into()).clamp(SHORTEST, LONGEST));
    let end = if lifetime < SHORT { lifetime } else { lifetime - BACKDATE };
    (now.checked_sub(BACKDATE).unwrap_or(now), now.checked_add(end).unwrap_or(now))
}

#[async_trait]
impl Reconcile for Signing {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "certificatesigningrequest-signing-controller",
            account: "certificate-controller",
            component: "csrsigning",
            workers: 5,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(&self.informers, &self.requests)]
    }

    async fn reconcile(&self, key: &Key, api: &Api) -> Result<Option<Duration>, ApiError> {
        let Some(object) = self.requests.get("", &key.name) else { return Ok(None) };
        let now = self.clock.now();
        let mut changed = (*object).clone();
        let status = changed.status.get_or_insert_default();
        match decide(&object, now) {
            Decision::Nothing => return Ok(None),
            Decision::Unreadable(why) => {
                tracing::debug!(request = object.name(), why, "the request cannot be read");
                return Ok(None);
            }
            Decision::Refuse(message) => {
                let condition = json!({"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": message,
                    "lastUpdateTime": stamp(now), "lastTransitionTime": stamp(now)});
                status.conditions.get_or_insert_default().extend(serde_json::from_value(condition));
            }
            Decision::Sign(request) => match self.credentials.sign(&request) {
                Ok(pem) => status.certificate = Some(ByteString(pem.into_bytes())),
                Err(why) => return Err(ApiError::Credentials { target: key.to_string(), why }),
            },
        }
        let mut plan = Plan::default();
        plan.update_status(&changed);
        api.apply(&plan).await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::request::tests::pem;

    const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

    fn run(signer: &str, usage: &str, conditions: &[&str], seconds: Option<i32>) -> Decision {
        let conditions: Vec<_> = conditions.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
        let mut object: CertificateSigningRequest = serde_json::from_value(json!({"metadata": {"name": "r"},
            "spec": {"signerName": signer, "usages": [usage], "request": "", "expirationSeconds": seconds},
            "status": {"conditions": conditions}}))
        .unwrap();
        object.spec.request = ByteString(pem("user", &["group"], &[]));
        decide(&object, "2024-01-01T00:00:00Z".parse().unwrap())
    }

    fn lifetime(seconds: Option<i32>) -> (String, String) {
        let Decision::Sign(request) = run(CLIENT, "client auth", &["Approved"], seconds) else { panic!("not signed") };
        (request.not_before.to_string(), request.not_after.to_string())
    }

    /// Cases of upstream's `TestHandle` and `TestSign`.
    #[test]
    fn only_what_is_approved_and_allowed_is_signed() {
        assert_eq!(run(CLIENT, "client auth", &[], None), Decision::Nothing);
        assert_eq!(run(CLIENT, "client auth", &["Approved", "Denied"], None), Decision::Nothing);
        assert_eq!(run(CLIENT, "client auth", &["Approved", "Failed"], None), Decision::Nothing);
        assert_eq!(run("example.com/other", "client auth", &["Approved"], None), Decision::Nothing);
        let refused = Decision::Refuse("invalid usage for client certificate: server auth".into());
        assert_eq!(run(CLIENT, "server auth", &["Approved"], None), refused);
        assert!(matches!(run("kubernetes.io/legacy-unknown", "server auth", &["Approved"], None), Decision::Sign(_)));
        let refused = Decision::Refuse("subject organization is not system:nodes".into());
        assert_eq!(run("kubernetes.io/kubelet-serving", "server auth", &["Approved"], None), refused);
    }

    /// Cases of upstream's `Test_signer_duration` and `TestCertificateAuthority`.
    #[test]
    fn lifetimes_are_what_was_asked_for_within_limits() {
        let before = "2023-12-31T23:55:00Z".to_owned();
        assert_eq!(lifetime(None), (before.clone(), "2024-12-30T23:55:00Z".to_owned()));
        assert_eq!(lifetime(Some(1)), (before.clone(), "2024-01-01T00:10:00Z".to_owned()));
        assert_eq!(lifetime(Some(3600)), (before.clone(), "2024-01-01T01:00:00Z".to_owned()));
        assert_eq!(lifetime(Some(9 * 3600)), (before.clone(), "2024-01-01T08:55:00Z".to_owned()));
        assert_eq!(lifetime(Some(i32::MAX)), (before, "2024-12-30T23:55:00Z".to_owned()));
    }
}
