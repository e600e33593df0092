//! Certificate signing requests: which are approved by themselves, which are signed with the cluster's key, and when they
//! go. Upstream's `pkg/controller/certificates`.

pub(crate) mod approving;
pub(crate) mod cleaner;
mod request;
pub(crate) mod signing;

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};

fn conditions(request: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    request.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

/// Approval and denial count by their presence, whatever their status.
fn has(request: &CertificateSigningRequest, kind: &str) -> bool {
    conditions(request).iter().any(|condition| condition.type_ == kind)
}

fn is_issued(request: &CertificateSigningRequest) -> bool {
    certificate(request).is_some()
}

fn certificate(request: &CertificateSigningRequest) -> Option<&[u8]> {
    let bytes = request.status.as_ref()?.certificate.as_ref()?.0.as_slice();
    (!bytes.is_empty()).then_some(bytes)
}
