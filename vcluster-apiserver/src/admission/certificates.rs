//! Who may approve and sign certificate requests, and what nobody may ask for
//! (k8s.io/kubernetes `plugin/pkg/admission/certificates`, `pkg/certauthorization`).

use super::{Attributes, Plugin};
use crate::authn::user::MASTERS;
use crate::authz::{self, Authorizer, Decision};
use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde_json::Value;
use std::sync::Arc;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// Approval needs the verb `approve` on the signer.
pub struct CertificateApproval(pub Arc<dyn Authorizer>);

/// Signing needs the verb `sign` on the signer.
pub struct CertificateSigning(pub Arc<dyn Authorizer>);

/// Nobody becomes a master by certificate.
#[derive(Clone, Copy, Debug, Default)]
pub struct CertificateSubjectRestriction;

fn signer(request: &Object) -> &str {
    request.at(&["spec", "signerName"]).and_then(Value::as_str).unwrap_or_default()
}

/// Asks for the signer by its name, then for its domain with `/*`.
async fn may(authorizer: &dyn Authorizer, cx: &RequestCx, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let question = authz::Attributes {
            user: cx.user.clone(),
            verb: verb.into(),
            group: GROUP.into(),
            version: "*".into(),
            resource: "signers".into(),
            name,
            is_resource: true,
            ..authz::Attributes::default()
        };
        if authorizer.authorize(&question).await == Decision::Allow {
            return true;
        }
    }
    false
}

#[async_trait]
impl Plugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn handles(&self, a: &Attributes) -> bool {
        a.updates() && a.is_at(GROUP, "certificatesigningrequests", "approval")
    }

    async fn validate(
        &self,
        cx: &RequestCx,
        _: &Backend,
        a: &Attributes,
        object: &Object,
        _: &mut Transaction,
    ) -> Result<(), Status> {
        let signer = a.old.as_ref().map(signer).unwrap_or_default();
        if may(&*self.0, cx, "approve", signer).await {
            return Ok(());
        }
        Err(a.forbidden(object, format!("user not permitted to approve requests with signerName {signer:?}")))
    }
}

#[async_trait]
impl Plugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn handles(&self, a: &Attributes) -> bool {
        a.updates() && a.is_at(GROUP, "certificatesigningrequests", "status")
    }

    async fn validate(
        &self,
        cx: &RequestCx,
        _: &Backend,
        a: &Attributes,
        object: &Object,
        _: &mut Transaction,
    ) -> Result<(), Status> {
        let Some(old) = &a.old else { return Ok(()) };
        let same = |field: &str| old.at(&["status", field]) == object.at(&["status", field]);
        if same("certificate") && same("conditions") {
            return Ok(());
        }
        let signer = signer(old);
        if may(&*self.0, cx, "sign", signer).await {
            return Ok(());
        }
        Err(a.forbidden(object, format!("user not permitted to sign requests with signerName {signer:?}")))
    }
}

/// The organizations of a PEM certificate request.
fn organizations(request: &Object) -> Result<Vec<String>, String> {
    let encoded = request.at(&["spec", "request"]).and_then(Value::as_str).unwrap_or_default();
    let pem = STANDARD.decode(encoded).map_err(|e| e.to_string())?;
    let unreadable = || "PEM block type must be CERTIFICATE REQUEST".to_owned();
    let (kind, der) = <(SectionKind, Vec<u8>)>::from_pem_slice(&pem).map_err(|_| unreadable())?;
    if kind != SectionKind::Csr {
        return Err(unreadable());
    }
    let (_, parsed) = X509CertificationRequest::from_der(&der).map_err(|e| e.to_string())?;
    let subject = &parsed.certification_request_info.subject;
    Ok(subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect())
}

#[async_trait]
impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn handles(&self, a: &Attributes) -> bool {
        a.creates() && a.is(GROUP, "certificatesigningrequests")
    }

    async fn validate(
        &self,
        _: &RequestCx,
        _: &Backend,
        a: &Attributes,
        object: &Object,
        _: &mut Transaction,
    ) -> Result<(), Status> {
        if signer(object) != CLIENT_SIGNER {
            return Ok(());
        }
        let groups = organizations(object).map_err(|why| a.forbidden(object, format!("failed to parse CSR: {why}")))?;
        if groups.iter().any(|g| g == MASTERS) {
            let why = format!("use of {CLIENT_SIGNER} signer with system:masters group is not allowed");
            return Err(a.forbidden(object, why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;
    use serde_json::json;

    /// Allows exactly this verb on exactly this name.
    struct Only(&'static str, &'static str);

    #[async_trait]
    impl Authorizer for Only {
        async fn authorize(&self, a: &authz::Attributes) -> Decision {
            let allowed = a.resource == "signers" && a.verb == self.0 && a.name == self.1;
            if allowed { Decision::Allow } else { Decision::NoOpinion(String::new()) }
        }
    }

    fn request(status: Value) -> Value {
        json!({ "metadata": { "name": "r" }, "spec": { "signerName": "example.com/one" }, "status": status })
    }

    #[tokio::test]
    async fn approval_and_signing_need_the_signers_permission() {
        let store = Fixture::default();
        for (name, wanted) in [("example.com/one", true), ("example.com/*", true), ("example.com/two", false)] {
            let path = "certificates.k8s.io/certificatesigningrequests/approval";
            let asked = Asked::update(path, request(json!({})), request(json!({})));
            let outcome = asked.run(&CertificateApproval(Arc::new(Only("approve", name))), &store).await;
            assert_eq!(outcome.is_ok(), wanted, "{name}");
            let path = "certificates.k8s.io/certificatesigningrequests/status";
            let asked = Asked::update(path, request(json!({})), request(json!({ "certificate": "x" })));
            let outcome = asked.run(&CertificateSigning(Arc::new(Only("sign", name))), &store).await;
            assert_eq!(outcome.is_ok(), wanted, "{name}");
        }
    }
}
