//! Certificates for PKCS#10 requests: the subject, the key and the alternative names are the requestor's, everything else is
//! ours (k8s.io/kubernetes `pkg/controller/certificates/authority`).
//!
//! Subject and names are copied byte for byte, so that no group and no kind of name is lost on the way.

use super::Authority;
use crate::pki::certificate::{ALT_NAME, AUTHORITY_KEY_ID, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE, KEY_USAGE};
use crate::pki::{Error, der, key, pem};
use jiff::Timestamp;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

/// Usages of keys by the names of the certificates API, with their bit (RFC 5280, 4.2.1.3).
const KEY_USAGES: [(&str, u32); 10] = [
    ("signing", 0),
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("decipher only", 8),
];

/// Purposes by the names of the certificates API, in the order in which they are written.
const PURPOSES: [(&str, &[u32]); 13] = [
    ("any", &[2, 5, 29, 37, 0]),
    ("server auth", &[1, 3, 6, 1, 5, 5, 7, 3, 1]),
    ("client auth", &[1, 3, 6, 1, 5, 5, 7, 3, 2]),
    ("code signing", &[1, 3, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[1, 3, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[1, 3, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[1, 3, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[1, 3, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[1, 3, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
    ("netscape sgc", &[2, 16, 840, 1, 113_730, 4, 1]),
];

impl Authority {
    /// A certificate (PEM) for the request in `pkcs10` (DER) with these usages, by the names of the certificates API.
    /// It ends with the authority at the latest.
    ///
    /// # Errors
    /// When the request cannot be read or its signature is not by its key, a usage is unknown, or the authority has ended.
    pub fn sign_request(
        &self,
        pkcs10: &[u8],
        usages: &[String],
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<String, Error> {
        let unreadable = |why: String| Error::Unreadable { subject: "certificate request", why };
        let (_, request) = X509CertificationRequest::from_der(pkcs10).map_err(|error| unreadable(error.to_string()))?;
        request.verify_signature().map_err(|error| unreadable(format!("its signature is not by its key: {error}")))?;
        if not_before >= self.not_after {
            return Err(unreadable(format!("the signer has expired: NotAfter={}", self.not_after)));
        }
        let info = &request.certification_request_info;
        let subject = info.subject.as_raw();
        let mut serial = key::random::<16>()?;
        // A positive number without a leading zero byte.
        serial[0] = (serial[0] & 0x7f) | 0x40;
        let algorithm = self.key.certificate_algorithm();
        let extensions = self.extensions(&request, usages, info.subject.iter_rdn().next().is_none())?;
        let body = der::sequence(&[
            &der::element(der::explicit(0), &[&der::unsigned(&[2])]),
            &der::unsigned(&serial),
            &algorithm,
            &self.name,
            &der::sequence(&[&der::time(not_before), &der::time(not_after.min(self.not_after))]),
            subject,
            info.subject_pki.raw,
            &der::element(der::explicit(3), &[&extensions]),
        ]);
        let signature = self.key.sign_certificate(&body)?;
        Ok(pem::encode("CERTIFICATE", &der::sequence(&[&body, &algorithm, &der::bit_string(&signature)])))
    }

    fn extensions(
        &self,
        request: &X509CertificationRequest<'_>,
        usages: &[String],
        nameless: bool,
    ) -> Result<Vec<u8>, Error> {
        let mut list = Vec::new();
        let mut push = |oid: &[u32], critical: bool, value: &[u8]| {
            let critical = if critical { der::element(der::BOOLEAN, &[&[0xff]]) } else { Vec::new() };
            list.push(der::sequence(&[&der::oid(oid), &critical, &der::element(der::OCTET_STRING, &[value])]));
        };
        let (bits, purposes) = read(usages)?;
        if bits != 0 {
            push(KEY_USAGE, true, &key_usage(bits));
        }
        if !purposes.is_empty() {
            let purposes: Vec<Vec<u8>> = purposes.iter().map(|purpose| der::oid(purpose)).collect();
            push(EXTENDED_KEY_USAGE, false, &der::sequence(&purposes.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        }
        push(BASIC_CONSTRAINTS, true, &der::sequence(&[]));
        let identifier = der::element(der::context(0), &[&self.key.public().identifier()]);
        push(AUTHORITY_KEY_ID, false, &der::sequence(&[&identifier]));
        let names = request.certification_request_info.iter_attributes().filter_map(|attribute| {
            let x509_parser::cri_attributes::ParsedCriAttribute::ExtensionRequest(asked) = attribute.parsed_attribute()
            else {
                return None;
            };
            asked.extensions.iter().find(|own| own.oid == x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME)
        });
        if let Some(names) = names.last() {
            push(ALT_NAME, nameless, names.value);
        }
        Ok(der::sequence(&list.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    }
}

/// The bits of the key's usages and the purposes, without repetitions.
fn read(usages: &[String]) -> Result<(u16, Vec<&'static [u32]>), Error> {
    let mut bits = 0;
    for usage in usages {
        if let Some((_, bit)) = KEY_USAGES.iter().find(|(name, _)| name == usage) {
            bits |= 0x8000 >> bit;
        } else if !PURPOSES.iter().any(|(name, _)| name == usage) {
            let why = format!("unrecognized usage values: [\"{usage}\"]");
            return Err(Error::Unreadable { subject: "certificate request", why });
        }
    }
    let mut purposes: Vec<&[u32]> = Vec::new();
    for (name, purpose) in PURPOSES {
        if usages.iter().any(|usage| usage == name) && !purposes.contains(&purpose) {
            purposes.push(purpose);
        }
    }
    Ok((bits, purposes))
}

/// A named bit list ends with its last set bit.
fn key_usage(bits: u16) -> Vec<u8> {
    let bytes = bits.to_be_bytes();
    let used = if bytes[1] == 0 { &bytes[..1] } else { &bytes[..] };
    let unused = used.last().map_or(0, |last| last.trailing_zeros() as u8);
    der::element(der::BIT_STRING, &[&[unused], used])
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::extensions::{GeneralName, ParsedExtension};

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn usages(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    fn request(key: &rcgen::KeyPair) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["n".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "system:node:n");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
        params.serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn a_request_becomes_a_certificate() {
        let authority = Authority::generate("ca", now()).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let end = now() + jiff::SignedDuration::from_hours(1);
        let text =
            authority.sign_request(&request(&key), &usages("digital signature,server auth"), now(), end).unwrap();
        let (_, block) = x509_parser::pem::parse_x509_pem(text.as_bytes()).unwrap();
        let certificate = block.parse_x509().unwrap();
        assert_eq!(certificate.subject().to_string(), "CN=system:node:n, O=system:nodes");
        assert_eq!(certificate.issuer().to_string(), "CN=ca");
        assert_eq!(certificate.validity().not_after.timestamp(), end.as_second());
        assert!(!certificate.is_ca());
        let key_usage = certificate.key_usage().unwrap().unwrap().value;
        assert!(key_usage.digital_signature() && !key_usage.key_encipherment());
        let purposes = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.server_auth && !purposes.client_auth);
        let names = certificate.subject_alternative_name().unwrap().unwrap().value;
        assert_eq!(names.general_names[0], GeneralName::DNSName("n"));
        assert!(
            certificate
                .extensions()
                .iter()
                .all(|own| !matches!(own.parsed_extension(), ParsedExtension::ParseError { .. }))
        );
        let (_, own) = x509_parser::parse_x509_certificate(authority.certificate()).unwrap();
        certificate.verify_signature(Some(own.public_key())).unwrap();
    }

    #[test]
    fn what_is_not_the_requestors_is_refused() {
        let authority = Authority::generate("ca", now()).unwrap();
        let mut der = request(&rcgen::KeyPair::generate().unwrap());
        let told = |der: &[u8], usage: &str| {
            authority.sign_request(der, &usages(usage), now(), now()).unwrap_err().to_string()
        };
        assert!(told(&der, "server auth,magic").contains(r#"unrecognized usage values: ["magic"]"#));
        assert!(told(b"junk", "server auth").contains("cannot be read"));
        let last = der.len() - 1;
        der[last] ^= 1;
        assert!(told(&der, "server auth").contains("signature"));
    }

    #[test]
    fn usages_are_bits_up_to_the_last() {
        assert_eq!(key_usage(read(&usages("digital signature,key encipherment")).unwrap().0), [3, 2, 5, 0xa0]);
        assert_eq!(key_usage(read(&usages("decipher only")).unwrap().0), [3, 3, 7, 0, 0x80]);
        assert_eq!(read(&usages("s/mime,email protection")).unwrap().1.len(), 1);
    }
}
