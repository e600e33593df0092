//! The body of a certificate and how it is assembled.
//!
//! The subject is written attribute by attribute, so that every organization (a group of the user) is kept.

use super::{Error, PrivateKey, PublicKey, der, key};
use jiff::{SignedDuration, Timestamp};
use std::net::IpAddr;

const COMMON_NAME: &[u32] = &[2, 5, 4, 3];
const ORGANIZATION: &[u32] = &[2, 5, 4, 10];
/// The attribute that carries a user's uid (k8s.io/apiserver `pkg/authentication/request/x509`).
pub const USER_UID: &[u32] = &[1, 3, 6, 1, 4, 1, 57683, 2];

const SUBJECT_KEY_ID: &[u32] = &[2, 5, 29, 14];
pub(super) const KEY_USAGE: &[u32] = &[2, 5, 29, 15];
pub(super) const ALT_NAME: &[u32] = &[2, 5, 29, 17];
pub(super) const BASIC_CONSTRAINTS: &[u32] = &[2, 5, 29, 19];
pub(super) const AUTHORITY_KEY_ID: &[u32] = &[2, 5, 29, 35];
pub(super) const EXTENDED_KEY_USAGE: &[u32] = &[2, 5, 29, 37];
const SERVER_AUTH: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];

/// Clocks of clients may lag: certificates are valid from this long before they are made.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// Whom a certificate is about: for clients the user and the groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub common_name: String,
    pub organizations: Vec<String>,
    /// The user's uid; left out when empty.
    pub uid: String,
}

impl Subject {
    pub fn new(common_name: impl Into<String>, organizations: &[&str]) -> Self {
        let organizations = organizations.iter().map(|o| (*o).to_owned()).collect();
        Self { common_name: common_name.into(), organizations, uid: String::new() }
    }

    fn to_der(&self) -> Vec<u8> {
        let organizations = self.organizations.iter().map(|o| (ORGANIZATION, o.as_str()));
        let uid = (!self.uid.is_empty()).then_some((USER_UID, self.uid.as_str()));
        let name = std::iter::once((COMMON_NAME, self.common_name.as_str()));
        let sets: Vec<Vec<u8>> = organizations
            .chain(name)
            .chain(uid)
            .map(|(oid, text)| {
                let text = der::element(der::UTF8_STRING, &[text.as_bytes()]);
                der::element(der::SET, &[&der::sequence(&[&der::oid(oid), &text])])
            })
            .collect();
        let parts: Vec<&[u8]> = sets.iter().map(Vec::as_slice).collect();
        der::sequence(&parts)
    }
}

/// What a certificate may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Signs other certificates.
    Authority,
    /// Serves TLS under DNS names (wildcards allowed) and IP addresses.
    Server {
        names: Vec<String>,
    },
    Client,
    /// Both, as aggregated servers and kubelets present it.
    ServerAndClient {
        names: Vec<String>,
    },
}

/// Everything about a certificate but its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub subject: Subject,
    pub usage: Usage,
    pub lifetime: SignedDuration,
}

/// The issuing side of a certificate.
pub(crate) struct Signer<'a> {
    pub key: &'a PrivateKey,
    /// The issuer's subject as it stands in its own certificate; none when the certificate signs itself.
    pub name: Option<&'a [u8]>,
    /// Nothing outlives its issuer.
    pub not_after: Option<Timestamp>,
}

/// Assembles and signs a certificate; returns DER and the end of its validity.
pub(crate) fn assemble(
    profile: &Profile,
    public: &PublicKey,
    signer: &Signer<'_>,
    now: Timestamp,
) -> Result<(Vec<u8>, Timestamp), Error> {
    let subject = profile.subject.to_der();
    let issuer = signer.name.map_or_else(|| subject.clone(), <[u8]>::to_vec);
    let wanted = now.saturating_add(profile.lifetime).unwrap_or(Timestamp::MAX);
    let not_after = signer.not_after.map_or(wanted, |limit| wanted.min(limit));
    let not_before = now.saturating_sub(BACKDATE).unwrap_or(now);

    let mut serial = key::random::<16>()?;
    // A positive number without a leading zero byte.
    serial[0] = (serial[0] & 0x7f) | 0x40;
    let algorithm = signer.key.certificate_algorithm();
    let body = der::sequence(&[
        &der::element(der::explicit(0), &[&der::unsigned(&[2])]),
        &der::unsigned(&serial),
        &algorithm,
        &issuer,
        &der::sequence(&[&der::time(not_before), &der::time(not_after)]),
        &subject,
        &public.spki(),
        &der::element(der::explicit(3), &[&extensions(profile, public, signer)]),
    ]);
    let signature = signer.key.sign_certificate(&body)?;
    Ok((der::sequence(&[&body, &algorithm, &der::bit_string(&signature)]), not_after))
}

fn extensions(profile: &Profile, public: &PublicKey, signer: &Signer<'_>) -> Vec<u8> {
    let mut list = Vec::new();
    let mut push = |oid: &[u32], critical: bool, value: Vec<u8>| {
        let critical = if critical { der::element(der::BOOLEAN, &[&[0xff]]) } else { Vec::new() };
        list.push(der::sequence(&[&der::oid(oid), &critical, &der::element(der::OCTET_STRING, &[&value])]));
    };
    let (is_authority, names, purposes): (bool, &[String], &[&[u32]]) = match &profile.usage {
        Usage::Authority => (true, &[], &[]),
        Usage::Server { names } => (false, names, &[SERVER_AUTH]),
        Usage::Client => (false, &[], &[CLIENT_AUTH]),
        Usage::ServerAndClient { names } => (false, names, &[SERVER_AUTH, CLIENT_AUTH]),
    };
    // digitalSignature, keyEncipherment, keyCertSign: bits 0, 2 and 5; a bit string first names its unused bits.
    let usage: &[u8] = if is_authority { &[2, 0xa4] } else { &[5, 0xa0] };
    push(KEY_USAGE, true, der::element(der::BIT_STRING, &[usage]));
    if !purposes.is_empty() {
        let purposes: Vec<Vec<u8>> = purposes.iter().map(|p| der::oid(p)).collect();
        push(EXTENDED_KEY_USAGE, false, der::sequence(&purposes.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    }
    let constraint = if is_authority { der::element(der::BOOLEAN, &[&[0xff]]) } else { Vec::new() };
    push(BASIC_CONSTRAINTS, true, der::sequence(&[&constraint]));
    if is_authority {
        push(SUBJECT_KEY_ID, false, der::element(der::OCTET_STRING, &[&public.identifier()]));
    }
    if signer.name.is_some() {
        let identifier = der::element(der::context(0), &[&signer.key.public().identifier()]);
        push(AUTHORITY_KEY_ID, false, der::sequence(&[&identifier]));
    }
    if !names.is_empty() {
        let names: Vec<Vec<u8>> = names.iter().map(|n| general_name(n)).collect();
        push(ALT_NAME, false, der::sequence(&names.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    }
    der::sequence(&list.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// An IP address where the text is one, else a DNS name.
fn general_name(name: &str) -> Vec<u8> {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => der::element(der::context(7), &[&ip.octets()]),
        Ok(IpAddr::V6(ip)) => der::element(der::context(7), &[&ip.octets()]),
        Err(_) => der::element(der::context(2), &[name.as_bytes()]),
    }
}
