//! What a certificate signing request asks for: the PKCS#10 of its body, and the rules of the kubelet signers
//! (`pkg/apis/certificates/helpers.go`).

use std::collections::BTreeSet;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

const NODES: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";
const NOT_A_NODE: &str = "subject common name does not begin with system:node:";

/// The subject and the alternative names of a request, and its bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) common_name: String,
    organizations: Vec<String>,
    dns: usize,
    emails: usize,
    addresses: usize,
    uris: usize,
    pub(super) der: Vec<u8>,
}

/// Reads the PEM of a request; the first block must be one.
pub(super) fn parse(pem: &[u8]) -> Result<Parsed, String> {
    let block = parse_x509_pem(pem).ok().map(|(_, block)| block).filter(|block| block.label == "CERTIFICATE REQUEST");
    let block = block.ok_or("PEM block type must be CERTIFICATE REQUEST")?;
    let (_, request) = X509CertificationRequest::from_der(&block.contents).map_err(|error| error.to_string())?;
    let subject = &request.certification_request_info.subject;
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().unwrap_or_default().to_owned();
    let mut parsed = Parsed {
        common_name: subject.iter_common_name().last().map(text).unwrap_or_default(),
        organizations: subject.iter_organization().map(text).collect(),
        ..Parsed::default()
    };
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
        for name in &names.general_names {
            match name {
                GeneralName::DNSName(_) => parsed.dns += 1,
                GeneralName::RFC822Name(_) => parsed.emails += 1,
                GeneralName::IPAddress(_) => parsed.addresses += 1,
                GeneralName::URI(_) => parsed.uris += 1,
                _ => {}
            }
        }
    }
    parsed.der.clone_from(&block.contents);
    Ok(parsed)
}

/// The usages must be these and no others; that of RSA keys may be left out.
fn check_usages(usages: &[String], last: &str) -> Result<(), String> {
    let given: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    let without_rsa = BTreeSet::from(["digital signature", last]);
    let mut full = without_rsa.clone();
    full.insert("key encipherment");
    if given == full || given == without_rsa {
        return Ok(());
    }
    Err(format!("usages did not match {full:?}")
        .replace(['{', '"', ','], "")
        .replace("match ", "match [")
        .replace('}', "]"))
}

fn check_names(forbidden: &[(usize, &str)]) -> Result<(), String> {
    match forbidden.iter().find(|(count, _)| *count > 0) {
        Some((_, kind)) => Err(format!("{kind} subjectAltNames are not allowed")),
        None => Ok(()),
    }
}

impl Parsed {
    fn check_organization(&self) -> Result<(), String> {
        let of_nodes = self.organizations == [NODES];
        if of_nodes { Ok(()) } else { Err(format!("subject organization is not {NODES}")) }
    }

    fn check_common_name(&self) -> Result<(), String> {
        if self.common_name.starts_with(NODE_PREFIX) { Ok(()) } else { Err(NOT_A_NODE.to_owned()) }
    }

    pub(super) fn check_kubelet_client(&self, usages: &[String]) -> Result<(), String> {
        self.check_organization()?;
        check_names(&[(self.dns, "DNS"), (self.emails, "Email"), (self.addresses, "IP"), (self.uris, "URI")])?;
        self.check_common_name()?;
        check_usages(usages, "client auth")
    }

    pub(super) fn check_kubelet_serving(&self, usages: &[String]) -> Result<(), String> {
        self.check_organization()?;
        if self.dns + self.addresses == 0 {
            return Err("DNS or IP subjectAltName is required".to_owned());
        }
        check_names(&[(self.emails, "Email"), (self.uris, "URI")])?;
        check_usages(usages, "server auth")?;
        self.check_common_name()
    }
}

/// The rules of signer `kubernetes.io/kube-apiserver-client`, which are about usages only.
pub(super) fn check_client(usages: &[String]) -> Result<(), String> {
    let optional = ["digital signature", "key encipherment", "client auth"];
    match usages.iter().find(|usage| !optional.contains(&usage.as_str())) {
        Some(usage) => Err(format!("invalid usage for client certificate: {usage}")),
        None if usages.iter().any(|usage| usage == "client auth") => Ok(()),
        None => Err("missing required usage for client certificate: client auth".to_owned()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A request for this subject with these alternative names, as PEM.
    pub(crate) fn pem(common_name: &str, organizations: &[&str], names: &[rcgen::SanType]) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        for organization in organizations {
            params.distinguished_name.push(rcgen::DnType::OrganizationName, *organization);
        }
        params.subject_alt_names = names.to_vec();
        let key = rcgen::KeyPair::generate().unwrap();
        params.serialize_request(&key).unwrap().pem().unwrap().into_bytes()
    }

    fn usages(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    /// Cases of upstream's `TestIsKubeletClientCSR` and `TestIsKubeletServingCSR`.
    #[test]
    fn kubelets_may_ask_for_their_own_certificates_only() {
        let dns = [rcgen::SanType::DnsName("n".try_into().unwrap())];
        let email = [dns[0].clone(), rcgen::SanType::Rfc822Name("a@b.c".try_into().unwrap())];
        let client = usages("key encipherment,digital signature,client auth");
        let serving = usages("digital signature,server auth");
        let node = "system:node:n";
        let of = |name: &str, organization: &str, names: &[rcgen::SanType]| {
            parse(&pem(name, &[organization], names)).unwrap()
        };
        let told = |result: Result<(), String>| result.err().unwrap_or_default();
        for (request, wanted, expected) in [
            (of(node, "system:nodes", &[]), &client, ""),
            (of(node, "nodes", &[]), &client, "subject organization is not system:nodes"),
            (of("n", "system:nodes", &[]), &client, NOT_A_NODE),
            (of(node, "system:nodes", &dns), &client, "DNS subjectAltNames are not allowed"),
            (
                of(node, "system:nodes", &[]),
                &serving,
                "usages did not match [client auth digital signature key encipherment]",
            ),
        ] {
            assert_eq!(told(request.check_kubelet_client(wanted)), expected);
        }
        for (request, wanted, expected) in [
            (of(node, "system:nodes", &dns), &serving, ""),
            (of(node, "system:nodes", &[]), &serving, "DNS or IP subjectAltName is required"),
            (of(node, "system:nodes", &email), &serving, "Email subjectAltNames are not allowed"),
            (of("n", "system:nodes", &dns), &serving, NOT_A_NODE),
        ] {
            assert_eq!(told(request.check_kubelet_serving(wanted)), expected);
        }
        assert_eq!(told(check_client(&client)), "");
        assert_eq!(told(check_client(&serving)), "invalid usage for client certificate: server auth");
        assert_eq!(
            told(check_client(&usages("digital signature"))),
            "missing required usage for client certificate: client auth"
        );
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&bytes).is_err());
        }
    }
}
