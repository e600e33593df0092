//! A tenant's keys: its certificate authority, the key that signs service account tokens, the administrator's certificate.
//!
//! Made once and kept in Secrets; everything else (the server's own certificate) the tenant process makes in memory.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// What the Secret `NAME-pki` holds, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    pub ca_cert: String,
    pub ca_key: String,
    pub service_account_key: String,
}

/// A client certificate and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub cert: String,
    pub key: String,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}")]
pub struct Error {
    operation: &'static str,
    source: rcgen::Error,
}

fn failed(operation: &'static str) -> impl FnOnce(rcgen::Error) -> Error {
    move |source| Error { operation, source }
}

/// Years that a certificate authority and the administrator's certificate live.
const YEARS: i32 = 10;

impl Authority {
    /// Makes fresh keys; `year` is the year it is now.
    pub fn generate(tenant: &str, year: i32) -> Result<Self, Error> {
        let ca_key = KeyPair::generate().map_err(failed("make the key of a certificate authority"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("{tenant}-ca"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
        params.not_after = rcgen::date_time_ymd(year + YEARS, 1, 1);
        let cert = params.self_signed(&ca_key).map_err(failed("sign a certificate authority"))?;
        let service_account = KeyPair::generate().map_err(failed("make the key of service account tokens"))?;
        Ok(Self {
            ca_cert: cert.pem(),
            ca_key: ca_key.serialize_pem(),
            service_account_key: service_account.serialize_pem(),
        })
    }

    /// A certificate with every right in the tenant: user `kubernetes-admin`, group `system:masters`.
    pub fn admin(&self, year: i32) -> Result<Client, Error> {
        let ca_key = KeyPair::from_pem(&self.ca_key).map_err(failed("read the key of the certificate authority"))?;
        let issuer =
            Issuer::from_ca_cert_pem(&self.ca_cert, ca_key).map_err(failed("read the certificate authority"))?;
        let key = KeyPair::generate().map_err(failed("make the administrator's key"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "kubernetes-admin");
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
        params.not_after = rcgen::date_time_ymd(year + YEARS, 1, 1);
        let cert = params.signed_by(&key, &issuer).map_err(failed("sign the administrator's certificate"))?;
        Ok(Client { cert: cert.pem(), key: key.serialize_pem() })
    }
}

/// A kubeconfig with one context named after the tenant.
pub fn kubeconfig(tenant: &str, server: &str, ca_cert: &str, client: &Client) -> String {
    let document = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": tenant,
        "clusters": [{"name": tenant, "cluster": {"server": server, "certificate-authority-data": encoded(ca_cert)}}],
        "contexts": [{"name": tenant, "context": {"cluster": tenant, "user": tenant}}],
        "users": [{"name": tenant, "user": {
            "client-certificate-data": encoded(&client.cert),
            "client-key-data": encoded(&client.key),
        }}],
    });
    // JSON is YAML, and every client reads it.
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn encoded(pem: &str) -> serde_json::Value {
    serde_json::to_value(k8s_openapi::ByteString(pem.as_bytes().to_vec())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_administrator_is_signed_by_the_authority() {
        let authority = Authority::generate("demo", 2026).unwrap();
        let client = authority.admin(2026).unwrap();
        let (_, ca) = x509_parser::pem::parse_x509_pem(authority.ca_cert.as_bytes()).unwrap();
        let (_, leaf) = x509_parser::pem::parse_x509_pem(client.cert.as_bytes()).unwrap();
        let (ca, leaf) = (ca.parse_x509().unwrap(), leaf.parse_x509().unwrap());
        assert!(ca.is_ca());
        assert_eq!(leaf.issuer(), ca.subject());
        assert_eq!(leaf.subject().to_string(), "CN=kubernetes-admin, O=system:masters");
        let text = kubeconfig("demo", "https://h:1", &authority.ca_cert, &client);
        assert!(text.contains("\"current-context\": \"demo\""));
    }
}
