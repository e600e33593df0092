//! Removes requests that nobody needs any more: certificate signing requests some time after their end, and pods'
//! certificate requests some time after their beginning. Upstream's `pkg/controller/certificates/cleaner`.
//!
//! Owns nothing. Woken by the requests, and then when their time has come.

use super::{certificate, conditions, has};
use crate::controller::{Controller, Descriptor, Watch};
use crate::meta::Meta;
use crate::plan::Plan;
use crate::queue::Key;
use informer::{Informers, Store};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, PodCertificateRequest};
use std::sync::Arc;
use x509_parser::pem::parse_x509_pem;

/// After an approval with a certificate, a denial or a failure.
const DECIDED: SignedDuration = SignedDuration::from_hours(1);
/// Without any of these.
const PENDING: SignedDuration = SignedDuration::from_hours(24);
/// After the creation of a pod's request.
const POD_REQUEST: SignedDuration = SignedDuration::from_mins(15);

pub(crate) struct Cleaner {
    informers: Informers,
    requests: Store<CertificateSigningRequest>,
}

impl Cleaner {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), requests: informers.store() }
    }
}

impl Controller for Cleaner {
    type Observed = Arc<CertificateSigningRequest>;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "certificatesigningrequest-cleaner-controller",
            account: "certificate-controller",
            component: "csrcleaner",
            workers: 1,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(&self.informers, &self.requests)]
    }

    fn observe(&self, key: &Key) -> Option<Self::Observed> {
        self.requests.get("", &key.name)
    }

    fn plan(&self, request: &Self::Observed, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        delete_at(&**request, end(request), now, &mut plan);
        plan
    }
}

fn delete_at<K: k8s_openapi::Resource + Meta>(object: &K, end: Option<Timestamp>, now: Timestamp, plan: &mut Plan) {
    match end {
        Some(end) if end > now => plan.again_after(end.duration_since(now).unsigned_abs()),
        Some(_) => plan.delete(object),
        None => {}
    }
}

/// When the request may go.
fn end(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let issued = certificate(request);
    let after = |time: Timestamp, wait: SignedDuration| time.checked_add(wait).ok();
    if conditions(request).is_empty() {
        return after(request.created(), PENDING);
    }
    let by_condition = conditions(request).iter().filter_map(|condition| {
        let since = condition.last_update_time.as_ref().map(|time| time.0)?;
        match condition.type_.as_str() {
            "Approved" if issued.is_none() => after(since, PENDING),
            "Approved" | "Denied" | "Failed" => after(since, DECIDED),
            _ => None,
        }
    });
    let expiry = issued.filter(|_| has(request, "Approved")).and_then(expiry);
    by_condition.chain(expiry).min()
}

fn expiry(pem: &[u8]) -> Option<Timestamp> {
    let (_, block) = parse_x509_pem(pem).ok()?;
    let certificate = block.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

pub(crate) struct PodRequestCleaner {
    informers: Informers,
    requests: Store<PodCertificateRequest>,
}

impl PodRequestCleaner {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), requests: informers.store() }
    }
}

impl Controller for PodRequestCleaner {
    type Observed = Arc<PodCertificateRequest>;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "podcertificaterequest-cleaner-controller",
            account: "podcertificaterequestcleaner",
            component: "podcertificaterequestcleaner",
            workers: 1,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(&self.informers, &self.requests)]
    }

    fn observe(&self, key: &Key) -> Option<Self::Observed> {
        self.requests.get(&key.namespace, &key.name)
    }

    fn plan(&self, request: &Self::Observed, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        delete_at(&**request, request.created().checked_add(POD_REQUEST).ok(), now, &mut plan);
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use serde_json::json;

    fn run(age_hours: i64, conditions: &[(&str, i64)], certificate: Option<&str>) -> String {
        let now: Timestamp = "2024-01-10T00:00:00Z".parse().unwrap();
        let ago = |hours: i64| (now - SignedDuration::from_hours(hours)).to_string();
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(kind, hours)| json!({"type": kind, "status": "True", "lastUpdateTime": ago(*hours)}))
            .collect();
        let mut request: CertificateSigningRequest = serde_json::from_value(json!({
            "metadata": {"name": "r", "creationTimestamp": ago(age_hours)},
            "spec": {"signerName": "s", "request": ""}, "status": {"conditions": conditions}}))
        .unwrap();
        if let Some(pem) = certificate {
            request.status.get_or_insert_default().certificate = Some(ByteString(pem.as_bytes().to_vec()));
        }
        let mut plan = Plan::default();
        delete_at(&request, end(&request), now, &mut plan);
        plan.to_string()
    }

    /// Cases of upstream's `TestCleanerWithApprovedExpiredCSR`.
    #[test]
    fn requests_go_when_their_time_is_over() {
        let gone = "delete certificatesigningrequests.certificates.k8s.io r";
        assert_eq!(run(25, &[], None), gone, "pending for too long");
        assert_eq!(run(23, &[], None), "again in 3600s");
        assert_eq!(run(50, &[("Approved", 2)], Some("junk")), gone);
        assert_eq!(run(50, &[("Approved", 0)], Some("junk")), "again in 3600s");
        assert_eq!(run(50, &[("Approved", 2)], None), "again in 79200s", "approved, not issued");
        assert_eq!(run(50, &[("Approved", 25)], None), gone);
        assert_eq!(run(50, &[("Denied", 2)], None), gone);
        assert_eq!(run(50, &[("Failed", 0)], None), "again in 3600s");
        let expired = rcgen::CertificateParams::default();
        let mut params = expired;
        params.not_after = rcgen::date_time_ymd(2024, 1, 9);
        let key = rcgen::KeyPair::generate().unwrap();
        assert_eq!(run(1, &[("Approved", 0)], Some(&params.self_signed(&key).unwrap().pem())), gone, "expired");
    }
}
